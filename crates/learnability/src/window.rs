//! Readings over training: when to look, and what a unit heard over a window of looks.
//!
//! A unit that is silent at one step need not be silent: at the first step of a zero-initialised branch half of its
//! parameters have no gradient, at the second all of them have. So nothing is called silent but over a window.

/// When to look: dense at the beginning, where things change, and so rare later that looking costs next to nothing.
///
/// *Failure mode*: what happens between two looks is not seen, and late in training they are far apart.
/// *Source*: defined here.
///
/// Usual: sizes and silence (`unit_gradients`, `Snapshot`) at half decades, trust (`unit_grams` of 16
/// micro-batches) at decades. In 1000 steps that are 4 looks at trust and 3 others; `benches/overhead.rs` has what they
/// cost.
///
/// ```
/// use learnability::window::Cadence;
/// let looks: Vec<u64> = (0..=1000).filter(|step| Cadence::Decades.looks_at(*step)).collect();
/// assert_eq!(looks, [0, 1, 10, 100, 1000]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Steps 0, 1, 10, 100, …
    Decades,
    /// Steps 0, 1, 3, 10, 30, 100, …
    HalfDecades,
}

impl Cadence {
    /// Whether to look at this step; the first is 0.
    pub fn looks_at(self, step: u64) -> bool {
        let mut leading = step;
        while leading != 0 && leading.is_multiple_of(10) {
            leading /= 10;
        }
        match self {
            Self::Decades => leading <= 1,
            Self::HalfDecades => leading <= 1 || leading == 3,
        }
    }
}

/// Participation duration of every unit: the share of the looks at which it was audible.
///
/// `audible[look][unit]` is the mark of a unit at one look, by any definition of silence.
///
/// *Range*: `[0, 1]` each; empty for no looks.
/// *Invariances*: order of the looks.
/// *Failure mode*: it depends on the cadence; at logarithmic looks the beginning of training weighs most. A mark that is
/// wrong in one look of twenty, as tests at 5 % are, keeps it off 0 and 1.
/// *Source*: defined here.
///
/// # Panics
/// If looks differ in the number of units.
///
/// ```
/// use learnability::window::participation;
/// // A branch that begins at zero: silent at the first look, audible ever after.
/// assert_eq!(participation(&[vec![true, false], vec![true, true]]), [1.0, 0.5]);
/// ```
pub fn participation(audible: &[Vec<bool>]) -> Vec<f64> {
    let Some(first) = audible.first() else {
        return Vec::new();
    };
    let mut counts = vec![0.0; first.len()];
    for look in audible {
        assert_eq!(
            counts.len(),
            look.len(),
            "participation: a mark for each unit"
        );
        for (count, audible) in counts.iter_mut().zip(look) {
            *count += f64::from(u8::from(*audible));
        }
    }
    counts
        .iter()
        .map(|count| count / audible.len() as f64)
        .collect()
}

/// Whether each unit was silent at every look, the one sense in which a unit may be called silent.
///
/// *Invariances*: order of the looks, looking twice.
/// *Failure mode*: with one look it is the mark at that look; with many looks a single mark that is wrong frees a unit.
/// *Source*: defined here.
///
/// # Panics
/// As [`participation`].
pub fn silent_throughout(audible: &[Vec<bool>]) -> Vec<bool> {
    participation(audible)
        .iter()
        .map(|share| *share == 0.0)
        .collect()
}

/// Fairness AUC: the mean over looks of an index, such as [`crate::index::level_aware`].
///
/// An index that is undefined at a look counts there as 0, since nothing was shared.
///
/// *Range*: that of the index, and 0; `None` for no looks.
/// *Invariances*: order of the looks; those of the index.
/// *Failure mode*: equal weight for each look weighs the beginning of training most; say which cadence. 0 for an undefined
/// index is the worst for one that is to be large, and the best for one that is to be small, such as Theil's: leave those
/// looks out there.
/// *Source*: defined here.
///
/// ```
/// use learnability::window::mean_over_looks;
/// assert_eq!(mean_over_looks(&[Some(1.0), None]), Some(0.5));
/// ```
#[doc(alias = "fairness_auc")]
pub fn mean_over_looks(index: &[Option<f64>]) -> Option<f64> {
    let sum: f64 = index.iter().flatten().sum();
    (!index.is_empty()).then(|| sum / index.len() as f64)
}
