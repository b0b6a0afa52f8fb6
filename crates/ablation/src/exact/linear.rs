//! Deep linear networks: with the residual form nothing changes but the origin of the weights.

use nalgebra::DMatrix;
use ndarray::{Array2, Axis};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::Deserialize;

use super::{
    place::Place,
    report::{Found, Measured, Number, median},
    stationary::held_back,
    study::{Claim, Expected, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// Gradient descent on x ↦ W_L … W_1 x and on x ↦ (I + V_L) … (I + V_1) x from W = I + V, for E‖ŷ − T x‖².
///
/// The two are one function with one gradient, so W = I + V stays true, to rounding: in this class a skip adds no
/// capacity and is an initial value.
/// Weight decay λ pulls W towards 0 and V towards 0, which is W towards I: then they part.
/// From W = V, small and without the identity, the plain network is stuck for as many steps; from Xavier's W, normal
/// entries of variance 1/n (Glorot and Bengio 2010), it has far to go.
///
/// The target is T = I + t G/√n, G normal, and the inputs are whitened, so that the end is known to first order in λ: see
/// `held_back`. To leading order in t as well each layer has 2 (P − T) = −λ w with w = V or W, P the product, so that the
/// loss left is λ² ‖w‖²/4, that is
///
/// ```text
/// residual   λ² ‖T − I‖²/4 L²  V = (T − I)/L
/// plain      λ² n/4            W = I + V
/// the two products differ by λ I/2
/// ```
///
/// The laws are of the end of training: they are left out where training without decay has not come a thousand times
/// nearer to the target than they say, or where λ is no small thing; that of the plain network from W = V where it could
/// have left the saddle.
///
/// Single matrices part further, and more with time: the pull moves them in directions that the product does not see.
///
/// Range: losses in \[0, ∞), distances too; invariant to rotations of inputs and outputs together.
/// It says nothing of nets with a nonlinearity, where a skip is no initial value, nor of widths that change.
/// Xavier's loss after a number of steps scatters over decades between draws: a median of seeds is shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// Width n: every matrix is square.
    pub width: usize,
    /// Matrices L.
    pub depth: usize,
    /// Points that are fitted, more than the width.
    pub points: usize,
    /// t: how far the target is from the identity.
    pub target: f64,
    /// Steps of gradient descent.
    pub steps: usize,
    /// Learning rate.
    pub rate: f64,
    /// Standard deviation of the entries of V at the start.
    pub start: f64,
    /// Coefficient λ of the weight decay that parts them.
    pub decay: f64,
    /// Draws of Xavier's start.
    pub seeds: u32,
    /// What the saddle's loss and the expected losses may be off, relative.
    pub order: f64,
    /// Around the equalities.
    pub tolerance: Tolerance,
    /// Last losses that are expected.
    pub expected: ExpectedLosses,
    /// Claims.
    #[serde(default)]
    pub claims: Vec<Claim<LinearMeasure>>,
}

/// Registered losses after the last step, without the decay's own part.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedLosses {
    /// Residual, with decay.
    pub residual: Option<Expected>,
    /// Plain from W = I + V, with decay.
    pub plain: Option<Expected>,
    /// Plain from W = V.
    pub stuck: Option<Expected>,
    /// Plain from Xavier's W, the median of the draws.
    pub xavier: Option<Expected>,
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
        place.count("points", self.points, self.width + 1, 100_000)?;
        place.non_negative("target", self.target)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        place.positive("order", self.order)?;
        place.count("steps", self.steps, 1, 1_000_000)?;
        place.positive("rate", self.rate)?;
        place.positive("start", self.start)?;
        place.positive("decay", self.decay)?;
        let runs = 5 + self.seeds as usize;
        let layers = (self.width.pow(2) * self.points) as f64 * self.depth as f64;
        let work = layers * self.steps as f64 * runs as f64;
        if 1e11 < work {
            let rule = "width² · points · depth · steps · (5 + seeds) above 10¹¹ takes more than a minute: make one of them smaller";
            return Err(place.refuse("work", format!("{work:e}"), rule));
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
        let x = whitened(normal(Role::Data, 0, self.points));
        let target = Array2::eye(n) + normal(Role::Data, 1, n) * (self.target / (n as f64).sqrt());
        let y = x.dot(&target.t());
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
        let xavier: Vec<Trained> = (0..self.seeds)
            .map(|draw| {
                let first = u64::from(draw) * self.depth as u64;
                let layer = |l| normal(Role::Probe, first + l as u64, n) / (n as f64).sqrt();
                train(&(0..self.depth).map(layer).collect::<Vec<_>>(), false, 0.0)
            })
            .collect();

        let mut measured = Measured {
            meaning: "gradient descent on plain and residual deep linear networks from the same function",
            parameters: format!(
                "width {n}, depth {}, {} points, target {} from the identity, {} steps at rate {}, entries of V of {}, weight decay {}",
                self.depth, self.points, self.target, self.steps, self.rate, self.start, self.decay
            ),
            ..Measured::default()
        };
        let apart = Number::exact(distance(&residual, &plain));
        let losses = Number::exact(plain.last);
        // Where training diverges it multiplies rounding: then the two are shown, and not held together.
        if plain.last < plain.first {
            measured.closed_form("max |W − (I + V)|", apart, 0.0, self.tolerance.around(0.0));
            let tolerance = self.tolerance.around(residual.last);
            measured.closed_form(
                "loss, plain against residual",
                losses,
                residual.last,
                tolerance,
            );
        } else {
            measured.expected("max |W − (I + V)|", apart, None, self.tolerance);
            measured.expected("last loss, plain", losses, None, self.tolerance);
        }
        let apart_decayed = Number::exact(distance(&decayed[0], &decayed[1]));
        let origins = [Array2::<f64>::eye(n), Array2::zeros((n, n))];
        let held: Option<Vec<Array2<f64>>> = (origins.iter().zip(&decayed))
            .map(|(origin, trained)| {
                let pulled: Vec<_> = trained.matrices.iter().map(|w| w - origin).collect();
                held_back(&trained.matrices, &pulled, self.decay)
            })
            .collect();
        // Residual and plain, by what of the target they miss.
        let laws = held.as_deref().map(|missed| {
            let loss = |e: &Array2<f64>| e.mapv(|e| e * e).sum();
            let gain = |e: &Array2<f64>| e.diag().sum() / n as f64;
            let (residual, plain) = (&missed[0], &missed[1]);
            [gain(residual) - gain(plain), loss(residual), loss(plain)]
        });
        for (place, what, number) in [
            (
                0,
                "mean diagonal of the products' difference with decay",
                decayed[0].mean_gain() - decayed[1].mean_gain(),
            ),
            (1, "last loss, residual with decay", decayed[0].last),
            (2, "last loss, plain with decay", decayed[1].last),
        ] {
            let number = Number::exact(number);
            match laws {
                Some(laws) if residual.last <= 1e-3 * laws[1] => {
                    let law = laws[place];
                    measured.closed_form(what, number, law, (1e-3 + self.decay) * law.abs());
                }
                _ => measured.expected(what, number, None, self.tolerance),
            }
        }
        let what = "last loss, plain from W = V, over the first";
        let number = Number::exact(bare.last / bare.first);
        if self.stays() {
            measured.closed_form(what, number, 1.0, self.order);
        } else {
            measured.expected(what, number, None, self.tolerance);
        }
        let losses: Vec<f64> = xavier.iter().map(|trained| trained.last.log10()).collect();
        let median = 10_f64.powf(median(&losses));
        for (what, value, expected) in [
            (
                "residual with decay",
                decayed[0].last,
                self.expected.residual,
            ),
            ("plain with decay", decayed[1].last, self.expected.plain),
            ("plain from W = V", bare.last, self.expected.stuck),
            (
                "plain from Xavier's W, median",
                median,
                self.expected.xavier,
            ),
        ] {
            let number = Number::exact(value);
            let order = Tolerance {
                relative: self.order,
                absolute: 0.0,
            };
            measured.expected(format!("last loss, {what}"), number, expected, order);
        }
        let ends = losses
            .iter()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], l| {
                [a.min(*l), b.max(*l)]
            });
        for (what, value) in [
            ("last loss, residual", residual.last),
            (
                "last loss, plain from Xavier's W, least",
                10_f64.powf(ends[0]),
            ),
            (
                "last loss, plain from Xavier's W, most",
                10_f64.powf(ends[1]),
            ),
        ] {
            measured.expected(what, Number::exact(value), None, self.tolerance);
        }
        for claim in &self.claims {
            let lost = |trained: &Trained| 1.0 - trained.last / trained.first;
            measured.found.push(match claim.measure {
                LinearMeasure::Distance => Found::exact("max |W − (I + V)|", apart.value),
                LinearMeasure::DistanceWithDecay => {
                    Found::exact("max |W − (I + V)| with weight decay", apart_decayed.value)
                }
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

impl Linear {
    /// Whether a product of matrices as small as V is too flat a saddle to be left: a singular value a of V, at most about
    /// 2 `start` √n, grows by the rate 2 a^(L−2).
    fn stays(&self) -> bool {
        let largest = 2.0 * self.start * (self.width as f64).sqrt();
        let growth = 2.0 * self.rate * self.steps as f64 * largest.powi(self.depth as i32 - 2);
        1 < self.depth && largest < 1.0 && growth < 0.1
    }
}

impl Trained {
    /// The mean of the diagonal of the product of all matrices.
    fn mean_gain(&self) -> f64 {
        let n = self.matrices[0].nrows();
        let product = (self.matrices.iter()).fold(Array2::eye(n), |product, w| w.dot(&product));
        product.diag().mean().expect("a unit")
    }
}

impl Chain {
    /// Gradient descent on mean ‖ŷ − y‖² + ½ decay ‖parameters‖².
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

/// mean ‖ŷ − y‖² and its gradients, ŷ = x W_1ᵀ … W_Lᵀ by rows.
fn gradients(w: &[Array2<f64>], x: &Array2<f64>, y: &Array2<f64>) -> (f64, Vec<Array2<f64>>) {
    let mut inputs = vec![x.clone()];
    for w in w {
        inputs.push(inputs[inputs.len() - 1].dot(&w.t()));
    }
    let output = inputs.pop().expect("the output is the last");
    let count = x.len_of(Axis(0)) as f64;
    let mut cotangent = (output - y) * (2.0 / count);
    let loss = 0.25 * count * cotangent.iter().map(|c| c * c).sum::<f64>();
    let mut gradients = Vec::with_capacity(w.len());
    for (w, input) in w.iter().zip(&inputs).rev() {
        gradients.push(cotangent.t().dot(input));
        cotangent = cotangent.dot(w);
    }
    gradients.reverse();
    (loss, gradients)
}

/// Points with the mean square I: x C^(−½), which Cholesky's factor L of C gives as x L⁻ᵀ.
fn whitened(x: Array2<f64>) -> Array2<f64> {
    let (points, n) = x.dim();
    let square = x.t().dot(&x) / points as f64;
    let factor = DMatrix::from_fn(n, n, |i, j| square[[i, j]]).cholesky();
    let factor = factor.expect("there are more points than units").l();
    let inverse = factor.try_inverse().expect("its diagonal is positive");
    x.dot(&Array2::from_shape_fn((n, n), |(i, j)| inverse[(j, i)]))
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
    fn whitened_points_have_the_identity_for_their_mean_square() {
        let x = whitened(array![[1.0, 2.0], [-0.5, 0.3], [0.2, -1.5], [3.0, 0.1]]);
        let off = x.t().dot(&x) / 4.0 - Array2::<f64>::eye(2);
        assert!(off.iter().all(|d| d.abs() < 1e-14), "{off}");
    }

    #[test]
    fn a_saddle_is_left_sooner_the_fewer_the_matrices() {
        let table = |depth, start| Linear {
            name: "l".to_owned(),
            about: Vec::new(),
            width: 4,
            depth,
            points: 32,
            target: 0.3,
            steps: 100,
            rate: 0.02,
            start,
            decay: 0.01,
            seeds: 2,
            order: 0.3,
            tolerance: Tolerance {
                relative: 1e-12,
                absolute: 1e-12,
            },
            expected: ExpectedLosses {
                residual: None,
                plain: None,
                stuck: None,
                xavier: None,
            },
            claims: Vec::new(),
        };
        assert!(!table(1, 0.05).stays() && !table(2, 0.05).stays());
        assert!(table(8, 0.05).stays() && !table(8, 0.3).stays());
        // Where training has not arrived, or has diverged, laws of its end hold nothing.
        let held = |table: Linear| {
            let rows = table.measure(0).rows;
            let of = |word: &str| {
                rows.iter()
                    .find(|row| row.what.contains(word))
                    .unwrap()
                    .wanted
            };
            [of("residual with decay"), of("max |W")].map(|wanted| wanted.is_some())
        };
        assert_eq!(held(table(4, 0.05)), [true, true]);
        let short = Linear {
            steps: 1,
            ..table(4, 0.05)
        };
        assert_eq!(held(short), [false, true]);
        let wild = Linear {
            rate: 3.0,
            ..table(4, 0.05)
        };
        assert_eq!(held(wild), [false, false]);
    }

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
