//! The φ-functions of exponential integrators.

/// φ_k(z) = ∫₀¹ e^((1−θ) z) θ^(k−1)/(k−1)! dθ = (e^z − Σ_{j<k} z^j/j!)/z^k, for k ≥ 1; its value at 0 is 1/k!.
///
/// ∫₀^h e^(−(h−s)) s^k/k! ds = h^(k+1) φ_(k+1)(−h): with them a method integrates a polynomial against the exact decay.
/// Accurate to a few units in the last place everywhere, and finite but for large positive z.
///
/// Hochbruck & Ostermann 2010, Exponential integrators, section 2.
///
/// # Panics
/// If k is 0, or z is NaN.
pub(crate) fn phi(k: u32, z: f64) -> f64 {
    assert!(
        0 < k && !z.is_nan(),
        "phi: k must be positive and z a number, got {k} and {z}"
    );
    if z == f64::INFINITY {
        return z;
    }
    if z.abs() < f64::from(k) {
        // The recurrence would subtract nearly equal numbers: Σ_j z^j/(j + k)!, smallest terms first.
        let terms = 24 + k;
        let nested = (1..terms)
            .rev()
            .fold(1.0, |sum, j| 1.0 + z / f64::from(j + k) * sum);
        return nested / factorial(k);
    }
    // φ_(j+1) = (φ_j − 1/j!)/z.
    (1..k).fold(z.exp_m1() / z, |phi, j| (phi - factorial(j).recip()) / z)
}

fn factorial(k: u32) -> f64 {
    (1..=k).map(f64::from).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral that defines φ, by Gauss's rule with five points on 64 pieces.
    fn quadrature(k: u32, z: f64) -> f64 {
        let nodes = [0.0, 0.538_469_310_105_683_1, 0.906_179_845_938_664];
        let weights = [
            0.568_888_888_888_888_9,
            0.478_628_670_499_366_47,
            0.236_926_885_056_189_1,
        ];
        let f =
            |theta: f64| ((1.0 - theta) * z).exp() * theta.powi(k as i32 - 1) / factorial(k - 1);
        let pieces = 64;
        (0..pieces)
            .map(|piece| {
                let (middle, half) = ((f64::from(piece) + 0.5) / 64.0, 0.5 / 64.0);
                let sum: f64 = nodes
                    .iter()
                    .zip(weights)
                    .map(|(&node, weight)| match node {
                        0.0 => weight * f(middle),
                        _ => weight * (f(middle - half * node) + f(middle + half * node)),
                    })
                    .sum();
                half * sum
            })
            .sum()
    }

    #[test]
    fn phi_is_its_integral() {
        for k in 1..=6 {
            for z in [
                -30.0, -6.1, -5.9, -2.0, -1.0, -0.99, -1e-3, 1e-9, 0.5, 1.0, 2.99, 3.01, 8.0,
            ] {
                let (found, exact) = (phi(k, z), quadrature(k, z));
                assert!(
                    (found / exact - 1.0).abs() < 1e-12,
                    "phi_{k}({z}) = {found}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn phi_has_its_limits() {
        for k in 1..=6 {
            assert!((phi(k, 0.0) * factorial(k) - 1.0).abs() < 1e-15);
            assert_eq!(phi(k, f64::INFINITY), f64::INFINITY);
            assert_eq!(phi(k, f64::NEG_INFINITY), 0.0);
        }
    }
}
