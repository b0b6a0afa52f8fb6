//! Few dimensions: many points side by side in the lanes of vector registers, a few components at a time.
//!
//! Distances are sums of squared differences, as in the formula; nothing needs repair.
//! The innermost loops run over lanes, and are too long for compilers to unroll: so they become vector instructions of
//! whatever width there is.
//! In each of them a few components and up to two dimensions are written out, so that what is loaded is used more than
//! once and what is summed stays in registers meanwhile.

use std::array;

use super::level::{Combination, Level};
use super::real::Real;
use super::registers::compiled_for_registers;

/// Points at a time, at most: whole registers of any width, and the terms of some hundred components stay in the first
/// or second cache.
const LANES: usize = 64;
type Lane<S> = [S; LANES];

/// Fewer points than [`LANES`] are worked on in groups of so many.
const GROUP: usize = 16;

/// Components at a time.
const TOGETHER: usize = 4;

/// The posterior of up to [`LANES`] points.
struct Block<S> {
    // How many lanes are in use: those of the points, and some more of earlier points, or of zero.
    lanes: usize,
    // [D]: coordinates of the points.
    x: Vec<Lane<S>>,
    // [K]: exp(logit − largest logit).
    terms: Vec<Lane<S>>,
    largest: Lane<S>,
    // Sum of the terms.
    total: Lane<S>,
}

impl<S: Real> Block<S> {
    fn new(level: &Level<'_, S>) -> Block<S> {
        Block {
            lanes: 0,
            x: vec![[S::zero(); LANES]; level.dim],
            terms: vec![[S::zero(); LANES]; level.offset.len()],
            largest: [S::zero(); LANES],
            total: [S::zero(); LANES],
        }
    }

    /// Computes the posterior at up to [`LANES`] rows.
    #[inline(always)]
    fn load(&mut self, level: &Level<'_, S>, rows: &[S]) {
        for (lane, row) in rows.chunks_exact(level.dim).enumerate() {
            for (x, &value) in self.x.iter_mut().zip(row) {
                x[lane] = value;
            }
        }
        self.lanes = (rows.len() / level.dim).next_multiple_of(GROUP);
        self.largest = [S::neg_infinity(); LANES];
        self.total = [S::zero(); LANES];
        let (lanes, x) = (self.lanes, &self.x);
        let (groups, rest) = self.terms.as_chunks_mut::<TOGETHER>();
        let first_of_rest = TOGETHER * groups.len();
        for (i, terms) in groups.iter_mut().enumerate() {
            logits(level, TOGETHER * i, lanes, x, terms, &mut self.largest);
        }
        for (k, term) in (first_of_rest..).zip(rest.iter_mut()) {
            let term = array::from_mut(term);
            logits(level, k, lanes, x, term, &mut self.largest);
        }
        for terms in groups {
            exponentials(lanes, terms, &self.largest, &mut self.total);
        }
        for term in rest {
            let term = array::from_mut(term);
            exponentials(lanes, term, &self.largest, &mut self.total);
        }
    }

    /// Writes Σ terms · a_k (μ_k − origin), origin of the points' shape, to `sums`.
    #[inline(always)]
    fn sum_up(&self, level: &Level<'_, S>, a: &[S], origin: &[Lane<S>], sums: &mut [Lane<S>]) {
        sums.fill([S::zero(); LANES]);
        let (groups, rest) = self.terms.as_chunks::<TOGETHER>();
        let (a_groups, a_rest) = a.as_chunks::<TOGETHER>();
        for (i, (terms, a)) in groups.iter().zip(a_groups).enumerate() {
            weighted_means(level, TOGETHER * i, self.lanes, (terms, a), origin, sums);
        }
        let first_of_rest = TOGETHER * groups.len();
        for (k, (term, a)) in (first_of_rest..).zip(rest.iter().zip(a_rest)) {
            let of_one = (array::from_ref(term), array::from_ref(a));
            weighted_means(level, k, self.lanes, of_one, origin, sums);
        }
    }
}

/// Where in the dimensions a loop is.
#[derive(Clone, Copy)]
struct Place {
    first: bool,
    last: bool,
}

/// Logits of N components from number `k` on, and the largest so far.
#[inline(always)]
fn logits<S: Real, const N: usize>(
    level: &Level<'_, S>,
    k: usize,
    lanes: usize,
    x: &[Lane<S>],
    terms: &mut [Lane<S>; N],
    largest: &mut Lane<S>,
) {
    let line = array::from_fn(|j| {
        (
            level.offset[k + j],
            S::nearest(0.5) * level.precision[k + j],
        )
    });
    let (pairs, rest) = x.as_chunks::<2>();
    for (i, x) in pairs.iter().enumerate() {
        let place = Place {
            first: i == 0,
            last: 2 * i + 2 == level.dim,
        };
        let means = coordinates(level, k, 2 * i);
        add_squares(lanes, means, x, place, line, terms, largest);
    }
    if let [x] = rest {
        let place = Place {
            first: level.dim == 1,
            last: true,
        };
        let means = coordinates(level, k, level.dim - 1);
        let x = array::from_ref(x);
        add_squares(lanes, means, x, place, line, terms, largest);
    }
}

/// D coordinates from number `d` on of the means of N components from number `k` on.
#[inline(always)]
fn coordinates<S: Real, const N: usize, const D: usize>(
    level: &Level<'_, S>,
    k: usize,
    d: usize,
) -> [[S; D]; N] {
    array::from_fn(|j| array::from_fn(|i| level.means[(k + j) * level.dim + d + i]))
}

/// Adds the squares of D differences; at the last of them, makes offset − factor · sum of it.
#[inline(always)]
fn add_squares<S: Real, const N: usize, const D: usize>(
    lanes: usize,
    means: [[S; D]; N],
    x: &[Lane<S>; D],
    place: Place,
    line: [(S, S); N],
    terms: &mut [Lane<S>; N],
    largest: &mut Lane<S>,
) {
    for lane in 0..lanes.min(LANES) {
        let mut most = largest[lane];
        for j in 0..N {
            let mut value = if place.first {
                S::zero()
            } else {
                terms[j][lane]
            };
            for d in 0..D {
                let difference = x[d][lane] - means[j][d];
                value += difference * difference;
            }
            if place.last {
                let (offset, factor) = line[j];
                value = offset - factor * value;
                most = if most < value { value } else { most };
            }
            terms[j][lane] = value;
        }
        largest[lane] = most;
    }
}

/// From logits to terms, and their sum so far.
#[inline(always)]
fn exponentials<S: Real, const N: usize>(
    lanes: usize,
    terms: &mut [Lane<S>; N],
    largest: &Lane<S>,
    total: &mut Lane<S>,
) {
    for lane in 0..lanes.min(LANES) {
        let mut sum = total[lane];
        for term in &mut *terms {
            term[lane] = (term[lane] - largest[lane]).exp_or_zero();
            sum += term[lane];
        }
        total[lane] = sum;
    }
}

/// Adds term · a (μ − origin) of N components from number `k` on.
#[inline(always)]
fn weighted_means<S: Real, const N: usize>(
    level: &Level<'_, S>,
    k: usize,
    lanes: usize,
    of_these: (&[Lane<S>; N], &[S; N]),
    origin: &[Lane<S>],
    sums: &mut [Lane<S>],
) {
    let (origins, origin) = origin.as_chunks::<2>();
    let (pairs, rest) = sums.as_chunks_mut::<2>();
    for (i, (sums, origin)) in pairs.iter_mut().zip(origins).enumerate() {
        let means = coordinates(level, k, 2 * i);
        add_differences(lanes, means, of_these, origin, sums);
    }
    if let ([sums], [origin]) = (rest, origin) {
        let means = coordinates(level, k, level.dim - 1);
        let (origin, sums) = (array::from_ref(origin), array::from_mut(sums));
        add_differences(lanes, means, of_these, origin, sums);
    }
}

#[inline(always)]
fn add_differences<S: Real, const N: usize, const D: usize>(
    lanes: usize,
    means: [[S; D]; N],
    (terms, a): (&[Lane<S>; N], &[S; N]),
    origin: &[Lane<S>; D],
    sums: &mut [Lane<S>; D],
) {
    for lane in 0..lanes.min(LANES) {
        let weights: [S; N] = array::from_fn(|j| terms[j][lane] * a[j]);
        for d in 0..D {
            let mut sum = sums[d][lane];
            for j in 0..N {
                sum += weights[j] * (means[j][d] - origin[d][lane]);
            }
            sums[d][lane] = sum;
        }
    }
}

compiled_for_registers! {
    pub(super) fn combine<S: Real>(
        level: &Level<'_, S>,
        combination: &Combination<S>,
        x: &[S],
        out: &mut [S],
    ) = combine_portable
}

#[inline(always)]
fn combine_portable<S: Real>(
    level: &Level<'_, S>,
    combination: &Combination<S>,
    x: &[S],
    out: &mut [S],
) {
    let mut block = Block::new(level);
    let zero = vec![[S::zero(); LANES]; level.dim];
    let mut sums = zero.clone();
    for (x, out) in (x.chunks(LANES * level.dim)).zip(out.chunks_mut(LANES * level.dim)) {
        block.load(level, x);
        let mut along_x = [S::zero(); LANES];
        match combination {
            Combination::Differences { mean } => block.sum_up(level, mean, &block.x, &mut sums),
            Combination::Points { mean, point } => {
                block.sum_up(level, mean, &zero, &mut sums);
                for (term, b) in block.terms.iter().zip(point) {
                    for (along_x, term) in along_x.iter_mut().zip(term) {
                        *along_x += *b * *term;
                    }
                }
            }
        }
        for (lane, out) in out.chunks_exact_mut(level.dim).enumerate() {
            for ((out, sum), x) in out.iter_mut().zip(&sums).zip(&block.x) {
                *out = (sum[lane] + along_x[lane] * x[lane]) / block.total[lane];
            }
        }
    }
}

compiled_for_registers! {
    pub(super) fn log_density(level: &Level<'_, f64>, x: &[f64], out: &mut [f64]) = log_density_portable
}

#[inline(always)]
fn log_density_portable(level: &Level<'_, f64>, x: &[f64], out: &mut [f64]) {
    let mut block = Block::new(level);
    for (x, out) in x.chunks(LANES * level.dim).zip(out.chunks_mut(LANES)) {
        block.load(level, x);
        for ((out, largest), total) in out.iter_mut().zip(&block.largest).zip(&block.total) {
            *out = *largest + total.ln();
        }
    }
}

compiled_for_registers! {
    pub(super) fn responsibilities(level: &Level<'_, f64>, x: &[f64], out: &mut [f64]) = responsibilities_portable
}

#[inline(always)]
fn responsibilities_portable(level: &Level<'_, f64>, x: &[f64], out: &mut [f64]) {
    let mut block = Block::new(level);
    let components = level.offset.len();
    for (x, out) in (x.chunks(LANES * level.dim)).zip(out.chunks_mut(LANES * components)) {
        block.load(level, x);
        for (lane, out) in out.chunks_exact_mut(components).enumerate() {
            for (out, term) in out.iter_mut().zip(&block.terms) {
                *out = term[lane] / block.total[lane];
            }
        }
    }
}
