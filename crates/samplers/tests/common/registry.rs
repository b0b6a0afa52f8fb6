//! Every fixed-step stepper of the crate, for the table of orders: a new stepper gets its line here.

use ndarray::Array1;
use noise_schedule::{Kernel, VpLinear};

use samplers::{
    AdamsBashforth, Ancestral, Churn, ChurnLevels, ConsistencySampling, Ddim, Deis, DeisInTime,
    Dpm2, DpmSolverMultistep, DpmSolverSde, DpmSolverSinglestep, EulerMaruyama, HalfLogSnr, Heun,
    Integrand, NoiseToSignal, Renewed, ReverseDiffusion, RungeKutta, SaSolver, SecondOrder,
    SoleDifference, Start, Stepper, Tableau, Tau, Time, UniPc,
};

type State = Array1<f64>;
type Boxed = Box<dyn Stepper<State>>;
type History = Vec<(Kernel, State)>;

/// A method, and how to make a stepper of it.
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) make: Make,
}

/// What a stepper is made from.
pub(crate) enum Make {
    /// Nothing; it remembers nothing.
    Single(Box<dyn Fn() -> Boxed>),
    /// The start, and the values of this integrand at the levels before.
    Multistep(Integrand, Box<dyn Fn(Start, History) -> Boxed>),
    /// The number of steps; it adds noise.
    Noisy(Box<dyn Fn(usize) -> Boxed>),
}

impl Method {
    /// The stepper at the start of a trajectory.
    pub(crate) fn fresh(&self, steps: usize) -> Boxed {
        match &self.make {
            Make::Single(make) => make(),
            Make::Multistep(_, make) => make(Start::Full, History::new()),
            Make::Noisy(make) => make(steps),
        }
    }
}

fn single<S: Stepper<State> + Clone + 'static>(name: &str, stepper: S) -> Method {
    let make = Make::Single(Box::new(move || Box::new(stepper.clone())));
    Method {
        name: name.to_string(),
        make,
    }
}

fn noisy<S: Stepper<State> + Clone + 'static>(name: &str, stepper: S) -> Method {
    let make = Make::Noisy(Box::new(move |_| Box::new(stepper.clone())));
    Method {
        name: name.to_string(),
        make,
    }
}

fn multistep<S: Stepper<State> + 'static>(
    name: String,
    integrand: Integrand,
    make: impl Fn(Start, History) -> S + 'static,
) -> Method {
    let make = Make::Multistep(
        integrand,
        Box::new(move |start, history| Box::new(make(start, history))),
    );
    Method { name, make }
}

const FORMS: [(Integrand, &str); 2] = [(Integrand::Denoised, "D"), (Integrand::Noise, "eps")];

/// Those without noise.
pub(crate) fn deterministic() -> Vec<Method> {
    let kutta = [
        ("Euler", Tableau::euler()),
        ("midpoint", Tableau::midpoint()),
        ("Heun", Tableau::heun()),
        ("Ralston", Tableau::second(2.0 / 3.0).unwrap()),
        ("Kutta", Tableau::kutta()),
        ("classical", Tableau::classical()),
        ("three eighths", Tableau::three_eighths()),
    ];
    let mut all = vec![
        single("Ddim", Ddim),
        single("Ancestral, eta 0", Ancestral::new(0.0).unwrap()),
        single(
            "ConsistencySampling, gamma 0",
            ConsistencySampling::new(0.0).unwrap(),
        ),
        single(
            "ReverseDiffusion, eta 0",
            ReverseDiffusion::new(0.0).unwrap(),
        ),
        single(
            "EulerMaruyama, eta 0",
            EulerMaruyama::new(VpLinear::song2021(), 0.0).unwrap(),
        ),
        single("Heun", Heun),
        single("Dpm2", Dpm2),
    ];
    for (name, tableau) in kutta {
        let named = |axis: &str| format!("RungeKutta, {name} in {axis}");
        all.push(single(
            &named("sigma/alpha"),
            RungeKutta::new(tableau.clone(), NoiseToSignal),
        ));
        all.push(single(
            &named("lambda"),
            RungeKutta::new(tableau.clone(), HalfLogSnr),
        ));
        all.push(single(
            &named("time"),
            RungeKutta::new(tableau, Time(VpLinear::song2021())),
        ));
    }
    for order in 1..=4 {
        all.push(multistep(
            format!("AdamsBashforth {order}"),
            Integrand::Noise,
            move |start, history| {
                AdamsBashforth::new(order)
                    .unwrap()
                    .with_start(start)
                    .with_history(history)
            },
        ));
    }
    for (integrand, form) in FORMS {
        for order in 1..=3 {
            for second in [SecondOrder::Midpoint, SecondOrder::Heun] {
                if order != 2 && second == SecondOrder::Heun {
                    continue; // They differ at order 2 alone.
                }
                let suffix = if order == 2 {
                    format!(", {second:?}")
                } else {
                    String::new()
                };
                let name = format!("DpmSolverMultistep {order}, {form}{suffix}");
                all.push(multistep(name, integrand, move |start, history| {
                    let solver = DpmSolverMultistep::new(integrand, order).unwrap();
                    solver
                        .with_second_order(second)
                        .with_start(start)
                        .with_history(history)
                }));
            }
        }
        let two = DpmSolverSinglestep::second(integrand, 0.5, SecondOrder::Midpoint).unwrap();
        all.push(single(&format!("DpmSolverSinglestep 2, {form}"), two));
        let three = DpmSolverSinglestep::third(integrand, 1.0 / 3.0, 2.0 / 3.0).unwrap();
        all.push(single(&format!("DpmSolverSinglestep 3, {form}"), three));
    }
    all.push(single(
        "DpmSolverSde, eta 0",
        DpmSolverSde::new(0.0, 0.5).unwrap(),
    ));
    for (integrand, form) in FORMS {
        for order in 1..=3 {
            for sole in [
                SoleDifference::Bh1,
                SoleDifference::Bh2,
                SoleDifference::Exact,
            ] {
                let name = format!("UniPc {order}, {form}, {sole:?}");
                all.push(multistep(name, integrand, move |start, history| {
                    let solver = UniPc::new(integrand, order)
                        .unwrap()
                        .with_sole_difference(sole);
                    solver.with_start(start).with_history(history)
                }));
            }
        }
        for order in 1..=4 {
            all.push(multistep(
                format!("UniPc {order}, {form}, no corrector"),
                integrand,
                move |start, history| {
                    let solver = UniPc::new(integrand, order).unwrap().without_corrector();
                    solver.with_start(start).with_history(history)
                },
            ));
        }
        for (predictor, corrector) in [(1, 2), (2, 2), (3, 3), (3, 4)] {
            let name = format!("SaSolver {predictor} corrected by {corrector}, {form}, tau 0");
            all.push(multistep(name, integrand, move |start, history| {
                let solver =
                    SaSolver::new(integrand, predictor, Tau::constant(0.0).unwrap()).unwrap();
                solver
                    .with_corrector(corrector)
                    .unwrap()
                    .with_start(start)
                    .with_history(history)
            }));
        }
    }
    for order in 1..=4 {
        all.push(multistep(
            format!("Deis {order}"),
            Integrand::Noise,
            move |start, history| {
                Deis::new(order)
                    .unwrap()
                    .with_start(start)
                    .with_history(history)
            },
        ));
        all.push(multistep(
            format!("DeisInTime {order}"),
            Integrand::Noise,
            move |start, history| {
                let solver = DeisInTime::new(VpLinear::song2021(), order).unwrap();
                solver.with_start(start).with_history(history)
            },
        ));
    }
    all
}

/// Those with noise.
pub(crate) fn stochastic() -> Vec<Method> {
    let mut all = vec![
        noisy("Ancestral, eta 0.5", Ancestral::new(0.5).unwrap()),
        noisy("Ancestral, eta 1", Ancestral::new(1.0).unwrap()),
        noisy("Ancestral, fixed large", Ancestral::fixed_large()),
        noisy(
            "ReverseDiffusion, eta 1",
            ReverseDiffusion::new(1.0).unwrap(),
        ),
        noisy(
            "EulerMaruyama, eta 1",
            EulerMaruyama::new(VpLinear::song2021(), 1.0).unwrap(),
        ),
        noisy("Renewed Heun, eta 1", Renewed::new(Heun, 1.0).unwrap()),
        noisy("Renewed Dpm2, eta 1", Renewed::new(Dpm2, 1.0).unwrap()),
        noisy(
            "DpmSolverSde, eta 0.5",
            DpmSolverSde::new(0.5, 0.5).unwrap(),
        ),
        noisy("DpmSolverSde, eta 1", DpmSolverSde::new(1.0, 0.5).unwrap()),
    ];
    let churn = Make::Noisy(Box::new(|steps| {
        let levels = ChurnLevels {
            s_churn: 2.0,
            s_tmin: 0.0,
            s_tmax: f64::INFINITY,
            s_noise: 1.0,
            steps,
        };
        Box::new(Churn::new(Heun, levels).unwrap())
    }));
    all.push(Method {
        name: "Churn Heun, s_churn 2".to_string(),
        make: churn,
    });
    for (integrand, form) in FORMS {
        for order in 1..=3 {
            let solver = DpmSolverMultistep::new(integrand, order)
                .unwrap()
                .with_eta(1.0)
                .unwrap();
            all.push(noisy(
                &format!("DpmSolverMultistep {order}, {form}, eta 1"),
                solver,
            ));
        }
        let solver =
            |predictor| SaSolver::new(integrand, predictor, Tau::constant(1.0).unwrap()).unwrap();
        for predictor in 1..=3 {
            all.push(noisy(
                &format!("SaSolver {predictor}, {form}, tau 1"),
                solver(predictor),
            ));
        }
        for (predictor, corrector) in [(1, 2), (2, 2), (3, 3)] {
            let name = format!("SaSolver {predictor} corrected by {corrector}, {form}, tau 1");
            all.push(noisy(
                &name,
                solver(predictor).with_corrector(corrector).unwrap(),
            ));
        }
    }
    all
}
