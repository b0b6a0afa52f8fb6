//! Numerical silence: updates that rounding absorbs.
//!
//! A scalar update is *absorbed* if `fl(w + Δw) = w` in the type of the parameters: the optimiser has acted and nothing
//! has changed. The test is exact, has no tuned scale and takes the update as the optimiser really made it.
//!
//! *Failure modes.* A parameter that is 0 absorbs nothing, so a zero-initialised unit counts as reached by the smallest
//! update. Weight decay and momentum move parameters without a gradient. Adam divides the size of the gradient out until
//! it is near its own epsilon. And an update that is not absorbed need not be useful.

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
