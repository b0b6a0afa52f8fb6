//! Sampler traces: the same steps with our samplers, compared number by number.

use std::cell::Cell;

use ndarray::Array2;
use noise_schedule::Kernel;
use samplers::compat::{diffusers, edm, k_diffusion};
use samplers::{Denoiser, Lifted, NoiseSource, Prepared, Scheduler, Stepper};
use score_objective::exact::{ExactScore, GaussianMixture};

use super::case::{Case, Draw, Samples};
use super::model::array;
use super::options::options;
use super::{Comparison, Outcome};

/// Runs a case and compares everything that it expects.
pub(super) fn compare(case: &Case) -> Result<Outcome, String> {
    let start = match (&case.init, &case.latents) {
        (Some(start), None) | (None, Some(start)) => array(start)?,
        _ => return Err("a case needs either `init` or `latents`".to_string()),
    };
    let exact = case.model.exact(start.ncols())?;
    let found = match case.kind.as_str() {
        "diffusers-scheduler" => scheduler(case, &exact, start)?,
        "k-diffusion-sampler" => k_sampler(case, &exact, start)?,
        "edm-sampler" => edm_sampler(case, &exact, start)?,
        other => {
            return Err(format!(
                "kind `{other}` is not known; there are diffusers-scheduler, k-diffusion-sampler and edm-sampler"
            ));
        }
    };
    let mut comparison = Comparison::default();
    let expect = &case.expect;
    let mut check = |name: &str, ours: &[f64], expected: Option<&Vec<f64>>| match expected {
        Some(expected) => comparison.numbers(name, ours.iter().copied(), expected.iter().copied()),
        None => Ok(()),
    };
    check("timesteps", &found.timesteps, expect.timesteps.as_ref())?;
    check("sigmas", &found.sigmas, expect.sigmas.as_ref())?;
    let levels: Vec<f64> = found
        .levels
        .iter()
        .flat_map(|k| [k.alpha(), k.sigma()])
        .collect();
    let expected = expect
        .alpha_sigma
        .as_ref()
        .map(|pairs| pairs.iter().flatten().copied().collect());
    check("alpha_sigma", &levels, expected.as_ref())?;
    let ratios: Vec<f64> = found.levels.iter().map(|k| k.noise_to_signal()).collect();
    check("denoiser_sigmas", &ratios, expect.denoiser_sigmas.as_ref())?;
    if let Some(expected) = &expect.trace {
        if found.trace.len() != expected.len() {
            return Err(format!(
                "trace: {} states where {} are expected",
                found.trace.len(),
                expected.len()
            ));
        }
        for (index, (ours, expected)) in found.trace.iter().zip(expected).enumerate() {
            states(&mut comparison, &format!("trace[{index}]"), ours, expected)?;
        }
    }
    if let Some(expected) = &expect.output {
        let result = found.trace.last().expect("a run ends with a state");
        states(&mut comparison, "output", result, expected)?;
    }
    if comparison.place.is_empty() {
        return Err("`expect` holds nothing to compare".to_string());
    }
    Ok(comparison.within(case.tolerance))
}

fn states(
    comparison: &mut Comparison,
    place: &str,
    ours: &Array2<f64>,
    expected: &Samples,
) -> Result<(), String> {
    comparison.numbers(
        place,
        ours.iter().copied(),
        expected.iter().flatten().copied(),
    )
}

/// What a run of ours leaves to compare. The last state of the trace is the result.
#[derive(Default)]
struct Found {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    levels: Vec<Kernel>,
    trace: Vec<Array2<f64>>,
}

/// The exact model, with the number of its calls shared with the noise, and what it was asked.
struct Model<'a> {
    exact: &'a GaussianMixture,
    calls: &'a Cell<usize>,
    asked: Vec<(Array2<f64>, Kernel)>,
}

impl Denoiser<Array2<f64>> for Model<'_> {
    fn denoise(&mut self, x: &Array2<f64>, at: Kernel) -> Array2<f64> {
        self.calls.set(self.calls.get() + 1);
        self.asked.push((x.clone(), at));
        self.exact.denoise_at(x.view(), at)
    }
}

/// The recorded noise: the draw made after as many calls of the model, in order if there are several.
struct Recorded<'a> {
    draws: Vec<Option<&'a Draw>>,
    calls: &'a Cell<usize>,
    /// The first draw that was missing or misshapen: a run cannot stop in its middle.
    missing: Option<String>,
}

impl<'a> Recorded<'a> {
    fn new(case: &'a Case, calls: &'a Cell<usize>) -> Recorded<'a> {
        Recorded {
            draws: case.noise.iter().map(Some).collect(),
            calls,
            missing: None,
        }
    }

    fn complete(self) -> Result<(), String> {
        self.missing.map_or(Ok(()), Err)
    }
}

impl NoiseSource<Array2<f64>> for Recorded<'_> {
    fn between(&mut self, like: &Array2<f64>, _from: Kernel, _to: Kernel) -> Array2<f64> {
        let after = self.calls.get();
        let fits = |slot: &&mut Option<&Draw>| slot.is_some_and(|draw| draw.after_evals == after);
        let draw = self.draws.iter_mut().find(fits).and_then(Option::take);
        let drawn = match draw {
            Some(draw) => array(&draw.value),
            None => Err(format!(
                "noise is asked for after {after} calls, where none was recorded"
            )),
        };
        match drawn {
            Ok(noise) if noise.dim() == like.dim() => noise,
            Ok(_) => {
                let message =
                    format!("the noise after {after} calls has another shape than the state");
                self.missing.get_or_insert(message);
                Array2::zeros(like.raw_dim())
            }
            Err(message) => {
                self.missing.get_or_insert(message);
                Array2::zeros(like.raw_dim())
            }
        }
    }
}

fn scheduler(case: &Case, exact: &GaussianMixture, start: Array2<f64>) -> Result<Found, String> {
    let config = case
        .scheduler_config
        .as_ref()
        .ok_or("`scheduler_config` is missing")?;
    let class = config.get("_class_name").and_then(|name| name.as_str());
    let class = class.ok_or("`scheduler_config` has no `_class_name`")?;
    let steps = case
        .num_inference_steps
        .ok_or("`num_inference_steps` is missing")?;
    let step = options(&format!("{class}.step"), case.step_kwargs.as_ref());
    let prepared = diffusers::prepare(class, options(class, Some(config)), steps, step)
        .map_err(|error| error.to_string())?;
    let prediction = prepared.prediction;
    let mut scheduler = Scheduler::new(prepared);
    let calls = Cell::new(0);
    let mut noise = Recorded::new(case, &calls);
    let mut found = Found {
        timesteps: scheduler.timesteps().to_vec(),
        sigmas: scheduler.sigmas().to_vec(),
        ..Found::default()
    };
    let mut x = start;
    while let Some(call) = scheduler.next_call() {
        calls.set(calls.get() + 1);
        found.levels.push(call.at);
        let answer = prediction.answer(&exact.denoise_at(x.view(), call.at), &x, call.at);
        x = scheduler.step(answer, call.timestep, x, &mut noise);
        found.trace.push(x.clone());
    }
    noise.complete()?;
    Ok(found)
}

fn k_sampler(case: &Case, exact: &GaussianMixture, start: Array2<f64>) -> Result<Found, String> {
    let name = case.sampler.as_deref().ok_or("`sampler` is missing")?;
    let kwargs = options(name, case.kwargs.as_ref());
    let said = |error: samplers::Error| error.to_string();
    match (&case.sigma_grid, case.sigma_range) {
        (Some(grid), None) => {
            let sigmas = k_diffusion::grid(options("sigma_grid", Some(grid))).map_err(said)?;
            let prepared = k_diffusion::prepare(name, kwargs, &sigmas).map_err(said)?;
            let mut found = drive(case, exact, &prepared, start)?;
            found.sigmas = sigmas;
            Ok(found)
        }
        (None, Some([sigma_min, sigma_max])) => {
            let calls = Cell::new(0);
            let mut noise = Recorded::new(case, &calls);
            let mut model = Model {
                exact,
                calls: &calls,
                asked: Vec::new(),
            };
            let range = k_diffusion::Range {
                sigma_min,
                sigma_max,
                args: case.args.clone(),
            };
            let result =
                k_diffusion::over_range(name, range, kwargs, &mut model, &mut noise, start)
                    .map_err(said)?;
            noise.complete()?;
            Ok(Found {
                levels: model.asked.into_iter().map(|(_, at)| at).collect(),
                trace: vec![result],
                ..Found::default()
            })
        }
        _ => Err("a case needs either `sigma_grid` or `sigma_range`".to_string()),
    }
}

fn edm_sampler(case: &Case, exact: &GaussianMixture, start: Array2<f64>) -> Result<Found, String> {
    let name = case.sampler.as_deref().ok_or("`sampler` is missing")?;
    let [low, high] = case.net_sigma_range.unwrap_or([None, None]);
    let range = (low.unwrap_or(0.0), high.unwrap_or(f64::INFINITY));
    let prepared = edm::prepare(name, options(name, case.kwargs.as_ref()), range)
        .map_err(|error| error.to_string())?;
    let scaled = &start * prepared.init_noise_sigma;
    drive(case, exact, &prepared, scaled)
}

/// Takes every step; the trace has the first state that each step asks the model about, and the result.
fn drive(
    case: &Case,
    exact: &GaussianMixture,
    prepared: &Prepared<Array2<f64>>,
    start: Array2<f64>,
) -> Result<Found, String> {
    let calls = Cell::new(0);
    let mut noise = Recorded::new(case, &calls);
    let mut model = Model {
        exact,
        calls: &calls,
        asked: Vec::new(),
    };
    let mut stepper = prepared.stepper.clone();
    let (mut found, mut x) = (Found::default(), start);
    for &(from, to) in &prepared.steps {
        let before = model.asked.len();
        let (answers, draws) = (&mut Lifted(&mut model), &mut Lifted(&mut noise));
        x = stepper
            .step(answers, draws, &x.into(), from, to)
            .into_state();
        if let Some((state, _)) = model.asked.get(before) {
            found.trace.push(state.clone());
        }
    }
    found.trace.push(x);
    found.levels = model.asked.into_iter().map(|(_, at)| at).collect();
    noise.complete()?;
    Ok(found)
}
