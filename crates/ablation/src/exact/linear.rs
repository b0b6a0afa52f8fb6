//! Deep linear networks: with the residual form nothing changes but the origin of the weights.

use ndarray::{Array2, Axis};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::Deserialize;

use super::{
    place::Place,
    report::{Found, Measured, Number},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// Gradient descent on x ↦ W_L … W_1 x and on x ↦ (I + V_L) … (I + V_1) x from W = I + V.
///
/// The two are one function with one gradient, so W = I + V stays true, to rounding: in this class a skip adds no
/// capacity and is an initial value.
/// Weight decay pulls W towards 0 and V towards 0, which is W towards I: then they part.
/// From W = V, small and without the identity, the plain network is stuck for as many steps.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Width: every matrix is square.
    pub width: usize,
    /// Matrices.
    pub depth: usize,
    /// Points that are fitted.
    pub points: usize,
    /// Steps of gradient descent.
    pub steps: usize,
    /// Learning rate.
    pub rate: f64,
    /// Standard deviation of the entries of V at the start.
    pub start: f64,
    /// Coefficient of the weight decay that parts them.
    pub decay: f64,
    /// Around the equalities.
    pub tolerance: Tolerance,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<LinearMeasure>>,
}

/// What a claim about linear networks measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinearMeasure {
    /// max |W − (I + V)| after training.
    Distance,
    /// max |W − (I + V)| after training with weight decay.
    DistanceWithDecay,
    /// Share of the initial loss that the plain network from W = V has lost; the residual one from the same V is beside it
    /// in the table.
    ProgressWithoutIdentity,
    /// Share of the initial loss that the residual network has lost.
    Progress,
}

/// A chain of square matrices: what is trained, and whether the identity is added to each.
struct Chain {
    parameters: Vec<Array2<f64>>,
    residual: bool,
}

/// A trained chain.
struct Trained {
    matrices: Vec<Array2<f64>>,
    first: f64,
    last: f64,
}

impl Table for Linear {
    table_fields!("linear");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("width", self.width, 1, 256)?;
        place.count("depth", self.depth, 1, 256)?;
        place.count("points", self.points, 1, 100_000)?;
        place.count("steps", self.steps, 1, 1_000_000)?;
        place.positive("rate", self.rate)?;
        place.positive("start", self.start)?;
        place.positive("decay", self.decay)?;
        let work = self.width.pow(2) * self.points * self.depth * self.steps;
        if 20_000_000_000 < work {
            let rule = "width² · points · depth · steps above 2·10¹⁰ takes more than a minute: make one of them smaller";
            return Err(place.refuse("work", work, rule));
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let n = self.width;
        let stream = Stream::new(seed);
        let normal = |role, index, rows: usize| {
            let mut rng = stream.at(role, index);
            Array2::from_shape_simple_fn((rows, n), || rng.sample::<f64, _>(StandardNormal))
        };
        let x = normal(Role::Data, 0, self.points);
        // Outputs of the same size as the inputs.
        let y = x.dot(&normal(Role::Data, 1, n)) / (n as f64).sqrt();
        let small: Vec<Array2<f64>> = (0..self.depth)
            .map(|layer| normal(Role::Init, layer as u64, n) * self.start)
            .collect();
        let shifted: Vec<Array2<f64>> = small.iter().map(|v| v + &Array2::<f64>::eye(n)).collect();
        let train = |parameters: &[Array2<f64>], residual, decay| {
            let chain = Chain {
                parameters: parameters.to_vec(),
                residual,
            };
            chain.train(&x, &y, self.rate, decay, self.steps)
        };
        let (residual, plain) = (train(&small, true, 0.0), train(&shifted, false, 0.0));
        let decayed = [(&small, true), (&shifted, false)].map(|(w, r)| train(w, r, self.decay));
        let bare = train(&small, false, 0.0);

        let mut measured = Measured {
            meaning: "gradient descent on plain and residual deep linear networks from the same function",
            parameters: format!(
                "width {n}, depth {}, {} points, {} steps at rate {}, entries of V of {}, weight decay {}",
                self.depth, self.points, self.steps, self.rate, self.start, self.decay
            ),
            ..Measured::default()
        };
        let apart = Number::exact(distance(&residual, &plain));
        measured.closed_form("max |W − (I + V)|", apart, 0.0, self.tolerance.around(0.0));
        let losses = Number::exact(plain.last);
        let tolerance = self.tolerance.around(residual.last);
        measured.closed_form(
            "loss, plain against residual",
            losses,
            residual.last,
            tolerance,
        );
        for (what, trained) in [
            ("residual", &residual),
            ("plain from W = V", &bare),
            ("residual with decay", &decayed[0]),
            ("plain with decay", &decayed[1]),
        ] {
            for (when, loss) in [("first", trained.first), ("last", trained.last)] {
                let what = format!("{when} loss, {what}");
                measured.expected(what, Number::exact(loss), None, self.tolerance);
            }
        }
        for claim in &self.claims {
            let lost = |trained: &Trained| 1.0 - trained.last / trained.first;
            measured.found.push(match claim.measure {
                LinearMeasure::Distance => Found::exact("max |W − (I + V)|", apart.value),
                LinearMeasure::DistanceWithDecay => Found::exact(
                    "max |W − (I + V)| with weight decay",
                    distance(&decayed[0], &decayed[1]),
                ),
                LinearMeasure::ProgressWithoutIdentity => {
                    Found::exact("share of the loss lost, plain from W = V", lost(&bare))
                }
                LinearMeasure::Progress => {
                    Found::exact("share of the loss lost, residual", lost(&residual))
                }
            });
        }
        measured
    }
}

impl Chain {
    /// Gradient descent on ½ mean ‖ŷ − y‖² + ½ decay ‖parameters‖².
    fn train(
        mut self,
        x: &Array2<f64>,
        y: &Array2<f64>,
        rate: f64,
        decay: f64,
        steps: usize,
    ) -> Trained {
        let mut first = None;
        for _ in 0..steps {
            let (loss, gradients) = gradients(&self.matrices(), x, y);
            first.get_or_insert(loss);
            for (w, gradient) in self.parameters.iter_mut().zip(gradients) {
                let pull = &*w * decay + gradient;
                w.scaled_add(-rate, &pull);
            }
        }
        let matrices = self.matrices();
        let (last, _) = gradients(&matrices, x, y);
        Trained {
            first: first.unwrap_or(last),
            last,
            matrices,
        }
    }

    fn matrices(&self) -> Vec<Array2<f64>> {
        let origin = if self.residual { 1.0 } else { 0.0 };
        self.parameters
            .iter()
            .map(|w| w + &(Array2::<f64>::eye(w.nrows()) * origin))
            .collect()
    }
}

/// ½ mean ‖ŷ − y‖² and its gradients, ŷ = x W_1ᵀ … W_Lᵀ by rows.
fn gradients(w: &[Array2<f64>], x: &Array2<f64>, y: &Array2<f64>) -> (f64, Vec<Array2<f64>>) {
    let mut inputs = vec![x.clone()];
    for w in w {
        inputs.push(inputs[inputs.len() - 1].dot(&w.t()));
    }
    let output = inputs.pop().expect("the output is the last");
    let count = x.len_of(Axis(0)) as f64;
    let mut cotangent = (output - y) / count;
    let loss = 0.5 * count * cotangent.iter().map(|c| c * c).sum::<f64>();
    let mut gradients = Vec::with_capacity(w.len());
    for (w, input) in w.iter().zip(&inputs).rev() {
        gradients.push(cotangent.t().dot(input));
        cotangent = cotangent.dot(w);
    }
    gradients.reverse();
    (loss, gradients)
}

/// The largest entry by which two chains of matrices differ; none is NaN unless one diverged.
fn distance(a: &Trained, b: &Trained) -> f64 {
    let pairs = a.matrices.iter().zip(&b.matrices);
    let differences = pairs.flat_map(|(a, b)| (a - b).into_iter().map(f64::abs));
    differences.fold(0.0, |worst, d| if d <= worst { worst } else { d })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn gradients_are_those_of_differences() {
        let w = vec![
            array![[0.3, -1.0], [0.7, 0.2]],
            array![[1.1, 0.4], [-0.6, 0.9]],
        ];
        let x = array![[1.0, 2.0], [-0.5, 0.3], [0.2, -1.5]];
        let y = array![[0.0, 1.0], [1.0, 1.0], [-1.0, 0.5]];
        let (_, found) = gradients(&w, &x, &y);
        for layer in 0..2 {
            for index in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let at = |step: f64| {
                    let mut w = w.clone();
                    w[layer][index] += step;
                    gradients(&w, &x, &y).0
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((slope - found[layer][index]).abs() < 1e-9);
            }
        }
    }
}
