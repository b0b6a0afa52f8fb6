//! What a network of limited width makes of its target: the clean point, the noise, or the velocity between them.

use ndarray::{Array1, Array2, Axis, concatenate};
use noise_schedule::Kernel;
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use score_objective::exact::{ExactScore, Sphere};
use serde::Deserialize;

use super::{
    mlp::{Adam, Mlp, Unit, Wiring},
    network::{Law, Weights},
    noise_levels::NoMeasure,
    place::Place,
    report::{Measured, Number},
    study::{Claim, Table, Tolerance, table_fields},
};
use crate::{
    error::Error,
    stream::{Role, Stream},
};

/// Flow matching of a circle in a plane of ℝ^D by a ReLU network that predicts x, ε or v (the toy of Li and He 2025).
///
/// Points are z = t x + (1 − t) ε with t uniform between two times; the velocity is v = x − ε.
/// Whatever the network answers is made a velocity, v = (x − z)/(1 − t) = (z − ε)/t, and every arm has the same loss, that
/// of the velocity; so the arms differ in the network's output alone.
/// What is measured is how far the velocity is from the exact one, E‖v̂ − v*‖² over the radius squared, on fresh points:
/// the part of the loss that could have been learned.
/// ε and v fill all D dimensions, and a network narrower than D cannot pass them on; x needs the plane only.
/// Arms of a seed share the points, the noise, the times and the initial values.
///
/// Range: \[0, ∞), 0 for the exact velocity, about D over the radius squared where the noise
/// is missed; invariant to rotations, not to the radius: the noise has the size 1.
/// It misleads if the ends of the times come near 0 or 1, where dividing by t or 1 − t weighs one of the targets up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// Name of the table.
    pub name: String,
    /// The sentences of the thesis that the numbers are about.
    pub about: Vec<String>,
    /// The radius of the circle.
    pub radius: f64,
    /// D, rising.
    pub dims: Vec<usize>,
    /// Hidden layers.
    pub depth: usize,
    /// Units per hidden layer.
    pub width: usize,
    /// The first and the last time.
    pub times: [f64; 2],
    /// Points per step.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Adam's rate.
    pub rate: f64,
    /// Seeds.
    pub seeds: u32,
    /// Around the expected values, of which there are none.
    pub tolerance: Tolerance,
    /// No claim can be registered about this quantity.
    #[serde(default)]
    pub claims: Vec<Claim<NoMeasure>>,
}

/// What the network answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Clean,
    Noise,
    Velocity,
}

const TARGETS: [(Target, &str); 3] = [
    (Target::Clean, "x"),
    (Target::Noise, "ε"),
    (Target::Velocity, "v"),
];

const FRESH: usize = 512;

/// Points on their way, with what is known about them.
struct Noised {
    z: Array2<f64>,
    t: Array1<f64>,
    /// x − ε.
    velocity: Array2<f64>,
}

impl Table for Targets {
    table_fields!("targets");

    fn check(&self, place: &Place) -> Result<(), Error> {
        place.positive("radius", self.radius)?;
        place.depths(&self.dims, 2)?;
        place.count("depth", self.depth, 1, 1000)?;
        place.count("width", self.width, 1, 65_536)?;
        place.count("batch", self.batch, 1, 100_000)?;
        place.count("steps", self.steps, 1, 10_000_000)?;
        place.positive("rate", self.rate)?;
        place.count("seeds", self.seeds as usize, 2, 1000)?;
        let dims: usize = self.dims.iter().sum();
        let weights = (2 * self.width * dims) as f64
            + (self.depth * self.width.pow(2) * self.dims.len()) as f64;
        let work = weights * (self.batch * self.steps) as f64 * f64::from(self.seeds);
        place.work(
            "width · (dims + depth · width) · batch · steps · seeds",
            work,
            1e12,
        )?;
        let [first, last] = self.times;
        if !(0.0 < first && first < last && last < 1.0) {
            let rule = "two times between 0 and 1, the second later: at the ends one of ε and x says nothing";
            return Err(place.refuse("times", format!("{:?}", self.times), rule));
        }
        Ok(())
    }

    fn measure(&self, seed: u64) -> Measured {
        let mut measured = Measured {
            meaning: "E‖v̂ − v*‖² over the radius squared after training a network to predict x, ε or v",
            parameters: format!(
                "a circle of radius {}, {} hidden layers of width {}, times {} to {}, {} steps of {} points at rate {}, {} seeds",
                self.radius,
                self.depth,
                self.width,
                self.times[0],
                self.times[1],
                self.steps,
                self.batch,
                self.rate,
                self.seeds
            ),
            ..Measured::default()
        };
        let runs: Vec<(usize, Target, u64)> = (self.dims.iter())
            .flat_map(|&dim| TARGETS.iter().map(move |(target, _)| (dim, *target)))
            .flat_map(|(dim, target)| {
                (0..u64::from(self.seeds)).map(move |index| (dim, target, seed + index))
            })
            .collect();
        let excesses: Vec<f64> = (runs.into_par_iter())
            .map(|(dim, target, seed)| self.excess(dim, target, Stream::new(seed)))
            .collect();
        let seeds = self.seeds as usize;
        for (dim, arms) in self.dims.iter().zip(excesses.chunks(TARGETS.len() * seeds)) {
            measured.group = format!("D = {dim}");
            let arms: Vec<&[f64]> = arms.chunks(seeds).collect();
            for (values, (_, word)) in arms.iter().zip(TARGETS) {
                let what = format!("error of the velocity, predicting {word}");
                measured.expected(what, Number::mean(values), None, self.tolerance);
            }
            for place in 1..TARGETS.len() {
                let pairs = arms[place].iter().zip(arms[0]);
                let ratios: Vec<f64> = pairs.map(|(other, clean)| other / clean).collect();
                let what = format!("error of {} over that of x", TARGETS[place].1);
                measured.expected(what, Number::mean(&ratios), None, self.tolerance);
            }
        }
        measured
    }
}

impl Targets {
    fn excess(&self, dim: usize, target: Target, stream: Stream) -> f64 {
        let frame = &mut stream.at(Role::Nuisance, 0);
        let data = Sphere::new(2, dim, self.radius, frame).expect("it was checked");
        let sizes: Vec<usize> = std::iter::once(dim + 1)
            .chain(std::iter::repeat_n(self.width, self.depth))
            .chain([dim])
            .collect();
        let he = Weights {
            law: Law::Normal,
            gain: 2.0_f64.sqrt(),
        };
        let mut network = Mlp::new(Unit::Relu, Wiring::Plain, he, &sizes, stream);
        let mut adam = Adam::new(self.rate, &network);
        for step in 0..self.steps {
            let points = self.points(&data, self.batch, stream, Role::Data, step as u64);
            let n = (self.batch * dim) as f64;
            let (_, gradient) = network.gradient(&points.input(), |out| {
                let (mut off, factors) = points.velocity_of(target, out);
                off -= &points.velocity;
                let loss = off.mapv(|d| d * d).sum() / n;
                (loss, (off * factors * (2.0 / n)).mapv(|d| d as f32))
            });
            adam.step(&mut network, gradient);
        }
        let fresh = self.points(&data, FRESH, stream, Role::Probe, 0);
        let (mut off, _) = fresh.velocity_of(target, &network.forward(&fresh.input()));
        for (i, mut off) in off.rows_mut().into_iter().enumerate() {
            off -= &best_velocity(&data, fresh.z.row(i).insert_axis(Axis(0)), fresh.t[i]);
        }
        off.mapv(|d| d * d).sum() / (FRESH as f64 * self.radius.powi(2))
    }

    fn points(&self, data: &Sphere, n: usize, stream: Stream, role: Role, index: u64) -> Noised {
        let rng = &mut stream.at(role, index);
        let x = data.draw(n, rng);
        let epsilon =
            Array2::from_shape_simple_fn(x.dim(), || rng.sample::<f64, _>(StandardNormal));
        let t = Array1::from_shape_simple_fn(n, || rng.random_range(self.times[0]..self.times[1]));
        let column = t.view().insert_axis(Axis(1));
        Noised {
            z: &x * &column + &epsilon * &column.mapv(|t| 1.0 - t),
            velocity: x - epsilon,
            t,
        }
    }
}

impl Noised {
    /// The network's input: z and t.
    fn input(&self) -> Array2<f32> {
        let time = self.t.view().insert_axis(Axis(1));
        concatenate![Axis(1), self.z, time].mapv(|v| v as f32)
    }

    /// The velocity that an answer means, and its derivative in the answer, a column.
    fn velocity_of(&self, target: Target, out: &Array2<f32>) -> (Array2<f64>, Array2<f64>) {
        let out = out.mapv(f64::from);
        let t = self.t.view().insert_axis(Axis(1)).to_owned();
        match target {
            Target::Clean => {
                let factor = t.mapv(|t| 1.0 / (1.0 - t));
                ((out - &self.z) * &factor, factor)
            }
            Target::Noise => {
                let factor = t.mapv(|t| -1.0 / t);
                ((out - &self.z) * &factor, factor)
            }
            Target::Velocity => (out, t.mapv(|_| 1.0)),
        }
    }
}

/// E\[x − ε | z\] at one point \[1, D\].
fn best_velocity(data: &Sphere, z: ndarray::ArrayView2<'_, f64>, t: f64) -> Array1<f64> {
    let sigma = 1.0 - t;
    let kernel = Kernel::new(t, sigma).expect("times lie between 0 and 1");
    let noise = data.score_at(z, kernel) * -sigma;
    let clean = (&z - &(&noise * sigma)) / t;
    (clean - noise).remove_axis(Axis(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Targets {
        Targets {
            name: "t".to_owned(),
            about: Vec::new(),
            radius: 2.0,
            dims: vec![2],
            depth: 2,
            width: 8,
            times: [0.2, 0.8],
            batch: 16,
            steps: 0,
            rate: 1e-3,
            seeds: 2,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.0,
            },
            claims: Vec::new(),
        }
    }

    #[test]
    fn the_truth_is_the_velocity_whatever_is_answered() {
        let table = table();
        let stream = Stream::new(4);
        let data = Sphere::new(2, 5, 2.0, &mut stream.at(Role::Nuisance, 0)).unwrap();
        let points = table.points(&data, 7, stream, Role::Data, 0);
        let t = points.t.view().insert_axis(Axis(1));
        // z = t x + (1 − t) ε and v = x − ε, so x = z + (1 − t) v and ε = z − t v.
        let clean = &points.z + &(&points.velocity * &t.mapv(|t| 1.0 - t));
        let noise = &points.z - &(&points.velocity * &t);
        assert!(
            (data.radial_distance(clean.view()))
                .iter()
                .all(|d| d.abs() < 1e-9)
        );
        for (target, answer) in [
            (Target::Clean, &clean),
            (Target::Noise, &noise),
            (Target::Velocity, &points.velocity),
        ] {
            let answer = answer.mapv(|v| v as f32);
            let (velocity, factor) = points.velocity_of(target, &answer);
            let off = &velocity - &points.velocity;
            assert!(off.iter().all(|d| d.abs() < 1e-5), "{target:?}");
            let moved = points.velocity_of(target, &(answer + 1.0)).0;
            let slope = &moved - &velocity - &factor;
            assert!(slope.iter().all(|d| d.abs() < 1e-5), "{target:?}");
        }
    }

    #[test]
    fn the_best_velocity_leaves_nothing_that_could_be_learned() {
        // E (v − v*) f(z) = 0 for any f: here v* itself and z.
        let table = table();
        let stream = Stream::new(1);
        let data = Sphere::new(2, 3, 2.0, &mut stream.at(Role::Nuisance, 0)).unwrap();
        let points = table.points(&data, 20_000, stream, Role::Data, 0);
        let (mut with_best, mut with_z) = (0.0, 0.0);
        for (i, velocity) in points.velocity.rows().into_iter().enumerate() {
            let z = points.z.row(i);
            let best = best_velocity(&data, z.insert_axis(Axis(0)), points.t[i]);
            let off = &velocity - &best;
            with_best += off.dot(&best) / 20_000.0;
            with_z += off.dot(&z) / 20_000.0;
        }
        assert!(
            with_best.abs() < 0.06 && with_z.abs() < 0.06,
            "{with_best} {with_z}"
        );
    }
}
