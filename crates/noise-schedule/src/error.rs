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
    /// The rates of a linear schedule must be finite, in order, and not negative.
    #[error(
        "linear beta: 0 <= beta_min <= beta_max and 0 < beta_max < infinity must hold, got beta_min {beta_min} and beta_max {beta_max}; the values of Song et al. are 0.1 and 20"
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
    /// The ends of a log-SNR must be representable and in order.
    #[error(
        "log-SNR schedule: -1000 <= log_snr_min < log_snr_max <= 1000 must hold, got log_snr_min {log_snr_min} and log_snr_max {log_snr_max}"
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
    /// Every discrete beta must lie in the open interval (0, 1), but for the last, which may be 1.
    #[error(
        "discrete schedule: every beta must lie in (0, 1), and only the last may be 1, got {beta} at index {index}"
    )]
    DiscreteBeta {
        /// Position of the value, from 0.
        index: usize,
        /// The value.
        beta: f64,
    },
    /// Alpha-bars must fall strictly inside (0, 1), but for the last, which may be 0.
    #[error(
        "discrete schedule: alpha_bar must fall strictly inside (0, 1), and only the last may be 0, got {alpha_bar} after {before} at index {index}; a list that rises is usually in the order of sampling: reverse it"
    )]
    AlphaBarOrder {
        /// Position of the value, from 0.
        index: usize,
        /// The value before it (1 before the first).
        before: f64,
        /// The value.
        alpha_bar: f64,
    },
    /// Rescaling to zero terminal SNR needs a last level that is noisier than the first.
    #[error(
        "zero terminal SNR: the last alpha_bar must lie below the first, got first {first} and last {last}; a table needs two levels"
    )]
    TerminalSnr {
        /// The first alpha_bar.
        first: f64,
        /// The last alpha_bar.
        last: f64,
    },
    /// A parameter must be positive and finite.
    #[error("{what} must be positive and finite, got {value}")]
    NotPositive {
        /// The thing and its parameter.
        what: &'static str,
        /// The value.
        value: f64,
    },
    /// The shift of a cosine log-SNR must fall.
    #[error(
        "cosine log-SNR: noise_low <= noise_high must hold, got noise_low {noise_low} and noise_high {noise_high}; otherwise the log-SNR may rise"
    )]
    SideOrder {
        /// Side whose noise is matched at t = 1.
        noise_low: f64,
        /// Side whose noise is matched at t = 0.
        noise_high: f64,
    },
    /// A parameter must be finite.
    #[error("{what} must be finite, got {value}")]
    NotFinite {
        /// The thing and its parameter.
        what: &'static str,
        /// The value.
        value: f64,
    },
    /// A decaying pace along the straight line must move forward, and its ends must differ.
    #[error(
        "decay schedule: gamma must lie in (0, 1], alpha_min and sigma_min in [0, 1), got gamma {gamma}, alpha_min {alpha_min} and sigma_min {sigma_min}"
    )]
    Decay {
        /// The decay factor.
        gamma: f64,
        /// Scale of the signal at t = 1.
        alpha_min: f64,
        /// Scale of the noise at t = 0.
        sigma_min: f64,
    },
    /// A share must lie in [0, 1].
    #[error("warm-up schedule: the fraction must lie in [0, 1], got {fraction}")]
    Fraction {
        /// The share of the levels.
        fraction: f64,
    },
    /// The sigmoid schedule must run upwards.
    #[error(
        "sigmoid schedule: start < end must hold, both finite, got start {start} and end {end}; Jabri et al. use -3 and 3"
    )]
    SigmoidRange {
        /// Argument of the sigmoid at t = 0.
        start: f64,
        /// Argument of the sigmoid at t = 1.
        end: f64,
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
    /// The power of a grid in time must be positive and finite.
    #[error("grid: the power of time must be positive and finite, got {power}; 2 is quadratic")]
    TimePower {
        /// The power.
        power: f64,
    },
    /// The shapes of a beta distribution must be moderate.
    #[error(
        "grid: the shapes of a beta distribution must lie in [0.01, 100], got a {a} and b {b}; Lee et al. use 0.6 for both"
    )]
    BetaShape {
        /// First shape.
        a: f64,
        /// Second shape.
        b: f64,
    },
    /// The rate of the VP process between two levels must not be negative.
    #[error(
        "VP grid: the rate must not be negative between eps and 1, got {at_eps} at eps and {at_one} at 1; widen the range of sigma, or lower eps"
    )]
    VpRates {
        /// Rate at t = eps.
        at_eps: f64,
        /// Rate at t = 1.
        at_one: f64,
    },
    /// The bound on the ratio of neighbouring alpha-bars must lie in (0, 1].
    #[error(
        "iDDPM grid: c1 must lie in (0, 1] and above e^-700, got {c1}; Karras et al. use 0.001"
    )]
    IddpmRatio {
        /// The bound.
        c1: f64,
    },
    /// A shift of flow matching must be positive and finite.
    #[error("flow grid: the shift must be positive and finite, got {ratio}; 1 is no shift")]
    FlowShift {
        /// The factor s.
        ratio: f64,
    },
    /// Only rectified levels are stretched, to a terminal sigma below 1.
    #[error(
        "flow grid: terminal must lie in [0, 1) and every level have alpha + sigma = 1, got terminal {terminal}; make the grid with Grid::flow"
    )]
    FlowTerminal {
        /// The sigma to end at.
        terminal: f64,
    },
    /// A share of the original steps must lie in (0, 1].
    #[error(
        "LCM timesteps: 0 < strength <= 1 must hold, got {strength}; 1 uses all original steps"
    )]
    Strength {
        /// The share.
        strength: f64,
    },
    /// More levels cannot be visited than there are.
    #[error(
        "timesteps: there are {levels} levels to choose from, got {steps} steps; ask for at most {levels}"
    )]
    TooManySteps {
        /// Timesteps asked for.
        steps: usize,
        /// Levels there are.
        levels: usize,
    },
    /// A timestep is the index of a level.
    #[error("timesteps: each must lie below the number of levels, {levels}, got {timestep}")]
    TimestepRange {
        /// The timestep.
        timestep: usize,
        /// The number of levels.
        levels: usize,
    },
    /// An integer stride must give the number of steps.
    #[error(
        "timesteps: no integer stride through {train} levels gives {steps} steps; use Spacing::Leading, or another number"
    )]
    NoStride {
        /// Timesteps asked for.
        steps: usize,
        /// Levels there are.
        train: usize,
    },
    /// RePaint's jumps have a length, and a level is visited at least once.
    #[error(
        "RePaint path: jump_length and jump_samples must be at least 1, got {jump_length} and {jump_samples}; Lugmayr et al. use 10 and 10"
    )]
    Jump {
        /// Levels climbed by one jump.
        jump_length: usize,
        /// Visits of each level that is jumped from.
        jump_samples: usize,
    },
    /// A restart begins at more noise than it ends at.
    #[error(
        "restart path: a segment must begin noisier than the level of the grid where it ends, got noise_to_signal {from} and {to}; raise sigma_max"
    )]
    RestartBelow {
        /// Noise-to-signal ratio at the beginning of the segment.
        from: f64,
        /// Noise-to-signal ratio of the level of the grid.
        to: f64,
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
    /// The levels of a ladder go from data to noise.
    #[error(
        "ladder: noise_to_signal must never fall, got {after} after {before} at index {index}; list the levels from data to noise"
    )]
    NoiseFalls {
        /// Position of the level that is too clean, from 0.
        index: usize,
        /// Noise-to-signal ratio of the level before it.
        before: f64,
        /// Its own noise-to-signal ratio.
        after: f64,
    },
    /// Each level of a ladder has a weight.
    #[error("ladder: there must be as many weights as levels, got {weights} for {levels}")]
    WeightCount {
        /// How many levels there are.
        levels: usize,
        /// How many weights there are.
        weights: usize,
    },
    /// The weights of a ladder must be finite and not negative.
    #[error("ladder: every weight must be finite and not negative, got {weight} at index {index}")]
    Weight {
        /// Position of the weight, from 0.
        index: usize,
        /// The weight.
        weight: f64,
    },
    /// Times with a mode must rise with u.
    #[error(
        "times with a mode: -1 <= scale <= 2/(pi - 2) must hold, got {scale}; Esser et al. use 1.29"
    )]
    ModeScale {
        /// The scale.
        scale: f64,
    },
    /// The shapes of a beta distribution must be moderate.
    #[error("beta times: both shapes must lie in [0.01, 1000], got {a} and {b}")]
    BetaShapes {
        /// Exponent of t, plus 1.
        a: f64,
        /// Exponent of 1 - t, plus 1.
        b: f64,
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

/// Refuses a parameter that is not finite.
pub(crate) fn check_finite(what: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(Error::NotFinite { what, value })
    }
}

/// Refuses a parameter that is not positive and finite.
pub(crate) fn check_positive(what: &'static str, value: f64) -> Result<(), Error> {
    if 0.0 < value && value.is_finite() {
        Ok(())
    } else {
        Err(Error::NotPositive { what, value })
    }
}
