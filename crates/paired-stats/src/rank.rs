//! Statistics of order, for metrics whose size means little: a diverged run is only "worse".

/// P(A > B): the share of pairs of a seed of `a` and a seed of `b` in which `a` is larger, ties by
/// half. It is the Mann-Whitney U over its largest value.
///
/// Give whole blocks to [`percentile`](crate::percentile) for its interval, so that the seeds stay
/// paired. Infinite values rank like others.
///
/// Source: Mann & Whitney (1947); as a summary of learning algorithms Agarwal et al., *Deep RL at
/// the Edge of the Statistical Precipice* (2021).
///
/// # Panics
///
/// When one of them is empty.
///
/// ```
/// assert_eq!(paired_stats::probability_larger(&[3.0, 5.0], &[1.0, 3.0]), 0.875);
/// ```
#[doc(alias = "probability_of_improvement")]
#[doc(alias = "mann_whitney")]
pub fn probability_larger(a: &[f64], b: &[f64]) -> f64 {
    assert!(
        !a.is_empty() && !b.is_empty(),
        "P(A > B) needs a seed in each arm"
    );
    let wins: usize = a
        .iter()
        .flat_map(|x| {
            b.iter()
                .map(move |y| usize::from(y < x) + usize::from(y <= x))
        })
        .sum();
    0.5 * wins as f64 / (a.len() * b.len()) as f64
}

/// The interquartile mean: the mean of the middle half of the values, those at its edges by the
/// share of them that lies inside.
///
/// Less sensitive to one failed seed than the mean, and less wasteful than the median.
///
/// Source: Agarwal et al. (2021).
///
/// # Panics
///
/// When there is no value.
///
/// ```
/// assert_eq!(paired_stats::interquartile_mean(&[1.0, 2.0, 4.0, 90.0]), 3.0);
/// ```
#[doc(alias = "iqm")]
#[doc(alias = "trim_mean")]
pub fn interquartile_mean(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "the interquartile mean needs a value");
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len() as f64;
    // Value i covers [i, i + 1] of the sorted line, whose middle half is [n/4, 3n/4].
    let inside = |i: usize| {
        let (low, high) = (i as f64, i as f64 + 1.0);
        (high.min(0.75 * n) - low.max(0.25 * n)).max(0.0)
    };
    let sum: f64 = sorted
        .iter()
        .enumerate()
        .filter(|(i, _)| 0.0 < inside(*i))
        .map(|(i, v)| inside(i) * v)
        .sum();
    sum / (0.5 * n)
}

/// How far the values of one seed rise in their order: Spearman's rank correlation of the values with their places,
/// in \[−1, 1\], ties by mid-ranks; 0 where all are equal.
///
/// Over seeds it is the ingredient of Page's trend test: of n seeds with k arms each, Page's L is an increasing linear
/// function of the mean of this number, and under no trend that mean has variance 1/(n (k − 1)).
/// Judge the mean as any other contrast.
///
/// Source: Page, *Ordered hypotheses for multiple treatments* (1963).
///
/// # Panics
///
/// With fewer than 2 values, or one that is not a number.
///
/// ```
/// assert_eq!(paired_stats::order_agreement(&[0.1, 0.3, 7.0]), 1.0);
/// assert_eq!(paired_stats::order_agreement(&[0.1, 7.0, 0.3]), 0.5);
/// ```
#[doc(alias = "page_trend")]
#[doc(alias = "spearman")]
pub fn order_agreement(values: &[f64]) -> f64 {
    assert!(
        2 <= values.len() && values.iter().all(|v| !v.is_nan()),
        "an order needs two values, all of them numbers"
    );
    // Places and mid-ranks less their mean, (k − 1)/2.
    let centre = 0.5 * (values.len() as f64 - 1.0);
    let rank = |x: f64| {
        let below = values.iter().filter(|v| **v < x).count() as f64;
        let equal = values.iter().filter(|v| **v == x).count() as f64;
        below + 0.5 * (equal - 1.0) - centre
    };
    let ranks: Vec<f64> = values.iter().map(|v| rank(*v)).collect();
    let place = |i: usize| i as f64 - centre;
    let across: f64 = ranks.iter().enumerate().map(|(i, r)| place(i) * r).sum();
    let of_places: f64 = (0..values.len()).map(|i| place(i).powi(2)).sum();
    let of_ranks: f64 = ranks.iter().map(|r| r * r).sum();
    if of_ranks == 0.0 {
        return 0.0;
    }
    across / (of_places * of_ranks).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probability_larger_counts_pairs_and_halves_ties() {
        let (a, b) = ([1.0, 2.0, 3.0], [2.0, 0.0]);
        assert_eq!(probability_larger(&a, &b), 4.5 / 6.0);
        assert_eq!(probability_larger(&b, &a), 1.5 / 6.0);
        assert_eq!(probability_larger(&[f64::INFINITY], &[1e300]), 1.0);
    }

    #[test]
    fn order_agreement_is_spearmans_correlation_with_the_places() {
        assert_eq!(order_agreement(&[3.0, 2.0, 1.0]), -1.0);
        assert_eq!(order_agreement(&[1.0, 1.0, 1.0]), 0.0);
        // scipy.stats.spearmanr([0, 1, 2, 3, 4], [2, 1, 1, 5, 4]) = 0.5642880936468347
        let found = order_agreement(&[2.0, 1.0, 1.0, 5.0, 4.0]);
        assert!((found - 0.564_288_093_646_834_7).abs() < 1e-15, "{found}");
    }

    #[test]
    fn interquartile_mean_takes_shares_of_the_edges() {
        // Five values: [1.25, 3.75] covers three quarters of 2, all of 3 and three quarters of 4.
        let found = interquartile_mean(&[50.0, 2.0, 3.0, 5.0, -80.0]);
        assert!((found - (0.75 * 2.0 + 3.0 + 0.75 * 5.0) / 2.5).abs() < 1e-15);
        assert_eq!(interquartile_mean(&[7.0]), 7.0);
        assert_eq!(interquartile_mean(&[f64::NEG_INFINITY, 1.0, 3.0, 9.0]), 2.0);
    }
}
