//! Looks at a study before all of its seeds are there, planned before its first cell.

use paired_stats::Looks;
use serde::{Deserialize, Serialize};

use crate::{error::Error, frame::MINIMUM_SEEDS};

/// When a sequential run is looked at: once so many seeds of a study are complete, and at no other time.
///
/// The looks share one level by Wang & Tsiatis's boundaries ([`paired_stats::Looks`]); what is decided at a look stays
/// decided, and a study whose contrasts all are stops there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedLooks {
    /// Seeds of the 2×2 at each look, rising.
    pub seeds: Vec<u32>,
    /// Shape of the boundaries: 0 is O'Brien & Fleming's, which hardly spends anything early, 1/2 Pocock's.
    pub shape: f64,
}

impl PlannedLooks {
    /// Seeds at the looks of `--sequential` where it names none.
    pub const USUAL: [u32; 3] = [8, 16, 30];
    /// The shape that `cargo xtask calibrate` holds against the promised error rates.
    const SHAPE: f64 = 0.125;

    /// Looks at these numbers of seeds.
    ///
    /// # Errors
    ///
    /// Fewer than two looks, numbers that do not rise, or a first look that can give no verdict.
    pub fn at(seeds: &[u32]) -> Result<PlannedLooks, Error> {
        let refuse = |rule: &str| {
            let shown: Vec<String> = seeds.iter().map(u32::to_string).collect();
            Err(Error::Impossible {
                place: "--sequential".to_owned(),
                name: "looks".to_owned(),
                value: shown.join(","),
                rule: rule.to_owned(),
            })
        };
        if seeds.len() < 2 {
            return refuse("one look is no sequence: say --seeds, or name two looks or more");
        }
        if seeds.windows(2).any(|pair| pair[1] <= pair[0]) {
            return refuse("looks come at rising numbers of seeds");
        }
        if seeds[0] < MINIMUM_SEEDS {
            let rule = format!("a verdict takes {MINIMUM_SEEDS} seeds, so no look comes earlier");
            return refuse(&rule);
        }
        Ok(PlannedLooks {
            seeds: seeds.to_vec(),
            shape: Self::SHAPE,
        })
    }

    /// Seeds at the last look.
    pub fn last(&self) -> u32 {
        self.seeds.last().copied().unwrap_or(0)
    }

    /// The looks as the statistics know them.
    ///
    /// # Errors
    ///
    /// [`Error::Impossible`] where the numbers are none that [`PlannedLooks::at`] gave.
    pub fn boundaries(&self) -> Result<Looks, Error> {
        let seeds: Vec<usize> = self.seeds.iter().map(|n| *n as usize).collect();
        Looks::wang_tsiatis(&seeds, self.shape).map_err(|error| Error::Impossible {
            place: "lock.json".to_owned(),
            name: "looks".to_owned(),
            value: format!("{:?}", self.seeds),
            rule: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::refusal;

    #[test]
    fn looks_are_checked() {
        let usual = PlannedLooks::at(&PlannedLooks::USUAL).expect("they are sound");
        assert_eq!(usual.last(), 30);
        assert_eq!(usual.boundaries().expect("they are").seeds(), [8, 16, 30]);
        for (seeds, said) in [
            (&[][..], "looks = , but one look is no sequence"),
            (&[10], "one look is no sequence"),
            (&[8, 8], "rising numbers"),
            (&[4, 8], "a verdict takes 8 seeds"),
        ] {
            let message = refusal(PlannedLooks::at(seeds));
            assert!(message.contains(said), "{message}");
        }
    }
}
