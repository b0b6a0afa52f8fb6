//! Known answers of the denoising experiment, on tiny sizes.

use serde_json::json;

use super::*;

fn experiment(patch: serde_json::Value) -> Denoising {
    let mut all = json!({
        "bed": { "kind": "sphere", "intrinsic": 2, "ambient": 2 },
        "data_std": 0.7,
        "network": {
            "kind": "mlp", "width": 32, "blocks": 2, "activation": "silu",
            "short": "inverse_sqrt_depth", "init": "pytorch",
        },
        "target": "eps",
        "weighting": "eps",
        "levels": { "kind": "range", "from": 0.2, "to": 3.0 },
        "training": { "steps": 300, "batch": 64, "rate": 0.005, "warmup": 10 },
        "measured": [0.2, 0.7, 3.0],
        "queries": 400,
        "every": 20,
        "threshold": 0.1,
        "side": 3.0,
        "audible": 0.3,
        "bands": 0,
    });
    for (key, value) in patch.as_object().expect("an object") {
        all[key] = value.clone();
    }
    serde_json::from_value(all).expect("a complete experiment")
}

fn refused(patch: serde_json::Value) -> String {
    let checked = experiment(patch).check(&Place("here".to_owned()));
    checked.expect_err("it is refused").to_string()
}

#[test]
fn mistakes_are_named() {
    let clean = json!({ "levels": { "kind": "clean" }, "measured": [0.0] });
    assert!(refused(clean).contains("on a bed with a density"));
    assert!(refused(json!({ "network": { "kind": "exact" } })).contains("give a network"));
    assert!(refused(json!({ "measured": [0.5, 0.2] })).contains("sort them"));
    assert!(refused(json!({ "bands": 4 })).contains("0..=0"));
    assert!(refused(json!({ "sampled": [10] })).contains("drawn from fields"));
    assert!(refused(json!({ "sampled": [10, 10] })).contains("sort them"));
    let levels = json!({ "levels": { "kind": "range", "from": 1.0, "to": 0.5 } });
    assert!(refused(levels).contains("above levels.from"));
}

#[cfg(feature = "tch")]
mod trained {
    use super::{super::run::crossing, *};
    use crate::experiment::tests::record;

    #[test]
    fn a_crossing_is_interpolated() {
        let course = [(0.0, 0.0), (10.0, -1.0), (100.0, -2.0), (200.0, -2.0)];
        assert!(
            (crossing(&course, -1.5).expect("it comes there") - 1000.0_f64.sqrt()).abs() < 1e-9
        );
        assert_eq!(crossing(&course, -3.0), None);
        assert_eq!(crossing(&course, 0.5), Some(1.0));
    }

    #[test]
    fn a_small_network_learns_a_circle_and_time_is_taken() {
        let numbers = record(experiment(json!({})), 1).values;
        assert!(numbers["error"] < -1.0, "{numbers:?}");
        assert!(numbers["steps_to_threshold"] < 300.0 && numbers["reached"] == 1.0);
        assert!(0.5 < numbers["audible"], "{numbers:?}");
        assert!(numbers["audible_smallest"] <= numbers["audible"]);
        // Read-in, read-out, two blocks of two layers, the embedding of the level and its shifts.
        assert!(4000.0 < numbers["parameters"], "{numbers:?}");
    }

    #[test]
    fn one_level_is_heard_in_less_of_the_box_than_many() {
        let single = json!({
            "levels": { "kind": "listed", "values": [0.2] }, "measured": [0.2],
        });
        let single = record(experiment(single), 1).values;
        let many = record(experiment(json!({})), 1).values;
        assert!(single["audible"] < many["audible"], "{single:?} {many:?}");
        assert_eq!(single["audible"], single["audible_smallest"]);
    }

    #[test]
    fn clean_data_with_a_density_are_learned_without_levels() {
        let clean = json!({
            "bed": { "kind": "song_ermon" }, "data_std": 5.0, "side": 8.0,
            "levels": { "kind": "clean" }, "measured": [0.0],
        });
        let numbers = record(experiment(clean), 2).values;
        assert!(numbers["error_on_data"] < 0.6, "{numbers:?}");
        assert!(numbers["quintile_5"] < numbers["quintile_1"], "{numbers:?}");
    }

    /// The identity is the best denoiser of a band at its own level but for a factor of about two, so an untrained
    /// network, whose output is small, has no band; and a look at no band leaves no number.
    #[test]
    fn fields_have_bands_and_a_finest_octave() {
        let field = json!({
            "bed": { "kind": "gaussian_field" }, "data_std": 0.5, "side": 0.0, "bands": 4,
            "queries": 16, "target": "x0", "sampled": [2, 8],
            "levels": { "kind": "range", "from": 0.1, "to": 10.0 }, "measured": [0.1, 1.0],
            "training": { "steps": 20, "batch": 8, "rate": 0.003, "warmup": 2 },
            "network": {
                "kind": "unet", "base": 4, "multipliers": [1, 2], "blocks": 1, "activation": "silu",
                "norm": "none", "short": "inverse_sqrt_depth", "long": "add", "init": "pytorch",
            },
        });
        let numbers = record(experiment(field), 1).values;
        assert!(numbers["top_error"] <= 0.0 && numbers.contains_key("bands_learned"));
        let drift = numbers["sampled_many"] - numbers["sampled_few"];
        assert!(0.0 < numbers["sampled_few"] && numbers["sampled_drift"] == drift);
        assert!(numbers["coarse_error"] <= 0.0);
        assert!(!numbers.contains_key("audible"));
    }
}
