//! Implicit score matching: the score of clean data from samples alone, by the trace of its Jacobian.

use tch::Tensor;

use super::row_dot;

/// ½‖s(x)‖² + tr ∇s(x), the trace exact: implicit score matching (Hyvärinen 2005, theorem 1).
///
/// Its mean over x ~ q is ½ E‖s − ∇ log q‖² − ½ J(q), J = E‖∇ log q‖² the Fisher information: the floor −½ J is what
/// is left when the score is right, and it is −∞ where q has no density.
/// Needs no noise; under noise it differs from [`score_denoising_loss`](super::score_denoising_loss) with power 0 by
/// the constant D/(2σ²) (Vincent 2011).
/// By Hutchinson's trace instead of the exact one it is [`sliced_score_matching`](super::sliced_score_matching).
/// For energies, let the score be [`score_of`] their negative.
///
/// One backward pass per coordinate, each of which can be differentiated again: for a few coordinates.
/// `x` is detached. Rows must not see each other inside `score`.
///
/// # Shapes
/// `x`: \[B, …\]; returns \[B\].
///
/// # Panics
/// As [`divergence`].
#[doc(alias = "ISM")]
#[doc(alias = "Hyvarinen")]
pub fn implicit_score_matching(score: &dyn Fn(&Tensor) -> Tensor, x: &Tensor) -> Tensor {
    let (s, trace) = with_divergence(score, x);
    row_dot(&s, &s) * 0.5 + trace
}

/// tr ∇f(x) = Σ ∂fᵢ/∂xᵢ of each row, exactly, by one backward pass per coordinate.
///
/// Every pass can be differentiated again, with respect to the parameters of `field`.
/// Rows must not see each other inside `field`.
/// For one random estimate by one pass see [`divergence_along`](super::divergence_along).
///
/// # Shapes
/// `x`: \[B, …\], any number of axes; returns \[B\].
///
/// # Panics
/// If `field` changes the shape, or under a guard that switches gradients off.
pub fn divergence(field: &dyn Fn(&Tensor) -> Tensor, x: &Tensor) -> Tensor {
    with_divergence(field, x).1
}

/// ∇ₓ log p(x) of a log-density \[B, …\] → \[B\] that need not be normalised: the score of an energy model, log p = −E.
///
/// The result can be differentiated again, in x and in parameters, so every loss of this module takes
/// `|x| score_of(&log_density, x)` for a score.
/// The graph of `x` is kept where it has one.
///
/// # Shapes
/// `x`: \[B, …\]; returns the shape of `x`.
///
/// # Panics
/// If the log-density is not one number per row or does not depend on x, or under a guard that switches gradients off.
#[doc(alias = "energy-based model")]
pub fn score_of(log_density: &dyn Fn(&Tensor) -> Tensor, x: &Tensor) -> Tensor {
    let x = if x.requires_grad() {
        x.shallow_clone()
    } else {
        x.detach().set_requires_grad(true)
    };
    let values = log_density(&x);
    assert_eq!(
        values.size(),
        [x.size()[0]],
        "a log-density is one number per row"
    );
    derivative(&values, &x).expect("the log-density must depend on x")
}

fn with_divergence(field: &dyn Fn(&Tensor) -> Tensor, x: &Tensor) -> (Tensor, Tensor) {
    let x = x.detach().set_requires_grad(true);
    let f = field(&x);
    super::same_shape("the field", &f, &x);
    let rows = x.size()[0];
    let flat = f.reshape([rows, -1]);
    let mut trace = f.new_zeros([rows], (f.kind(), f.device()));
    for coordinate in 0..flat.size()[1] {
        if let Some(gradient) = derivative(&flat.select(1, coordinate), &x) {
            trace += gradient.reshape([rows, -1]).select(1, coordinate);
        }
    }
    (f, trace)
}

/// The gradient of Σ `outputs` with respect to `x`, differentiable again; `None` where it does not depend on x.
pub(super) fn derivative(outputs: &Tensor, x: &Tensor) -> Option<Tensor> {
    let total = outputs.sum(outputs.kind());
    assert!(
        total.requires_grad(),
        "score matching needs gradients: no guard, and a score that depends on x"
    );
    let gradient = Tensor::run_backward(&[total], &[x], true, true).swap_remove(0);
    gradient.defined().then_some(gradient)
}
