//! Silence, by three definitions in order of strength.
//!
//! | | a unit is silent if | decided by | blind to |
//! |---|---|---|---|
//! | numerical | rounding absorbs its updates, `fl(w + Δw) = w` | [`absorbed_fraction`], [`is_silent`] | updates that are noise |
//! | statistical | `E g = 0` cannot be rejected | [`crate::gram::Gram::sign_flip`], then [`audible`] | what the optimiser makes of `g` |
//! | behavioural | training it alone does not lower the loss | [`crate::solo::Protocol`] | nothing but its cost |
//!
//! Regions of the data have no parameters: there the numerical definition asks whether the density is a number at all,
//! [`density_underflows`].
//!
//! A scalar update is *absorbed* if `fl(w + Δw) = w` in the type of the parameters: the optimiser has acted and nothing
//! has changed. The test is exact, has no tuned scale and takes the update as the optimiser really made it.
//!
//! *Failure modes of absorption.* A parameter that is 0 absorbs nothing, so a zero-initialised unit counts as reached by
//! the smallest update. Weight decay and momentum move parameters without a gradient. Adam divides the size of the
//! gradient out until it is near its own epsilon. And an update that is not absorbed need not be useful.

/// Share of absorbed updates above which a unit counts as silent: defined here.
pub const SILENT_ABSORBED_FRACTION: f64 = 0.99;

/// Share of the scalars of a unit that an optimiser step left as they were: `#{i : after_i = before_i} / n`.
///
/// An update of 0 is absorbed.
///
/// *Range*: `[0, 1]`.
/// *Invariances*: order of the scalars; joint scale of parameters and updates by a power of two.
/// *Failure modes*: those of absorption, at the top of this module. A value that is not a number equals nothing and counts
/// as moved, so look at divergence separately.
/// *Source*: defined here; that rounding to nearest loses small updates is why weights are kept in single precision where
/// gradients are in half, Micikevicius et al. 2018.
///
/// # Shapes
/// `before` and `after` `[n]`, `n ≥ 1`.
///
/// # Panics
/// If the two differ in length or are empty.
///
/// ```
/// use learnability::silence::{absorbed_fraction, is_silent};
///
/// let before = [1.0_f32, 1.0, 1e8, 1e-3];
/// let after = before.map(|w| w - 1e-8);
/// assert_eq!(absorbed_fraction(&before, &after), 0.75); // only the smallest weight has moved
/// assert!(!is_silent(0.75));
/// ```
pub fn absorbed_fraction(before: &[f32], after: &[f32]) -> f64 {
    assert_eq!(
        before.len(),
        after.len(),
        "absorbed_fraction: before and after differ in length"
    );
    assert!(
        !before.is_empty(),
        "absorbed_fraction: a unit has at least one scalar"
    );
    let absorbed = before.iter().zip(after).filter(|(b, a)| b == a).count();
    absorbed as f64 / before.len() as f64
}

/// Whether a unit is numerically silent at this step: `absorbed >` [`SILENT_ABSORBED_FRACTION`].
///
/// Call a unit silent only if this holds at every step of a declared window.
///
/// *Failure mode*: a threshold. A large unit of which a hundredth learns is not silent, one of which less than that learns is.
/// *Source*: defined here.
pub fn is_silent(absorbed: f64) -> bool {
    SILENT_ABSORBED_FRACTION < absorbed
}

/// Whether adding `update` to `w` leaves `w` as it is in single precision: `fl(w + update) = w`.
///
/// For normal `w` this is so if `|update|` is below half the spacing of numbers next to `w`: below `2⁻²⁵ |w|` always,
/// above `2⁻²⁴ |w|` never.
///
/// *Invariances*: sign of both; joint scale by a power of two, away from the ends of the range.
/// *Failure mode*: about single precision; in bfloat16 the spacing is `2¹⁶` times as wide.
/// *Source*: rounding to nearest, ties to even, as in IEEE 754.
///
/// ```
/// use learnability::silence::would_absorb;
/// assert!(would_absorb(1.0, 1e-8));
/// assert!(!would_absorb(1.0, 1e-6));
/// assert!(!would_absorb(0.0, 1e-30));
/// ```
pub fn would_absorb(w: f32, update: f32) -> bool {
    w + update == w
}

/// Whether a density of this logarithm is 0 in single precision, `fl(exp(ln p)) = 0`: a region that is numerically silent.
///
/// Of `exp(−r²/2)`, a Gaussian without its constant, it is so from `r = √(300 ln 2) ≈ 14.42` standard deviations on.
/// A score that is a ratio of such densities is 0/0 there; one that is computed from their logarithms is not.
///
/// *Invariances*: none; a constant factor of the density moves the edge.
/// *Failure mode*: it is about one way to compute: the same region has a score by log-sum-exp. And a density that is a
/// number may be too small for any sample to fall there.
/// *Source*: rounding to nearest, ties to even, with subnormal numbers, as in IEEE 754; for scores far from the data Song &
/// Ermon 2019, section 3.2.
///
/// ```
/// use learnability::silence::density_underflows;
/// assert!(!density_underflows(-0.5 * 14.4_f64.powi(2)));
/// assert!(density_underflows(-0.5 * 14.5_f64.powi(2)));
/// ```
pub fn density_underflows(log_density: f64) -> bool {
    log_density.exp() as f32 == 0.0
}

/// The p-values of Benjamini and Hochberg, `p̃₍ᵢ₎ = min_{j ≥ i} min(1, m p₍ⱼ₎ / j)` over the `m` given, in their order.
///
/// Give the p-values of *all* units that are judged together, for instance all cells of a map.
///
/// *Range*: `[p, 1]`. *Invariances*: order.
/// *Failure mode*: what is called audible depends on what is judged together: a hundred dead units beside a faint one can
/// silence it, and many loud ones can make it heard. The rate is a mean over repetitions and says nothing of this map; it
/// holds for tests that are independent or positively dependent (Benjamini & Yekutieli 2001), and for any others only at
/// `Σ_{j ≤ m} 1/j` times the rate.
/// *Source*: Benjamini & Hochberg 1995.
///
/// # Panics
/// If a `p` is not in `[0, 1]`: no test of this crate returns one.
#[doc(alias = "fdr")]
#[doc(alias = "q_value")]
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    for (i, p) in p.iter().enumerate() {
        assert!(
            (0.0..=1.0).contains(p),
            "p {i} must lie in [0, 1], but is {p}"
        );
    }
    let mut descending: Vec<usize> = (0..p.len()).collect();
    descending.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least = 1.0_f64;
    for (above, i) in descending.into_iter().enumerate() {
        least = least.min(p.len() as f64 * p[i] / (p.len() - above) as f64);
        adjusted[i] = least;
    }
    adjusted
}

/// Which units are heard: those with `p̃ ≤ rate` after [`benjamini_hochberg`].
///
/// Of the units that are called audible, an expected share of at most `rate` is not, if the tests are independent or
/// positively dependent. Five per cent is usual.
///
/// *Invariances*: order.
/// *Failure mode*: a unit that is not called audible may be: the test may have had too few micro-batches. And those of
/// [`benjamini_hochberg`].
/// *Source*: Benjamini & Hochberg 1995.
///
/// # Panics
/// As [`benjamini_hochberg`].
///
/// ```
/// use learnability::silence::audible;
/// assert_eq!(audible(&[0.005, 0.04, 0.02, 0.9], 0.05), [true, false, true, false]);
/// ```
pub fn audible(p: &[f64], rate: f64) -> Vec<bool> {
    benjamini_hochberg(p).iter().map(|p| *p <= rate).collect()
}
