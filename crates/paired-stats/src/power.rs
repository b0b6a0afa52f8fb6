//! How many seeds a question needs.

use rand::{Rng, RngCore};
use rand_distr::StandardNormal;
use statrs::function::gamma::ln_gamma;

use crate::distribution::{
    chi_square_quantile, normal_cdf, normal_critical, normal_quantile, t_critical,
};
use crate::error::Error;
use crate::moments::{check_finite, check_not_negative, check_open_unit};
use crate::quadrature::gauss_legendre;
use crate::sign_flip::{sign_flip, sign_flip_floor};

/// The most seeds that a plan is told; reaching it means "this many or more".
pub const MAX_SEEDS: usize = 1000;

/// Seeds beyond which the power of sign flips is taken for that of the t test.
const SIMULATED_LIMIT: usize = 24;

/// Standard deviations beyond which a larger effect changes no sign any more.
const LARGEST_EFFECT: f64 = 1e3;

/// Nodes of the integral over the sample standard deviation; 96 leave an error below 1e-8.
const NODES: usize = 96;

/// Power of the two-sided paired t test, P(|T'| > t_(n−1, 1 − alpha/2)), where T' is noncentral t
/// with n − 1 degrees of freedom and noncentrality effect · √n.
///
/// `effect` is the mean contrast over its standard deviation **across seeds**, after pairing;
/// pairing raises it by 1/√(1 − correlation). The integral over the sample standard deviation is
/// done numerically.
///
/// # Errors
///
/// An effect that is not finite, fewer than 2 seeds, or an alpha outside (0, 1).
///
/// ```
/// assert!((paired_stats::power_t(1.0, 10, 0.05)? - 0.80).abs() < 0.005);
/// # Ok::<(), paired_stats::Error>(())
/// ```
pub fn power_t(effect: f64, n: usize, alpha: f64) -> Result<f64, Error> {
    check_finite("effect", effect)?;
    check_open_unit("alpha", alpha)?;
    if n < 2 {
        return Err(Error::TooFewSeeds {
            method: "the power of the t test",
            needed: 2,
            found: n,
        });
    }
    let nodes = gauss_legendre(NODES);
    Ok(upper_tail(&nodes, effect, n, alpha) + upper_tail(&nodes, -effect, n, alpha))
}

/// Seeds for the lower bound of the 1 − `alpha` interval to exceed `delta` with probability
/// `power`, if the true mean contrast is `mean` and its standard deviation across seeds is `sd`.
///
/// `mean` is oriented, so that positive is the direction registered. The least n >= 2 whose power
/// for the effect (mean − delta)/sd suffices; `Some(MAX_SEEDS)` means that many or more; `None`
/// when the mean does not exceed delta, where no number of seeds helps.
///
/// # Errors
///
/// A mean, sd or delta that is not finite, a negative sd or delta, or a power or alpha outside
/// (0, 1).
///
/// ```
/// use paired_stats::seeds_needed;
///
/// assert_eq!(seeds_needed(1.0, 1.0, 0.0, 0.8, 0.05)?, Some(10));
/// assert_eq!(seeds_needed(0.1, 1.0, 0.2, 0.8, 0.05)?, None);
/// # Ok::<(), paired_stats::Error>(())
/// ```
pub fn seeds_needed(
    mean: f64,
    sd: f64,
    delta: f64,
    power: f64,
    alpha: f64,
) -> Result<Option<usize>, Error> {
    check_plan(mean, sd, delta, power, alpha)?;
    let margin = mean - delta;
    let nodes = gauss_legendre(NODES);
    Ok((0.0 < margin).then(|| {
        let guess = roughly(margin / sd, power, alpha);
        fewest(guess, |n| {
            power <= upper_tail(&nodes, margin / sd, n, alpha)
        })
    }))
}

/// Seeds for the 1 − `alpha` interval to lie inside (−`delta`, `delta`) with probability `power`,
/// if the true mean contrast is `mean` and its standard deviation across seeds is `sd`.
///
/// Counts the two ways to fail as if they excluded each other, which errs on the side of more
/// seeds. `Some(MAX_SEEDS)` means that many or more; `None` when the mean lies outside.
///
/// # Errors
///
/// As [`seeds_needed`].
pub fn seeds_needed_equal(
    mean: f64,
    sd: f64,
    delta: f64,
    power: f64,
    alpha: f64,
) -> Result<Option<usize>, Error> {
    check_plan(mean, sd, delta, power, alpha)?;
    let nodes = gauss_legendre(NODES);
    let miss = |n, margin: f64| 1.0 - upper_tail(&nodes, margin / sd, n, alpha);
    let suffices = |n| miss(n, delta - mean) + miss(n, delta + mean) <= 1.0 - power;
    Ok((mean.abs() < delta).then(|| {
        let guess = roughly((delta - mean.abs()) / sd, power, alpha);
        fewest(guess, suffices)
    }))
}

/// Power of the exact two-sided sign-flip test, as the share of `studies` simulated normal ones in
/// which it rejects in the direction of the effect.
///
/// Its standard error is √(power · (1 − power)/studies), 0.6 % at most with 6000. Below the number
/// of seeds whose floor reaches alpha it is 0 exactly; beyond 24 seeds it is that of the t test,
/// from which it differs by less than a percent there.
///
/// # Errors
///
/// An effect that is not finite, fewer than 2 seeds, an alpha outside (0, 1), or no study.
pub fn power_sign_flip(
    effect: f64,
    n: usize,
    alpha: f64,
    studies: usize,
    rng: &mut dyn RngCore,
) -> Result<f64, Error> {
    let by_t = power_t(effect, n, alpha)?;
    if studies == 0 {
        return Err(Error::TooFewDraws {
            method: "the power of the sign-flip test",
            needed: 1,
            found: 0,
        });
    }
    // The nudge forgives the rounding of alpha = 0.05 / family.
    let alpha = alpha * (1.0 + 1e-12);
    if alpha < sign_flip_floor(n) {
        return Ok(0.0);
    }
    if SIMULATED_LIMIT < n {
        return Ok(by_t);
    }
    let mut hits = 0;
    for _ in 0..studies {
        let values: Vec<f64> = (0..n)
            .map(|_| effect + rng.sample::<f64, _>(StandardNormal))
            .collect();
        let along = 0.0 < effect * values.iter().sum::<f64>();
        hits += usize::from((along || effect == 0.0) && sign_flip(&values)?.p <= alpha);
    }
    Ok(hits as f64 / studies as f64)
}

/// Seeds for the sign-flip test of the contrast less `delta` to reject in the direction registered
/// with probability `power`; as [`seeds_needed`], which it never undercuts, with the power of
/// [`power_sign_flip`] in place of that of the t test.
///
/// # Errors
///
/// As [`seeds_needed`]; and no study.
pub fn seeds_needed_sign_flip(
    mean: f64,
    sd: f64,
    delta: f64,
    power: f64,
    alpha: f64,
    studies: usize,
    rng: &mut dyn RngCore,
) -> Result<Option<usize>, Error> {
    let Some(by_t) = seeds_needed(mean, sd, delta, power, alpha)? else {
        return Ok(None);
    };
    // With no variance, or next to none, all signs agree and the floor alone decides.
    let effect = ((mean - delta) / sd).min(LARGEST_EFFECT);
    let mut n = by_t;
    while n <= SIMULATED_LIMIT && power_sign_flip(effect, n, alpha, studies, rng)? < power {
        n += 1;
    }
    Ok(Some(n))
}

/// The interval of a standard deviation across seeds that was estimated from `n` of them:
/// sd · √(ν/χ²_ν(½ ± confidence/2)), ν = n − 1.
///
/// Wide for a pilot: 4 seeds leave 0.57 to 3.7 times the estimate at 95 %. A plan made with its
/// upper end holds with that confidence.
///
/// # Errors
///
/// A negative or infinite sd, fewer than 2 seeds, or a confidence outside (0, 1).
///
/// ```
/// let (low, high) = paired_stats::sd_interval(1.0, 8, 0.95)?;
/// assert!((low - 0.661).abs() < 1e-3 && (high - 2.035).abs() < 1e-3);
/// # Ok::<(), paired_stats::Error>(())
/// ```
pub fn sd_interval(sd: f64, n: usize, confidence: f64) -> Result<(f64, f64), Error> {
    check_not_negative("sd", sd)?;
    check_open_unit("confidence", confidence)?;
    if n < 2 {
        return Err(Error::TooFewSeeds {
            method: "the interval of a standard deviation",
            needed: 2,
            found: n,
        });
    }
    let bound = |p: f64| sd * ((n - 1) as f64 / chi_square_quantile(p, n - 1)).sqrt();
    Ok((bound(0.5 + 0.5 * confidence), bound(0.5 - 0.5 * confidence)))
}

fn check_plan(mean: f64, sd: f64, delta: f64, power: f64, alpha: f64) -> Result<(), Error> {
    check_finite("mean", mean)?;
    check_not_negative("sd", sd)?;
    check_not_negative("delta", delta)?;
    check_open_unit("power", power)?;
    check_open_unit("alpha", alpha)
}

/// The seeds of a normal approximation, ((z_alpha + z_power)/effect)² + z_alpha²/2, at least 2.
fn roughly(effect: f64, power: f64, alpha: f64) -> usize {
    let (z_alpha, z_power) = (normal_critical(alpha), normal_quantile(power));
    (((z_alpha + z_power) / effect).powi(2) + 0.5 * z_alpha * z_alpha).clamp(2.0, MAX_SEEDS as f64)
        as usize
}

/// The least n in 2..=[`MAX_SEEDS`] that `suffices`, which must hold from some n on; the cap if
/// none does. Begins at a guess and doubles its strides, since each try is an integral.
fn fewest(guess: usize, suffices: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (2, MAX_SEEDS);
    let (mut next, mut stride) = (guess.min(MAX_SEEDS - 1), 1);
    while low < high {
        if suffices(next) {
            high = next;
        } else {
            low = next + 1;
        }
        // From the end that was moved last, as far as the stride goes and the bracket allows.
        let ahead = if next < low {
            low.saturating_add(stride) - 1
        } else {
            high.saturating_sub(stride)
        };
        let inside = low <= ahead && ahead < high;
        next = if inside { ahead } else { (low + high) / 2 };
        stride *= 2;
    }
    low
}

/// P(T' > c), T' noncentral t with n − 1 degrees of freedom and noncentrality effect · √n, and c
/// the two-sided critical value at `alpha`.
///
/// Given the sample standard deviation s (in units of the true one), T' > c is a normal event:
/// P = ∫ Φ(effect·√n − c·s) f(s) ds, with f the density of s = √(χ²_ν/ν).
fn upper_tail(nodes: &[(f64, f64)], effect: f64, n: usize, alpha: f64) -> f64 {
    if effect.is_infinite() {
        return if 0.0 < effect { 1.0 } else { 0.0 };
    }
    let df = (n - 1) as f64;
    let critical = t_critical(alpha, n - 1);
    let noncentrality = effect * (n as f64).sqrt();
    let ln_constant = 2.0_f64.ln() + 0.5 * df * (0.5 * df).ln() - ln_gamma(0.5 * df);
    let integrand = |s: f64| {
        let ln_density = ln_constant + (df - 1.0) * s.ln() - 0.5 * df * s * s;
        normal_cdf(noncentrality - critical * s) * ln_density.exp()
    };
    // s has standard deviation about 1/√(2ν) around 1, and normal tails.
    let reach = 12.0 / (2.0 * df).sqrt();
    let (low, high) = ((1.0 - reach).max(0.0), 1.0 + reach);
    // s = low + (high − low)·x³ crowds the points near 0, where Φ falls within 1/c.
    let sum: f64 = nodes
        .iter()
        .map(|(node, weight)| {
            let x = 0.5 * (1.0 + node);
            1.5 * weight * x * x * integrand(low + (high - low) * x.powi(3))
        })
        .sum();
    ((high - low) * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn power_table_at_five_percent() {
        let effects = [0.5, 1.0, 1.5, 2.0];
        for (n, row) in [
            (5, [0.14, 0.40, 0.70, 0.91]),
            (6, [0.17, 0.50, 0.84, 0.97]),
            (8, [0.24, 0.67, 0.94, 1.0]),
            (10, [0.28, 0.81, 0.99, 1.0]),
            (15, [0.45, 0.94, 1.0, 1.0]),
            (20, [0.57, 0.99, 1.0, 1.0]),
            (30, [0.77, 1.0, 1.0, 1.0]),
        ] {
            for (effect, expected) in effects.into_iter().zip(row) {
                let found = power_t(effect, n, 0.05).unwrap();
                assert!(
                    (found - expected).abs() < 0.02,
                    "n {n}, d {effect}: {found}"
                );
            }
        }
    }

    #[test]
    fn thirty_four_pairs_for_a_medium_effect() {
        // The usual textbook plan, 80 % power for d = 0.5: 33 pairs do not suffice.
        assert!(power_t(0.5, 33, 0.05).unwrap() < 0.8);
        assert!((power_t(0.5, 34, 0.05).unwrap() - 0.807_777).abs() < 1e-5);
    }

    #[test]
    fn without_effect_power_is_the_level() {
        for n in [2, 3, 4, 8, 30, 1000] {
            for alpha in [0.2, 0.05, 0.001] {
                let found = power_t(0.0, n, alpha).unwrap();
                assert!(
                    (found / alpha - 1.0).abs() < 1e-6,
                    "n {n}, alpha {alpha}: {found}"
                );
            }
        }
    }

    #[test]
    fn seeds_needed_is_the_first_that_suffices() {
        for (mean, sd, delta) in [(1.0, 1.0, 0.0), (0.5, 1.0, 0.1), (0.02, 0.01, 0.005)] {
            let n = seeds_needed(mean, sd, delta, 0.8, 0.05).unwrap().unwrap();
            let effect = (mean - delta) / sd;
            assert!(0.8 <= power_t(effect, n, 0.05).unwrap());
            assert!(power_t(effect, n - 1, 0.05).unwrap() < 0.8);
        }
    }

    #[test]
    fn seeds_needed_at_the_edges() {
        assert_eq!(seeds_needed(0.2, 1.0, 0.2, 0.8, 0.05).unwrap(), None);
        assert_eq!(seeds_needed(-1.0, 1.0, 0.0, 0.8, 0.05).unwrap(), None);
        assert_eq!(
            seeds_needed(0.001, 1.0, 0.0, 0.8, 0.05).unwrap(),
            Some(MAX_SEEDS)
        );
        assert_eq!(seeds_needed(1.0, 0.0, 0.5, 0.8, 0.05).unwrap(), Some(2));
        assert!(seeds_needed(f64::NAN, 1.0, 0.5, 0.8, 0.05).is_err());
        assert!(seeds_needed(1.0, -1.0, 0.5, 0.8, 0.05).is_err());
    }

    #[test]
    fn equality_needs_more_seeds_than_one_bound() {
        let one_bound = seeds_needed(1.0, 1.0, 0.0, 0.8, 0.05).unwrap().unwrap();
        let both = seeds_needed_equal(0.0, 1.0, 1.0, 0.8, 0.05)
            .unwrap()
            .unwrap();
        // Two bounds at 90 % power each instead of one at 80 %.
        assert_eq!(
            both,
            seeds_needed(1.0, 1.0, 0.0, 0.9, 0.05).unwrap().unwrap()
        );
        assert!(one_bound < both);
        assert_eq!(seeds_needed_equal(1.0, 1.0, 1.0, 0.8, 0.05).unwrap(), None);
        assert_eq!(
            seeds_needed_equal(-0.5, 0.0, 1.0, 0.8, 0.05).unwrap(),
            Some(2)
        );
    }

    #[test]
    fn sign_flip_power_at_its_floor_is_that_all_signs_agree() {
        let mut rng = ChaCha8Rng::seed_from_u64(13);
        for effect in [0.5_f64, 1.0, 2.0] {
            let expected = normal_cdf(effect).powi(6);
            let found = power_sign_flip(effect, 6, 0.05, 20_000, &mut rng).unwrap();
            assert!((found - expected).abs() < 0.011, "{found} vs {expected}");
        }
        assert_eq!(power_sign_flip(2.0, 5, 0.05, 10, &mut rng).unwrap(), 0.0);
        // One of 128 pairs of mirrored flips is the floor of 8 seeds; six such contrasts still fit.
        assert!(0.0 < power_sign_flip(2.0, 8, 0.05 / 6.0, 100, &mut rng).unwrap());
        assert_eq!(
            power_sign_flip(2.0, 8, 0.05 / 7.0, 100, &mut rng).unwrap(),
            0.0
        );
    }

    #[test]
    fn sign_flips_need_a_few_more_seeds_than_t() {
        let mut rng = ChaCha8Rng::seed_from_u64(14);
        let mut plan = |sd: f64, power: f64| {
            seeds_needed_sign_flip(1.0, sd, 0.0, power, 0.05, 4000, &mut rng)
                .unwrap()
                .unwrap()
        };
        assert_eq!(plan(0.0, 0.8), 6);
        assert!((10..=11).contains(&plan(1.0, 0.8)));
        assert_eq!(
            Some(plan(4.0, 0.9)),
            seeds_needed(1.0, 4.0, 0.0, 0.9, 0.05).unwrap()
        );
        assert_eq!(
            seeds_needed_sign_flip(0.1, 1.0, 0.1, 0.8, 0.05, 10, &mut rng).unwrap(),
            None
        );
    }

    #[test]
    fn a_pilot_of_four_leaves_a_wide_sd() {
        // χ²_3 at 0.975 and 0.025: 9.348404, 0.215795.
        let (low, high) = sd_interval(2.0, 4, 0.95).unwrap();
        assert!((low - 2.0 * (3.0_f64 / 9.348_403_604).sqrt()).abs() < 1e-6);
        assert!((high - 2.0 * (3.0_f64 / 0.215_795_283).sqrt()).abs() < 1e-4);
        assert!(sd_interval(1.0, 1, 0.95).is_err() && sd_interval(-1.0, 4, 0.95).is_err());
    }
}
