//! Adjusted p-values for families that were tested one by one.

/// Holm's adjusted p-values: sorted ascending, p̃_(i) = max_(j<=i) min(1, (m − j + 1) p_(j)).
///
/// Rejecting where p̃ <= alpha keeps the family-wise error at alpha under any dependence. The
/// result is in the order of the input. For the declared, confirmatory contrasts.
///
/// Source: Holm, *A Simple Sequentially Rejective Multiple Test Procedure* (1979).
///
/// # Panics
///
/// When a p lies outside \[0, 1\] or is NaN: no test of this crate returns one.
///
/// ```
/// assert_eq!(paired_stats::holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut running = 0.0_f64;
    for (rank, &i) in order.iter().enumerate() {
        running = running.max((p.len() - rank) as f64 * p[i]).min(1.0);
        adjusted[i] = running;
    }
    adjusted
}

/// Benjamini and Hochberg's adjusted p-values: p̃_(i) = min_(j>=i) min(1, m p_(j)/j).
///
/// Calling p̃ <= q discoveries keeps their expected false share at q when the tests are independent
/// or positively dependent. The result is in the order of the input. For exploratory tables only.
///
/// Source: Benjamini & Hochberg, *Controlling the False Discovery Rate* (1995).
///
/// # Panics
///
/// When a p lies outside \[0, 1\] or is NaN: no test of this crate returns one.
#[doc(alias = "q_value")]
#[doc(alias = "fdr")]
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut running = 1.0_f64;
    for (rank, &i) in order.iter().enumerate().rev() {
        running = running.min(p.len() as f64 * p[i] / (rank + 1) as f64);
        adjusted[i] = running;
    }
    adjusted
}

/// The positions of `p` from the smallest to the largest.
pub(crate) fn ascending(p: &[f64]) -> Vec<usize> {
    for (index, value) in p.iter().enumerate() {
        assert!(
            (0.0..=1.0).contains(value),
            "p {index} must lie in [0, 1], but is {value}"
        );
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holm as the closed test of Bonferroni: p̃_i = max over all families S with i of min(1, |S| min p_S).
    fn holm_by_closure(p: &[f64]) -> Vec<f64> {
        (0..p.len())
            .map(|i| {
                (1_u32..1 << p.len())
                    .filter(|set| set >> i & 1 == 1)
                    .map(|set| {
                        let members = (0..p.len()).filter(|j| set >> j & 1 == 1);
                        let least = members.map(|j| p[j]).fold(1.0, f64::min);
                        (f64::from(set.count_ones()) * least).min(1.0)
                    })
                    .fold(0.0, f64::max)
            })
            .collect()
    }

    #[test]
    fn holm_is_the_closed_bonferroni_test() {
        for p in [
            vec![0.01, 0.04, 0.03],
            vec![0.5, 0.5, 0.001, 0.02, 0.02],
            vec![1.0, 0.0, 0.3, 0.9],
            vec![0.2],
        ] {
            assert_eq!(holm(&p), holm_by_closure(&p), "{p:?}");
        }
    }

    #[test]
    fn benjamini_hochberg_known_values() {
        assert_eq!(benjamini_hochberg(&[0.04, 0.01, 0.03, 0.02]), [0.04; 4]);
        let found = benjamini_hochberg(&[0.9, 0.005, 0.02, 0.5]);
        for (a, b) in found.iter().zip([0.9, 0.02, 0.04, 2.0 / 3.0]) {
            assert!((a - b).abs() < 1e-15);
        }
    }

    #[test]
    fn an_empty_family_has_nothing_to_adjust() {
        assert!(holm(&[]).is_empty() && benjamini_hochberg(&[]).is_empty());
    }

    #[test]
    #[should_panic(expected = "p 1 must lie in [0, 1], but is NaN")]
    fn a_bad_p_is_named() {
        holm(&[0.5, f64::NAN]);
    }
}
