//! What the network predicts, as an affine map from its output to the denoiser.
//!
//! A "prediction type" is a preconditioner: one row of this table, for x = α x₀ + σ ε and data of standard deviation s.
//!
//! | row | F predicts | skip | out |
//! |---|---|---|---|
//! | [`Epsilon`] | ε | 1/α | −σ/α |
//! | [`CleanSample`] | x₀ | 0 | 1 |
//! | [`Velocity`] | (α ε − σ x₀)/r, r² = α² + σ² | α/r² | −σ/r |
//! | [`Score`] | ∇ log q(x) = −ε/σ | 1/α | σ²/α |
//! | [`Edm`] | the residual, to unit variance | α s²/v, v = α² s² + σ² | σ s/√v |
//! | [`EdmVelocity`] | the same with the other sign; v where s = 1 | α s²/v | −σ s/√v |
//! | [`KarrasVe`] | −ε | 1/α | σ/α |
//! | [`FlowVelocity`] | ε − x₀, or its negative | 1/(α + σ) | ∓σ/(α + σ) |
//! | [`PathVelocity`] | α′ x₀ + σ′ ε, or its negative | σ′/d, d = α σ′ − σ α′ | ∓σ/d |
//! | [`PreviousMean`] | E\[x_s given x_t, x₀\] | −c_t/c₀ | 1/c₀ |
//! | [`Consistency`] | x₀, with D = x/α at the smallest level | α s²/w, w = (σ − α σ_min)² + α² s² | (σ − α σ_min) s/√v |
//!
//! In the rows with a `data_std`, input = 1/√(α² s² + σ²), so that the network sees unit variance, and
//! label = ln(σ/α)/4; [`Labelled`] replaces the label.
//! The flow rows, [`KarrasVe`] and [`Consistency`] have the inputs and labels of their sources.

use noise_schedule::Kernel;

pub use consistency::{Boundary, Consistency, LatentConsistency};
pub use flow::{Direction, FlowVelocity, PathVelocity};
pub use label::{Label, Labelled};
pub use previous::PreviousMean;
pub use rows::{CleanSample, Edm, EdmVelocity, Epsilon, KarrasVe, Score, Velocity};

mod consistency;
mod flow;
pub mod label;
mod previous;
mod rows;

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
/// One method is required.
/// Implement the others too where they have closed forms, so that scores and targets at low noise are free of
/// cancellation, and finite at the ends of the scale.
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
#[doc(alias = "parameterization")]
#[doc(alias = "prediction_type")]
pub trait Preconditioner {
    /// The coefficients at the level `k`.
    fn at(&self, k: Kernel) -> Coefficients;

    /// 1 − α · skip: the share of x₀ that skip · x leaves to the network.
    fn residual_signal(&self, k: Kernel) -> f64 {
        1.0 - k.alpha() * self.at(k).skip
    }

    /// (a, b) of score = a · x + b · F, without cancellation: a = −residual/σ², b = α · out/σ².
    ///
    /// At σ = 0 a denoiser implies no score: what is provided here, and the rows of this crate but [`Score`], give
    /// infinities or NaN there.
    fn score_at(&self, k: Kernel) -> (f64, f64) {
        let variance = k.sigma() * k.sigma();
        // `0.0 -` rather than a sign flip: a row without residual gets +0.
        (
            0.0 - self.residual_signal(k) / variance,
            k.alpha() * self.at(k).out / variance,
        )
    }

    /// (p, q) of the target F* = p · x₀ + q · ε for which D = x₀, without cancellation.
    ///
    /// F* = (x₀ − skip · x)/out with x = α x₀ + σ ε, so p = residual/out and q = −skip · σ/out.
    /// What is provided here is NaN where out = 0; the rows of this crate give the limit.
    fn target_at(&self, k: Kernel) -> (f64, f64) {
        let c = self.at(k);
        (self.residual_signal(k) / c.out, -c.skip * k.sigma() / c.out)
    }

    /// The same row with another label for the level: a closure, or what [`label`] offers.
    ///
    /// ```
    /// use noise_schedule::Kernel;
    /// use score_objective::{Epsilon, Preconditioner, label};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let kernel = Kernel::new(0.6, 0.8)?;
    /// assert_eq!(Epsilon::unit().labelled(|k: Kernel| k.sigma()).at(kernel).label, 0.8);
    /// let angle = Epsilon::unit().labelled(label::angle).at(kernel).label;
    /// assert!((angle - 0.5903).abs() < 1e-4);
    /// # Ok(())
    /// # }
    /// ```
    fn labelled<L: Label>(self, label: L) -> Labelled<Self, L>
    where
        Self: Sized,
    {
        Labelled::new(self, label)
    }
}

impl<P: Preconditioner + ?Sized> Preconditioner for &P {
    fn at(&self, k: Kernel) -> Coefficients {
        (**self).at(k)
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        (**self).residual_signal(k)
    }

    fn score_at(&self, k: Kernel) -> (f64, f64) {
        (**self).score_at(k)
    }

    fn target_at(&self, k: Kernel) -> (f64, f64) {
        (**self).target_at(k)
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

/// What the rows with a `data_std` share: the scale of the input, and the label.
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
        Coefficients {
            skip,
            out,
            input: 1.0 / self.norm(k),
            label: label::quarter_log(k),
        }
    }
}
