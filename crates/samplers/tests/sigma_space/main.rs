//! The steppers of sigma-space: their orders, and what they are to each other.

#[path = "../common/mod.rs"]
mod common;
mod laws;
mod orders;

use ndarray::Array1;
use noise_schedule::{Grid, Kernel, Rectified, SubVp, VpLinear};

use common::Named;
use samplers::{
    AdamsBashforth, Churn, ChurnLevels, Dpm2, HalfLogSnr, Heun, NoiseToSignal, Renewed, RungeKutta,
    Stepper, Tableau, Time,
};

/// Every deterministic stepper of this file, with its evaluations along 12 steps of which the last is to sigma = 0.
fn deterministic() -> Vec<(Named, usize)> {
    fn rk<A: samplers::Axis + 'static>(tableau: Tableau, axis: A) -> Box<dyn Stepper<Array1<f64>>> {
        Box::new(RungeKutta::new(tableau, axis))
    }
    let adams = |order| Box::new(AdamsBashforth::new(order).unwrap());
    let second = |alpha| Tableau::second(alpha).unwrap();
    vec![
        (("Dpm2", Box::new(Dpm2)), 23),
        (("Adams-Bashforth 1", adams(1)), 12),
        (("Adams-Bashforth 2", adams(2)), 12),
        (("Adams-Bashforth 3", adams(3)), 13),
        (("Adams-Bashforth 4", adams(4)), 16),
        (("Euler in r", rk(Tableau::euler(), NoiseToSignal)), 12),
        (
            ("midpoint in r", rk(Tableau::midpoint(), NoiseToSignal)),
            23,
        ),
        (("Kutta in r", rk(Tableau::kutta(), NoiseToSignal)), 34),
        (
            ("classical in r", rk(Tableau::classical(), NoiseToSignal)),
            45,
        ),
        (("Heun in lambda", rk(Tableau::heun(), HalfLogSnr)), 23),
        (("Ralston in lambda", rk(second(2.0 / 3.0), HalfLogSnr)), 23),
        (
            ("classical in lambda", rk(Tableau::classical(), HalfLogSnr)),
            45,
        ),
        (
            (
                "three eighths in lambda",
                rk(Tableau::three_eighths(), HalfLogSnr),
            ),
            45,
        ),
        (
            (
                "Euler in time",
                rk(Tableau::euler(), Time(VpLinear::song2021())),
            ),
            12,
        ),
        (
            (
                "Heun in time",
                rk(Tableau::heun(), Time(VpLinear::song2021())),
            ),
            23,
        ),
        (
            (
                "midpoint in flow time",
                rk(Tableau::midpoint(), Time(Rectified)),
            ),
            23,
        ),
        (
            (
                "classical in flow time",
                rk(Tableau::classical(), Time(Rectified)),
            ),
            45,
        ),
    ]
}

/// Those that add noise, and those without.
fn all() -> Vec<Named> {
    let stochastic: [Named; 3] = [
        ("Churn", Box::new(churned(Heun, 5.0))),
        ("Renewed", Box::new(Renewed::new(Dpm2, 1.0).unwrap())),
        (
            "half renewed",
            Box::new(Renewed::new(AdamsBashforth::new(2).unwrap(), 0.5).unwrap()),
        ),
    ];
    deterministic()
        .into_iter()
        .map(|(named, _)| named)
        .chain(stochastic)
        .collect()
}

fn churned<S>(inner: S, s_churn: f64) -> Churn<S> {
    let levels = ChurnLevels {
        s_churn,
        s_tmin: 0.1,
        s_tmax: 20.0,
        s_noise: 1.0,
        steps: 12,
    };
    Churn::new(inner, levels).unwrap()
}

/// Steps even in log-SNR and in time, VP, sub-VP and VE; and long and short steps in turn.
fn grid(kind: usize, steps: usize) -> Grid {
    let (vp, sub) = (VpLinear::song2021(), SubVp::song2021());
    match kind {
        0 => Grid::uniform_log_snr(&vp, 0.8, 0.1, steps),
        1 => Grid::uniform_time(&sub, 0.8, 0.2, steps),
        2 => Grid::karras(0.1, 8.0, 7.0, steps + 1),
        _ => {
            let level = |i: usize| {
                let place = (i as f64 + 0.3 * (i % 2) as f64) / steps as f64;
                Kernel::variance_preserving(-3.0 + 6.0 * place)
            };
            Grid::new((0..=steps).map(level).collect())
        }
    }
    .unwrap()
}

fn distance(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    (a - b).fold(0.0, |worst: f64, v| worst.max(v.abs()))
}
