//! A residual or plain network learns to classify images, after He et al. 2015 (arXiv:1512.03385, section 4.2).
//!
//! With and without shortcuts it has the same parameters, the same initial values and the same draws: what differs is the
//! addition alone.

#[cfg(any(test, feature = "tch"))]
mod batches;
#[cfg(all(test, feature = "tch"))]
mod live_tests;
#[cfg(feature = "tch")]
mod network;
#[cfg(feature = "tch")]
mod run;
#[cfg(feature = "tch")]
mod sgd;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric};
use crate::{
    config::{Data, MemoryFormat, Numerics, Precision},
    error::Error,
    exact::place::Place,
    stream::Stream,
    summary::Better,
};

/// A classifier, what it learns from, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// Images with labels, the last ones kept back.
    pub data: Data,
    /// Classes, numbered from 0.
    pub classes: usize,
    /// Channels of each stage; from one to the next the side of the image is halved.
    pub widths: Vec<usize>,
    /// Blocks of each stage, two convolutions each: n of them in three stages make 6n + 2 layers.
    pub blocks: usize,
    /// What goes past a block.
    pub short: Short,
    /// Steps of gradient descent with momentum.
    pub steps: u64,
    /// Examples in a step, in an order that is drawn anew for each pass over the training images.
    pub batch: usize,
    /// Learning rate.
    pub rate: f64,
    /// Steps at the beginning that have a tenth of the learning rate.
    pub warmup: u64,
    /// Steps from which on the learning rate is a tenth of what it was, rising.
    pub drops: Vec<u64>,
    /// What is kept of the last direction.
    pub momentum: f64,
    /// Weight decay, of all parameters.
    pub decay: f64,
    /// Pixels around a training image, black as the mean image, of which a part of its size is cut at random; 0 for none.
    pub padding: usize,
    /// Whether every other training image, at random, is reflected from left to right.
    pub flips: bool,
    /// Training images, the first ones, on which the training error is measured at the end, as they are.
    pub measured: usize,
    /// Where it computes.
    pub numerics: Numerics,
}

/// What goes past a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Short {
    /// Nothing: the plain network.
    None,
    /// The block's input: every other pixel where the side is halved, and zeros in the channels that it does not have (He et
    /// al.'s option A, without parameters).
    Identity,
}

/// *Ranges*: `held_out_error` and `training_error` in `[0, 1 − 1/classes]`: nothing counts as worse than guessing, and a run
/// that diverged counts as that; `log_held_out_error` is at least that of half an image; `gradient_ratio` real, −45 where one of
/// the two is 0.
/// *Misleading*: `training_error` is measured with the statistics that batch normalisation keeps for evaluation, on
/// images as they are, so it is neither the error of the last batches nor made of the same pictures. `gradient_ratio` is of two
/// layers and of no training, and under batch normalisation the size of a kernel and of its gradient are inverse to each other.
/// *Source*: He, Zhang, Ren & Sun 2015; `learnability::gradient`.
const METRICS: &[Metric] = &[
    Metric {
        name: "held_out_error",
        unit: "",
        meaning: "share of the images that were kept back whose class the trained network misses; guessing is the worst that counts",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "log_held_out_error",
        unit: "decades",
        meaning: "log10 of the share of the images that were kept back whose class the trained network misses; half an image at least",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "training_error",
        unit: "",
        meaning: "share of training images whose class the trained network misses; guessing is the worst that counts",
        better: Better::Lower,
        worst: None,
    },
    Metric {
        name: "gradient_ratio",
        unit: "",
        meaning: "log10 of |g| of the first over the last convolution, untrained",
        better: Better::Descriptive,
        worst: None,
    },
];

/// A convolution as the plan of a network has it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Convolution {
    /// Channels in.
    from: usize,
    /// Channels out.
    to: usize,
    /// Whether it halves the side of the image.
    halves: bool,
    /// Pixels of its result.
    area: usize,
}

impl Classification {
    /// All convolutions in forward order: the first one, then two of each block.
    fn convolutions(&self) -> Vec<Convolution> {
        let [channels, mut height, mut width] = self.shape();
        let mut all = vec![Convolution {
            from: channels,
            to: self.widths[0],
            halves: false,
            area: height * width,
        }];
        for (stage, &to) in self.widths.iter().enumerate() {
            for index in 0..2 * self.blocks {
                let halves = 0 < stage && index == 0;
                if halves {
                    (height, width) = (height.div_ceil(2), width.div_ceil(2));
                }
                all.push(Convolution {
                    from: all[all.len() - 1].to,
                    to,
                    halves,
                    area: height * width,
                });
            }
        }
        all
    }

    /// Trainable numbers: kernels, a scale and a shift for each of their channels, and the linear layer.
    pub fn parameters(&self) -> usize {
        let own = |c: &Convolution| 9 * c.from * c.to + 2 * c.to;
        let last = self.widths[self.widths.len() - 1];
        self.convolutions().iter().map(own).sum::<usize>() + (last + 1) * self.classes
    }

    /// The shape of an image, which the plan filled in.
    fn shape(&self) -> [usize; 3] {
        match self.data {
            Data::Images { shape, .. } => shape,
            _ => unreachable!("it was checked"),
        }
    }

    /// The learning rate of a step.
    #[cfg(any(test, feature = "tch"))]
    fn rate_at(&self, step: u64) -> f64 {
        let early = usize::from(step < self.warmup);
        let dropped = self.drops.iter().filter(|drop| **drop <= step).count();
        self.rate / 10_f64.powi((early + dropped) as i32)
    }
}

impl Measurement for Classification {
    fn check(&self, place: &Place) -> Result<(), Error> {
        let Data::Images {
            noise, held_out, ..
        } = &self.data
        else {
            let rule = "it learns labels: give images with labels, { kind = \"images\", … }";
            return Err(place.refuse("data.kind", "another kind", rule));
        };
        if *noise != 0.0 {
            let rule = "it learns images as they are: leave the noise out";
            return Err(place.refuse("data.noise", noise, rule));
        }
        place.count("data.held_out", *held_out, 1, 100_000_000)?;
        place.count("classes", self.classes, 2, 256)?;
        place.count("number of widths", self.widths.len(), 1, 8)?;
        for &width in &self.widths {
            place.count("widths", width, 1, 10_000)?;
        }
        if let Some(pair) = self.widths.windows(2).find(|pair| pair[1] < pair[0]) {
            let rule = "channels do not become fewer, or a shortcut would lose some: sort them";
            return Err(place.refuse("widths", pair[1], rule));
        }
        place.count("blocks", self.blocks, 1, 10_000)?;
        place.count("steps", self.steps as usize, 1, 10_000_000)?;
        place.count("batch", self.batch, 2, 1_000_000)?;
        place.positive("rate", self.rate)?;
        place.count("warmup", self.warmup as usize, 0, self.steps as usize)?;
        let rising = self.drops.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || self.drops.last().is_some_and(|last| self.steps <= *last) {
            let rule = "steps of drops rise, and the last is before the end: sort them, or give []";
            return Err(place.refuse("drops", format!("{:?}", self.drops), rule));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            let rule = "it must lie in [0, 1): give 0.9, or 0 for none";
            return Err(place.refuse("momentum", self.momentum, rule));
        }
        place.non_negative("decay", self.decay)?;
        let [_, height, width] = self.shape();
        place.count("padding", self.padding, 0, height.min(width))?;
        place.count("measured", self.measured, 1, 10_000_000)?;
        place.count("numerics.threads", self.numerics.threads as usize, 1, 1024)?;
        if self.numerics.precision != Precision::F32 {
            let rule = "a classifier computes in single precision: leave it out";
            return Err(place.refuse("numerics.precision", self.numerics.precision, rule));
        }
        if self.numerics.memory_format != MemoryFormat::Contiguous {
            let rule = "images of a classifier are contiguous: leave it out";
            return Err(place.refuse("numerics.memory_format", self.numerics.memory_format, rule));
        }
        Ok(())
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        true
    }

    fn seconds(&self) -> f64 {
        let all = self.convolutions();
        let products = |c: &Convolution| (9 * c.from * c.to * c.area) as f64;
        // What moves results about (normalisation, ReLU, the addition) takes as long as so many products.
        let results = |c: &Convolution| 150.0 * (c.to * c.area) as f64;
        let each: f64 = all.iter().map(|c| products(c) + results(c)).sum();
        let Data::Images { held_out, .. } = self.data else {
            return 0.0;
        };
        // A way back counts two ways forth.
        let images = 3 * self.steps as usize * self.batch + held_out + self.measured;
        let calls = self.steps as f64 * all.len() as f64;
        0.5 + 2.0 * each * images as f64 / 3e10 + 1e-4 * calls
    }

    /// Parameters, and what a step keeps for its way back: three results of each convolution.
    fn bytes(&self) -> f64 {
        let results = |c: &Convolution| c.to * c.area;
        let kept: usize = self.convolutions().iter().map(results).sum();
        4.0 * (4 * self.parameters() + 3 * kept * self.batch) as f64
    }

    fn data(&self) -> Option<&Data> {
        Some(&self.data)
    }

    fn numerics(&self) -> Option<&Numerics> {
        Some(&self.numerics)
    }

    #[cfg(feature = "tch")]
    fn run(&self, stream: &Stream, found: &mut Found<'_>) -> Result<(), Error> {
        run::run(self, stream, found)
    }

    #[cfg(not(feature = "tch"))]
    fn run(&self, _: &Stream, _: &mut Found<'_>) -> Result<(), Error> {
        Err(Error::WithoutTorch)
    }
}
