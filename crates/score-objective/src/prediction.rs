//! Predictions whose kind is in their type, and the conversions between all of them.

use std::ops::{Add, Mul};

use noise_schedule::Kernel;

use crate::{Error, Preconditioner};

/// What a network answered, with the row that says what it was asked.
///
/// `P` is the kind ([`Epsilon`](crate::Epsilon), [`Velocity`](crate::Velocity), …), so that a noise prediction does not
/// pass for a velocity; `X` holds the numbers: `f64`, an `ndarray::Array`, a tensor.
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::{CleanSample, Epsilon, Prediction, Velocity};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let k = Kernel::new(0.6, 0.8)?;
/// let (x0, noise) = (0.7, -1.3);
/// let x = k.alpha() * x0 + k.sigma() * noise;
/// let answer = Prediction::new(Epsilon::unit(), noise);
/// let v = answer.to(Velocity::unit(), &x, k)?;
/// assert!((v.value() - (k.alpha() * noise - k.sigma() * x0)).abs() < 1e-12);
/// assert!((v.to(CleanSample::unit(), &x, k)?.value() - x0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail
/// # use score_objective::{Epsilon, Prediction, Velocity};
/// fn wants_velocity(_: Prediction<Velocity, f64>) {}
/// wants_velocity(Prediction::new(Epsilon::unit(), 0.3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction<P, X> {
    row: P,
    value: X,
}

impl<P: Preconditioner, X> Prediction<P, X> {
    /// The answer `value` to the question of `row`.
    pub fn new(row: P, value: X) -> Prediction<P, X> {
        Prediction { row, value }
    }

    /// What was asked.
    pub fn row(&self) -> &P {
        &self.row
    }

    /// The numbers.
    pub fn value(&self) -> &X {
        &self.value
    }

    /// The numbers, without what they mean.
    pub fn into_value(self) -> X {
        self.value
    }

    /// The same statement about x₀ and ε as an answer to `row`, at the noisy point `x` of level `k`.
    ///
    /// # Errors
    /// Those of [`Conversion::between`].
    pub fn to<Q: Preconditioner>(&self, row: Q, x: &X, k: Kernel) -> Result<Prediction<Q, X>, Error>
    where
        X: Add<Output = X>,
        for<'a> &'a X: Mul<f64, Output = X>,
    {
        let conversion = Conversion::between(&self.row, &row, k)?;
        let value = x * conversion.point + &self.value * conversion.prediction;
        Ok(Prediction { row, value })
    }
}

/// The two numbers of a conversion: F_to = point · x + prediction · F_from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    /// Multiplies the noisy point.
    pub point: f64,
    /// Multiplies the prediction that is converted.
    pub prediction: f64,
}

impl Conversion {
    /// The conversion from the predictions of one row into those of another at the level `k`.
    ///
    /// A row asks for F = p x₀ + q ε ([`Preconditioner::target_at`]) beside x = α x₀ + σ ε.
    /// With Δ = α q − σ p: prediction = Δ_to/Δ_from and point = (p_to q_from − q_to p_from)/Δ_from.
    /// α² + σ² = 1 is not assumed.
    ///
    /// Predictions between rows that ask for multiples of one another convert at every level.
    /// Others convert wherever x and F determine x₀ and ε: v, EDM's F and flow velocities at every level, a prediction
    /// of ε or of the score unless α = 0, one of x₀ unless σ = 0.
    ///
    /// # Errors
    /// [`Error::Undetermined`] where the prediction and x do not determine the other one, or where that is infinite.
    pub fn between(
        from: &dyn Preconditioner,
        to: &dyn Preconditioner,
        k: Kernel,
    ) -> Result<Conversion, Error> {
        let ((p, q), (p_to, q_to)) = (from.target_at(k), to.target_at(k));
        let crossed = p_to * q - q_to * p;
        let conversion = if crossed == 0.0 {
            Conversion {
                point: 0.0,
                prediction: if p == 0.0 { q_to / q } else { p_to / p },
            }
        } else {
            let determinant = k.alpha() * q - k.sigma() * p;
            Conversion {
                point: crossed / determinant,
                prediction: (k.alpha() * q_to - k.sigma() * p_to) / determinant,
            }
        };
        if (conversion.point + conversion.prediction).is_finite() {
            Ok(conversion)
        } else {
            Err(Error::Undetermined {
                alpha: k.alpha(),
                sigma: k.sigma(),
            })
        }
    }
}

/// The three numbers of a denoiser of two answers: D = point · x + noise · ε̂ + clean · x̂₀.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixed {
    /// Multiplies the noisy point.
    pub point: f64,
    /// Multiplies the predicted noise.
    pub noise: f64,
    /// Multiplies the predicted clean sample.
    pub clean: f64,
}

impl Mixed {
    /// D = (α² (x − σ ε̂)/α + σ² x̂₀)/(α² + σ²): finite at both ends of the scale, where one of the answers counts alone.
    ///
    /// Salimans and Ho 2022 (<https://arxiv.org/abs/2202.00512>), section 4, where α² + σ² = 1.
    pub fn salimans2022(k: Kernel) -> Mixed {
        let norm = k.alpha().hypot(k.sigma());
        let (signal, noise) = (k.alpha() / norm, k.sigma() / norm);
        Mixed {
            point: signal / norm,
            noise: -signal * noise,
            clean: noise * noise,
        }
    }

    /// D = share · (x − σ ε̂)/α + (1 − share) · x̂₀, for a share that a network or a user chose.
    ///
    /// # Errors
    /// [`Error::Outside`] unless 0 ≤ `share` ≤ 1; [`Error::Undetermined`] at α = 0 unless `share` is 0.
    pub fn with_noise_share(k: Kernel, share: f64) -> Result<Mixed, Error> {
        let share = Error::within("share", 0.0, 1.0, share)?;
        if share == 0.0 {
            return Ok(Mixed {
                point: 0.0,
                noise: 0.0,
                clean: 1.0,
            });
        }
        if k.alpha() == 0.0 {
            return Err(Error::Undetermined {
                alpha: k.alpha(),
                sigma: k.sigma(),
            });
        }
        Ok(Mixed {
            point: share / k.alpha(),
            noise: -share * k.noise_to_signal(),
            clean: 1.0 - share,
        })
    }
}
