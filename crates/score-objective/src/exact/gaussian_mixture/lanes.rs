//! Few dimensions: several points side by side in the lanes of vector registers, one component after another.
//!
//! Distances are sums of squared differences, as in the formula; nothing needs repair.
//! Loops run over lanes of fixed number and write to arrays of their own: so compilers turn them into vector
//! instructions.

use super::exp::exp_or_zero;
use super::level::{Combination, Level};
use super::registers::compiled_for_registers;

/// Points at a time: whole registers of any width, and the terms of some hundred components stay in the first cache.
const LANES: usize = 16;
type Lane = [f64; LANES];

/// The posterior of [`LANES`] points.
struct Block {
    // [D]: coordinates of the points.
    x: Vec<Lane>,
    // [K]: exp(logit − largest logit).
    terms: Vec<Lane>,
    // Sum of the terms.
    total: Lane,
    log_density: Lane,
}

impl Block {
    fn new(level: &Level<'_>) -> Block {
        Block {
            x: vec![[0.0; LANES]; level.dim],
            terms: vec![[0.0; LANES]; level.offset.len()],
            total: [0.0; LANES],
            log_density: [0.0; LANES],
        }
    }

    /// Computes the posterior at up to [`LANES`] rows; lanes without a row are those of an earlier point, or of zero.
    #[inline(always)]
    fn load(&mut self, level: &Level<'_>, rows: &[f64]) {
        for (lane, row) in rows.chunks_exact(level.dim).enumerate() {
            for (x, &value) in self.x.iter_mut().zip(row) {
                x[lane] = value;
            }
        }
        let mut largest = [f64::NEG_INFINITY; LANES];
        for (((term, mean), offset), precision) in (self.terms.iter_mut())
            .zip(level.means.chunks_exact(level.dim))
            .zip(&level.offset)
            .zip(&level.precision)
        {
            let mut logit = [0.0; LANES];
            for (x, mean) in self.x.iter().zip(mean) {
                for (squared, x) in logit.iter_mut().zip(x) {
                    let difference = x - mean;
                    *squared += difference * difference;
                }
            }
            let half = 0.5 * precision;
            for squared in &mut logit {
                *squared = offset - half * *squared;
            }
            *term = logit;
            for (largest, logit) in largest.iter_mut().zip(&logit) {
                *largest = if *largest < *logit { *logit } else { *largest };
            }
        }
        self.total = [0.0; LANES];
        for term in &mut self.terms {
            for ((term, total), largest) in term.iter_mut().zip(&mut self.total).zip(&largest) {
                *term = exp_or_zero(*term - largest);
                *total += *term;
            }
        }
        for ((log_density, largest), total) in
            (self.log_density.iter_mut().zip(&largest)).zip(&self.total)
        {
            *log_density = largest + total.ln();
        }
    }
}

compiled_for_registers! {
    pub(super) fn combine(level: &Level<'_>, combination: &Combination, x: &[f64], out: &mut [f64]) = combine_portable
}

#[inline(always)]
fn combine_portable(level: &Level<'_>, combination: &Combination, x: &[f64], out: &mut [f64]) {
    let mut block = Block::new(level);
    let mut origin = vec![[0.0; LANES]; level.dim];
    let mut sums = vec![[0.0; LANES]; level.dim];
    for (x, out) in (x.chunks(LANES * level.dim)).zip(out.chunks_mut(LANES * level.dim)) {
        block.load(level, x);
        let mut along_x = [0.0; LANES];
        match combination {
            Combination::Differences { .. } => origin.clone_from(&block.x),
            Combination::Points { point, .. } => {
                for (term, b) in block.terms.iter().zip(point) {
                    for (along_x, term) in along_x.iter_mut().zip(term) {
                        *along_x += b * term;
                    }
                }
            }
        }
        sums.fill([0.0; LANES]);
        for ((term, mean), a) in (block.terms.iter())
            .zip(level.means.chunks_exact(level.dim))
            .zip(combination.mean())
        {
            let mut weight = *term;
            for weight in &mut weight {
                *weight *= a;
            }
            for ((sum, origin), mean) in sums.iter_mut().zip(&origin).zip(mean) {
                let mut apart = *origin;
                for (apart, weight) in apart.iter_mut().zip(&weight) {
                    *apart = weight * (mean - *apart);
                }
                for (sum, apart) in sum.iter_mut().zip(&apart) {
                    *sum += apart;
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
    pub(super) fn log_density(level: &Level<'_>, x: &[f64], out: &mut [f64]) = log_density_portable
}

#[inline(always)]
fn log_density_portable(level: &Level<'_>, x: &[f64], out: &mut [f64]) {
    let mut block = Block::new(level);
    for (x, out) in x.chunks(LANES * level.dim).zip(out.chunks_mut(LANES)) {
        block.load(level, x);
        out.copy_from_slice(&block.log_density[..out.len()]);
    }
}

compiled_for_registers! {
    pub(super) fn responsibilities(level: &Level<'_>, x: &[f64], out: &mut [f64]) = responsibilities_portable
}

#[inline(always)]
fn responsibilities_portable(level: &Level<'_>, x: &[f64], out: &mut [f64]) {
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
