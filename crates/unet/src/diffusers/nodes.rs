//! The layers of the plan, with values.

use std::collections::HashMap;

use resnet_blocks::Activation;
use tch::{Device, Tensor};

use super::{
    config::{Config, Padding},
    layer::{Attention, Border, Conv, Injection, Norm, Resample, Resnet, Shortcut, Step},
};

/// The tensors of a network by name; layers take theirs.
pub(super) struct Values {
    tensors: HashMap<String, Tensor>,
    device: Device,
}

impl Values {
    /// There is at least one tensor.
    pub(super) fn new(tensors: HashMap<String, Tensor>) -> Values {
        let device = tensors.values().next().map_or(Device::Cpu, Tensor::device);
        Values { tensors, device }
    }

    pub(super) fn device(&self) -> Device {
        self.device
    }

    pub(super) fn take(&mut self, name: &str) -> Tensor {
        let tensor = self.tensors.remove(name);
        tensor.unwrap_or_else(|| panic!("the plan lists `{name}` for one layer"))
    }

    pub(super) fn affine(&mut self, name: &str) -> Affine {
        Affine {
            weight: self.take(&format!("{name}.weight")),
            bias: self.tensors.remove(&format!("{name}.bias")),
        }
    }

    pub(super) fn norm(&mut self, norm: &Norm, eps: f64) -> GroupNorm {
        GroupNorm {
            affine: Some(self.affine(&norm.name)),
            groups: norm.groups as i64,
            eps,
        }
    }
}

/// W x + b, as a matrix or as a convolution.
#[derive(Debug)]
pub(super) struct Affine {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Affine {
    pub(super) fn linear(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }

    /// Of stride 1, to an image of the same size.
    pub(super) fn conv(&self, x: &Tensor) -> Tensor {
        let padding = self.weight.size()[2] / 2;
        x.conv2d(
            &self.weight,
            self.bias.as_ref(),
            [1, 1],
            [padding; 2],
            [1, 1],
            1,
        )
    }

    /// Of stride 2, to an image of half the size.
    fn strided(&self, x: &Tensor, padding: Padding) -> Tensor {
        let (x, padding) = match padding {
            Padding::AllSides => (x.shallow_clone(), 1),
            Padding::BottomRight => (x.constant_pad_nd([0, 1, 0, 1]), 0),
        };
        x.conv2d(
            &self.weight,
            self.bias.as_ref(),
            [2, 2],
            [padding; 2],
            [1, 1],
            1,
        )
    }
}

/// Group normalisation, with a scale and a shift or without.
#[derive(Debug)]
pub(super) struct GroupNorm {
    affine: Option<Affine>,
    groups: i64,
    eps: f64,
}

impl GroupNorm {
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let scale = self.affine.as_ref().map(|affine| &affine.weight);
        let shift = self.affine.as_ref().and_then(|affine| affine.bias.as_ref());
        x.group_norm(self.groups, scale, shift, self.eps, false)
    }
}

/// A [`Step`] with values.
#[derive(Debug)]
pub(super) enum Node {
    Keep,
    Forget(usize),
    Concat,
    Resnet(ResnetNode),
    Attention(AttentionNode),
    Downsample(Affine, Padding),
    Upsample(Affine),
    Resample(Resample),
    AddInput(Affine),
    GrowOutput,
    AddOutput { norm: GroupNorm, conv: Affine },
}

impl Node {
    pub(super) fn new(config: &Config, step: &Step, values: &mut Values) -> Node {
        let mut conv = |conv: &Conv| values.affine(&conv.name);
        match step {
            Step::Keep => Node::Keep,
            Step::Forget(count) => Node::Forget(*count),
            Step::Concat => Node::Concat,
            Step::Resnet(resnet) => Node::Resnet(ResnetNode::new(config, resnet, values)),
            Step::Attention(attention) => {
                Node::Attention(AttentionNode::new(config, attention, values))
            }
            Step::Downsample(plan) => Node::Downsample(conv(plan), config.downsample_padding),
            Step::Upsample(plan) => Node::Upsample(conv(plan)),
            Step::Resample(resample) => Node::Resample(*resample),
            Step::AddInput(plan) => Node::AddInput(conv(plan)),
            Step::GrowOutput => Node::GrowOutput,
            Step::AddOutput { norm, conv: plan } => Node::AddOutput {
                conv: conv(plan),
                norm: values.norm(norm, config.norm_eps),
            },
        }
    }
}

/// What the steps work on.
pub(super) struct State {
    pub(super) stream: Tensor,
    pub(super) kept: Vec<Tensor>,
    pub(super) input: Tensor,
    pub(super) output: Option<Tensor>,
}

impl State {
    pub(super) fn step(&mut self, node: &Node, embedding: &Tensor) {
        match node {
            Node::Keep => self.kept.push(self.stream.shallow_clone()),
            Node::Forget(count) => {
                self.kept.truncate(self.kept.len().saturating_sub(*count));
            }
            Node::Concat => {
                let kept = self.kept.pop().expect("the plan keeps before it joins");
                self.stream = Tensor::cat(&[&self.stream, &kept], 1);
            }
            Node::Resnet(resnet) => self.stream = resnet.forward(&self.stream, embedding),
            Node::Attention(attention) => self.stream = attention.forward(&self.stream),
            Node::Downsample(conv, padding) => self.stream = conv.strided(&self.stream, *padding),
            Node::Upsample(conv) => {
                self.stream = conv.conv(&Resample::DoubleNearest.apply(&self.stream));
            }
            Node::Resample(resample) => self.stream = resample.apply(&self.stream),
            Node::AddInput(conv) => {
                self.input = Resample::HalveFir(Border::Zeros).apply(&self.input);
                self.stream = conv.conv(&self.input) + &self.stream;
            }
            Node::GrowOutput => {
                let output = self.output.as_ref();
                self.output = output.map(|x| Resample::DoubleFir(Border::Zeros).apply(x));
            }
            Node::AddOutput { norm, conv } => {
                let image = conv.conv(&norm.forward(&self.stream).silu());
                self.output = Some(match self.output.take() {
                    Some(output) => output + image,
                    None => image,
                });
            }
        }
    }
}

impl Resample {
    fn apply(self, x: &Tensor) -> Tensor {
        let (_, channels, height, width) = x.size4().expect("an image has four dimensions");
        // The outer product of (1, 3, 3, 1) / 8 with itself, times `gain`, for each channel by itself.
        let filter = |gain: f64| {
            let row = Tensor::from_slice(&[1f64, 3.0, 3.0, 1.0]) / 8.0;
            let square = row.outer(&row) * gain;
            let square = square.to_kind(x.kind()).to_device(x.device());
            square.expand([channels, 1, 4, 4], false)
        };
        let none = None::<&Tensor>;
        match self {
            Resample::HalveMean => x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None),
            Resample::DoubleNearest => {
                x.upsample_nearest2d([2 * height, 2 * width], Some(2.0), Some(2.0))
            }
            Resample::HalveFir(Border::Zeros) => {
                x.conv2d(&filter(1.0), none, [2, 2], [1, 1], [1, 1], channels)
            }
            Resample::HalveFir(Border::Mirror) => {
                let x = x.reflection_pad2d([1, 1, 1, 1]);
                x.conv2d(&filter(1.0), none, [2, 2], [0, 0], [1, 1], channels)
            }
            // A convolution's transpose puts the zeros between the pixels.
            Resample::DoubleFir(Border::Zeros) => {
                x.conv_transpose2d(&filter(4.0), none, [2, 2], [1, 1], [0, 0], channels, [1, 1])
            }
            Resample::DoubleFir(Border::Mirror) => {
                let x = x.reflection_pad2d([1, 1, 1, 1]);
                x.conv_transpose2d(&filter(4.0), none, [2, 2], [3, 3], [0, 0], channels, [1, 1])
            }
        }
    }
}

/// A [`Resnet`] with values.
#[derive(Debug)]
pub(super) struct ResnetNode {
    norms: [GroupNorm; 2],
    convs: [Affine; 2],
    injection: InjectionNode,
    resample: Option<Resample>,
    shortcut: Option<Affine>,
    activation: Activation,
    divisor: f64,
}

/// An [`Injection`] with values.
#[derive(Debug)]
enum InjectionNode {
    Shift(Affine),
    ScaleShift(Affine),
    Adaptive([Affine; 2]),
}

impl ResnetNode {
    fn new(config: &Config, plan: &Resnet, values: &mut Values) -> ResnetNode {
        let name = &plan.name;
        let mut affine = |part: &str| values.affine(&format!("{name}.{part}"));
        let convs = [affine("conv1"), affine("conv2")];
        let (injection, norms) = match plan.injection {
            Injection::Adaptive => {
                let linears = [affine("norm1.linear"), affine("norm2.linear")];
                (InjectionNode::Adaptive(linears), [None, None])
            }
            injection => {
                let norms = [Some(affine("norm1")), Some(affine("norm2"))];
                let linear = affine("time_emb_proj");
                match injection {
                    Injection::ScaleShift => (InjectionNode::ScaleShift(linear), norms),
                    Injection::Shift | Injection::Adaptive => (InjectionNode::Shift(linear), norms),
                }
            }
        };
        let [first, second] = norms;
        let norm = |affine, groups: usize| GroupNorm {
            affine,
            groups: groups as i64,
            eps: config.norm_eps,
        };
        ResnetNode {
            norms: [norm(first, plan.groups[0]), norm(second, plan.groups[1])],
            convs,
            injection,
            resample: plan.resample,
            shortcut: match plan.shortcut {
                Shortcut::Identity => None,
                Shortcut::Conv | Shortcut::ConvWithoutBias => Some(affine("conv_shortcut")),
            },
            activation: config.act_fn,
            divisor: plan.divisor,
        }
    }

    fn forward(&self, x: &Tensor, embedding: &Tensor) -> Tensor {
        let act = |x: &Tensor| self.activation.apply(x);
        let modulate = |x: Tensor, linear: &Affine, embedding: &Tensor| {
            let both = linear.linear(embedding).unsqueeze(-1).unsqueeze(-1);
            let mut parts = both.chunk(2, 1).into_iter();
            let (scale, shift) = (parts.next().expect("a half"), parts.next().expect("a half"));
            x * (scale + 1.0) + shift
        };
        let normal = self.norms[0].forward(x);
        let mut hidden = match &self.injection {
            InjectionNode::Adaptive([linear, _]) => act(&modulate(normal, linear, embedding)),
            InjectionNode::Shift(_) | InjectionNode::ScaleShift(_) => act(&normal),
        };
        let mut shortcut = x.shallow_clone();
        if let Some(resample) = self.resample {
            (hidden, shortcut) = (resample.apply(&hidden), resample.apply(&shortcut));
        }
        let hidden = self.convs[0].conv(&hidden);
        let norm = &self.norms[1];
        let hidden = match &self.injection {
            InjectionNode::Shift(linear) => {
                let shift = linear.linear(&act(embedding)).unsqueeze(-1).unsqueeze(-1);
                norm.forward(&(hidden + shift))
            }
            InjectionNode::ScaleShift(linear) => {
                modulate(norm.forward(&hidden), linear, &act(embedding))
            }
            InjectionNode::Adaptive([_, linear]) => {
                modulate(norm.forward(&hidden), linear, embedding)
            }
        };
        let branch = self.convs[1].conv(&act(&hidden));
        let shortcut = match &self.shortcut {
            Some(conv) => conv.conv(&shortcut),
            None => shortcut,
        };
        divided(shortcut + branch, self.divisor)
    }
}

/// An [`Attention`] with values.
#[derive(Debug)]
pub(super) struct AttentionNode {
    norm: Option<GroupNorm>,
    query: Affine,
    key: Affine,
    value: Affine,
    out: Affine,
    heads: i64,
    head_channels: i64,
    divisor: f64,
}

impl AttentionNode {
    fn new(config: &Config, plan: &Attention, values: &mut Values) -> AttentionNode {
        let name = &plan.name;
        AttentionNode {
            norm: plan
                .norm
                .as_ref()
                .map(|norm| values.norm(norm, config.norm_eps)),
            query: values.affine(&format!("{name}.to_q")),
            key: values.affine(&format!("{name}.to_k")),
            value: values.affine(&format!("{name}.to_v")),
            out: values.affine(&format!("{name}.to_out.0")),
            heads: plan.heads as i64,
            head_channels: plan.head_channels as i64,
            divisor: plan.divisor,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let normal = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x.shallow_clone(),
        };
        let pixels = normal.flatten(2, 3).transpose(1, 2); // [B, pixels, channels]
        let split = |layer: &Affine| {
            let features = layer.linear(&pixels);
            let sizes = [-1, self.heads, self.head_channels];
            features.unflatten(2, &sizes[1..]).transpose(1, 2) // [B, heads, pixels, head_channels]
        };
        let (query, key, value) = (split(&self.query), split(&self.key), split(&self.value));
        let none = None::<&Tensor>;
        let read = Tensor::scaled_dot_product_attention(
            &query, &key, &value, none, 0.0, false, None, false,
        );
        let joined = read.transpose(1, 2).flatten(2, 3); // [B, pixels, heads head_channels]
        let image = self.out.linear(&joined).transpose(1, 2).view_as(x);
        divided(image + x, self.divisor)
    }
}

fn divided(x: Tensor, divisor: f64) -> Tensor {
    if divisor == 1.0 { x } else { x / divisor }
}
