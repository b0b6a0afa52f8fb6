//! Inpainting: what is known is kept, what is not agrees with it.

mod common;

use ndarray::{Array1, Array2, array};
use noise_schedule::{Grid, Kernel, Path, VpLinear};

use common::{Mixture, streams};
use samplers::{Ancestral, Ddim, Error, Inpainting, NoiseSource, Silent, Stepper, sample};

fn grid(steps: usize) -> Grid {
    Grid::uniform_time(&VpLinear::song2021(), 1.0, 1e-3, steps)
        .unwrap()
        .then_clean()
}

fn along<X>(
    path: &Path,
    stepper: &mut impl Stepper<X>,
    model: &mut impl FnMut(&X, Kernel) -> X,
    noise: &mut dyn NoiseSource<X>,
    x: X,
) -> X {
    path.steps()
        .fold(x, |x, (from, to)| stepper.step(model, noise, &x, from, to))
}

#[test]
fn a_mask_of_zeros_changes_nothing() {
    let mixture = Mixture::two_modes();
    let start = array![0.3, -1.2];
    let known = array![f64::NAN, f64::NAN];
    let stepper = Inpainting::new(Ddim, known, Array1::zeros(2)).unwrap();
    let mut noise = |like: &Array1<f64>, _: Kernel, _: Kernel| Array1::ones(like.len());
    let found = sample(
        &grid(10),
        stepper,
        &mut mixture.model(),
        &mut noise,
        start.clone(),
    );
    let plain = sample(&grid(10), Ddim, &mut mixture.model(), &mut Silent, start);
    assert_eq!(found, plain);
}

/// At every level the known part is what the forward process makes of it, and at the end it is itself.
#[test]
fn the_known_part_is_kept_at_every_level() {
    let mixture = Mixture::two_modes();
    let known = array![0.9, -0.1, 0.4];
    let mask = array![1.0, 0.0, 0.5];
    let mut stepper = Inpainting::new(Ddim, known, mask).unwrap();
    let mut noise = |like: &Array1<f64>, _: Kernel, _: Kernel| Array1::from_elem(like.len(), -0.7);
    let mut x = array![0.1, 0.2, 0.3];
    for (from, to) in grid(6).steps() {
        let plain = Ddim.step(&mut mixture.model(), &mut Silent, &x, from, to);
        x = stepper.step(&mut mixture.model(), &mut noise, &x, from, to);
        let forward = |known: f64| to.alpha() * known - 0.7 * to.sigma();
        assert!((x[0] - forward(0.9)).abs() < 1e-15);
        assert_eq!(x[1], plain[1]);
        assert!((x[2] - 0.5 * (plain[2] + forward(0.4))).abs() < 1e-15);
    }
    assert_eq!(x[0], 0.9);
}

/// Two coordinates with correlation 0.9: given 1 for the first, the second is N(0.9, 0.19).
#[test]
fn resampling_brings_the_parts_into_agreement() {
    let model = |x: &Array2<f64>, k: Kernel| {
        // In the coordinates of sum and difference, of variances 1.9 and 0.1, D is x times these gains.
        let gain = |v: f64| k.alpha() * v / (k.alpha().powi(2) * v + k.sigma().powi(2));
        let mut denoised = x.clone();
        for mut row in denoised.rows_mut() {
            let (sum, difference) = (gain(1.9) * (row[0] + row[1]), gain(0.1) * (row[0] - row[1]));
            (row[0], row[1]) = (0.5 * (sum + difference), 0.5 * (sum - difference));
        }
        denoised
    };
    let count = 2000;
    let grid = grid(25);
    let error = |jump_samples: usize| {
        let path = Path::repaint(&grid, 5, jump_samples).unwrap();
        let mut noise = streams(9, 0..count as u64);
        let start = noise.between(
            &Array2::zeros((count, 2)),
            grid.levels()[0],
            grid.levels()[0],
        );
        let mask = Array2::from_shape_fn((count, 2), |(_, j)| if j == 0 { 1.0 } else { 0.0 });
        let inner = Ancestral::new(1.0).unwrap();
        let mut stepper = Inpainting::new(inner, Array2::ones((count, 2)), mask).unwrap();
        let found = along(&path, &mut stepper, &mut { model }, &mut noise, start);
        assert!(found.column(0).iter().all(|&x| x == 1.0));
        (found.column(1).mean().unwrap() - 0.9).abs()
    };
    let (replaced, repainted) = (error(1), error(8));
    assert!(0.05 < replaced, "replacement alone: {replaced}");
    assert!(
        repainted < 0.5 * replaced,
        "RePaint: {repainted}, replacement: {replaced}"
    );
}

#[test]
fn masks_are_checked() {
    let (known, mask) = (array![0.0, 0.0], array![0.0, 1.5]);
    assert_eq!(
        Inpainting::new(Ddim, known.clone(), mask),
        Err(Error::Mask { value: 1.5 })
    );
    assert!(Inpainting::new(Ddim, known, array![f64::NAN, 0.0]).is_err());
}

#[test]
#[should_panic(expected = "1 coordinates of the mask for 2")]
fn a_mask_of_another_shape_is_a_bug() {
    let _ = Inpainting::new(Ddim, array![0.0, 0.0], array![0.0]);
}
