//! What all distributions do with rows of points: check them, work on them in chunks, draw and weigh them.

use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayViewMut2, Axis, NdFloat};
use rand::{Rng, RngCore};
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::ExactScore;
use crate::Error;

/// Rows per task: fixed, so that no result depends on the number of threads.
const CHUNK: usize = 256;
/// Below this many operations the work is done before other threads have woken up.
const PARALLEL: usize = 1 << 16;

/// Applies `f` to each chunk of rows of `x` and the rows of an \[n, columns\] result, where a row costs `cost`
/// operations or so.
pub(super) fn map_rows<S: NdFloat>(
    x: ArrayView2<'_, S>,
    columns: usize,
    cost: usize,
    f: impl Fn(ArrayView2<'_, S>, ArrayViewMut2<'_, S>) + Sync,
) -> Array2<S> {
    let mut out = Array2::zeros((x.nrows(), columns));
    let chunks = x
        .axis_chunks_iter(Axis(0), CHUNK)
        .zip(out.axis_chunks_iter_mut(Axis(0), CHUNK));
    if x.nrows() * cost < PARALLEL {
        chunks.for_each(|(x, out)| f(x, out));
    } else {
        let chunks: Vec<_> = chunks.collect();
        chunks.into_par_iter().for_each(|(x, out)| f(x, out));
    }
    out
}

/// What `f` makes of each `length` rows, in their order, where a row costs `cost` operations or so.
///
/// No row's result may depend on its neighbours.
pub(super) fn map_blocks<T: Sync, U: Send>(
    rows: &[T],
    length: usize,
    cost: usize,
    f: impl Fn(&[T]) -> U + Sync,
) -> Vec<U> {
    if rows.len() * cost < PARALLEL {
        rows.chunks(length).map(f).collect()
    } else {
        rows.par_chunks(length).map(&f).collect()
    }
}

/// Panics unless the points have the distribution's dimension and σ is a noise level.
pub(super) fn check_points<S>(data: &dyn ExactScore, x: ArrayView2<'_, S>, sigma: f64) {
    assert!(
        (0.0..f64::INFINITY).contains(&sigma),
        "sigma must be non-negative and finite, not {sigma}"
    );
    assert!(
        x.ncols() == data.dim(),
        "points must have length {}, not {}",
        data.dim(),
        x.ncols()
    );
}

/// Panics on a σ at which the distribution has no density.
pub(super) fn check_density(data: &dyn ExactScore, sigma: f64) {
    assert!(
        (0.0..f64::INFINITY).contains(&sigma),
        "sigma must be non-negative and finite, not {sigma}"
    );
    assert!(
        !vanishes(sigma) || data.has_density(),
        "sigma must be positive: the distribution has no density of its own"
    );
}

/// Panics on a σ or a shape for which the distribution has no score.
pub(super) fn check_query<S>(data: &dyn ExactScore, x: ArrayView2<'_, S>, sigma: f64) {
    check_points(data, x, sigma);
    check_density(data, sigma);
}

/// Whether σ² is zero, or so small that its reciprocal overflows.
pub(super) fn vanishes(sigma: f64) -> bool {
    sigma < 1e-150
}

/// \[n, dim\] standard normal numbers, row by row.
pub(super) fn standard_normal(n: usize, dim: usize, rng: &mut dyn RngCore) -> Array2<f64> {
    Array2::from_shape_simple_fn((n, dim), || rng.sample(StandardNormal))
}

/// The same matrix for each of `n` points.
pub(super) fn repeat(matrix: Array2<f64>, n: usize) -> Array3<f64> {
    let (rows, columns) = matrix.dim();
    let repeated = matrix.broadcast((n, rows, columns));
    repeated.expect("one more axis in front").to_owned()
}

/// Adds `weight` · `vector` `vector`ᵀ to `matrix`.
pub(super) fn add_outer(matrix: &mut ArrayViewMut2<'_, f64>, weight: f64, vector: &Array1<f64>) {
    for (mut row, a) in matrix.rows_mut().into_iter().zip(vector) {
        row.scaled_add(weight * a, vector);
    }
}

/// Positive weights, divided by their sum.
pub(super) fn normalised(weights: Array1<f64>) -> Result<Array1<f64>, Error> {
    for &weight in &weights {
        Error::positive("weight", weight)?;
    }
    let total = Error::positive("sum of weights", weights.sum())?;
    Ok(weights / total)
}

/// Refuses nothing of something.
pub(super) fn at_least_one(name: &'static str, given: usize) -> Result<(), Error> {
    if given == 0 {
        return Err(Error::Count {
            name,
            least: 1,
            most: usize::MAX,
            given,
        });
    }
    Ok(())
}

/// Refuses a number that is not finite.
pub(super) fn all_finite<'a>(
    name: &'static str,
    values: impl IntoIterator<Item = &'a f64>,
) -> Result<(), Error> {
    match values.into_iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(Error::NotFinite { name, value }),
        None => Ok(()),
    }
}

/// Refuses a number outside of [0, ∞).
pub(super) fn all_non_negative<'a>(
    name: &'static str,
    values: impl IntoIterator<Item = &'a f64>,
) -> Result<(), Error> {
    let inside = |value: &f64| (0.0..f64::INFINITY).contains(value);
    match values.into_iter().find(|value| !inside(value)) {
        Some(&value) => Err(Error::Negative { name, value }),
        None => Ok(()),
    }
}

/// An index drawn with the given probabilities; uses one uniform number.
pub(super) fn draw_index(probabilities: &Array1<f64>, rng: &mut dyn RngCore) -> usize {
    let mut rest: f64 = rng.random();
    for (index, p) in probabilities.iter().enumerate() {
        rest -= p;
        if rest < 0.0 {
            return index;
        }
    }
    // Rounding may leave the probabilities an ulp short of 1.
    probabilities.len() - 1
}

/// Replaces log-weights by weights that sum to 1 and returns log Σ exp. Safe however small the weights are.
pub(super) fn softmax(logits: &mut [f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    for logit in logits.iter_mut() {
        *logit /= sum;
    }
    largest + sum.ln()
}
