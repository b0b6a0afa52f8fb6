//! Denoising score matching: at one level, on a ladder of levels, and on a continuum.
//!
//! The three differ in the levels that the caller draws, and in nothing else: the same kernel for every row, one of a
//! ladder ([`noise_schedule::Grid`] holds such), or quantiles of a [`noise_schedule::LevelDistribution`].

use noise_schedule::Kernel;
use tch::Tensor;

use super::{Penalty, diffuse, mix, per_row, row_dot, values};
use crate::{DenoisingTerm, Preconditioner, Weighting};

/// weight · ‖D(x) − x₀‖² with x = α x₀ + σ ε, summed over coordinates: denoising score matching (Vincent 2011).
///
/// Computed as weight · out² · ‖F − target‖² with target = (x₀ − skip · x)/out = p · x₀ + q · ε from
/// [`Preconditioner::target_at`], which keeps its digits at low noise in `f32`.
/// Deterministic: `noise` is ε, standard normal, drawn by the caller.
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::{Edm, EdmWeight, torch::denoising_loss};
/// use tch::{Kind, Tensor};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let x0 = Tensor::from_slice(&[0.5, -0.2]).view([2, 1]);
/// let noise = Tensor::from_slice(&[1.0, -0.3]).view([2, 1]);
/// let levels = [Kernel::variance_exploding(0.1)?, Kernel::variance_exploding(5.0)?];
/// let w = Tensor::from(0.3).set_requires_grad(true);
/// let net = |x: &Tensor, label: &Tensor| (x + label.unsqueeze(1)) * &w;
/// let (p, weight) = (Edm::new(0.5)?, EdmWeight::new(0.5)?);
/// let loss = denoising_loss(&net, &p, &weight, &x0, &noise, &levels);
/// assert_eq!(loss.size(), [2]);
/// let gradient = Tensor::run_backward(&[loss.mean(Kind::Double)], &[&w], false, false);
/// assert!(gradient[0].double_value(&[]).is_finite());
/// # Ok(())
/// # }
/// ```
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `levels`: B kernels; returns \[B\].
///
/// # Panics
/// Unless there is one level per row and shapes agree, and where weight · out² or the target is not finite: at σ = 0 under a
/// weight that has no bound there, and at α = 0 where the row has none.
pub fn denoising_loss(
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    p: &dyn Preconditioner,
    w: &dyn Weighting,
    x0: &Tensor,
    noise: &Tensor,
    levels: &[Kernel],
) -> Tensor {
    let terms = terms(p, w, levels);
    let error = residual(net, &terms, x0, noise, levels);
    row_dot(&error, &error) * values(x0, &terms, |t| t.factor)
}

/// ρ(√weight · (D(x) − x₀)) with x = α x₀ + σ ε: denoising under another penalty than the square.
///
/// The residual is in the unit in which the weight is uniform: the noise under [`Snr`](crate::Snr), v under
/// [`SnrPlusOne`](crate::SnrPlusOne), EDM's F under [`EdmWeight`](crate::EdmWeight), x₀ under [`Uniform`](crate::Uniform).
/// With [`Squared`](super::Squared) it is [`denoising_loss`]; every other penalty has another minimiser than the posterior mean.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `levels`: B kernels; returns \[B\].
///
/// # Panics
/// As [`denoising_loss`].
pub fn denoising_loss_under(
    penalty: &dyn Penalty,
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    p: &dyn Preconditioner,
    w: &dyn Weighting,
    x0: &Tensor,
    noise: &Tensor,
    levels: &[Kernel],
) -> Tensor {
    let error = residual(net, &terms(p, w, levels), x0, noise, levels);
    penalty.of(&(error * per_row(x0, levels, |k| (w.weight(k).sqrt() * p.at(k).out).abs())))
}

/// σ^p · ½‖s(x) + ε/σ‖² with x = α x₀ + σ ε: denoising in terms of the score (Vincent 2011).
///
/// p is `power`; p = 2 gives every level of a ladder a loss of about the same size (Song and Ermon 2019, equation 6).
/// p = 0 is one level as Vincent writes it: its mean is ½ E‖s − ∇ log q_σ‖² + ½ (D/σ² − J(q_σ)), J the Fisher
/// information of the noisy data.
/// Computed as ½‖σ^{p/2} s + σ^{p/2 − 1} ε‖², without a second derivative.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `levels`: B kernels; returns \[B\].
///
/// # Panics
/// Unless there is one level per row and shapes agree, and at σ = 0.
pub fn score_denoising_loss(
    score: &dyn Fn(&Tensor) -> Tensor,
    x0: &Tensor,
    noise: &Tensor,
    levels: &[Kernel],
    power: f64,
) -> Tensor {
    for k in levels {
        assert!(0.0 < k.sigma(), "there is no score to denoise at sigma = 0");
    }
    let s = score(&diffuse(x0, noise, levels));
    let error = mix(
        &s,
        noise,
        levels,
        |k| k.sigma().powf(0.5 * power),
        |k| k.sigma().powf(0.5 * power - 1.0),
    );
    row_dot(&error, &error) * 0.5
}

/// F(input · x, label) − target.
fn residual(
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    terms: &[DenoisingTerm],
    x0: &Tensor,
    noise: &Tensor,
    levels: &[Kernel],
) -> Tensor {
    let x = diffuse(x0, noise, levels);
    let answer = net(
        &(&x * per_row(&x, terms, |t| t.input)),
        &values(&x, terms, |t| t.label),
    );
    answer - target(terms, x0, noise)
}

/// The terms of all levels.
pub(super) fn terms(
    p: &dyn Preconditioner,
    w: &dyn Weighting,
    levels: &[Kernel],
) -> Vec<DenoisingTerm> {
    let levels = levels.iter();
    levels.map(|&k| DenoisingTerm::at(p, w, k)).collect()
}

/// p · x₀ + q · ε.
pub(super) fn target(terms: &[DenoisingTerm], x0: &Tensor, noise: &Tensor) -> Tensor {
    mix(x0, noise, terms, |t| t.target.0, |t| t.target.1)
}
