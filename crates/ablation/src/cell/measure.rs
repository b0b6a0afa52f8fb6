//! What is measured of a cell: gradients of untrained networks, samples, scores.

use learnability::gradient::{Snapshot, unit_gradients};
use ndarray::{Array2, ArrayView2, Axis, s};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use tch::{Kind, Tensor};

use super::{
    Stop,
    judge::{Judge, Judged, bands, exhibit},
    model::{Learned, Model},
    optimizer::Adam,
    sampling::{Guarded, Starts, annealed, ode, plain, start},
    train::{Example, first_to_last, loss, rate},
};
use crate::{
    architecture::Architecture,
    config::{CellConfig, Network},
    dataset::Dataset,
    error::Error,
    probe,
    record::{Outcome, Record, Stage},
    stream::{Role, Stream},
};

/// Gradients and silence of untrained networks of other depths, all else equal.
pub(super) fn untrained(
    model: &Model,
    config: &CellConfig,
    dataset: &Dataset<'_>,
    own: &Stream,
    device: tch::Device,
    record: &mut Record,
) -> Result<(), Error> {
    let (mut ratios, mut silence) = (Vec::new(), Vec::new());
    for &depth in &config.probes.depths {
        let mut deeper = config.clone();
        let Network::Mlp { blocks, .. } = &mut deeper.network else {
            return Ok(());
        };
        *blocks = depth;
        let architecture = Architecture::of(&deeper.network, &deeper.shape(), "probes.depths")?;
        let learned = Learned::build(&architecture, &deeper, dataset, own, device)?;
        let example = Example::draw(config, dataset, own, Role::Data, 0, config.training.batch);
        let loss = loss(&learned, model, config, &example).mean(Kind::Float);
        let gradients = unit_gradients(&loss, &learned.units);
        let (first, last) = learned.ends();
        let layers = (2 * depth) as f64;
        if let Some(ratio) = first_to_last(&gradients, first, last) {
            ratios.push((layers, String::new(), ratio));
        }
        let mut parameters = learned.parameters();
        let mut adam = Adam::new(&mut parameters);
        let before = Snapshot::of(&learned.units);
        adam.step(
            &Tensor::run_backward(&[&loss], &parameters, false, false),
            rate(&config.training, 0),
        );
        silence.push((layers, String::new(), learned.silent_share(&before)));
    }
    record.curve(
        "gradient_ratio_by_depth",
        [
            "square layers, untrained",
            "gradient first/last layer, log10",
        ],
        true,
        ratios,
    );
    record.curve(
        "silent_by_depth",
        ["square layers, untrained", "share of silent layers"],
        true,
        silence,
    );
    Ok(())
}

/// Samples and what they are compared with; `false` if it was asked to stop.
pub(super) fn samples(
    model: &Model,
    config: &CellConfig,
    dataset: &Dataset<'_>,
    common: &Stream,
    own: &Stream,
    stop: Stop<'_>,
    record: &mut Record,
) -> bool {
    let [fresh, again] = dataset.draw_fresh(config.probes.fresh, &mut common.at(Role::Probe, 0));
    let judge = Judge::new(config, dataset, fresh);
    let starts = Starts::draw(config, own, judge.fresh.ncols());
    // Drawn from what an A/A pair shares, so that all arms of a seed have one cap.
    let idle = Starts::draw(config, common, judge.fresh.ncols()).langevin;
    let idle = judge.of(idle.view());
    let as_many = again
        .slice(s![..config.sampling.samples.min(again.nrows()), ..])
        .to_owned();
    let floor = judge.of(as_many.view());
    for (bound, judged) in [("cap", &idle), ("floor", &floor)] {
        record.set(&format!("log_energy_distance_{bound}"), judged.energy);
        record.set(
            &format!("log_band_power_error_{bound}"),
            judged.bands.unwrap_or(f64::NAN),
        );
    }
    record.set("log_distance_cap", idle.distance.unwrap_or(f64::NAN));
    record.set("weight_error_floor", floor.weights.unwrap_or(f64::NAN));

    let failed = matches!(record.outcome, Outcome::Diverged { .. });
    let mut guarded = Guarded {
        model,
        dataset,
        stop,
        evaluations: 0,
        diverged_at: None,
    };
    let mut main = None;
    if !failed {
        main = Some(if config.objective.uses_noise() {
            annealed(
                &mut guarded,
                config,
                starts.annealed,
                starts.streams.clone(),
            )
        } else {
            plain(
                &mut guarded,
                config,
                starts.langevin,
                starts.streams.clone(),
            )
        });
        record.evaluations.sampling = guarded.evaluations;
        if (guarded.stop)() {
            return false;
        }
        if let Some(step) = guarded.diverged_at {
            record.outcome = Outcome::Diverged {
                stage: Stage::Langevin,
                step,
            };
        }
    }
    let trusted = main.as_ref().filter(|_| guarded.diverged_at.is_none());
    let verdict = trusted.map(|x| judge.of(x.view()));
    enter(record, "", verdict.as_ref(), &idle);
    if let Some(power) = &judge.power {
        let points = |power: &[f64]| {
            power
                .iter()
                .enumerate()
                .map(|(band, p)| (band as f64, String::new(), p.max(f64::MIN_POSITIVE).log10()))
                .collect()
        };
        record.curve(
            "band_power_data",
            ["frequency band", "power, log10"],
            false,
            points(power),
        );
        if let Some(x) = trusted {
            let found = judge
                .bands
                .as_ref()
                .expect("bands and their power come together")
                .power(x.view());
            record.curve(
                "band_power",
                ["frequency band", "power, log10"],
                false,
                points(&found),
            );
        }
    }
    record.exhibit = exhibit(config, dataset, main.as_ref(), &judge.fresh);

    if config.objective.uses_noise() {
        let mut judged = None;
        if !failed {
            guarded.evaluations = 0;
            guarded.diverged_at = None;
            let x = ode(&mut guarded, config, starts.ode);
            record.evaluations.ode = guarded.evaluations;
            if (guarded.stop)() {
                return false;
            }
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
        enter(record, "_ode", judged.as_ref(), &idle);
    }
    true
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

/// Score errors at query points that all arms share.
pub(super) fn scores(
    model: &Model,
    config: &CellConfig,
    dataset: &Dataset<'_>,
    common: &Stream,
    record: &mut Record,
) {
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
        let denoised = &x + &(model.score(x.view(), sigma, dataset.exact()) * (sigma * sigma));
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
        let (found, wanted) = (model.score(x, sigma, Some(exact)), exact.score(x, sigma));
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
