//! What the ends of a grid do to a finding: an arm that is best at an end may be better beyond it, and an arm that learns
//! nowhere has no range.

use super::{
    Registered,
    measure::{Numbers as _, Term},
    table::Table,
};

impl Table<'_> {
    /// What the numbers of a finding owe to the choice of the grid, in words; empty where its ends play no part.
    pub(super) fn caveats(&self, registered: &Registered) -> Vec<String> {
        let mut found = Vec::new();
        for term in registered.measure.terms() {
            let caveat = match term {
                Term::Tuned { arm, by, .. } => self.tuned_at_an_end(arm, by),
                Term::Usable { metric, arm, below } => self.usable_at_an_end(arm, metric, *below),
                Term::Metric { .. } | Term::Slope { .. } | Term::Trend { .. } => None,
            };
            // Both terms of a ratio may name one arm.
            found.extend(caveat.filter(|caveat| !found.contains(caveat)));
        }
        found
    }

    fn tuned_at_an_end(&self, arm: &str, by: &str) -> Option<String> {
        let (grid, scores) = (self.grid(), self.scores(arm, by)?);
        if scores.iter().all(|score| *score == scores[0]) {
            return Some(format!("{arm} the same at every value of its grid"));
        }
        let value = self.tuned(arm, by)?;
        if value == *grid.first()? {
            return Some(format!("{arm} tuned to the lower end of its grid"));
        }
        (value == *grid.last()?).then(|| format!("{arm} tuned to the upper end of its grid"))
    }

    fn usable_at_an_end(&self, arm: &str, metric: &str, below: f64) -> Option<String> {
        let usable = self.usable(arm, metric, below);
        let at = |end: fn(&[bool]) -> Option<&bool>| {
            let at_end = |seed: &&Vec<bool>| end(seed) == Some(&true);
            usable.iter().filter(at_end).count()
        };
        let ends = [
            ("lower", at(<[bool]>::first)),
            ("upper", at(<[bool]>::last)),
        ];
        let words = ends.iter().filter(|(_, seeds)| 0 < *seeds);
        let words: Vec<String> = words
            .map(|(end, seeds)| {
                format!(
                    "{arm} usable up to the {end} end of the grid in {seeds} of {} seeds",
                    usable.len()
                )
            })
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Why a range of usable values says nothing: an arm that learns nowhere in half of the seeds or more has none, and
    /// any other is wider.
    pub(super) fn learns_nowhere(&self, registered: &Registered) -> Option<String> {
        registered.measure.terms().into_iter().find_map(|term| {
            let Term::Usable { metric, arm, below } = term else {
                return None;
            };
            let usable = self.usable(arm, metric, *below);
            let nowhere = usable.iter().filter(|seed| !seed.contains(&true)).count();
            (0 < nowhere && usable.len() <= 2 * nowhere).then(|| {
                format!(
                    "{arm} comes below {below} at no value of the grid in {nowhere} of {} seeds: what is not learned at all has no range to compare",
                    usable.len()
                )
            })
        })
    }

    /// Which values of the grid are usable, for each test seed that has all of them.
    fn usable(&self, arm: &str, metric: &str, below: f64) -> Vec<Vec<bool>> {
        let of_seed = |seed: u32| -> Option<Vec<bool>> {
            let values = self.grid().iter();
            values
                .map(|&value| Some(self.metric(arm, Some(value), metric, seed)? < below))
                .collect()
        };
        (0..self.claim.seeds).filter_map(of_seed).collect()
    }
}
