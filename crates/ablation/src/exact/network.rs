//! Random networks at initialisation, in `f64`: enough of them to push points and tangents through.

use nalgebra::DMatrix;
use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::Deserialize;

use super::place::Place;
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

/// Normalisation to mean 0 and variance 1, with 1e-5 in the variance.
///
/// Of each unit over the points in the batch's forms, whose statistics are held fixed in derivatives; of each point over
/// the units in the layer's, whose derivatives are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// None.
    None,
    /// Of preactivations.
    Batch,
    /// Of what a layer is given, and of preactivations.
    BatchTwice,
    /// Of what a layer is given, point by point: pre-norm, as in transformers.
    Layer,
}

/// The factor b of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 1.
    One,
    /// 1/√L, L the number of blocks.
    InverseSqrtDepth,
    /// This number, at any depth: `{ constant = 0.1 }`.
    Constant(f64),
    /// This power of L: `{ power = -0.25 }`.
    Power(f64),
}

/// Everything about a network but its depth and width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Design {
    pub(super) activation: Activation,
    pub(super) connection: Connection,
    pub(super) norm: Norm,
    pub(super) weights: Weights,
    pub(super) biases: Biases,
}

/// Points, and how they move with their inputs.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// \[points, n\].
    pub(super) h: Array2<f64>,
    /// \[directions · m, n\]: tangents of the first m points, all of them for each direction in turn.
    pub(super) tangents: Array2<f64>,
    /// m.
    pub(super) points: usize,
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
            Scale::Constant(b) => b,
            Scale::Power(power) => (depth as f64).powf(power),
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
        match self.connection.scale() {
            Scale::Constant(b) => place.finite("connection.scale", b)?,
            Scale::Power(power) => place.finite("connection.scale", power)?,
            Scale::One | Scale::InverseSqrtDepth => {}
        }
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

    /// The batch after the layer, with branches multiplied by `factor`.
    pub(super) fn advance(&self, batch: Batch, layer: &Layer, factor: f64) -> Batch {
        let mut branch = batch.clone();
        match self.norm {
            Norm::None | Norm::Batch => {}
            Norm::BatchTwice => branch.normalise(),
            Norm::Layer => branch.normalise_points(),
        }
        branch = branch.affine(&layer.w, &layer.c);
        match self.norm {
            Norm::None | Norm::Layer => {}
            Norm::Batch | Norm::BatchTwice => branch.normalise(),
        }
        branch.activate(self.activation);
        if let Some((w, c)) = &layer.second {
            branch = branch.affine(w, c);
        }
        match self.connection {
            Connection::Plain => branch,
            Connection::OneLayer { .. } | Connection::TwoLayer { .. } => Batch {
                h: batch.h + branch.h * factor,
                tangents: batch.tangents + branch.tangents * factor,
                points: batch.points,
            },
        }
    }

    /// b at this depth, or 1 for a plain network.
    pub(super) fn factor(&self, depth: usize) -> f64 {
        self.connection.scale().factor(depth)
    }

    /// Whether a network of half the input is half the network.
    pub(super) fn is_homogeneous(&self) -> bool {
        self.biases == Biases::None
            && self.norm == Norm::None
            && self.activation != Activation::Tanh
    }

    /// The depths that one pass serves: all of them, unless the branches know how many they are.
    pub(super) fn passes<'d>(&self, depths: &'d [usize]) -> Vec<&'d [usize]> {
        match self.connection.scale() {
            Scale::One | Scale::Constant(_) => vec![depths],
            Scale::InverseSqrtDepth | Scale::Power(_) => depths.chunks(1).collect(),
        }
    }
}

impl Batch {
    fn affine(&self, w: &Array2<f64>, c: &Array1<f64>) -> Batch {
        Batch {
            h: self.h.dot(&w.t()) + c,
            tangents: self.tangents.dot(&w.t()),
            points: self.points,
        }
    }

    /// Preactivations become φ of them.
    pub(super) fn activate(&mut self, activation: Activation) {
        for (row, mut tangent) in self.tangents.rows_mut().into_iter().enumerate() {
            let point = self.h.row(row % self.points);
            tangent.zip_mut_with(&point, |t, a| *t *= activation.slope(*a));
        }
        self.h.mapv_inplace(|a| activation.at(a));
    }

    fn normalise(&mut self) {
        let mean = self.h.mean_axis(Axis(0)).expect("there are points");
        let std = (self.h.var_axis(Axis(0), 0.0) + 1e-5).mapv_into(f64::sqrt);
        self.h -= &mean;
        self.h /= &std;
        self.tangents /= &std;
    }

    /// n = (h − mean h)/σ over the units of a point; a tangent t moves it by (t − mean t − n mean(n t))/σ.
    fn normalise_points(&mut self) {
        let mean = |h: ArrayView1<'_, f64>| h.mean().expect("there are units");
        let std: Vec<f64> = self
            .h
            .rows_mut()
            .into_iter()
            .map(|mut point| {
                point -= mean(point.view());
                let std = (mean((&point * &point).view()) + 1e-5).sqrt();
                point /= std;
                std
            })
            .collect();
        for (row, mut tangent) in self.tangents.rows_mut().into_iter().enumerate() {
            let point = self.h.row(row % self.points);
            tangent -= mean(tangent.view());
            let along = mean((&tangent * &point).view());
            tangent.scaled_add(-along, &point);
            tangent /= std[row % self.points];
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn design(activation: Activation, connection: Connection, norm: Norm) -> Design {
        Design {
            activation,
            connection,
            norm,
            weights: Weights {
                law: Law::Normal,
                gain: 1.2,
            },
            biases: Biases::FanIn,
        }
    }

    fn through(design: &Design, x: &Array2<f64>, tangents: Array2<f64>) -> Batch {
        let start = Batch {
            h: x.clone(),
            tangents,
            points: 2,
        };
        (0..3).fold(start, |batch, l| {
            let layer = design.layer(4, &mut ChaCha8Rng::seed_from_u64(l));
            design.advance(batch, &layer, 0.7)
        })
    }

    #[test]
    fn tangents_are_those_of_differences() {
        let scale = Scale::One;
        let second_gain = 0.9;
        let two = Connection::TwoLayer { scale, second_gain };
        for (connection, norm) in [
            (Connection::Plain, Norm::None),
            (Connection::OneLayer { scale }, Norm::None),
            (two, Norm::None),
            (two, Norm::Layer),
        ] {
            for activation in [Activation::Tanh, Activation::Relu, Activation::Linear] {
                let design = design(activation, connection, norm);
                let x = Array2::from_shape_fn((3, 4), |(i, j)| (1.3 * i as f64 - j as f64).sin());
                // Of the first two points, along each of the four axes in turn.
                let axes = Array2::from_shape_fn((8, 4), |(r, j)| f64::from(u8::from(r / 2 == j)));
                let found = through(&design, &x, axes);
                for row in 0..8 {
                    let (axis, point) = (row / 2, row % 2);
                    let at = |step: f64| {
                        let mut x = x.clone();
                        x[[point, axis]] += step;
                        let moved = through(&design, &x, Array2::zeros((2, 4)));
                        moved.h.row(point).to_owned()
                    };
                    let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                    let off = (slope - found.tangents.row(row)).mapv(f64::abs);
                    assert!(
                        off.iter().all(|d| *d < 1e-7),
                        "{connection:?} {norm:?} {activation:?}: {off}"
                    );
                }
            }
        }
    }

    #[test]
    fn draws_have_the_variance_and_the_law_that_they_are_asked_for() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        for law in [Law::Normal, Law::Uniform, Law::Orthogonal] {
            let weights = Weights { law, gain: 1.5 };
            let w = weights.draw(80, 80, rng);
            assert!((w.var(0.0) * 80.0 / 2.25 - 1.0).abs() < 0.06, "{law:?}");
            if law == Law::Orthogonal {
                let off = w.dot(&w.t()) / 2.25 - Array2::<f64>::eye(80);
                assert!(off.iter().all(|d| d.abs() < 1e-13));
            }
        }
        let biases = Biases::FanIn.draw(5000, 25, rng);
        assert!((biases.var(0.0) / Biases::FanIn.variance(25) - 1.0).abs() < 0.06);
    }

    #[test]
    fn normalised_units_have_variance_one_whatever_they_were() {
        let mut batch = Batch {
            h: Array2::from_shape_fn((50, 2), |(i, j)| 3.0 + (i * (j + 1)) as f64),
            tangents: Array2::ones((50, 2)),
            points: 50,
        };
        batch.normalise();
        assert!(
            batch
                .h
                .mean_axis(Axis(0))
                .unwrap()
                .iter()
                .all(|m| m.abs() < 1e-12)
        );
        let variances = batch.h.var_axis(Axis(0), 0.0);
        assert!(variances.iter().all(|v| (v - 1.0).abs() < 1e-6));
        // The second unit moved twice as fast.
        assert!((batch.tangents[[0, 0]] / batch.tangents[[0, 1]] - 2.0).abs() < 1e-6);
    }
}
