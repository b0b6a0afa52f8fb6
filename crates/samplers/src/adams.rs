//! The weights of Adams–Bashforth methods on any grid.

/// The integrals ∫ ℓ_j(s) ds from `nodes[0]` to `to` of the Lagrange polynomials ℓ_j through these nodes, ℓ_j(nodes[k]) = δ_jk.
///
/// The nodes are where slopes are known, the latest first.
/// The integral of a polynomial of degree below their number is the sum of its values there, times these weights.
/// They are computed from exact antiderivatives; where the nodes run in one direction and `to` continues it, nothing cancels.
/// They are not finite if two nodes coincide.
pub(crate) fn lagrange_integrals(nodes: &[f64], to: f64) -> Vec<f64> {
    let (from, length) = (nodes[0], to - nodes[0]);
    if length == 0.0 {
        return vec![0.0; nodes.len()];
    }
    // In units of the step, whose powers may underflow.
    let places: Vec<f64> = nodes.iter().map(|node| (node - from) / length).collect();
    let moments: Vec<f64> = (1..=nodes.len())
        .map(|power| length / power as f64)
        .collect();
    lagrange_moments(&places, &moments)
}

/// The integrals of the Lagrange polynomials ℓ_j through these nodes, ℓ_j(nodes[k]) = δ_jk,
/// against the measure that has these moments: `moments[k]` is the integral of s^k.
///
/// They are not finite if two nodes coincide.
pub(crate) fn lagrange_moments(nodes: &[f64], moments: &[f64]) -> Vec<f64> {
    let weight = |j: usize| {
        // Coefficients of ∏_{k ≠ j} (s − s_k)/(s_j − s_k) in s.
        let mut coefficients = vec![1.0];
        for (_, node) in nodes.iter().enumerate().filter(|(k, _)| *k != j) {
            let gap = nodes[j] - node;
            coefficients.push(0.0);
            for power in (0..coefficients.len()).rev() {
                let lower = if power == 0 {
                    0.0
                } else {
                    coefficients[power - 1]
                };
                coefficients[power] = (lower - node * coefficients[power]) / gap;
            }
        }
        let terms = coefficients.iter().zip(moments);
        terms.rev().map(|(c, moment)| c * moment).sum()
    };
    (0..nodes.len()).map(weight).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::lagrange_integrals;

    #[test]
    fn equal_steps_have_the_textbook_weights() {
        let nodes = [0.0, -1.0, -2.0, -3.0];
        let expected: [&[f64]; 4] = [
            &[1.0],
            &[1.5, -0.5],
            &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
            &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
        ];
        for expected in expected {
            let found = lagrange_integrals(&nodes[..expected.len()], 1.0);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-14, "{found} {expected}");
            }
        }
        assert_eq!(lagrange_integrals(&nodes, 0.0), [0.0; 4]);
        let tiny = lagrange_integrals(&nodes.map(|node| 1e-300 * node), 1e-300);
        for (found, expected) in tiny.iter().zip(expected[3]) {
            assert!(
                (1e300 * found - expected).abs() < 1e-14,
                "{found} {expected}"
            );
        }
    }

    proptest! {
        #[test]
        fn polynomials_are_integrated_exactly(
            start in -2.0..2.0, gaps in prop::collection::vec(0.1..1.0, 1..6), degree in 0..6usize,
        ) {
            let mut nodes = vec![start];
            for gap in &gaps[1..] {
                nodes.push(nodes[nodes.len() - 1] + gap);
            }
            let to = start - gaps[0];
            let degree = degree.min(nodes.len() - 1) as i32;
            let weights = lagrange_integrals(&nodes, to);
            let found: f64 = nodes.iter().zip(&weights).map(|(s, w)| w * s.powi(degree)).sum();
            let exact = (to.powi(degree + 1) - start.powi(degree + 1)) / f64::from(degree + 1);
            let size: f64 = nodes.iter().zip(&weights).map(|(s, w)| (w * s.powi(degree)).abs()).sum();
            prop_assert!((found - exact).abs() < 1e-11 * (1.0 + size), "{found} {exact}");
        }
    }
}
