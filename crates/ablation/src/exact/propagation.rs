//! The numbers of one random network: outputs and Jacobians in, six numbers out.

use nalgebra::DMatrix;
use ndarray::{Array1, Array2, ArrayView2, s};
use serde::Deserialize;

use super::{network::Batch, report::median};

/// A number of a network at initialisation; of several inputs the mean, of several Jacobians the median.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Mean cosine between the outputs of two inputs: 1 where all inputs look alike.
    Cosine,
    /// log₁₀ of the mean square of the output over that of the input.
    Growth,
    /// Singular values of the Jacobian above 2⁻²³ of the largest: what single precision keeps.
    Rank,
    /// (Σ s²)²/Σ s⁴ of the Jacobian's singular values s.
    Participation,
    /// log₁₀ of the largest singular value over the smallest; not finite where ReLU has cut a direction off.
    Condition,
    /// log₁₀ of the root mean square singular value: what a gradient of random direction is multiplied by.
    Gain,
}

const MEASURES: [(Propagation, &str); 6] = [
    (Propagation::Cosine, "cosine"),
    (Propagation::Growth, "log₁₀ growth"),
    (Propagation::Rank, "rank of J"),
    (Propagation::Participation, "participation"),
    (Propagation::Condition, "log₁₀ κ(J)"),
    (Propagation::Gain, "log₁₀ gain"),
];

/// The six measures of one network, in the order of [`MEASURES`].
pub(super) type Numbers = [f64; MEASURES.len()];

impl Propagation {
    pub(super) fn place(self) -> usize {
        let place = MEASURES.iter().position(|(measure, _)| *measure == self);
        place.expect("every measure is in the table")
    }

    pub(super) fn words(self) -> &'static str {
        MEASURES[self.place()].1
    }
}

/// The numbers of a network whose inputs `x` \[n, D\] became this batch, with tangents along every axis.
pub(super) fn numbers_of(x: &Array2<f64>, batch: &Batch) -> Numbers {
    let h = &batch.h;
    let square = |h: &Array2<f64>| h.iter().map(|h| h * h).sum::<f64>();
    let directions: Vec<Array1<f64>> = (h.rows().into_iter())
        .map(|row| &row / row.dot(&row).sqrt())
        .collect();
    let mut cosines = Vec::new();
    for (i, a) in directions.iter().enumerate() {
        cosines.extend(directions[..i].iter().map(|b| a.dot(b)));
    }
    let mut numbers = [0.0; MEASURES.len()];
    numbers[Propagation::Cosine.place()] = cosines.iter().sum::<f64>() / cosines.len() as f64;
    numbers[Propagation::Growth.place()] = (square(h) / square(x)).log10();
    let spectra: Vec<Vec<f64>> = (0..batch.points)
        .map(|point| singular_values(&batch.tangents.slice(s![point..;batch.points, ..])))
        .collect();
    let over =
        |f: &dyn Fn(&[f64]) -> f64| median(&spectra.iter().map(|s| f(s)).collect::<Vec<_>>());
    numbers[Propagation::Rank.place()] = over(&|s| {
        let least = s[0] * 2.0_f64.powi(-23);
        s.iter().filter(|s| least < **s).count() as f64
    });
    numbers[Propagation::Participation.place()] = over(&|s| {
        let shares: Vec<f64> = s.iter().map(|value| (value / s[0]).powi(2)).collect();
        shares.iter().sum::<f64>().powi(2) / shares.iter().map(|s| s * s).sum::<f64>()
    });
    numbers[Propagation::Condition.place()] = over(&|s| (s[0] / s[s.len() - 1]).log10());
    numbers[Propagation::Gain.place()] = over(&|s| {
        let shares = s.iter().map(|value| (value / s[0]).powi(2)).sum::<f64>();
        s[0].log10() + 0.5 * (shares / s.len() as f64).log10()
    });
    numbers
}

/// From the largest down.
fn singular_values(matrix: &ArrayView2<'_, f64>) -> Vec<f64> {
    let (rows, columns) = matrix.dim();
    let values = DMatrix::from_fn(rows, columns, |i, j| matrix[[i, j]]).singular_values();
    let mut values: Vec<f64> = values.iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}
