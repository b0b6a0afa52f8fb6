//! What an adaptive method keeps to, and how the lengths of its steps follow.

use crate::Error;

/// What an adaptive method is to keep to.
///
/// A step is judged by E, the root mean square over the coordinates of a sample of |high − low| / δ, where high and low are
/// the results of the pair and δ = max(absolute, relative max(|low|, |the last accepted low|)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// The tolerance relative to a coordinate of y = x/alpha, positive.
    #[doc(alias = "rtol")]
    pub relative: f64,
    /// The tolerance in units of the data, positive.
    #[doc(alias = "atol")]
    pub absolute: f64,
    /// The length of the first step in λ, positive.
    #[doc(alias = "h_init")]
    pub first_step: f64,
    /// The length in λ below which a step is an error, positive.
    pub least_step: f64,
    /// The number of evaluations of one sample beyond which there is an error.
    pub budget: usize,
    /// How the error of a step changes the next.
    pub controller: Controller,
}

impl Control {
    /// Tolerances 0.05 and 0.0078, first step 0.05: the defaults of k-diffusion's `sample_dpm_adaptive`.
    ///
    /// The tolerance 0.0078 is one of 256 levels over a width of 2.
    pub fn crowson2022(budget: usize) -> Control {
        Control {
            relative: 0.05,
            absolute: 0.0078,
            first_step: 0.05,
            least_step: 1e-9,
            budget,
            controller: Controller::integral(),
        }
    }

    /// Both tolerances 1e-5, those of score_sde's code, with a first step of 0.01.
    ///
    /// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>).
    pub fn song2021(budget: usize) -> Control {
        Control {
            relative: 1e-5,
            absolute: 1e-5,
            first_step: 0.01,
            ..Control::crowson2022(budget)
        }
    }

    /// E, from the coordinates of the results and of the last accepted low one.
    pub(super) fn error(&self, [high, low, before]: [Vec<f64>; 3]) -> f64 {
        let squares = high
            .iter()
            .zip(&low)
            .zip(&before)
            .map(|((high, low), before)| {
                let size = self.relative * low.abs().max(before.abs());
                ((high - low) / size.max(self.absolute)).powi(2)
            });
        (squares.sum::<f64>() / high.len() as f64).sqrt()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value) in [
            ("relative", self.relative),
            ("absolute", self.absolute),
            ("first_step", self.first_step),
            ("least_step", self.least_step),
            ("accept", self.controller.accept),
        ] {
            if !(0.0 < value && value.is_finite()) {
                return Err(Error::Control { name, value });
            }
        }
        let Controller {
            proportional,
            integral,
            derivative,
            accept,
        } = self.controller;
        if 1.0 < accept {
            return Err(Error::Accept { accept });
        }
        let gain = proportional + integral + derivative;
        if 0.0 < gain && (gain + proportional.abs() + derivative.abs()).is_finite() {
            Ok(())
        } else {
            Err(Error::Control {
                name: "proportional + integral + derivative",
                value: gain,
            })
        }
    }
}

/// A PID controller of step sizes, with a smooth limiter.
///
/// With e = 1/(E + 1e-8), now and at the two steps accepted before, and p the power of the step that E grows with,
/// f = (e^(P+I+D) e₁^(−P−2D) e₂^D)^(1/p); the next step, or the next attempt at this one, is longer by F = 1 + atan(f − 1),
/// which lies in (0.21, 2.58). The step is accepted if F reaches `accept`.
/// A step whose error is not finite is rejected, with the least F.
///
/// Söderlind 2003, Digital filters in adaptive time-stepping; Söderlind & Wang 2006, Adaptive time-stepping and computational stability,
/// for the limiter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controller {
    /// P.
    #[doc(alias = "pcoeff")]
    pub proportional: f64,
    /// I.
    #[doc(alias = "icoeff")]
    pub integral: f64,
    /// D.
    #[doc(alias = "dcoeff")]
    pub derivative: f64,
    /// The least F that accepts a step, in (0, 1]: with 1, no accepted step has E above 1.
    #[doc(alias = "accept_safety")]
    pub accept: f64,
}

impl Controller {
    /// I = 1 alone, accepting from F = 0.81: the defaults of k-diffusion.
    pub fn integral() -> Controller {
        Controller {
            proportional: 0.0,
            integral: 1.0,
            derivative: 0.0,
            accept: 0.81,
        }
    }

    /// F, from the errors of this attempt and of the steps accepted before.
    pub(super) fn factor(&self, inverse: f64, before: [f64; 2], exponent: f64) -> f64 {
        let Controller {
            proportional,
            integral,
            derivative,
            ..
        } = self;
        let f = (inverse.powf(proportional + integral + derivative)
            * before[0].powf(-proportional - 2.0 * derivative)
            * before[1].powf(*derivative))
        .powf(exponent.recip());
        1.0 + (f - 1.0).atan()
    }
}
