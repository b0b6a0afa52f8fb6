//! DPM-Solver: orders against exact scores, weak orders by exact moments, and identities.

mod common;

use ndarray::{Array1, array};
use noise_schedule::{Grid, Kernel, NoiseSchedule, Path, Rectified, SubVp, VpLinear};
use proptest::prelude::*;

use common::Mixture;
use samplers::{
    Ancestral, Counted, Ddim, DpmSolverMultistep, DpmSolverSde, DpmSolverSinglestep, Integrand,
    SecondOrder, Silent, Start, Stepper, sample,
};

const INTEGRANDS: [Integrand; 2] = [Integrand::Denoised, Integrand::Noise];
const SECOND: [SecondOrder; 2] = [SecondOrder::Midpoint, SecondOrder::Heun];

fn multistep(integrand: Integrand, order: u32) -> DpmSolverMultistep<Array1<f64>> {
    DpmSolverMultistep::new(integrand, order).unwrap()
}

/// VP with even log-SNRs, sub-VP with even times, VE by Karras, and VP with uneven log-SNRs.
fn grid(kind: usize, steps: usize) -> Grid {
    let (vp, sub) = (VpLinear::song2021(), SubVp::song2021());
    match kind {
        0 => Grid::uniform_log_snr(&vp, 0.9, 0.05, steps).unwrap(),
        1 => Grid::uniform_time(&sub, 0.9, 0.1, steps).unwrap(),
        2 => Grid::karras(0.05, 10.0, 7.0, steps + 1).unwrap(),
        _ => {
            // Steps with ratios up to 3, in an order that does not repeat as the grid is refined.
            let lengths: Vec<f64> = (0..steps)
                .map(|i| 1.0 + ((i * i * 7 + i * 3) % 11) as f64 / 5.0)
                .collect();
            let total: f64 = lengths.iter().sum();
            let (first, last) = (vp.kernel(0.9).log_snr(), vp.kernel(0.05).log_snr());
            let mut at = 0.0;
            let mut levels = vec![vp.kernel(0.9)];
            for length in lengths {
                at += length / total;
                levels.push(Kernel::variance_preserving(first + at * (last - first)));
            }
            Grid::new(levels).unwrap()
        }
    }
}

const GRIDS: usize = 4;

/// The flow in l = ln(sigma/alpha) by the classical fourth-order Runge–Kutta method: d(x/alpha)/dl = x/alpha − D.
fn flow(mixture: &Mixture, x: &Array1<f64>, from: Kernel, to: Kernel, steps: u32) -> Array1<f64> {
    let (start, end) = (-0.5 * from.log_snr(), -0.5 * to.log_snr());
    let h = (end - start) / f64::from(steps);
    let slope = |y: f64, l: f64| y - mixture.denoise(y, Kernel::new(1.0, l.exp()).unwrap());
    x.mapv(|x| {
        let mut y = x / from.alpha();
        for i in 0..steps {
            let l = start + f64::from(i) * h;
            let k1 = slope(y, l);
            let k2 = slope(y + 0.5 * h * k1, l + 0.5 * h);
            let k3 = slope(y + 0.5 * h * k2, l + 0.5 * h);
            let k4 = slope(y + h * k3, l + h);
            y += h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4);
        }
        y * to.alpha()
    })
}

/// Halves the steps and compares the slope of the error with the order; the first halving may be on its way to the limit.
fn check(case: &str, order: u32, steps: [usize; 4], error_of: impl Fn(usize) -> f64) {
    let errors = steps.map(error_of);
    let slopes: Vec<f64> = errors.windows(2).map(|e| (e[0] / e[1]).log2()).collect();
    // The mean: on an uneven grid the error has no smooth expansion.
    let slope = 0.5 * (slopes[1] + slopes[2]);
    assert!(
        f64::from(order) - 0.25 < slope && slope < f64::from(order) + 0.6,
        "{case}: claims {order}, slopes {slopes:?}, errors {errors:?}"
    );
}

/// Runs on every grid, from the exact state after `skipped` steps with the exact values before if `exact`.
fn keeps_its_order<S: Stepper<Array1<f64>>>(
    name: &str,
    exact_history: Option<Integrand>,
    make: impl Fn(Vec<(Kernel, Array1<f64>)>) -> S,
) {
    let mixture = Mixture::two_modes();
    for kind in 0..GRIDS {
        let ends = grid(kind, 1);
        let (first, last) = (ends.levels()[0], ends.levels()[1]);
        let x = array![-1.4, -0.3, 0.2, 0.9, 1.7] * first.alpha().hypot(first.sigma());
        let end = flow(&mixture, &x, first, last, 3000);
        let order = make(Vec::new()).order();
        let case = format!("{name}, grid {kind}, exact history {exact_history:?}");
        check(&case, order, [32, 64, 128, 256], |steps| {
            let levels = grid(kind, steps).levels().to_vec();
            let skipped = if exact_history.is_some() {
                order as usize - 1
            } else {
                0
            };
            let states: Vec<Array1<f64>> = (0..=skipped)
                .map(|i| flow(&mixture, &x, first, levels[i], 400))
                .collect();
            let history = (0..skipped).rev().map(|i| {
                let denoised = states[i].mapv(|x| mixture.denoise(x, levels[i]));
                let value = match exact_history {
                    Some(Integrand::Noise) => {
                        (&states[i] - &(levels[i].alpha() * denoised)) / levels[i].sigma()
                    }
                    _ => denoised,
                };
                (levels[i], value)
            });
            let rest = Grid::new(levels[skipped..].to_vec()).unwrap();
            let start = states[skipped].clone();
            let found = sample(
                &rest,
                make(history.collect()),
                &mut mixture.model(),
                &mut Silent,
                start,
            );
            (&found - &end).fold(0.0, |worst: f64, d| worst.max(d.abs()))
        });
    }
}

#[test]
fn multistep_methods_keep_their_order() {
    for integrand in INTEGRANDS {
        for order in 1..=3 {
            for second in SECOND {
                let name = format!("multistep {order}, {integrand:?}, {second:?}");
                for exact in [None, Some(integrand)] {
                    keeps_its_order(&name, exact, |history| {
                        multistep(integrand, order)
                            .with_second_order(second)
                            .with_history(history)
                    });
                }
            }
        }
    }
}

#[test]
fn singlestep_methods_keep_their_order() {
    for integrand in INTEGRANDS {
        for second in SECOND {
            for r in [0.3, 0.5, 1.0] {
                let name = format!("singlestep 2, {integrand:?}, {second:?}, r {r}");
                keeps_its_order(&name, None, |_| {
                    DpmSolverSinglestep::second(integrand, r, second).unwrap()
                });
            }
        }
        for (r1, r2) in [(1.0 / 3.0, 2.0 / 3.0), (0.3, 0.5), (0.5, 1.0), (0.8, 0.4)] {
            let name = format!("singlestep 3, {integrand:?}, r {r1} {r2}");
            keeps_its_order(&name, None, |_| {
                DpmSolverSinglestep::third(integrand, r1, r2).unwrap()
            });
        }
    }
    keeps_its_order("SDE without noise", None, |_| {
        DpmSolverSde::new(0.0, 0.4).unwrap()
    });
}

/// A rising start of third order is what caps it: the reason for the full one.
#[test]
fn a_rising_start_caps_the_third_order() {
    let mixture = Mixture::two_modes();
    let ends = grid(0, 1);
    let (first, last) = (ends.levels()[0], ends.levels()[1]);
    let x = array![-1.4, 0.2, 1.7];
    let exact = flow(&mixture, &x, first, last, 3000);
    let error = |steps, start| {
        let solver = multistep(Integrand::Denoised, 3).with_start(start);
        let found = sample(
            &grid(0, steps),
            solver,
            &mut mixture.model(),
            &mut Silent,
            x.clone(),
        );
        (&found - &exact).fold(0.0, |worst: f64, d| worst.max(d.abs()))
    };
    let slope = |start| (error(512, start) / error(1024, start)).log2();
    let (rising, full) = (slope(Start::Rising), slope(Start::Full));
    assert!(
        rising + 0.25 < full && 2.75 < full,
        "rising {rising}, full {full}"
    );
}

/// On Gaussian data D is linear, so that a state is a combination of the starting state and of the draws:
/// coordinate 0 is the former's weight, coordinate i that of draw i, and their squares sum to the exact variance.
fn variance(stepper: &mut dyn Stepper<Array1<f64>>, grid: &Grid, std: f64) -> f64 {
    let spread = |k: Kernel| (k.alpha() * std).hypot(k.sigma());
    let mut model = |x: &Array1<f64>, k: Kernel| x * (k.alpha() * std * std / spread(k).powi(2));
    let mut drawn = 0;
    let mut noise = |like: &Array1<f64>, _: Kernel, _: Kernel| {
        drawn += 1;
        let mut unit = Array1::zeros(like.len());
        unit[drawn] = 1.0;
        unit
    };
    let mut x = Array1::zeros(2 * grid.levels().len());
    x[0] = spread(grid.levels()[0]);
    for (from, to) in grid.steps() {
        x = stepper.step(&mut model, &mut noise, &x, from, to);
    }
    x.mapv(|weight| weight * weight).sum()
}

#[test]
fn stochastic_methods_keep_their_weak_order() {
    type Make = Box<dyn Fn(f64) -> Box<dyn Stepper<Array1<f64>>>>;
    let mut methods: Vec<(String, Make)> = vec![];
    for integrand in INTEGRANDS {
        for order in 1..=3 {
            for second in SECOND {
                methods.push((
                    format!("multistep {order}, {integrand:?}, {second:?}"),
                    Box::new(move |eta| {
                        let solver = multistep(integrand, order).with_second_order(second);
                        Box::new(solver.with_eta(eta).unwrap())
                    }),
                ));
            }
        }
    }
    for r in [0.3, 0.5, 1.0] {
        methods.push((
            format!("SDE, r {r}"),
            Box::new(move |eta| Box::new(DpmSolverSde::new(eta, r).unwrap())),
        ));
    }
    for (name, make) in &methods {
        for eta in [0.5, 1.0] {
            for kind in 0..GRIDS {
                let error = |steps| {
                    let grid = grid(kind, steps);
                    let last = grid.levels()[steps];
                    let exact = (last.alpha() * 0.6).powi(2) + last.sigma().powi(2);
                    (variance(&mut *make(eta), &grid, 0.6) - exact).abs()
                };
                let (coarse, fine) = (error(320), error(640));
                let (slope, order) = ((coarse / fine).log2(), f64::from(make(eta).order()));
                // At some eta and r the leading term of the error vanishes, and the slope is higher.
                assert!(
                    order - 0.25 < slope,
                    "{name}, eta {eta}, grid {kind}: claims {order}, slope {slope}, error {fine}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn first_orders_are_ddim_and_ancestral_sampling(
        x in -5.0..5.0, z in -3.0..3.0, a in 0.05..2.0, s in 0.05..3.0, b in 0.05..2.0, shrink in 0.05..0.99,
    ) {
        let from = Kernel::new(a, s).unwrap();
        let to = Kernel::new(b, from.noise_to_signal() * shrink * b).unwrap();
        let mixture = Mixture::two_modes();
        let one = |stepper: &mut dyn Stepper<Array1<f64>>| {
            let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![z];
            stepper.step(&mut mixture.model(), &mut noise, &array![x], from, to)[0]
        };
        for integrand in INTEGRANDS {
            let ours = one(&mut multistep(integrand, 1));
            prop_assert!((ours - one(&mut Ddim)).abs() < 1e-10 * (1.0 + ours.abs()));
        }
        let ours = one(&mut multistep(Integrand::Denoised, 1).with_eta(1.0).unwrap());
        let ancestral = one(&mut Ancestral::new(1.0).unwrap());
        prop_assert!((ours - ancestral).abs() < 1e-10 * (1.0 + ours.abs()));
    }

    /// D̃ = D + h/(2 h₋) (D − D₋) in the place of D, as DPM-Solver++(2M) is published.
    #[test]
    fn the_second_step_of_2m_extrapolates(x in -5.0..5.0, first in 0.2..0.9_f64, second in 0.2..0.9_f64) {
        let level = |sigma: f64| Kernel::variance_exploding(sigma).unwrap();
        let levels = [level(3.0), level(3.0 * first), level(3.0 * first * second)];
        let mixture = Mixture::two_modes();
        let grid = Grid::new(levels.to_vec()).unwrap();
        let found = sample(&grid, multistep(Integrand::Denoised, 2), &mut mixture.model(), &mut Silent, array![x])[0];
        let old = mixture.denoise(x, levels[0]);
        let y = first * x + (1.0 - first) * old;
        let new = mixture.denoise(y, levels[1]);
        let extrapolated = new + second.ln() / (2.0 * first.ln()) * (new - old);
        let expected = second * y + (1.0 - second) * extrapolated;
        prop_assert!((found - expected).abs() < 1e-11 * (1.0 + expected.abs()));
    }
}

/// A stepper with what it is.
type Described = (String, Box<dyn Stepper<Array1<f64>>>);

fn everything() -> Vec<Described> {
    let mut all: Vec<Described> = vec![];
    for integrand in INTEGRANDS {
        for order in 1..=3 {
            for eta in [0.0, 1.0] {
                let solver = multistep(integrand, order).with_eta(eta).unwrap();
                all.push((
                    format!("multistep {order}, {integrand:?}, eta {eta}"),
                    Box::new(solver),
                ));
            }
        }
        let two = DpmSolverSinglestep::second(integrand, 0.5, SecondOrder::Midpoint).unwrap();
        let three = DpmSolverSinglestep::third(integrand, 1.0 / 3.0, 2.0 / 3.0).unwrap();
        all.push((format!("singlestep 2, {integrand:?}"), Box::new(two)));
        all.push((format!("singlestep 3, {integrand:?}"), Box::new(three)));
    }
    for eta in [0.0, 1.0] {
        all.push((
            format!("SDE, eta {eta}"),
            Box::new(DpmSolverSde::new(eta, 0.5).unwrap()),
        ));
    }
    all
}

#[test]
fn every_path_is_walked_in_finite_numbers() {
    let vp = Grid::uniform_time(&VpLinear::song2021(), 1.0, 0.0, 9).unwrap();
    let flow = Grid::uniform_time(&Rectified, 1.0, 0.0, 9).unwrap();
    let karras = Grid::karras(0.002, 80.0, 7.0, 10).unwrap().then_clean();
    let single = Grid::karras(0.002, 80.0, 7.0, 1).unwrap().then_clean();
    let mixture = Mixture::two_modes();
    for grid in [vp, flow, karras, single] {
        // Down, up again to pure noise, and down once more, with every level twice.
        let up = Path::from(grid.clone()).reversed();
        let levels = [grid.levels(), &up.levels()[1..], &grid.levels()[1..]].concat();
        let path = Path::new(levels.iter().flat_map(|&level| [level, level]).collect()).unwrap();
        for (name, mut stepper) in everything() {
            let mut noise = common::streams(1, 0..3);
            let mut x = array![-1.0, 0.0, 2.0];
            for (from, to) in path.steps() {
                x = stepper.step(&mut mixture.model(), &mut noise, &x, from, to);
                assert!(
                    x.iter().all(|v| v.is_finite()),
                    "{name} from {from:?} to {to:?}: {x}"
                );
            }
            // With noise, large steps amplify what is interpolated if that is the noise.
            assert!(
                x.iter().all(|v| v.abs() < 10.0) || name.ends_with("Noise, eta 1"),
                "{name}: {x}"
            );
        }
    }
}

/// Up and down the same levels: the flow is its own inverse, to the order of the method.
#[test]
fn inversion_undoes_sampling() {
    let mixture = Mixture::two_modes();
    let x = array![-1.4, 0.2, 1.7];
    let round_trip = |order, steps| {
        let down = Grid::uniform_log_snr(&VpLinear::song2021(), 0.9, 0.05, steps).unwrap();
        let mut stepper = multistep(Integrand::Denoised, order);
        let up = Path::from(down.clone()).reversed();
        let walk = up
            .steps()
            .chain(down.steps())
            .fold(x.clone(), |x, (from, to)| {
                stepper.step(&mut mixture.model(), &mut Silent, &x, from, to)
            });
        (&walk - &x).fold(0.0, |worst: f64, d| worst.max(d.abs()))
    };
    for order in 1..=3 {
        let slope = (round_trip(order, 100) / round_trip(order, 200)).log2();
        assert!(
            f64::from(order) - 0.25 < slope,
            "order {order}: slope {slope}"
        );
    }
}

#[test]
fn evaluations_are_as_documented() {
    let mixture = Mixture::two_modes();
    let grid = Grid::karras(0.002, 80.0, 7.0, 10).unwrap().then_clean();
    for (name, stepper) in everything() {
        let expected = if name.starts_with("multistep 3") && name.ends_with("eta 0") {
            11
        } else if name.starts_with("multistep") {
            10
        } else if name.starts_with("singlestep 3") {
            28
        } else {
            19
        };
        let mut model = Counted::new(mixture.model());
        sample(
            &grid,
            stepper,
            &mut model,
            &mut common::streams(2, 0..1),
            array![50.0],
        );
        assert_eq!(model.evaluations(), expected, "{name}");
    }
}

#[test]
fn arguments_are_checked() {
    assert!(DpmSolverMultistep::<Array1<f64>>::new(Integrand::Noise, 0).is_err());
    let error = DpmSolverMultistep::<Array1<f64>>::new(Integrand::Noise, 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "DPM-Solver multistep: the order must be 1 to 3, got 4"
    );
    assert!(multistep(Integrand::Noise, 2).with_eta(-0.1).is_err());
    assert!(
        multistep(Integrand::Noise, 2)
            .with_eta(f64::INFINITY)
            .is_err()
    );
    for r in [0.0, 1.1, f64::NAN] {
        assert!(DpmSolverSde::new(1.0, r).is_err());
        assert!(DpmSolverSinglestep::second(Integrand::Noise, r, SecondOrder::Heun).is_err());
        assert!(DpmSolverSinglestep::third(Integrand::Noise, r, 0.5).is_err());
    }
    assert!(DpmSolverSde::new(f64::NAN, 0.5).is_err());
    assert!(DpmSolverSinglestep::third(Integrand::Noise, 2.0 / 3.0, 0.5).is_err());
    assert!(DpmSolverSinglestep::third(Integrand::Noise, 0.5, 0.5).is_err());
}

/// Levels that are equal but for rounding are no history to extrapolate from.
#[test]
fn levels_that_nearly_repeat_do_no_harm() {
    let level = |sigma: f64| Kernel::variance_exploding(sigma).unwrap();
    let mixture = Mixture::two_modes();
    for gap in [2e-16, 1e-13, 1e-10] {
        let grid = Grid::new(
            [2.0, 1.0, 1.0 - gap, 0.9, 0.9 - gap, 0.5]
                .map(level)
                .to_vec(),
        )
        .unwrap();
        for (name, stepper) in everything() {
            let mut noise = common::streams(1, 0..3);
            let x = sample(
                &grid,
                stepper,
                &mut mixture.model(),
                &mut noise,
                array![-1.0, 0.0, 2.0],
            );
            assert!(x.iter().all(|v| v.abs() < 10.0), "{name}, gap {gap}: {x}");
        }
    }
}
