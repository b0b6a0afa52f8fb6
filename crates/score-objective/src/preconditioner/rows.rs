//! The rows that need nothing but the kernel and the scale of the data.

use noise_schedule::Kernel;

use super::{Coefficients, Preconditioner, Scaling, label};
use crate::Error;

/// F predicts the noise ε (Ho et al. 2020). At α = 0 nothing can be recovered and the coefficients are infinite.
#[doc(alias = "noise prediction")]
#[doc(alias = "pred_noise")]
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

    fn score_at(&self, k: Kernel) -> (f64, f64) {
        (0.0, -1.0 / k.sigma())
    }

    fn target_at(&self, _: Kernel) -> (f64, f64) {
        (0.0, 1.0)
    }
}

/// F predicts the clean sample x₀: no skip connection around the network.
#[doc(alias = "x0 prediction")]
#[doc(alias = "pred_x0")]
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

    fn target_at(&self, _: Kernel) -> (f64, f64) {
        (1.0, 0.0)
    }
}

/// F predicts v = (α ε − σ x₀)/√(α² + σ²), the velocity of Salimans and Ho 2022 where α² + σ² = 1.
///
/// The root makes the row the same for a kernel and its rescaling, so that it also serves variance-exploding levels.
/// All coefficients are finite at both ends of the scale.
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

    fn score_at(&self, k: Kernel) -> (f64, f64) {
        let norm = k.alpha().hypot(k.sigma());
        (-1.0 / (norm * norm), -k.alpha() / (k.sigma() * norm))
    }

    fn target_at(&self, k: Kernel) -> (f64, f64) {
        let norm = k.alpha().hypot(k.sigma());
        (-k.sigma() / norm, k.alpha() / norm)
    }
}

/// F predicts the score ∇ log q(x), whose denoising target is −ε/σ (Vincent 2011; Song and Ermon 2019).
///
/// Unlike the other rows it has a unit, 1/x: its target grows without bound as σ falls.
/// At α = 0 nothing can be recovered and the coefficients are infinite.
#[doc(alias = "score prediction")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    scaling: Scaling,
}

impl Preconditioner for Score {
    fn at(&self, k: Kernel) -> Coefficients {
        let out = k.sigma() * (k.sigma() / k.alpha());
        self.scaling.row(k, 1.0 / k.alpha(), out)
    }

    fn residual_signal(&self, _: Kernel) -> f64 {
        0.0
    }

    fn score_at(&self, _: Kernel) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn target_at(&self, k: Kernel) -> (f64, f64) {
        (0.0, -1.0 / k.sigma())
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

    fn score_at(&self, k: Kernel) -> (f64, f64) {
        let norm = self.scaling.norm(k);
        let scaled = k.alpha() * self.scaling.data_std;
        (-1.0 / (norm * norm), scaled / (k.sigma() * norm))
    }

    fn target_at(&self, k: Kernel) -> (f64, f64) {
        let std = self.scaling.data_std;
        let norm = self.scaling.norm(k);
        (k.sigma() / (std * norm), -k.alpha() * std / norm)
    }
}

/// The output of [`Edm`] with the opposite sign: v where `data_std` is 1.
///
/// It is how k-diffusion wraps networks that predict v, and what diffusers' EDM schedulers make of `v_prediction`.
/// A type of its own, since a network trained under one sign is wrong under the other.
#[doc(alias = "VDenoiser")]
#[doc(alias = "v_prediction")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdmVelocity {
    scaling: Scaling,
}

impl EdmVelocity {
    fn negated(self) -> Edm {
        Edm {
            scaling: self.scaling,
        }
    }
}

impl Preconditioner for EdmVelocity {
    fn at(&self, k: Kernel) -> Coefficients {
        let c = self.negated().at(k);
        Coefficients { out: -c.out, ..c }
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        self.negated().residual_signal(k)
    }

    fn score_at(&self, k: Kernel) -> (f64, f64) {
        let (point, output) = self.negated().score_at(k);
        (point, -output)
    }

    fn target_at(&self, k: Kernel) -> (f64, f64) {
        let (clean, noise) = self.negated().target_at(k);
        (-clean, -noise)
    }
}

/// F predicts −ε from x/α as it is: the variance-exploding row of Karras et al. 2022, table 1, after Song et al. 2021.
///
/// skip = 1/α, out = σ/α, input = 1/α and label = ln(σ/(2α)); with α = 1 they are the paper's.
/// At α = 0 nothing can be recovered and the coefficients are infinite.
#[doc(alias = "VEPrecond")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KarrasVe;

impl Preconditioner for KarrasVe {
    fn at(&self, k: Kernel) -> Coefficients {
        Coefficients {
            skip: 1.0 / k.alpha(),
            out: k.sigma() / k.alpha(),
            input: 1.0 / k.alpha(),
            label: label::log_half(k),
        }
    }

    fn residual_signal(&self, _: Kernel) -> f64 {
        0.0
    }

    fn score_at(&self, k: Kernel) -> (f64, f64) {
        (0.0, 1.0 / k.sigma())
    }

    fn target_at(&self, _: Kernel) -> (f64, f64) {
        (0.0, -1.0)
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
constructors!(Epsilon, CleanSample, Velocity, Score, Edm, EdmVelocity);
