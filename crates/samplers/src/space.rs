//! What a sampler needs of its state: linear combinations, and for a few samplers its samples and its coordinates.

use ndarray::{Array, Axis, Dimension, RemoveAxis, concatenate};

use crate::registers;

/// All that a fixed-step sampler of this crate ever does to its state: a x + b y.
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

    /// The linear combination Σ a_i x_i.
    ///
    /// The provided method adds one term after the other; an implementation may do it in one pass over memory.
    ///
    /// # Panics
    /// For no terms: there is no zero to return. As [`axpby`](VectorSpace::axpby) for shapes.
    fn combine(terms: &[(f64, &Self)]) -> Self {
        let (&(a, x), rest) = terms.split_first().expect("combine: at least one term");
        let Some((&(b, y), rest)) = rest.split_first() else {
            return Self::axpby(a, x, 0.0, x);
        };
        rest.iter().fold(Self::axpby(a, x, b, y), |sum, &(c, z)| {
            Self::axpby(1.0, &sum, c, z)
        })
    }

    /// The linear combination a x + Σ b_i y_i, which may be made in the memory of `x`.
    ///
    /// Memory that is fresh costs more than the arithmetic: a step that hands on its last operand needs none.
    ///
    /// # Panics
    /// As [`axpby`](VectorSpace::axpby).
    fn combine_in(a: f64, x: Self, terms: &[(f64, &Self)]) -> Self {
        let all: Vec<(f64, &Self)> = [(a, &x)].into_iter().chain(terms.iter().copied()).collect();
        Self::combine(&all)
    }
}

/// A state that consists of samples, for samplers that treat each sample on its own.
///
/// Law: [`stack`](Batch::stack) undoes [`split`](Batch::split).
pub trait Batch: VectorSpace {
    /// The samples, each as a batch of one.
    fn split(&self) -> Vec<Self>;

    /// One batch of all these, in their order.
    ///
    /// # Panics
    /// For no parts, or if their samples differ in shape.
    fn stack(parts: &[Self]) -> Self;
}

/// A state whose coordinates can be read and written, for what is not linear: norms, clipping, error control.
pub trait Coordinates: Batch {
    /// All coordinates, in the order of [`with_values`](Coordinates::with_values).
    fn values(&self) -> Vec<f64>;

    /// The state of this shape with these coordinates.
    ///
    /// # Panics
    /// If their number differs.
    fn with_values(&self, values: Vec<f64>) -> Self;

    /// The state with `f` applied to every coordinate.
    fn apply(&self, f: impl Fn(f64) -> f64) -> Self
    where
        Self: Sized,
    {
        self.with_values(self.values().into_iter().map(f).collect())
    }

    /// Whether its coordinates are `f32`, so that rounding to `f32` leaves them as they are.
    fn is_single(&self) -> bool {
        false
    }

    /// The inner product Σ x_i y_i over all coordinates.
    ///
    /// # Panics
    /// If the numbers of coordinates differ.
    fn inner(&self, other: &Self) -> f64 {
        let (x, y) = (self.values(), other.values());
        assert!(
            x.len() == y.len(),
            "inner product: {} coordinates against {}",
            x.len(),
            y.len()
        );
        x.iter().zip(&y).map(|(x, y)| x * y).sum()
    }
}

impl<A: Element, D: Dimension> VectorSpace for Array<A, D> {
    fn axpby(a: f64, x: &Self, b: f64, y: &Self) -> Self {
        Self::combine(&[(a, x), (b, y)])
    }

    /// In fresh memory, a piece at a time: a copy of the whole would go through the second cache twice.
    fn combine(terms: &[(f64, &Self)]) -> Self {
        let (&(a, x), rest) = terms.split_first().expect("combine: at least one term");
        let rows = |y: &Self| y.shape() == x.shape() && y.is_standard_layout();
        if !terms.iter().all(|(_, y)| rows(y)) {
            return Self::combine_in(a, x.clone(), rest);
        }
        let numbers = |y| -> &[A] { Array::as_slice(y).expect("rows, one after the other") };
        let mut sum = Vec::with_capacity(x.len());
        let mut pieces = Vec::with_capacity(rest.len());
        for piece in numbers(x).chunks(PIECE) {
            let at = sum.len()..sum.len() + piece.len();
            sum.extend_from_slice(piece);
            pieces.clear();
            pieces.extend(rest.iter().map(|&(b, y)| (b, &numbers(y)[at.clone()])));
            registers::combine_in(a, &mut sum[at], &pieces);
        }
        Array::from_shape_vec(x.raw_dim(), sum).expect("as many numbers as x has")
    }

    fn combine_in(a: f64, mut x: Self, terms: &[(f64, &Self)]) -> Self {
        for (_, y) in terms {
            assert!(
                x.shape() == y.shape(),
                "combine: states must agree in shape, got {:?} and {:?}",
                x.shape(),
                y.shape()
            );
        }
        let alike = |y: &Self| y.strides() == x.strides() && y.as_slice_memory_order().is_some();
        if x.as_slice_memory_order().is_some() && terms.iter().all(|(_, y)| alike(y)) {
            let numbers = |y| -> &[A] { Array::as_slice_memory_order(y).expect("just asked") };
            let terms: Vec<_> = terms.iter().map(|&(b, y)| (b, numbers(y))).collect();
            let x = x.as_slice_memory_order_mut().expect("just asked");
            registers::combine_in(a, x, &terms);
        } else {
            let mut sum = x.mapv(|x| a * x.into());
            for &(b, y) in terms {
                let add = |sum: &mut f64, y: &A| *sum += b * (*y).into();
                sum.zip_mut_with(y, add);
            }
            x.zip_mut_with(&sum, |x, &sum| *x = A::round(sum));
        }
        x
    }
}

/// Numbers of a piece, which stays in the first cache.
const PIECE: usize = 1024;

impl<A: Element, D: Dimension + RemoveAxis> Batch for Array<A, D> {
    fn split(&self) -> Vec<Self> {
        self.axis_chunks_iter(Axis(0), 1)
            .map(|sample| sample.to_owned())
            .collect()
    }

    fn stack(parts: &[Self]) -> Self {
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(0), &views).expect("stack: at least one part, and samples of one shape")
    }
}

impl<A: Element, D: Dimension + RemoveAxis> Coordinates for Array<A, D> {
    fn values(&self) -> Vec<f64> {
        self.iter().map(|&value| value.into()).collect()
    }

    fn with_values(&self, values: Vec<f64>) -> Self {
        let rounded = values.into_iter().map(A::round).collect();
        Array::from_shape_vec(self.raw_dim(), rounded)
            .expect("with_values: as many coordinates as the state has")
    }

    fn apply(&self, f: impl Fn(f64) -> f64) -> Self {
        self.mapv(|value| A::round(f(value.into())))
    }

    fn is_single(&self) -> bool {
        let tenth: f64 = A::round(0.1).into();
        tenth == f64::from(tenth as f32)
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
    #[inline]
    fn round(value: f64) -> f64 {
        value
    }
}

impl Element for f32 {
    #[inline]
    fn round(value: f64) -> f32 {
        value as f32
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ShapeBuilder, array};

    use super::{Batch, Coordinates, VectorSpace};

    #[test]
    fn single_precision_is_rounded_once() {
        // In f32, 1e8 - 1 is 1e8: the sum must be formed before it is rounded.
        let x = array![1.0_f32];
        let sum = VectorSpace::axpby(1e8, &x, -(1e8 - 1.0), &x);
        assert_eq!(sum, array![1.0_f32]);
        let terms = [1e8, -1e8, 1e8, -1e8, 1.0, 1e8, -1e8, 2.0, 1e8, -1e8].map(|a| (a, &x));
        for count in 1..=terms.len() {
            let exact: f64 = terms[..count].iter().map(|(a, _)| a).sum();
            assert_eq!(VectorSpace::combine(&terms[..count]), array![exact as f32]);
            let (&(a, _), rest) = terms[..count].split_first().unwrap();
            assert_eq!(
                VectorSpace::combine_in(a, x.clone(), rest),
                array![exact as f32]
            );
        }
    }

    #[test]
    fn arrays_know_what_they_hold() {
        assert!(array![0.5_f32].is_single() && !array![0.5_f64].is_single());
    }

    #[test]
    fn layouts_may_differ() {
        let x = Array2::from_shape_fn((3, 4), |(i, j)| (10 * i + j) as f32);
        let columns = Array2::from_shape_fn((3, 4).f(), |(i, j)| (i + 7 * j) as f32);
        let expected = Array2::from_shape_fn((3, 4), |at| 0.5 * x[at] - 2.0 * columns[at]);
        assert_eq!(VectorSpace::axpby(0.5, &x, -2.0, &columns), expected);
        assert_eq!(VectorSpace::axpby(-2.0, &columns, 0.5, &x), expected);
        assert_eq!(
            VectorSpace::combine(&[(0.5, &x), (-1.0, &columns), (-1.0, &columns)]),
            expected
        );
    }

    #[test]
    #[should_panic]
    fn shapes_that_would_broadcast_are_refused() {
        let (x, y) = (Array2::<f64>::zeros((3, 2)), Array2::<f64>::zeros((1, 2)));
        VectorSpace::axpby(1.0, &x, 1.0, &y);
    }

    #[test]
    fn stacking_undoes_splitting_whatever_the_layout() {
        let rows = Array2::from_shape_fn((3, 4), |(i, j)| (10 * i + j) as f64);
        let columns = Array2::from_shape_fn((3, 4).f(), |(i, j)| (10 * i + j) as f64);
        for x in [rows, columns] {
            assert_eq!(x.split()[1], x.slice(ndarray::s![1..2, ..]));
            assert_eq!(Batch::stack(&x.split()), x);
            assert_eq!(x.with_values(x.values()), x);
            assert_eq!(x.inner(&x), x.iter().map(|v| v * v).sum::<f64>());
            assert_eq!(Coordinates::apply(&x, |v| v + 1.0), &x + 1.0);
        }
    }
}
