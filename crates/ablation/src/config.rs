//! What a cell is made of: the resolved configuration, whose canonical form names the cell.
//!
//! These are mirror types of the libraries' own: a field here may not be renamed without orphaning old
//! results, a field there may. Every value is written out; nothing has a default.

mod numerics;
mod objective;

pub use numerics::{Device, MemoryFormat, Numerics, Precision};
pub use objective::{Objective, Target, Weighting};

use serde::{Deserialize, Serialize};

use crate::map::MapProbe;

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
    /// Device class, threads, precision and memory format, since they change the order and the rounding of sums.
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
        /// Standard deviation of the normal noise in every image that is drawn, 0 for none. Pixels lie in [−1, 1], where
        /// 0.02 is the 0.01 of figure 1 of Song & Ermon 2019.
        #[serde(default, skip_serializing_if = "is_clean")]
        noise: f64,
        /// Digest of the decoded images, filled in by the plan; `""` in a study.
        digest: String,
        /// Channels, height and width, filled in by the plan; `[0, 0, 0]` in a study.
        shape: [usize; 3],
    },
}

fn is_clean(noise: &f64) -> bool {
    *noise == 0.0
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
    /// A network from the literature, with its own embedding, norms, resampling, attention and initial weights.
    Published {
        /// Which one.
        family: Family,
        /// Channels of a level of multiplier 1.
        width: usize,
        /// Channel multiplier of each level.
        multipliers: Vec<usize>,
        /// Blocks of each level on the way down; the published number is 2 (DDPM), 4 (DDPM++, NCSN++) or 3.
        blocks: usize,
        /// Short skip around each block; nothing else of the family changes.
        short: PublishedShort,
        /// Long skip from encoder to decoder.
        long: PublishedLong,
    },
    /// `unet::Transformer`: what is not a field here goes with how the label comes in.
    Transformer {
        /// Side of a patch in pixels.
        patch: usize,
        /// Numbers of a token.
        width: usize,
        /// Blocks of an attention and two layers each; an odd number with long skips.
        blocks: usize,
        /// Heads of each attention.
        heads: usize,
        /// Nonlinearity.
        activation: Activation,
        /// How the label comes in.
        conditioning: Conditioning,
        /// Short skip around each attention and around each pair of layers.
        short: ShortSkip,
        /// Long skip from each block of the first half to its partner in the second.
        long: LongSkip,
        /// Initial weights.
        init: Init,
    },
    /// A network whose widths are adjusted until it costs what another of its kind does, within 1 %.
    Matched {
        /// The cost.
        by: MatchedCost,
        /// Widths are multiples of this number, for groups and heads; unless they match as they are.
        quantum: usize,
        /// The network whose cost is met.
        reference: Box<Network>,
        /// The network that is trained.
        network: Box<Network>,
    },
}

/// What two networks are given equally much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedCost {
    /// Weights and biases.
    Parameters,
    /// Operations of a forward pass.
    Flops,
}

impl Network {
    /// The network that is trained, whatever it is matched to.
    pub fn trained(&self) -> &Network {
        match self {
            Network::Matched { network, .. } => network.trained(),
            network => network,
        }
    }
}

/// How the label comes into a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conditioning {
    /// As scale, shift and gate of each branch, all 0 at the start, with fixed positions: DiT.
    AdalnZero,
    /// As a token, with learned positions and normalisations: U-ViT.
    Token,
}

/// Networks from the literature, by `unet::UNetConfig`'s presets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Ho et al. 2020; what diffusers calls `UNet2DModel`.
    #[serde(rename = "ddpm")]
    Ddpm,
    /// Song et al. 2021 in Karras et al. 2022.
    #[serde(rename = "ddpm++")]
    Ddpmpp,
    /// Song et al. 2021 in Karras et al. 2022.
    #[serde(rename = "ncsn++")]
    Ncsnpp,
    /// Dhariwal & Nichol 2021 in Karras et al. 2022.
    #[serde(rename = "adm")]
    Adm,
}

/// The short skip of a published network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedShort {
    /// As published.
    Published,
    /// Another one.
    Other(ShortSkip),
}

/// The long skip of a published network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedLong {
    /// As published.
    Published,
    /// Another one.
    Other(LongSkip),
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
    /// x Φ(x).
    Gelu,
    /// x tanh(ln(1 + exp(x))).
    Mish,
    /// max(x, 0) + min(exp(x) − 1, 0).
    Elu,
}

/// Normalisation inside the blocks of a U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// None.
    None,
    /// Group normalisation.
    Group,
    /// Layer normalisation, over all channels and pixels.
    Layer,
    /// Division by the root mean square of the channels.
    Rms,
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
    /// s·(h + F(h)); s = 1/√2 in NCSN++ and DDPM++.
    Averaged(f64),
    /// ((1 − t) h + t F(h)) / √((1 − t)² + t²); t = 0.3 in EDM2.
    MagnitudePreserving(f64),
    /// h + F(h) with this probability and h otherwise, in training; h + p·F(h) in evaluation.
    StochasticDepth(f64),
    /// h + a·F(h), one learned a that begins at 0: ReZero, SkipInit.
    ReZero,
    /// h + a_c·F(h), a learned a_c for each channel that begins at this number.
    LayerScale(f64),
    /// g·F(h) + (1 − g)·h with a learned gate g whose bias begins at this number.
    Highway(f64),
    /// Fixup: h + a·F(h), the branch begins scaled by 1/√blocks with a last layer of 0.
    Fixup,
    /// DeepNorm: norm(blocks^¼ h + F(h)), the branch begins scaled by (4 blocks)^−¼.
    DeepNorm,
}

/// Long skip from encoder to decoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongSkip {
    /// Nothing is passed.
    None,
    /// (a + b)/√2: no parameters.
    Add,
    /// Concatenation of b and a: adds parameters.
    Concat,
    /// Concatenation of b and s·a.
    ConcatScaled(f64),
    /// Concatenation of b and kⁱ·a, i = 0 at the full resolution (ScaleLong's CS).
    ConcatPower(f64),
    /// Concatenation of b and g(a)·a with a learned factor for each channel (ScaleLong's LS).
    ConcatLearned,
    /// Concatenation with weights that keep the mean square; t = 0.5 in EDM2.
    ConcatMagnitudePreserving(f64),
}

/// Initial weights by their names in the literature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// PyTorch's default: variance 1/(3 fan_in), uniform biases.
    Pytorch,
    /// He et al. 2015: variance 2/fan_in, zero biases.
    He,
    /// LeCun et al. 1998: variance 1/fan_in, zero biases.
    LeCun,
    /// Glorot & Bengio 2010: variance 2/(fan_in + fan_out), uniform, zero biases.
    Xavier,
    /// Devlin et al. 2019 and U-ViT: deviation 0.02, zero biases.
    Bert,
    /// The identity in the centre of each kernel, zero biases.
    Dirac,
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

impl ShortSkip {
    /// In words, for the set-up lines of a report.
    pub fn words(self) -> String {
        match self {
            ShortSkip::None => "no skip".to_owned(),
            ShortSkip::Identity => "h + F(h)".to_owned(),
            ShortSkip::InverseSqrtDepth => "h + F(h)/√blocks".to_owned(),
            ShortSkip::Scaled(b) => format!("h + {b}·F(h)"),
            ShortSkip::Averaged(s) => format!("{s}·(h + F(h))"),
            ShortSkip::MagnitudePreserving(t) => {
                format!("the magnitude-preserving sum of {t} F(h)")
            }
            ShortSkip::StochasticDepth(p) => format!("h + F(h) with probability {p}"),
            ShortSkip::ReZero => "h + a·F(h), a from 0".to_owned(),
            ShortSkip::LayerScale(a) => format!("h + a·F(h), a for each channel from {a}"),
            ShortSkip::Highway(bias) => format!("a gate of bias {bias} between h and F(h)"),
            ShortSkip::Fixup => "h + a·F(h) with Fixup".to_owned(),
            ShortSkip::DeepNorm => "DeepNorm of h and F(h)".to_owned(),
        }
    }
}

impl LongSkip {
    /// In words, for the set-up lines of a report.
    pub fn words(self) -> String {
        match self {
            LongSkip::None => "nothing".to_owned(),
            LongSkip::Add => "(a + b)/√2".to_owned(),
            LongSkip::Concat => "the concatenation of a and b".to_owned(),
            LongSkip::ConcatScaled(s) => format!("the concatenation of {s}·a and b"),
            LongSkip::ConcatPower(k) => format!("the concatenation of {k}ⁱ·a and b"),
            LongSkip::ConcatLearned => "the concatenation of g(a)·a and b".to_owned(),
            LongSkip::ConcatMagnitudePreserving(t) => {
                format!("the magnitude-preserving concatenation of {t} a and b")
            }
        }
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
    /// The learnability map; without it none is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapProbe>,
}
