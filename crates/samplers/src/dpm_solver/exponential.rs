//! The exact linear part of a step, and the weights of what it integrates.

use noise_schedule::Kernel;

use super::{Integrand, SecondOrder, half_log_snr};
use crate::phi::phi;

/// One step of the variation of constants, for the integrand's Taylor polynomial at the start of the step:
///
/// x_to = state x + Σ_k weight(k) h^k v^(k) + noise z, where v^(k) is the k-th derivative in λ, h = λ_to − λ_from, and
///
/// - for [`Integrand::Denoised`], with H = (1 + η) h:
///   state = (sigma_to/sigma_from) e^(−ηh), weight(k) = alpha_to H φ_(k+1)(−H), noise = sigma_to √(1 − e^(−2ηh));
/// - for [`Integrand::Noise`]:
///   state = alpha_to/alpha_from, weight(k) = −(1 + η) sigma_to h φ_(k+1)(h), noise = sigma_to √(η (e^(2h) − 1)).
///
/// η = 0 is the probability flow, η = 1 the reversed diffusion; any η ≥ 0 has the same marginals.
/// To more noise (h < 0) there is no diffusion to reverse: such a step is the flow's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exponential {
    pub(crate) state: f64,
    /// The weights of h^k v^(k) for k = 0, 1, 2.
    pub(crate) weights: [f64; 3],
    pub(crate) noise: f64,
}

impl Exponential {
    /// The step between two levels with alpha and sigma positive.
    pub(crate) fn new(integrand: Integrand, eta: f64, from: Kernel, to: Kernel) -> Exponential {
        let h = half_log_snr(to) - half_log_snr(from);
        let eta = if h < 0.0 { 0.0 } else { eta };
        let length = (1.0 + eta) * h;
        let weights = |scale, z| [1, 2, 3].map(|k| scale * length * phi(k, z));
        match integrand {
            Integrand::Denoised => Exponential {
                state: to.sigma() / from.sigma() * (-eta * h).exp(),
                weights: weights(to.alpha(), -length),
                noise: to.sigma() * (-(-2.0 * eta * h).exp_m1()).sqrt(),
            },
            Integrand::Noise => Exponential {
                state: to.alpha() / from.alpha(),
                weights: weights(-to.sigma(), h),
                noise: to.sigma() * (eta * (2.0 * h).exp_m1()).sqrt(),
            },
        }
    }

    /// The weight of the slope h v′ in a step of second order.
    pub(crate) fn slope(&self, second: SecondOrder) -> f64 {
        match second {
            SecondOrder::Midpoint => 0.5 * self.weights[0],
            SecondOrder::Heun => self.weights[1],
        }
    }

    /// The step through the values at `from` and at the levels before, of order one more than there are of these.
    ///
    /// `back` has their distances in λ, each from the next newer one, in units of h; newest first.
    ///
    /// # Panics
    /// For more than two distances.
    pub(crate) fn multistep(
        &self,
        second: SecondOrder,
        curvature: Curvature,
        back: &[f64],
    ) -> Update {
        let value = self.weights[0];
        let values = match *back {
            [] => [value, 0.0, 0.0],
            [r0] => {
                let slope = self.slope(second) / r0;
                [value + slope, -slope, 0.0]
            }
            [r0, r1] => {
                // With the divided differences (v_0 − v_1)/r0 and (v_1 − v_2)/r1, the slope is the first of them and r0/(r0 + r1)
                // of their difference, and the second derivative is twice their difference over r0 + r1.
                let bend =
                    (self.weights[1] * r0 + curvature.factor() * self.weights[2]) / (r0 + r1);
                let (newer, older) = ((self.weights[1] + bend) / r0, -bend / r1);
                [value + newer, older - newer, -older]
            }
            _ => panic!("multistep: {} levels before; two at most", back.len()),
        };
        Update {
            state: self.state,
            values,
            noise: self.noise,
        }
    }
}

/// What a third-order multistep formula takes for the second derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curvature {
    /// Twice the second divided difference: third order.
    Exact,
    /// The second divided difference: what DPM-Solver, diffusers and k-diffusion do. It leaves the method at second order.
    Halved,
}

impl Curvature {
    fn factor(self) -> f64 {
        match self {
            Curvature::Exact => 2.0,
            Curvature::Halved => 1.0,
        }
    }
}

/// A step as numbers: x_to = state x + Σ values_i v_i + noise z, with the integrand's values newest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    pub(crate) state: f64,
    pub(crate) values: [f64; 3],
    pub(crate) noise: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For D a parabola in λ the step is exact, and with half the curvature it is not.
    #[test]
    fn parabolas_are_integrated_exactly() {
        let level = |half_log_snr: f64| Kernel::variance_preserving(2.0 * half_log_snr);
        let (a, b, c) = (0.3, -1.1, 0.7);
        let value = |t: f64| a + b * t + c * t * t;
        let (before, between, from, to) = (-1.3, -0.4, 0.1, 0.8);
        for integrand in [Integrand::Denoised, Integrand::Noise] {
            for eta in [0.0, 1.0] {
                let step = Exponential::new(integrand, eta, level(from), level(to));
                let h: f64 = to - from;
                let back = [(from - between) / h, (between - before) / h];
                let found = |curvature| {
                    let update = step.multistep(SecondOrder::Heun, curvature, &back);
                    let values = [from, between, before].map(value);
                    update
                        .values
                        .iter()
                        .zip(values)
                        .map(|(weight, value)| weight * value)
                        .sum::<f64>()
                };
                // The integral of the decay times the parabola, by Simpson's rule.
                let scale = match integrand {
                    Integrand::Denoised => level(to).alpha() * (1.0 + eta),
                    Integrand::Noise => -level(to).sigma() * (1.0 + eta),
                };
                let decay = match integrand {
                    Integrand::Denoised => -(1.0 + eta),
                    Integrand::Noise => 1.0,
                };
                let f = |s: f64| scale * (decay * (h - s)).exp() * value(from + s);
                let pieces = 200;
                let exact: f64 = (0..pieces)
                    .map(|i| {
                        let (left, width) =
                            (f64::from(i) * h / f64::from(pieces), h / f64::from(pieces));
                        width / 6.0 * (f(left) + 4.0 * f(left + 0.5 * width) + f(left + width))
                    })
                    .sum();
                assert!(
                    (found(Curvature::Exact) - exact).abs() < 1e-10,
                    "{integrand:?} {eta}"
                );
                assert!(
                    1e-3 < (found(Curvature::Halved) - exact).abs(),
                    "{integrand:?} {eta}"
                );
            }
        }
    }
}
