//! The timestep, and the class, as the blocks see them.

use std::f64::consts::PI;

use resnet_blocks::Activation;
use tch::{Kind, Tensor};

use super::{
    config::{ClassEmbedding, Config, TimeEmbedding},
    nodes::{Affine, Values},
};

/// e = W2 silu(W1 features(t) + b1) + b2, plus that of the class.
#[derive(Debug)]
pub(super) struct Embedding {
    features: Features,
    time: TwoLayers,
    class: Class,
}

/// Features of a number t.
#[derive(Debug)]
enum Features {
    Positional {
        frequencies: Tensor,
        flip_sin_to_cos: bool,
        /// A column of zeros after them, for an odd width.
        odd: bool,
    },
    Fourier {
        frequencies: Tensor,
    },
    Learned {
        rows: Tensor,
    },
}

#[derive(Debug)]
enum Class {
    None,
    Labels { rows: Tensor },
    Timestep(TwoLayers),
    Identity,
}

#[derive(Debug)]
struct TwoLayers {
    first: Affine,
    second: Affine,
}

impl Embedding {
    pub(super) fn new(config: &Config, values: &mut Values) -> Embedding {
        let width = config.block_out_channels[0] as i64;
        Embedding {
            features: match config.time_embedding_type {
                TimeEmbedding::Positional {
                    flip_sin_to_cos,
                    freq_shift,
                } => {
                    // In f32 as diffusers: a timestep of 1000 makes the last digit visible.
                    let index = Tensor::arange(width / 2, (Kind::Float, values.device()));
                    let exponent = index * -(1e4f64.ln()) / ((width / 2) as f64 - freq_shift);
                    Features::Positional {
                        frequencies: exponent.exp(),
                        flip_sin_to_cos,
                        odd: width % 2 == 1,
                    }
                }
                TimeEmbedding::Fourier => Features::Fourier {
                    frequencies: values.take("time_proj.weight"),
                },
                TimeEmbedding::Learned { .. } => Features::Learned {
                    rows: values.take("time_proj.weight"),
                },
            },
            time: TwoLayers::new("time_embedding", values),
            class: match config.class_embed_type {
                ClassEmbedding::None => Class::None,
                ClassEmbedding::Labels { .. } => Class::Labels {
                    rows: values.take("class_embedding.weight"),
                },
                ClassEmbedding::Timestep => {
                    Class::Timestep(TwoLayers::new("class_embedding", values))
                }
                ClassEmbedding::Identity => Class::Identity,
            },
        }
    }

    /// # Shapes
    /// timestep: `[B]`; classes: `[B]`, or `[B, E]` for [`ClassEmbedding::Identity`]; result: `[B, E]`.
    pub(super) fn forward(&self, timestep: &Tensor, classes: Option<&Tensor>) -> Tensor {
        let time = self.time.forward(&self.features.of(timestep));
        let class = match (&self.class, classes) {
            (Class::None, None) => return time,
            (Class::None, Some(_)) => panic!("this network takes no class labels; give none"),
            (_, None) => panic!("this network needs class labels; give one for each image"),
            (Class::Labels { rows }, Some(labels)) => row(rows, &labels.view([-1])),
            (Class::Timestep(layers), Some(labels)) => {
                layers.forward(&self.features.of(&labels.view([-1])))
            }
            (Class::Identity, Some(vectors)) => vectors.to_kind(time.kind()),
        };
        time + class
    }
}

impl Features {
    fn of(&self, t: &Tensor) -> Tensor {
        match self {
            Features::Positional {
                frequencies,
                flip_sin_to_cos,
                odd,
            } => {
                let angles = t.to_kind(Kind::Float).unsqueeze(-1) * frequencies;
                let (first, second) = if *flip_sin_to_cos {
                    (angles.cos(), angles.sin())
                } else {
                    (angles.sin(), angles.cos())
                };
                Tensor::cat(&[first, second], 1).constant_pad_nd([0, i64::from(*odd)])
            }
            Features::Fourier { frequencies } => {
                let angles = t.log().unsqueeze(-1) * frequencies * (2.0 * PI);
                Tensor::cat(&[angles.sin(), angles.cos()], 1).to_kind(Kind::Float)
            }
            Features::Learned { rows } => row(rows, t),
        }
    }
}

fn row(rows: &Tensor, index: &Tensor) -> Tensor {
    Tensor::embedding(rows, &index.round().to_kind(Kind::Int64), -1, false, false)
}

impl TwoLayers {
    fn new(name: &str, values: &mut Values) -> TwoLayers {
        TwoLayers {
            first: values.affine(&format!("{name}.linear_1")),
            second: values.affine(&format!("{name}.linear_2")),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = Activation::Silu.apply(&self.first.linear(x));
        self.second.linear(&hidden)
    }
}
