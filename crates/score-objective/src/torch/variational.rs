//! The variational bound on tensors, and networks that learn the variance of their reverse steps.

use noise_schedule::Kernel;
use tch::{Kind, Tensor};

use super::{denoising, diffuse, mix, per_row, row_dot, row_sum, same_shape, values};
use crate::variational::{Bins, NormalCdf, Posterior, ReverseVariance};
use crate::{Preconditioner, Weighting};

/// p(x_s given x_t) of a model: a normal distribution with a variance per coordinate.
#[derive(Debug)]
pub struct ReverseStep {
    /// Its mean: \[B, …\].
    pub mean: Tensor,
    /// The logarithm of its variance: \[B, …\], or anything that broadcasts to it.
    pub log_variance: Tensor,
}

/// A model of the reverse process: (x, levels of its rows, levels to go to) → p of each row.
pub type Reverse<'a> = dyn Fn(&Tensor, &[Kernel], &[Kernel]) -> ReverseStep + 'a;

/// How the last step, to the level without noise, becomes a probability of discrete data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoder {
    /// The values that a coordinate of the data can take.
    pub bins: Bins,
    /// How probabilities of bins are computed.
    pub cdf: NormalCdf,
    /// The smallest variance that [`ReverseStep::fixed`] and [`ReverseStep::learned_range`] give to a step, > 0.
    ///
    /// The posterior of the last step has none; guided-diffusion takes that of the step before.
    pub least_variance: f64,
}

impl ReverseStep {
    /// The posterior at the estimate D of the clean sample, with a variance that is the same for all coordinates
    /// (Ho et al. 2020).
    ///
    /// # Shapes
    /// `denoised`, `x`: \[B, …\]; `from`, `to`: B kernels; `log_variance` is \[B, 1, …\].
    ///
    /// # Panics
    /// If shapes disagree or a step does not go from noise to data.
    pub fn fixed(
        denoised: &Tensor,
        x: &Tensor,
        from: &[Kernel],
        to: &[Kernel],
        variance: ReverseVariance,
        decoder: Decoder,
    ) -> ReverseStep {
        let steps = posteriors(from, to);
        ReverseStep {
            mean: posterior_mean(denoised, x, &steps),
            log_variance: per_row(x, &steps, |step| {
                step.variance(variance).max(decoder.least_variance).ln()
            }),
        }
    }

    /// The posterior at the estimate D with ln variance = f ln large + (1 − f) ln small, f = (`output` + 1)/2
    /// (Nichol and Dhariwal 2021, equation 15).
    ///
    /// `small` and `large` are [`ReverseVariance::FixedSmall`] and [`ReverseVariance::FixedLarge`].
    ///
    /// # Shapes
    /// `denoised`, `output`, `x`: \[B, …\]; `from`, `to`: B kernels.
    ///
    /// # Panics
    /// If shapes disagree or a step does not go from noise to data.
    pub fn learned_range(
        denoised: &Tensor,
        output: &Tensor,
        x: &Tensor,
        from: &[Kernel],
        to: &[Kernel],
        decoder: Decoder,
    ) -> ReverseStep {
        same_shape("the output", output, x);
        let steps = posteriors(from, to);
        let log = |choice| {
            per_row(x, &steps, move |step| {
                step.variance(choice).max(decoder.least_variance).ln()
            })
        };
        let (small, large) = (
            log(ReverseVariance::FixedSmall),
            log(ReverseVariance::FixedLarge),
        );
        ReverseStep {
            mean: posterior_mean(denoised, x, &steps),
            log_variance: (output + 1.0) * 0.5 * (large - &small) + small,
        }
    }
}

/// KL(N(μ, e^l) ‖ N(μ′, e^{l′})) = ½ Σ (e^{l − l′} − 1 − (l − l′) + (μ − μ′)² e^{−l′}), in nats.
///
/// # Shapes
/// `mean` or `other_mean`: \[B, …\], the rest broadcasts to it; returns \[B\].
#[doc(alias = "normal_kl")]
pub fn gaussian_kl(
    mean: &Tensor,
    log_variance: &Tensor,
    other_mean: &Tensor,
    other_log_variance: &Tensor,
) -> Tensor {
    let excess = log_variance - other_log_variance;
    let shift = (mean - other_mean).square() * (-other_log_variance).exp();
    row_sum(&((excess.expm1() - excess + shift) * 0.5))
}

/// −ln P(x₀) under a normal distribution whose mass is rounded to the nearest of the decoder's values, in nats, summed over
/// coordinates; the outermost bins reach to infinity (Ho et al. 2020, equation 13).
///
/// x₀ must be among the values.
/// Computed in `f64` whatever the kind: bins are narrow.
///
/// # Shapes
/// `x0`, `mean`: \[B, …\]; `log_variance` broadcasts to it; returns \[B\].
///
/// # Panics
/// If shapes disagree.
#[doc(alias = "discretized_gaussian_log_likelihood")]
pub fn discretized_nll(
    x0: &Tensor,
    mean: &Tensor,
    log_variance: &Tensor,
    decoder: Decoder,
) -> Tensor {
    same_shape("the mean", mean, x0);
    let last = decoder.bins.count() - 1;
    let (lowest, highest) = (decoder.bins.value(0), decoder.bins.value(last));
    let half = 0.5 * (highest - lowest) / last as f64;
    let x = x0.to_kind(Kind::Double);
    let precision = (log_variance.to_kind(Kind::Double) * -0.5).exp();
    let centred = &x - mean.to_kind(Kind::Double);
    let (a, b) = ((&centred - half) * &precision, (centred + half) * precision);
    let (first, final_) = (x.lt(lowest + half), x.gt(highest - half));
    let log_probability = match decoder.cdf {
        NormalCdf::Exact => {
            // Mirrored into the lower tail, where differences of the distribution function do not cancel.
            let mirrored = (&a + &b).gt(0.0);
            let low = (-&b).where_self(&mirrored, &a).special_log_ndtr();
            let high = (-&a).where_self(&mirrored, &b).special_log_ndtr();
            let inner = &high + (-(low - &high).expm1()).log();
            let inner = (-a).special_log_ndtr().where_self(&final_, &inner);
            b.special_log_ndtr().where_self(&first, &inner)
        }
        NormalCdf::Tanh => {
            let below = |z: Tensor| {
                let cubic = &z + z.pow_tensor_scalar(3) * 0.044715;
                (cubic * std::f64::consts::FRAC_2_PI.sqrt()).tanh() * 0.5 + 0.5
            };
            let (low, high) = (below(a), below(b));
            let inner = (-&low + 1.0).where_self(&final_, &(&high - low));
            high.where_self(&first, &inner).clamp_min(1e-12).log()
        }
    };
    -row_sum(&log_probability).to_kind(mean.kind())
}

/// One term of the bound: KL(q(x_s given x_t, x₀) ‖ p(x_s given x_t)) for a step between noisy levels, −ln p(x₀ given x_t) for a
/// step to the clean one, in nats (Ho et al. 2020, equation 5).
///
/// Rows may be at different steps; the bound is the sum over the steps of a grid and [`variational_bound`] takes it, or the
/// number of steps times the mean over steps drawn uniformly.
/// With the posterior's own variance the term is [`Posterior::loss_weight`] · ‖D − x₀‖².
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `from`, `to`: B kernels; returns \[B\].
///
/// # Panics
/// If shapes disagree, a step does not go from noise to data, or the level without noise has α ≠ 1.
#[doc(alias = "VLB")]
pub fn variational_term(
    reverse: &Reverse<'_>,
    decoder: Decoder,
    x0: &Tensor,
    noise: &Tensor,
    from: &[Kernel],
    to: &[Kernel],
) -> Tensor {
    same_shape("the noise", noise, x0);
    let x = diffuse(x0, noise, from);
    term(&reverse(&x, from, to), decoder, x0, &x, from, to)
}

/// The whole bound −ln p(x₀) ≤ KL(q(x_T given x₀) ‖ N(0, σ_T² I)) + Σ [`variational_term`], in nats.
///
/// One evaluation of the model per step of `grid`, which goes from the prior's level to the clean one, with its own noise.
/// The prior is N(0, I) where the grid is variance-preserving and N(0, σ_T² I) otherwise: pass its standard deviation.
/// An unbiased estimate for one draw of the noise; keep a guard around it where nothing is trained.
/// [`crate::variational::bits_per_dimension`] converts.
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::torch::{Decoder, ReverseStep, variational_bound};
/// use score_objective::variational::{Bins, NormalCdf, ReverseVariance};
/// use tch::Tensor;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let decoder = Decoder { bins: Bins::eight_bit(), cdf: NormalCdf::Exact, least_variance: 1e-6 };
/// let grid = [Kernel::new(0.1, 0.99)?, Kernel::new(0.999, 0.04)?, Kernel::CLEAN];
/// let x0 = Tensor::from_slice(&[-1.0, 1.0]).view([2, 1]);
/// let noises = [&x0 * 0.3, &x0 * -0.8];
/// let reverse = |x: &Tensor, from: &[Kernel], to: &[Kernel]| {
///     let denoised = x.sign(); // all data are −1 or 1
///     ReverseStep::fixed(&denoised, x, from, to, ReverseVariance::FixedSmall, decoder)
/// };
/// let nats = variational_bound(&reverse, decoder, &x0, &noises, &grid, 1.0);
/// assert!(nats.max().double_value(&[]) < 0.01); // the network knows them from a trace
/// # Ok(())
/// # }
/// ```
///
/// # Shapes
/// `x0`: \[B, …\]; `noises`: one per step, the shape of `x0`; `grid`: one kernel more; returns \[B\].
///
/// # Panics
/// As [`variational_term`], unless there is one noise per step, and unless 0 < `prior_std`.
#[doc(alias = "ELBO")]
#[doc(alias = "calc_bpd_loop")]
pub fn variational_bound(
    reverse: &Reverse<'_>,
    decoder: Decoder,
    x0: &Tensor,
    noises: &[Tensor],
    grid: &[Kernel],
    prior_std: f64,
) -> Tensor {
    assert_eq!(
        noises.len() + 1,
        grid.len(),
        "there must be one noise per step"
    );
    assert!(
        0.0 < prior_std,
        "the prior must have a spread, not {prior_std}"
    );
    let rows = x0.size()[0] as usize;
    let scalar = |value: f64| {
        Tensor::from(value)
            .to_kind(x0.kind())
            .to_device(x0.device())
    };
    let first = grid[0];
    let mut bound = gaussian_kl(
        &(x0 * first.alpha()),
        &scalar(2.0 * first.sigma().ln()),
        &x0.zeros_like(),
        &scalar(2.0 * prior_std.ln()),
    );
    for (noise, step) in noises.iter().zip(grid.windows(2)) {
        let (from, to) = (vec![step[0]; rows], vec![step[1]; rows]);
        bound += variational_term(reverse, decoder, x0, noise, &from, &to);
    }
    bound
}

/// weight · ‖D − x₀‖² + `share` · [`variational_term`] with a gradient of the latter in the variance alone: learned variance
/// (Nichol and Dhariwal 2021, equation 16).
///
/// `net` is (x, label) → (F, output), and the output sets the variance by [`ReverseStep::learned_range`].
/// The mean of the second term is D without its graph, so the first alone trains F.
/// guided-diffusion adds T/1000 times the term in bits, for T steps, to the error of ε, both as means over coordinates: here,
/// in sums and nats, that is `share` = T/(1000 ln 2) under [`Snr`](crate::Snr).
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `from`, `to`: B kernels; both outputs of `net`: \[B, …\]; returns \[B\].
///
/// # Panics
/// As [`denoising_loss`](super::denoising_loss) and [`variational_term`].
#[doc(alias = "improved DDPM")]
#[expect(
    clippy::too_many_arguments,
    reason = "a network, what it is asked, and a step"
)]
pub fn hybrid_loss(
    net: &dyn Fn(&Tensor, &Tensor) -> (Tensor, Tensor),
    p: &dyn Preconditioner,
    w: &dyn Weighting,
    decoder: Decoder,
    share: f64,
    x0: &Tensor,
    noise: &Tensor,
    from: &[Kernel],
    to: &[Kernel],
) -> Tensor {
    let terms = denoising::terms(p, w, from);
    let x = diffuse(x0, noise, from);
    let (f, output) = net(
        &(&x * per_row(&x, &terms, |t| t.input)),
        &values(&x, &terms, |t| t.label),
    );
    let denoised = mix(&x, &f.detach(), from, |k| p.at(k).skip, |k| p.at(k).out);
    let reverse = ReverseStep::learned_range(&denoised, &output, &x, from, to, decoder);
    let error = f - denoising::target(&terms, x0, noise);
    row_dot(&error, &error) * values(x0, &terms, |t| t.factor)
        + term(&reverse, decoder, x0, &x, from, to) * share
}

/// The term at the noisy point x.
fn term(
    reverse: &ReverseStep,
    decoder: Decoder,
    x0: &Tensor,
    x: &Tensor,
    from: &[Kernel],
    to: &[Kernel],
) -> Tensor {
    same_shape("the mean", &reverse.mean, x0);
    let last = |k: &Kernel| k.sigma() == 0.0;
    for k in to.iter().filter(|k| last(k)) {
        assert_eq!(
            k.alpha(),
            1.0,
            "the level without noise must be the data itself"
        );
    }
    let decoded = to
        .iter()
        .any(last)
        .then(|| discretized_nll(x0, &reverse.mean, &reverse.log_variance, decoder));
    if to.iter().all(last) {
        return decoded.expect("a batch has rows");
    }
    let steps = posteriors(from, to);
    // Rows that are decoded have no divergence; theirs is computed with any variance and left.
    let log_variance = per_row(x0, &steps, |step| {
        let variance = step.variance(ReverseVariance::FixedSmall);
        if 0.0 < variance { variance.ln() } else { 0.0 }
    });
    let divergence = gaussian_kl(
        &posterior_mean(x0, x, &steps),
        &log_variance,
        &reverse.mean,
        &reverse.log_variance,
    );
    match decoded {
        Some(decoded) => {
            let last: Vec<bool> = to.iter().map(last).collect();
            decoded.where_self(
                &Tensor::from_slice(&last).to_device(x0.device()),
                &divergence,
            )
        }
        None => divergence,
    }
}

fn posterior_mean(x0: &Tensor, x: &Tensor, steps: &[Posterior]) -> Tensor {
    same_shape("the denoised sample", x0, x);
    mix(x, x0, steps, Posterior::point, Posterior::clean)
}

fn posteriors(from: &[Kernel], to: &[Kernel]) -> Vec<Posterior> {
    assert_eq!(from.len(), to.len(), "there must be one level per row");
    let steps = from
        .iter()
        .zip(to)
        .map(|(&from, &to)| Posterior::between(from, to).unwrap_or_else(|error| panic!("{error}")));
    steps.collect()
}
