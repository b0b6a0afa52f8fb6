//! Flow matching: a velocity learned along paths from data to noise, or between any two batches.

use ndarray::Array2;
use noise_schedule::{Kernel, Rates};
use tch::{Kind, Tensor};

use super::{diffuse, per_row, row_dot, same_shape};
use crate::{
    Error, Interpolant,
    coupling::{self, Sinkhorn},
};

/// ‖u(x) − (α′ x₀ + σ′ ε)‖² at x = α x₀ + σ ε: conditional flow matching on a Gaussian path
/// (Lipman et al. 2022, theorem 2).
///
/// `levels` and `rates` are those of a schedule at the time of each row; `velocity` has the times with it.
/// With α = 1 − t and σ = t the target is ε − x₀ (CondOT, rectified flow); with cos(πt/2) and sin(πt/2), VP-CFM.
/// Time runs from data to noise: a network of the other direction is −u.
/// It is denoising under another weight: for the velocity (σ′/σ) x + (α′ − α σ′/σ) D(x) the loss is
/// (α′ − α σ′/σ)² ‖D − x₀‖².
/// Multiply the rows by a weight of your own where the density of times is not all of it.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `levels`, `rates`: B each; returns \[B\].
///
/// # Panics
/// If shapes disagree, or where a rate is not finite.
#[doc(alias = "CFM")]
#[doc(alias = "rectified flow")]
pub fn flow_matching_loss(
    velocity: &dyn Fn(&Tensor) -> Tensor,
    x0: &Tensor,
    noise: &Tensor,
    levels: &[Kernel],
    rates: &[Rates],
) -> Tensor {
    for rate in rates {
        assert!(
            rate.alpha.is_finite() && rate.sigma.is_finite(),
            "the velocity is not finite at rates {rate:?}"
        );
    }
    let target = x0 * per_row(x0, rates, |r| r.alpha) + noise * per_row(x0, rates, |r| r.sigma);
    let error = velocity(&diffuse(x0, noise, levels)) - target;
    row_dot(&error, &error)
}

/// ‖u(x) − (a′ x₀ + b′ x₁ + c′ z)‖² at x = a x₀ + b x₁ + c z: flow matching between coupled batches.
///
/// The rows of `x0` and `source` are the ends of a path each.
/// Independent ends give I-CFM, rows matched by [`optimally_paired`] OT-CFM, rows of [`entropically_paired`] on
/// [`Interpolant::bridge`] SB-CFM (Tong et al. 2023).
///
/// # Shapes
/// `x0`, `source`, `noise`: \[B, …\]; `path`: B; returns \[B\].
///
/// # Panics
/// If shapes disagree.
#[doc(alias = "stochastic interpolant")]
#[doc(alias = "SB-CFM")]
pub fn interpolant_loss(
    velocity: &dyn Fn(&Tensor) -> Tensor,
    x0: &Tensor,
    source: &Tensor,
    noise: &Tensor,
    path: &[Interpolant],
) -> Tensor {
    same_shape("the source", source, x0);
    same_shape("the noise", noise, x0);
    let combine = |share: fn(Interpolant) -> crate::Shares| {
        x0 * per_row(x0, path, |p| share(p).data)
            + source * per_row(x0, path, |p| share(p).source)
            + noise * per_row(x0, path, |p| share(p).noise)
    };
    let error = velocity(&combine(|p| p.at)) - combine(|p| p.rate);
    row_dot(&error, &error)
}

/// The rows of `source` in the order that couples them to those of `x0` at the least total squared distance.
///
/// The coupling of OT-CFM with an exact plan, and of diffusion with noise assigned to data; solved on the CPU in `f64`
/// by [`coupling::assignment`], O(B³).
/// No gradient flows through the choice.
///
/// # Shapes
/// `x0`, `source`: \[B, …\]; returns that shape.
///
/// # Panics
/// If shapes disagree or a value is not finite.
#[doc(alias = "OT-CFM")]
#[doc(alias = "immiscible")]
pub fn optimally_paired(x0: &Tensor, source: &Tensor) -> Tensor {
    let partners = coupling::assignment(distances(x0, source).view())
        .expect("as many columns as rows, and finite values");
    reordered(source, partners)
}

/// Rows of `source` drawn as partners of those of `x0` from an entropic plan on squared distances.
///
/// The plan of SB-CFM, with regularisation 2s² for [`Interpolant::bridge`] of spread s (Tong et al. 2023).
/// `uniforms` draw the partners as [`coupling::Plan::partners`] says: a row of `source` may occur more than once.
///
/// # Shapes
/// `x0`, `source`: \[B, …\]; `uniforms`: B numbers in \[0, 1); returns the shape of `x0`.
///
/// # Errors
/// As [`Sinkhorn::plan`].
///
/// # Panics
/// If shapes disagree, and unless there is one number per row.
pub fn entropically_paired(
    x0: &Tensor,
    source: &Tensor,
    problem: &Sinkhorn,
    uniforms: &[f64],
) -> Result<Tensor, Error> {
    let plan = problem.plan(distances(x0, source).view())?;
    Ok(reordered(source, plan.partners(uniforms)))
}

/// The squared distances between rows: [B, B], on the CPU.
fn distances(x0: &Tensor, source: &Tensor) -> Array2<f64> {
    same_shape("the source", source, x0);
    let rows = |x: &Tensor| {
        let values: Vec<f64> = Vec::try_from(x.detach().to_kind(Kind::Double).reshape([-1]))
            .expect("a tensor of numbers");
        let rows = x.size()[0] as usize;
        Array2::from_shape_vec((rows, values.len() / rows), values).expect("rows of one length")
    };
    coupling::squared_distances(rows(x0).view(), rows(source).view())
}

fn reordered(source: &Tensor, order: Vec<usize>) -> Tensor {
    let order: Vec<i64> = order.into_iter().map(|row| row as i64).collect();
    source.index_select(0, &Tensor::from_slice(&order).to_device(source.device()))
}
