//! Silence by behaviour on a live network, and how well cheaper readings tell the order of what units learn alone.
#![cfg(feature = "tch")]

use learnability::{
    curvature::tangent_kernel,
    gradient::{Snapshot, unit_gradients, unit_grams},
    gram::Gram,
    interval::Confidence,
    silence::is_silent,
    solo::{Protocol, Run, SoloLearnability, Trained, rank_correlation},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

const WIDTH: i64 = 8;
/// Factor on the branch of each residual block; the last one is cut off.
const GATES: [f64; 6] = [1.0, 0.3, 0.1, 0.03, 0.01, 0.0];
const CUT_OFF: usize = 6;
const UNITS: usize = GATES.len() + 2;
const MICRO_BATCHES: usize = 16;
const STEPS: usize = 60;
const REPEATS: usize = 3;

type Units = Vec<(String, Vec<Tensor>)>;

/// h = x W; h += g_k tanh(h W_k) V_k for each gate; result h w. Units: the read-in, the blocks, the read-out.
struct Tower {
    units: Units,
    /// Training points, then fresh ones.
    points: [(Tensor, Tensor); 2],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Optimiser {
    Sgd,
    Adam,
}

fn uniform(rows: i64, columns: i64, scale: f64, rng: &mut ChaCha8Rng) -> Tensor {
    let draws: Vec<f64> = (0..rows * columns)
        .map(|_| scale * rng.random_range(-1.0..1.0))
        .collect();
    Tensor::from_slice(&draws).reshape([rows, columns])
}

impl Tower {
    fn drawn(repeat: usize) -> Tower {
        let mut rng = ChaCha8Rng::seed_from_u64(repeat as u64);
        let mut matrix = |inputs: i64, outputs: i64| {
            let scale = (3.0 / inputs as f64).sqrt();
            uniform(inputs, outputs, scale, &mut rng).set_requires_grad(true)
        };
        let mut units = vec![("read_in".to_owned(), vec![matrix(2, WIDTH)])];
        for gate in GATES {
            let block = vec![matrix(WIDTH, WIDTH), matrix(WIDTH, WIDTH)];
            units.push((format!("gate {gate}"), block));
        }
        units.push(("read_out".to_owned(), vec![matrix(WIDTH, 1)]));
        let points = [128, 256].map(|n| {
            let x = uniform(n, 2, 1.0, &mut rng);
            let y = (x.narrow(1, 0, 1) * 3.0).sin() + x.narrow(1, 1, 1).square();
            (x, y)
        });
        Tower { units, points }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let first = x.matmul(&self.units[0].1[0]);
        let blocks = GATES.iter().zip(&self.units[1..]);
        let last = blocks.fold(first, |h, (gate, (_, block))| {
            let branch = h.matmul(&block[0]).tanh().matmul(&block[1]);
            h + branch * *gate
        });
        last.matmul(&self.units[UNITS - 1].1[0])
    }

    /// Of so many of the points, from the first on.
    fn loss(&self, points: &(Tensor, Tensor), first: i64, rows: i64) -> Tensor {
        let [x, y] = [&points.0, &points.1].map(|t| t.narrow(0, first, rows));
        (self.forward(&x) - y).square().mean(Kind::Double)
    }

    /// The loss on fresh points after [`STEPS`] of training on all others.
    fn trained(run: Run, optimiser: Optimiser) -> f64 {
        let tower = Tower::drawn(run.repeat);
        let units = match run.trained {
            Trained::Nothing => &tower.units[..0],
            Trained::Only(unit) => &tower.units[unit..=unit],
            Trained::All => &tower.units[..],
        };
        let parameters: Vec<&Tensor> = units.iter().flat_map(|(_, p)| p).collect();
        let mut moments: Vec<[Tensor; 2]> = parameters
            .iter()
            .map(|p| [p.detach().zeros_like(), p.detach().zeros_like()])
            .collect();
        let steps = if parameters.is_empty() { 0 } else { STEPS };
        for step in 1..=steps {
            let loss = tower.loss(&tower.points[0], 0, 128);
            let gradients = Tensor::run_backward(&[loss], &parameters, false, false);
            let _guard = tch::no_grad_guard();
            for ((parameter, gradient), [mean, square]) in
                parameters.iter().zip(gradients).zip(&mut moments)
            {
                let change = match optimiser {
                    Optimiser::Sgd => gradient,
                    Optimiser::Adam => {
                        *mean = &*mean * 0.9 + &gradient * 0.1;
                        *square = &*square * 0.999 + gradient.square() * 0.001;
                        let unbiased = |beta: f64| 1.0 - beta.powi(step as i32);
                        let root = (&*square / unbiased(0.999)).sqrt() + 1e-8;
                        &*mean / unbiased(0.9) / root
                    }
                };
                let _ = parameter.shallow_clone().g_sub_(&(change * run.rate));
            }
        }
        tower.loss(&tower.points[1], 0, 256).double_value(&[])
    }

    /// The gradients of micro-batches of the training points, unit by unit.
    fn grams(&self) -> Vec<Gram> {
        let rows = 128 / MICRO_BATCHES as i64;
        let mut loss = |i: usize| self.loss(&self.points[0], i as i64 * rows, rows);
        unit_grams(&mut loss, MICRO_BATCHES, &self.units)
    }
}

fn solo(optimiser: Optimiser) -> Vec<SoloLearnability> {
    // Threads would cost more than they save.
    tch::set_num_threads(1);
    let rates = match optimiser {
        Optimiser::Sgd => vec![1e-3, 0.03, 0.3],
        Optimiser::Adam => vec![1e-4, 1e-3, 1e-2],
    };
    let protocol = Protocol::new(UNITS, rates, REPEATS).unwrap();
    let confidence = Confidence::new(0.95).unwrap();
    protocol.run(confidence, |run| Tower::trained(run, optimiser))
}

#[test]
fn a_unit_that_is_cut_off_is_silent_by_all_three_definitions() {
    let units = solo(Optimiser::Sgd);
    let cut_off = &units[CUT_OFF];
    assert!(cut_off.is_silent());
    // Nothing that it does reaches the output, to the last bit.
    assert_eq!(cut_off.repeats, [Some(0.0); REPEATS]);
    for unit in [0, 1, UNITS - 1] {
        let mean = units[unit].mean.unwrap();
        assert!(
            !units[unit].is_silent() && 0.1 < mean.low,
            "{unit}: {mean:?}"
        );
    }

    let tower = Tower::drawn(0);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let p: Vec<f64> = tower
        .grams()
        .iter()
        .map(|gram| gram.sign_flip(999, &mut rng).p)
        .collect();
    assert_eq!(p[CUT_OFF], 1.0);
    assert!(p[1] < 0.05, "{p:?}");

    let before = Snapshot::of(&tower.units);
    let loss = tower.loss(&tower.points[0], 0, 128);
    let parameters: Vec<&Tensor> = tower.units.iter().flat_map(|(_, p)| p).collect();
    let gradients = Tensor::run_backward(&[loss], &parameters, false, false);
    {
        let _guard = tch::no_grad_guard();
        for (parameter, gradient) in parameters.iter().zip(gradients) {
            let _ = parameter.shallow_clone().g_sub_(&(gradient * 0.03));
        }
    }
    let absorbed = before.absorbed(&tower.units);
    assert!(
        is_silent(absorbed[CUT_OFF]) && !is_silent(absorbed[1]),
        "{absorbed:?}"
    );
}

/// Spearman's correlation with what the units learn alone, mean over repeats, of each cheaper reading.
fn calibration(units: &[SoloLearnability]) -> Vec<(&'static str, f64)> {
    const READINGS: [&str; 5] = ["|g|", "|g|/|w|", "|w||g|", "|w|² tr K", "GSNR"];
    let mut sums = [0.0; READINGS.len()];
    for repeat in 0..REPEATS {
        let learned: Vec<f64> = units.iter().map(|u| u.repeats[repeat].unwrap()).collect();
        let tower = Tower::drawn(repeat);
        let points = &tower.points[0];
        let gradients = unit_gradients(&tower.loss(points, 0, 128), &tower.units);
        let outputs = tower.forward(&points.0.narrow(0, 0, 16));
        let kernel = tangent_kernel(&outputs, &tower.units);
        let gsnr = |gram: &Gram| gram.moments().unwrap().gsnr().unwrap_or(0.0).max(0.0);
        let readings: [Vec<f64>; READINGS.len()] = [
            gradients.iter().map(|g| g.norm).collect(),
            gradients.iter().map(|g| g.relative().unwrap()).collect(),
            gradients.iter().map(|g| g.scale_free()).collect(),
            gradients
                .iter()
                .zip(&kernel)
                .map(|(g, k)| g.weight_norm.powi(2) * k.trace())
                .collect(),
            tower.grams().iter().map(gsnr).collect(),
        ];
        for (sum, reading) in sums.iter_mut().zip(&readings) {
            *sum += rank_correlation(reading, &learned).unwrap() / REPEATS as f64;
        }
    }
    READINGS.into_iter().zip(sums).collect()
}

/// The table in the documentation of `solo`.
#[test]
fn cheaper_readings_are_held_against_what_units_learn_alone() {
    for (optimiser, expected) in [
        (Optimiser::Sgd, [0.87, 0.86, 0.98, 0.97, 0.24]),
        (Optimiser::Adam, [0.70, 0.67, 0.91, 0.92, 0.22]),
    ] {
        let found = calibration(&solo(optimiser));
        let near = |(found, expected): (&(&str, f64), f64)| (found.1 - expected).abs() < 0.06;
        assert!(
            found.iter().zip(expected).all(near),
            "{optimiser:?}: {found:.2?}"
        );
    }
}
