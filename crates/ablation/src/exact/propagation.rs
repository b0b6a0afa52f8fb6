//! The numbers of one random network: outputs and Jacobians in, a dozen numbers out.

use nalgebra::{DMatrix, DVector};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use serde::Deserialize;

use super::{network::Batch, report::median, study::Expected};

/// A number of a network at initialisation; of several inputs the mean, of several Jacobians the median.
///
/// Outputs and Jacobians that are zero, since all units of a layer are off, have no direction and no logarithm: they are
/// left out, and a network that has no others has no number.
/// All are unchanged if the units are permuted; what else leaves them as they are, and where they mislead, is said at
/// each.
/// With inputs h_i (rows, n units) and the singular values s of J = ∂h_L/∂x at one input:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Mean over pairs of cos(h_i, h_j): 1 where all inputs look alike (Poole et al. 2016).
    ///
    /// Range \[−1, 1\]; invariant to the length of each output and to rotations.
    /// Misleads where units have a positive mean, which all outputs share: see `centred`; near 1 it hides factors: see
    /// `separation`.
    Cosine,
    /// log₁₀ of 1 − the mean cosine, summed from differences, so that 1e-30 has digits.
    ///
    /// Range \[−31.3, 0.3\], the lower end being 2⁻¹⁰⁴, which is rounding; invariant as the cosine is.
    /// Misleads at that end, where a network that forgets more cannot be told from one that forgets less.
    Separation,
    /// Root mean square over pairs of the cosines of h_i − mean h.
    ///
    /// Range \[0, 1\], about √(1/n + 1/B²) for B inputs in independent directions, 1 where all lie on one line; invariant
    /// to what all outputs share and to their common scale.
    /// The mean itself would say nothing: centred vectors sum to zero, so it is about −1/(B − 1) whatever they are.
    Centred,
    /// exp of the entropy of the shares of the eigenvalues of the Gram matrix h hᵀ (Roy and Vetterli 2007).
    ///
    /// Range \[1, number of inputs\]; invariant to rotations and to the common scale.
    /// Not centred, so that a mean which all outputs share brings it near 1.
    EffectiveRank,
    /// R² of ridge regression from outputs to inputs, on inputs that it was not fitted to: what a linear probe recovers.
    ///
    /// Range (−∞, 1\]; invariant to scale and shift of the outputs, the ridge being relative to their variance.
    /// In `f64` it finds what no training in single precision would: a network may keep its inputs at 1e-12 of its size.
    Recovered,
    /// log₁₀ of |h_L|²/|x|², its mean over inputs.
    ///
    /// Range ℝ; invariant to rotations and to the scale of the inputs without biases.
    /// A mean of logarithms: at finite width it lies below the logarithm of the mean by half its variance.
    Growth,
    /// Singular values above the given precision times the largest.
    ///
    /// Range \[1, n\]; invariant to the scale of J. A count: it does not say how the kept ones are spread.
    Rank,
    /// (Σ s²)²/Σ s⁴.
    ///
    /// Range \[1, n\]; invariant to the scale of J. Ruled by the largest: half of the directions may be lost unseen.
    Participation,
    /// log₁₀ of the largest singular value over the smallest.
    ///
    /// Range \[0, ∞\]; invariant to the scale of J. Not finite where ReLU has cut a direction off, and rounding above 16.
    Condition,
    /// log₁₀ of the largest singular value over the smallest of those that `rank` counts.
    ///
    /// Range \[0, −log₁₀ precision\]; invariant to the scale of J.
    /// Its ceiling is near in any deep plain network, so that a slope over depths says nothing there.
    KeptCondition,
    /// log₁₀ √(Σ s²/n): what a gradient of random direction is multiplied by.
    ///
    /// Range ℝ; invariant to rotations, not to scale. Size is not trust: a gradient may be large and noise.
    Gain,
    /// log₁₀ of ‖∂f/∂W₁‖/‖∂f/∂W_L‖ at one input, f a random combination of outputs; of plain networks.
    ///
    /// Range ℝ; invariant to the scale of f.
    /// Not to that of single layers: W₁ → a W₁, W₂ → W₂/a changes no function and divides it by a.
    FirstGradient,
}

const MEASURES: [(Propagation, &str); 12] = [
    (Propagation::Cosine, "cosine"),
    (Propagation::Separation, "log₁₀ (1 − cosine)"),
    (Propagation::Centred, "centred cosine"),
    (Propagation::EffectiveRank, "effective rank"),
    (Propagation::Recovered, "R² of the inputs"),
    (Propagation::Growth, "log₁₀ growth"),
    (Propagation::Rank, "rank of J"),
    (Propagation::Participation, "participation"),
    (Propagation::Condition, "log₁₀ κ(J)"),
    (Propagation::KeptCondition, "log₁₀ κ(J), what is kept"),
    (Propagation::Gain, "log₁₀ gain"),
    (Propagation::FirstGradient, "log₁₀ first gradient over last"),
];

/// log₁₀ of the smallest 1 − cosine that is told from 0.
pub(super) const LEAST_SEPARATION: f64 = -31.3;

/// The measures of one network, in the order of [`MEASURES`]; NaN for what was not looked for.
pub(super) type Numbers = [f64; MEASURES.len()];

/// What a study decides about looking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// The first so many rows are compared with each other, the others are those of the linear probe.
    pub(super) inputs: usize,
    /// Singular values above this times the largest are kept.
    pub(super) precision: f64,
    /// Ridge of the linear probe over the mean variance of a unit.
    pub(super) ridge: f64,
}

/// A printed number in the units of its measure.
pub(super) enum Wanted {
    /// The number, half a unit of its last digit and its standard error.
    Value(Expected),
    /// All that rounds to it lies below this.
    Below(f64),
}

impl Propagation {
    pub(super) fn place(self) -> usize {
        let place = MEASURES.iter().position(|(measure, _)| *measure == self);
        place.expect("every measure is in the table")
    }

    pub(super) fn words(self) -> &'static str {
        MEASURES[self.place()].1
    }

    /// Cosines and ratios are printed as such and compared as logarithms: near 1 and over decades all else is alike.
    ///
    /// None for what has no logarithm: a cosine above 1, a ratio that rounds to 0.
    pub(super) fn wanted(self, printed: Expected) -> Option<Wanted> {
        let Expected {
            value,
            half_unit,
            error,
        } = printed;
        let decades = |x: f64| {
            (half_unit < x).then(|| {
                Wanted::Value(Expected {
                    value: x.log10(),
                    half_unit: (x / (x - half_unit)).log10(),
                    error: error / x * std::f64::consts::LOG10_E,
                })
            })
        };
        match self {
            Propagation::Separation if (0.0..=half_unit).contains(&(1.0 - value)) => {
                Some(Wanted::Below((1.0 - value + half_unit).log10()))
            }
            Propagation::Separation => decades(1.0 - value),
            Propagation::Growth | Propagation::FirstGradient => decades(value),
            _ => Some(Wanted::Value(printed)),
        }
    }
}

/// The numbers of a network whose inputs `x` \[rows, D\] became this batch, with tangents along every axis.
pub(super) fn numbers_of(x: &Array2<f64>, batch: &Batch, look: Look) -> Numbers {
    let h = batch.h.slice(s![..look.inputs, ..]);
    let live: Vec<usize> = (0..look.inputs)
        .filter(|&i| 0.0 < h.row(i).dot(&h.row(i)))
        .collect();
    let mut numbers = [f64::NAN; MEASURES.len()];
    let mut set = |of: Propagation, value: f64| numbers[of.place()] = value;
    let apart = mean_over_pairs(&directions(&h.select(Axis(0), &live).view()), |a, b| {
        (a - b).mapv(|d| d * d).sum() / 2.0
    });
    if apart.is_finite() {
        set(Propagation::Cosine, 1.0 - apart);
        set(Propagation::Separation, apart.log10().max(LEAST_SEPARATION));
    }
    let mean = h.mean_axis(Axis(0)).expect("there are inputs");
    let centred = self::directions(&(&h - &mean).view());
    let squares = mean_over_pairs(&centred, |a, b| a.dot(b).powi(2));
    set(Propagation::Centred, squares.sqrt());
    set(Propagation::EffectiveRank, effective_rank(&h));
    if look.inputs < x.nrows() {
        let probes = |of: &Array2<f64>| of.slice(s![look.inputs.., ..]).to_owned();
        set(
            Propagation::Recovered,
            recovered(&probes(x), &probes(&batch.h), look.ridge),
        );
    }
    let square = |of: &ArrayView2<'_, f64>, i: usize| of.row(i).dot(&of.row(i));
    let growth = |&i: &usize| (square(&h, i) / square(&x.view(), i)).log10();
    let growths = live.iter().map(growth).sum::<f64>();
    set(Propagation::Growth, growths / live.len() as f64);

    let spectra: Vec<Vec<f64>> = (0..batch.points)
        .map(|point| singular_values(&batch.tangents.slice(s![point..;batch.points, ..])))
        .filter(|values| 0.0 < values[0])
        .collect();
    if spectra.is_empty() {
        return numbers;
    }
    let over =
        |f: &dyn Fn(&[f64]) -> f64| median(&spectra.iter().map(|s| f(s)).collect::<Vec<_>>());
    let kept = |s: &[f64]| s.iter().filter(|v| s[0] * look.precision < **v).count();
    set(Propagation::Rank, over(&|s| kept(s) as f64));
    set(
        Propagation::Participation,
        over(&|s| {
            let shares: Vec<f64> = s.iter().map(|value| (value / s[0]).powi(2)).collect();
            shares.iter().sum::<f64>().powi(2) / shares.iter().map(|s| s * s).sum::<f64>()
        }),
    );
    let condition = over(&|s| (s[0] / s[s.len() - 1]).log10());
    set(Propagation::Condition, condition);
    set(
        Propagation::KeptCondition,
        over(&|s| (s[0] / s[kept(s).max(1) - 1]).log10()),
    );
    set(
        Propagation::Gain,
        over(&|s| {
            let shares = s.iter().map(|value| (value / s[0]).powi(2)).sum::<f64>();
            s[0].log10() + 0.5 * (shares / s.len() as f64).log10()
        }),
    );
    numbers
}

fn directions(h: &ArrayView2<'_, f64>) -> Vec<Array1<f64>> {
    let unit = |row: ndarray::ArrayView1<'_, f64>| &row / row.dot(&row).sqrt();
    h.rows().into_iter().map(unit).collect()
}

fn mean_over_pairs(rows: &[Array1<f64>], f: impl Fn(&Array1<f64>, &Array1<f64>) -> f64) -> f64 {
    if rows.len() < 2 {
        return f64::NAN;
    }
    let mut sum = 0.0;
    for (i, a) in rows.iter().enumerate() {
        sum += rows[..i].iter().map(|b| f(a, b)).sum::<f64>();
    }
    sum / (rows.len() * (rows.len() - 1) / 2) as f64
}

fn effective_rank(h: &ArrayView2<'_, f64>) -> f64 {
    let gram = h.dot(&h.t());
    let gram = DMatrix::from_fn(gram.nrows(), gram.ncols(), |i, j| gram[[i, j]]);
    let values = gram.symmetric_eigenvalues().map(|value| value.max(0.0));
    let total = values.sum();
    if total <= 0.0 {
        return f64::NAN;
    }
    let entropy = |value: &f64| {
        let share = value / total;
        if 0.0 < share {
            -share * share.ln()
        } else {
            0.0
        }
    };
    values.iter().map(entropy).sum::<f64>().exp()
}

/// R² over the second half of the rows of the ridge regression of x on h that is fitted to the first.
fn recovered(x: &Array2<f64>, h: &Array2<f64>, ridge: f64) -> f64 {
    let half = x.nrows() / 2;
    let centres = [x, h].map(|of| of.slice(s![..half, ..]).mean_axis(Axis(0)));
    let [Some(x_mean), Some(h_mean)] = centres else {
        return f64::NAN;
    };
    let (x, h) = (x - &x_mean, h - &h_mean);
    let split = |of: &Array2<f64>| {
        let (fit, rest) = of.view().split_at(Axis(0), half);
        (fit.to_owned(), rest.to_owned())
    };
    let ((x_fit, x_rest), (h_fit, h_rest)) = (split(&x), split(&h));
    let gram = h_fit.t().dot(&h_fit);
    let n = gram.nrows();
    let lift = ridge * gram.diag().sum() / n as f64;
    let matrix = DMatrix::from_fn(n, n, |i, j| gram[[i, j]] + if i == j { lift } else { 0.0 });
    let Some(factor) = matrix.cholesky() else {
        return f64::NAN;
    };
    let cross = h_fit.t().dot(&x_fit);
    let mut weights = Array2::zeros((n, x.ncols()));
    for (mut column, wanted) in weights.columns_mut().into_iter().zip(cross.columns()) {
        let solved = factor.solve(&DVector::from_iterator(n, wanted.iter().copied()));
        column.assign(&Array1::from_iter(solved.iter().copied()));
    }
    let left = &x_rest - &h_rest.dot(&weights);
    let square = |of: &Array2<f64>| of.iter().map(|v| v * v).sum::<f64>();
    1.0 - square(&left) / square(&x_rest)
}

/// From the largest down.
fn singular_values(matrix: &ArrayView2<'_, f64>) -> Vec<f64> {
    let (rows, columns) = matrix.dim();
    let values = DMatrix::from_fn(rows, columns, |i, j| matrix[[i, j]]).singular_values();
    let mut values: Vec<f64> = values.iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    const LOOK: Look = Look {
        inputs: 3,
        precision: 1e-3,
        ridge: 1e-9,
    };

    fn at(h: Array2<f64>, tangents: Array2<f64>) -> impl Fn(Propagation) -> f64 {
        let x = Array2::from_shape_fn(h.dim(), |(i, j)| (1.7 * i as f64 + j as f64).cos());
        let batch = Batch {
            h,
            tangents,
            points: 1,
        };
        let numbers = numbers_of(&x, &batch, LOOK);
        move |of| numbers[of.place()]
    }

    #[test]
    fn known_answers() {
        let jacobian = Array2::from_diag(&array![2.0, 1.0, 1e-5]);
        let of = at(Array2::eye(3) * 5.0, jacobian);
        // Three orthogonal outputs; centred they stand at 120 degrees.
        assert!(of(Propagation::Cosine).abs() < 1e-15);
        assert!((of(Propagation::Centred) - 0.5).abs() < 1e-15);
        assert!((of(Propagation::EffectiveRank) - 3.0).abs() < 1e-12);
        assert_eq!(of(Propagation::Rank), 2.0);
        assert!((of(Propagation::Participation) - 25.0 / 17.0).abs() < 1e-9);
        assert!((of(Propagation::Condition) - 2e5_f64.log10()).abs() < 1e-9);
        assert!((of(Propagation::KeptCondition) - 2.0_f64.log10()).abs() < 1e-12);
        assert!((of(Propagation::Gain) - 0.5 * (5.0_f64 / 3.0).log10()).abs() < 1e-9);
        assert!(of(Propagation::Recovered).is_nan());
    }

    #[test]
    fn what_is_off_is_left_out() {
        let mut h = Array2::eye(3) * 5.0;
        h[[2, 2]] = 0.0;
        let of = at(h.clone(), Array2::zeros((3, 3)));
        // Two orthogonal outputs are left, and no Jacobian.
        assert!(of(Propagation::Cosine).abs() < 1e-15 && of(Propagation::Separation).abs() < 1e-15);
        assert!((of(Propagation::EffectiveRank) - 2.0).abs() < 1e-12);
        assert!(of(Propagation::Growth).is_finite() && of(Propagation::Gain).is_nan());
        h[[1, 1]] = 0.0;
        let of = at(h, Array2::eye(3));
        assert!(of(Propagation::Separation).is_nan() && of(Propagation::Growth).is_finite());
        assert_eq!(of(Propagation::Gain), 0.0);
        let of = at(Array2::zeros((3, 3)), Array2::eye(3));
        assert!(of(Propagation::Growth).is_nan() && of(Propagation::EffectiveRank).is_nan());
    }

    #[test]
    fn outputs_that_differ_in_the_tenth_digit_are_told_apart() {
        let mut h = Array2::ones((3, 3));
        h[[1, 0]] += 1e-10;
        h[[2, 1]] += 1e-10;
        let of = at(h, Array2::eye(3));
        // 1 − cos is half the square of what is across (1, 1, 1), over 3: of δ² 1/9 to the first, 1/3 between the others.
        let mean = (2.0 * (1.0 / 9.0) + 1.0 / 3.0) / 3.0;
        assert!((of(Propagation::Separation) - (mean * 1e-20_f64).log10()).abs() < 1e-4);
        assert_eq!(of(Propagation::Cosine), 1.0);
        assert!((of(Propagation::EffectiveRank) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_linear_map_is_recovered_and_what_is_cut_off_is_not() {
        let x = Array2::from_shape_fn((40, 3), |(i, j)| ((7 * i + 3 * j + i * i * j) as f64).sin());
        let map = array![[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [3.0, 0.0, 1.0]];
        assert!((recovered(&x, &(x.dot(&map) + 4.0), 1e-12) - 1.0).abs() < 1e-6);
        let mut cut = x.clone();
        cut.column_mut(0).fill(0.0);
        let kept = recovered(&x, &cut, 1e-6);
        assert!((0.4..0.95).contains(&kept), "{kept}");
    }

    #[test]
    fn printed_cosines_and_ratios_are_compared_in_decades() {
        let of = |measure: Propagation, printed| {
            measure.wanted(Expected::parse(printed).expect("a number"))
        };
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(
            matches!(of(Propagation::Separation, "0.9998"), Some(Wanted::Value(e))
            if close(e.value, 2e-4_f64.log10()) && close(e.half_unit, (4.0_f64 / 3.0).log10()) && e.error == 0.0)
        );
        assert!(
            matches!(of(Propagation::Separation, "1.000"), Some(Wanted::Below(b)) if close(b, 5e-4_f64.log10()))
        );
        // A standard error of 20 % is 0.2 of 0.434 decades.
        assert!(
            matches!(of(Propagation::Growth, "1e2±20"), Some(Wanted::Value(e))
            if e.value == 2.0 && close(e.error, 0.2 * std::f64::consts::LOG10_E))
        );
        assert!(
            matches!(of(Propagation::Rank, "27±2"), Some(Wanted::Value(e))
            if (e.value, e.half_unit, e.error) == (27.0, 0.5, 2.0))
        );
        assert!(of(Propagation::Separation, "1.5").is_none());
        assert!(of(Propagation::Growth, "0").is_none() && of(Propagation::Growth, "-3").is_none());
    }
}
