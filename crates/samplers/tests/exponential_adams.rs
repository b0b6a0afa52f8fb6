//! UniPC, DEIS and SA-Solver: what they are to each other and to DPM-Solver, and their laws. Their orders are in `orders.rs`.

mod common;

use ndarray::{Array1, Array2, Axis, array};
use noise_schedule::{Grid, Kernel, Path, Rectified, VpLinear};

use common::Mixture;
use samplers::compat::diffusers::prepare;
use samplers::compat::{Options, Value};
use samplers::{
    AdamsBashforth, Ancestral, Counted, Ddim, Deis, DeisInTime, DpmSolverMultistep, Integrand,
    SaSolver, SecondOrder, Silent, SoleDifference, Start, Stepper, Tau, UniPc, sample,
};

type State = Array1<f64>;

const INTEGRANDS: [Integrand; 2] = [Integrand::Denoised, Integrand::Noise];

fn unipc(integrand: Integrand, order: u32) -> UniPc<State> {
    UniPc::new(integrand, order).unwrap()
}

fn sa_solver(integrand: Integrand, predictor: u32, tau: f64) -> SaSolver<State> {
    SaSolver::new(integrand, predictor, Tau::constant(tau).unwrap()).unwrap()
}

/// Along an uneven grid that ends in clean data, with the noise of a seed.
fn run(stepper: impl Stepper<State>) -> State {
    let grid = Grid::karras(0.02, 20.0, 5.0, 9).unwrap().then_clean();
    let mixture = Mixture::two_modes();
    let x = array![-19.0, 3.0, 14.0];
    sample(
        &grid,
        stepper,
        &mut mixture.model(),
        &mut common::streams(3, 0..3),
        x,
    )
}

fn agree(name: &str, a: impl Stepper<State>, b: impl Stepper<State>) {
    let (a, b) = (run(a), run(b));
    assert!((&a - &b).iter().all(|d| d.abs() < 1e-9), "{name}: {a} {b}");
}

#[test]
fn without_a_corrector_they_are_dpm_solver() {
    let dpm = |integrand, order, second| {
        DpmSolverMultistep::new(integrand, order)
            .unwrap()
            .with_second_order(second)
    };
    for integrand in INTEGRANDS {
        for order in 1..=3 {
            let exact = unipc(integrand, order).with_sole_difference(SoleDifference::Exact);
            agree(
                "UniP",
                exact.without_corrector(),
                dpm(integrand, order, SecondOrder::Heun),
            );
            for tau in [0.5, 1.0] {
                let eta = tau * tau;
                let noisy = dpm(integrand, order, SecondOrder::Heun)
                    .with_eta(eta)
                    .unwrap();
                agree("SA-Solver", sa_solver(integrand, order, tau), noisy);
            }
        }
        let two = unipc(integrand, 2).without_corrector();
        agree("UniP-2, bh2", two, dpm(integrand, 2, SecondOrder::Midpoint));
    }
    for order in 1..=3 {
        agree(
            "DEIS",
            Deis::new(order).unwrap(),
            dpm(Integrand::Noise, order, SecondOrder::Heun),
        );
    }
    agree(
        "SA-Solver 1",
        sa_solver(Integrand::Denoised, 1, 1.0),
        Ancestral::new(1.0).unwrap(),
    );
}

#[test]
fn without_noise_sa_solver_is_unipc() {
    for integrand in INTEGRANDS {
        for order in 1..=3 {
            let exact = unipc(integrand, order).with_sole_difference(SoleDifference::Exact);
            agree(
                "corrected",
                sa_solver(integrand, order, 0.0)
                    .with_corrector(order + 1)
                    .unwrap(),
                exact,
            );
        }
    }
}

/// In t of a schedule whose λ is linear in t, the two forms of DEIS are one.
#[test]
fn deis_in_a_time_that_is_ln_rho_is_deis() {
    struct LogRho;
    impl noise_schedule::NoiseSchedule for LogRho {
        fn kernel(&self, t: f64) -> Kernel {
            Kernel::variance_exploding((10.0 * t - 5.0).exp()).unwrap()
        }
        fn rates(&self, _t: f64) -> noise_schedule::Rates {
            unreachable!("no weight needs them")
        }
        fn time_at(&self, log_snr: f64) -> f64 {
            (5.0 - 0.5 * log_snr) / 10.0
        }
    }
    for order in 1..=4 {
        agree(
            "in time",
            DeisInTime::new(LogRho, order).unwrap(),
            Deis::new(order).unwrap(),
        );
    }
}

/// The compatible schedulers have the same formulas, but for the precision of their coefficients.
#[test]
fn the_published_schedulers_are_these_with_a_rising_start() {
    let text = |value: &str| Value::Text(value.to_string());
    let options = |class: &str, order: u32, more: &[(&str, Value)]| {
        let common = [
            ("solver_order", Value::Number(f64::from(order))),
            ("lower_order_final", Value::Bool(false)),
        ];
        let all = common
            .iter()
            .chain(more)
            .map(|(name, value)| (name.to_string(), value.clone()));
        prepare::<Array2<f64>>(
            class,
            Options::new(class, all),
            12,
            Options::new("step", []),
        )
        .unwrap()
    };
    let end = ("final_sigmas_type", text("sigma_min"));
    let mixture = Mixture::two_modes();
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    for order in 1..=4 {
        let mut pairs: Vec<(_, Box<dyn Stepper<Array2<f64>>>)> = vec![];
        for (integrand, data) in [(Integrand::Denoised, true), (Integrand::Noise, false)] {
            for (sole, name) in [(SoleDifference::Bh1, "bh1"), (SoleDifference::Bh2, "bh2")] {
                let more = [
                    end.clone(),
                    ("predict_x0", Value::Bool(data)),
                    ("solver_type", text(name)),
                ];
                let solver = UniPc::new(integrand, order)
                    .unwrap()
                    .with_sole_difference(sole);
                let prepared = options("UniPCMultistepScheduler", order, &more);
                pairs.push((prepared, Box::new(solver.with_start(Start::Rising))));
            }
        }
        if order < 4 {
            let solver = Deis::new(order).unwrap().with_start(Start::Rising);
            pairs.push((
                options("DEISMultistepScheduler", order, &[]),
                Box::new(solver),
            ));
        }
        for (prepared, mut solver) in pairs {
            let x = array![[-1.2], [0.1], [0.8]];
            let theirs = prepared.run(&mut model, &mut Silent, x.clone());
            let ours = prepared.steps.iter().fold(x, |x, &(from, to)| {
                solver.step(&mut model, &mut Silent, &x, from, to)
            });
            let worst = (&theirs - &ours).fold(0.0, |worst: f64, d| worst.max(d.abs()));
            // Their coefficients of high order are what single precision leaves of differences.
            assert!(
                worst < if order < 4 { 1e-4 } else { 2e-3 },
                "order {order}: {} {}",
                theirs.index_axis(Axis(1), 0),
                ours.index_axis(Axis(1), 0)
            );
        }
    }
}

fn everything() -> Vec<(String, Box<dyn Stepper<State>>)> {
    let mut all: Vec<(String, Box<dyn Stepper<State>>)> = vec![];
    for integrand in INTEGRANDS {
        for order in 1..=4 {
            all.push((
                format!("UniPC-{order} {integrand:?}"),
                Box::new(unipc(integrand, order)),
            ));
            let alone = unipc(integrand, order).without_corrector();
            all.push((format!("UniP-{order} {integrand:?}"), Box::new(alone)));
        }
        let noisy = sa_solver(integrand, 3, 1.0).with_corrector(3).unwrap();
        all.push((format!("SA-Solver {integrand:?}"), Box::new(noisy)));
    }
    for order in 1..=4 {
        all.push((format!("DEIS-{order}"), Box::new(Deis::new(order).unwrap())));
        let timed = DeisInTime::new(VpLinear::song2021(), order).unwrap();
        all.push((format!("DEIS-{order} in time"), Box::new(timed)));
    }
    all
}

#[test]
fn every_path_is_walked_in_finite_numbers() {
    let vp = Grid::uniform_time(&VpLinear::song2021(), 1.0, 0.0, 9).unwrap();
    let flow = Grid::uniform_time(&Rectified, 1.0, 0.0, 9).unwrap();
    let single = Grid::karras(0.02, 80.0, 7.0, 1).unwrap().then_clean();
    let mixture = Mixture::two_modes();
    for grid in [vp, flow, single] {
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
        }
    }
}

/// A change of scale between two steps changes nothing else, the pending correction included.
#[test]
fn scales_do_not_matter() {
    let grid = Grid::karras(0.1, 10.0, 7.0, 8).unwrap();
    let mixture = Mixture::two_modes();
    let scales = [1.0, 0.3, 2.0, 0.5, 4.0, 1.5, 0.2];
    for (name, mut plain) in everything() {
        let (_, mut scaled) = everything()
            .into_iter()
            .find(|(other, _)| *other == name)
            .unwrap();
        let rescaled = |k: Kernel, by: f64| Kernel::new(k.alpha() * by, k.sigma() * by).unwrap();
        let draws = [0.3, -1.0, 0.7, 1.1, -0.2, 0.4, -0.9];
        let (mut x, mut y) = (array![4.0, -7.0], array![4.0, -7.0]);
        for (i, (from, to)) in grid.steps().enumerate() {
            let mut noise = |_: &State, _: Kernel, _: Kernel| Array1::from_elem(2, draws[i]);
            let (from_y, to_y) = (rescaled(from, scales[i]), rescaled(to, scales[i]));
            y = scaled.step(&mut mixture.model(), &mut noise, &y, from, from_y);
            y = scaled.step(&mut mixture.model(), &mut noise, &y, from_y, to_y);
            y = scaled.step(&mut mixture.model(), &mut noise, &y, to_y, to);
            x = plain.step(&mut mixture.model(), &mut noise, &x, from, to);
        }
        assert!((&x - &y).iter().all(|d| d.abs() < 1e-9), "{name}: {x} {y}");
    }
}

/// Up and down the same levels: the flow is its own inverse, to the order of the method.
#[test]
fn inversion_undoes_sampling() {
    let mixture = Mixture::two_modes();
    let x = array![-1.4, 0.2, 1.7];
    let round_trip = |order, steps| {
        let down = Grid::uniform_log_snr(&VpLinear::song2021(), 0.9, 0.05, steps).unwrap();
        let mut stepper = unipc(Integrand::Denoised, order);
        let up = Path::from(down.clone()).reversed();
        let walk = up
            .steps()
            .chain(down.steps())
            .fold(x.clone(), |x, (from, to)| {
                stepper.step(&mut mixture.model(), &mut Silent, &x, from, to)
            });
        (&walk - &x).fold(0.0, |worst: f64, d| worst.max(d.abs()))
    };
    for order in 1..=2 {
        let slope = (round_trip(order, 200) / round_trip(order, 400)).log2();
        assert!(
            f64::from(order) + 0.7 < slope,
            "order {order}: slope {slope}"
        );
    }
}

#[test]
fn evaluations_are_as_documented() {
    let mixture = Mixture::two_modes();
    let grid = Grid::karras(0.002, 80.0, 7.0, 10).unwrap().then_clean();
    for (name, stepper) in everything() {
        let more = match name.split(' ').next().unwrap() {
            "UniP-3" | "DEIS-3" => 1,
            "UniPC-3" | "UniPC-4" => 2,
            "UniP-4" | "DEIS-4" => 4,
            _ => 0,
        };
        let mut model = Counted::new(mixture.model());
        sample(
            &grid,
            stepper,
            &mut model,
            &mut common::streams(2, 0..1),
            array![50.0],
        );
        assert_eq!(model.evaluations(), 10 + more, "{name}");
    }
}

#[test]
fn arguments_are_checked() {
    for order in [0, 5] {
        assert!(UniPc::<State>::new(Integrand::Noise, order).is_err());
        assert!(Deis::<State>::new(order).is_err());
        assert!(DeisInTime::<_, State>::new(Rectified, order).is_err());
        assert!(
            SaSolver::<State>::new(Integrand::Noise, order, Tau::constant(1.0).unwrap()).is_err()
        );
        assert!(
            sa_solver(Integrand::Noise, 1, 1.0)
                .with_corrector(order)
                .is_err()
        );
    }
    for (value, least, most) in [
        (-1.0, 0.0, 1.0),
        (f64::NAN, 0.0, 1.0),
        (1.0, 2.0, 1.0),
        (1.0, -1.0, 1.0),
    ] {
        assert!(Tau::within(value, least, most).is_err());
    }
    let tau = Tau::within(0.7, 0.5, 2.0).unwrap();
    let at = |sigma| tau.at(Kernel::variance_exploding(sigma).unwrap());
    assert_eq!([at(0.4), at(0.5), at(2.0), at(2.1)], [0.0, 0.7, 0.7, 0.0]);
}

/// Levels that are one but for rounding are no memory to extrapolate from.
#[test]
fn levels_that_nearly_repeat_do_no_harm() {
    let vp = VpLinear::song2021();
    let exploding = |sigma| Kernel::variance_exploding(sigma).unwrap();
    for near in [2e-16, 1e-13, 1e-8] {
        let levels = [1.0, 1.0 - near, 0.7, 0.7 - near, 0.5].map(exploding);
        let grid = Grid::new(levels.to_vec()).unwrap();
        let mut steppers: Vec<Box<dyn Stepper<State>>> = vec![
            Box::new(AdamsBashforth::new(4).unwrap()),
            Box::new(Deis::new(4).unwrap()),
            Box::new(DeisInTime::new(vp, 4).unwrap()),
        ];
        for integrand in INTEGRANDS {
            for order in 2..=4 {
                let rising = unipc(integrand, order).with_start(Start::Rising);
                steppers.push(Box::new(unipc(integrand, order)));
                steppers.push(Box::new(rising));
            }
        }
        let (mixture, x) = (Mixture::two_modes(), array![-1.4, 0.3, 1.9]);
        let model = || mixture.model();
        let close = sample(&grid, Ddim, &mut model(), &mut Silent, x.clone());
        for stepper in steppers {
            let found = sample(&grid, stepper, &mut model(), &mut Silent, x.clone());
            assert!(
                (&found - &close).iter().all(|d| d.abs() < 0.5),
                "{near}: {found} {close}"
            );
        }
    }
}
