//! What the network predicts, as an affine map from its output to the denoiser.
//!
//! A "prediction type" is a preconditioner: one row of this table, for x = α x₀ + σ ε and data of standard deviation s.
//!
//! | row | F predicts | skip | out |
//! |---|---|---|---|
//! | [`Epsilon`] | ε | 1/α | −σ/α |
//! | [`CleanSample`] | x₀ | 0 | 1 |
//! | [`Velocity`] | (α ε − σ x₀)/r, r² = α² + σ² | α/r² | −σ/r |
//! | [`Edm`] | the residual, to unit variance | α s²/v, v = α² s² + σ² | σ s/√v |
//!
//! In all rows, input = 1/√(α² s² + σ²), so that the network sees unit variance, and label = ln(σ/α)/4.

use noise_schedule::Kernel;

use crate::Error;

/// The four numbers of D(x; k) = skip · x + out · F(input · x, label).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficients {
    /// Multiplies the noisy point; it is a skip connection around the network.
    #[doc(alias = "c_skip")]
    pub skip: f64,
    /// Multiplies the network's output.
    #[doc(alias = "c_out")]
    pub out: f64,
    /// Multiplies the noisy point before the network sees it.
    #[doc(alias = "c_in")]
    pub input: f64,
    /// What the network is told about the level.
    #[doc(alias = "c_noise")]
    pub label: f64,
}

/// What the network is asked at each level.
///
/// One method is required. Implement [`residual_signal`](Preconditioner::residual_signal) too where 1 − α skip has a
/// closed form, so that scores and targets at low noise are free of cancellation.
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::{Epsilon, Preconditioner};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = Kernel::new(0.6, 0.8)?;
/// let c = Epsilon::unit().at(kernel);
/// let (x0, noise) = (0.7, -1.3);
/// let x = kernel.alpha() * x0 + kernel.sigma() * noise;
/// assert!((c.skip * x + c.out * noise - x0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub trait Preconditioner {
    /// The coefficients at the level `k`.
    fn at(&self, k: Kernel) -> Coefficients;

    /// 1 − α · skip: the share of x₀ that skip · x leaves to the network.
    fn residual_signal(&self, k: Kernel) -> f64 {
        1.0 - k.alpha() * self.at(k).skip
    }

    /// (a, b) of score = a · x + b · F, without cancellation: a = −residual/σ², b = α · out/σ².
    ///
    /// Both are infinite or NaN at σ = 0, where a denoiser implies no score.
    fn score_at(&self, k: Kernel) -> (f64, f64) {
        let variance = k.sigma() * k.sigma();
        // `0.0 -` rather than a sign flip: Epsilon gets +0.
        (
            0.0 - self.residual_signal(k) / variance,
            k.alpha() * self.at(k).out / variance,
        )
    }

    /// (p, q) of the target F* = p · x₀ + q · ε for which D = x₀, without cancellation.
    ///
    /// F* = (x₀ − skip · x)/out with x = α x₀ + σ ε, so p = residual/out and q = −skip · σ/out.
    /// They are NaN where out = 0, as for [`Epsilon`] at σ = 0.
    fn target_at(&self, k: Kernel) -> (f64, f64) {
        let c = self.at(k);
        (self.residual_signal(k) / c.out, -c.skip * k.sigma() / c.out)
    }
}

/// (a, b) of score = a · x + b · F for the score (α D − x)/σ²: a = (α skip − 1)/σ², b = α out/σ².
///
/// The score is the gradient of the log-density of x (Tweedie's formula; Efron 2011).
/// a is exactly 0 where skip is 1/α.
/// Other rows lose about eps/σ² of relative accuracy in a: prefer [`Preconditioner::score_at`] when the row is at hand.
/// Both are infinite or NaN at σ = 0.
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::{Epsilon, Preconditioner, score_coefficients};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = Kernel::variance_exploding(0.1)?;
/// let (a, b) = score_coefficients(kernel, Epsilon::unit().at(kernel));
/// assert_eq!(a, 0.0);
/// assert!((b + 10.0).abs() < 1e-12); // score = -eps/sigma
/// # Ok(())
/// # }
/// ```
pub fn score_coefficients(k: Kernel, c: Coefficients) -> (f64, f64) {
    let variance = k.sigma() * k.sigma();
    let removed = if c.skip == 1.0 / k.alpha() {
        0.0
    } else {
        k.alpha() * c.skip - 1.0
    };
    (removed / variance, k.alpha() * c.out / variance)
}

/// F predicts the noise ε (Ho et al. 2020). At α = 0 nothing can be recovered and the coefficients are infinite.
#[doc(alias = "noise prediction")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epsilon {
    scaling: Scaling,
}

impl Preconditioner for Epsilon {
    fn at(&self, k: Kernel) -> Coefficients {
        self.scaling.row(k, 1.0 / k.alpha(), -k.sigma() / k.alpha())
    }

    fn residual_signal(&self, _: Kernel) -> f64 {
        0.0
    }
}

/// F predicts the clean sample x₀: no skip connection around the network.
#[doc(alias = "x0 prediction")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanSample {
    scaling: Scaling,
}

impl Preconditioner for CleanSample {
    fn at(&self, k: Kernel) -> Coefficients {
        self.scaling.row(k, 0.0, 1.0)
    }

    fn residual_signal(&self, _: Kernel) -> f64 {
        1.0
    }
}

/// F predicts v = (α ε − σ x₀)/√(α² + σ²), the velocity of Salimans and Ho 2022 where α² + σ² = 1.
///
/// The root makes the row the same for a kernel and its rescaling, so that it also serves variance-exploding levels.
#[doc(alias = "v prediction")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Velocity {
    scaling: Scaling,
}

impl Preconditioner for Velocity {
    fn at(&self, k: Kernel) -> Coefficients {
        let norm = k.alpha().hypot(k.sigma());
        self.scaling
            .row(k, k.alpha() / (norm * norm), -k.sigma() / norm)
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        (k.sigma() / k.alpha().hypot(k.sigma())).powi(2)
    }
}

/// F predicts what the best linear denoiser misses, scaled to unit variance (Karras et al. 2022, table 1).
///
/// Written for x = α x₀ + σ ε: with α = 1 it is the paper's row.
#[doc(alias = "karras")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edm {
    scaling: Scaling,
}

impl Preconditioner for Edm {
    fn at(&self, k: Kernel) -> Coefficients {
        let std = self.scaling.data_std;
        let norm = self.scaling.norm(k);
        self.scaling
            .row(k, k.alpha() * (std / norm).powi(2), k.sigma() * std / norm)
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        (k.sigma() / self.scaling.norm(k)).powi(2)
    }
}

macro_rules! constructors {
    ($($row:ident),*) => {$(
        impl $row {
            /// The row for data of standard deviation `data_std` per coordinate.
            ///
            /// # Errors
            /// [`Error::NotPositive`] unless 0 < `data_std` < ∞.
            pub fn new(data_std: f64) -> Result<$row, Error> {
                Ok($row { scaling: Scaling { data_std: Error::positive("data_std", data_std)? } })
            }

            /// The row for data of unit variance.
            pub fn unit() -> $row {
                $row { scaling: Scaling { data_std: 1.0 } }
            }
        }
    )*};
}
constructors!(Epsilon, CleanSample, Velocity, Edm);

/// The largest |ln(σ/α)| that a label shows; ±ln(10⁸).
const LOG_LIMIT: f64 = 18.420680743952367;

/// What all rows share: the scale of the input, and the label.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scaling {
    data_std: f64,
}

impl Scaling {
    /// The standard deviation of x, √(α² s² + σ²).
    fn norm(self, k: Kernel) -> f64 {
        (k.alpha() * self.data_std).hypot(k.sigma())
    }

    fn row(self, k: Kernel, skip: f64, out: f64) -> Coefficients {
        // Clamped: the clean level (sigma = 0) and pure noise (alpha = 0) need a finite label too.
        let label = (-0.5 * k.log_snr()).clamp(-LOG_LIMIT, LOG_LIMIT) / 4.0;
        Coefficients {
            skip,
            out,
            input: 1.0 / self.norm(k),
            label,
        }
    }
}
