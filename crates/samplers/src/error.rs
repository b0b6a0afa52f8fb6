//! The rules that constructors check.

/// A rule that a constructor of this crate found broken, with the values that broke it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The share of fresh noise must be a fraction.
    #[error(
        "ancestral stepper: eta must lie in [0, 1], got {eta}; 0 is DDIM and 1 is ancestral sampling"
    )]
    Eta {
        /// The value given.
        eta: f64,
    },
    /// The order of a method must be one that it has.
    #[error("{method}: the order must be 1 to {most}, got {order}")]
    Order {
        /// The method.
        method: &'static str,
        /// The value given.
        order: u32,
        /// The highest order.
        most: u32,
    },
    /// The amount of noise in a reversed diffusion must be finite and not negative.
    #[error(
        "reversed diffusion: eta must be finite and at least 0, got {eta}; 0 is the probability flow and 1 the usual diffusion"
    )]
    Noise {
        /// The value given.
        eta: f64,
    },
    /// The amount of noise and the levels where it is added must be in order.
    #[error(
        "tau: 0 <= tau < inf and 0 <= least <= most must hold, got tau {value} from {least} to {most}; tau 1 is the reversed diffusion"
    )]
    Tau {
        /// The amount.
        value: f64,
        /// The least noise-to-signal ratio.
        least: f64,
        /// The largest.
        most: f64,
    },
    /// A stage must lie within its step.
    #[error("stage: its fraction {name} of the step must lie in (0, 1], got {value}; 1/2 is usual")]
    Fraction {
        /// Which fraction.
        name: &'static str,
        /// The value given.
        value: f64,
    },
    /// Two stages of a method of third order must differ, and the first may not lie at 2/3.
    #[error(
        "stages of third order: r1 must differ from r2 and from 2/3, got r1 {r1} and r2 {r2}; 1/3 and 2/3 are usual"
    )]
    Fractions {
        /// The first fraction.
        r1: f64,
        /// The second fraction.
        r2: f64,
    },
    /// Churn is an amount of noise between two levels.
    #[error(
        "churn: {name} must be finite and at least 0, got {value}; only s_tmax may be infinite, for no upper end"
    )]
    Churn {
        /// The parameter.
        name: &'static str,
        /// The value given.
        value: f64,
    },
    /// The share of noise that a consistency sampler replaces must be a fraction.
    #[error(
        "consistency sampling: gamma must lie in [0, 1], got {gamma}; 0 is DDIM and 1 replaces all noise"
    )]
    Gamma {
        /// The value given.
        gamma: f64,
    },
    /// A corrector needs steps.
    #[error(
        "corrector: the signal-to-noise ratio of its steps must be positive and finite, got {snr}; 0.16 is usual"
    )]
    Snr {
        /// The value given.
        snr: f64,
    },
    /// A mask is a share of each coordinate.
    #[error(
        "inpainting: the mask must lie in [0, 1], got {value}; it is 1 where the coordinate is known"
    )]
    Mask {
        /// The value given.
        value: f64,
    },
    /// A timestep must be one of the sampler's calls.
    #[error("scheduler: no call of the network has timestep {timestep}; use one of timesteps()")]
    Timestep {
        /// The value given.
        timestep: f64,
    },
    /// Every option must be one that its owner has.
    #[error(
        "{owner}: unknown option `{name}`; check its spelling against the peer's documentation, or remove it"
    )]
    UnknownOption {
        /// Whose options they are.
        owner: String,
        /// The name that nobody knows.
        name: String,
    },
    /// An option without a default must be given.
    #[error("{owner}: option `{name}` is missing; it has no default")]
    MissingOption {
        /// Whose option it is.
        owner: String,
        /// The option.
        name: String,
    },
    /// The value of an option must be one that it may have.
    #[error("{owner}: option `{name}` must be {expected}, got {given}")]
    OptionValue {
        /// Whose option it is.
        owner: String,
        /// The option.
        name: String,
        /// What it may be.
        expected: String,
        /// What it is.
        given: String,
    },
    /// Options must not contradict each other, and a combination must be one that the peer can run.
    #[error("{owner}: {rule}, got {given}")]
    Contradiction {
        /// Whose options they are.
        owner: String,
        /// The rule that they break, with the remedy.
        rule: &'static str,
        /// The options and values that break it.
        given: String,
    },
    /// A class or function must be one that is reproduced here.
    #[error("{toolkit}: no sampler is named `{name}` here; there are {known}")]
    UnknownSampler {
        /// The toolkit.
        toolkit: &'static str,
        /// The name given.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A schedule or grid broke a rule of its own.
    #[error(transparent)]
    Levels(#[from] noise_schedule::Error),
    /// A sampler needs a step.
    #[error("sampler: at least one inference step is needed, got 0")]
    NoSteps,
    /// The weight of guidance must be finite.
    #[error("guidance: the weight must be finite, got {weight}; 1 is no guidance")]
    GuidanceWeight {
        /// The value given.
        weight: f64,
    },
    /// The levels at which guidance acts must be an interval.
    #[error(
        "guidance: 0 <= from < to must hold for the noise-to-signal ratios, got from {from} and to {to}"
    )]
    GuidanceInterval {
        /// The cleanest level, excluded.
        from: f64,
        /// The noisiest level, included.
        to: f64,
    },
    /// The numbers that tame guidance have their ranges.
    #[error(
        "guidance: a share lies in [0, 1], the parallel part is finite and not negative, a radius is positive, got {tamed:?}"
    )]
    Tamed {
        /// What was asked for.
        tamed: crate::Tamed,
    },
    /// What controls adaptive steps must be positive.
    #[error("adaptive steps: {name} must be positive and finite, got {value}")]
    Control {
        /// The parameter.
        name: &'static str,
        /// The value given.
        value: f64,
    },
    /// A controller must accept steps that keep to the tolerance.
    #[error("adaptive steps: accept must be at most 1, got {accept}; 0.81 is usual")]
    Accept {
        /// The value given.
        accept: f64,
    },
    /// Methods in ln(alpha/sigma) need ends where it is finite.
    #[error(
        "both ends need alpha and sigma positive, got alpha {alpha} and sigma {sigma}; take the step from pure noise or to clean data by Ddim"
    )]
    OpenEnd {
        /// Scale of the signal.
        alpha: f64,
        /// Scale of the noise.
        sigma: f64,
    },
    /// An adaptive method may not take steps without end.
    #[error(
        "adaptive steps: sample {sample} at ln(alpha/sigma) {log_ratio} needs a step of {step}, and {least} is the least; loosen the tolerance, or look at the denoiser there"
    )]
    LeastStep {
        /// The sample.
        sample: usize,
        /// The step that it needs.
        step: f64,
        /// The least step.
        least: f64,
        /// Where it is.
        log_ratio: f64,
    },
    /// An adaptive method has a budget of evaluations.
    #[error(
        "adaptive steps: sample {sample} spent its {budget} evaluations at ln(alpha/sigma) {log_ratio}; loosen the tolerance or raise the budget"
    )]
    Budget {
        /// The sample.
        sample: usize,
        /// The evaluations allowed.
        budget: usize,
        /// Where it is.
        log_ratio: f64,
    },
    /// A density of data that were discrete needs their levels.
    #[error(
        "dequantisation: levels and width must be positive and finite, got {levels} levels over {width}; images in [-1, 1] have 256 over 2"
    )]
    Quantisation {
        /// The number of levels.
        levels: u32,
        /// The width of the interval.
        width: f64,
    },
    /// A trace is estimated from probes.
    #[error("Hutchinson's trace: at least one probe is needed, got 0; or take the exact trace")]
    NoProbes,
    /// A model of the data's spread must be one.
    #[error("{name} must be positive and finite, got {value}")]
    Spread {
        /// What it is.
        name: &'static str,
        /// The value given.
        value: f64,
    },
}
