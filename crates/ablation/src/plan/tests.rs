//! Identity, refusals and the built-in studies.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};

use super::{Cell, Overrides, Plan};
use crate::{
    catalog,
    config::{CellConfig, Data, Device},
    error::Error,
    fixture::{STUDY, plan, plan_with, refusal, study_with},
    study,
    summary::Role,
};

fn ids(plan: &Plan) -> BTreeSet<String> {
    plan.cells().into_iter().map(|(cell, _)| cell.id).collect()
}

fn base() -> CellConfig {
    plan(STUDY).expect("the study is sound").studies[0].blocks[0].arms[0]
        .config
        .clone()
}

/// If this fails, every result that anybody keeps is orphaned: a field was renamed, added or is written in
/// another way. Raise the schema in `Cell::new`, say so in the changelog, and only then change the ids here.
#[test]
fn golden_ids() {
    let plan = plan(STUDY).expect("the study is sound");
    let main = &plan.studies[0].blocks[0].arms;
    let images: CellConfig = serde_json::from_value(images()).expect("a configuration");
    let found = [
        Cell::new(main[0].config.clone(), 0).id,
        Cell::new(main[3].config.clone(), 1).id,
        Cell::new(images, 7).id,
    ];
    assert_eq!(
        found,
        [
            "7050017257598d65501855501d65c30a",
            "9847251f6e0a637aec9a5358e03be5dc",
            "4641223b53ba26d4411e7562c08c45c6",
        ]
    );
}

/// A configuration with every kind of field that the study of the plane has not.
fn images() -> Value {
    let mut config = serde_json::to_value(base()).expect("plain data");
    config["data"] = json!({ "kind": "images", "name": "x", "held_out": 128, "digest": "d", "shape": [1, 8, 8] });
    config["network"] = json!({
        "kind": "unet", "base": 8, "multipliers": [1, 2], "blocks": 1, "activation": "relu", "norm": "group",
        "short": { "scaled": 0.5 }, "long": "add", "init": "he",
    });
    config["objective"] = json!({ "kind": "sliced_differences", "step": 0.01 });
    config["sampling"]["langevin"]["start"] = json!({ "gaussian": 1.0 });
    config
}

#[test]
fn the_order_of_keys_is_nothing() {
    let (head, rest) = STUDY
        .split_once("[config]\n")
        .expect("the section is there");
    let (config, tail) = rest
        .split_once("\n[config.sampling]")
        .expect("the section is there");
    let mut lines: Vec<&str> = config.lines().collect();
    lines.reverse();
    let turned = format!(
        "{head}[config]\n{}\n[config.sampling]{tail}",
        lines.join("\n")
    );
    let turned = turned.replace(
        "{ sigma_min = 0.3, sigma_max = 50.0,",
        "{ sigma_max = 50, sigma_min = 3e-1,",
    );
    assert_ne!(turned, STUDY);
    assert_eq!(
        ids(&plan(&turned).expect("the same study")),
        ids(&plan(STUDY).expect("the study"))
    );
}

#[test]
fn names_are_nothing() {
    let renamed = STUDY
        .replace("name = \"plane\"", "name = \"elsewhere\"")
        .replace("A plane", "Another heading")
        .replace("Does it work?", "Why?")
        .replace("well-initialised plain", "rival")
        .replace("delta = 0.1", "delta = 0.2");
    assert_ne!(renamed, STUDY);
    assert_eq!(
        ids(&plan(&renamed).expect("sound")),
        ids(&plan(STUDY).expect("sound"))
    );
}

#[test]
fn every_number_and_every_word_is_part_of_the_identity() {
    let plane = serde_json::to_value(base()).expect("plain data");
    let mut sphere = plane.clone();
    sphere["data"] = json!({ "kind": "sphere", "intrinsic": 2, "ambient": 8, "radius": 1.0 });
    for whole in [plane, sphere, images()] {
        let config = |value: &Value| -> CellConfig {
            serde_json::from_value(value.clone()).expect("a configuration")
        };
        let id = |value: &Value| Cell::new(config(value), 0).id;
        let mut seen = BTreeSet::from([id(&whole), Cell::new(config(&whole), 1).id]);
        let numbers = numbers(&whole, "");
        assert!(20 < numbers.len(), "{numbers:?}");
        for pointer in &numbers {
            let mut changed = whole.clone();
            let slot = changed.pointer_mut(pointer).expect("it was found there");
            *slot = match slot.as_u64() {
                Some(n) => json!(n + 1),
                None => json!(slot.as_f64().expect("a number") * 1.25),
            };
            assert!(
                seen.insert(id(&changed)),
                "{pointer} does not change the id"
            );
        }
        assert_eq!(seen.len(), numbers.len() + 2);
    }
}

/// Pointers of every number below a value.
fn numbers(value: &Value, pointer: &str) -> Vec<String> {
    match value {
        Value::Number(_) => vec![pointer.to_owned()],
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, inner)| numbers(inner, &format!("{pointer}/{key}")))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(i, inner)| numbers(inner, &format!("{pointer}/{i}")))
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_seed_or_an_arm_more_adds_cells_and_changes_none() {
    let two = ids(&plan(STUDY).expect("sound"));
    assert_eq!(two.len(), 4 * 2 + 2 + 2);
    let three = plan_with(
        STUDY,
        &Overrides {
            seeds: Some(3),
            ..Overrides::default()
        },
    )
    .expect("sound");
    assert!(ids(&three).is_superset(&two));
    assert_eq!(
        ids(&three).len(),
        4 * 3 + 2 + 2,
        "blocks beside the 2×2 keep their seeds"
    );
    let all = plan_with(
        STUDY,
        &Overrides {
            seeds: Some(3),
            all: true,
            ..Overrides::default()
        },
    )
    .expect("sound");
    assert_eq!(ids(&all).len(), 7 * 3);
    let fewer = plan_with(
        STUDY,
        &Overrides {
            seeds: Some(1),
            ..Overrides::default()
        },
    )
    .expect("sound");
    assert!(ids(&fewer).is_subset(&two));
}

#[test]
fn what_the_command_line_says_holds_for_every_cell() {
    let text = study_with(
        "set = { nuisance = 1 }",
        "set = { nuisance = 1, \"training.steps\" = 40 }",
    );
    let overrides = Overrides {
        steps: Some(8),
        device: Some(Device::Cuda),
        ..Overrides::default()
    };
    let changed = plan_with(&text, &overrides).expect("sound");
    for (cell, _) in changed.cells() {
        let config = cell.config.diffusion().expect("a network");
        assert_eq!((config.training.steps, config.training.warmup), (8, 2));
        assert_eq!(config.numerics.device, Device::Cuda);
    }
    assert!(ids(&changed).is_disjoint(&ids(&plan(STUDY).expect("sound"))));
}

#[test]
fn cells_come_seed_by_seed_and_each_once() {
    let cells = plan(STUDY).expect("sound").cells();
    let seeds: Vec<u32> = cells.iter().map(|(cell, _)| cell.seed).collect();
    assert!(seeds.is_sorted(), "{seeds:?}");
    let doubled =
        format!("{STUDY}\n[[beside]]\nname = \"again\"\nrole = \"depth\"\nset = {{}}\nseeds = 2\n");
    assert_eq!(plan(&doubled).expect("sound").cells().len(), cells.len());
}

#[test]
fn within_a_seed_the_longest_cells_come_first() {
    let cells = plan(STUDY).expect("sound").cells();
    let mut falls = 0;
    for pair in cells.windows(2) {
        let ((one, before), (other, after)) = (&pair[0], &pair[1]);
        if one.seed == other.seed {
            assert!(
                after <= before,
                "seed {}: {before} s, then {after} s",
                one.seed
            );
            falls += u32::from(after < before);
        }
    }
    assert!(0 < falls, "cells of one cost have any order");
}

#[test]
fn a_plan_survives_its_file() {
    let plan = plan(STUDY).expect("sound");
    let text = serde_json::to_string(&plan).expect("plain data");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("it reads"), plan);
}

#[test]
fn impossible_studies_are_refused() {
    let counter = "role = \"counter_arm\"";
    let cases = [
        ("schema = 1\n", "schema = 2\n", "schema = 2"),
        (
            "name = \"plane\"",
            "name = \"A plane\"",
            "name = \"A plane\"",
        ),
        ("name = \"plane\"", "name = \"\"", "name = \"\""),
        ("seeds = 2\nprimary", "seeds = 0\nprimary", "seeds = 0"),
        (
            "seeds = 2\nprimary",
            "seeds = 4294967295\nprimary",
            "seeds = 4294967295",
        ),
        (
            "seeds = 1\n\n[[beside]]",
            "seeds = 0\n\n[[beside]]",
            "seeds = 0",
        ),
        (
            "primary = \"log_energy_distance\"",
            "primary = \"log_energy_distanse\"",
            "did you mean `log_energy_distance`",
        ),
        (
            "effect = \"noise\"",
            "probe = \"nothing-like-it\"\neffect = \"noise\"",
            "no probe has that name",
        ),
        (
            "name = \"A/A\"",
            "name = \"well-initialised plain\"",
            "a name of its own",
        ),
        ("name = \"A/A\"", "name = \"the 2×2\"", "a name of its own"),
        ("role = \"a_a\"", "role = \"main\"", "role = main"),
        (
            "only = { skip = \"on\", noise = \"on\" }",
            "only = { skip = \"on\" }",
            "it repeats one arm",
        ),
        (
            "set = { nuisance = 1 }",
            "set = {}",
            "set = { nuisance = 1 }",
        ),
        (
            "only = { skip = \"off\" }",
            "only = { skip = \"on\" }",
            "it stands against skips",
        ),
        (
            "only = { skip = \"off\" }",
            "only = { skip = \"of\" }",
            "only.skip = \"of\"",
        ),
        (
            "only = { skip = \"off\" }",
            "only = { depth = \"off\" }",
            "the factors are `skip` and `noise`",
        ),
        ("delta = 0.1", "delta = -0.1", "delta = -0.1"),
        ("delta = 0.1", "delta = nan", "delta = NaN"),
        (
            "expect = \"lower\"\ndelta = 0.1",
            "expect = \"equal\"\ndelta = 0.0",
            "> 0 where equality is claimed",
        ),
        (counter, "role = \"depth\"", "counter_arm"),
        ("role = \"a_a\"", "role = \"depth\"", "role = \"a_a\""),
        (
            "on = { \"network.short\" = \"inverse_sqrt_depth\" }",
            "on = {}",
            "factors.skip = the same",
        ),
        (
            "on = { objective = { kind = \"denoising\" } }",
            "on = {}",
            "factors.noise = the same",
        ),
        ("width = 8", "width = 0", "width"),
        ("rate = 3e-3", "rate = inf", "training.rate = nan or inf"),
    ];
    for (from, to, expected) in cases {
        let text = study_with(from, to).replace(
            "effect = \"noise\"\nexpect = \"lower\"",
            match expected {
                "counter_arm" => "effect = \"skip_over_counter_with_noise\"\nexpect = \"lower\"",
                "role = \"a_a\"" => "effect = \"a_a\"\nexpect = \"lower\"",
                _ => "effect = \"noise\"\nexpect = \"lower\"",
            },
        );
        let message = refusal(plan(&text));
        assert!(
            message.contains(expected) && message.contains("study.toml"),
            "{to}: {message}"
        );
    }
}

#[test]
fn a_contrast_needs_an_id_of_its_own() {
    let (_, contrast) = STUDY.split_once("[[contrasts]]").expect("one contrast");
    let message = refusal(plan(&format!("{STUDY}\n[[contrasts]]{contrast}")));
    assert!(message.contains("contrasts.id = \"noise\""), "{message}");
}

#[test]
fn a_set_up_says_how_noise_levels_weigh() {
    let usual = "{ objective = { kind = \"denoising\" } }";
    let edm = "{ objective = { kind = \"denoising\", weighting = \"edm\" } }";
    let line = |text: &str, begin: &str| {
        let plan = plan(text).expect("the study is sound");
        let mut lines = plan.studies[0].setup.iter();
        lines
            .find(|line| line.starts_with(begin))
            .expect(begin)
            .clone()
    };
    let on = |weight: &str| format!("log-uniform on [0.3, 50], weight {weight}; sampled by");
    assert!(line(STUDY, "Noise on").contains(&on("sigma²")));
    let weighted = STUDY.replace(usual, edm);
    assert!(line(&weighted, "Noise on").contains(&on("sigma² + sigma⁴/4.12²")));
    let off = "{ objective = { kind = \"sliced\" } }";
    let both = STUDY.replace(off, edm);
    let said = "Noise off: denoising score matching with weight sigma² + sigma⁴/4.12² on";
    assert!(line(&both, said).contains(said));
}

#[test]
fn the_built_in_studies_are_sound() {
    for built_in in catalog::STUDIES {
        let folder = study::load(built_in.name).expect("it parses");
        let data = tempfile::tempdir().expect("a temporary folder");
        for study in &folder.studies {
            if let Data::Images { held_out, .. } = study.config.data {
                write_idx(data.path(), held_out as u32 + 1);
            }
        }
        let overrides = Overrides {
            data: Some(data.path().to_owned()),
            ..Overrides::default()
        };
        let plan = Plan::resolve(folder, &overrides)
            .unwrap_or_else(|error| panic!("{}: {error}", built_in.name));
        for study in &plan.studies {
            assert_eq!(study.blocks[0].arms.len(), 4, "{}", study.name);
            assert!(!study.contrasts.is_empty(), "{}", study.name);
            assert!(
                study.blocks.iter().all(|block| !block.arms.is_empty()),
                "{}",
                study.name
            );
            let parameters: BTreeSet<u64> = study.blocks[0]
                .arms
                .iter()
                .map(|arm| arm.parameters)
                .collect();
            assert_eq!(
                parameters.len(),
                1,
                "{}: an arm has more capacity than another",
                study.name
            );
        }
        assert_eq!(ids(&plan).len(), plan.cells().len());
    }
}

#[test]
fn the_studies_that_register_contrasts_have_a_control_arm() {
    let precision = concat!(env!("CARGO_MANIFEST_DIR"), "/studies/precision.toml");
    let names = catalog::STUDIES.iter().map(|built_in| built_in.name);
    for name in names.chain([precision]) {
        for study in study::load(name).expect("it parses").studies {
            let mut beside = study.beside.iter();
            assert!(
                beside.any(|block| block.role == Role::AA),
                "{}: what chance alone does is not known",
                study.name
            );
        }
    }
}

/// Black 28×28 images in the format of MNIST.
fn write_idx(folder: &Path, count: u32) {
    let mut bytes: Vec<u8> = [0x803, count, 28, 28]
        .into_iter()
        .flat_map(u32::to_be_bytes)
        .collect();
    bytes.resize(16 + count as usize * 28 * 28, 0);
    std::fs::write(folder.join("train-images-idx3-ubyte"), bytes).expect("a temporary file");
}

#[test]
fn images_enter_the_identity_by_their_content() {
    let text = STUDY.replace(
        "{ kind = \"song_ermon\" }",
        "{ kind = \"images\", name = \"tiny\", held_out = 128, digest = \"\", shape = [0, 0, 0] }",
    );
    let data = tempfile::tempdir().expect("a temporary folder");
    let overrides = Overrides {
        data: Some(data.path().to_owned()),
        ..Overrides::default()
    };
    write_idx(data.path(), 129);
    let first = plan_with(&text, &overrides).expect("129 images are enough");
    let (cell, _) = &first.cells()[0];
    let config = cell.config.diffusion().expect("a network");
    assert_eq!(config.shape(), [1, 28, 28]);
    write_idx(data.path(), 130);
    assert!(ids(&plan_with(&text, &overrides).expect("sound")).is_disjoint(&ids(&first)));
    write_idx(data.path(), 128);
    let message = refusal(plan_with(&text, &overrides));
    assert!(
        message.contains("data.held_out = 128") && message.contains("128 images"),
        "{message}"
    );
    let message = refusal(plan(&text));
    assert!(message.contains("--data DIR"), "{message}");
    assert!(matches!(plan(&text), Err(Error::Data(_))));
}
