//! The label, and the class, as every block sees them.

use std::f64::consts::PI;

use resnet_blocks::{Activation, Law, Linear, MagnitudeLinear, Mode, Params, ShortSkip, Skip};
use tch::{Device, Kind, Tensor};

use crate::{
    Error,
    topology::{
        Classes, EmbeddingConfig, EmbeddingLayers, Features, FourierOf, Frequencies, Order,
    },
};

/// What [`EmbeddingConfig`] describes, with weights.
pub(crate) struct Embedding {
    features: FeatureNode,
    layers: LayersNode,
    class: ClassNode,
    last: Option<Activation>,
    width: i64,
}

enum FeatureNode {
    Sinusoids {
        frequencies: Frequencies,
        order: Order,
        channels: usize,
    },
    Fourier {
        frequencies: Tensor,
        order: Order,
        of: FourierOf,
    },
    MagnitudeFourier {
        frequencies: Tensor,
        phases: Tensor,
    },
    Learned {
        rows: Tensor,
    },
}

enum LayersNode {
    One(Linear, Activation),
    Two(TwoLayers),
    Magnitude(MagnitudeLinear),
}

struct TwoLayers {
    first: Linear,
    second: Linear,
    activation: Activation,
}

enum ClassNode {
    None,
    Rows(Tensor),
    AsLabel(TwoLayers),
    Vector,
    Features(Linear, f64),
    Magnitude(MagnitudeLinear, f64, Box<dyn Skip>),
}

impl Embedding {
    pub(crate) fn new(params: &Params<'_>, config: &EmbeddingConfig) -> Result<Embedding, Error> {
        let params = params.sub("embedding");
        let (channels, width, init) = (config.channels, config.width, config.init);
        let features = params.sub("features");
        let features = match config.features {
            Features::Sinusoids { frequencies, order } => FeatureNode::Sinusoids {
                frequencies,
                order,
                channels,
            },
            Features::Fourier { scale, order, of } => FeatureNode::Fourier {
                frequencies: features.constant("weight", &[channels / 2], Law::Normal(scale))?,
                order,
                of,
            },
            Features::MagnitudeFourier => FeatureNode::MagnitudeFourier {
                frequencies: features.constant("weight", &[channels], Law::Normal(1.0))?,
                // A phase is as good as its negative here.
                phases: params
                    .sub("phases")
                    .constant("weight", &[channels], Law::Uniform(1.0))?,
            },
            Features::Learned { rows } => FeatureNode::Learned {
                rows: features.variable("weight", &[rows, channels], Law::Normal(1.0), 1.0)?,
            },
        };
        let two = |names: [&str; 2], activation| -> Result<TwoLayers, Error> {
            Ok(TwoLayers {
                first: Linear::new(&params.sub(names[0]), channels, width, init)?,
                second: Linear::new(&params.sub(names[1]), width, width, init)?,
                activation,
            })
        };
        let class = params.sub("class");
        let early = match config.classes {
            Classes::Features { length } => {
                let scale = (length as f64).sqrt();
                Some(ClassNode::Features(
                    Linear::new(&class, length, channels, init)?,
                    scale,
                ))
            }
            _ => None,
        };
        let (layers, activation, last) = match config.layers {
            EmbeddingLayers::One { activation } => {
                let linear = Linear::new(&params, channels, width, init)?;
                (LayersNode::One(linear, activation), activation, None)
            }
            EmbeddingLayers::Two { activation, last } => {
                let layers = two(["linear1", "linear2"], activation)?;
                (LayersNode::Two(layers), activation, last)
            }
            EmbeddingLayers::Magnitude => {
                let linear = MagnitudeLinear::new(&params.sub("linear1"), channels, width)?;
                let activation = Activation::MagnitudeSilu;
                (LayersNode::Magnitude(linear), activation, Some(activation))
            }
        };
        Ok(Embedding {
            features,
            layers,
            class: match (early, config.classes) {
                (Some(class), _) => class,
                (None, Classes::Rows { rows }) => ClassNode::Rows(class.variable(
                    "weight",
                    &[rows, width],
                    Law::Normal(1.0),
                    1.0,
                )?),
                (None, Classes::AsLabel) => {
                    ClassNode::AsLabel(two(["class1", "class2"], activation)?)
                }
                (None, Classes::Vector) => ClassNode::Vector,
                (None, Classes::Magnitude { length, balance }) => ClassNode::Magnitude(
                    MagnitudeLinear::new(&class, length, width)?,
                    (length as f64).sqrt(),
                    ShortSkip::MagnitudePreserving(balance).build(&class, width)?,
                ),
                (None, Classes::None | Classes::Features { .. }) => ClassNode::None,
            },
            last,
            width: width as i64,
        })
    }

    /// The embedding of each example, of this kind.
    ///
    /// # Shapes
    /// label: `[B]`; classes: `[B]`, or `[B, length]` for vectors; result: `[B, width]`.
    ///
    /// # Panics
    /// If classes are given to a network that takes none, or none to one that takes them.
    pub(crate) fn forward(
        &self,
        label: &Tensor,
        classes: Option<&Tensor>,
        kind: Kind,
        mode: &mut Mode,
    ) -> Tensor {
        // The label is not on the way from x to the output, so `Calibrate` leaves these layers alone.
        let mode = &mut match mode {
            Mode::Calibrate => Mode::Eval,
            _ => return self.pass(label, classes, kind, mode),
        };
        self.pass(label, classes, kind, mode)
    }

    fn pass(
        &self,
        label: &Tensor,
        classes: Option<&Tensor>,
        kind: Kind,
        mode: &mut Mode,
    ) -> Tensor {
        let classes = match (&self.class, classes) {
            (ClassNode::None, None) => None,
            (ClassNode::None, Some(_)) => panic!("this network takes no classes; give none"),
            (_, None) => panic!("this network needs classes; give one for each image"),
            (_, Some(classes)) => Some(classes.to_device(label.device())),
        };
        let mut features = self.features.of(label, kind);
        if let (ClassNode::Features(linear, scale), Some(vector)) = (&self.class, &classes) {
            features += linear.forward(&(vector.to_kind(kind) * *scale), mode);
        }
        let one = Tensor::ones([1], (kind, label.device()));
        let e = match &self.layers {
            LayersNode::One(linear, activation) => {
                activation.apply(&linear.forward(&features, mode))
            }
            LayersNode::Two(layers) => layers.forward(&features, mode),
            LayersNode::Magnitude(linear) => linear.forward(&features, &one, mode),
        };
        let e = match (&self.class, &classes) {
            (ClassNode::Rows(rows), Some(classes)) => e + row(rows, &classes.view([-1]), kind),
            (ClassNode::AsLabel(layers), Some(classes)) => {
                e + layers.forward(&self.features.of(&classes.view([-1]), kind), mode)
            }
            (ClassNode::Vector, Some(vector)) => e + vector.to_kind(kind).view([-1, self.width]),
            (ClassNode::Magnitude(linear, scale, sum), Some(vector)) => {
                let class = linear.forward(&(vector.to_kind(kind) * *scale), &one, mode);
                sum.join(&e, &class, mode)
            }
            _ => e,
        };
        match self.last {
            Some(activation) => activation.apply(&e),
            None => e,
        }
    }
}

impl Frequencies {
    /// The w_i, computed in this kind: in f32 they are rounded as diffusers rounds them, which a time step of
    /// 1000 makes visible.
    fn list(self, count: usize, kind: Kind) -> Tensor {
        match self {
            Frequencies::Transformer { shift } => {
                let index = Tensor::arange(count as i64, (kind, Device::Cpu));
                (index * -(1e4f64.ln()) / (count as f64 - shift)).exp()
            }
            Frequencies::Geometric { last } => {
                let steps = count.saturating_sub(1).max(1) as f64;
                let list: Vec<f64> = (0..count).map(|i| last.powf(i as f64 / steps)).collect();
                Tensor::from_slice(&list).to_kind(kind)
            }
        }
    }
}

impl FeatureNode {
    /// # Shapes
    /// t: `[B]`; result: `[B, channels]`.
    fn of(&self, t: &Tensor, kind: Kind) -> Tensor {
        let halves = |angles: Tensor, order| {
            let (first, second) = match order {
                Order::CosineFirst => (angles.cos(), angles.sin()),
                Order::SineFirst => (angles.sin(), angles.cos()),
            };
            Tensor::cat(&[first, second], 1).to_kind(kind)
        };
        // Angles of half-precision labels would be wrong in the first digit.
        let exact = if kind == Kind::Double {
            Kind::Double
        } else {
            Kind::Float
        };
        match self {
            FeatureNode::Sinusoids {
                frequencies,
                order,
                channels,
            } => {
                let frequencies = frequencies.list(channels / 2, exact).to_device(t.device());
                let angles = t.to_kind(exact).unsqueeze(-1) * frequencies;
                // Of an odd number of features the last is 0.
                halves(angles, *order).constant_pad_nd([0, (channels % 2) as i64])
            }
            FeatureNode::Fourier {
                frequencies,
                order,
                of,
            } => {
                let t = match of {
                    FourierOf::Label => t.to_kind(exact),
                    FourierOf::LogarithmThenDivide => t.log(),
                };
                halves(t.unsqueeze(-1) * frequencies * (2.0 * PI), *order)
            }
            FeatureNode::MagnitudeFourier {
                frequencies,
                phases,
            } => {
                let turns = t.to_kind(exact).unsqueeze(-1) * frequencies + phases;
                ((turns * (2.0 * PI)).cos() * 2f64.sqrt()).to_kind(kind)
            }
            FeatureNode::Learned { rows } => row(rows, t, kind),
        }
    }
}

fn row(rows: &Tensor, index: &Tensor, kind: Kind) -> Tensor {
    let index = index.round().to_kind(Kind::Int64);
    Tensor::embedding(rows, &index, -1, false, false).to_kind(kind)
}

impl TwoLayers {
    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Tensor {
        let hidden = self.activation.apply(&self.first.forward(x, mode));
        self.second.forward(&hidden, mode)
    }
}
