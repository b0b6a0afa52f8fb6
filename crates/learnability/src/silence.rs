//! Silence, by three definitions in order of strength.
//!
//! | | a unit is silent if | decided by | blind to |
//! |---|---|---|---|
//! | numerical | rounding absorbs its updates, `fl(w + Δw) = w` | [`absorbed_fraction`], [`is_silent`] | updates that are noise |
//! | statistical | `E g = 0` cannot be rejected | [`crate::gram::Gram::sign_flip`], then [`audible`] | what the optimiser makes of `g` |
//! | behavioural | training it alone does not lower the loss | [`crate::solo::Protocol`] | nothing but its cost |
//!
//! A scalar update is *absorbed* if `fl(w + Δw) = w` in the type of the parameters: the optimiser has acted and nothing
//! has changed. The test is exact, has no tuned scale and takes the update as the optimiser really made it.
//!
//! *Failure modes of absorption.* A parameter that is 0 absorbs nothing, so a zero-initialised unit counts as reached by
//! the smallest update. Weight decay and momentum move parameters without a gradient. Adam divides the size of the
//! gradient out until it is near its own epsilon. And an update that is not absorbed need not be useful.

/// Share of absorbed updates above which a unit counts as silent.
pub const SILENT_ABSORBED_FRACTION: f64 = 0.99;

/// Share of the scalars of a unit that an optimiser step left as they were: `#{i : after_i = before_i} / n`.
///
/// An update of 0 is absorbed. A value that is not a number equals nothing and counts as moved, so look at divergence
/// separately.
///
/// *Range*: `[0, 1]`.
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
pub fn is_silent(absorbed: f64) -> bool {
    SILENT_ABSORBED_FRACTION < absorbed
}

/// Whether adding `update` to `w` leaves `w` as it is in single precision: `fl(w + update) = w`.
///
/// For normal `w` this is so if `|update|` is below half the spacing of numbers next to `w`: below `2⁻²⁵ |w|` always,
/// above `2⁻²⁴ |w|` never.
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

/// The p-values of Benjamini and Hochberg, `p̃₍ᵢ₎ = min_{j ≥ i} min(1, m p₍ⱼ₎ / j)` over the `m` given, in their order.
///
/// Give the p-values of *all* units that are judged together, for instance all cells of a map.
///
/// *Range*: `[p, 1]`. *Invariances*: order.
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
/// positively dependent. A unit that is not called audible may be: the test may have had too few micro-batches.
/// Five per cent is usual.
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
