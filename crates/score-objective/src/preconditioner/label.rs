//! How a network is told the level: the labels of the sources, as functions of the kernel.
//!
//! All depend on the noise-to-signal ratio n = σ/α alone.
//!
//! | label | value | source |
//! |---|---|---|
//! | [`quarter_log`] | ln(n)/4 | Karras et al. 2022 (EDM), and the rows of this crate |
//! | [`log_half`] | ln(n/2) | Song et al. 2021, variance exploding, in Karras et al. 2022, table 1 |
//! | [`angle`] | (2/π) atan n | v-diffusion; k-diffusion's `VDenoiser` |
//! | [`Kernel::noise_to_signal`] | n | k-diffusion's `Denoiser` |
//! | [`thousand_quarter_log`] | 250 ln n | Song et al. 2023 (consistency models) |
//! | [`ScheduleTime`] | scale · t(n) | DDPM, Song et al. 2021: the schedule's own time |
//! | [`IddpmIndex`] | index of the nearest level | Nichol and Dhariwal 2021, in Karras et al. 2022, table 1 |

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, LN_2};

use noise_schedule::{Kernel, NoiseSchedule, VpLinear};

use super::{Coefficients, Preconditioner};

/// What a network is told about a level. A closure `Fn(Kernel) -> f64` is a label.
#[doc(alias = "c_noise")]
#[doc(alias = "timestep")]
pub trait Label {
    /// The label of the level `k`.
    fn label(&self, k: Kernel) -> f64;
}

impl<F: Fn(Kernel) -> f64> Label for F {
    fn label(&self, k: Kernel) -> f64 {
        self(k)
    }
}

/// A row with another label; made by [`Preconditioner::labelled`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled<P, L> {
    row: P,
    label: L,
}

impl<P, L> Labelled<P, L> {
    pub(super) fn new(row: P, label: L) -> Labelled<P, L> {
        Labelled { row, label }
    }
}

impl<P: Preconditioner, L: Label> Preconditioner for Labelled<P, L> {
    fn at(&self, k: Kernel) -> Coefficients {
        Coefficients {
            label: self.label.label(k),
            ..self.row.at(k)
        }
    }

    fn residual_signal(&self, k: Kernel) -> f64 {
        self.row.residual_signal(k)
    }

    fn score_at(&self, k: Kernel) -> (f64, f64) {
        self.row.score_at(k)
    }

    fn target_at(&self, k: Kernel) -> (f64, f64) {
        self.row.target_at(k)
    }
}

/// ln(σ/α)/4, clamped to ±ln(10⁸)/4 (Karras et al. 2022, table 1).
pub fn quarter_log(k: Kernel) -> f64 {
    log_noise_to_signal(k) / 4.0
}

/// ln(σ/(2α)), with ln(σ/α) clamped to ±ln(10⁸) (Karras et al. 2022, table 1, variance exploding).
pub fn log_half(k: Kernel) -> f64 {
    log_noise_to_signal(k) - LN_2
}

/// 250 ln(σ/α), with the logarithm clamped to ±ln(10⁸): a thousand times [`quarter_log`] (Song et al. 2023, as in their code).
pub fn thousand_quarter_log(k: Kernel) -> f64 {
    250.0 * log_noise_to_signal(k)
}

/// (2/π) atan(σ/α), in \[0, 1\]: the time of the cosine schedule without offset.
pub fn angle(k: Kernel) -> f64 {
    k.sigma().atan2(k.alpha()) * FRAC_2_PI
}

/// The time t of a schedule at which it has the level, times a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleTime<S> {
    /// The schedule whose time it is.
    pub schedule: S,
    /// Multiplies t in \[0, 1\].
    pub scale: f64,
}

impl ScheduleTime<VpLinear> {
    /// 999 t of the schedule of Song et al. 2021: with [`Epsilon::unit`](crate::Epsilon::unit) it is the
    /// variance-preserving row of Karras et al. 2022, table 1.
    #[doc(alias = "VPPrecond")]
    pub fn karras2022_vp() -> ScheduleTime<VpLinear> {
        ScheduleTime {
            schedule: VpLinear::song2021(),
            scale: 999.0,
        }
    }
}

impl<S: NoiseSchedule> Label for ScheduleTime<S> {
    fn label(&self, k: Kernel) -> f64 {
        self.scale * self.schedule.time_at(k.log_snr())
    }
}

/// The number of the nearest of the M levels of improved DDPM, 0 the cleanest.
///
/// Levels u_M = 0 and u_{j−1} = √((u_j² + 1)/max(ᾱ_{j−1}/ᾱ_j, 10⁻³) − 1), ᾱ_j = sin²(π j/(2 M · 1.008)), for j = M … 1;
/// the label of u_j is M − 1 − j.
/// With [`Epsilon::unit`](crate::Epsilon::unit) it is the iDDPM row of Karras et al. 2022, table 1.
/// The clean end u_M is no level: a σ nearer to it than to u_{M−1} has label 0, where the authors' code would say −1.
#[doc(alias = "iDDPMPrecond")]
#[derive(Debug, Clone, PartialEq)]
pub struct IddpmIndex {
    /// u_{M−1} … u_0, rising.
    levels: Vec<f64>,
}

impl IddpmIndex {
    /// The thousand levels of Karras et al. 2022, table 1: M = 1000, C₁ = 0.001, C₂ = 0.008.
    pub fn karras2022() -> IddpmIndex {
        let alpha_bar = |j: f64| (FRAC_PI_2 * j / 1000.0 / 1.008).sin().powi(2);
        let mut levels = Vec::with_capacity(1000);
        let mut square = 0.0;
        for j in (1..=1000).rev().map(f64::from) {
            let ratio = (alpha_bar(j - 1.0) / alpha_bar(j)).max(1e-3);
            // (u² + 1)/ratio - 1 without the cancellation of its last step.
            square = (square + (1.0 - ratio)) / ratio;
            levels.push(f64::sqrt(square));
        }
        IddpmIndex { levels }
    }

    /// The levels u, as noise-to-signal ratios, rising.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }
}

impl Label for IddpmIndex {
    fn label(&self, k: Kernel) -> f64 {
        let sigma = k.noise_to_signal();
        let above = self.levels.partition_point(|&u| u < sigma);
        let nearest = match above {
            0 => 0,
            n if n == self.levels.len() => n - 1,
            n if sigma - self.levels[n - 1] < self.levels[n] - sigma => n - 1,
            n => n,
        };
        nearest as f64
    }
}

/// The largest |ln(σ/α)| that a label shows; ±ln(10⁸).
const LOG_LIMIT: f64 = 18.420680743952367;

/// ln(σ/α), clamped: the clean level (σ = 0) and pure noise (α = 0) need a finite label too.
fn log_noise_to_signal(k: Kernel) -> f64 {
    (-0.5 * k.log_snr()).clamp(-LOG_LIMIT, LOG_LIMIT)
}
