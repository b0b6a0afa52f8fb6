//! A regression in the plane that a network can learn, if its gradients reach it.

use ndarray::Array2;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// y = sin(6 x₁) cos(4 x₂) + ½ sin(9 x₁ x₂) for x uniform on \[−1, 1\]², less its mean and over its standard deviation.
///
/// Both are those of the distribution, so that a network that says 0 has a mean squared error of 1.
pub(super) fn draw(count: usize, rng: &mut ChaCha8Rng) -> (Array2<f64>, Array2<f64>) {
    let x = Array2::from_shape_simple_fn((count, 2), || 2.0 * rng.random::<f64>() - 1.0);
    let y = x.rows().into_iter().map(|x| standard(x[0], x[1])).collect();
    let y = Array2::from_shape_vec((count, 1), y).expect("one number for each point");
    (x, y)
}

/// The mean is 0, since both terms are odd in x₁.
fn standard(a: f64, b: f64) -> f64 {
    let y = (6.0 * a).sin() * (4.0 * b).cos() + 0.5 * (9.0 * a * b).sin();
    y / VARIANCE.sqrt()
}

/// ∫ y² over the square, by quadrature; a test computes it again.
const VARIANCE: f64 = 0.407_807_66;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_has_mean_zero_and_variance_one() {
        let n = 1000;
        let at = |i: usize| (2 * i + 1) as f64 / n as f64 - 1.0;
        let (mut mean, mut square) = (0.0, 0.0);
        for i in 0..n {
            for j in 0..n {
                let y = standard(at(i), at(j));
                mean += y;
                square += y * y;
            }
        }
        let points = (n * n) as f64;
        assert!((mean / points).abs() < 1e-12);
        assert!((square / points - 1.0).abs() < 1e-5, "{}", square / points);
    }
}
