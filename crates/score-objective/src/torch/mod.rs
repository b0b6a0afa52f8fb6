//! Losses on tensors, and networks as denoisers and scores.
//!
//! A network is a closure `(x, label) → F` with x of shape \[B, …\] and one label per row, \[B\].
//! A score, a velocity or an energy is a closure of x that has its levels or times with it.
//! Coefficients are computed in `f64` and cast once to the kind and device of x.
//! Nothing here draws random numbers: noise, levels, times and directions are arguments.
//! A loss is one number per row, \[B\], summed over coordinates; take its mean to train.
//!
//! | objective | function | derivatives of the network in x |
//! |---|---|---|
//! | denoising (DSM): continuous, ladder, one level | [`denoising_loss`], [`denoising_loss_under`], [`score_denoising_loss`] | none |
//! | implicit (ISM), exact trace | [`implicit_score_matching`] | one backward pass per coordinate |
//! | sliced (SSM-VR, which is ISM by Hutchinson's trace) | [`sliced_score_matching`], [`annealed_sliced_score_matching`] | one backward pass |
//! | sliced (SSM) | [`projected_score_matching`] | one backward pass |
//! | sliced, finite differences | [`finite_difference_score_matching`] | none |
//! | flow matching, bridges | [`flow_matching_loss`], [`interpolant_loss`] | none |
//! | variational, learned variance | [`variational_term`], [`hybrid_loss`], [`diffusion_loss`] | none |
//! | consistency, distillation | [`consistency_training_loss`], [`consistency_distillation_loss`], [`progressive_distillation`] | none |
//!
//! # Sources
//! Hyvärinen 2005 (JMLR 6), Vincent 2011 (Neural Computation 23), Song, Garg, Shi and Ermon 2019
//! (<https://arxiv.org/abs/1905.07088>), Song and Ermon 2019 (<https://arxiv.org/abs/1907.05600>), Pang et al. 2020
//! (<https://arxiv.org/abs/2007.03317>), Lipman et al. 2022 (<https://arxiv.org/abs/2210.02747>), Tong et al. 2023
//! (<https://arxiv.org/abs/2302.00482>), Ho et al. 2020 (<https://arxiv.org/abs/2006.11239>), Nichol and Dhariwal 2021
//! (<https://arxiv.org/abs/2102.09672>), Kingma et al. 2021 (<https://arxiv.org/abs/2107.00630>), Karras et al. 2024
//! (<https://arxiv.org/abs/2312.02696>), Song et al. 2023 (<https://arxiv.org/abs/2303.01469>), Song and Dhariwal 2023
//! (<https://arxiv.org/abs/2310.14189>), Salimans and Ho 2022 (<https://arxiv.org/abs/2202.00512>), Ho and Salimans 2022
//! (<https://arxiv.org/abs/2207.12598>), Chen, Zhang and Hinton 2023 (<https://arxiv.org/abs/2208.04202>).
//!
//! # Panics
//! All functions panic where shapes disagree: the number of levels must be B.

mod conditioning;
mod consistency;
mod denoising;
mod finite_difference;
mod flow;
mod gamma;
mod implicit;
mod penalty;
mod sliced;
mod uncertainty;
mod variational;

pub use conditioning::{drop_labels, offset_noise, self_condition};
pub use consistency::{
    OdeStep, consistency_distillation_loss, consistency_training_loss, progressive_distillation,
};
pub use denoising::{denoising_loss, denoising_loss_under, score_denoising_loss};
pub use finite_difference::finite_difference_score_matching;
pub use flow::{entropically_paired, flow_matching_loss, interpolant_loss, optimally_paired};
pub use gamma::{MonotoneGamma, diffusion_loss, discrete_slope, prior_loss, reconstruction_loss};
pub use implicit::{divergence, implicit_score_matching, score_of};
pub use penalty::{Absolute, Charbonnier, Huber, Penalty, PseudoHuber, Squared};
pub use sliced::{
    Directions, annealed_sliced_score_matching, divergence_along, projected_score_matching,
    sliced_score_matching,
};
pub use uncertainty::{LevelUncertainty, uncertainty_loss};
pub use variational::{
    Decoder, Reverse, ReverseStep, discretized_nll, gaussian_kl, hybrid_loss, variational_bound,
    variational_term,
};

use noise_schedule::Kernel;
use tch::Tensor;

use crate::Preconditioner;

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

/// The noisy point x = α x₀ + σ ε, row by row.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `levels`: B kernels; returns the shape of `x0`.
///
/// # Panics
/// Unless there is one level per row and shapes agree.
#[doc(alias = "add_noise")]
#[doc(alias = "q_sample")]
pub fn diffuse(x0: &Tensor, noise: &Tensor, levels: &[Kernel]) -> Tensor {
    same_shape("noise", noise, x0);
    mix(x0, noise, levels, Kernel::alpha, Kernel::sigma)
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

/// a · `x0` + b · `noise`, row by row.
fn mix<T: Copy>(
    x0: &Tensor,
    noise: &Tensor,
    rows: &[T],
    a: impl Fn(T) -> f64,
    b: impl Fn(T) -> f64,
) -> Tensor {
    x0 * per_row(x0, rows, a) + noise * per_row(x0, rows, b)
}

/// One number per item of `rows`, of the kind and on the device of `like`: [B].
fn values<T: Copy>(like: &Tensor, rows: &[T], f: impl Fn(T) -> f64) -> Tensor {
    assert_eq!(
        like.size().first().copied(),
        Some(rows.len() as i64),
        "there must be one level per row"
    );
    let values: Vec<f64> = rows.iter().map(|&row| f(row)).collect();
    Tensor::from_slice(&values)
        .to_kind(like.kind())
        .to_device(like.device())
}

/// [`values`] shaped to multiply rows: [B, 1, …].
fn per_row<T: Copy>(like: &Tensor, rows: &[T], f: impl Fn(T) -> f64) -> Tensor {
    column(&values(like, rows, f), like)
}

/// A tensor [B] shaped to multiply the rows of `like`: [B, 1, …].
fn column(values: &Tensor, like: &Tensor) -> Tensor {
    let mut shape = vec![1; like.dim()];
    shape[0] = -1;
    values.view(shape.as_slice())
}

/// The sum of each row: [B].
fn row_sum(a: &Tensor) -> Tensor {
    a.reshape([a.size()[0], -1])
        .sum_dim_intlist(1, false, a.kind())
}

/// The inner product of each row of `a` with the same row of `b`: [B].
fn row_dot(a: &Tensor, b: &Tensor) -> Tensor {
    row_sum(&(a * b))
}

fn same_shape(name: &str, given: &Tensor, like: &Tensor) {
    assert_eq!(
        given.size(),
        like.size(),
        "{name} must have the shape of the data"
    );
}
