//! Random networks at initialisation, in `f64`: enough of them to push points and tangents through.

use nalgebra::DMatrix;
use ndarray::{Array1, Array2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::Deserialize;

use super::study::Place;
use crate::error::Error;

/// How the square matrices are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// The law.
    pub law: Law,
    /// √(fan-in · variance of an entry): √2 is He's, 1/√3 the default of Python's `nn.Linear`, √2 that of tch.
    pub gain: f64,
}

/// The law of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// Independent normal entries.
    Normal,
    /// Independent uniform entries.
    Uniform,
    /// Orthogonal and uniformly so, times the gain.
    Orthogonal,
}

/// How biases are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Biases {
    /// Zero.
    None,
    /// Uniform in ±1/√fan-in: the default of PyTorch and of tch.
    FanIn,
}

/// The nonlinearity φ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, a).
    Relu,
    /// tanh a.
    Tanh,
    /// a.
    Linear,
}

/// What one layer does to h.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Connection {
    /// φ(W h + c).
    Plain,
    /// h + b φ(W h + c): a branch with a positive mean, if φ is ReLU.
    OneLayer {
        /// b.
        scale: Scale,
    },
    /// h + b (W₂ φ(W h + c) + c₂): a branch with mean zero.
    TwoLayer {
        /// b.
        scale: Scale,
        /// The gain of W₂.
        second_gain: f64,
    },
}

/// The factor b of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 1.
    One,
    /// 1/√L, L the number of blocks.
    InverseSqrtDepth,
}

/// Everything about a network but its depth and width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Design {
    pub(super) activation: Activation,
    pub(super) connection: Connection,
    pub(super) weights: Weights,
    pub(super) biases: Biases,
}

/// One layer or block.
pub(super) struct Layer {
    pub(super) w: Array2<f64>,
    pub(super) c: Array1<f64>,
    /// W₂ and c₂ of a two-layer branch.
    pub(super) second: Option<(Array2<f64>, Array1<f64>)>,
}

impl Scale {
    pub(super) fn factor(self, depth: usize) -> f64 {
        match self {
            Scale::One => 1.0,
            Scale::InverseSqrtDepth => 1.0 / (depth as f64).sqrt(),
        }
    }
}

impl Connection {
    fn scale(self) -> Scale {
        match self {
            Connection::Plain => Scale::One,
            Connection::OneLayer { scale } | Connection::TwoLayer { scale, .. } => scale,
        }
    }
}

impl Activation {
    pub(super) fn at(self, a: f64) -> f64 {
        match self {
            Activation::Relu => a.max(0.0),
            Activation::Tanh => a.tanh(),
            Activation::Linear => a,
        }
    }

    pub(super) fn slope(self, a: f64) -> f64 {
        match self {
            Activation::Relu => f64::from(u8::from(0.0 < a)),
            Activation::Tanh => 1.0 - a.tanh().powi(2),
            Activation::Linear => 1.0,
        }
    }
}

impl Weights {
    /// A \[rows, columns\] matrix; `columns` is the fan-in. Orthogonal ones are square.
    pub(super) fn draw(self, rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
        let std = self.gain / (columns as f64).sqrt();
        match self.law {
            Law::Normal => Array2::from_shape_simple_fn((rows, columns), || {
                std * rng.sample::<f64, _>(StandardNormal)
            }),
            Law::Uniform => {
                let bound = 3.0_f64.sqrt() * std;
                Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-bound..bound))
            }
            Law::Orthogonal => {
                let normal =
                    DMatrix::from_fn(rows, columns, |_, _| rng.sample::<f64, _>(StandardNormal));
                let (q, r) = normal.qr().unpack();
                // Signs by the diagonal of R make the law uniform (Mezzadri 2007).
                Array2::from_shape_fn((rows, columns), |(i, j)| {
                    self.gain * q[(i, j)] * r[(j, j)].signum()
                })
            }
        }
    }
}

impl Biases {
    pub(super) fn draw(self, rows: usize, fan_in: usize, rng: &mut ChaCha8Rng) -> Array1<f64> {
        match self {
            Biases::None => Array1::zeros(rows),
            Biases::FanIn => {
                let bound = 1.0 / (fan_in as f64).sqrt();
                Array1::from_shape_simple_fn(rows, || rng.random_range(-bound..bound))
            }
        }
    }

    /// The variance of an entry.
    pub(super) fn variance(self, fan_in: usize) -> f64 {
        match self {
            Biases::None => 0.0,
            Biases::FanIn => 1.0 / (3.0 * fan_in as f64),
        }
    }
}

impl Design {
    pub(super) fn check(&self, place: &Place) -> Result<(), Error> {
        place.positive("weights.gain", self.weights.gain)?;
        match self.connection {
            Connection::TwoLayer { second_gain, .. } => {
                place.positive("connection.second_gain", second_gain)
            }
            Connection::Plain | Connection::OneLayer { .. } => Ok(()),
        }
    }

    /// One layer of the given width.
    pub(super) fn layer(&self, width: usize, rng: &mut ChaCha8Rng) -> Layer {
        let w = self.weights.draw(width, width, rng);
        let c = self.biases.draw(width, width, rng);
        let second = match self.connection {
            Connection::TwoLayer { second_gain, .. } => {
                let weights = Weights {
                    gain: second_gain,
                    ..self.weights
                };
                let w = weights.draw(width, width, rng);
                Some((w, self.biases.draw(width, width, rng)))
            }
            Connection::Plain | Connection::OneLayer { .. } => None,
        };
        Layer { w, c, second }
    }

    /// b at this depth, or 1 for a plain network.
    pub(super) fn factor(&self, depth: usize) -> f64 {
        self.connection.scale().factor(depth)
    }

    /// The depths that one pass serves: all of them, unless the branches know how many they are.
    pub(super) fn passes<'d>(&self, depths: &'d [usize]) -> Vec<&'d [usize]> {
        match self.connection.scale() {
            Scale::One => vec![depths],
            Scale::InverseSqrtDepth => depths.chunks(1).collect(),
        }
    }
}
