//! What a cell is made of: the resolved configuration, whose canonical form names the cell.
//!
//! These are mirror types of the libraries' own: a field here may not be renamed without orphaning old
//! results, a field there may. Every value is written out; nothing has a default.

use serde::{Deserialize, Serialize};

/// Everything that decides a cell's numbers, but for its seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellConfig {
    /// The distribution to learn.
    pub data: Data,
    /// The network, or the exact score in its place.
    pub network: Network,
    /// The noise levels that the network can be asked for; all arms share them.
    pub noise: NoiseLevels,
    /// The training objective: the factor "noise" of the 2×2.
    pub objective: Objective,
    /// Optimisation.
    pub training: Training,
    /// Samplers and their budgets.
    pub sampling: Sampling,
    /// Sizes of the measurements.
    pub probes: Probes,
    /// Another value draws other initial weights, data, levels and noise: the A/A arm.
    pub nuisance: u32,
    /// Device class and threads, since they change the order of sums.
    pub numerics: Numerics,
}

/// The distribution to learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Data {
    /// 0.8 N((5,5), I) + 0.2 N((−5,−5), I) (Song & Ermon 2019).
    SongErmon {},
    /// The sphere of `intrinsic` − 1 dimensions and radius `radius`, embedded at random in `ambient` dimensions.
    Sphere {
        /// Dimension of the linear space that the sphere spans; 2 is a circle.
        intrinsic: usize,
        /// Dimension of the space it is embedded in.
        ambient: usize,
        /// Radius.
        radius: f64,
    },
    /// Mixture of four stationary Gaussian random fields on a 16×16 torus.
    GaussianField {},
    /// Images from files.
    Images {
        /// Name of the set: where its files are looked for, and how the report calls it.
        name: String,
        /// Images at the end of the files that are kept back as fresh data.
        held_out: usize,
        /// Digest of the decoded images, filled in by the plan; `""` in a study.
        digest: String,
        /// Channels, height and width, filled in by the plan; `[0, 0, 0]` in a study.
        shape: [usize; 3],
    },
}

/// The network that is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Network {
    /// No network: the exact score stands in its place and nothing is trained.
    Exact {},
    /// `resnet_blocks::ResidualMlp`.
    Mlp {
        /// Hidden width.
        width: usize,
        /// Residual blocks of two square layers each.
        blocks: usize,
        /// Nonlinearity.
        activation: Activation,
        /// Short skip: the factor "skip" of the 2×2.
        short: ShortSkip,
        /// Initial weights.
        init: Init,
    },
    /// `unet::UNet`.
    Unet {
        /// Channels of the finest level.
        base: usize,
        /// Channel multiplier of each level.
        multipliers: Vec<usize>,
        /// Blocks of each level.
        blocks: usize,
        /// Nonlinearity.
        activation: Activation,
        /// Normalisation inside the blocks.
        norm: Norm,
        /// Short skip around each block.
        short: ShortSkip,
        /// Long skip from encoder to decoder.
        long: LongSkip,
        /// Initial weights.
        init: Init,
    },
}

/// Nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x·sigmoid(x).
    Silu,
    /// max(x, 0).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

/// Normalisation inside the blocks of a U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// None.
    None,
    /// Group normalisation.
    Group,
}

/// Short skip around a block's branch F.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortSkip {
    /// F(h): the plain network.
    None,
    /// h + F(h).
    Identity,
    /// h + F(h)/√blocks.
    InverseSqrtDepth,
    /// h + b·F(h).
    Scaled(f64),
}

/// Long skip from encoder to decoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongSkip {
    /// Nothing is passed.
    None,
    /// (a + b)/√2: no parameters.
    Add,
    /// Concatenation of a and b: adds parameters.
    Concat,
}

/// Initial weights by their names in the literature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// PyTorch's default: variance 1/(3 fan_in), uniform biases.
    Pytorch,
    /// He et al. 2015: variance 2/fan_in, zero biases.
    He,
    /// Orthogonal matrices, zero biases.
    Orthogonal,
    /// Xiao et al. 2018: kernels zero but for an orthogonal centre.
    DeltaOrthogonal,
    /// Orthogonal, then layer-sequential unit variance (Mishkin & Matas 2016), centred.
    OrthogonalLsuv,
    /// Delta-orthogonal, then layer-sequential unit variance, centred.
    DeltaOrthogonalLsuv,
}

/// Variance-exploding noise levels (alpha = 1) and the scale of the data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseLevels {
    /// Smallest level; also the constant that the noise-off arm feeds to the noise embedding.
    pub sigma_min: f64,
    /// Largest level.
    pub sigma_max: f64,
    /// Scale of a coordinate of the data, its standard deviation or root mean square: the network sees x/√(data_std² + sigma²).
    pub data_std: f64,
}

/// The training objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Objective {
    /// Sliced score matching, variance-reduced, on clean data (Song et al. 2019): noise off.
    Sliced {},
    /// The same with the directional derivative as a difference of two passes (Pang et al. 2020): noise off.
    SlicedDifferences {
        /// Length of the difference, in units of the data.
        step: f64,
    },
    /// Denoising score matching over log-uniform levels, weight sigma² on the score (Vincent 2011,
    /// Song & Ermon 2019): noise on.
    Denoising {},
}

impl ShortSkip {
    /// In words, for the set-up lines of a report.
    pub fn words(self) -> String {
        match self {
            ShortSkip::None => "no skip".to_owned(),
            ShortSkip::Identity => "h + F(h)".to_owned(),
            ShortSkip::InverseSqrtDepth => "h + F(h)/√blocks".to_owned(),
            ShortSkip::Scaled(b) => format!("h + {b}·F(h)"),
        }
    }
}

impl LongSkip {
    /// In words, for the set-up lines of a report.
    pub fn words(self) -> &'static str {
        match self {
            LongSkip::None => "nothing",
            LongSkip::Add => "(a + b)/√2",
            LongSkip::Concat => "the concatenation of a and b",
        }
    }
}

impl Objective {
    /// In words, for the set-up lines of a report.
    pub fn words(self) -> String {
        match self {
            Objective::Sliced {} => "sliced score matching (double backward)".to_owned(),
            Objective::SlicedDifferences { step } => {
                format!("sliced score matching (differences of {step})")
            }
            Objective::Denoising {} => "denoising score matching".to_owned(),
        }
    }

    /// Whether the network is trained on noised data.
    pub fn uses_noise(self) -> bool {
        matches!(self, Objective::Denoising {})
    }
}

/// Adam with linear warm-up and a cosine to zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Optimiser steps.
    pub steps: u64,
    /// Examples in a step.
    pub batch: usize,
    /// Peak learning rate.
    pub rate: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
}

/// Samplers; each arm runs those that its objective has a score for, all at the same number of evaluations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Samples drawn.
    pub samples: usize,
    /// Score evaluations of plain and of annealed Langevin; both spend one more, on a step and on the last denoising.
    pub evaluations: usize,
    /// Plain Langevin: the noise-off arms.
    pub langevin: Langevin,
    /// Annealed Langevin: the noise-on arms.
    pub annealed: Annealed,
    /// Probability-flow ODE by Heun's method on Karras' grid: the noise-on arms, beside.
    pub ode: Ode,
}

/// Plain Langevin dynamics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Langevin {
    /// Where the particles start; also the do-nothing sample of the study, the cap of the energy distance.
    pub start: Start,
    /// Step: x += step/2·score + √step·z.
    pub step: f64,
}

/// Starting distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Uniform on [−a, a] in each coordinate.
    Uniform(f64),
    /// N(0, s²) in each coordinate.
    Gaussian(f64),
}

/// Annealed Langevin dynamics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annealed {
    /// Largest level walked.
    pub from: f64,
    /// Levels, geometric from `from` to `sigma_min`.
    pub levels: usize,
    /// Step at level sigma: epsilon·sigma².
    pub epsilon: f64,
}

/// Probability-flow ODE.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ode {
    /// Steps of Heun's method (2·steps − 1 evaluations: the last step, to sigma = 0, takes one).
    pub steps: usize,
}

/// Sizes of the measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// Fresh data that samples are compared with.
    pub fresh: usize,
    /// Query points of the score error.
    pub queries: usize,
    /// Where the off-data query points lie.
    pub off_data: Start,
    /// Levels of the curve of the score error (noise-on arms).
    pub levels: Vec<f64>,
    /// Radial frequency bands (images).
    pub bands: usize,
    /// Depths, in blocks, whose untrained networks are measured beside (residual MLP).
    pub depths: Vec<usize>,
}

/// Device class and threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numerics {
    /// Where tensors live.
    pub device: Device,
    /// Threads of one operation.
    pub threads: u32,
}

/// Device class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor.
    Cpu,
    /// A CUDA card.
    Cuda,
}
