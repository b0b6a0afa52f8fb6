//! Gauss-Legendre quadrature.

use std::f64::consts::PI;

/// `n` nodes and weights on \[0, 1\]: exact for polynomials of degree 2 n − 1, and exponentially good for analytic
/// functions.
///
/// Newton's method on the Legendre polynomial from its asymptotic zeros, with the three-term recurrence.
pub(super) fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    (0..n)
        .map(|i| {
            let mut x = (PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 0.0;
            // Quadratic convergence from an error of O(n⁻²): the fifth correction is rounding.
            for _ in 0..5 {
                let (mut previous, mut value) = (1.0, x);
                for j in 2..=n {
                    let j = j as f64;
                    let next = ((2.0 * j - 1.0) * x * value - (j - 1.0) * previous) / j;
                    (previous, value) = (value, next);
                }
                slope = n as f64 * (x * value - previous) / (x * x - 1.0);
                x -= value / slope;
            }
            // From [-1, 1], where the weight is 2/((1 - x²) slope²), downwards.
            (0.5 - 0.5 * x, 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        for n in [1, 2, 3, 8, 64, 301] {
            let rule = gauss_legendre(n);
            assert!(rule.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for degree in 0..(2 * n).min(40) {
                let sum: f64 = rule.iter().map(|(x, w)| w * x.powi(degree as i32)).sum();
                let exact = 1.0 / (degree as f64 + 1.0);
                assert!(
                    (sum - exact).abs() < 1e-14,
                    "{n} nodes, degree {degree}: {sum}"
                );
            }
        }
        let sine: f64 = gauss_legendre(20)
            .iter()
            .map(|(x, w)| w * (PI * x).sin())
            .sum();
        assert!((sine - 2.0 / PI).abs() < 1e-14);
    }
}
