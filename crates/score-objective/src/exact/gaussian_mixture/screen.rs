//! Which components may matter at a point, found in single precision.
//!
//! Under little noise a few of many components matter at a point, and finding them needs no digits: logits in single
//! precision, with a bound on their error, leave out only what is negligible.
//! Results are computed of what is left, in the precision that is asked for; none depends on the products.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::level::Level;
use super::real::{Means, Real};

/// Below this expected difference of two logits most components matter, and screening is in vain.
const WIDELY_SPREAD: f64 = 40.0;

/// A point at which more than one component in so many may matter is not worth screening.
const CROWDED: usize = 6;

/// Errors of a logit beyond this leave too much.
const LARGEST_ERROR: f64 = 4.0;

/// The means around their centre, in single precision.
#[derive(Debug, Clone)]
pub(super) struct Centred {
    centre: Vec<f64>,
    // [K, D]: μ_k − centre.
    means: Array2<f32>,
    // Half of their squared norms.
    half_norms: Vec<f32>,
    // The largest norm, and the mean of the squared ones.
    radius: f64,
    mean_square: f64,
}

impl Centred {
    pub(super) fn new(means: ArrayView2<'_, f64>) -> Centred {
        let centre = means.mean_axis(ndarray::Axis(0)).expect("at least one");
        let apart = &means - &centre;
        let squares: Vec<f64> = apart.rows().into_iter().map(|m| m.dot(&m)).collect();
        Centred {
            centre: centre.to_vec(),
            means: apart.mapv(|m| m as f32).as_standard_layout().into_owned(),
            half_norms: squares.iter().map(|s| (0.5 * s) as f32).collect(),
            radius: squares.iter().copied().fold(0.0, f64::max).sqrt(),
            mean_square: squares.iter().sum::<f64>() / squares.len() as f64,
        }
    }

    pub(super) fn centre(&self) -> &[f64] {
        &self.centre
    }

    pub(super) fn means(&self) -> Means<'_, f32> {
        Means {
            means: self.means.as_slice().expect("laid out at construction"),
            half_norms: &self.half_norms,
            centre: Some(&self.centre),
        }
    }
}

/// The screening of points at one noise level.
pub(super) struct Screen<'a> {
    centred: &'a Centred,
    // What the points that come are measured from: the centre, or they are measured from it already.
    origin: Vec<f64>,
    precision: Vec<f32>,
    offset: Vec<f32>,
    // The largest of each, by size.
    sharpest: f64,
    largest_offset: f64,
    // How far below the largest a logit is negligible.
    depth: f64,
    // [rows, D] and [rows, K], of a few rows at a time.
    points: Vec<f32>,
    logits: Vec<f32>,
    // Whether a component is left: one byte for each of 64, and one bit.
    left: Vec<[[u8; 8]; 8]>,
    words: Vec<u64>,
}

impl<'a> Screen<'a> {
    /// A screen for up to `rows` points at a time, unless it would be in vain.
    pub(super) fn new<S: Real>(level: &Level<'a, S>, rows: usize) -> Option<Screen<'a>> {
        let centred = level.centred;
        let largest = |values: &[S]| values.iter().fold(0.0, |a: f64, &b| a.max(b.into().abs()));
        let sharpest = largest(&level.precision);
        let components = level.offset.len();
        let single = |values: &[S]| values.iter().map(|&v| v.into() as f32).collect();
        (WIDELY_SPREAD < sharpest * centred.mean_square).then(|| Screen {
            centred,
            origin: match level.centre {
                None => centred.centre.clone(),
                Some(_) => vec![0.0; level.dim],
            },
            precision: single(&level.precision),
            offset: single(&level.offset),
            sharpest,
            largest_offset: largest(&level.offset),
            depth: S::LEFT_OUT + (components as f64).ln(),
            points: vec![0.0; rows * level.dim],
            logits: vec![0.0; rows * components],
            left: vec![[[0; 8]; 8]; components.div_ceil(64)],
            words: vec![0; components.div_ceil(64)],
        })
    }

    /// Appends the components that may matter at each row of `x` to `kept`, in order: where they are, in `rows`; `None`
    /// where they are too many.
    #[inline(always)]
    pub(super) fn run<S: Real>(
        &mut self,
        x: &[S],
        kept: &mut Vec<u32>,
        rows: &mut Vec<Option<Range<usize>>>,
    ) {
        let (dim, components) = (self.origin.len(), self.offset.len());
        let count = x.len() / dim;
        let points = &mut self.points[..count * dim];
        for (points, x) in points.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
            for ((point, &x), origin) in points.iter_mut().zip(x).zip(&self.origin) {
                *point = (x.into() - origin) as f32;
            }
        }
        let logits = &mut self.logits[..count * components];
        general_mat_mul(
            1.0,
            &ArrayView2::from_shape((count, dim), &*points).expect("whole rows"),
            &self.centred.means.t(),
            0.0,
            &mut ArrayViewMut2::from_shape((count, components), &mut *logits).expect("whole rows"),
        );
        let points = points.chunks_exact(dim);
        for (logits, point) in logits.chunks_exact_mut(components).zip(points) {
            let half_norm = 0.5 * fold(point, 0.0, |sum, x| sum + x * x, |a, b| a + b);
            for (((logit, norm), offset), precision) in (logits.iter_mut())
                .zip(&self.centred.half_norms)
                .zip(&self.offset)
                .zip(&self.precision)
            {
                *logit = offset + precision * (*logit - (norm + half_norm));
            }
            // Each of D products and sums, and of eight roundings beside, errs by u of the largest number at most.
            let reach = (2.0 * f64::from(half_norm)).sqrt() + self.centred.radius;
            let size = self.sharpest * reach * reach + self.largest_offset;
            let error = 0.5 * f64::from(f32::EPSILON) * (dim as f64 + 8.0) * size;
            let larger = |a: f32, b: f32| if a < b { b } else { a };
            let largest = fold(logits, f32::NEG_INFINITY, larger, larger);
            let threshold = (f64::from(largest) - self.depth - 2.0 * error) as f32;
            for (left, logits) in self.left.iter_mut().zip(logits.chunks(64)) {
                for (left, logit) in left.as_flattened_mut().iter_mut().zip(logits) {
                    *left = u8::from(threshold <= *logit);
                }
            }
            // From bytes to bits: the product has that of byte i at 56 + i, and none of its other bits meet.
            let bits =
                |word: [u8; 8]| u64::from_le_bytes(word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            let mut count = 0;
            for (word, left) in self.words.iter_mut().zip(&self.left) {
                *word = (0..8).fold(0, |word, eight| word | bits(left[eight]) << (8 * eight));
                count += word.count_ones() as usize;
            }
            // Written so that an error that is no number is too large.
            if !(error < LARGEST_ERROR && CROWDED * count <= components) {
                rows.push(None);
                continue;
            }
            let start = kept.len();
            for (first, &word) in (0..).step_by(64).zip(&self.words) {
                let mut word = word;
                while word != 0 {
                    kept.push(first + word.trailing_zeros());
                    word &= word - 1;
                }
            }
            rows.push(Some(start..kept.len()));
        }
    }
}

/// `values` in one: sixteen side by side, which compilers keep in vector registers, and these by `merge`.
#[inline(always)]
fn fold(
    values: &[f32],
    start: f32,
    one: impl Fn(f32, f32) -> f32,
    merge: impl Fn(f32, f32) -> f32,
) -> f32 {
    let (blocks, rest) = values.as_chunks::<16>();
    let mut folded = [start; 16];
    for block in blocks {
        for (folded, value) in folded.iter_mut().zip(block) {
            *folded = one(*folded, *value);
        }
    }
    let rest = rest.iter().fold(start, |folded, value| one(folded, *value));
    folded.iter().fold(rest, |a, b| merge(a, *b))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::exact::{ExactScore, GaussianMixture};

    #[test]
    fn few_are_left_and_what_is_left_out_is_negligible() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mixture = GaussianMixture::zipf(300, 64, 2.0, 0.3, &mut rng).unwrap();
        let mixture = GaussianMixture::with_variances(
            mixture.weights().to_owned(),
            mixture.means().to_owned() + 10.0,
            (0..300).map(|k| 0.5 + 0.1 * f64::from(k % 7)).collect(),
        )
        .unwrap();
        let noise = 0.4;
        let level = Level::<f64>::new(&mixture, noise);
        let mut screen = Screen::new(&level, 64).expect("far apart");
        let x = mixture.draw(64, &mut rng) * 1.05;
        let (mut kept, mut rows) = (Vec::new(), Vec::new());
        screen.run(x.as_slice().unwrap(), &mut kept, &mut rows);
        let mut left = 0;
        for (x, row) in x.rows().into_iter().zip(&rows) {
            let row = &kept[row.clone().expect("few")];
            let logits: Vec<f64> = (mixture.means().rows().into_iter().enumerate())
                .map(|(k, mean)| {
                    let apart = &x - &mean;
                    level.offset[k] - 0.5 * level.precision[k] * apart.dot(&apart)
                })
                .collect();
            let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let out = (0..300).filter(|k| !row.contains(k));
            let lost: f64 = out.map(|k| (logits[k as usize] - largest).exp()).sum();
            assert!(lost < 1e-17, "{lost:e}");
            left += row.len();
        }
        assert!((64..64 * 30).contains(&left), "{left}");
    }
}
