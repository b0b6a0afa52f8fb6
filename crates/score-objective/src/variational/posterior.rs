//! The posterior q(x_s | x_t, x₀) of one reverse step.

use noise_schedule::Kernel;

use crate::Error;

/// q(x_s | x_t, x₀) = N(c_t x_t + c₀ x₀, v) of a step from level t to a cleaner level s.
///
/// With ρ = snr_t/snr_s, in any scale of the kernels:
///
/// ```text
/// c_t = (α_t/α_s) (σ_s/σ_t)²      c₀ = α_s (1 − ρ)      v = σ_s² (1 − ρ)
/// ```
///
/// Ho et al. 2020, equations 6 and 7, where α² + σ² = 1.
/// 1 − ρ is computed without cancellation, so that fine grids lose no digits but those that the kernels lack.
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::variational::{Posterior, ReverseVariance};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let step = Posterior::between(Kernel::new(0.6, 0.8)?, Kernel::CLEAN)?;
/// assert_eq!((step.point(), step.clean()), (0.0, 1.0)); // the last step goes to x₀ …
/// assert_eq!(step.variance(ReverseVariance::FixedSmall), 0.0); // … without noise
/// # Ok(())
/// # }
/// ```
#[doc(alias = "q_posterior")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    noisier: Kernel,
    cleaner: Kernel,
    /// ρ, in [0, 1].
    ratio: f64,
    /// 1 − ρ.
    fall: f64,
}

/// The variance that a model's reverse step is given.
///
/// Other toolkits have `*_log` forms of the first two; they are the same numbers, taken through a logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReverseVariance {
    /// That of the posterior, v: right if the data are one point (β̃ of Ho et al. 2020).
    FixedSmall,
    /// That of the forward step, σ_t² (1 − ρ): right if the data are standard normal (β of Ho et al. 2020).
    FixedLarge,
    /// Between the two, large^fraction · small^(1 − fraction) (Nichol and Dhariwal 2021, equation 15).
    ///
    /// A network with outputs in \[−1, 1\] means fraction = (output + 1)/2.
    #[doc(alias = "learned_range")]
    Range {
        /// 0 is small, 1 is large; values outside extrapolate, as networks do.
        fraction: f64,
    },
    /// What a network says.
    Learned {
        /// Natural logarithm of the variance.
        log_variance: f64,
    },
}

impl Posterior {
    /// The posterior of the step from `noisier` to `cleaner`.
    ///
    /// # Errors
    /// [`Error::StepOrder`] unless the noisier level has noise, the cleaner one has signal, and its log-SNR is not lower.
    pub fn between(noisier: Kernel, cleaner: Kernel) -> Result<Posterior, Error> {
        // √ρ = crossed/straight.
        let straight = cleaner.alpha() * noisier.sigma();
        let crossed = noisier.alpha() * cleaner.sigma();
        // Their difference from products that are not rounded (Kahan).
        let error = (-noisier.alpha()).mul_add(cleaner.sigma(), crossed);
        let difference = cleaner.alpha().mul_add(noisier.sigma(), -crossed) + error;
        if !(0.0 < straight && 0.0 <= difference) {
            return Err(Error::StepOrder {
                from: noisier.log_snr(),
                to: cleaner.log_snr(),
            });
        }
        Ok(Posterior {
            noisier,
            cleaner,
            ratio: (crossed / straight).powi(2),
            fall: difference / straight * (1.0 + crossed / straight),
        })
    }

    /// c_t: the share of the noisy point in the mean.
    #[doc(alias = "posterior_mean_coef2")]
    pub fn point(self) -> f64 {
        let noise = self.cleaner.sigma() / self.noisier.sigma();
        self.noisier.alpha() / self.cleaner.alpha() * noise * noise
    }

    /// c₀: the share of the clean sample in the mean.
    #[doc(alias = "posterior_mean_coef1")]
    pub fn clean(self) -> f64 {
        self.cleaner.alpha() * self.fall
    }

    /// The variance that a model with this choice gives to the step; finite, ≥ 0, and 0 for the step to σ_s = 0 unless
    /// the choice says otherwise.
    ///
    /// Its logarithm is −∞ there: guided-diffusion puts the value of the step before it in its place, others 1e-20;
    /// use `f64::max` with what you want.
    #[doc(alias = "posterior_variance")]
    pub fn variance(self, choice: ReverseVariance) -> f64 {
        let small = self.cleaner.sigma().powi(2) * self.fall;
        let large = self.noisier.sigma().powi(2) * self.fall;
        match choice {
            ReverseVariance::FixedSmall => small,
            ReverseVariance::FixedLarge => large,
            // 0^0 is 1: at a clean end the whole of the range but its upper end is 0.
            ReverseVariance::Range { fraction } => {
                if fraction < 1.0 && small == 0.0 {
                    0.0
                } else {
                    large.powf(fraction) * small.powf(1.0 - fraction)
                }
            }
            ReverseVariance::Learned { log_variance } => log_variance.exp(),
        }
    }

    /// ½ (snr_s − snr_t): the weight on ‖D − x₀‖² of KL(q ‖ p) in nats, for a model with the posterior's variance
    /// (Kingma et al. 2021).
    ///
    /// On ε it is ½ (snr_s/snr_t − 1) = ½ expm1(γ_t − γ_s), γ = −ln snr.
    /// For a loss at one random step of T, multiply by T; as T grows it becomes [`Likelihood`](crate::Likelihood).
    /// Infinite for the step to σ_s = 0, whose term is the decoder's.
    pub fn loss_weight(self) -> f64 {
        0.5 * self.cleaner.snr() * self.fall
    }

    /// ρ = snr_t/snr_s, in \[0, 1\].
    pub fn snr_ratio(self) -> f64 {
        self.ratio
    }
}
