//! Silence by behaviour: what can a unit learn if it is trained alone?
//!
//! It is the strongest reading, and what cheaper ones are to be held against: it does not change under any
//! reparametrisation that the optimiser respects, and it sees what the optimiser makes of a gradient. It costs a training
//! run for each unit and rate.
//!
//! How well do cheaper readings, taken once at the start, tell the order of what units learn alone? Spearman's correlation
//! over the read-in, six residual blocks with factors from 1 to 0.01 and 0 on their branches, and the read-out of a network of
//! width 8 in 60 steps, mean of three seeds (`tests/solo.rs`):
//!
//! | trained by | g size | g over w | w times g | w² tr K | GSNR |
//! |---|---|---|---|---|---|
//! | gradient descent | 0.87 | 0.86 | 0.98 | 0.97 | 0.24 |
//! | Adam | 0.70 | 0.67 | 0.91 | 0.92 | 0.22 |
//!
//! The readings that do not change where layers trade scale follow it; the GSNR says whether a gradient can be trusted, and
//! not how far it leads. The block that is cut off is silent by all definitions. It is one small network: calibrate anew.

use crate::error::{Error, check_at_least};
use crate::interval::{Confidence, Interval};

/// Below this share of what the whole network gains, a unit counts as silent: defined here.
pub const SILENT_SOLO: f64 = 0.01;

/// What a run trains; all else stays at its initial value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// Nothing: the loss before training.
    Nothing,
    /// This unit alone.
    Only(usize),
    /// All units.
    All,
}

/// One training run that [`Protocol::run`] asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// What to train.
    pub trained: Trained,
    /// Learning rate; of no meaning for [`Trained::Nothing`], which gets the first.
    pub rate: f64,
    /// Which repeat: another seed for initial values and data, the same for all runs of the repeat.
    pub repeat: usize,
}

/// Solo-learnability of units, with the training left to the caller.
///
/// ```text
/// Q_i = (L(nothing) − min_rate L(only unit i)) / (L(nothing) − min_rate L(all units))
/// ```
///
/// `L` is the loss after a fixed number of steps with the optimiser that is in question, on fresh data if it can be had.
///
/// *Range*: `(−∞, ∞)`; 0 if the unit changes nothing, 1 if it does as well alone as all together.
/// *Invariances*: any reparametrisation of the network that the optimiser respects; affine maps of the loss.
/// *Failure modes*: it depends on the optimiser, the steps and the rates, so state them. A minimum over rates of a noisy
/// loss is optimistic, for a silent unit too: include a rate so small that it changes nothing, and read `Q_i` against
/// [`SILENT_SOLO`] with its interval. The sum over units is not 1. A unit that can do nothing alone, and without which the
/// others could not, is called silent: it says what a unit learns alone, not what it is good for.
/// *Source*: defined here.
///
/// ```
/// use learnability::{interval::Confidence, solo::{Protocol, Run, Trained}};
///
/// // Loss a² + b² from a = b = 1, one step of gradient descent; the second unit is cut off.
/// let train = |run: Run| {
///     let moved = (1.0 - 2.0 * run.rate).powi(2);
///     match run.trained {
///         Trained::Nothing | Trained::Only(1) => 2.0,
///         Trained::Only(_) | Trained::All => 1.0 + moved,
///     }
/// };
/// let units = Protocol::new(2, vec![0.1, 0.5, 2.0], 2)?.run(Confidence::new(0.95)?, train);
/// assert_eq!(units[0].mean.unwrap().estimate, 1.0);
/// assert!(!units[0].is_silent() && units[1].is_silent());
/// # Ok::<(), learnability::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    units: usize,
    rates: Vec<f64>,
    repeats: usize,
}

/// Solo-learnability of one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct SoloLearnability {
    /// `Q_i` of each repeat; `None` where training all units did not lower the loss, or no rate left the unit
    /// with a finite one.
    pub repeats: Vec<Option<f64>>,
    /// Mean over repeats with its t interval; `None` if any repeat has none.
    pub mean: Option<Interval>,
}

impl SoloLearnability {
    /// Whether the whole interval lies below [`SILENT_SOLO`]. Where `Q` is undefined nothing is said, and this is `false`.
    pub fn is_silent(&self) -> bool {
        self.mean.is_some_and(|mean| mean.high < SILENT_SOLO)
    }
}

impl Protocol {
    /// Every unit alone and all together, at every rate, `repeats` times.
    ///
    /// # Errors
    /// No units, no rates, a rate that is not positive and finite, or fewer than 2 repeats: there is no interval then.
    pub fn new(units: usize, rates: Vec<f64>, repeats: usize) -> Result<Self, Error> {
        check_at_least("units to train alone", 1, units)?;
        check_at_least("learning rates", 1, rates.len())?;
        check_at_least("repeats of solo training", 2, repeats)?;
        if let Some(rate) = rates.iter().find(|r| !(r.is_finite() && 0.0 < **r)) {
            return Err(Error::OutOfRange {
                name: "a learning rate",
                range: "(0, ∞)",
                value: *rate,
            });
        }
        Ok(Self {
            units,
            rates,
            repeats,
        })
    }

    /// Number of runs that train: `repeats · rates · (units + 1)`.
    pub fn runs(&self) -> usize {
        self.repeats * self.rates.len() * (self.units + 1)
    }

    /// Asks `train` for the loss after each run. One that is not finite is worse than any other.
    ///
    /// `train` is called once for [`Trained::Nothing`] and [`Self::runs`] over the number of repeats times in each repeat.
    pub fn run(
        &self,
        confidence: Confidence,
        mut train: impl FnMut(Run) -> f64,
    ) -> Vec<SoloLearnability> {
        let mut shares = vec![Vec::with_capacity(self.repeats); self.units];
        for repeat in 0..self.repeats {
            let mut best = |trained, rates: &[f64]| {
                rates
                    .iter()
                    .map(|&rate| {
                        train(Run {
                            trained,
                            rate,
                            repeat,
                        })
                    })
                    .filter(|loss| loss.is_finite())
                    .fold(f64::INFINITY, f64::min)
            };
            let before = best(Trained::Nothing, &self.rates[..1]);
            let gain = before - best(Trained::All, &self.rates);
            for (unit, shares) in shares.iter_mut().enumerate() {
                let share = (before - best(Trained::Only(unit), &self.rates)) / gain;
                shares.push((0.0 < gain && share.is_finite()).then_some(share));
            }
        }
        shares
            .into_iter()
            .map(|repeats| {
                let values: Option<Vec<f64>> = repeats.iter().copied().collect();
                let mean = values.and_then(|values| Interval::of_mean(&values, confidence).ok());
                SoloLearnability { repeats, mean }
            })
            .collect()
    }
}

/// Spearman's rank correlation, to hold a cheap access against solo-learnability over the same units.
///
/// Ties share the mean of their ranks.
///
/// *Range*: `[−1, 1]`; `None` for fewer than 2 units, if either is constant, or if a value is not a number.
/// *Invariances*: any increasing map of either.
/// *Failure mode*: with few units it says little: of 5 units, one order in 120 is the same by chance. It sees order alone, so
/// it is as large for a unit that is silent as for one that is merely last.
/// *Source*: Spearman 1904.
///
/// # Panics
/// If the two differ in length.
///
/// ```
/// use learnability::solo::rank_correlation;
/// assert_eq!(rank_correlation(&[1e-9, 1e-3, 1.0], &[0.0, 0.2, 0.3]), Some(1.0));
/// ```
#[doc(alias = "spearman")]
pub fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(
        a.len(),
        b.len(),
        "rank_correlation: one value for each unit"
    );
    if a.iter().chain(b).any(|x| x.is_nan()) {
        return None;
    }
    let (a, b) = (centred_ranks(a), centred_ranks(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let correlation = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    correlation.is_finite().then_some(correlation)
}

/// `#{below} − #{above}` of each value: twice its mid-rank, centred.
fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let rank = |x: &f64| {
        let sides = values
            .iter()
            .map(|y| f64::from(u8::from(y < x)) - f64::from(u8::from(x < y)));
        sides.sum()
    };
    values.iter().map(rank).collect()
}
