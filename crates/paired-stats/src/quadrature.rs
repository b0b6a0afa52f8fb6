//! Gauss-Legendre quadrature.

use std::f64::consts::PI;

/// Newton steps to a root of a Legendre polynomial; they reach rounding from the guess below.
const NEWTON: usize = 4;

/// The `n` nodes in (−1, 1) with their weights: exact for polynomials of degree 2n − 1.
pub(crate) fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let upper: Vec<(f64, f64)> = (0..n.div_ceil(2))
        .map(|i| {
            let mut x = (PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 0.0;
            for _ in 0..NEWTON {
                let (value, before) = legendre(n, x);
                slope = n as f64 * (x * value - before) / (x * x - 1.0);
                x -= value / slope;
            }
            (x, 2.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect();
    let lower = upper.iter().take(n / 2).map(|(x, weight)| (-x, *weight));
    lower.chain(upper.iter().copied()).collect()
}

/// P_n(x) and P_(n−1)(x), n >= 1, by the three-term recurrence.
fn legendre(n: usize, x: f64) -> (f64, f64) {
    let (mut before, mut value) = (1.0, x);
    for k in 2..=n {
        let k = k as f64;
        (before, value) = (
            value,
            ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k,
        );
    }
    (value, before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_exact_up_to_their_degree() {
        for n in [1, 2, 5, 48, 96] {
            let nodes = gauss_legendre(n);
            for power in 0..2 * n as i32 {
                let found: f64 = nodes.iter().map(|(x, w)| w * x.powi(power)).sum();
                let expected = if power % 2 == 0 {
                    2.0 / f64::from(power + 1)
                } else {
                    0.0
                };
                assert!(
                    (found - expected).abs() < 1e-13,
                    "{n} nodes, x^{power}: {found}"
                );
            }
        }
    }
}
