//! Equal size for networks that differ: widths are adjusted until the costs match.

use crate::{Error, Layer, ResidualMlpConfig, error::positive};

/// What is made equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// Weights and biases: capacity.
    Parameters,
    /// Floating-point operations of a forward pass over one example: compute.
    Flops,
}

/// How far two costs may be apart to count as equal: 1 % of the reference's.
pub const MATCH_TOLERANCE: f64 = 0.01;

impl Match {
    /// The cost of these layers, for one example.
    pub fn cost(self, layers: &[Layer]) -> u64 {
        let numbers = layers.iter().map(|layer| match self {
            Match::Parameters => layer.parameters() as u64,
            Match::Flops => layer.multiply_adds().saturating_mul(2),
        });
        numbers.fold(0, u64::saturating_add)
    }
}

/// Widths with which a network costs what another does, within [`MATCH_TOLERANCE`].
///
/// Those given, if they do; this is how skips without parameters match, and it keeps every initial value
/// that the two share. Else multiples of `quantum` that keep the proportions, rounded, or differ from these
/// by as few quanta as possible, all together: at most eight, and as long as no more than 2000 networks are
/// tried; the closest match of so many. `cost` must grow with every width; where it returns nothing the
/// network cannot be built, and the widths are passed over.
///
/// ```
/// use resnet_blocks::matched_widths;
/// # fn main() -> Result<(), resnet_blocks::Error> {
/// let area = |widths: &[usize]| Some(widths[0] as u64 * widths[1] as u64);
/// assert_eq!(matched_widths(&[64, 128], 8, 8192, area)?, [64, 128]);
/// assert_eq!(matched_widths(&[64, 128], 1, 4096, area)?, [45, 91]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Zero`]; [`Error::NoMatch`] with the closest, if none is within the tolerance.
pub fn matched_widths(
    widths: &[usize],
    quantum: usize,
    target: u64,
    cost: impl Fn(&[usize]) -> Option<u64>,
) -> Result<Vec<usize>, Error> {
    positive("the quantum of the widths", quantum)?;
    positive("the number of widths", widths.len())?;
    let apart = |cost: u64| cost.abs_diff(target) as f64 / target.max(1) as f64;
    if cost(widths).is_some_and(|cost| apart(cost) <= MATCH_TOLERANCE) {
        return Ok(widths.to_vec());
    }
    // The largest width is k quanta, and the others in proportion.
    let largest = widths.iter().copied().max().unwrap_or(1).max(1);
    let proportional = |k: usize| -> Vec<usize> {
        let quanta = |width: &usize| (k as f64 * *width as f64 / largest as f64).round();
        let width = |width| quantum.saturating_mul((quanta(width) as usize).max(1));
        widths.iter().map(width).collect()
    };
    // Widths that cannot be built are passed over; if there are too many of them the network is too wide.
    let reaches = |k: usize| {
        let found = (k..k + 16).find_map(|k| cost(&proportional(k)));
        found.is_none_or(|cost| target <= cost)
    };
    let (mut below, mut above) = (0, 1);
    while !reaches(above) {
        (below, above) = (above, 2 * above);
    }
    while below + 1 < above {
        let middle = below.midpoint(above);
        if reaches(middle) {
            above = middle;
        } else {
            below = middle;
        }
    }
    let centres = [above.saturating_sub(1).max(1), above].map(proportional);
    let mut closest: Option<(u64, Vec<usize>)> = None;
    let mut tried = 0;
    for steps in 0..=MOST_STEPS {
        let candidates: Vec<Vec<usize>> = centres
            .iter()
            .flat_map(|centre| at_distance(centre, quantum, steps))
            .collect();
        tried += candidates.len();
        if MOST_TRIED < tried {
            break;
        }
        for candidate in candidates {
            let Some(cost) = cost(&candidate) else {
                continue;
            };
            if closest
                .as_ref()
                .is_none_or(|(nearest, _)| apart(cost) < apart(*nearest))
            {
                closest = Some((cost, candidate));
            }
        }
        if let Some((cost, widths)) = &closest
            && apart(*cost) <= MATCH_TOLERANCE
        {
            return Ok(widths.clone());
        }
    }
    Err(Error::NoMatch {
        target,
        quantum,
        closest: closest.map(|(cost, widths)| (widths, cost)),
    })
}

const MOST_STEPS: usize = 8;
const MOST_TRIED: usize = 2000;

/// The widths of at least one quantum that differ from these by so many quanta, all together.
fn at_distance(widths: &[usize], quantum: usize, steps: usize) -> Vec<Vec<usize>> {
    let Some((first, others)) = widths.split_first() else {
        return if steps == 0 {
            vec![Vec::new()]
        } else {
            Vec::new()
        };
    };
    let mut all = Vec::new();
    for here in 0..=steps {
        let (narrower, wider) = (
            first.checked_sub(here.saturating_mul(quantum)),
            Some(first.saturating_add(here.saturating_mul(quantum))),
        );
        let narrower = narrower.filter(|width| quantum <= *width);
        let moved = narrower.filter(|_| 0 < here).into_iter().chain(wider);
        for width in moved {
            for rest in at_distance(others, quantum, steps - here) {
                all.push([&[width], &rest[..]].concat());
            }
        }
    }
    all
}

impl ResidualMlpConfig {
    /// The same network, its width and hidden width adjusted so that it costs what the reference does: see
    /// [`matched_widths`].
    ///
    /// ```
    /// use resnet_blocks::{Activation, Init, Match, MlpBlockConfig, ResidualMlpConfig, ShortSkip};
    /// # fn main() -> Result<(), resnet_blocks::Error> {
    /// let plain = ResidualMlpConfig {
    ///     inputs: 2, blocks: 6, short: ShortSkip::None,
    ///     block: MlpBlockConfig::square(64, Activation::Silu, Init::PyTorch),
    /// };
    /// let gated = ResidualMlpConfig { short: ShortSkip::Highway { bias: -1.0 }, ..plain };
    /// assert_eq!(plain.matched_to(&plain, Match::Parameters, 4)?, plain);
    /// let gated = gated.matched_to(&plain, Match::Parameters, 4)?;
    /// assert_eq!((gated.block.width, gated.block.hidden), (52, 52));
    /// assert_eq!((plain.parameters(), gated.parameters()), (50_306, 49_922));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`matched_widths`], and as [`check`](Self::check) for the reference.
    pub fn matched_to(
        &self,
        reference: &ResidualMlpConfig,
        by: Match,
        quantum: usize,
    ) -> Result<ResidualMlpConfig, Error> {
        reference.check()?;
        let with = |widths: &[usize]| {
            let mut config = *self;
            (config.block.width, config.block.hidden) = (widths[0], widths[1]);
            config
        };
        let widths = [self.block.width, self.block.hidden];
        let target = by.cost(&reference.layers());
        let cost = |widths: &[usize]| {
            let config = with(widths);
            config.check().is_ok().then(|| by.cost(&config.layers()))
        };
        Ok(with(&matched_widths(&widths, quantum, target, cost)?))
    }
}
