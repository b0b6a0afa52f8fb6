//! Fairness indices of access `u_i ≥ 0` over `n` units, as pure functions of numbers.
//!
//! | index | formula | range | more equal is |
//! |---|---|---|---|
//! | [`jain`] | (Σu)² / (n Σu²) | [1/n, 1] | larger |
//! | [`participation_ratio`] | (Σu)² / Σu² = n·J | [1, n] | larger |
//! | [`effective_number`] | exp(−Σ p ln p), p = u/Σu | [1, n] | larger |
//! | [`gini`] | Σ (2i−n−1) u₍ᵢ₎ / (n Σu) | [0, (n−1)/n] | smaller |
//! | [`theil`] | ln n + Σ p ln p | [0, ln n] | smaller |
//! | [`atkinson`] | 1 − (mean u^(1−ε))^(1/(1−ε)) / mean u | [0, 1] | smaller |
//! | [`floor`] | min u / mean u | [0, 1] | larger |
//! | [`floor_quantile`] | u at quantile q / mean u | [0, 1/(1−q)] | larger |
//! | [`dynamic_range`] | log₁₀ (u₉₀ / u₁₀) | [0, ∞) decades | smaller |
//! | [`level_aware`] | mean φ · J(φ), φ = min(1, u/r) | [0, 1] | larger |
//! | [`silent_fraction`] | #silent / n | [0, 1] | — |
//!
//! All of them ignore the order of the units.
//! All but [`level_aware`] and [`silent_fraction`] depend on shares only (`u → c·u` changes nothing for `c > 0`), and
//! are therefore blind to the level: a network in which every gradient has vanished alike is perfectly fair to them.
//! Every index improves when easy units are added, and every one depends on how the units were cut.
//!
//! An index is `None` where it is undefined: if there are no units, if any `u_i` is negative or not finite, and, for
//! indices of shares, if all `u_i` are zero.

use std::collections::BTreeMap;

/// Jain's index `J = (Σu)² / (n Σu²) = 1 / (1 + CV²)`.
///
/// *Range*: `[1/n, 1]`; `1/n` if one unit has everything, `k/n` if `k` units share equally and the rest have nothing.
/// *Invariances*: permutation, scale, replication of the population.
/// *Failure mode*: dominated by the largest units, so it barely sees the difference between a small and a silent unit.
/// *Source*: Jain, Chiu & Hawe 1984.
///
/// ```
/// use learnability::index::jain;
/// assert_eq!(jain(&[1.0, 1.0, 0.0, 0.0]), Some(0.5));
/// assert_eq!(jain(&[0.0, 0.0]), None);
/// ```
pub fn jain(u: &[f64]) -> Option<f64> {
    let v = relative(u)?;
    let sum: f64 = v.iter().sum();
    let squares: f64 = v.iter().map(|x| x * x).sum();
    Some((sum * sum / (v.len() as f64 * squares)).min(1.0))
}

/// Participation ratio `(Σu)² / Σu² = n·J`: the number of equal units that would have the same Jain index.
///
/// Of the squared singular values of a Jacobian, or the eigenvalues of a covariance, it is an effective dimension.
///
/// *Range*: `[1, n]`; `k` if `k` units share equally and the rest have nothing.
/// *Invariances*: permutation, scale; replicating the population `k` times multiplies it by `k`.
/// *Failure mode*: that of [`jain`]; and it grows with the number of units, so compare it only at equal `n`.
/// *Source*: the inverse of Herfindahl's and Simpson's index; Hill 1973 (diversity number of order 2).
///
/// ```
/// use learnability::index::participation_ratio;
/// assert_eq!(participation_ratio(&[3.0, 3.0, 0.0, 0.0]), Some(2.0));
/// ```
#[doc(alias = "inverse_simpson")]
pub fn participation_ratio(u: &[f64]) -> Option<f64> {
    Some(jain(u)? * u.len() as f64)
}

/// Effective number of units `N₁ = exp(−Σ p ln p)` with `p = u / Σu`: the number of equal units of the same entropy.
///
/// *Range*: `[1, n]`.
/// *Invariances*: permutation, scale; replicating the population `k` times multiplies it by `k`.
/// *Failure mode*: it grows with the number of units, so compare it only at equal `n`.
/// *Source*: Hill 1973 (diversity number of order 1).
///
/// ```
/// use learnability::index::effective_number;
/// assert_eq!(effective_number(&[3.0, 0.0, 0.0]), Some(1.0));
/// ```
#[doc(alias = "perplexity")]
pub fn effective_number(u: &[f64]) -> Option<f64> {
    let v = relative(u)?;
    let sum: f64 = v.iter().sum();
    let minus_entropy: f64 = v
        .iter()
        .map(|x| x / sum)
        .filter(|p| 0.0 < *p)
        .map(|p| p * p.ln())
        .sum();
    Some((-minus_entropy).exp())
}

/// Gini coefficient `G = Σᵢ (2i − n − 1) u₍ᵢ₎ / (n Σu)` over the units in ascending order, `i = 1 … n`.
///
/// *Range*: `[0, (n−1)/n]`; `0` if all are equal, `(n−1)/n` if one unit has everything.
/// *Invariances*: permutation, scale, replication of the population.
/// *Failure mode*: most sensitive in the middle of the distribution, hardly to its tails; the upper end depends on `n`.
/// *Source*: Gini 1912.
///
/// ```
/// use learnability::index::gini;
/// assert_eq!(gini(&[1.0, 1.0, 0.0, 0.0]), Some(0.5));
/// ```
pub fn gini(u: &[f64]) -> Option<f64> {
    let mut v = relative(u)?;
    v.sort_by(f64::total_cmp);
    let n = v.len() as f64;
    let sum: f64 = v.iter().sum();
    let ranked: f64 = v
        .iter()
        .zip(1u32..)
        .map(|(x, i)| (2.0 * f64::from(i) - n - 1.0) * x)
        .sum();
    Some((ranked / (n * sum)).max(0.0))
}

/// Theil's index `T = ln n + Σ p ln p = mean(v ln v)` with `p = u / Σu` and `v = u / mean u`, in nats.
///
/// *Range*: `[0, ln n]`; `ln n` if one unit has everything.
/// *Invariances*: permutation, scale, replication of the population; it decomposes over groups, see
/// [`theil_decomposition`].
/// *Failure mode*: a silent unit contributes no more than a merely small one; the upper end depends on `n`.
/// *Source*: Theil 1967.
///
/// ```
/// use learnability::index::theil;
/// assert_eq!(theil(&[2.0, 2.0]), Some(0.0));
/// ```
pub fn theil(u: &[f64]) -> Option<f64> {
    Some(mean(&relative(u)?, entropy_excess))
}

/// The two parts of Theil's index over groups of units; their sum is [`theil`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TheilDecomposition {
    /// `Σ_g s_g T_g`: inequality inside the groups, weighted by the share `s_g` of each. At least 0, in nats.
    pub within: f64,
    /// `Σ_g s_g ln(s_g / (n_g / n))`: inequality between the means of the groups. At least 0, in nats.
    pub between: f64,
}

/// Theil's index split into inequality within and between groups, for example layers within stages.
///
/// `groups[i]` is any label of the group of unit `i`.
/// *Range, invariances, failure mode*: as [`theil`], and the split depends on how the groups were cut.
/// *Source*: Theil 1967.
///
/// # Panics
/// If `groups` and `u` differ in length.
///
/// ```
/// use learnability::index::{theil, theil_decomposition};
/// let u = [4.0, 3.0, 2.0, 1.0];
/// let parts = theil_decomposition(&u, &[0, 0, 1, 1]).unwrap();
/// assert!((parts.within + parts.between - theil(&u).unwrap()).abs() < 1e-15);
/// ```
pub fn theil_decomposition(u: &[f64], groups: &[usize]) -> Option<TheilDecomposition> {
    assert_eq!(
        u.len(),
        groups.len(),
        "theil_decomposition: one group label per unit"
    );
    let v = relative(u)?;
    let n = v.len() as f64;
    let mut totals: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (x, group) in v.iter().zip(groups) {
        let (sum, count) = totals.entry(*group).or_default();
        *sum += x;
        *count += 1.0;
    }
    let between = totals
        .values()
        .map(|(sum, count)| count / n * entropy_excess(sum / count))
        .sum();
    let within = v
        .iter()
        .zip(groups)
        .map(|(x, group)| {
            let (sum, count) = totals[group];
            let group_mean = sum / count;
            // A group with nothing has no share, whatever its inside looks like.
            if 0.0 < group_mean {
                group_mean / n * entropy_excess(x / group_mean)
            } else {
                0.0
            }
        })
        .sum();
    Some(TheilDecomposition { within, between })
}

/// Atkinson's index `A_ε = 1 − (mean u^(1−ε))^(1/(1−ε)) / mean u`; for `ε = 1`, one minus geometric over arithmetic mean.
///
/// `epsilon ≥ 0` is the aversion to units that have little: at 0 the index is 0, and as it grows the index tends to
/// `1 − min u / mean u`. Report 0.5, 1 and 2.
///
/// *Range*: `[0, 1]`; exactly 1 for `ε ≥ 1` as soon as one unit has nothing.
/// *Invariances*: permutation, scale, replication of the population.
/// *Failure mode*: for `ε ≥ 1` a single silent unit saturates it, whatever the others do. `None` also if `epsilon` is
/// negative or not finite.
/// *Source*: Atkinson 1970.
///
/// ```
/// use learnability::index::atkinson;
/// assert_eq!(atkinson(&[1.0, 1.0, 0.0], 1.0), Some(1.0));
/// assert!((atkinson(&[4.0, 1.0], 1.0).unwrap() - 0.2).abs() < 1e-15); // 1 − 2 / 2.5
/// ```
pub fn atkinson(u: &[f64], epsilon: f64) -> Option<f64> {
    if !(epsilon.is_finite() && 0.0 <= epsilon) {
        return None;
    }
    let v = relative(u)?;
    let exponent = 1.0 - epsilon;
    if exponent == 0.0 {
        return Some((-mean(&v, f64::ln).exp_m1()).max(0.0));
    }
    if exponent < 0.0 && v.contains(&0.0) {
        return Some(1.0);
    }
    // ln mean v^(1−ε), shifted by its largest term so that no power overflows, and through exp_m1 so that ε → 1 is smooth.
    let powers: Vec<f64> = v.iter().map(|x| exponent * x.ln()).collect();
    let largest = powers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_mean = largest + mean(&powers, |x| (x - largest).exp_m1()).ln_1p();
    Some((-(log_mean / exponent).exp_m1()).max(0.0))
}

/// Rawls' floor `min u / mean u`: what the unit that is worst off has, relative to the average.
///
/// *Range*: `[0, 1]`; 0 as soon as one unit has nothing, 1 if all are equal.
/// *Invariances*: permutation, scale, replication of the population.
/// *Failure mode*: a single noisy unit decides it; give an interval over seeds.
/// *Source*: after the difference principle of Rawls 1971.
///
/// ```
/// use learnability::index::floor;
/// assert_eq!(floor(&[1.0, 3.0]), Some(0.5));
/// ```
#[doc(alias = "rawls")]
pub fn floor(u: &[f64]) -> Option<f64> {
    Some(relative(u)?.into_iter().fold(1.0, f64::min))
}

/// A floor that one noisy unit does not decide: the quantile `q` of `u` over its mean.
///
/// Interpolated linearly between the order statistics; at `q = 0` it is [`floor`]. Report 0.05 beside it.
///
/// *Range*: `[0, 1/(1−q)]`, since the share `1 − q` of the units has at least the quantile.
/// *Invariances*: permutation, scale; replication only up to the interpolation.
/// *Failure mode*: up to the share `q` of the units may be silent unseen. `None` also if `q` is not in `[0, 1)`.
/// *Source*: interpolation as definition 7 of Hyndman & Fan 1996.
///
/// ```
/// use learnability::index::floor_quantile;
/// assert_eq!(floor_quantile(&[0.0, 1.0, 2.0, 1.0, 1.0], 0.25), Some(1.0));
/// ```
pub fn floor_quantile(u: &[f64], q: f64) -> Option<f64> {
    if !(0.0..1.0).contains(&q) {
        return None;
    }
    let mut v = relative(u)?;
    v.sort_by(f64::total_cmp);
    Some(quantile(&v, q))
}

/// Dynamic range `log₁₀ (u₉₀ / u₁₀)` in decades, with the quantiles interpolated linearly in `log u` between the order
/// statistics.
///
/// For geometric access `u_i = rⁱ` it is `0.8 (n − 1) |log₁₀ r|`.
///
/// *Range*: `[0, ∞)`; `None` if the lower quantile rests on a unit with `u = 0`, where the range is unbounded and
/// [`silent_fraction`] speaks.
/// *Invariances*: permutation, scale; replication only up to the interpolation.
/// *Failure mode*: the outer tenths of the units are ignored, so up to a tenth may be silent unseen.
/// *Source*: interpolation as definition 7 of Hyndman & Fan 1996, applied to logarithms.
///
/// ```
/// use learnability::index::dynamic_range;
/// assert!((dynamic_range(&[1e-6, 1e-3, 1.0]).unwrap() - 4.8).abs() < 1e-12);
/// ```
pub fn dynamic_range(u: &[f64]) -> Option<f64> {
    if !is_access(u) {
        return None;
    }
    let mut decades: Vec<f64> = u.iter().map(|x| x.log10()).collect();
    decades.sort_by(f64::total_cmp);
    let range = quantile(&decades, 0.9) - quantile(&decades, 0.1);
    range.is_finite().then_some(range)
}

/// Level-aware fairness `Λ = mean(φ) · J(φ) = (Σφ)³ / (n² Σφ²)` with `φ_i = min(1, u_i / r)`; 0 if all `φ_i` are 0.
///
/// `reference` is `r > 0`, fixed before looking: for instance the median over units of the healthy control arm at the
/// same step. Where each unit has its own, divide first and pass 1.
///
/// *Range*: `[0, 1]`; 1 if every unit is at or above the reference, `c` if all are at `c·r` with `c ≤ 1`, `(k/n)²` if
/// `k` of `n` are at the reference and the others have nothing.
/// *Invariances*: permutation, replication of the population, joint scale of `u` and `r`; not scale of `u` alone, and
/// that is its purpose.
/// *Failure mode*: it depends on `r` (report two), and it is not monotone: raising the unit that is best off, while it is
/// below the reference, can lower it. `None` also if `reference` is not finite and positive.
/// *Source*: defined here; `J` is [`jain`].
///
/// ```
/// use learnability::index::level_aware;
/// assert_eq!(level_aware(&[1.0, 1.0, 0.0, 0.0], 1.0), Some(0.25));
/// assert_eq!(level_aware(&[0.0, 0.0], 1.0), Some(0.0));
/// ```
#[doc(alias = "lambda")]
pub fn level_aware(u: &[f64], reference: f64) -> Option<f64> {
    if !(is_access(u) && reference.is_finite() && 0.0 < reference) {
        return None;
    }
    let phi: Vec<f64> = u.iter().map(|x| (x / reference).min(1.0)).collect();
    // The only undefined case that is left for Jain is φ = 0, where the level alone says it all.
    Some(mean(&phi, |x| x) * jain(&phi).unwrap_or(0.0))
}

/// Silent fraction `#{i : unit i is silent} / n`.
///
/// Which unit is silent is for the caller to say, over a window of steps and not at one: at the first step of a
/// zero-initialised branch half the parameters have no gradient, and at the second all of them have.
///
/// *Range*: `[0, 1]`; `None` for no units.
/// *Invariances*: permutation, replication of the population, and whatever the definition of silence ignores.
/// *Failure mode*: a threshold in disguise; see [`crate::silence`] for one without a tuned scale.
/// *Source*: defined here.
///
/// ```
/// use learnability::index::silent_fraction;
/// assert_eq!(silent_fraction(&[true, false, false, false]), Some(0.25));
/// ```
pub fn silent_fraction(silent: &[bool]) -> Option<f64> {
    let count = silent.iter().filter(|s| **s).count();
    (!silent.is_empty()).then(|| count as f64 / silent.len() as f64)
}

/// Whether `u` holds at least one unit, and finite values of at least 0 only.
fn is_access(u: &[f64]) -> bool {
    !u.is_empty() && u.iter().all(|x| x.is_finite() && 0.0 <= *x)
}

/// `u / mean u`, or `None` where shares are undefined.
fn relative(u: &[f64]) -> Option<Vec<f64>> {
    let largest = u.iter().copied().fold(0.0, f64::max);
    if !is_access(u) || largest == 0.0 {
        return None;
    }
    // By the largest first: squares and sums of vanished or exploded gradients would leave the range of f64.
    let mut v: Vec<f64> = u.iter().map(|x| x / largest).collect();
    let average = mean(&v, |x| x);
    for x in &mut v {
        *x /= average;
    }
    Some(v)
}

/// Definition 7 of Hyndman & Fan 1996, of values in ascending order.
fn quantile(ascending: &[f64], q: f64) -> f64 {
    let position = q * (ascending.len() - 1) as f64;
    let below = position.floor();
    let low = ascending[below as usize];
    let high = ascending[position.ceil() as usize];
    // Two equal order statistics first: −∞ − (−∞) is not a number.
    if low == high {
        low
    } else {
        low + (position - below) * (high - low)
    }
}

fn mean(v: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    v.iter().map(|x| f(*x)).sum::<f64>() / v.len() as f64
}

/// `v ln v − v + 1`, which is at least 0 and has the same mean as `v ln v` where `v` has mean 1.
fn entropy_excess(v: f64) -> f64 {
    let d = v - 1.0;
    if v == 0.0 {
        1.0
    } else if v < 0.5 {
        v * v.ln() - d
    } else {
        // Near 1 the two terms cancel to d²/2; ln_1p keeps what is left.
        (v * d.ln_1p() - d).max(0.0)
    }
}
