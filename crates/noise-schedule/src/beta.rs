//! Named tables of betas: the discrete schedules of the literature, from data to noise.

use std::f64::consts::PI;

use crate::Error;
use crate::error::{check_finite, check_positive};
use crate::kernel::sigmoid;
use crate::laplace::laplace_deviate;

/// A recipe for the betas of a discrete schedule: beta_i is the variance that level i adds,
/// q(x_i | x_{i−1}) = N(√(1 − beta_i) x_{i−1}, beta_i I), i = 1 … N.
///
/// Below, s = (i − 1)/(N − 1) runs from 0 to 1 over the levels (s = 0 for one level).
/// Recipes that prescribe alpha_bar(t) have beta_i = min(1 − alpha_bar(i/N)/alpha_bar((i−1)/N), 0.999),
/// the cap of Nichol & Dhariwal 2021.
///
/// [`betas`](BetaSchedule::betas) gives them in `f64`; [`single::Table`](crate::single::Table) as other toolkits round them.
///
/// ```
/// use noise_schedule::{BetaSchedule, Discrete};
/// let betas = BetaSchedule::ho2020().betas(1000)?;
/// assert_eq!((betas[0], betas[999]), (1e-4, 0.02));
/// assert_eq!(Discrete::from_betas(&betas)?, Discrete::ho2020());
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "beta_schedule")]
#[doc(alias = "get_named_beta_schedule")]
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BetaSchedule {
    /// beta = start + s (end − start).
    ///
    /// Ho et al. 2020 (<https://arxiv.org/abs/2006.11239>), section 4.
    Linear {
        /// First beta.
        start: f64,
        /// Last beta.
        end: f64,
    },
    /// √beta = √start + s (√end − √start).
    ///
    /// The schedule of latent diffusion, Rombach et al. 2022 (<https://arxiv.org/abs/2112.10752>); `quad` in the code of Ho et al.
    #[doc(alias = "quad")]
    ScaledLinear {
        /// First beta.
        start: f64,
        /// Last beta.
        end: f64,
    },
    /// beta = start + sigmoid(−6 + 12 s) (end − start), the `sigmoid` of diffusers.
    ///
    /// Not the sigmoid of alpha_bar, which is [`Sigmoid`](BetaSchedule::Sigmoid).
    Logistic {
        /// The beta approached at the first level.
        start: f64,
        /// The beta approached at the last level.
        end: f64,
    },
    /// alpha_bar(t) ∝ cos²((π/2) (t + offset)/(1 + offset)).
    ///
    /// Nichol & Dhariwal 2021 (<https://arxiv.org/abs/2102.09672>), equation 17.
    #[doc(alias = "squaredcos_cap_v2")]
    Cosine {
        /// The offset s, not negative.
        offset: f64,
    },
    /// alpha_bar(t) = (v(1) − v(t))/(v(1) − v(0)), v(t) = sigmoid((start + t (end − start))/tau).
    ///
    /// Jabri et al. 2022 (<https://arxiv.org/abs/2212.11972>).
    Sigmoid {
        /// Argument of the sigmoid at t = 0, times tau.
        start: f64,
        /// Argument of the sigmoid at t = 1, times tau; above `start`.
        end: f64,
        /// Temperature, positive.
        tau: f64,
    },
    /// alpha_bar(t) = exp(−rate t): equal betas 1 − exp(−rate/N).
    Exponential {
        /// −d(ln alpha_bar)/dt, positive; 12 in diffusers.
        rate: f64,
    },
    /// alpha_bar = sigmoid(λ), λ(t) = location − scale sign(1/2 − t) ln(1 − |1 − 2t|): λ is Laplace-distributed under uniform t.
    ///
    /// Hang & Gu 2024 (<https://arxiv.org/abs/2407.03297>), whose values are location 0 and scale 0.5.
    Laplace {
        /// Median of the log-SNR.
        location: f64,
        /// Scale of the log-SNR, positive.
        scale: f64,
    },
    /// The `laplace` of diffusers: √sigmoid(λ) in the place of alpha_bar, with 1e-6 added under the logarithm.
    ///
    /// It takes alpha for alpha_bar, and so has less noise than [`Laplace`](BetaSchedule::Laplace); for reproducing it only.
    LaplaceRoot,
    /// The same beta at every level.
    Constant {
        /// The beta.
        beta: f64,
    },
    /// beta_i = 1/(N − i + 1), for which alpha_bar = 1 − i/N falls linearly to zero; the last beta is 1.
    ///
    /// `jsd` in the code of Ho et al.; the diffusion of Sohl-Dickstein et al. 2015 (<https://arxiv.org/abs/1503.03585>) for binary data.
    #[doc(alias = "jsd")]
    Reciprocal,
    /// Linear from `start` to `end` over the first ⌊fraction N⌋ levels, `end` from there on.
    ///
    /// `warmup10` and `warmup50` in the code of Ho et al. are the fractions 0.1 and 0.5.
    WarmUp {
        /// First beta, if the warm-up has a level.
        start: f64,
        /// Last beta.
        end: f64,
        /// Share of the levels that warm up, in [0, 1].
        fraction: f64,
    },
}

/// The cap on betas that alpha_bar prescribes: Nichol & Dhariwal 2021, section 3.2.
const MAX_BETA: f64 = 0.999;

impl BetaSchedule {
    /// Linear from 1e-4 to 0.02, the values of Ho et al. 2020 for 1000 levels.
    pub fn ho2020() -> BetaSchedule {
        BetaSchedule::Linear {
            start: 1e-4,
            end: 0.02,
        }
    }

    /// Linear from 0.1/N to 20/N: the betas of Ho et al. times 1000/N, so that N does not change how noisy the last level is.
    ///
    /// Nichol & Dhariwal 2021 and Song et al. 2021 (<https://arxiv.org/abs/2011.13456>) do so.
    /// Twenty levels end in pure noise (beta = 1), and fewer are too few.
    pub fn nichol2021_linear(levels: usize) -> BetaSchedule {
        let scale = 1000.0 / levels as f64;
        BetaSchedule::Linear {
            start: scale * 1e-4,
            end: scale * 0.02,
        }
    }

    /// Cosine with offset 0.008, the value of Nichol & Dhariwal 2021.
    pub fn nichol2021_cosine() -> BetaSchedule {
        BetaSchedule::Cosine { offset: 0.008 }
    }

    /// Scaled-linear from 0.00085 to 0.012, the values of Stable Diffusion (Rombach et al. 2022).
    pub fn rombach2022() -> BetaSchedule {
        BetaSchedule::ScaledLinear {
            start: 0.00085,
            end: 0.012,
        }
    }

    /// Sigmoid of start −3, end 3 and tau 1, the values of Jabri et al. 2022.
    pub fn jabri2022() -> BetaSchedule {
        BetaSchedule::Sigmoid {
            start: -3.0,
            end: 3.0,
            tau: 1.0,
        }
    }

    /// Laplace of location 0 and scale 0.5, the values of Hang & Gu 2024.
    pub fn hang2024() -> BetaSchedule {
        BetaSchedule::Laplace {
            location: 0.0,
            scale: 0.5,
        }
    }

    /// The betas of this many levels, from data to noise.
    ///
    /// # Errors
    /// [`Error::NoDiscreteLevels`] for none;
    /// [`Error::NotPositive`] for a rate, scale or temperature that is not, [`Error::NotFinite`] for such a location; [`Error::CosineOffset`] for a negative offset;
    /// [`Error::Fraction`] for a fraction outside [0, 1]; [`Error::SigmoidRange`] unless start < end;
    /// [`Error::DiscreteBeta`] if the parameters lead to a beta outside (0, 1); the last may be 1.
    pub fn betas(self, levels: usize) -> Result<Vec<f64>, Error> {
        let betas = match self {
            BetaSchedule::Linear { start, end } => line(start, end, levels).collect(),
            BetaSchedule::ScaledLinear { start, end } => line(start.sqrt(), end.sqrt(), levels)
                .map(|root| root * root)
                .collect(),
            BetaSchedule::Logistic { start, end } => line(-6.0, 6.0, levels)
                .map(|z| start + sigmoid(z) * (end - start))
                .collect(),
            BetaSchedule::Constant { beta } => vec![beta; levels],
            BetaSchedule::Reciprocal => (0..levels).map(|i| 1.0 / (levels - i) as f64).collect(),
            BetaSchedule::WarmUp {
                start,
                end,
                fraction,
            } => {
                if !(0.0..=1.0).contains(&fraction) {
                    return Err(Error::Fraction { fraction });
                }
                let warm = (fraction * levels as f64) as usize;
                let mut betas: Vec<f64> = line(start, end, warm).collect();
                betas.resize(levels, end);
                betas
            }
            BetaSchedule::Cosine { offset } => {
                if !(offset.is_finite() && 0.0 <= offset) {
                    return Err(Error::CosineOffset { offset });
                }
                let angle = |t: f64| (t + offset) / (1.0 + offset) * PI / 2.0;
                return betas_for_alpha_bar(levels, MAX_BETA, |t| angle(t).cos().powi(2));
            }
            BetaSchedule::Sigmoid { start, end, tau } => {
                check_positive("sigmoid schedule: tau", tau)?;
                if !(start < end && (end - start).is_finite()) {
                    return Err(Error::SigmoidRange { start, end });
                }
                let v = |t: f64| sigmoid((start + t * (end - start)) / tau);
                return betas_for_alpha_bar(levels, MAX_BETA, |t| {
                    (v(1.0) - v(t)) / (v(1.0) - v(0.0))
                });
            }
            BetaSchedule::Exponential { rate } => {
                check_positive("exponential schedule: rate", rate)?;
                return betas_for_alpha_bar(levels, MAX_BETA, |t| (-rate * t).exp());
            }
            BetaSchedule::Laplace { location, scale } => {
                check_finite("Laplace schedule: location", location)?;
                check_positive("Laplace schedule: scale", scale)?;
                return betas_for_alpha_bar(levels, MAX_BETA, |t| {
                    sigmoid(location - laplace_deviate(t, 0.0) * scale)
                });
            }
            BetaSchedule::LaplaceRoot => {
                return betas_for_alpha_bar(levels, MAX_BETA, |t| {
                    let snr = (-0.5 * laplace_deviate(t, 1e-6)).exp();
                    (snr / (1.0 + snr)).sqrt()
                });
            }
        };
        check_betas(&betas)?;
        Ok(betas)
    }
}

/// The betas that follow an alpha_bar given on [0, 1], beta_i = min(1 − alpha_bar(i/N)/alpha_bar((i−1)/N), max_beta), i = 1 … N.
///
/// `alpha_bar` may start below 1: the betas are those of alpha_bar(t)/alpha_bar(0).
///
/// # Errors
/// [`Error::NoDiscreteLevels`] for no levels; [`Error::DiscreteBeta`] if a beta is not in (0, 1), as where `alpha_bar` does not fall.
///
/// ```
/// let betas = noise_schedule::betas_for_alpha_bar(10, 0.999, |t| 1.0 - t)?;
/// assert!((betas[0] - 0.1).abs() < 1e-15);
/// assert_eq!(betas[9], 0.999);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
pub fn betas_for_alpha_bar(
    levels: usize,
    max_beta: f64,
    alpha_bar: impl Fn(f64) -> f64,
) -> Result<Vec<f64>, Error> {
    let mut before = alpha_bar(0.0);
    let betas: Vec<f64> = (1..=levels)
        .map(|i| {
            let after = alpha_bar(i as f64 / levels as f64);
            let beta = 1.0 - after / before;
            before = after;
            // Not `min`, which would turn NaN into the cap.
            if max_beta < beta { max_beta } else { beta }
        })
        .collect();
    check_betas(&betas)?;
    Ok(betas)
}

/// `levels` numbers from `start` to `end`, equally spaced.
fn line(start: f64, end: f64, levels: usize) -> impl Iterator<Item = f64> {
    let intervals = (levels.max(2) - 1) as f64;
    (0..levels).map(move |i| start + (end - start) * i as f64 / intervals)
}

/// Refuses betas outside (0, 1), but for the last, which may be 1; and none at all.
pub(crate) fn check_betas(betas: &[f64]) -> Result<(), Error> {
    let last = betas.len().checked_sub(1).ok_or(Error::NoDiscreteLevels)?;
    for (index, &beta) in betas.iter().enumerate() {
        if !(0.0 < beta && (beta < 1.0 || (beta == 1.0 && index == last))) {
            return Err(Error::DiscreteBeta { index, beta });
        }
    }
    Ok(())
}
