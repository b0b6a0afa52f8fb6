//! Where the noise of a stochastic sampler comes from.

use ndarray::{Array, Axis, Dimension, RemoveAxis};
use noise_schedule::Kernel;
use rand::RngCore;
use rand_distr::{Distribution, StandardNormal};

use crate::Element;

/// Standard normal noise, attached to the step `from → to`.
///
/// Closures `FnMut(&X, Kernel, Kernel) -> X` are noise sources.
pub trait NoiseSource<X> {
    /// Noise with independent entries N(0, 1), for a step between two levels.
    ///
    /// A step that stays at its level (Langevin) gives that level twice.
    ///
    /// # Shapes
    /// The result has the shape of `like`, whose values do not matter.
    fn between(&mut self, like: &X, from: Kernel, to: Kernel) -> X;
}

impl<X, F: FnMut(&X, Kernel, Kernel) -> X> NoiseSource<X> for F {
    fn between(&mut self, like: &X, from: Kernel, to: Kernel) -> X {
        self(like, from, to)
    }
}

/// The noise source of deterministic sampling: it panics when it is asked for noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

impl<X> NoiseSource<X> for Silent {
    /// # Panics
    /// Always: a stepper that claims to be deterministic asked for noise.
    fn between(&mut self, _like: &X, from: Kernel, to: Kernel) -> X {
        panic!("Silent was asked for noise, from {from:?} to {to:?}; use PerSample")
    }
}

/// One random generator per sample: entry i of the leading axis is drawn from generator i.
///
/// A sample thus depends on its own stream and on nothing else: not on the size of the batch,
/// not on its place in it, not on its mates.
///
/// Normal variates are drawn in `f64` and rounded: `f32` and `f64` states share their streams.
#[derive(Clone, Debug)]
pub struct PerSample<R> {
    pub(crate) streams: Vec<R>,
}

impl<R: RngCore> PerSample<R> {
    /// The source that fills sample i from stream i.
    pub fn new(streams: impl IntoIterator<Item = R>) -> PerSample<R> {
        PerSample {
            streams: streams.into_iter().collect(),
        }
    }

    /// The generators where they are now: what a trajectory that was interrupted needs to go on.
    pub fn streams(&self) -> &[R] {
        &self.streams
    }

    pub(crate) fn expect(&self, samples: usize) {
        assert!(
            samples == self.streams.len(),
            "PerSample: {samples} samples need as many streams, got {}",
            self.streams.len()
        );
    }
}

impl<A: Element, D: Dimension + RemoveAxis, R: RngCore> NoiseSource<Array<A, D>> for PerSample<R> {
    /// # Panics
    /// If the length of the leading axis is not the number of streams.
    fn between(&mut self, like: &Array<A, D>, _from: Kernel, _to: Kernel) -> Array<A, D> {
        self.expect(like.len_of(Axis(0)));
        let mut noise = like.clone();
        for (mut sample, stream) in noise.outer_iter_mut().zip(&mut self.streams) {
            // `iter_mut` goes in logical order, whatever the layout in memory.
            for value in sample.iter_mut() {
                let normal: f64 = StandardNormal.sample(stream);
                *value = A::round(normal);
            }
        }
        noise
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ShapeBuilder};
    use noise_schedule::Kernel;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::{NoiseSource, PerSample, Silent};

    fn source(seeds: std::ops::Range<u64>) -> PerSample<ChaCha8Rng> {
        PerSample::new(seeds.map(ChaCha8Rng::seed_from_u64))
    }

    fn draw(mut from: PerSample<ChaCha8Rng>, like: &Array2<f64>) -> Array2<f64> {
        from.between(like, Kernel::CLEAN, Kernel::CLEAN)
    }

    #[test]
    fn moments_are_those_of_a_standard_normal() {
        let z = draw(source(0..100), &Array2::zeros((100, 100)));
        assert!(z.mean().unwrap().abs() < 0.03);
        assert!((z.var(0.0) - 1.0).abs() < 0.04);
    }

    #[test]
    fn samples_keep_to_their_streams() {
        let batch = draw(source(0..5), &Array2::zeros((5, 7)));
        for i in 0..5 {
            let alone = draw(source(i as u64..i as u64 + 1), &Array2::zeros((1, 7)));
            assert_eq!(batch.row(i), alone.row(0));
        }
        assert!(batch.row(0) != batch.row(1));
    }

    #[test]
    fn neither_layout_nor_precision_changes_the_draws() {
        let rows = draw(source(0..3), &Array2::zeros((3, 4)));
        let columns = draw(source(0..3), &Array2::zeros((3, 4).f()));
        assert_eq!(rows, columns);
        let single: Array2<f32> =
            source(0..3).between(&Array2::zeros((3, 4)), Kernel::CLEAN, Kernel::CLEAN);
        assert_eq!(single, rows.mapv(|v| v as f32));
    }

    #[test]
    #[should_panic(expected = "2 samples need as many streams, got 3")]
    fn streams_are_counted() {
        draw(source(0..3), &Array2::zeros((2, 2)));
    }

    #[test]
    #[should_panic(expected = "Silent was asked for noise")]
    fn silence_is_kept() {
        Silent.between(&0.0, Kernel::CLEAN, Kernel::CLEAN);
    }
}
