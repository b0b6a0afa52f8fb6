//! What so many seeds can reach: n of them give no sign-flip p below 2^(1 − n), and Holm's correction multiplies it.

use paired_stats::{holm, sign_flip_floor};

use super::{Plan, PlannedContrast, PlannedStudy};
use crate::{
    frame::{ALPHA, MINIMUM_SEEDS},
    study::Expect,
    summary::Role,
};

/// The smallest adjusted p that so many contrasts can have, each of so many seeds.
pub(super) fn smallest_p(contrasts: usize, seeds: u32) -> f64 {
    contrasts as f64 * sign_flip_floor(seeds as usize)
}

impl Plan {
    /// What no result can bring, whatever it is, since there are too few seeds: one sentence each, said before the run.
    pub fn out_of_reach(&self) -> Vec<String> {
        self.studies
            .iter()
            .flat_map(|study| {
                let name = &study.name;
                let few = study.without_verdict().into_iter();
                // Looks stand on t where no number of flips could reach their level.
                let unreachable = study.without_support().filter(|_| self.looks.is_none());
                few.chain(unreachable)
                    .map(move |words| format!("`{name}`: {words}"))
            })
            .collect()
    }
}

impl PlannedStudy {
    /// Which contrasts have fewer seeds than a verdict takes.
    fn without_verdict(&self) -> Option<String> {
        let few = |contrast: &&PlannedContrast| self.seeds_of(contrast) < MINIMUM_SEEDS;
        let few: Vec<&PlannedContrast> = self.contrasts.iter().filter(few).collect();
        let seeds = few.iter().map(|contrast| self.seeds_of(contrast)).max()?;
        let ids: Vec<&str> = few.iter().map(|contrast| contrast.id.as_str()).collect();
        let (whose, remedy) = if self.seeds < MINIMUM_SEEDS {
            (String::new(), format!("--seeds {MINIMUM_SEEDS}"))
        } else {
            (format!(" of {}", ids.join(", ")), "--all".to_owned())
        };
        let are = if seeds == 1 {
            "seed gives"
        } else {
            "seeds give"
        };
        Some(format!(
            "{seeds} {are} estimates{whose} and no verdict, which takes {MINIMUM_SEEDS}: add {remedy}"
        ))
    }

    /// Why contrasts that have the seeds for a verdict cannot be SUPPORTED all the same: Holm's correction takes the
    /// smallest p that their seeds can give beyond the level.
    pub(crate) fn without_support(&self) -> Option<String> {
        let directed = self.contrasts.iter();
        let directed = directed.filter(|contrast| contrast.expect != Expect::Equal);
        let seeds: Vec<u32> = directed.map(|contrast| self.seeds_of(contrast)).collect();
        let floors = seeds.iter().map(|n| sign_flip_floor(*n as usize));
        let best = holm(&floors.collect::<Vec<_>>());
        let beyond = seeds.iter().zip(best);
        let beyond = beyond.filter(|(n, p)| MINIMUM_SEEDS <= **n && ALPHA < *p);
        let (seeds_of, smallest) = beyond.max_by_key(|(n, _)| **n)?;
        let needed = (MINIMUM_SEEDS..).find(|n| smallest_p(seeds.len(), *n) <= ALPHA)?;
        Some(format!(
            "with {seeds_of} seeds no adjusted p of {} contrasts can be below {smallest:.3}, so none is SUPPORTED; {needed} seeds would do",
            seeds.len(),
        ))
    }

    /// Seeds of the block in which a contrast is measured.
    fn seeds_of(&self, contrast: &PlannedContrast) -> u32 {
        let role = contrast.effect.beside().unwrap_or(Role::Main);
        let block = self.blocks.iter().find(|block| block.role == role);
        block.map_or(self.seeds, |block| block.seeds)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        fixture::{STUDY, plan_with, refusal},
        plan::{Overrides, PlannedLooks},
    };

    /// The study with so many contrasts more, one of them of equality.
    fn with_contrasts(more: usize) -> String {
        let contrast = |i: usize| {
            let expect = if i == 0 { "equal" } else { "lower" };
            format!(
                "\n[[contrasts]]\nid = \"more-{i}\"\nclaim = \"More\"\neffect = \"skip\"\nexpect = \"{expect}\"\ndelta = 0.1\n"
            )
        };
        (0..more)
            .map(contrast)
            .fold(STUDY.to_owned(), |text, more| text + &more)
    }

    fn said(text: &str, overrides: &Overrides) -> Vec<String> {
        plan_with(text, overrides)
            .expect("the study is sound")
            .out_of_reach()
    }

    fn with_seeds(seeds: u32) -> Overrides {
        Overrides {
            seeds: Some(seeds),
            ..Overrides::default()
        }
    }

    #[test]
    fn few_seeds_are_said_before_they_are_run() {
        let few = "`plane`: 2 seeds give estimates and no verdict, which takes 8: add --seeds 8";
        assert_eq!(said(STUDY, &Overrides::default()), [few]);
        assert!(said(STUDY, &with_seeds(8)).is_empty());
        let beside = STUDY.replace(
            "effect = \"noise\"",
            "effect = \"skip_over_counter_with_noise\"",
        );
        assert_eq!(
            said(&beside, &with_seeds(8)),
            ["`plane`: 1 seed gives estimates of noise and no verdict, which takes 8: add --all"]
        );
    }

    #[test]
    fn a_family_too_large_for_its_seeds_is_told_how_many_would_do() {
        // Six that expect a direction: 6/128 = 0.047; seven: 7/128 = 0.055. The claim of equality is not counted.
        assert!(said(&with_contrasts(6), &with_seeds(8)).is_empty());
        assert_eq!(
            said(&with_contrasts(7), &with_seeds(8)),
            [
                "`plane`: with 8 seeds no adjusted p of 7 contrasts can be below 0.055, so none is SUPPORTED; 9 seeds would do"
            ]
        );
        assert!(said(&with_contrasts(7), &with_seeds(9)).is_empty());
        let looks = Overrides {
            looks: Some(PlannedLooks::at(&PlannedLooks::USUAL).expect("they are sound")),
            ..Overrides::default()
        };
        assert!(said(&with_contrasts(7), &looks).is_empty());
    }

    #[test]
    fn a_study_whose_own_seeds_cannot_reach_the_level_is_refused() {
        let eight = |more| with_contrasts(more).replacen("seeds = 2", "seeds = 8", 1);
        assert!(plan_with(&eight(6), &Overrides::default()).is_ok());
        let message = refusal(plan_with(&eight(7), &Overrides::default()));
        assert!(
            message.contains("no adjusted p can be below 0.055"),
            "{message}"
        );
    }
}
