//! Layers of a `UNet2DModel` as plain data: what they are called, and which tensors they have.

/// A tensor of the file: its name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTensor {
    /// Its name, with dots: `down_blocks.0.resnets.1.conv1.weight`.
    pub name: String,
    /// Its shape; an affine layer's is outputs first.
    pub shape: Vec<usize>,
}

/// One instruction of the forward pass, for the stream h, the stack of kept features, the small
/// input image and the small output image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Push h on the stack.
    Keep,
    /// Pop features, as many as there are up to this number, and forget them.
    Forget(usize),
    /// Pop a; h = \[h, a\].
    Concat,
    Resnet(Resnet),
    Attention(Attention),
    /// h = the convolution of h, of stride 2.
    Downsample(Conv),
    /// h = the convolution of h with each pixel repeated in a 2x2 square.
    Upsample(Conv),
    /// h = h resampled without parameters.
    Resample(Resample),
    /// The input image is halved; h = h + its convolution.
    AddInput(Conv),
    /// The output image, if there is one, is doubled.
    GrowOutput,
    /// The output image, or 0, is increased by conv(silu(norm(h))).
    AddOutput {
        norm: Norm,
        conv: Conv,
    },
}

/// Changes of the side by a factor of two, without parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resample {
    /// The mean of each 2x2 square.
    HalveMean,
    /// Each pixel repeated in a 2x2 square.
    DoubleNearest,
    /// Every other pixel after the filter (1, 3, 3, 1) / 8 in both directions.
    HalveFir(Border),
    /// The filter (1, 3, 3, 1) / 4 in both directions, after zeros between the pixels.
    DoubleFir(Border),
}

/// What the filter sees outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Border {
    Zeros,
    Mirror,
}

impl Resample {
    pub(crate) fn halves(self) -> bool {
        matches!(self, Resample::HalveMean | Resample::HalveFir(_))
    }
}

/// A convolution with bias, square and with zeros around the image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Conv {
    pub(crate) name: String,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) kernel: usize,
}

/// Group normalisation with scale and shift.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Norm {
    pub(crate) name: String,
    pub(crate) channels: usize,
    pub(crate) groups: usize,
}

/// (shortcut(x) + conv2(phi(norm2(conv1(resample(phi(norm1(x)))))))) / divisor, with the shortcut's x resampled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resnet {
    pub(crate) name: String,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) embedding: usize,
    /// Groups of the two normalisations.
    pub(crate) groups: [usize; 2],
    pub(crate) injection: Injection,
    pub(crate) resample: Option<Resample>,
    pub(crate) shortcut: Shortcut,
    pub(crate) divisor: f64,
}

/// How the embedding e enters a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Injection {
    /// norm2(h + W phi(e) + b).
    Shift,
    /// norm2(h) (1 + s) + t, (s, t) = W phi(e) + b.
    ScaleShift,
    /// Both normalisations are without parameters and followed by (1 + s) and + t, (s, t) = W e + b.
    Adaptive,
}

/// What a residual block does with its input besides the branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    Identity,
    /// A 1x1 convolution.
    Conv,
    /// A 1x1 convolution without bias.
    ConvWithoutBias,
}

/// (x + W_o softmax(q k' / sqrt(head_channels)) v + b_o) / divisor, over all pixels of norm(x).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attention {
    pub(crate) name: String,
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    pub(crate) head_channels: usize,
    pub(crate) norm: Option<Norm>,
    pub(crate) divisor: f64,
}

/// The tensors of a network, one after another.
#[derive(Debug, Default)]
pub(crate) struct Tensors(pub(crate) Vec<PlannedTensor>);

impl Tensors {
    pub(crate) fn one(&mut self, name: &str, shape: &[usize]) {
        self.0.push(PlannedTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
        });
    }

    /// The weight of this shape and the bias of a layer.
    pub(crate) fn affine(&mut self, name: &str, shape: &[usize]) {
        self.one(&format!("{name}.weight"), shape);
        self.one(&format!("{name}.bias"), &shape[..1]);
    }

    pub(crate) fn conv(&mut self, conv: &Conv) {
        let (inputs, outputs) = (conv.in_channels, conv.out_channels);
        self.affine(&conv.name, &[outputs, inputs, conv.kernel, conv.kernel]);
    }

    pub(crate) fn norm(&mut self, norm: &Norm) {
        self.affine(&norm.name, &[norm.channels]);
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Keep | Step::Forget(_) | Step::Concat | Step::Resample(_) | Step::GrowOutput => {}
            Step::Resnet(resnet) => self.resnet(resnet),
            Step::Attention(attention) => self.attention(attention),
            Step::Downsample(conv) | Step::Upsample(conv) | Step::AddInput(conv) => self.conv(conv),
            Step::AddOutput { norm, conv } => {
                self.norm(norm);
                self.conv(conv);
            }
        }
    }

    fn resnet(&mut self, resnet: &Resnet) {
        let Resnet {
            name,
            in_channels,
            out_channels,
            embedding,
            ..
        } = resnet;
        let (inputs, outputs, embedding) = (*in_channels, *out_channels, *embedding);
        self.affine(&format!("{name}.conv1"), &[outputs, inputs, 3, 3]);
        self.affine(&format!("{name}.conv2"), &[outputs, outputs, 3, 3]);
        if resnet.injection == Injection::Adaptive {
            self.affine(&format!("{name}.norm1.linear"), &[2 * inputs, embedding]);
            self.affine(&format!("{name}.norm2.linear"), &[2 * outputs, embedding]);
        } else {
            let features = match resnet.injection {
                Injection::ScaleShift => 2 * outputs,
                Injection::Shift | Injection::Adaptive => outputs,
            };
            self.affine(&format!("{name}.norm1"), &[inputs]);
            self.affine(&format!("{name}.norm2"), &[outputs]);
            self.affine(&format!("{name}.time_emb_proj"), &[features, embedding]);
        }
        let shortcut = [outputs, inputs, 1, 1];
        match resnet.shortcut {
            Shortcut::Identity => {}
            Shortcut::Conv => self.affine(&format!("{name}.conv_shortcut"), &shortcut),
            Shortcut::ConvWithoutBias => {
                self.one(&format!("{name}.conv_shortcut.weight"), &shortcut);
            }
        }
    }

    fn attention(&mut self, attention: &Attention) {
        let Attention {
            name,
            channels,
            norm,
            ..
        } = attention;
        let inner = attention.heads * attention.head_channels;
        if let Some(norm) = norm {
            self.norm(norm);
        }
        for part in ["to_q", "to_k", "to_v"] {
            self.affine(&format!("{name}.{part}"), &[inner, *channels]);
        }
        self.affine(&format!("{name}.to_out.0"), &[*channels, inner]);
    }
}
