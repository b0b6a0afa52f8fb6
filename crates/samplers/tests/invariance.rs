//! A sample depends on its own stream alone: not on the batch, not on its place in it.

mod common;

use ndarray::{Array2, Axis, Slice};
use noise_schedule::{Grid, Kernel};
use proptest::prelude::*;

use common::{Mixture, streams};
use samplers::{Ancestral, AnnealedLangevin, NoiseSource, sample};

const DIM: usize = 3;

/// Samples number `samples` of this seed, drawn as one batch.
fn draw(seed: u64, samples: std::ops::Range<u64>, annealed: bool) -> Array2<f64> {
    let mixture = Mixture::two_modes();
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    let grid = Grid::geometric(20.0, 0.05, 6).unwrap().then_clean();
    let first = grid.levels()[0];
    let zeros = Array2::zeros(((samples.end - samples.start) as usize, DIM));
    let mut noise = streams(seed, samples);
    let start = noise.between(&zeros, first, first) * first.sigma();
    if annealed {
        let dynamics = AnnealedLangevin {
            epsilon: 0.2,
            steps_per_level: 3,
            final_denoise: true,
        };
        dynamics.run(&grid, &mut model, &mut noise, start)
    } else {
        sample(
            &grid,
            Ancestral::new(1.0).unwrap(),
            &mut model,
            &mut noise,
            start,
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batches_do_not_change_samples(
        seed in any::<u64>(), first in 0u64..1000, size in 1u64..9, cut in 0u64..9, annealed in any::<bool>(),
    ) {
        let cut = cut.min(size);
        let whole = draw(seed, first..first + size, annealed);
        let (left, right) = (
            draw(seed, first..first + cut, annealed),
            draw(seed, first + cut..first + size, annealed),
        );
        prop_assert_eq!(whole.slice_axis(Axis(0), Slice::from(..cut as usize)), left);
        prop_assert_eq!(whole.slice_axis(Axis(0), Slice::from(cut as usize..)), right);
    }
}

#[test]
fn samples_differ_from_one_another() {
    let samples = draw(7, 0..2, false);
    assert!(samples.row(0) != samples.row(1));
    assert!(draw(7, 0..1, false) != draw(8, 0..1, false));
}
