//! Weights and level distributions together: what a loss counts of each log-SNR.

use noise_schedule::{Kernel, LevelDistribution};

use super::Weighting;

/// The density of λ = ln snr at the level `k` when levels are drawn from `levels`: p(λ) = −du/dλ of the inverse CDF.
///
/// 0 beyond the cleanest and the noisiest level.
/// Found from the quantiles alone, by bisection and differences of fourth order: about 70 quantiles, relative error
/// about 1e-8 but in the outermost 1e-6 of a distribution.
/// The distribution must rise in noise with u, as those of `noise-schedule` do.
/// One with atoms (a fixed level, the levels of a discrete set) has no density, and the value means nothing.
///
/// ```
/// use noise_schedule::{Kernel, LogUniform};
/// use score_objective::log_snr_density;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let levels = LogUniform::new(0.1, 10.0)?; // λ = −2 ln σ is uniform on an interval of length 2 ln 100
/// let density = log_snr_density(&levels, Kernel::variance_exploding(0.7)?);
/// assert!((density * 2.0 * 100.0_f64.ln() - 1.0).abs() < 1e-8);
/// # Ok(())
/// # }
/// ```
pub fn log_snr_density(levels: &dyn LevelDistribution, k: Kernel) -> f64 {
    let log_snr = |u: f64| levels.quantile(u).log_snr();
    let (mut low, mut high) = (EDGE, 1.0 - EDGE);
    let target = k.log_snr();
    if log_snr(0.0) < target || target < log_snr(1.0) {
        return 0.0;
    }
    while f64::EPSILON < (high - low) / high {
        let middle = 0.5 * (low + high);
        if target < log_snr(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let u = 0.5 * (low + high);
    let step = 1e-3 * u.min(1.0 - u);
    let difference = |steps: f64| log_snr(u - steps * step) - log_snr(u + steps * step);
    12.0 * step / (8.0 * difference(1.0) - difference(2.0))
}

/// The effective weight w(λ) p(λ): what a loss ‖D − x₀‖² counts per unit of log-SNR, weighting and draws together.
///
/// Two trainings with the same effective weight have the same expected loss, up to a factor (Kingma and Gao 2023).
/// For the effective weight on another target, multiply by the square of its `out`, as [`Weighting::on`] does.
pub fn effective_weight(
    weighting: &dyn Weighting,
    levels: &dyn LevelDistribution,
    k: Kernel,
) -> f64 {
    weighting.weight(k) * log_snr_density(levels, k)
}

/// A weight per unit of log-SNR, made a weight for levels that are drawn from `levels`: w(λ)/p(λ).
///
/// The expected loss is ∫ w(λ) E‖D − x₀‖² dλ over the range of the levels, whichever distribution draws them: only the
/// variance of its estimate depends on the draws (importance sampling; Kingma et al. 2021).
/// Infinite beyond that range.
/// [`log_snr_density`] is evaluated at each call.
#[doc(alias = "importance sampling")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerLogSnr<W, L> {
    weighting: W,
    levels: L,
}

impl<W: Weighting, L: LevelDistribution> PerLogSnr<W, L> {
    /// `weighting` per unit of log-SNR, under draws from `levels`.
    pub fn new(weighting: W, levels: L) -> PerLogSnr<W, L> {
        PerLogSnr { weighting, levels }
    }
}

impl<W: Weighting, L: LevelDistribution> Weighting for PerLogSnr<W, L> {
    fn weight(&self, k: Kernel) -> f64 {
        let density = log_snr_density(&self.levels, k);
        if density == 0.0 {
            return f64::INFINITY;
        }
        self.weighting.weight(k) / density
    }
}

/// How near to 0 and 1 a probability is looked for: differences need room on both sides.
const EDGE: f64 = 1e-9;
