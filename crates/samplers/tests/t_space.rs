//! diffusers' schedulers on the variance-preserving table: what they have in common with the steppers of this crate, and what is refused.
//! The numbers of the peer itself are compared by the conformance cases of the laboratory.

mod common;

use ndarray::{Array2, array};
use noise_schedule::Kernel;

use common::{Mixture, streams};
use samplers::compat::diffusers::prepare;
use samplers::compat::{Options, Value};
use samplers::{Ancestral, Lifted, Prepared, Silent, Stepper};

type Named<'a> = &'a [(&'a str, Value)];

fn options(owner: &str, pairs: Named<'_>) -> Options {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()));
    Options::new(owner, pairs)
}

fn scheduler(
    class: &str,
    config: Named<'_>,
    steps: usize,
    step: Named<'_>,
) -> Result<Prepared<Array2<f64>>, samplers::Error> {
    prepare(class, options(class, config), steps, options("step", step))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_string())
}

/// Without clipping they are the ancestral steps along their own levels, up to the rounding of their coefficients.
#[test]
fn they_are_ancestral_steps_along_their_levels() {
    let mixture = Mixture::two_modes();
    let unclipped = [("clip_sample", Value::Bool(false))];
    let large = [unclipped[0].clone(), ("variance_type", text("fixed_large"))];
    let cases: [(&str, Named<'_>, Named<'_>, Ancestral, f64); 4] = [
        (
            "DDIMScheduler",
            &unclipped,
            &[],
            Ancestral::new(0.0).unwrap(),
            1e-6,
        ),
        (
            "DDIMScheduler",
            &unclipped,
            &[("eta", Value::Number(0.6))],
            Ancestral::new(0.6).unwrap(),
            1e-6,
        ),
        (
            "DDPMScheduler",
            &unclipped,
            &[],
            Ancestral::new(1.0).unwrap(),
            1e-4,
        ),
        ("DDPMScheduler", &large, &[], Ancestral::fixed_large(), 1e-4),
    ];
    let start = array![[0.3, -1.0], [1.4, 0.2]];
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    for (class, config, step, mut stepper, tolerance) in cases {
        let prepared = scheduler(class, config, 20, step).unwrap();
        let found = prepared.run(&mut model, &mut streams(1, 0..2), start.clone());
        let mut noise = streams(1, 0..2);
        let plain = prepared.steps.iter().fold(start.clone(), |x, &(from, to)| {
            stepper.step(&mut model, &mut noise, &x, from, to)
        });
        let error = (&found - &plain).fold(0.0, |worst: f64, d| worst.max(d.abs()));
        assert!(error < tolerance, "{class} {config:?} {step:?}: {error}");
    }
}

/// The parallel classes differ in what they offer besides.
#[test]
fn parallel_classes_are_the_same_samplers() {
    let mixture = Mixture::two_modes();
    let mut model = |x: &Array2<f64>, at: Kernel| x.mapv(|x| mixture.denoise(x, at));
    for (one, other) in [
        ("DDIMScheduler", "DDIMParallelScheduler"),
        ("DDPMScheduler", "DDPMParallelScheduler"),
    ] {
        let mut run = |class| {
            let prepared = scheduler(class, &[], 7, &[]).unwrap();
            prepared.run(&mut model, &mut streams(2, 0..1), array![[0.8, -0.3]])
        };
        assert_eq!(run(one), run(other));
    }
}

/// A file for one class is read by the others, which pass over what they do not have: these are fields of published files.
#[test]
fn fields_of_other_classes_have_no_effect() {
    let mut model = |x: &Array2<f64>, _: Kernel| x.mapv(|x| 0.5 * x);
    let foreign = [
        ("skip_prk_steps", Value::Bool(true)),
        ("sigma_min", Value::Null),
        ("use_karras_sigmas", Value::Bool(true)),
        ("interpolation_type", text("linear")),
    ];
    let mut run = |config: Named<'_>| {
        let prepared = scheduler("DDIMScheduler", config, 4, &[]).unwrap();
        prepared.run(&mut model, &mut Silent, array![[0.8, -0.3]])
    };
    assert_eq!(run(&foreign), run(&[]));
    // The peer's grids read these from any class's file.
    let error = scheduler(
        "DDIMScheduler",
        &[("sigma_max", Value::Number(80.0))],
        4,
        &[],
    );
    assert!(error.unwrap_err().to_string().contains("sigma_max"));
}

/// Clipping of the sample without its noise leaves the state where use_clipped_model_output does not.
#[test]
fn clipped_samples_keep_the_noise_of_unclipped_ones() {
    let mut model = |x: &Array2<f64>, _: Kernel| Array2::from_elem(x.raw_dim(), 3.0);
    let mut run = |rederived: bool| {
        let step = [("use_clipped_model_output", Value::Bool(rederived))];
        let prepared = scheduler("DDIMScheduler", &[], 2, &step).unwrap();
        let mut stepper = prepared.stepper.clone();
        let (from, to) = prepared.steps[0];
        let state = array![[0.5]].into();
        let next = stepper.step(&mut Lifted(&mut model), &mut Silent, &state, from, to);
        let found = next.into_state()[[0, 0]];
        let noise = |denoised: f64| (0.5 - from.alpha() * denoised) / from.sigma();
        let expected = to.alpha() + to.sigma() * noise(if rederived { 1.0 } else { 3.0 });
        // The roots of the peer are in single precision.
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        found
    };
    assert!(run(true) != run(false));
}

/// What the peer raises for, or answers with NaN, is said when the scheduler is prepared.
#[test]
fn what_the_peer_cannot_run_is_refused() {
    let zero = [
        ("rescale_betas_zero_snr", Value::Bool(true)),
        ("timestep_spacing", text("trailing")),
    ];
    let refused: [(&str, Named<'_>, usize, Named<'_>, &str); 15] = [
        (
            "DDIMScheduler",
            &zero,
            5,
            &[],
            "does not determine the sample",
        ),
        (
            "DDPMScheduler",
            &zero,
            5,
            &[],
            "does not determine the sample",
        ),
        (
            "DDIMScheduler",
            &[],
            1001,
            &[],
            "at most num_train_timesteps",
        ),
        (
            "DDIMScheduler",
            &[("steps_offset", Value::Number(20.0))],
            100,
            &[],
            "timestep 1010 of 1000",
        ),
        (
            "DDIMScheduler",
            &[],
            10,
            &[("eta", Value::Number(4.0))],
            "finite",
        ),
        (
            "DDIMScheduler",
            &[("clip_sample_range", Value::Number(-1.0))],
            10,
            &[],
            "clip_sample_range",
        ),
        (
            "DDIMScheduler",
            &[("skip_prk_step", Value::Bool(true))],
            10,
            &[],
            "unknown option `skip_prk_step`",
        ),
        (
            "DDIMInverseScheduler",
            &[("prediction_type", text("sample"))],
            10,
            &[],
            "finite",
        ),
        (
            "DDPMScheduler",
            &[("variance_type", text("fixed_large_log"))],
            10,
            &[],
            "finite",
        ),
        (
            "DDPMScheduler",
            &[("variance_type", text("learned_range"))],
            10,
            &[],
            "second output",
        ),
        (
            "PNDMScheduler",
            &[("prediction_type", text("sample"))],
            10,
            &[],
            "prediction_type",
        ),
        ("PNDMScheduler", &[], 3, &[], "at least 4"),
        ("LCMScheduler", &[], 51, &[], "51 steps"),
        (
            "TCDScheduler",
            &[],
            4,
            &[("eta", Value::Number(1.5))],
            "in [0, 1]",
        ),
        (
            "CMStochasticIterativeScheduler",
            &[],
            41,
            &[],
            "at most num_train_timesteps",
        ),
    ];
    for (class, config, steps, step, message) in refused {
        let error = scheduler(class, config, steps, step)
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{class} {config:?}: {error}");
    }
}
