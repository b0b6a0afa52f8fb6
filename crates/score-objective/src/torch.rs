//! Losses on tensors, and networks as denoisers and scores.
//!
//! A network is a closure `(x, label) → F` with x of shape \[B, …\] and one label per row, \[B\].
//! Coefficients are computed in `f64` and cast once to the kind and device of x.
//! Nothing here draws random numbers: noise, levels and directions are arguments.
//! A loss is one number per row, \[B\]; take its mean to train.
//!
//! # Panics
//! All functions panic where shapes disagree: the number of levels must be B.

use noise_schedule::Kernel;
use tch::Tensor;

use crate::{Preconditioner, Weighting};

/// D(x; k) = skip · x + out · F(input · x, label), row by row.
///
/// # Shapes
/// `x`: \[B, …\]; `levels`: B kernels; returns the shape of `x`.
///
/// # Panics
/// Unless there is one level per row.
pub fn denoise(
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    p: &dyn Preconditioner,
    x: &Tensor,
    levels: &[Kernel],
) -> Tensor {
    x * per_row(x, levels, |k| p.at(k).skip)
        + evaluate(net, p, x, levels) * per_row(x, levels, |k| p.at(k).out)
}

/// The score (α D − x)/σ² as a · x + b · F with [`Preconditioner::score_at`]: no difference of near-equal terms.
///
/// # Shapes
/// `x`: \[B, …\]; `levels`: B kernels; returns the shape of `x`.
///
/// # Panics
/// Unless there is one level per row, and at σ = 0.
pub fn score(
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    p: &dyn Preconditioner,
    x: &Tensor,
    levels: &[Kernel],
) -> Tensor {
    for k in levels {
        assert!(0.0 < k.sigma(), "a denoiser implies no score at sigma = 0");
    }
    x * per_row(x, levels, |k| p.score_at(k).0)
        + evaluate(net, p, x, levels) * per_row(x, levels, |k| p.score_at(k).1)
}

/// weight · ‖D(x) − x₀‖² with x = α x₀ + σ ε, summed over coordinates: denoising score matching (Vincent 2011).
///
/// Computed as weight · out² · ‖F − target‖² with target = (x₀ − skip · x)/out = p · x₀ + q · ε from
/// [`Preconditioner::target_at`], which keeps its digits at low noise in `f32`.
/// Deterministic: `noise` is ε, standard normal, drawn by the caller.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `levels`: B kernels; returns \[B\].
///
/// # Panics
/// Unless there is one level per row and shapes agree, and where weight · out² or the target is not finite (σ = 0,
/// unless the network predicts the clean sample under a finite weight).
pub fn denoising_loss(
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    p: &dyn Preconditioner,
    w: &dyn Weighting,
    x0: &Tensor,
    noise: &Tensor,
    levels: &[Kernel],
) -> Tensor {
    assert_eq!(
        x0.size(),
        noise.size(),
        "the noise must have the shape of x0"
    );
    // In f64 before the cast: weight and out² may each leave the range of f32 where their product does not.
    let factor = |k: Kernel| w.weight(k) * p.at(k).out.powi(2);
    for &k in levels {
        let (from_x0, from_noise) = p.target_at(k);
        assert!(
            (factor(k) * (from_x0 + from_noise)).is_finite(),
            "the loss is not defined at alpha = {}, sigma = {}",
            k.alpha(),
            k.sigma()
        );
    }
    let mix = |x0_share: &dyn Fn(Kernel) -> f64, noise_share: &dyn Fn(Kernel) -> f64| {
        x0 * per_row(x0, levels, x0_share) + noise * per_row(x0, levels, noise_share)
    };
    let x = mix(&|k| k.alpha(), &|k| k.sigma());
    let target = mix(&|k| p.target_at(k).0, &|k| p.target_at(k).1);
    let error = evaluate(net, p, &x, levels) - target;
    row_dot(&error, &error) * values(x0, levels, factor)
}

/// ½‖s(x)‖² + vᵀ∇(vᵀs(x)): sliced score matching with variance reduction (SSM-VR; Song, Garg, Shi and Ermon 2019).
///
/// Its mean over x ~ q and directions v with E\[v vᵀ\] = I is ½ E‖s − ∇ log q‖² − ½ J(q), J the Fisher information.
/// Needs no noise level and no exact score.
/// ∇(vᵀs) is taken by a backward pass that can be differentiated again, so the loss trains the parameters of `score`.
/// `x` is detached: no gradient flows to where it came from.
/// Rows must not see each other inside `score` (no batch statistics).
///
/// # Shapes
/// `x`, `directions`: \[B, …\]; returns \[B\].
///
/// # Panics
/// If shapes disagree, or under a guard that switches gradients off.
pub fn sliced_score_matching(
    score: &dyn Fn(&Tensor) -> Tensor,
    x: &Tensor,
    directions: &Tensor,
) -> Tensor {
    assert_eq!(
        x.size(),
        directions.size(),
        "directions must have the shape of x"
    );
    let x = x.detach().set_requires_grad(true);
    let s = score(&x);
    let energy = row_dot(&s, &s) * 0.5;
    let projected = (&s * directions).sum(s.kind());
    assert!(
        projected.requires_grad(),
        "score matching needs gradients: no guard, and a score that depends on x"
    );
    let gradient = Tensor::run_backward(&[projected], &[&x], true, true).swap_remove(0);
    // A score that depends on parameters and not on x has no gradient at all: its divergence is zero.
    if gradient.defined() {
        energy + row_dot(&gradient, directions)
    } else {
        energy
    }
}

/// ½‖(s₊ + s₋)/2‖² + vᵀ(s₊ − s₋)/(2h) with s± = s(x ± h v): finite-difference sliced score matching.
///
/// h is `step`, in units of `directions`. Two forward passes and no second derivative (FD-SSM; Pang et al. 2020).
/// For an affine score it equals [`sliced_score_matching`] at every h; otherwise it differs by O(h²), so it is
/// unbiased in the limit h → 0, until h ‖v‖ nears the rounding of x.
/// On data without a density, h ‖v‖ acts as a noise level of its own.
///
/// # Shapes
/// `x`, `directions`: \[B, …\]; returns \[B\].
///
/// # Panics
/// If shapes disagree, or unless 0 < `step` < ∞.
pub fn finite_difference_score_matching(
    score: &dyn Fn(&Tensor) -> Tensor,
    x: &Tensor,
    directions: &Tensor,
    step: f64,
) -> Tensor {
    assert_eq!(
        x.size(),
        directions.size(),
        "directions must have the shape of x"
    );
    assert!(
        0.0 < step && step < f64::INFINITY,
        "the step must be positive, not {step}"
    );
    let offset = directions * step;
    let (above, below) = (score(&(x + &offset)), score(&(x - &offset)));
    let middle = (&above + &below) * 0.5;
    row_dot(&middle, &middle) * 0.5 + row_dot(&(above - below), directions) * (0.5 / step)
}

/// F(input · x, label).
fn evaluate(
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    p: &dyn Preconditioner,
    x: &Tensor,
    levels: &[Kernel],
) -> Tensor {
    net(
        &(x * per_row(x, levels, |k| p.at(k).input)),
        &values(x, levels, |k| p.at(k).label),
    )
}

/// One number per level, of the kind and on the device of `like`: [B].
fn values(like: &Tensor, levels: &[Kernel], f: impl Fn(Kernel) -> f64) -> Tensor {
    let rows = like.size().first().copied();
    assert_eq!(
        rows,
        Some(levels.len() as i64),
        "there must be one level per row"
    );
    let values: Vec<f64> = levels.iter().map(|&k| f(k)).collect();
    Tensor::from_slice(&values)
        .to_kind(like.kind())
        .to_device(like.device())
}

/// [`values`] shaped to multiply rows: [B, 1, …].
fn per_row(like: &Tensor, levels: &[Kernel], f: impl Fn(Kernel) -> f64) -> Tensor {
    let mut shape = vec![1; like.dim()];
    shape[0] = levels.len() as i64;
    values(like, levels, f).view(shape.as_slice())
}

/// The inner product of each row of `a` with the same row of `b`: [B].
fn row_dot(a: &Tensor, b: &Tensor) -> Tensor {
    (a * b)
        .reshape([a.size()[0], -1])
        .sum_dim_intlist(1, false, a.kind())
}
