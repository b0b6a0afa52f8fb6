//! Functions of `f32`, each the nearest to the exact value.
//!
//! PyTorch's logarithm is another `f32` for one number in forty, and its exponential for one in a hundred: by what library and processor it has.
//! Where a step size or a weight is a small difference of these, such a last bit becomes a digit of the result.

/// The natural logarithm.
pub(crate) fn ln(value: f32) -> f32 {
    f64::from(value).ln() as f32
}

/// The exponential.
pub(crate) fn exp(value: f32) -> f32 {
    f64::from(value).exp() as f32
}

/// The exponential less 1.
pub(crate) fn exp_m1(value: f32) -> f32 {
    f64::from(value).exp_m1() as f32
}
