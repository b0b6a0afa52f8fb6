//! Sliced score matching without second derivatives.

use tch::Tensor;

use super::{row_dot, same_shape};

/// ½‖(s₊ + s₋)/2‖² + vᵀ(s₊ − s₋)/(2h) with s± = s(x ± h v): finite-difference sliced score matching.
///
/// h is `step`, in units of `directions`. Two forward passes and no second derivative (FD-SSM; Pang et al. 2020).
/// For an affine score it equals [`sliced_score_matching`](super::sliced_score_matching) at every h; otherwise it differs
/// by O(h²), so it is unbiased in the limit h → 0, until h ‖v‖ nears the rounding of x.
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
    same_shape("directions", directions, x);
    assert!(
        0.0 < step && step < f64::INFINITY,
        "the step must be positive, not {step}"
    );
    let offset = directions * step;
    let (above, below) = (score(&(x + &offset)), score(&(x - &offset)));
    let middle = (&above + &below) * 0.5;
    row_dot(&middle, &middle) * 0.5 + row_dot(&(above - below), directions) * (0.5 / step)
}
