//! The network: a convolution, stages of blocks, the mean over all places, a linear layer.

use resnet_blocks::{Bias, Conv2d, Conv2dConfig, Error, Init, Law, Linear, Mode, Padding, Params};
use tch::Tensor;

use super::{Classification, Convolution, Short};

/// What running statistics keep of what they were.
const KEPT: f64 = 0.9;
/// Added to a variance.
const EPSILON: f64 = 1e-5;

/// Whether statistics are those of the batch, and are noted, or those that were noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistics {
    /// Those of the batch: in training.
    Batch,
    /// Those that were noted: in evaluation.
    Noted,
}

/// A classifier.
pub(super) struct Classifier {
    first: Normalised,
    blocks: Vec<[Normalised; 2]>,
    short: Short,
    last: Linear,
}

/// A convolution of 3×3 pixels without a bias, and batch normalisation (Ioffe & Szegedy 2015).
struct Normalised {
    kernel: Conv2d,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl Classifier {
    /// Draws the initial values, which do not depend on what goes past the blocks.
    pub(super) fn new(
        experiment: &Classification,
        params: &Params<'_>,
    ) -> Result<Classifier, Error> {
        let all = experiment.convolutions();
        let layer =
            |index: usize| Normalised::new(&params.sub(format!("convolution{index}")), &all[index]);
        let blocks = (1..all.len()).step_by(2);
        Ok(Classifier {
            first: layer(0)?,
            blocks: blocks
                .map(|index| Ok::<_, Error>([layer(index)?, layer(index + 1)?]))
                .collect::<Result<_, Error>>()?,
            short: experiment.short,
            last: Linear::new(
                &params.sub("linear"),
                all[all.len() - 1].to,
                experiment.classes,
                Init::He,
            )?,
        })
    }

    /// A number for each class: `[B, channels, height, width]` → `[B, classes]`.
    pub(super) fn forward(&self, x: &Tensor, statistics: Statistics) -> Tensor {
        let mut h = self.first.forward(x, statistics).relu();
        for [one, two] in &self.blocks {
            let branch = two.forward(&one.forward(&h, statistics).relu(), statistics);
            h = match self.short {
                Short::None => branch,
                Short::Identity => shortcut(&h, &branch) + branch,
            }
            .relu();
        }
        let mean = h.mean_dim([2_i64, 3].as_slice(), false, None::<tch::Kind>);
        self.last.forward(&mean, &mut Mode::Eval)
    }
}

impl Normalised {
    fn new(params: &Params<'_>, plan: &Convolution) -> Result<Normalised, Error> {
        let config = Conv2dConfig {
            stride: if plan.halves { 2 } else { 1 },
            padding: Padding::AllSides,
            bias: Bias::None,
            ..Conv2dConfig::new(plan.from, plan.to, 3, Init::He)
        };
        let norm = params.sub("norm");
        let channels = [plan.to];
        Ok(Normalised {
            kernel: Conv2d::new(params, &config)?,
            scale: norm.variable("weight", &channels, Law::Constant(1.0), 1.0)?,
            shift: norm.variable("bias", &channels, Law::Constant(0.0), 1.0)?,
            mean: norm.constant("mean", &channels, Law::Constant(0.0))?,
            variance: norm.constant("variance", &channels, Law::Constant(1.0))?,
        })
    }

    fn forward(&self, x: &Tensor, statistics: Statistics) -> Tensor {
        self.kernel.forward(x, &mut Mode::Eval).batch_norm(
            Some(&self.scale),
            Some(&self.shift),
            Some(&self.mean),
            Some(&self.variance),
            statistics == Statistics::Batch,
            1.0 - KEPT,
            EPSILON,
            true,
        )
    }
}

/// The input of a block as something shaped like its result: every other pixel where sides were halved, and zeros in the
/// channels that it does not have.
pub(super) fn shortcut(h: &Tensor, like: &Tensor) -> Tensor {
    let (_, channels, height, width) = like.size4().expect("images have four dimensions");
    let (_, own, rows, columns) = h.size4().expect("images have four dimensions");
    let h = if (rows, columns) == (height, width) {
        h.shallow_clone()
    } else {
        h.slice(2, 0, None::<i64>, 2).slice(3, 0, None::<i64>, 2)
    };
    match channels - own {
        0 => h,
        more => h.constant_pad_nd([0, 0, 0, 0, 0, more]),
    }
}
