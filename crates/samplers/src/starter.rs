//! How multistep methods begin: single steps from one level, whose order does not cap that of what follows.

use noise_schedule::Kernel;

use crate::dpm_solver::{Integrand, Tableau};
use crate::stepper::{is_variance_preserving, renoised};
use crate::{Denoiser, VectorSpace};

/// How a multistep method takes its first steps, before it remembers enough of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// Orders 1, 2, 3, … until its own is reached, one evaluation each: what published implementations do.
    ///
    /// The first step, of order 1, limits every method of order 3 and more to order 2.
    Rising,
    /// Single steps of one order less than the method's until lower multistep orders are as good:
    /// the start then keeps the method's order, for a few more evaluations in the first steps.
    Full,
}

impl Start {
    /// The order of the single step that a method of this order begins with when it remembers so many levels;
    /// none where the multistep formula through what it remembers is as good.
    pub(crate) fn single_step(self, order: u32, remembered: usize) -> Option<u32> {
        // Through k remembered levels and the present one the local error is O(h^(k + 2)), and O(h^order) is allowed.
        (self == Start::Full && (remembered as u32) + 2 < order).then(|| order - 1)
    }
}

/// One single step of this order, 1 to 3, in as many evaluations: the state at `to`, and D at `from`.
///
/// To sigma = 0 and from alpha = 0 it is DDIM's step, in one evaluation.
/// The levels in between are those of [`intermediate`].
///
/// # Panics
/// If `order` is not 1, 2 or 3.
pub(crate) fn start<X: VectorSpace>(
    order: u32,
    model: &mut dyn Denoiser<X>,
    x: &X,
    from: Kernel,
    to: Kernel,
) -> (X, X) {
    let denoised = model.denoise(x, from);
    let state = match order {
        1 => renoised(x, &denoised, from, to.alpha(), to.sigma()),
        2 | 3 => Tableau::lu2022(order).step(Integrand::Denoised, model, x, &denoised, from, to),
        _ => panic!("start: no single step of order {order}; there are 1, 2 and 3"),
    };
    (state, denoised)
}

/// The level between two others whose ln(alpha/sigma) is that of `from` plus `fraction` of the way to `to`.
///
/// Its scale continues what the two have in common: the same alpha (variance exploding), the same alpha + sigma (flows),
/// and else alpha² + sigma², geometrically (constant for variance preserving).
///
/// # Panics
/// If either level has alpha = 0 or sigma = 0: there is nothing between.
pub(crate) fn intermediate(from: Kernel, to: Kernel, fraction: f64) -> Kernel {
    let between = |start: f64, end: f64| start + fraction * (end - start);
    let log_snr = between(from.log_snr(), to.log_snr());
    assert!(log_snr.is_finite(), "no level between {from:?} and {to:?}");
    let (first, last) = (from.alpha() + from.sigma(), to.alpha() + to.sigma());
    let level = if from.alpha() == to.alpha() {
        Kernel::new(from.alpha(), from.alpha() * (-0.5 * log_snr).exp())
    } else if (first - last).abs() < 1e-12 * first && !is_variance_preserving(from) {
        let ratio = (-0.5 * log_snr).exp();
        Kernel::new(first / (1.0 + ratio), first * ratio / (1.0 + ratio))
    } else {
        let norm = |level: Kernel| level.alpha().hypot(level.sigma()).ln();
        let unit = Kernel::variance_preserving(log_snr);
        let scale = between(norm(from), norm(to)).exp();
        Kernel::new(scale * unit.alpha(), scale * unit.sigma())
    };
    level.expect("a level between two finite ones is finite")
}

#[cfg(test)]
mod tests {
    use noise_schedule::{NoiseSchedule, Rectified, VpLinear};

    use super::*;

    #[test]
    fn intermediate_levels_stay_on_their_schedule() {
        let vp = VpLinear::song2021();
        let exploding = |sigma| Kernel::variance_exploding(sigma).unwrap();
        let pairs = [
            (vp.kernel(0.9), vp.kernel(0.2)),
            // The same alpha + sigma, and no flow.
            (
                Kernel::variance_preserving(-1.0),
                Kernel::variance_preserving(1.0),
            ),
            (Rectified.kernel(0.9), Rectified.kernel(0.2)),
            (exploding(9.0), exploding(0.3)),
        ];
        let constant: [fn(Kernel) -> f64; 4] = [
            |k| k.alpha().hypot(k.sigma()),
            |k| k.alpha().hypot(k.sigma()),
            |k| k.alpha() + k.sigma(),
            |k| k.alpha(),
        ];
        for ((from, to), constant) in pairs.into_iter().zip(constant) {
            for fraction in [0.0, 0.3, 0.5, 1.0] {
                let level = intermediate(from, to, fraction);
                let expected = from.log_snr() + fraction * (to.log_snr() - from.log_snr());
                assert!((level.log_snr() - expected).abs() < 1e-12);
                assert!((constant(level) - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn full_starts_cost_what_they_must() {
        let single = |order, remembered| Start::Full.single_step(order, remembered);
        assert_eq!(single(1, 0), None);
        assert_eq!(single(2, 0), None);
        assert_eq!((single(3, 0), single(3, 1)), (Some(2), None));
        assert_eq!(
            (single(4, 0), single(4, 1), single(4, 2)),
            (Some(3), Some(3), None)
        );
        assert_eq!(Start::Rising.single_step(4, 0), None);
    }
}
