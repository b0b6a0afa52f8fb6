//! Every rule refuses what breaks it.

use serde_json::{Value, json};

use super::*;
use crate::fixture::{STUDY, plan, refusal};

fn base() -> Value {
    let plan = plan(STUDY).expect("the study is sound");
    serde_json::to_value(&plan.studies[0].blocks[0].arms[0].config).expect("plain data")
}

fn check_value(value: Value) -> Result<(), Error> {
    check(
        &serde_json::from_value(value).expect("a configuration"),
        "here",
    )
}

#[test]
fn every_rule_refuses_what_breaks_it() {
    let sphere = |intrinsic: u64, ambient: u64, radius: f64| json!({ "kind": "sphere", "intrinsic": intrinsic, "ambient": ambient, "radius": radius });
    let images = |held_out: u32| json!({ "kind": "images", "name": "x", "held_out": held_out, "digest": "d", "shape": [1, 8, 8] });
    let nameless =
        json!({ "kind": "images", "name": "", "held_out": 128, "digest": "d", "shape": [1, 8, 8] });
    let noisy = json!({ "kind": "images", "name": "x", "held_out": 128, "noise": -0.1, "digest": "d", "shape": [1, 8, 8] });
    for (pointer, value, name) in [
        ("/data", sphere(1, 2, 1.0), "data.intrinsic"),
        ("/data", sphere(3, 2, 1.0), "data.ambient"),
        ("/data", sphere(2, 2, 0.0), "data.radius"),
        ("/data", images(0), "data.held_out"),
        ("/data", nameless, "data.name"),
        ("/data", noisy, "data.noise"),
        ("/data", images(127), "probes.fresh"),
        ("/noise/sigma_min", json!(0.0), "noise.sigma_min"),
        ("/noise/sigma_min", json!(-0.3), "noise.sigma_min"),
        ("/noise/sigma_min", json!(1e-300), "noise.sigma_min"),
        ("/noise/sigma_max", json!(0.3), "noise.sigma_max"),
        ("/noise/sigma_max", json!(1e300), "noise.sigma_max"),
        ("/noise/data_std", json!(0.0), "noise.data_std"),
        (
            "/objective",
            json!({ "kind": "sliced_differences", "step": 0.0 }),
            "objective.step",
        ),
        (
            "/objective",
            json!({ "kind": "denoising", "weighting": { "min_snr": 0.0 } }),
            "objective.weighting.min_snr",
        ),
        ("/training/steps", json!(0), "training.steps"),
        ("/training/batch", json!(1), "training.batch"),
        ("/training/rate", json!(-1.0), "training.rate"),
        ("/training/warmup", json!(21), "training.warmup"),
        ("/sampling/samples", json!(7), "sampling.samples"),
        ("/sampling/evaluations", json!(0), "sampling.evaluations"),
        (
            "/sampling/langevin/step",
            json!(0.0),
            "sampling.langevin.step",
        ),
        (
            "/sampling/langevin/start",
            json!({ "uniform": 0.0 }),
            "sampling.langevin.start",
        ),
        (
            "/sampling/langevin/start",
            json!({ "gaussian": -1.0 }),
            "sampling.langevin.start",
        ),
        (
            "/sampling/annealed/levels",
            json!(1),
            "sampling.annealed.levels",
        ),
        (
            "/sampling/annealed/levels",
            json!(3),
            "sampling.annealed.levels",
        ),
        (
            "/sampling/annealed/from",
            json!(0.3),
            "sampling.annealed.from",
        ),
        (
            "/sampling/annealed/from",
            json!(51.0),
            "sampling.annealed.from",
        ),
        (
            "/sampling/annealed/epsilon",
            json!(0.0),
            "sampling.annealed.epsilon",
        ),
        ("/sampling/ode/steps", json!(0), "sampling.ode.steps"),
        ("/probes/fresh", json!(7), "probes.fresh"),
        ("/probes/queries", json!(7), "probes.queries"),
        (
            "/probes/off_data",
            json!({ "uniform": 0.0 }),
            "probes.off_data",
        ),
        ("/probes/levels", json!([0.2]), "probes.levels"),
        ("/probes/levels", json!([0.3, 50.1]), "probes.levels"),
        ("/probes/depths", json!([2, 0]), "probes.depths"),
        ("/numerics/threads", json!(0), "numerics.threads"),
        ("/numerics/threads", json!(1025), "numerics.threads"),
        ("/probes/depths", json!([10_001]), "probes.depths"),
        ("/data", sphere(2, 1 << 40, 1.0), "data.ambient"),
        ("/training/batch", json!(i64::MAX), "training.batch"),
        ("/sampling/samples", json!(i64::MAX), "sampling.samples"),
        (
            "/sampling/evaluations",
            json!(i64::MAX),
            "sampling.evaluations",
        ),
        ("/sampling/ode/steps", json!(i64::MAX), "sampling.ode.steps"),
        ("/probes/fresh", json!(i64::MAX), "probes.fresh"),
        ("/probes/queries", json!(i64::MAX), "probes.queries"),
        ("/probes/bands", json!(i64::MAX), "probes.bands"),
    ] {
        let mut config = base();
        *config.pointer_mut(pointer).expect("the setting exists") = value.clone();
        let message = refusal(check_value(config));
        assert!(
            message.starts_with(&format!("here: {name} = ")),
            "{pointer} = {value}: {message}"
        );
    }
    assert!(check_value(base()).is_ok());
}

#[test]
fn bfloat16_is_for_u_nets_that_learn_with_noise() {
    let mut config = base();
    let network = json!({ "kind": "unet", "base": 8, "multipliers": [1, 2], "blocks": 1, "activation": "silu", "norm": "group", "short": "identity", "long": "add", "init": "he" });
    config["data"] = json!({ "kind": "gaussian_field" });
    config["network"] = network.clone();
    config["objective"] = json!({ "kind": "denoising" });
    config["numerics"]["precision"] = json!("bf16");
    assert!(check_value(config.clone()).is_ok());
    for (pointer, value, why) in [
        ("/network", base()["network"].clone(), "U-Nets"),
        ("/network", json!({ "kind": "exact" }), "U-Nets"),
        ("/objective", json!({ "kind": "sliced" }), "derivatives"),
        (
            "/objective",
            json!({ "kind": "sliced_differences", "step": 0.1 }),
            "derivatives",
        ),
        ("/numerics/device", json!("cuda"), "processor"),
    ] {
        let mut config = config.clone();
        *config.pointer_mut(pointer).expect("the setting exists") = value;
        let message = refusal(check_value(config.clone()));
        assert!(
            message.starts_with("here: numerics.precision = Bf16"),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
        config["numerics"]["precision"] = json!("f32");
        assert!(check_value(config).is_ok());
    }
}

#[test]
fn channels_lie_last_in_images_alone() {
    let mut config = base();
    config["numerics"]["memory_format"] = json!("channels_last");
    for network in [base()["network"].clone(), json!({ "kind": "exact" })] {
        config["network"] = network;
        let message = refusal(check_value(config.clone()));
        assert!(
            message.starts_with("here: numerics.memory_format = \"channels_last\", but"),
            "{message}"
        );
        assert!(message.ends_with("leave it out"), "{message}");
    }
    config["data"] = json!({ "kind": "gaussian_field" });
    config["network"] = json!({ "kind": "unet", "base": 8, "multipliers": [1, 2], "blocks": 1, "activation": "silu", "norm": "group", "short": "identity", "long": "add", "init": "he" });
    assert!(check_value(config).is_ok());
}

#[test]
fn images_have_no_exact_score() {
    let mut config = base();
    config["data"] = json!({ "kind": "images", "name": "x", "held_out": 128, "digest": "d", "shape": [1, 8, 8] });
    assert!(check_value(config.clone()).is_ok());
    config["network"] = json!({ "kind": "exact" });
    let message = refusal(check_value(config));
    assert!(message.starts_with("here: network.kind = "), "{message}");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let sound = plan(STUDY).expect("the study is sound").studies[0].blocks[0].arms[0]
        .config
        .clone();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let changes: [fn(&mut CellConfig) -> &mut f64; 7] = [
            |config| &mut config.noise.sigma_min,
            |config| &mut config.noise.sigma_max,
            |config| &mut config.noise.data_std,
            |config| &mut config.training.rate,
            |config| &mut config.sampling.langevin.step,
            |config| &mut config.sampling.annealed.from,
            |config| &mut config.probes.levels[0],
        ];
        for change in changes {
            let mut config = sound.clone();
            *change(&mut config) = bad;
            refusal(check(&config, "here"));
        }
    }
}
