//! What a part is made of, as plain data: its layers, their tensors and their costs, before any weight.

/// An image-like feature, or a vector as an image of one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Feature {
    /// Channels.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl Feature {
    /// A vector of so many features.
    pub fn vector(channels: usize) -> Feature {
        Feature {
            channels,
            height: 1,
            width: 1,
        }
    }

    /// Pixels: height times width.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Numbers of one example: channels times pixels.
    pub fn numbers(self) -> usize {
        self.channels * self.pixels()
    }

    /// The same image with other channels.
    pub fn with_channels(self, channels: usize) -> Feature {
        Feature { channels, ..self }
    }
}

/// A tensor of a network: its name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTensor {
    /// Its name, with dots: `encoder0.block1.conv1.weight`.
    pub name: String,
    /// Its shape; a matrix or a kernel has the outputs first.
    pub shape: Vec<usize>,
}

impl PlannedTensor {
    /// Numbers in it.
    pub fn numbers(&self) -> usize {
        self.shape.iter().product()
    }

    /// The shape, as tch writes it.
    pub fn dims(&self) -> Vec<i64> {
        self.shape.iter().map(|n| *n as i64).collect()
    }
}

/// One layer of a plan: what is measured as a unit, with its cost for one example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its path in the variable store, with dots.
    pub name: String,
    /// What it is.
    pub kind: LayerKind,
    /// Channels, or features, in.
    pub in_channels: usize,
    /// What comes out.
    pub output: Feature,
}

/// Kinds of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerKind {
    /// W x, and + b if it is biased.
    Linear {
        /// Whether there is a b.
        bias: Bias,
    },
    /// A convolution.
    Conv {
        /// Side of the kernel, in pixels.
        kernel: usize,
        /// Step, in pixels.
        stride: usize,
        /// Whether there is one number per channel to add.
        bias: Bias,
    },
    /// A normalisation with a learned scale and shift per channel.
    Norm,
    /// A normalisation with a learned scale per channel and no shift.
    Scale,
    /// A learned factor: one for all channels, or one for each.
    Gain {
        /// 1, or the number of channels.
        numbers: usize,
    },
    /// A table of learned vectors, one row per label.
    Table {
        /// Number of rows.
        rows: usize,
    },
    /// Numbers that are drawn once and not learned, such as Fourier frequencies.
    Constant,
    /// softmax(q k') v: no tensors, two products of pixels x pixels.
    Mixing {
        /// Inner features of all heads together.
        inner: usize,
    },
}

/// Whether a layer adds a learned number to each of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bias {
    /// It does.
    Learned,
    /// It does not.
    None,
}

impl Layer {
    /// W x + b.
    pub fn linear(name: impl Into<String>, inputs: usize, outputs: usize, bias: Bias) -> Layer {
        Layer {
            name: name.into(),
            kind: LayerKind::Linear { bias },
            in_channels: inputs,
            output: Feature::vector(outputs),
        }
    }

    /// The tensors, in the order in which they are drawn: the weight before the bias.
    pub fn tensors(&self) -> Vec<PlannedTensor> {
        let (inputs, outputs) = (self.in_channels, self.output.channels);
        let mut shapes = Vec::new();
        let bias = match self.kind {
            LayerKind::Linear { bias } => {
                shapes.push(("weight", vec![outputs, inputs]));
                bias
            }
            LayerKind::Conv { kernel, bias, .. } => {
                shapes.push(("weight", vec![outputs, inputs, kernel, kernel]));
                bias
            }
            LayerKind::Norm => {
                shapes.push(("weight", vec![outputs]));
                Bias::Learned
            }
            LayerKind::Scale | LayerKind::Constant => {
                shapes.push(("weight", vec![outputs]));
                Bias::None
            }
            LayerKind::Gain { numbers } => {
                shapes.push(("weight", vec![numbers]));
                Bias::None
            }
            LayerKind::Table { rows } => {
                shapes.push(("weight", vec![rows, outputs]));
                Bias::None
            }
            LayerKind::Mixing { .. } => Bias::None,
        };
        if bias == Bias::Learned {
            shapes.push(("bias", vec![outputs]));
        }
        let named = shapes.into_iter().map(|(part, shape)| PlannedTensor {
            name: format!("{}.{part}", self.name),
            shape,
        });
        named.collect()
    }

    /// Numbers in all tensors; those of [`LayerKind::Constant`] are not learned and count all the same,
    /// since they are in the file of weights.
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(PlannedTensor::numbers).sum()
    }

    /// Multiply-adds for one example, padding included; only matrices, kernels and attention count. At most
    /// `u64::MAX`.
    pub fn multiply_adds(&self) -> u64 {
        let pixels = self.output.pixels() as u64;
        let matrix = (self.in_channels * self.output.channels) as u64;
        match self.kind {
            LayerKind::Linear { .. } => matrix.saturating_mul(pixels),
            LayerKind::Conv { kernel, .. } => {
                let taps = (kernel * kernel) as u64;
                matrix.saturating_mul(pixels).saturating_mul(taps)
            }
            LayerKind::Mixing { inner } => {
                let pairs = pixels.saturating_mul(pixels);
                pairs.saturating_mul(2 * inner as u64)
            }
            LayerKind::Norm
            | LayerKind::Scale
            | LayerKind::Gain { .. }
            | LayerKind::Table { .. }
            | LayerKind::Constant => 0,
        }
    }

    /// Numbers that the layer writes for one example, which is about what the backward pass keeps of it.
    ///
    /// Attention writes its pixels x pixels weights for each head only in implementations that store
    /// them; libtorch's does not, so they are left out.
    pub fn activations(&self) -> u64 {
        match self.kind {
            LayerKind::Constant | LayerKind::Table { .. } => 0,
            _ => self.output.numbers() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_counts_its_kernel() {
        let layer = Layer {
            name: "read_in".to_owned(),
            kind: LayerKind::Conv {
                kernel: 3,
                stride: 2,
                bias: Bias::Learned,
            },
            in_channels: 4,
            output: Feature {
                channels: 8,
                height: 5,
                width: 7,
            },
        };
        let names: Vec<_> = layer
            .tensors()
            .into_iter()
            .map(|t| (t.name, t.shape))
            .collect();
        assert_eq!(
            names,
            [
                ("read_in.weight".to_owned(), vec![8, 4, 3, 3]),
                ("read_in.bias".to_owned(), vec![8])
            ]
        );
        assert_eq!(layer.parameters(), 8 * 4 * 9 + 8);
        assert_eq!(layer.multiply_adds(), 8 * 4 * 9 * 35);
        assert_eq!(layer.activations(), 8 * 35);
    }

    #[test]
    fn attention_mixes_every_pixel_with_every_other() {
        let layer = Layer {
            name: "attention".to_owned(),
            kind: LayerKind::Mixing { inner: 6 },
            in_channels: 6,
            output: Feature {
                channels: 6,
                height: 2,
                width: 3,
            },
        };
        assert_eq!((layer.parameters(), layer.multiply_adds()), (0, 2 * 36 * 6));
    }
}
