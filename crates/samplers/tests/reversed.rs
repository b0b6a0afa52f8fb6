//! The steppers of the reversed diffusion and of jumping models: textbook formulas, exact cases, and the ends of a grid.

mod common;

use ndarray::{Array1, Array2, array};
use noise_schedule::{Grid, Kernel, NoiseSchedule, Path, VpLinear};
use proptest::prelude::*;

use common::{Mixture, Named, streams};
use samplers::{
    Ancestral, ConsistencySampling, Corrected, Corrector, Ddim, Error, EulerMaruyama,
    ReverseDiffusion, Rise, Silent, Stepper, noised, sample, walk,
};

const VP: fn() -> VpLinear = VpLinear::song2021;

/// One step on the line, with this draw.
fn step(
    mut stepper: impl Stepper<Array1<f64>>,
    denoise: impl Fn(f64, Kernel) -> f64,
    x: f64,
    (from, to): (Kernel, Kernel),
    z: f64,
) -> f64 {
    let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
    let mut model = |x: &Array1<f64>, at: Kernel| x.mapv(|x| denoise(x, at));
    stepper.step(&mut model, &mut noise, &array![x], from, to)[0]
}

fn two_modes(x: f64, at: Kernel) -> f64 {
    Mixture::two_modes().denoise(x, at)
}

/// The variance after a step from N(0, v), for a denoiser that is linear.
fn variance(
    stepper: impl Stepper<Array1<f64>> + Clone,
    gain: impl Fn(Kernel) -> f64,
    v: f64,
    levels: (Kernel, Kernel),
) -> f64 {
    let respond = |x, z| step(stepper.clone(), |x, at| gain(at) * x, x, levels, z);
    respond(1.0, 0.0).powi(2) * v + respond(0.0, 1.0).powi(2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// N(0, 1) data on variance-preserving kernels are N(0, 1) at every level, and D = alpha x.
    #[test]
    fn the_large_variance_is_exact_for_a_standard_normal(t in 0.05_f64..1.0, shrink in 0.01_f64..0.99) {
        let levels = (VP().kernel(t), VP().kernel(t * shrink));
        let v = variance(Ancestral::fixed_large(), Kernel::alpha, 1.0, levels);
        prop_assert!((v - 1.0).abs() < 1e-12, "{v}");
    }

    /// Data at one point: D is that point wherever the state is.
    #[test]
    fn the_small_variance_is_exact_for_a_point(t in 0.05_f64..1.0, shrink in 0.01_f64..0.99, point in -3.0_f64..3.0) {
        let (from, to) = (VP().kernel(t), VP().kernel(t * shrink));
        let respond = |x, z| step(Ancestral::new(1.0).unwrap(), |_, _| point, x, (from, to), z);
        let mean = respond(from.alpha() * point, 0.0);
        let spread = (respond(from.sigma(), 0.0) - respond(0.0, 0.0)).hypot(respond(0.0, 1.0) - respond(0.0, 0.0));
        prop_assert!((mean - to.alpha() * point).abs() < 1e-12);
        prop_assert!((spread - to.sigma()).abs() < 1e-12, "{spread} {}", to.sigma());
    }

    /// In the notation of the code of Song et al.: beta of the step, and the score.
    #[test]
    fn reverse_diffusion_is_the_published_predictor(
        x in -3.0_f64..3.0, z in -3.0_f64..3.0, t in 0.1_f64..1.0, shrink in 0.1_f64..0.99,
    ) {
        let (from, to) = (VP().kernel(t), VP().kernel(t * shrink));
        let beta = 1.0 - (from.alpha() / to.alpha()).powi(2);
        let score = (from.alpha() * two_modes(x, from) - x) / from.sigma().powi(2);
        let expected = (2.0 - (1.0 - beta).sqrt()) * x + beta * score + beta.sqrt() * z;
        let found = step(ReverseDiffusion::new(1.0).unwrap(), two_modes, x, (from, to), z);
        prop_assert!((found - expected).abs() < 1e-10, "{found} {expected}");
        let expected = (2.0 - (1.0 - beta).sqrt()) * x + 0.5 * beta * score;
        let found = step(ReverseDiffusion::new(0.0).unwrap(), two_modes, x, (from, to), f64::NAN);
        prop_assert!((found - expected).abs() < 1e-10, "{found} {expected}");

        let exploding = |sigma| Kernel::variance_exploding(sigma).unwrap();
        let (from, to) = (exploding(10.0 * t), exploding(10.0 * t * shrink));
        let removed = from.sigma().powi(2) - to.sigma().powi(2);
        let score = (two_modes(x, from) - x) / from.sigma().powi(2);
        let expected = x + removed * score + removed.sqrt() * z;
        let found = step(ReverseDiffusion::new(1.0).unwrap(), two_modes, x, (from, to), z);
        prop_assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    /// dx = −½ beta x dt + √beta dw with beta = 0.1 + 19.9 t, reversed; and the same at another scale of the state.
    #[test]
    fn euler_maruyama_is_the_reversed_equation(
        x in -3.0_f64..3.0, z in -3.0_f64..3.0, t in 0.1_f64..1.0, shrink in 0.1_f64..0.99, eta in 0.0_f64..1.5, scale in 0.2_f64..3.0,
    ) {
        let (from, to) = (VP().kernel(t), VP().kernel(t * shrink));
        let (beta, dt) = (0.1 + 19.9 * t, t - t * shrink);
        let score = (from.alpha() * two_modes(x, from) - x) / from.sigma().powi(2);
        let drift = -0.5 * beta * x - 0.5 * (1.0 + eta * eta) * beta * score;
        let expected = x - drift * dt + eta * (beta * dt).sqrt() * z;
        let stepper = EulerMaruyama::new(VP(), eta).unwrap();
        let found = step(stepper, two_modes, x, (from, to), z);
        prop_assert!((found - expected).abs() < 1e-7 * (1.0 + expected.abs()), "{found} {expected}");

        let scaled = |k: Kernel| Kernel::new(scale * k.alpha(), scale * k.sigma()).unwrap();
        let again = step(stepper, two_modes, scale * x, (scaled(from), scaled(to)), z);
        prop_assert!((again - scale * found).abs() < 1e-7 * (1.0 + found.abs()), "{again} {found}");
    }

    /// The consistency function of N(0, s²) data keeps x over the deviation: with it a step of any length is exact.
    #[test]
    fn consistency_functions_take_marginals_to_marginals(t in 0.1_f64..1.0, shrink in 0.0_f64..0.99, s in 0.1_f64..3.0) {
        let (from, to) = (VP().kernel(t), VP().kernel(t * shrink));
        let spread = |k: Kernel| (k.alpha() * s).hypot(k.sigma());
        let stepper = ConsistencySampling::new(1.0).unwrap();
        let v = variance(stepper, |at| s / spread(at), spread(from).powi(2), (from, to));
        prop_assert!((v.sqrt() - spread(to)).abs() < 1e-12, "{v}");
    }

    /// Down to a level r_s and back up by the forward process, as TCD has it.
    #[test]
    fn gamma_sampling_goes_down_and_up(x in -3.0_f64..3.0, z in -3.0_f64..3.0, t in 0.1_f64..1.0, shrink in 0.1_f64..0.99, gamma in 0.0_f64..0.999) {
        let (from, to) = (VP().kernel(t), VP().kernel(t * shrink));
        let ratio = (1.0_f64 - gamma * gamma).sqrt() * to.noise_to_signal();
        let low = Kernel::new(1.0 / ratio.hypot(1.0), ratio / ratio.hypot(1.0)).unwrap();
        let down = step(Ddim, two_modes, x, (from, low), f64::NAN);
        let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
        let up = noised(&array![down], low, to, &mut noise)[0];
        let found = step(ConsistencySampling::new(gamma).unwrap(), two_modes, x, (from, to), z);
        prop_assert!((found - up).abs() < 1e-7, "{found} {up}");
    }

    /// The drift of a Langevin corrector is snr times as long as its noise, in every sample.
    #[test]
    fn the_corrector_keeps_its_ratio(snr in 0.01_f64..1.0, t in 0.1_f64..1.0, a in 0.2_f64..2.0, b in -2.0_f64..-0.2) {
        let at = VP().kernel(t);
        let mut model = |x: &Array2<f64>, k: Kernel| x * k.alpha();
        let x = array![[a, b], [3.0 * b, a]];
        let z = array![[0.3, -1.1], [2.0, 0.4]];
        let mut noise = |_: &Array2<f64>, _: Kernel, _: Kernel| z.clone();
        let moved = Corrector::Langevin { snr }.correct(&mut model, &mut noise, &x, at) - &x;
        for i in 0..2 {
            // The score of N(0, I) is −x.
            let length = |v: ndarray::ArrayView1<f64>| v.dot(&v).sqrt();
            let epsilon = 2.0 * (snr * length(z.row(i)) / length(x.row(i))).powi(2);
            let drift = epsilon * length(x.row(i));
            prop_assert!((drift / ((2.0 * epsilon).sqrt() * length(z.row(i))) - snr).abs() < 1e-12);
            let expected = &x.row(i) * -epsilon + &z.row(i) * (2.0 * epsilon).sqrt();
            prop_assert!((&moved.row(i) - expected).iter().all(|d| d.abs() < 1e-9));
        }
    }
}

#[test]
fn no_noise_kept_is_ddim() {
    let levels = (VP().kernel(0.8), VP().kernel(0.3));
    let found = step(
        ConsistencySampling::new(0.0).unwrap(),
        two_modes,
        0.7,
        levels,
        f64::NAN,
    );
    assert_eq!(found, step(Ddim, two_modes, 0.7, levels, f64::NAN));
}

/// The steppers of this file, which may be asked for noise.
fn all() -> Vec<Named> {
    vec![
        ("fixed large", Box::new(Ancestral::fixed_large())),
        (
            "reverse diffusion",
            Box::new(ReverseDiffusion::new(1.0).unwrap()),
        ),
        (
            "reverse diffusion, flow",
            Box::new(ReverseDiffusion::new(0.0).unwrap()),
        ),
        (
            "Euler–Maruyama",
            Box::new(EulerMaruyama::new(VP(), 1.0).unwrap()),
        ),
        (
            "Euler–Maruyama, flow",
            Box::new(EulerMaruyama::new(VP(), 0.0).unwrap()),
        ),
        (
            "consistency",
            Box::new(ConsistencySampling::new(1.0).unwrap()),
        ),
    ]
}

#[test]
fn the_ends_of_a_grid_are_finite() {
    let pure = Kernel::new(0.0, 1.0).unwrap();
    let (noisy, less) = (VP().kernel(0.9), VP().kernel(0.2));
    for (name, stepper) in &mut all() {
        let levels = (noisy, Kernel::CLEAN);
        let found = step(stepper, two_modes, 0.4, levels, f64::NAN);
        assert!(
            (found - two_modes(0.4, noisy)).abs() < 1e-14,
            "{name} to data without noise"
        );
    }
    for levels in [
        (pure, noisy),
        (pure, Kernel::CLEAN),
        (less, noisy),
        (Kernel::CLEAN, less),
        (noisy, pure),
    ] {
        for (name, stepper) in &mut all() {
            let found = step(stepper, two_modes, 0.4, levels, 1.0);
            assert!(found.is_finite(), "{name}, {levels:?}: {found}");
        }
    }
}

/// Without noise, up and down again is the identity to the order of the stepper, or better where errors cancel.
#[test]
fn inversion_is_of_the_order_of_the_stepper() {
    let mixture = Mixture::two_modes();
    let start = array![-1.5, 0.1, 1.2];
    let error = |make: &dyn Fn() -> Box<dyn Stepper<Array1<f64>>>, steps| {
        let down = Path::from(Grid::uniform_log_snr(&VP(), 0.9, 0.05, steps).unwrap());
        let up = down.clone().reversed();
        let noise = walk(
            &up,
            Rise::Flow,
            make,
            &mut mixture.model(),
            &mut Silent,
            start.clone(),
        );
        let back = walk(
            &down,
            Rise::Flow,
            make,
            &mut mixture.model(),
            &mut Silent,
            noise,
        );
        (&back - &start).fold(0.0, |worst: f64, d| worst.max(d.abs()))
    };
    for (name, make) in [
        (
            "Ddim",
            &(|| Box::new(Ddim) as Box<dyn Stepper<_>>) as &dyn Fn() -> Box<dyn Stepper<_>>,
        ),
        ("reverse diffusion", &|| {
            Box::new(ReverseDiffusion::new(0.0).unwrap())
        }),
        ("Euler–Maruyama", &|| {
            Box::new(EulerMaruyama::new(VP(), 0.0).unwrap())
        }),
    ] {
        let order = (error(make, 200) / error(make, 400)).log2();
        assert!(0.75 < order, "{name}: order {order}");
    }
}

/// x ← x + ε score + √(2ε) z on N(0, v): the variance has the fixed point v / (1 − ε/(2v)), and corrections approach it.
#[test]
fn correction_brings_a_wrong_variance_closer() {
    let at = Kernel::variance_exploding(0.8).unwrap();
    let right = 0.6_f64.powi(2) + 0.64;
    let corrector = Corrector::Annealed { snr: 0.1 };
    let respond = |x: f64, z: f64| {
        let mut model = |x: &Array2<f64>, _: Kernel| x * (0.36 / right);
        let mut noise = |_: &Array2<f64>, _: Kernel, _: Kernel| array![[z]];
        corrector.correct(&mut model, &mut noise, &array![[x]], at)[[0, 0]]
    };
    let (a, b) = (respond(1.0, 0.0), respond(0.0, 1.0));
    let epsilon = 2.0 * (0.1_f64 * 0.8).powi(2);
    let fixed = right / (1.0 - epsilon / (2.0 * right));
    let mut v = 0.5 * right;
    for _ in 0..2000 {
        let next = a * a * v + b * b;
        assert!((next - fixed).abs() <= (v - fixed).abs());
        v = next;
    }
    assert!((v - fixed).abs() < 1e-12, "{v} {fixed}");
}

/// A sample whose score is 0 has no Langevin step of finite length, and is left alone.
#[test]
fn a_sample_without_score_stays() {
    let at = Kernel::variance_exploding(1.0).unwrap();
    let mut model = |x: &Array2<f64>, _: Kernel| 0.5 * x;
    let mut noise = |like: &Array2<f64>, _: Kernel, _: Kernel| Array2::ones(like.raw_dim());
    let x = array![[0.0, 0.0], [1.0, 2.0]];
    let found = Corrector::Langevin { snr: 0.2 }.correct(&mut model, &mut noise, &x, at);
    assert_eq!(found.row(0), x.row(0));
    assert!(found.row(1) != x.row(1) && found.iter().all(|v| v.is_finite()));
}

/// In units of sigma the score is of order 1: a corrector is finite where sigma² is not a number apart from 0 or ∞.
#[test]
fn correctors_are_finite_at_every_level() {
    for sigma in [1e-300, 1e-160, 1e160, 1e300] {
        let at = Kernel::variance_exploding(sigma).unwrap();
        let mut model = |x: &Array2<f64>, _: Kernel| x.mapv(f64::tanh);
        let x = array![[0.4 * sigma, -1.3 * sigma]];
        for corrector in [
            Corrector::Langevin { snr: 0.2 },
            Corrector::Annealed { snr: 0.2 },
        ] {
            let mut noise = |_: &Array2<f64>, _: Kernel, _: Kernel| array![[0.3, -0.8]];
            let found = corrector.correct(&mut model, &mut noise, &x, at) / sigma;
            assert!(
                found.iter().all(|v| v.abs() < 10.0),
                "{corrector:?} {sigma}: {found}"
            );
        }
    }
}

#[test]
fn a_corrected_sample_does_not_depend_on_its_mates() {
    let mixture = Mixture::two_modes();
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    let grid = Grid::geometric(10.0, 0.1, 8).unwrap();
    let corrector = Corrector::Langevin { snr: 0.16 };
    let stepper = Corrected::new(ReverseDiffusion::new(1.0).unwrap(), corrector, 2).unwrap();
    let start = Array2::from_shape_fn((3, 2), |(i, j)| 4.0 * (i as f64 - 1.0) + 9.0 * j as f64);
    let batch = sample(
        &grid,
        stepper,
        &mut model,
        &mut streams(3, 0..3),
        start.clone(),
    );
    for i in 0..3 {
        let mut own = streams(3, i as u64..i as u64 + 1);
        let alone = start.slice(ndarray::s![i..i + 1, ..]).to_owned();
        let found = sample(&grid, stepper, &mut model, &mut own, alone);
        assert_eq!(found.row(0), batch.row(i));
    }
}

#[test]
fn parameters_are_checked() {
    assert_eq!(
        ConsistencySampling::new(1.5),
        Err(Error::Gamma { gamma: 1.5 })
    );
    assert!(ConsistencySampling::new(f64::NAN).is_err());
    assert_eq!(ReverseDiffusion::new(-0.5), Err(Error::Noise { eta: -0.5 }));
    assert!(EulerMaruyama::new(VP(), f64::INFINITY).is_err());
    for snr in [0.0, -1.0, f64::NAN] {
        assert!(Corrected::new(Ddim, Corrector::Langevin { snr }, 1).is_err());
        assert!(Corrected::new(Ddim, Corrector::Annealed { snr }, 1).is_err());
    }
}
