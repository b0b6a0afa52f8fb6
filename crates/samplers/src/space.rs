//! What a sampler needs of its state: linear combinations.

use ndarray::{Array, Dimension, Zip};

/// All that a sampler of this crate ever does to its state: a x + b y.
///
/// ```
/// use ndarray::array;
/// use samplers::VectorSpace;
/// let mean = VectorSpace::axpby(0.5, &array![1.0, 2.0], 0.5, &array![3.0, 6.0]);
/// assert_eq!(mean, array![2.0, 4.0]);
/// ```
pub trait VectorSpace: Clone {
    /// The linear combination a x + b y.
    ///
    /// # Shapes
    /// `x`, `y` and the result have one shape.
    ///
    /// # Panics
    /// Implementations panic if the shapes differ: that is a bug in a denoiser or a noise source.
    fn axpby(a: f64, x: &Self, b: f64, y: &Self) -> Self;
}

impl<A: Element, D: Dimension> VectorSpace for Array<A, D> {
    fn axpby(a: f64, x: &Self, b: f64, y: &Self) -> Self {
        Zip::from(x)
            .and(y)
            .map_collect(|&x, &y| A::round(a * x.into() + b * y.into()))
    }
}

/// The numbers an array may hold: `f32` and `f64`.
///
/// Arithmetic on them is done in `f64` and rounded once.
pub trait Element: Copy + Into<f64> {
    /// The nearest number of this type.
    fn round(value: f64) -> Self;
}

impl Element for f64 {
    fn round(value: f64) -> f64 {
        value
    }
}

impl Element for f32 {
    fn round(value: f64) -> f32 {
        value as f32
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::VectorSpace;

    #[test]
    fn single_precision_is_rounded_once() {
        // In f32, 1e8 - 1 is 1e8: the sum must be formed before it is rounded.
        let x = array![1.0_f32];
        let sum = VectorSpace::axpby(1e8, &x, -(1e8 - 1.0), &x);
        assert_eq!(sum, array![1.0_f32]);
    }

    #[test]
    #[should_panic]
    fn shapes_that_would_broadcast_are_refused() {
        let (x, y) = (Array2::<f64>::zeros((3, 2)), Array2::<f64>::zeros((1, 2)));
        VectorSpace::axpby(1.0, &x, 1.0, &y);
    }
}
