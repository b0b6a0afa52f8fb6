//! Rows without networks: exact scores, and what a solver itself costs.

use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use ndarray::{Array1, Array2, Array4, ArrayD, s};
use samplers::{
    Call, Prepared as Plan, Silent,
    compat::{Options, diffusers},
};
use score_objective::exact::{ExactScore, GaussianMixture};

use super::{Arithmetic, Numbers, Prepared, inputs};

/// Numbers of a row that are compared: enough to tell one computation from another.
const COMPARED: usize = 256;

/// Equal weights, means and points from N(0, 2² I), components of variance 1 once noise is added.
pub(super) fn score(components: usize, dim: usize, n: usize, numbers: Numbers) -> Prepared {
    let normal = |stream, rows| {
        let values = inputs::normals(stream, rows * dim)
            .into_iter()
            .map(|v| 2.0 * v);
        Array2::from_shape_vec((rows, dim), values.collect()).expect("as many as there are")
    };
    let weights = Array1::from_elem(components, 1.0 / components as f64);
    let mixture = GaussianMixture::new(weights, normal(1, components), 0.75);
    let mixture = mixture.expect("within the rules");
    let x = normal(2, n);
    let sigma = 0.5;
    let repeats = if dim == 2 { 3 } else { 1 };
    let pairs = (n * components) as f64;
    let some = s![..4096.min(n), ..];
    let (answer, pass): (Vec<f64>, Box<dyn FnMut() -> f64>) = match numbers {
        Numbers::Single => {
            let x = x.mapv(|x| x as f32);
            let answer = mixture.score_f32(x.slice(some), sigma).mapv(f64::from);
            let score = move || drop(black_box(mixture.score_f32(black_box(x.view()), sigma)));
            (answer.into_iter().collect(), timed(repeats, score))
        }
        Numbers::Double => {
            let answer = mixture.score(x.slice(some), sigma);
            let score = move || drop(black_box(mixture.score(black_box(x.view()), sigma)));
            (answer.into_iter().collect(), timed(repeats, score))
        }
    };
    // A product for the distance of each pair, without which nobody knows whether the component matters at the point.
    // In few dimensions nobody asks: an exponential, which counts as one operation, its sum, and a product for the sum of
    // means come to it. In many, what does not matter can be left out, and single precision is enough to tell.
    let distances = 2.0 * dim as f64;
    let (size, own) = match numbers {
        Numbers::Single => (4.0, Arithmetic::Single),
        Numbers::Double => (8.0, Arithmetic::Double),
    };
    let (of_pair, arithmetic) = if dim < 16 {
        (2.0 * distances + 2.0, own)
    } else {
        (distances, Arithmetic::Single)
    };
    let bytes = size * (2 * n * dim) as f64;
    Prepared {
        unit: "score of all points",
        answer: answer.into_iter().take(COMPARED).collect(),
        operations: pairs * of_pair,
        arithmetic,
        bytes,
        memory: bytes,
        pass,
    }
}

/// Works `repeats` times, and returns the seconds of one.
fn timed(repeats: u32, mut work: impl FnMut() + 'static) -> Box<dyn FnMut() -> f64> {
    Box::new(move || {
        let begin = Instant::now();
        (0..repeats).for_each(|_| work());
        begin.elapsed().as_secs_f64() / f64::from(repeats)
    })
}

const STEPS: usize = 20;

/// A trajectory of 20 steps whose network always answers the same numbers, at once.
///
/// They are in two arrays, which take turns: no two steps that are added up share one.
pub(super) fn solver(class: &'static str) -> Prepared {
    let config = Options::new(class, []);
    let config = match class {
        "DDIMScheduler" => Options::new(
            class,
            [(
                "clip_sample".to_owned(),
                samplers::compat::Value::Bool(false),
            )],
        ),
        _ => config,
    };
    let plan: Plan<ArrayD<f32>> =
        diffusers::prepare(class, config, STEPS, Options::new("step", [])).expect("its defaults");
    let array = |stream| {
        let values = inputs::normals(stream, 64 * 1024);
        let values = values.into_iter().map(|v| v as f32).collect();
        let array = Array4::from_shape_vec((64, 1, 32, 32), values);
        array.expect("as many as there are").into_dyn()
    };
    let (start, answers) = (array(3), [array(4), array(4)].map(Rc::new));
    let trajectory = move || {
        let mut turns = answers.iter().cycle();
        let mut network = |_: &ArrayD<f32>, _: Call| {
            let answer = turns.next().expect("they take turns without end");
            Rc::clone(black_box(answer))
        };
        let x = start.clone();
        let begin = Instant::now();
        let x = plan.run_network(&mut network, &mut Silent, x);
        (begin.elapsed().as_secs_f64() / STEPS as f64, x)
    };
    let (_, x) = trajectory();
    let numbers = x.len() as f64;
    // The state and the answer are read, a state is written; the remembered answer of the multistep method too.
    let bytes = 4.0 * numbers * if class == "DDIMScheduler" { 3.0 } else { 4.0 };
    Prepared {
        unit: "step",
        answer: x.iter().take(COMPARED).map(|&v| f64::from(v)).collect(),
        operations: 3.0 * numbers,
        arithmetic: Arithmetic::Single,
        bytes,
        memory: bytes,
        pass: Box::new(move || {
            let mut times: Vec<f64> = (0..25).map(|_| trajectory().0).collect();
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        }),
    }
}
