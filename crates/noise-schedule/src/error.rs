//! The rules that constructors check.

/// A rule that a constructor of this crate found broken, with the values that broke it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A kernel's scales must be finite, not negative, and not both zero.
    #[error(
        "kernel: alpha and sigma must be finite, not negative and not both zero, got alpha {alpha} and sigma {sigma}"
    )]
    KernelScales {
        /// Scale of the signal.
        alpha: f64,
        /// Scale of the noise.
        sigma: f64,
    },
    /// Noise levels must be positive, finite and in order.
    #[error(
        "noise levels: 0 < sigma_min <= sigma_max < infinity must hold, got sigma_min {sigma_min} and sigma_max {sigma_max}"
    )]
    SigmaRange {
        /// Smallest noise level.
        sigma_min: f64,
        /// Largest noise level.
        sigma_max: f64,
    },
    /// A schedule needs noise that rises.
    #[error(
        "variance-exploding schedule: sigma_min must lie below sigma_max, got {sigma} for both; for one fixed level use Kernel::variance_exploding"
    )]
    FlatSchedule {
        /// The value given for both ends.
        sigma: f64,
    },
    /// The rates of a linear schedule must be positive, finite and in order.
    #[error(
        "linear beta: 0 < beta_min <= beta_max < infinity must hold, got beta_min {beta_min} and beta_max {beta_max}; the values of Song et al. are 0.1 and 20"
    )]
    BetaRange {
        /// Rate at t = 0.
        beta_min: f64,
        /// Rate at t = 1.
        beta_max: f64,
    },
    /// The signal must stay representable.
    #[error(
        "variance-preserving schedule: the integral of beta must be at most 1000, or alpha = exp(-integral/2) vanishes in f64, got {integral}; lower beta"
    )]
    SignalLost {
        /// The integral of beta over [0, 1].
        integral: f64,
    },
    /// The offset of the cosine schedule must be finite and not negative.
    #[error(
        "cosine schedule: the offset must be finite and not negative, got {offset}; Nichol and Dhariwal use 0.008"
    )]
    CosineOffset {
        /// The offset s.
        offset: f64,
    },
    /// The ends of a linear log-SNR must be representable and in order.
    #[error(
        "linear log-SNR: -1000 <= log_snr_min < log_snr_max <= 1000 must hold, got log_snr_min {log_snr_min} and log_snr_max {log_snr_max}"
    )]
    LogSnrRange {
        /// Log-SNR at t = 0.
        log_snr_max: f64,
        /// Log-SNR at t = 1.
        log_snr_min: f64,
    },
    /// A discrete schedule needs a level.
    #[error("discrete schedule: at least one level is needed, got none")]
    NoDiscreteLevels,
    /// Every discrete beta must lie in the open interval (0, 1).
    #[error("discrete schedule: every beta must lie in (0, 1), got {beta} at index {index}")]
    DiscreteBeta {
        /// Position of the value, from 0.
        index: usize,
        /// The value.
        beta: f64,
    },
    /// Alpha-bars must fall strictly inside (0, 1).
    #[error(
        "discrete schedule: alpha_bar must fall strictly inside (0, 1), got {alpha_bar} after {before} at index {index}; a list that rises is usually in the order of sampling: reverse it"
    )]
    AlphaBarOrder {
        /// Position of the value, from 0.
        index: usize,
        /// The value before it (1 before the first).
        before: f64,
        /// The value.
        alpha_bar: f64,
    },
    /// A grid needs a level.
    #[error("grid: at least one level is needed, got none")]
    NoLevels,
    /// A grid in time or log-SNR needs a step.
    #[error("grid: at least one step is needed, got 0")]
    NoSteps,
    /// The noise of a grid must never rise.
    #[error(
        "grid: noise_to_signal must never rise, got {after} after {before} at index {index}; list the levels from noise to data"
    )]
    NoiseRises {
        /// Position of the level that is too noisy, from 0.
        index: usize,
        /// Noise-to-signal ratio of the level before it.
        before: f64,
        /// Its own noise-to-signal ratio.
        after: f64,
    },
    /// The exponent of Karras' grid must be positive and finite.
    #[error(
        "Karras grid: rho must be positive and finite, got {rho}; Karras et al. use 7 for sampling"
    )]
    Rho {
        /// The exponent.
        rho: f64,
    },
    /// A grid runs from a late time to an earlier one.
    #[error(
        "grid: 0 <= to < from <= 1 must hold, got from {from} and to {to}; a grid runs from noise (t = 1) to data (t = 0)"
    )]
    GridTimes {
        /// Time of the first level.
        from: f64,
        /// Time of the last level.
        to: f64,
    },
    /// A level distribution runs from an early time to a later one.
    #[error("level distribution: 0 <= from < to <= 1 must hold, got from {from} and to {to}")]
    LevelTimes {
        /// Time of the cleanest level.
        from: f64,
        /// Time of the noisiest level.
        to: f64,
    },
    /// Equal steps in log-SNR need finite ends.
    #[error(
        "uniform log-SNR: the log-SNR must be finite at both ends, got {log_snr} at time {time}; stay inside (0, 1), or end the grid with then_clean"
    )]
    InfiniteLogSnr {
        /// The time asked for.
        time: f64,
        /// The log-SNR there.
        log_snr: f64,
    },
    /// The parameters of a log-normal distribution must keep every quantile finite.
    #[error(
        "log-normal levels: std must be positive and |mean| + 40 std at most 700, or sigma overflows, got mean {mean} and std {std}; Karras et al. use -1.2 and 1.2"
    )]
    LogNormal {
        /// Mean of ln sigma.
        mean: f64,
        /// Standard deviation of ln sigma.
        std: f64,
    },
}
