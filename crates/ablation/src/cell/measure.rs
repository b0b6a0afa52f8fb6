//! What is measured of a cell: samples and scores.

use ndarray::{Array2, ArrayView2, Axis, s};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::{
    Score, Turn, Work,
    judge::{Judge, Judged, bands, exhibit},
    regions,
    sampling::{Guarded, Starts, Walk, ode, start},
};
use crate::{
    checkpoint::{Numbers, Place},
    error::Error,
    probe,
    record::{Outcome, Record, Stage},
    stream::Role,
};

impl Work<'_> {
    /// Samples and what they are compared with; `false` if it was told to stop.
    pub(super) fn samples(&mut self, score: &Score<'_>) -> Result<bool, Error> {
        let (config, dataset) = (self.config, self.dataset);
        let mut rng = self.common.at(Role::Probe, 0);
        let [fresh, again] = dataset.draw_fresh(config.probes.fresh, &mut rng);
        let judge = Judge::new(config, dataset, fresh);
        let starts = Starts::draw(config, &self.own, judge.fresh.ncols());
        // Drawn from what an A/A pair shares, so that all arms of a seed have one cap.
        let idle = Starts::draw(config, &self.common, judge.fresh.ncols()).langevin;
        let idle = judge.of(idle.view());
        if self.at.place < (Place::Ode {}) {
            let as_many = again.slice(s![..config.sampling.samples.min(again.nrows()), ..]);
            let floor = judge.of(as_many);
            self.enter_bounds(&idle, &floor);
            if !self.langevin(score, &starts, &judge, &idle)? {
                return Ok(false);
            }
            self.at.place = Place::Ode {};
            let particles = ["x", "streams"];
            self.at
                .arrays
                .retain(|name, _| !particles.contains(&name.as_str()));
        }
        if config.objective.uses_noise() {
            // The ODE is short: it is not left in the middle.
            if !self.goes_on()? {
                return Ok(false);
            }
            self.ode(score, starts, &judge, &idle);
        }
        Ok(true)
    }

    /// Keeps a checkpoint if it is time; whether the next step is to be taken.
    pub(super) fn goes_on(&mut self) -> Result<bool, Error> {
        let turn = self.watch.turn();
        if turn != Turn::GoOn {
            self.watch.keep(&mut self.at)?;
        }
        Ok(turn != Turn::Stop)
    }

    fn enter_bounds(&mut self, idle: &Judged, floor: &Judged) {
        let record = &mut self.at.record;
        for (bound, judged) in [("cap", idle), ("floor", floor)] {
            record.set(&format!("log_energy_distance_{bound}"), judged.energy);
            record.set(
                &format!("log_band_power_error_{bound}"),
                judged.bands.unwrap_or(f64::NAN),
            );
        }
        record.set("log_distance_cap", idle.distance.unwrap_or(f64::NAN));
        record.set("weight_error_floor", floor.weights.unwrap_or(f64::NAN));
    }

    /// The main sampler and its samples; `false` if it was told to stop.
    fn langevin(
        &mut self,
        score: &Score<'_>,
        starts: &Starts,
        judge: &Judge<'_>,
        idle: &Judged,
    ) -> Result<bool, Error> {
        let config = self.config;
        let mut main = None;
        let mut guarded = Guarded::new(score);
        if !self.diverged_in_training() {
            let mut walk = Walk::new(config, starts);
            let mut begun = 0;
            if let Place::Sampling { step, diverged_at } = self.at.place
                && 0 < step
            {
                walk.restore(self.at.doubles("x"), self.at.words("streams"));
                (guarded.evaluations, guarded.diverged_at) = (step, diverged_at);
                begun = step;
            }
            for step in begun..Walk::steps(config) {
                let turn = self.watch.turn();
                if turn != Turn::GoOn {
                    self.at.place = Place::Sampling {
                        step,
                        diverged_at: guarded.diverged_at,
                    };
                    let particles = Numbers::Double(walk.x.iter().copied().collect());
                    let streams = Numbers::Words(walk.positions());
                    self.at.arrays.insert("x".to_owned(), particles);
                    self.at.arrays.insert("streams".to_owned(), streams);
                    self.watch.keep(&mut self.at)?;
                }
                if turn == Turn::Stop {
                    return Ok(false);
                }
                walk.advance(&mut guarded, config, step);
            }
            guarded.arrived(&walk.x);
            self.at.record.evaluations.sampling = guarded.evaluations;
            main = Some(walk.x);
        }
        let record = &mut self.at.record;
        if let Some(step) = guarded.diverged_at {
            record.outcome = Outcome::Diverged {
                stage: Stage::Langevin,
                step,
            };
        }
        let trusted = main.as_ref().filter(|_| guarded.diverged_at.is_none());
        let verdict = trusted.map(|x| judge.of(x.view()));
        enter(record, "", verdict.as_ref(), idle);
        if let Some(power) = &judge.power {
            let points = |power: &[f64]| {
                power
                    .iter()
                    .enumerate()
                    .map(|(band, p)| (band as f64, String::new(), p.max(f64::MIN_POSITIVE).log10()))
                    .collect()
            };
            let titles = ["frequency band", "power, log10"];
            record.curve("band_power_data", titles, false, points(power));
            if let Some(x) = trusted {
                let found = judge
                    .bands
                    .as_ref()
                    .expect("bands and their power come together")
                    .power(x.view());
                record.curve("band_power", titles, false, points(&found));
            }
        }
        record.exhibit = exhibit(config, self.dataset, main.as_ref(), &judge.fresh);
        Ok(true)
    }

    /// The probability-flow ODE and its samples.
    fn ode(&mut self, score: &Score<'_>, starts: Starts, judge: &Judge<'_>, idle: &Judged) {
        let mut judged = None;
        if !self.diverged_in_training() {
            let mut guarded = Guarded::new(score);
            let x = ode(&mut guarded, self.config, starts.ode);
            let record = &mut self.at.record;
            record.evaluations.ode = guarded.evaluations;
            match guarded.diverged_at {
                None => judged = Some(judge.of(x.view())),
                Some(step) if matches!(record.outcome, Outcome::Measured {}) => {
                    record.outcome = Outcome::Diverged {
                        stage: Stage::Ode,
                        step,
                    };
                }
                Some(_) => {}
            }
        }
        enter(&mut self.at.record, "_ode", judged.as_ref(), idle);
    }

    /// Score errors at query points that all arms share.
    pub(super) fn scores(&mut self, score: &Score<'_>) {
        let (config, dataset, common) = (self.config, self.dataset, &self.common);
        let record = &mut self.at.record;
        let n = config.probes.queries;
        let level = config.noise.sigma_min;
        let mut rng = common.at(Role::Probe, 1);
        let clean = dataset
            .draw_fresh(n.min(config.probes.fresh), &mut rng)
            .into_iter()
            .next()
            .expect("two sets");
        let normal = |shape: &Array2<f64>, rng: &mut ChaCha8Rng| {
            shape.mapv(|_| rng.sample::<f64, _>(StandardNormal))
        };
        let noise = normal(&clean, &mut rng);
        let noised = |sigma: f64| &clean + &(&noise * sigma);
        let mut levels = if config.objective.uses_noise() {
            config.probes.levels.clone()
        } else {
            Vec::new()
        };
        if !levels.contains(&level) {
            levels.insert(0, level);
        }

        let spread = clean.var_axis(Axis(0), 0.0).sum();
        let mut errors = Vec::new();
        for &sigma in &levels {
            let x = noised(sigma);
            let denoised = &x + &(score(x.view(), sigma) * (sigma * sigma));
            let error = (&denoised - &clean).mapv(|v| v * v).sum() / clean.nrows() as f64 / spread;
            errors.push((sigma, String::new(), error.log10()));
        }
        // At the one level that all arms have.
        if let Some((_, _, smallest)) = errors.iter().find(|(sigma, ..)| *sigma == level) {
            record.set("log_denoising_error", *smallest);
        }
        record.curve(
            "denoising_error_by_sigma",
            ["noise level sigma", "denoising error, log10"],
            true,
            errors,
        );

        let Some(exact) = dataset.exact() else { return };
        // A noise-off arm aims at the score of the clean data. Where there is none, the score at the smallest level
        // stands in, for reference.
        let aims_at_nothing = !config.objective.uses_noise() && !exact.has_density();
        let target = if config.objective.uses_noise() || aims_at_nothing {
            level
        } else {
            0.0
        };
        let on = noised(target);
        let mut off = clean.clone();
        for (mut row, mut rng) in off
            .outer_iter_mut()
            .zip((0..).map(|i| common.at(Role::Probe, 1000 + i)))
        {
            row.mapv_inplace(|_| start(config.probes.off_data, &mut rng));
        }
        let compare = |x: ArrayView2<'_, f64>, sigma: f64| {
            let (found, wanted) = (score(x, sigma), exact.score(x, sigma));
            let error = probe::relative_error(found.view(), wanted.view()).log10();
            (error, found, wanted)
        };
        let (error, found, wanted) = compare(on.view(), target);
        if aims_at_nothing {
            record.set("log_score_error_reference", error);
        } else {
            record.set("log_score_error_on_data", error);
            record.set("log_score_error_off_data", compare(off.view(), target).0);
        }
        record.set(
            "score_cosine",
            probe::mean_cosine(found.view(), wanted.view()),
        );
        if config.objective.uses_noise() {
            let points = config
                .probes
                .levels
                .iter()
                .map(|&sigma| (sigma, String::new(), compare(noised(sigma).view(), sigma).0));
            record.curve(
                "score_error_by_sigma",
                ["noise level sigma", "score error, log10"],
                true,
                points.collect(),
            );
        }
        let density = exact.log_density(on.view(), target);
        let components = dataset.components(clean.view());
        regions::enter(record, &found, &wanted, &density, components.as_ref());
        if let Some(bands) = bands(config) {
            let (missed, scale) = (
                bands.power((&found - &wanted).view()),
                bands.power(wanted.view()),
            );
            let points = missed.iter().zip(&scale).enumerate();
            let points = points
                .map(|(band, (m, s))| (band as f64, String::new(), (m / s).log10()))
                .collect();
            record.curve(
                "score_error_by_band",
                ["frequency band", "score error, log10"],
                false,
                points,
            );
        }
    }
}

/// Enters what samples are worth; `None` stands for a cell that diverged.
///
/// Unbounded errors are never worse than those of the do-nothing sample. The error of weights is bounded by
/// itself, and a diverged cell takes its largest value.
fn enter(record: &mut Record, suffix: &str, judged: Option<&Judged>, idle: &Judged) {
    let capped = |value: Option<Option<f64>>, cap: Option<f64>| {
        // Without a cap the probe does not belong to this data and stays absent.
        let cap = cap.unwrap_or(f64::NAN);
        value.flatten().map_or(cap, |value| value.min(cap))
    };
    let energy = capped(judged.map(|j| Some(j.energy)), Some(idle.energy));
    record.set(&format!("log_energy_distance{suffix}"), energy);
    let bands = capped(judged.map(|j| j.bands), idle.bands);
    record.set(&format!("log_band_power_error{suffix}"), bands);
    let distance = capped(judged.map(|j| j.distance), idle.distance);
    record.set(&format!("log_distance{suffix}"), distance);
    if idle.weights.is_some() {
        let weights = judged.and_then(|j| j.weights).unwrap_or(1.0);
        record.set(&format!("weight_error{suffix}"), weights);
    }
}
