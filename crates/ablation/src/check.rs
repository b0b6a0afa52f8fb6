//! Impossible values, refused before any work starts.

use crate::{
    architecture::MOST_BLOCKS,
    config::{CellConfig, Data, Device, MemoryFormat, Network, Objective, Precision, Start},
    error::Error,
};

/// More of anything than a machine holds: beyond it, a slip of the keyboard, refused before it is multiplied.
const MOST: usize = 100_000_000;

/// Noise levels that single precision can compute with.
const LEVELS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// Checks every value of a resolved configuration.
///
/// # Errors
///
/// [`Error::Impossible`] names the first setting that breaks its rule.
pub(crate) fn check(config: &CellConfig, place: &str) -> Result<(), Error> {
    let refuse = |name: &str, value: String, rule: &str| {
        Err(Error::Impossible {
            place: place.to_owned(),
            name: name.to_owned(),
            value,
            rule: rule.to_owned(),
        })
    };
    macro_rules! require {
        ($holds:expr, $name:literal, $value:expr, $rule:literal) => {
            if !$holds {
                return refuse($name, format!("{:?}", $value), $rule);
            }
        };
    }
    let positive = |x: f64| x.is_finite() && 0.0 < x;
    let ambient = match config.data {
        Data::Sphere { ambient, .. } => ambient,
        _ => 0,
    };
    let counts = [
        ("data.ambient", ambient),
        ("training.batch", config.training.batch),
        ("sampling.samples", config.sampling.samples),
        ("sampling.evaluations", config.sampling.evaluations),
        ("sampling.ode.steps", config.sampling.ode.steps),
        ("probes.fresh", config.probes.fresh),
        ("probes.queries", config.probes.queries),
        ("probes.bands", config.probes.bands),
    ];
    if let Some((name, value)) = counts.into_iter().find(|(_, value)| MOST < *value) {
        return refuse(name, value.to_string(), "no machine holds more than 10⁸");
    }

    match &config.data {
        Data::Sphere {
            intrinsic,
            ambient,
            radius,
        } => {
            require!(
                2 <= *intrinsic,
                "data.intrinsic",
                intrinsic,
                "a sphere spans at least 2 dimensions"
            );
            require!(
                intrinsic <= ambient,
                "data.ambient",
                ambient,
                "it must be at least data.intrinsic"
            );
            require!(
                positive(*radius),
                "data.radius",
                radius,
                "a radius is a finite number > 0"
            );
        }
        Data::Images {
            held_out,
            name,
            noise,
            ..
        } => {
            require!(
                1 <= *held_out,
                "data.held_out",
                held_out,
                "at least 1 image must be kept back as fresh data"
            );
            require!(!name.is_empty(), "data.name", name, "the set needs a name");
            require!(
                0.0 <= *noise && noise.is_finite(),
                "data.noise",
                noise,
                "the noise in the images is a finite number >= 0"
            );
        }
        Data::SongErmon {} | Data::GaussianField {} => {}
    }
    let images = matches!(config.data, Data::Images { .. });
    require!(
        !(images && matches!(config.network, Network::Exact {})),
        "network.kind",
        "exact",
        "images from files have no exact score: leave the reference block out"
    );
    let noise = &config.noise;
    require!(
        LEVELS.contains(&noise.sigma_min),
        "noise.sigma_min",
        noise.sigma_min,
        "a noise level lies within [1e-6, 1e6], where single precision holds its square"
    );
    require!(
        LEVELS.contains(&noise.sigma_max) && noise.sigma_min < noise.sigma_max,
        "noise.sigma_max",
        noise.sigma_max,
        "it must be above noise.sigma_min and at most 1e6"
    );
    require!(
        positive(noise.data_std),
        "noise.data_std",
        noise.data_std,
        "a standard deviation is a finite number > 0"
    );
    if let Objective::SlicedDifferences { step } = config.objective {
        require!(
            positive(step),
            "objective.step",
            step,
            "the length of a difference is a finite number > 0"
        );
        require!(
            matches!(config.data, Data::SongErmon {} | Data::GaussianField {}),
            "objective.kind",
            "sliced_differences",
            "on data without a density a difference is itself a noise level: use kind = \"sliced\""
        );
    }
    let training = &config.training;
    require!(
        1 <= training.steps,
        "training.steps",
        training.steps,
        "at least 1 step"
    );
    require!(
        2 <= training.batch,
        "training.batch",
        training.batch,
        "at least 2 examples"
    );
    require!(
        positive(training.rate),
        "training.rate",
        training.rate,
        "a learning rate is a finite number > 0"
    );
    require!(
        training.warmup <= training.steps,
        "training.warmup",
        training.warmup,
        "the warm-up cannot be longer than the training"
    );
    let sampling = &config.sampling;
    require!(
        8 <= sampling.samples,
        "sampling.samples",
        sampling.samples,
        "at least 8 samples"
    );
    require!(
        1 <= sampling.evaluations,
        "sampling.evaluations",
        sampling.evaluations,
        "at least 1 evaluation"
    );
    require!(
        positive(sampling.langevin.step),
        "sampling.langevin.step",
        sampling.langevin.step,
        "a step is a finite number > 0"
    );
    let (Start::Uniform(scale) | Start::Gaussian(scale)) = sampling.langevin.start;
    require!(
        positive(scale),
        "sampling.langevin.start",
        scale,
        "the scale of the start is a finite number > 0"
    );
    let annealed = &sampling.annealed;
    require!(
        2 <= annealed.levels,
        "sampling.annealed.levels",
        annealed.levels,
        "at least 2 levels"
    );
    require!(
        sampling.evaluations.is_multiple_of(annealed.levels),
        "sampling.annealed.levels",
        annealed.levels,
        "sampling.evaluations must be a multiple of it, so that both samplers spend the same"
    );
    require!(
        annealed.from.is_finite()
            && noise.sigma_min < annealed.from
            && annealed.from <= noise.sigma_max,
        "sampling.annealed.from",
        annealed.from,
        "it must lie above noise.sigma_min and not above noise.sigma_max, where the network was trained"
    );
    require!(
        positive(annealed.epsilon),
        "sampling.annealed.epsilon",
        annealed.epsilon,
        "a step is a finite number > 0"
    );
    require!(
        1 <= sampling.ode.steps,
        "sampling.ode.steps",
        sampling.ode.steps,
        "at least 1 step"
    );
    let probes = &config.probes;
    require!(
        8 <= probes.fresh,
        "probes.fresh",
        probes.fresh,
        "at least 8 fresh data points"
    );
    require!(
        8 <= probes.queries,
        "probes.queries",
        probes.queries,
        "at least 8 query points"
    );
    let (Start::Uniform(scale) | Start::Gaussian(scale)) = probes.off_data;
    require!(
        positive(scale),
        "probes.off_data",
        scale,
        "the scale is a finite number > 0"
    );
    for level in &probes.levels {
        require!(
            level.is_finite() && noise.sigma_min <= *level && *level <= noise.sigma_max,
            "probes.levels",
            level,
            "every level must lie within [noise.sigma_min, noise.sigma_max]"
        );
    }
    if let Data::Images { held_out, .. } = &config.data {
        require!(
            2 * probes.fresh <= *held_out,
            "probes.fresh",
            probes.fresh,
            "two fresh sets are drawn from the images kept back: data.held_out must be at least twice probes.fresh"
        );
    }
    require!(
        probes
            .depths
            .iter()
            .all(|depth| (1..=MOST_BLOCKS).contains(depth)),
        "probes.depths",
        probes.depths,
        "a depth is 1 to 10000 blocks"
    );
    require!(
        (1..=1024).contains(&config.numerics.threads),
        "numerics.threads",
        config.numerics.threads,
        "1 to 1024 threads"
    );
    let has_images = matches!(
        config.network.trained(),
        Network::Unet { .. } | Network::Published { .. }
    );
    if config.numerics.precision == Precision::Bf16 {
        require!(
            has_images,
            "numerics.precision",
            Precision::Bf16,
            "bfloat16 is for U-Nets: of a network on vectors it would round the points; leave it out"
        );
        require!(
            matches!(config.objective, Objective::Denoising {}),
            "numerics.precision",
            Precision::Bf16,
            "score matching on clean data takes derivatives of the score, which bfloat16 rounds away: train with noise, or leave it out"
        );
        require!(
            config.numerics.device == Device::Cpu,
            "numerics.precision",
            Precision::Bf16,
            "bfloat16 is known to agree with single precision on the processor alone: leave it out on a card"
        );
    }
    require!(
        has_images || config.numerics.memory_format == MemoryFormat::Contiguous,
        "numerics.memory_format",
        "channels_last",
        "channels lie last in the images of a U-Net, and this network has none: leave it out"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
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
        let nameless = json!({ "kind": "images", "name": "", "held_out": 128, "digest": "d", "shape": [1, 8, 8] });
        for (pointer, value, name) in [
            ("/data", sphere(1, 2, 1.0), "data.intrinsic"),
            ("/data", sphere(3, 2, 1.0), "data.ambient"),
            ("/data", sphere(2, 2, 0.0), "data.radius"),
            ("/data", images(0), "data.held_out"),
            ("/data", nameless, "data.name"),
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
}
