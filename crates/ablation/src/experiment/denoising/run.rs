//! Training with looks at the error, and what is measured at the end.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use noise_schedule::{Kernel, LevelDistribution, LogUniform};
use rand::Rng;
use rand_distr::StandardNormal;
use score_objective::exact::{ExactScore, GaussianField};

use super::{
    Bed, Denoising, Levels,
    learner::{Batch, Learner},
    measure::METRICS,
    sampling::follow,
};
use crate::{
    architecture::calibrates,
    cell::rate,
    error::Error,
    experiment::Found,
    fit::slope,
    stream::{Role, Stream},
};

/// Trains and measures.
pub(super) fn run(experiment: &Denoising, stream: &Stream, found: &mut Found) -> Result<(), Error> {
    let data = experiment.bed.exact(stream);
    let mut learner = Learner::build(experiment, stream)?;
    if calibrates(&experiment.network) {
        learner.calibrate(&batch(
            experiment,
            &*data,
            &learner,
            stream,
            Role::Nuisance,
            0,
            256,
        ));
    }
    let queries = Queries::draw(experiment, &*data, stream);
    let steps = experiment.training.steps;
    let mut looks = vec![(0, queries.errors(&learner))];
    let mut timed = Timed::draw(experiment, &*data, stream);
    timed.look(&learner, 0);
    let mut diverged = false;
    for step in 0..steps {
        let size = experiment.training.batch;
        let batch = batch(experiment, &*data, &learner, stream, Role::Data, step, size);
        if !learner
            .step(&batch, rate(&experiment.training, step))
            .is_finite()
        {
            diverged = true;
            found.trained(step);
            break;
        }
        if (step + 1) % experiment.every == 0 || step + 1 == steps {
            looks.push((step + 1, queries.errors(&learner)));
            timed.look(&learner, step + 1);
        }
    }
    found.set("parameters", learner.parameters() as f64);
    let course: Vec<(f64, f64)> = looks
        .iter()
        .map(|(step, errors)| (*step as f64, mean(errors)))
        .collect();
    let reached = crossing(&course, experiment.threshold.log10());
    found.set("steps_to_threshold", reached.unwrap_or(steps as f64));
    found.set("reached", f64::from(u8::from(reached.is_some())));
    found.curve(
        "error",
        ["training step", "error of the score, log10"],
        true,
        &course[1..],
    );
    if diverged {
        // Every other number takes its worst value.
        for metric in METRICS {
            if metric.worst.is_some() && metric.name != "reached" {
                found.set(metric.name, f64::NAN);
            }
        }
        return Ok(());
    }
    found.trained(steps);
    let (_, last) = &looks[looks.len() - 1];
    found.set("error", mean(last).min(0.0));
    found.set("error_smallest", last[0].min(0.0));
    found.set("error_on_data", 10.0_f64.powf(0.5 * last[0]).min(1.0));
    let levels = experiment.measured.iter().zip(last);
    let by_level: Vec<(f64, f64)> = levels.map(|(&sigma, &error)| (sigma, error)).collect();
    found.curve(
        "error_by_sigma",
        ["noise level sigma", "error of the score, log10"],
        true,
        &by_level,
    );
    if 0.0 < experiment.side {
        look_around(experiment, &*data, &learner, stream, found);
    }
    if matches!(experiment.bed, Bed::GaussianField {}) {
        let (smallest, largest) = (0, experiment.measured.len() - 1);
        found.set(
            "top_error",
            queries.rings(&learner, smallest, 4..8).min(0.0),
        );
        found.set(
            "coarse_error",
            queries.rings(&learner, largest, 0..4).min(0.0),
        );
        follow(experiment, &*data, &learner, stream, found);
    }
    timed.enter(found);
    Ok(())
}

/// A batch of the training; levels in equal shares, so that every batch holds all of them.
fn batch(
    experiment: &Denoising,
    data: &dyn ExactScore,
    learner: &Learner,
    stream: &Stream,
    role: Role,
    index: u64,
    size: usize,
) -> Batch {
    let x0 = data.draw(size, &mut stream.at(role, index));
    // What calibration draws is not what the first step draws.
    let own = if role == Role::Data { index } else { u64::MAX };
    let mut rng = stream.at(Role::Noise, own);
    let noise = x0.mapv(|_| rng.sample::<f64, _>(StandardNormal));
    let mut rng = stream.at(Role::Levels, own);
    let level = |row: usize| match &experiment.levels {
        Levels::Clean {} => learner.level(0.0),
        Levels::Listed { values } => {
            let index = (row + index as usize * size) % values.len();
            Kernel::variance_exploding(values[index]).expect("it was checked")
        }
        Levels::Range { from, to } => {
            let u = (row as f64 + rng.random::<f64>()) / size as f64;
            let levels = LogUniform::new(*from, *to).expect("it was checked");
            levels.quantile(u.clamp(1e-9, 1.0 - 1e-9))
        }
    };
    Batch {
        levels: (0..size).map(level).collect(),
        x0,
        noise,
    }
}

/// Fresh points at each measured level, with their scores.
struct Queries {
    levels: Vec<(f64, Array2<f64>, Array2<f64>)>,
}

impl Queries {
    fn draw(experiment: &Denoising, data: &dyn ExactScore, stream: &Stream) -> Queries {
        let at = |(index, &sigma): (usize, &f64)| {
            let kernel = Kernel::variance_exploding(sigma).expect("it was checked");
            let mut rng = stream.at(Role::Probe, index as u64);
            let x = data.draw_at(experiment.queries, kernel, &mut rng);
            let score = data.score(x.view(), sigma);
            (sigma, x, score)
        };
        Queries {
            levels: experiment.measured.iter().enumerate().map(at).collect(),
        }
    }

    /// log10 of the relative squared error at each level.
    fn errors(&self, learner: &Learner) -> Vec<f64> {
        self.levels
            .iter()
            .map(|(sigma, x, score)| {
                let missed = learner.score(x.view(), *sigma) - score;
                (square(missed.view()) / square(score.view())).log10()
            })
            .collect()
    }

    /// The same at one level, in these rings.
    fn rings(&self, learner: &Learner, level: usize, rings: Range<usize>) -> f64 {
        let field = GaussianField::grf16();
        let (sigma, x, score) = &self.levels[level];
        let missed = learner.score(x.view(), *sigma) - score;
        let power = |x: &Array2<f64>| power(&field, x, rings.clone());
        (power(&missed) / power(score)).log10()
    }
}

/// The power of fields in these of eight rings of frequencies up to the Nyquist frequency: the upper four are its octave.
pub(super) fn power(field: &GaussianField, x: &Array2<f64>, rings: Range<usize>) -> f64 {
    let bands = field.bands(8).expect("the side is 16");
    let all = field.band_power(x.view(), &bands);
    rings
        .map(|band| all[band] * bands.sizes()[band] as f64)
        .sum()
}

/// The gains of a denoiser in frequency bands, each at the level that equals the band.
struct Timed {
    bands: Vec<Band>,
    steps: Vec<Option<u64>>,
}

/// The coefficients of one band in noised fields, and what the best denoiser makes of them.
struct Band {
    power: f64,
    x: Array2<f64>,
    index: Vec<usize>,
    best: f64,
}

impl Timed {
    fn draw(experiment: &Denoising, data: &dyn ExactScore, stream: &Stream) -> Timed {
        let field = GaussianField::grf16();
        let bands = match experiment.bands {
            0 => Vec::new(),
            count => {
                let bands = field.bands(count).expect("it was checked");
                let one = |band: usize| {
                    let power = bands.power()[band];
                    let sigma = power.sqrt();
                    let kernel = Kernel::variance_exploding(sigma).expect("a power is positive");
                    let mut rng = stream.at(Role::Probe, 1000 + band as u64);
                    let x = data.draw_at(experiment.queries, kernel, &mut rng);
                    let index = bands.index().iter().enumerate();
                    let index = index.filter(|(_, own)| **own == band).map(|(f, _)| f);
                    let mut band = Band {
                        power,
                        index: index.collect(),
                        best: 0.0,
                        x,
                    };
                    band.best = band.gain(&field, data.denoise(band.x.view(), sigma).view());
                    band
                };
                (0..count).map(one).collect()
            }
        };
        Timed {
            steps: vec![None; bands.len()],
            bands,
        }
    }

    fn look(&mut self, learner: &Learner, step: u64) {
        let field = GaussianField::grf16();
        for (band, time) in self.bands.iter().zip(&mut self.steps) {
            if time.is_some() {
                continue;
            }
            let sigma = band.power.sqrt();
            let mut denoised = learner.score(band.x.view(), sigma) * band.power;
            denoised += &band.x;
            let gain = band.gain(&field, denoised.view());
            if (gain / band.best - 1.0).abs() <= 0.1 {
                *time = Some(step);
            }
        }
    }

    fn enter(&self, found: &mut Found) {
        if self.bands.is_empty() {
            return;
        }
        let points: Vec<(f64, f64)> = self
            .bands
            .iter()
            .zip(&self.steps)
            .filter_map(|(band, step)| {
                step.map(|step| (band.power.log10(), (step.max(1) as f64).log10()))
            })
            .collect();
        found.set(
            "bands_learned",
            points.len() as f64 / self.bands.len() as f64,
        );
        if let Some(slope) = slope(&points) {
            found.set("band_slope", slope);
        }
        found.curve(
            "time_by_power",
            ["power of the band, log10", "steps to learn it, log10"],
            false,
            &points,
        );
    }
}

impl Band {
    /// ⟨D, x⟩/⟨x, x⟩ over the band.
    fn gain(&self, field: &GaussianField, denoised: ArrayView2<'_, f64>) -> f64 {
        let (out, x) = (
            field.to_frequency(denoised),
            field.to_frequency(self.x.view()),
        );
        let along = |a: &Array2<f64>| {
            let columns = self.index.iter().map(|&f| a.column(f).dot(&x.column(f)));
            columns.sum::<f64>()
        };
        along(&out) / along(&x)
    }
}

/// Where in the box the score is found.
fn look_around(
    experiment: &Denoising,
    data: &dyn ExactScore,
    learner: &Learner,
    stream: &Stream,
    found: &mut Found,
) {
    let mut rng = stream.at(Role::Probe, 500);
    let side = experiment.side;
    let x = Array2::from_shape_simple_fn((experiment.queries, data.dim()), || {
        rng.random_range(-side..side)
    });
    let mut anywhere = vec![false; x.nrows()];
    for (index, &sigma) in experiment.measured.iter().enumerate() {
        let score = data.score(x.view(), sigma);
        let missed = learner.score(x.view(), sigma) - &score;
        let (missed, size) = (squares(&missed), squares(&score));
        let heard: Vec<bool> = missed
            .iter()
            .zip(&size)
            .map(|(m, s)| *m < experiment.audible.powi(2) * s)
            .collect();
        let share = |heard: &[bool]| {
            // Half a point is added, so that shares have ratios.
            (heard.iter().filter(|h| **h).count() as f64 + 0.5) / (heard.len() + 1) as f64
        };
        for (any, heard) in anywhere.iter_mut().zip(&heard) {
            *any |= heard;
        }
        if index == 0 {
            found.set("audible_smallest", share(&heard));
            found.set("error_in_box", (missed.sum() / size.sum()).sqrt());
            let density = data.log_density(x.view(), sigma);
            let mut order: Vec<usize> = (0..x.nrows()).collect();
            order.sort_by(|&a, &b| density[a].total_cmp(&density[b]));
            let fifth = order.len().div_ceil(5);
            for (quintile, points) in order.chunks(fifth).enumerate() {
                let sum = |of: &Array1<f64>| points.iter().map(|&i| of[i]).sum::<f64>();
                let error = (sum(&missed) / sum(&size)).sqrt();
                found.set(&format!("quintile_{}", quintile + 1), error);
            }
        }
        if index + 1 == experiment.measured.len() {
            found.set("audible", share(&anywhere));
        }
    }
}

/// Where a falling curve comes to a level: between two looks on a straight line in the logarithm of the step.
pub(super) fn crossing(course: &[(f64, f64)], level: f64) -> Option<f64> {
    let at = course.iter().position(|(_, y)| *y <= level)?;
    let (x, y) = course[at];
    let Some(&(x_before, y_before)) = at.checked_sub(1).map(|before| &course[before]) else {
        return Some(x.max(1.0));
    };
    let share = (y_before - level) / (y_before - y);
    let (from, to) = (x_before.max(1.0).ln(), x.max(1.0).ln());
    Some((from + share * (to - from)).exp())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn square(x: ArrayView2<'_, f64>) -> f64 {
    x.iter().map(|v| v * v).sum()
}

fn squares(x: &Array2<f64>) -> Array1<f64> {
    x.mapv(|v| v * v).sum_axis(Axis(1))
}
