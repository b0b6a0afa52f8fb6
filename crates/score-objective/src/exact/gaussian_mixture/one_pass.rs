//! Scores in single precision on the line, in the plane and in space: one pass over the components, of which nothing is
//! kept.
//!
//! Powers are of two.
//! The whole part of an exponent only moves a number's binary point, so terms keep their digits whatever they are measured
//! against; they are not measured against the largest, and it need not be known before the first is added.
//! Coordinates are measured in a unit in which the exponent of the narrowest components is an offset less a squared
//! distance.
//! At a point so far from all components that little is left of every term, the answer is not a number, and the point is
//! left to [`lanes`](super::lanes).
//!
//! Products are added with one rounding on every processor (`f32::mul_add`): one without such an instruction gives the same
//! bits, some fifty times as slowly.

use std::array;
use std::f64::consts::{LN_2, LOG2_E};

use ndarray::{Array2, ArrayView2};

use super::super::rows::map_blocks;
use super::level::Level;
use super::registers::compiled_for_registers;

/// Points at a time, at most.
const LANES: usize = 64;
type Lane = [f32; LANES];

/// Fewer points than [`LANES`] are worked on in groups of so many.
const GROUP: usize = 16;

/// Components at a time.
const TOGETHER: usize = 4;

/// Terms are multiplied by two to this power, which leaves more room below one, and divided out with their sum.
const LIFT: f32 = 60.0;

/// Powers of two below this are zero. With [`LIFT`], what is left is far from the denormal numbers.
const NEGLIGIBLE: f32 = -180.0;

/// 2⁻⁷⁰: where the sum of the lifted terms is less, too much may be left out. Otherwise all that is left out is below
/// 2⁻⁵⁰ of it for each component.
const LEAST: f32 = f32::from_bits((127 - 70) << 23);

/// A mixture at one noise level.
pub(super) struct Components<'a, const D: usize> {
    level: &'a Level<'a, f64>,
    // What points are measured from, and the reciprocal of the unit that they are measured in: √(p log₂ e/2) of the largest
    // precision p.
    centre: [f64; D],
    scale: f64,
    // −p · unit, that of the largest precision.
    pull: f32,
    // Whether all precisions are the largest.
    alike: bool,
    components: Vec<Component<D>>,
}

#[derive(Clone, Copy)]
struct Component<const D: usize> {
    mean: [f32; D],
    // log₂(π_k q_k(μ_k)), less the largest of them.
    offset: f32,
    // The precision over the largest; not a number where that is beyond single precision.
    sharpness: f32,
}

impl<'a, const D: usize> Components<'a, D> {
    pub(super) fn new(level: &'a Level<'a, f64>) -> Components<'a, D> {
        let largest = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sharpest = largest(&level.precision);
        let highest = largest(&level.offset);
        let centre = array::from_fn(|d| level.centred.centre()[d]);
        let scale = (0.5 * LOG2_E * sharpest).sqrt();
        let component = |k: usize| {
            let sharpness = (level.precision[k] / sharpest) as f32;
            Component {
                mean: array::from_fn(|d| ((level.means[k * D + d] - centre[d]) * scale) as f32),
                offset: ((level.offset[k] - highest) * LOG2_E) as f32,
                sharpness: if sharpness.is_normal() {
                    sharpness
                } else {
                    f32::NAN
                },
            }
        };
        Components {
            level,
            centre,
            scale,
            pull: -(2.0 * LN_2 * sharpest).sqrt() as f32,
            alike: level.precision.iter().all(|p| sharpest <= *p),
            components: (0..level.offset.len()).map(component).collect(),
        }
    }

    /// ∇ log q_σ at each row of `x`, by `again` where one pass does not give a number: \[n, D\].
    pub(super) fn score(
        &self,
        x: ArrayView2<'_, f32>,
        again: impl Fn(ArrayView2<'_, f32>) -> Array2<f32> + Sync,
    ) -> Array2<f32> {
        let x = x.as_standard_layout();
        let (rows, _) = x.as_slice().expect("laid out just now").as_chunks();
        let blocks = map_blocks(rows, LANES, self.components.len() * D, |rows| {
            let mut out = [[0.0; D]; LANES];
            score(self.level.registers, self, rows, &mut out);
            let numbers = out[..rows.len()].as_flattened();
            if !numbers
                .iter()
                .fold(true, |all, value| all & value.is_finite())
            {
                let finite = |row: &[f32; D]| row.iter().all(|value| value.is_finite());
                let left: Vec<usize> = (0..rows.len()).filter(|row| !finite(&out[*row])).collect();
                let points: Vec<[f32; D]> = left.iter().map(|row| rows[*row]).collect();
                let found = again(Array2::from(points).view());
                for (row, found) in left.into_iter().zip(found.rows()) {
                    out[row] = array::from_fn(|d| found[d]);
                }
            }
            out
        });
        let mut values = blocks.into_flattened().into_flattened();
        values.truncate(x.len());
        Array2::from_shape_vec(x.raw_dim(), values).expect("as many rows as points")
    }
}

compiled_for_registers! {
    fn score[const D: usize](components: &Components<'_, D>, rows: &[[f32; D]], out: &mut [[f32; D]; LANES]) = score_portable
}

#[inline(always)]
fn score_portable<const D: usize>(
    components: &Components<'_, D>,
    rows: &[[f32; D]],
    out: &mut [[f32; D]; LANES],
) {
    let (centre, scale) = (components.centre, components.scale);
    let mut x = [[0.0; LANES]; D];
    for (d, x) in x.iter_mut().enumerate() {
        for (x, row) in x.iter_mut().zip(rows) {
            *x = ((f64::from(row[d]) - centre[d]) * scale) as f32;
        }
    }
    let mut sums = Sums {
        lanes: rows.len().next_multiple_of(GROUP),
        total: [0.0; LANES],
        differences: [[0.0; LANES]; D],
    };
    if components.alike {
        sums.add_all::<true>(&components.components, &x);
    } else {
        sums.add_all::<false>(&components.components, &x);
    }
    for (lane, out) in out.iter_mut().enumerate() {
        let total = sums.total[lane];
        let share = if LEAST <= total {
            total.recip()
        } else {
            f32::NAN
        };
        *out = array::from_fn(|d| sums.differences[d][lane] * share * components.pull);
    }
}

/// Sums over components at each point.
struct Sums<const D: usize> {
    // How many lanes are in use.
    lanes: usize,
    // Of the terms.
    total: Lane,
    // Of terms times sharpness times what lies between a point and a mean.
    differences: [Lane; D],
}

impl<const D: usize> Sums<D> {
    /// Adds components, which are all as sharp as the sharpest if they are alike.
    #[inline(always)]
    fn add_all<const ALIKE: bool>(&mut self, components: &[Component<D>], x: &[Lane; D]) {
        let (groups, rest) = components.as_chunks::<TOGETHER>();
        for group in groups {
            self.add::<ALIKE, _>(*group, x);
        }
        for one in rest {
            self.add::<ALIKE, _>([*one], x);
        }
    }

    #[inline(always)]
    fn add<const ALIKE: bool, const N: usize>(
        &mut self,
        components: [Component<D>; N],
        x: &[Lane; D],
    ) {
        for lane in 0..self.lanes.min(LANES) {
            let mut total = self.total[lane];
            let mut sums: [f32; D] = array::from_fn(|d| self.differences[d][lane]);
            for Component {
                mean,
                offset,
                sharpness,
            } in components
            {
                let apart: [f32; D] = array::from_fn(|d| x[d][lane] - mean[d]);
                let power = if ALIKE {
                    apart.iter().fold(offset, |power, d| d.mul_add(-d, power))
                } else {
                    let squares = apart[1..]
                        .iter()
                        .fold(apart[0] * apart[0], |sum, d| d.mul_add(*d, sum));
                    squares.mul_add(-sharpness, offset)
                };
                let term = lifted_power_of_two(power);
                total += term;
                let weight = if ALIKE { term } else { term * sharpness };
                for (sum, apart) in sums.iter_mut().zip(apart) {
                    *sum = apart.mul_add(weight, *sum);
                }
            }
            self.total[lane] = total;
            for (differences, sum) in self.differences.iter_mut().zip(sums) {
                differences[lane] = sum;
            }
        }
    }
}

/// 2^([`LIFT`] + x) of an x ≤ 0, within 2e-7 of its size; zero below [`NEGLIGIBLE`].
///
/// x = n + r with |r| ≤ ½, and 2^r is the polynomial of degree 5 that is 1 at 0 and has the smallest relative error, 9e-8.
/// Adding to a number's exponent bits multiplies it by a power of two.
#[inline(always)]
fn lifted_power_of_two(x: f32) -> f32 {
    // Adding 1.5 · 2²³ rounds to an integer and leaves it in the lowest bits, from where it is moved to the exponent's.
    const SHIFT: f32 = 12_582_912.0 + LIFT;
    let shifted = x + SHIFT;
    let r = x - (shifted - SHIFT);
    let [last, others @ ..] = POWER_OF_TWO;
    let power = others.into_iter().fold(last, |sum, c| sum.mul_add(r, c));
    let lifted = power.to_bits().wrapping_add(shifted.to_bits() << 23);
    f32::from_bits(if x < NEGLIGIBLE { 0 } else { lifted })
}

/// From that of r⁵ to that of r⁰.
const POWER_OF_TWO: [f32; 6] = [
    0.001_326_955_5,
    0.009_671_293,
    0.055_507_11,
    0.240_222_47,
    std::f32::consts::LN_2 - 1.8e-7,
    1.0,
];

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::GaussianMixture;
    use super::super::registers::Registers;
    use super::*;
    use crate::exact::ExactScore;

    #[test]
    fn powers_of_two_are_within_their_bound() {
        for i in 0..=1_800_000 {
            let x = -1e-4 * i as f32;
            let exact = (f64::from(x) + f64::from(LIFT)).exp2();
            let error = f64::from(lifted_power_of_two(x)) / exact - 1.0;
            assert!(error.abs() < 2e-7, "{x}: {error:e}");
        }
        assert_eq!(lifted_power_of_two(0.0), 2_f32.powi(60));
        for x in [-180.000_02, -1e3, -1e10, -1e38, f32::NEG_INFINITY] {
            assert_eq!(lifted_power_of_two(x).to_bits(), 0, "{x}");
        }
    }

    #[test]
    fn no_polynomial_of_that_degree_is_much_better() {
        // Error r (q − q₀)/2^r of 1 + r q, where q₀ would have none. By the theorem of de la Vallée Poussin no q of degree 4
        // has less than the least of six errors between which the sign of q − q₀ alternates.
        let error = |i: i32| {
            let r = 1e-5 * f64::from(i);
            let sum = (POWER_OF_TWO.iter()).fold(0.0, |sum, c| sum * r + f64::from(*c));
            (sum / r.exp2() - 1.0) * r.signum()
        };
        let mut extremes = vec![0.0_f64];
        for error in (-50_000..=50_000).map(error) {
            match extremes.last_mut() {
                Some(last) if 0.0 < error * *last => {
                    *last = last.signum() * last.abs().max(error.abs());
                }
                _ if 1e-8 < error.abs() => extremes.push(error),
                _ => {}
            }
        }
        let mut sizes = extremes[1..].iter().map(|error| error.abs());
        assert_eq!(sizes.len(), 6, "{extremes:?}");
        assert!(
            sizes.all(|size| (8.5e-8..9.5e-8).contains(&size)),
            "{extremes:?}"
        );
    }

    /// Unequal precisions, or equal ones.
    fn mixture(dim: usize, alike: bool) -> GaussianMixture {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mixture = GaussianMixture::zipf(43, dim, 3.0, 0.1, &mut rng).unwrap();
        let variance = |k: usize| {
            if alike {
                0.1
            } else {
                0.02 * (1 + k % 9) as f64
            }
        };
        let variances = (0..43).map(variance).collect();
        let (weights, means) = (mixture.weights().to_owned(), mixture.means().to_owned());
        GaussianMixture::with_variances(weights, means, variances).unwrap()
    }

    fn bits_and_rows_left<const D: usize>(alike: bool) {
        let mixture = mixture(D, alike);
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut x = mixture.draw(200, &mut rng).mapv(|x| x as f32);
        // What is left to others: too far, and no number.
        x.row_mut(70).fill(100.0);
        x.row_mut(90).fill(1e30);
        x.row_mut(91).fill(f32::NAN);
        let all = Registers::available().map(|registers| {
            let level = Level {
                registers,
                ..Level::new(&mixture, 0.04)
            };
            Components::<D>::new(&level).score(x.view(), |x| x.mapv(|_| 7.0))
        });
        let all: Vec<_> = all.map(|score| score.mapv(f32::to_bits)).collect();
        assert!(all.iter().all(|bits| *bits == all[0]), "{D} {alike}");
        for (row, bits) in all[0].rows().into_iter().enumerate() {
            let left = bits.iter().all(|bits| f32::from_bits(*bits) == 7.0);
            assert_eq!(left, [70, 90, 91].contains(&row), "{row} of {D} {alike}");
        }
    }

    #[test]
    fn results_are_the_same_bits_on_all_registers_and_only_far_points_are_left() {
        for alike in [false, true] {
            bits_and_rows_left::<1>(alike);
            bits_and_rows_left::<2>(alike);
            bits_and_rows_left::<3>(alike);
        }
    }

    #[test]
    fn two_alike_have_a_score_in_closed_form() {
        // Of ½ N(−1, 1) + ½ N(1, 1): tanh x − x.
        let mixture = GaussianMixture::new(Array1::ones(2), array![[-1.0], [1.0]], 0.75).unwrap();
        let x = Array2::from_shape_fn((101, 1), |(i, _)| 0.1 * (i as f32 - 50.0));
        let level = Level::new(&mixture, 0.25);
        let score = Components::<1>::new(&level).score(x.view(), |_| unreachable!("all are near"));
        for (x, score) in x.iter().zip(&score) {
            let x = f64::from(*x);
            assert!((f64::from(*score) - (x.tanh() - x)).abs() < 1e-6, "{x}");
        }
    }
}
