//! What k-diffusion and the schedulers that came from it share: churn and the ancestral split, in `f32` as the schedulers compute them.

use std::f64::consts::SQRT_2;

use noise_schedule::Kernel;

use crate::Error;
use crate::compat::Options;
use crate::compat::recipe::{Stage, Step};

/// The options `s_churn`, `s_tmin`, `s_tmax` and `s_noise`: noise added at the start of a step.
///
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), algorithm 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Churn {
    amount: f64,
    tmin: f64,
    tmax: f64,
    noise: f64,
}

/// A level after churn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Churned {
    /// The raised sigma.
    pub(crate) sigma: f32,
    /// Scale of the fresh noise.
    pub(crate) noise: f64,
}

impl Churn {
    /// Reads the four options; `s_tmax` may be null for infinity.
    pub(crate) fn read(options: &mut Options) -> Result<Churn, Error> {
        Ok(Churn {
            amount: options.number("s_churn", 0.0)?,
            tmin: options.number("s_tmin", 0.0)?,
            tmax: options.upper_end("s_tmax")?,
            noise: options.number("s_noise", 1.0)?,
        })
    }

    /// The level that a step from `sigma` really starts from, in a grid of so many intervals.
    ///
    /// A negative `s_churn` lowers the level and adds no noise, as in the peers.
    pub(crate) fn at(self, sigma: f32, intervals: usize) -> Churned {
        // Comparisons with a tensor happen in its precision.
        let inside = self.tmin as f32 <= sigma && sigma <= self.tmax as f32;
        let gamma = if inside {
            (self.amount / intervals as f64).min(SQRT_2 - 1.0)
        } else {
            0.0
        };
        let raised = sigma * (gamma + 1.0) as f32;
        let added = (raised * raised - sigma * sigma).sqrt();
        Churned {
            sigma: raised,
            noise: if 0.0 < gamma {
                f64::from(added) * self.noise
            } else {
                0.0
            },
        }
    }

    /// [`at`](Churn::at) in `f64`: the raised sigma, and the scale of the fresh noise.
    pub(crate) fn exactly(self, sigma: f64, intervals: usize) -> (f64, f64) {
        if !(self.tmin..=self.tmax).contains(&sigma) {
            return (sigma, 0.0);
        }
        let gamma = (self.amount / intervals as f64).min(SQRT_2 - 1.0);
        let raised = sigma * (gamma + 1.0);
        let added = (raised * raised - sigma * sigma).max(0.0).sqrt();
        (raised, added * self.noise)
    }
}

/// The level that an ancestral step comes down to, and the scale of the noise that it adds there, as diffusers splits them.
///
/// # Errors
/// [`Error::Contradiction`] if rounding leaves a negative variance below.
pub(crate) fn ancestral(from: f32, to: f32, owner: &str) -> Result<(f32, f32), Error> {
    let up = full_renewal(from, to);
    let down = (to * to - up * up).sqrt();
    if down.is_nan() {
        return Err(Error::Contradiction {
            owner: owner.to_string(),
            rule: "an ancestral step must be short enough that some variance is left in single precision: \
                   the peer's result is NaN; take more steps",
            given: format!("a step from sigma = {from} to {to}"),
        });
    }
    Ok((down, up))
}

/// The same as k-diffusion splits them: with `eta`, and with a bound on the noise, which diffusers lacks.
pub(crate) fn ancestral_bounded(from: f32, to: f32, eta: f64) -> (f32, f32) {
    if eta == 0.0 {
        return (to, 0.0);
    }
    let up = to.min(eta as f32 * full_renewal(from, to));
    ((to * to - up * up).sqrt(), up)
}

/// The scale of the noise that leaves of the old what the posterior does.
fn full_renewal(from: f32, to: f32) -> f32 {
    (to * to * (from * from - to * to) / (from * from)).sqrt()
}

/// The level halfway between two in ln sigma, rounded as torch's `lerp` rounds; zero if the first is.
pub(crate) fn midway(from: f32, to: f32) -> f32 {
    let (from, to) = (f64::from(from).ln() as f32, f64::from(to).ln() as f32);
    f64::from(to - (to - from) * 0.5).exp() as f32
}

/// The steps of LMSDiscreteScheduler: Adams–Bashforth in sigma, of order i + 1 in step i until `order` is reached,
/// and of full order in the last step, to sigma = 0.
///
/// The weights are integrals that the peer computes numerically, of polynomials in `f32`:
/// where sigmas crowd before a long step (often the last), the weights are large and of opposite signs,
/// and their rounding errors are seen in the samples.
pub(crate) fn adams_bashforth(sigmas: &[f32], order: usize) -> Result<Vec<Step>, Error> {
    let steps = 0..sigmas.len() - 1;
    steps
        .map(|i| {
            let known: Vec<f32> = sigmas[..=i].iter().rev().take(order).copied().collect();
            let mut stage = Stage::flow(f64::from(sigmas[i]), 0.0)?;
            stage.weights = (0..known.len())
                .map(|j| lagrange_integral(&known, j, sigmas[i + 1]))
                .collect();
            Ok((
                Kernel::variance_exploding(f64::from(sigmas[i + 1]))?,
                vec![stage],
            ))
        })
        .collect()
}

/// ∫ ℓ_j from the first node to `to`, with ℓ_j evaluated in `f32`, by the 21-point rule of Gauss and Kronrod.
///
/// [`lagrange_integrals`](crate::adams::lagrange_integrals) has it without rounding.
fn lagrange_integral(nodes: &[f32], j: usize, to: f32) -> f64 {
    let polynomial = |s: f64| {
        let others = nodes.iter().enumerate().filter(|(k, _)| *k != j);
        let product = others.fold(1.0, |product, (_, node)| {
            product * ((s as f32 - node) / (nodes[j] - node))
        });
        f64::from(product)
    };
    let (from, to) = (f64::from(nodes[0]), f64::from(to));
    let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
    let pair = |(x, weight): &(f64, f64)| {
        weight * (polynomial(middle - half * x) + polynomial(middle + half * x))
    };
    let (inner, outer) = KRONROD.split_at(5);
    let sum = |pairs: &[(f64, f64)], start: f64| {
        pairs.iter().map(pair).fold(start, |sum, term| sum + term)
    };
    half * sum(outer, sum(inner, KRONROD_CENTRE * polynomial(middle)))
}

/// Weight of the middle in the 21-point rule of Kronrod.
const KRONROD_CENTRE: f64 = 0.149_445_554_002_916_9;

/// Its other nodes on (0, 1) and their weights, in QUADPACK's order of summation: first those of the 10-point rule of Gauss.
const KRONROD: [(f64, f64); 10] = [
    (0.973_906_528_517_171_7, 0.032_558_162_307_964_725),
    (0.865_063_366_688_984_5, 0.075_039_674_810_919_96),
    (0.679_409_568_299_024_4, 0.109_387_158_802_297_64),
    (0.433_395_394_129_247_2, 0.134_709_217_311_473_34),
    (0.148_874_338_981_631_22, 0.147_739_104_901_338_5),
    (0.995_657_163_025_808_1, 0.011_694_638_867_371_874),
    (0.930_157_491_355_708_2, 0.054_755_896_574_351_995),
    (0.780_817_726_586_416_9, 0.093_125_454_583_697_6),
    (0.562_757_134_668_604_7, 0.123_491_976_262_065_85),
    (0.294_392_862_701_460_2, 0.142_775_938_577_060_1),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adams::lagrange_integrals;

    #[test]
    fn numerical_weights_are_the_exact_ones_to_single_precision() {
        let nodes = [1.25_f32, 1.5, 2.0, 3.5, 4.0];
        let wide: Vec<f64> = nodes.iter().copied().map(f64::from).collect();
        for count in 1..=nodes.len() {
            let exact = lagrange_integrals(&wide[..count], 1.0);
            for (j, exact) in exact.into_iter().enumerate() {
                let found = lagrange_integral(&nodes[..count], j, 1.0);
                assert!((found - exact).abs() < 1e-7, "{found} {exact}");
            }
        }
    }

    #[test]
    fn churn_is_bounded_and_local() {
        let churn = Churn {
            amount: 100.0,
            tmin: 0.5,
            tmax: 2.0,
            noise: 1.0,
        };
        assert_eq!(
            churn.at(0.4, 10),
            Churned {
                sigma: 0.4,
                noise: 0.0
            }
        );
        let churned = churn.at(1.0, 10);
        assert!(
            (f64::from(churned.sigma) - SQRT_2).abs() < 1e-7,
            "{churned:?}"
        );
        assert!((churned.noise - 1.0).abs() < 1e-6, "{churned:?}");
    }

    #[test]
    fn ancestral_steps_keep_the_variance() {
        for eta in [0.0, 0.5, 1.0, 3.0] {
            let (down, up) = ancestral_bounded(2.0, 1.5, eta);
            assert!((down.hypot(up) - 1.5).abs() < 1e-6, "{down} {up}");
        }
        assert_eq!(ancestral_bounded(2.0, 1.5, 3.0), (0.0, 1.5));
    }
}
