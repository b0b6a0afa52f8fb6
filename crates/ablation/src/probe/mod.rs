//! Pure measurements: samples and fresh data in, numbers out.

pub mod bands;
pub mod energy;

use ndarray::{ArrayView2, Axis};

/// E|s − s*|²/E|s*|²: 0 is exact, 1 is a network that answers nothing.
///
/// *Range*: `[0, ∞)`; infinite or NaN where the exact score is 0 throughout. *Invariances*: joint scale and rotation.
/// *Misleading*: large scores decide it, so it is about where s* is large; of the points that are asked, and no others.
/// *Source*: defined here, the Fisher divergence over its value for s = 0.
pub fn relative_error(estimate: ArrayView2<'_, f64>, exact: ArrayView2<'_, f64>) -> f64 {
    let error: f64 = estimate
        .iter()
        .zip(exact.iter())
        .map(|(s, t)| (s - t).powi(2))
        .sum();
    let scale: f64 = exact.iter().map(|t| t * t).sum();
    error / scale
}

/// Mean over rows of the cosine between two vectors; a zero vector has cosine 0 with everything.
///
/// *Range*: `[−1, 1]`. *Invariances*: length of each vector, rotation.
/// *Misleading*: blind to length, and a point with hardly any score weighs as much as one with a large one.
/// *Source*: defined here.
pub fn mean_cosine(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> f64 {
    let cosines = a.outer_iter().zip(b.outer_iter()).map(|(a, b)| {
        let scale = (a.dot(&a) * b.dot(&b)).sqrt();
        if 0.0 < scale { a.dot(&b) / scale } else { 0.0 }
    });
    cosines.sum::<f64>() / a.nrows() as f64
}

/// Total variation between the mean shares of components of two samples: half the sum of differences.
///
/// *Range*: `[0, 1]`. *Invariances*: order of samples and of components.
/// *Misleading*: a sample far from all components still has shares that sum to 1, so it is blind to what lies between or
/// outside; of finite samples it is above 0, of the order of √(K/n), for equal weights too.
/// *Source*: defined here.
///
/// # Shapes
///
/// \[n, K\] and \[m, K\], each row summing to 1.
pub fn weight_error(shares: ArrayView2<'_, f64>, reference: ArrayView2<'_, f64>) -> f64 {
    let mean =
        |shares: ArrayView2<'_, f64>| shares.mean_axis(Axis(0)).expect("at least one sample");
    0.5 * (mean(shares) - mean(reference)).mapv(f64::abs).sum()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn known_answers() {
        let exact = array![[3.0, 4.0], [0.0, 2.0]];
        assert_eq!(relative_error((&exact * 0.0).view(), exact.view()), 1.0);
        assert_eq!(relative_error((&exact * 1.5).view(), exact.view()), 0.25);
        assert!((mean_cosine((&exact * 7.0).view(), exact.view()) - 1.0).abs() < 1e-15);
        assert_eq!(
            mean_cosine(
                array![[1.0, 0.0], [0.0, 0.0]].view(),
                array![[0.0, 1.0], [1.0, 1.0]].view()
            ),
            0.0
        );
        let (even, all) = (array![[1.0, 0.0], [0.0, 1.0]], array![[0.8, 0.2]]);
        assert!((weight_error(even.view(), all.view()) - 0.3).abs() < 1e-15);
    }
}
