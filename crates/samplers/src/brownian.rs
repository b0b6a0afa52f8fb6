//! Noise that stays the same path when the grid is refined.

use ndarray::{Array, Axis, Dimension, RemoveAxis};
use noise_schedule::Kernel;
use rand::RngCore;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Element, NoiseSource};

/// One Brownian path W per coordinate: the noise of the step from → to is its increment over the step, in units of its
/// standard deviation, (W(s_to) − W(s_from)) / √(s_to − s_from).
///
/// The clock is the signal-to-noise ratio s = alpha²/sigma², which runs from 0 in pure noise to ∞ in clean data.
/// In it the noise of the reversed diffusion is a Wiener increment: where D is constant, (alpha/sigma²) x gains D ds + dW, so that
/// two steps of [`Ancestral`](crate::Ancestral) with η = 1, or of the stochastic DPM-Solver++ with η = 1, are one step with the sum of their increments.
/// Grids that refine one another thus sample one path, and their results converge to one another.
///
/// The path is a function of the key of its sample and of the clock, with no memory: it is the same in whatever order it is asked,
/// on overlapping steps too (the stages of singlestep methods), in any batch.
/// Each octave of the clock, [2^k, 2^(k+1)), has a bridge over dyadic points, each with a normal of its own (the tree of Lévy),
/// to 2^-32 of the octave, and is linear within; below 2^-64 there is one more such piece.
/// A call draws up to 33 normals per coordinate for each end, and one for each octave between.
///
/// A step to sigma = 0 is infinitely long in this clock: its noise, which no stepper uses, is independent of every other's.
///
/// Lévy's construction; Li et al. 2020 (<https://arxiv.org/abs/2001.01328>), for the virtual tree.
///
/// ```
/// use ndarray::Array2;
/// use noise_schedule::{Grid, Kernel};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{Ancestral, BrownianPath, sample};
/// let mut model = |x: &Array2<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2)); // N(0, 1)
/// let mut end = |steps| {
///     let grid = Grid::geometric(10.0, 0.1, steps)?;
///     let mut noise = BrownianPath::new([ChaCha8Rng::seed_from_u64(3)]);
///     let x = Array2::from_elem((1, 1), 10.0);
///     Ok::<_, samplers::Error>(sample(&grid, Ancestral::new(1.0)?, &mut model, &mut noise, x)[[0, 0]])
/// };
/// // Another grid, the same sample.
/// assert!((end(201)? - end(401)?).abs() < 0.05);
/// # Ok::<(), samplers::Error>(())
/// ```
#[doc(alias = "BrownianTreeNoiseSampler")]
#[derive(Clone, Debug)]
pub struct BrownianPath {
    keys: Vec<ChaCha8Rng>,
}

impl BrownianPath {
    /// The paths of as many samples as there are streams; each path takes its key of 32 bytes from its stream.
    pub fn new<R: RngCore>(streams: impl IntoIterator<Item = R>) -> BrownianPath {
        let key = |mut stream: R| {
            let mut key = [0; 32];
            stream.fill_bytes(&mut key);
            ChaCha8Rng::from_seed(key)
        };
        BrownianPath {
            keys: streams.into_iter().map(key).collect(),
        }
    }
}

impl<A: Element, D: Dimension + RemoveAxis> NoiseSource<Array<A, D>> for BrownianPath {
    /// # Panics
    /// If the length of the leading axis is not the number of streams.
    /// Unless `to` has less noise than `from`: a path has no noise for Langevin's steps, and runs in one direction.
    /// For these, [`PerSample`](crate::PerSample).
    fn between(&mut self, like: &Array<A, D>, from: Kernel, to: Kernel) -> Array<A, D> {
        let samples = like.len_of(Axis(0));
        assert!(
            samples == self.keys.len(),
            "BrownianPath: {samples} samples need as many streams, got {}",
            self.keys.len()
        );
        let (start, end) = (from.snr(), to.snr());
        assert!(
            start < end,
            "BrownianPath: the signal-to-noise ratio must rise, got {start} to {end}; use PerSample"
        );
        let mut noise = like.clone();
        for (mut sample, key) in noise.outer_iter_mut().zip(&self.keys) {
            let path = Path {
                key,
                coordinates: sample.len(),
            };
            let increment = path.normalised(start, end);
            // `iter_mut` goes in logical order, whatever the layout in memory.
            for (value, increment) in sample.iter_mut().zip(increment) {
                *value = A::round(increment);
            }
        }
        noise
    }
}

/// How often an octave is halved.
const DEPTH: u32 = 32;
/// The exponent below which the clock is not divided into octaves.
const FLOOR: i32 = -64;
/// The node of the end at s = ∞, apart from all others.
const INFINITY: u64 = u64::MAX;

/// The path of one sample.
struct Path<'a> {
    key: &'a ChaCha8Rng,
    coordinates: usize,
}

/// A piece of the clock, from `start`, of this width.
#[derive(Clone, Copy, PartialEq)]
struct Piece {
    exponent: i32,
    start: f64,
    width: f64,
}

impl Piece {
    /// The one with this s in it, for finite s.
    fn of(s: f64) -> Piece {
        let floor = 2.0_f64.powi(FLOOR);
        if s < floor {
            return Piece {
                exponent: FLOOR - 1,
                start: 0.0,
                width: floor,
            };
        }
        // The exponent of a normal number, by its bits: logarithms round.
        Piece::octave((s.to_bits() >> 52) as i32 - 1023)
    }

    fn octave(exponent: i32) -> Piece {
        let width = 2.0_f64.powi(exponent);
        Piece {
            exponent,
            start: width,
            width,
        }
    }
}

impl Path<'_> {
    /// (W(end) − W(start)) / √(end − start).
    fn normalised(&self, start: f64, end: f64) -> Vec<f64> {
        if end == f64::INFINITY {
            return self.normals(INFINITY);
        }
        let (first, last) = (Piece::of(start), Piece::of(end));
        let mut sum = self.within(last, end);
        let mut add = |sign: f64, part: Vec<f64>| {
            for (sum, part) in sum.iter_mut().zip(part) {
                *sum += sign * part;
            }
        };
        for exponent in first.exponent..last.exponent {
            let piece = if exponent < FLOOR {
                first
            } else {
                Piece::octave(exponent)
            };
            add(1.0, self.within(piece, piece.start + piece.width));
        }
        add(-1.0, self.within(first, start));
        let deviation = (end - start).sqrt();
        sum.iter().map(|sum| sum / deviation).collect()
    }

    /// W(s) − W(start of the piece).
    fn within(&self, piece: Piece, s: f64) -> Vec<f64> {
        // Exact, since a piece is as long as its place, or starts at 0.
        let place = (s - piece.start) / piece.width;
        let mut left = vec![0.0; self.coordinates];
        if place == 0.0 {
            return left;
        }
        let node = |index: u64| ((piece.exponent - FLOOR + 1) as u64) << 40 | index;
        let mut right = self.normals(node(0));
        for right in &mut right {
            *right *= piece.width.sqrt();
        }
        // The stretch of length 2^-depth at `left`, in units of the piece; `index` is that of its middle in the tree.
        let (mut low, mut length, mut index) = (0.0, 1.0, 1_u64);
        for _ in 0..DEPTH {
            if place == low + length {
                return right;
            }
            let deviation = 0.5 * (piece.width * length).sqrt();
            let mut middle = self.normals(node(index));
            for ((middle, left), right) in middle.iter_mut().zip(&left).zip(&right) {
                *middle = 0.5 * (left + right) + deviation * *middle;
            }
            length *= 0.5;
            if place <= low + length {
                (right, index) = (middle, 2 * index);
            } else {
                (left, index) = (middle, 2 * index + 1);
                low += length;
            }
        }
        let share = (place - low) / length;
        left.iter()
            .zip(&right)
            .map(|(left, right)| left + share * (right - left))
            .collect()
    }

    /// The normals of a node of the tree, one per coordinate.
    fn normals(&self, node: u64) -> Vec<f64> {
        let mut stream = self.key.clone();
        stream.set_stream(node);
        stream.set_word_pos(0);
        StandardNormal
            .sample_iter(stream)
            .take(self.coordinates)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ShapeBuilder};
    use proptest::prelude::*;

    use super::*;

    fn paths(seeds: std::ops::Range<u64>) -> BrownianPath {
        BrownianPath::new(seeds.map(ChaCha8Rng::seed_from_u64))
    }

    fn at(snr: f64) -> Kernel {
        Kernel::new(snr.sqrt(), 1.0).unwrap()
    }

    /// The increment itself.
    fn increment(
        path: &mut BrownianPath,
        like: &Array2<f64>,
        from: Kernel,
        to: Kernel,
    ) -> Array2<f64> {
        path.between(like, from, to) * (to.snr() - from.snr()).sqrt()
    }

    proptest! {
        #[test]
        fn increments_add_up(
            seed in any::<u64>(), mut logs in prop::array::uniform3(-50.0..20.0_f64), narrow in any::<bool>(),
        ) {
            if narrow {
                logs = logs.map(|log| 1.0 + 1e-3 * log);
            }
            logs.sort_by(f64::total_cmp);
            prop_assume!(logs[0] < logs[1] && logs[1] < logs[2]);
            let [a, b, c] = logs.map(|log| at(log.exp()));
            prop_assume!(a.snr() < b.snr() && b.snr() < c.snr());
            let like = Array2::zeros((1, 3));
            let mut path = paths(seed..seed.saturating_add(1).max(1));
            prop_assume!(path.keys.len() == 1);
            let parts = increment(&mut path, &like, a, b) + increment(&mut path, &like, b, c);
            let whole = increment(&mut path, &like, a, c);
            let size = c.snr().sqrt();
            prop_assert!((parts - whole).iter().all(|d| d.abs() < 1e-13 * size));
        }
    }

    #[test]
    fn increments_are_normal_and_independent() {
        let like = Array2::zeros((40, 50));
        let mut path = paths(0..40);
        let levels = [0.0, 1e-21, 1e-5, 0.3, 0.9, 1.0, 1.5, 1.500001, 4.0, 700.0];
        let steps: Vec<Array2<f64>> = levels
            .windows(2)
            .map(|pair| path.between(&like, at(pair[0]), at(pair[1])))
            .collect();
        for (i, z) in steps.iter().enumerate() {
            assert!(z.mean().unwrap().abs() < 0.09, "mean of {i}");
            assert!(
                (z.var(0.0) - 1.0).abs() < 0.13,
                "variance of {i}: {}",
                z.var(0.0)
            );
            for other in &steps[..i] {
                assert!((z * other).mean().unwrap().abs() < 0.09);
            }
        }
    }

    #[test]
    fn a_path_is_its_own() {
        let (a, b) = (at(0.2), at(3.7));
        let batch = paths(0..4).between(&Array2::<f64>::zeros((4, 6)), a, b);
        for i in 0..4 {
            let alone = paths(i as u64..i as u64 + 1).between(&Array2::<f64>::zeros((1, 6)), a, b);
            assert_eq!(batch.row(i), alone.row(0));
        }
        let columns = paths(0..4).between(&Array2::<f64>::zeros((4, 6).f()), a, b);
        assert_eq!(batch, columns);
        let single = paths(0..4).between(&Array2::<f32>::zeros((4, 6)), a, b);
        assert_eq!(single, batch.mapv(|v| v as f32));
        // Neither what was asked before nor how fine matters.
        let mut asked = paths(0..4);
        asked.between(&Array2::<f64>::zeros((4, 6)), at(0.1), at(1.0));
        assert_eq!(asked.between(&Array2::<f64>::zeros((4, 6)), a, b), batch);
    }

    #[test]
    fn the_ends_are_finite() {
        let noise = Kernel::new(0.0, 1.0).unwrap();
        let like = Array2::<f64>::zeros((1, 3));
        for (from, to) in [
            (noise, at(2.0)),
            (at(2.0), Kernel::CLEAN),
            (noise, Kernel::CLEAN),
        ] {
            assert!(
                paths(0..1)
                    .between(&like, from, to)
                    .iter()
                    .all(|z| z.is_finite())
            );
        }
    }

    #[test]
    #[should_panic(expected = "must rise, got 1 to 1")]
    fn a_path_has_no_noise_at_rest() {
        paths(0..1).between(&Array2::<f64>::zeros((1, 1)), at(1.0), at(1.0));
    }
}
