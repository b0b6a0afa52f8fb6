//! Many dimensions: one matrix product finds which components matter at a point; the rest is done for those alone.
//!
//! Under little noise a product in single precision does (see [`screen`](super::screen)); otherwise it is as follows.
//!
//! ‖x − μ‖² = ‖x‖² − 2 x·μ + ‖μ‖² is a matrix product for all points and components at once, and loses digits where
//! x and μ are long against √(v + σ²).
//! So the product decides only which components may matter, and where it has lost too much, their distances are computed
//! again, directly.
//! Each decision looks at one point alone, so that a point's result does not depend on its neighbours.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::level::{Combination, Level};
use super::real::Real;
use super::registers::compiled_for_registers;
use super::screen::Screen;

/// Points per product: enough to pay for packing the means, few enough that their logits stay in the second cache.
const ROWS: usize = 128;

/// Where more than one component in so many matters, a product over all of them is faster than a sum over those.
const CROWDED: usize = 6;

/// The points of one product.
struct Block<'a, S> {
    level: &'a Level<'a, S>,
    screen: Option<Screen<'a>>,
    // The components that the screen left at each row, and where they are; `None` where it did not help.
    kept: Vec<u32>,
    screened: Vec<Option<Range<usize>>>,
    // The other rows in their order: [rows, D], and [rows, K]: x·μ_k, and then whatever a row is needed for.
    others: Vec<S>,
    products: Vec<S>,
    // How many of these were asked for.
    next: usize,
    // Bounds over all components.
    longest: f64,
    sharpest: f64,
}

/// The posterior at one point.
struct Posterior<S> {
    terms: Terms,
    // The components that may matter, and exp(logit − largest logit) of each, where they are few.
    components: Vec<u32>,
    few: Vec<S>,
    largest: S,
    // Sum of the terms.
    total: S,
}

/// Where the terms of a [`Posterior`] are.
enum Terms {
    /// In [`Posterior::few`].
    Few,
    /// In this row of the block's products, one for each component; their logits come from expanded distances.
    All { row: usize },
}

impl<'a, S: Real> Block<'a, S> {
    fn new(level: &'a Level<'a, S>) -> Block<'a, S> {
        let largest = |values: &[S]| values.iter().fold(0.0, |a: f64, &b| a.max(b.into()));
        Block {
            level,
            screen: Screen::new(level, ROWS),
            kept: Vec::new(),
            screened: Vec::with_capacity(ROWS),
            others: Vec::new(),
            products: Vec::new(),
            next: 0,
            longest: (2.0 * largest(level.half_norms)).sqrt(),
            sharpest: largest(&level.precision),
        }
    }

    /// Prepares up to [`ROWS`] points.
    #[inline(always)]
    fn load(&mut self, x: &[S]) {
        let (dim, components) = (self.level.dim, self.level.offset.len());
        self.kept.clear();
        self.screened.clear();
        self.others.clear();
        self.next = 0;
        match &mut self.screen {
            Some(screen) => screen.run(x, &mut self.kept, &mut self.screened),
            None => self.screened.resize(x.len() / dim, None),
        }
        for (x, _) in (x.chunks_exact(dim).zip(&self.screened)).filter(|(_, kept)| kept.is_none()) {
            self.others.extend_from_slice(x);
        }
        let x = matrix(&self.others, dim);
        self.products.resize(x.nrows() * components, S::zero());
        let shape = (x.nrows(), components);
        general_mat_mul(
            S::one(),
            &x,
            &matrix(self.level.means, dim).t(),
            S::zero(),
            &mut ArrayViewMut2::from_shape(shape, &mut self.products).expect("whole rows"),
        );
    }

    /// Finds the posterior at point number `row`, whose coordinates are `x`. To be asked for one row after the other.
    #[inline(always)]
    fn posterior(&mut self, row: usize, x: &[S], posterior: &mut Posterior<S>) {
        let level = self.level;
        posterior.components.clear();
        posterior.few.clear();
        if let Some(kept) = &self.screened[row] {
            (posterior.components).extend_from_slice(&self.kept[kept.clone()]);
            posterior.measure(level, x);
            posterior.weigh();
            return;
        }
        let components = level.offset.len();
        let logits = &mut self.products[self.next * components..][..components];
        let half_norm = S::nearest(0.5) * x.iter().map(|&x| x * x).sum::<S>();
        for (((logit, &norm), &offset), &precision) in (logits.iter_mut().zip(level.half_norms))
            .zip(&level.offset)
            .zip(&level.precision)
        {
            *logit = offset + precision * (*logit - (norm + half_norm));
        }
        let largest = maximum(logits);

        // Each of D products and sums errs by u of p (‖x‖ + ‖μ‖)²/2 at most, and independently of the others.
        let length = (2.0 * half_norm.into()).sqrt();
        let size = 0.5 * self.sharpest * (length + self.longest).powi(2);
        let unit = 0.5 * S::epsilon().into() * size;
        let expanded = unit * (level.dim as f64).sqrt() < S::TOLERANCE;
        let threshold = largest + S::NEGLIGIBLE - S::nearest(2.0 * unit * (level.dim as f64 + 4.0));
        let count = logits.iter().filter(|logit| threshold <= **logit).count();
        if expanded && components < CROWDED * count {
            for logit in logits.iter_mut() {
                *logit -= largest;
            }
            exponentials(logits);
            posterior.terms = Terms::All { row: self.next };
            posterior.total = sum(logits);
            posterior.largest = largest;
            self.next += 1;
            return;
        }
        // One more than there are, since it is written before it is known to count.
        posterior.components.resize(count + 1, 0);
        let mut next = 0;
        for (k, logit) in logits.iter().enumerate() {
            posterior.components[next] = k as u32;
            next += usize::from(threshold <= *logit);
        }
        posterior.components.truncate(count);
        if expanded {
            posterior.few.resize(count, S::zero());
            for (few, &k) in posterior.few.iter_mut().zip(&posterior.components) {
                *few = logits[k as usize];
            }
        } else {
            posterior.measure(level, x);
        }
        posterior.weigh();
        self.next += 1;
    }
}

impl<S: Real> Posterior<S> {
    fn new() -> Posterior<S> {
        Posterior {
            terms: Terms::Few,
            components: Vec::new(),
            few: Vec::new(),
            largest: S::zero(),
            total: S::one(),
        }
    }

    /// Fills in the logits of the few components that may matter, from their distances.
    #[inline(always)]
    fn measure(&mut self, level: &Level<'_, S>, x: &[S]) {
        // A loop and not `extend`, which would call a portable function for all of it.
        self.few.resize(self.components.len(), S::zero());
        for (logit, &k) in self.few.iter_mut().zip(&self.components) {
            let k = k as usize;
            let squared = squared_distance(x, &level.means[k * level.dim..][..level.dim]);
            *logit = level.offset[k] - S::nearest(0.5) * level.precision[k] * squared;
        }
    }

    /// Turns the logits of the few into terms.
    #[inline(always)]
    fn weigh(&mut self) {
        self.terms = Terms::Few;
        let largest = maximum(&self.few);
        for term in &mut self.few {
            *term -= largest;
        }
        exponentials(&mut self.few);
        self.total = sum(&self.few);
        self.largest = largest;
    }

    /// Writes the combination over the few components that matter, four at a time.
    #[inline(always)]
    fn combine(&self, level: &Level<'_, S>, combination: &Combination<S>, x: &[S], out: &mut [S]) {
        let mean = |k: u32| &level.means[k as usize * level.dim..][..level.dim];
        let weight = |k: u32, term: S| term * combination.mean()[k as usize];
        let (pull, along_x) = match combination {
            Combination::Differences { .. } => (S::one(), S::zero()),
            Combination::Points { point, .. } => {
                let terms = self.components.iter().zip(&self.few);
                (
                    S::zero(),
                    terms.map(|(&k, &term)| point[k as usize] * term).sum(),
                )
            }
        };
        out.fill(S::zero());
        let (fours, rest) = self.components.as_chunks::<4>();
        let (terms, rest_terms) = self.few.as_chunks::<4>();
        for (k, t) in fours.iter().zip(terms) {
            let w: [S; 4] = std::array::from_fn(|j| weight(k[j], t[j]));
            let m = k.map(mean);
            for (i, (out, &x)) in out.iter_mut().zip(x).enumerate() {
                let origin = pull * x;
                *out += (w[0] * (m[0][i] - origin) + w[1] * (m[1][i] - origin))
                    + (w[2] * (m[2][i] - origin) + w[3] * (m[3][i] - origin));
            }
        }
        for (&k, &term) in rest.iter().zip(rest_terms) {
            let w = weight(k, term);
            for ((out, &x), &m) in out.iter_mut().zip(x).zip(mean(k)) {
                *out += w * (m - pull * x);
            }
        }
        for (out, &x) in out.iter_mut().zip(x) {
            *out = (*out + along_x * x) / self.total;
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
    let (components, dim) = (level.offset.len(), level.dim);
    let (mut block, mut posterior) = (Block::new(level), Posterior::new());
    // Of each point where all components matter: its number, the factor of x, and the sum of the terms.
    let mut crowded: Vec<(usize, S, S)> = Vec::with_capacity(ROWS);
    let mut sums = vec![S::zero(); ROWS * dim];
    for (x, out) in x.chunks(ROWS * dim).zip(out.chunks_mut(ROWS * dim)) {
        block.load(x);
        for (row, (point, out)) in (x.chunks_exact(dim).zip(out.chunks_exact_mut(dim))).enumerate()
        {
            block.posterior(row, point, &mut posterior);
            match posterior.terms {
                Terms::Few => posterior.combine(level, combination, point, out),
                Terms::All { row: own } => {
                    // The terms become weights, behind those of the crowded points before.
                    let own = own * components..(own + 1) * components;
                    let weights = &mut block.products[own.clone()];
                    let mut along_x = match combination {
                        Combination::Differences { .. } => S::zero(),
                        Combination::Points { point, .. } => dot(weights, point),
                    };
                    for (weight, &a) in weights.iter_mut().zip(combination.mean()) {
                        *weight *= a;
                    }
                    if let Combination::Differences { .. } = combination {
                        along_x = -sum(weights);
                    }
                    block.products.copy_within(own, crowded.len() * components);
                    crowded.push((row, along_x, posterior.total));
                }
            }
        }
        if crowded.is_empty() {
            continue;
        }
        let weights = matrix(&block.products[..crowded.len() * components], components);
        let sums = &mut sums[..crowded.len() * dim];
        let mut view =
            ArrayViewMut2::from_shape((crowded.len(), dim), &mut *sums).expect("whole rows");
        general_mat_mul(
            S::one(),
            &weights,
            &matrix(level.means, dim),
            S::zero(),
            &mut view,
        );
        for ((row, along_x, total), sums) in crowded.drain(..).zip(sums.chunks_exact(dim)) {
            let (x, out) = (&x[row * dim..], &mut out[row * dim..]);
            for ((out, &sum), &x) in out.iter_mut().zip(sums).zip(x) {
                *out = (sum + along_x * x) / total;
            }
        }
    }
}

compiled_for_registers! {
    pub(super) fn log_density(level: &Level<'_, f64>, x: &[f64], out: &mut [f64]) = log_density_portable
}

#[inline(always)]
fn log_density_portable(level: &Level<'_, f64>, x: &[f64], out: &mut [f64]) {
    let (mut block, mut posterior) = (Block::new(level), Posterior::new());
    for (x, out) in x.chunks(ROWS * level.dim).zip(out.chunks_mut(ROWS)) {
        block.load(x);
        for (row, (x, out)) in x.chunks_exact(level.dim).zip(out).enumerate() {
            block.posterior(row, x, &mut posterior);
            *out = posterior.largest + posterior.total.ln();
        }
    }
}

compiled_for_registers! {
    pub(super) fn responsibilities(level: &Level<'_, f64>, x: &[f64], out: &mut [f64]) = responsibilities_portable
}

#[inline(always)]
fn responsibilities_portable(level: &Level<'_, f64>, x: &[f64], out: &mut [f64]) {
    let components = level.offset.len();
    let (mut block, mut posterior) = (Block::new(level), Posterior::new());
    for (x, out) in (x.chunks(ROWS * level.dim)).zip(out.chunks_mut(ROWS * components)) {
        block.load(x);
        for (row, (x, out)) in (x
            .chunks_exact(level.dim)
            .zip(out.chunks_exact_mut(components)))
        .enumerate()
        {
            block.posterior(row, x, &mut posterior);
            match posterior.terms {
                Terms::Few => {
                    out.fill(0.0);
                    for (&k, term) in posterior.components.iter().zip(&posterior.few) {
                        out[k as usize] = term / posterior.total;
                    }
                }
                Terms::All { row } => {
                    let terms = &block.products[row * components..];
                    for (out, term) in out.iter_mut().zip(terms) {
                        *out = term / posterior.total;
                    }
                }
            }
        }
    }
}

fn matrix<S>(values: &[S], columns: usize) -> ArrayView2<'_, S> {
    ArrayView2::from_shape((values.len() / columns, columns), values).expect("whole rows")
}

/// Replaces each x ≤ 0 by e^x, or by zero where that is negligible.
#[inline(always)]
fn exponentials<S: Real>(x: &mut [S]) {
    for x in x {
        *x = x.exp_or_zero();
    }
}

// In eight results side by side, which compilers keep in vector registers: they may not reorder a sum by themselves.

#[inline(always)]
fn maximum<S: Real>(values: &[S]) -> S {
    let (eights, rest) = values.as_chunks::<8>();
    let mut largest = [S::neg_infinity(); 8];
    for eight in eights {
        for (largest, value) in largest.iter_mut().zip(eight) {
            *largest = if *largest < *value { *value } else { *largest };
        }
    }
    // Loops and not one chain, which compilers may call as a portable function.
    let mut most = S::neg_infinity();
    for &value in &largest {
        most = most.max(value);
    }
    for &value in rest {
        most = most.max(value);
    }
    most
}

#[inline(always)]
fn sum<S: Real>(values: &[S]) -> S {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [S::zero(); 8];
    for eight in eights {
        for (sum, &value) in sums.iter_mut().zip(eight) {
            *sum += value;
        }
    }
    let mut total = S::zero();
    for &value in &sums {
        total += value;
    }
    for &value in rest {
        total += value;
    }
    total
}

#[inline(always)]
fn dot<S: Real>(a: &[S], b: &[S]) -> S {
    let ((a8, a_rest), (b8, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [S::zero(); 8];
    for (a, b) in a8.iter().zip(b8) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sum(&sums) + a_rest.iter().zip(b_rest).map(|(&a, &b)| a * b).sum::<S>()
}

#[inline(always)]
fn squared_distance<S: Real>(a: &[S], b: &[S]) -> S {
    let ((a8, a_rest), (b8, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [S::zero(); 8];
    for (a, b) in a8.iter().zip(b8) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| (a - b) * (a - b));
    sum(&sums) + rest.sum::<S>()
}
