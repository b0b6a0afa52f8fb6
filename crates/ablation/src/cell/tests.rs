//! Cells that are left and taken up again.

use proptest::prelude::*;
use serde_json::json;

use super::*;
#[cfg(feature = "tch")]
use crate::config::{MemoryFormat, Precision};
use crate::fixture::{STUDY, plan};

/// Leaves the cell before the given step of its life, and keeps a checkpoint there and at each of `also`.
struct Leave {
    step: usize,
    at: Option<usize>,
    also: Vec<usize>,
    kept: Vec<Checkpoint>,
}

impl Watch for Leave {
    fn turn(&mut self) -> Turn {
        self.step += 1;
        if Some(self.step - 1) == self.at {
            Turn::Stop
        } else if self.also.contains(&(self.step - 1)) {
            Turn::Keep
        } else {
            Turn::GoOn
        }
    }

    fn keep(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Error> {
        // As the disk gives it back.
        let bytes = checkpoint.to_bytes();
        self.kept
            .push(Checkpoint::from_bytes(&bytes).expect("it is whole"));
        Ok(())
    }

    fn program(&self) -> &str {
        "this"
    }
}

fn watch(at: Option<usize>, also: &[usize]) -> Leave {
    Leave {
        step: 0,
        at,
        also: also.to_vec(),
        kept: Vec::new(),
    }
}

/// A short cell of the given data and network; `noise` selects the sampler.
fn cell(data: serde_json::Value, network: serde_json::Value, noise: bool) -> Cell {
    let (cell, _) = plan(STUDY).expect("the study is sound").cells().remove(0);
    let mut config = serde_json::to_value(cell.config).expect("plain data");
    config["data"] = data;
    config["network"] = network;
    config["objective"] = json!({ "kind": if noise { "denoising" } else { "sliced" } });
    let config: CellConfig = serde_json::from_value(config).expect("a configuration");
    Cell::new(config, 3)
}

fn undisturbed(cell: &Cell) -> (Finished, usize) {
    let mut watch = watch(None, &[]);
    let record = run(cell, None, None, &mut watch).expect("it runs");
    (record.expect("nobody stopped it"), watch.step)
}

/// Runs the cell, leaving it before each of these steps in turn.
fn disturbed(cell: &Cell, leave: &[usize]) -> Finished {
    let mut from = None;
    for &step in leave {
        let mut watch = watch(Some(step), &[]);
        match run(cell, None, from.take(), &mut watch).expect("it runs") {
            Some(record) => return record,
            None => from = watch.kept.pop(),
        }
        assert!(from.is_some(), "who stops keeps");
    }
    let mut watch = watch(None, &[]);
    let record = run(cell, None, from, &mut watch).expect("it runs");
    record.expect("nobody stopped it")
}

fn exact(noise: bool) -> Cell {
    cell(
        json!({ "kind": "song_ermon" }),
        json!({ "kind": "exact" }),
        noise,
    )
}

fn mlp() -> serde_json::Value {
    json!({ "kind": "mlp", "width": 8, "blocks": 2, "activation": "silu", "short": "identity", "init": "orthogonal_lsuv" })
}

fn cells() -> Vec<Cell> {
    let sphere = json!({ "kind": "sphere", "intrinsic": 2, "ambient": 4, "radius": 1.0 });
    let mut cells = vec![
        exact(false),
        exact(true),
        cell(sphere, json!({ "kind": "exact" }), true),
    ];
    if cfg!(feature = "tch") {
        for noise in [false, true] {
            cells.push(cell(json!({ "kind": "song_ermon" }), mlp(), noise));
        }
        let mut random = mlp();
        random["short"] = json!({ "stochastic_depth": 0.5 });
        let random = cell(json!({ "kind": "song_ermon" }), random, true);
        let mut config = serde_json::to_value(random.config).expect("plain data");
        config["probes"]["map"] = json!({
            "levels": [0.3, 6.5], "units": "layers", "micro_batches": 12, "examples": 4, "looks": ["end"], "seeds": 4,
            "agreement": { "micro_batches": 4, "after": [1, 7, 20] },
        });
        let config: CellConfig = serde_json::from_value(config).expect("a configuration");
        cells.push(Cell::new(config, 3));
    }
    cells
}

/// A cell of the plane whose noise levels weigh like this, trained, and its training losses.
#[cfg(feature = "tch")]
fn weighted(weighting: serde_json::Value) -> (Cell, Vec<f64>) {
    let of = cell(json!({ "kind": "song_ermon" }), mlp(), true);
    let mut config = serde_json::to_value(of.config).expect("plain data");
    config["objective"]["weighting"] = weighting;
    let config: CellConfig = serde_json::from_value(config).expect("a configuration");
    let cell = Cell::new(config, 3);
    let record = undisturbed(&cell).0.record;
    let losses = record.curves["loss"].points.iter().map(|point| point.y);
    (cell, losses.collect())
}

/// Of 20 steps, those that are looked at go by torch's graph and the others without one.
#[cfg(feature = "tch")]
#[test]
fn training_weighs_the_levels_as_it_is_told() {
    let (usual, losses) = weighted(json!("eps"));
    assert_eq!(losses.len(), 20);
    // Written out or not it is one cell, and so is a cap that is never reached, of 1/0.3², but by name.
    assert_eq!(
        usual.id,
        cell(json!({ "kind": "song_ermon" }), mlp(), true).id
    );
    let (capped, same) = weighted(json!({ "min_snr": 12.0 }));
    assert_eq!(same, losses);
    assert_ne!(capped.id, usual.id);
    // A cap below 1/50² leaves a weight that is uniform on the clean data, times the cap: Adam sees no factor.
    let (_, clean) = weighted(json!("x0"));
    let cap = 0.5_f64.powi(12);
    let (_, below) = weighted(json!({ "min_snr": cap }));
    for (step, ((usual, clean), below)) in losses.iter().zip(&clean).zip(&below).enumerate() {
        let error = below / (cap * clean) - 1.0;
        assert!(error.abs() < 1e-3, "step {step}: {error}");
        assert!(10.0 * usual < *clean, "step {step}: {usual} and {clean}");
    }
    // 1 + σ²/4.12² on the noise: the sum of the two.
    let first = weighted(json!("edm")).1[0];
    let error = first / (losses[0] + clean[0] / 4.12_f64.powi(2)) - 1.0;
    assert!(error.abs() < 1e-5, "{error}");
}

#[cfg(feature = "tch")]
fn transformer() -> serde_json::Value {
    json!({ "kind": "transformer", "patch": 8, "width": 8, "blocks": 3, "heads": 2, "activation": "gelu", "conditioning": "adaln_zero", "short": "identity", "long": "concat", "init": "xavier" })
}

#[cfg(feature = "tch")]
#[test]
fn a_transformer_goes_through_a_cell() {
    let of = cell(json!({ "kind": "gaussian_field" }), transformer(), true);
    let (finished, steps) = undisturbed(&of);
    assert_eq!(finished.record.outcome, Outcome::Measured {});
    assert_eq!(disturbed(&of, &[7, steps - 2]), finished);
    // Four tokens of eight numbers, of a position and a patch of order 1 each.
    let norm = finished.record.values["log_feature_norm"];
    assert!(0.0 < norm && norm < 2.0, "{norm}");
    let mlp = undisturbed(&cell(json!({ "kind": "song_ermon" }), mlp(), true));
    assert!(!mlp.0.record.values.contains_key("log_feature_norm"));
}

/// All layers and skips have a row; behind gates and a read-out of 0 only the read-out hears anything.
#[cfg(feature = "tch")]
#[test]
fn the_map_of_a_transformer_lists_its_units() {
    let mut config = map::tests::config(true, transformer());
    config["data"] = json!({ "kind": "gaussian_field" });
    config["probes"]["map"] = map::tests::probe();
    config["probes"]["map"]["skips"] = json!("factor");
    let network = serde_json::from_value(transformer()).expect("a network");
    let architecture = crate::architecture::Architecture::of(&network, &[1, 16, 16], "here");
    let architecture = architecture.expect("it can be built");
    let map = map::tests::measured(config, |_, _| {}).remove(0);
    let (skips, layers): (Vec<String>, Vec<String>) = map
        .units
        .iter()
        .cloned()
        .partition(|u| u.ends_with(".skip"));
    assert_eq!(skips, architecture.shortcut_names());
    let mut names = architecture.layer_names();
    names.retain(|name| !name.ends_with(".mix"));
    assert_eq!(layers, names);
    for (unit, cells) in map.units.iter().zip(map.cells.chunks(map.columns.len())) {
        for cell in cells {
            assert_eq!(cell.p == 1.0, unit != "read_out", "{unit}");
        }
    }
}

/// A network that says 0 has the loss |D − x₀|²/σ² of the denoiser that its row makes of it.
#[cfg(feature = "tch")]
#[test]
fn a_network_predicts_what_it_is_told() {
    let of = cell(json!({ "kind": "gaussian_field" }), transformer(), true);
    let config = of.config.diffusion().expect("a network").clone();
    let stream = Stream::new(3);
    let dataset = Dataset::of(&config, None, &stream);
    let batch = config.training.batch;
    let example = train::Example::draw(
        &config,
        &dataset,
        &stream,
        crate::stream::Role::Data,
        0,
        batch,
    );
    let std = config.noise.data_std;
    let mut ids = vec![of.id];
    for (target, skip) in [
        ("x0", (|_, _| 0.0) as fn(f64, f64) -> f64),
        ("v", |sigma, _| 1.0 / (1.0 + sigma * sigma)),
        ("edm", |sigma, std| std * std / (std * std + sigma * sigma)),
        ("eps", |_, _| 1.0),
    ] {
        let mut value = serde_json::to_value(&config).expect("plain data");
        value["objective"] = json!({ "kind": "denoising", "target": target });
        let cell = Cell::new(
            serde_json::from_value::<CellConfig>(value).expect("a configuration"),
            3,
        );
        let losses = &undisturbed(&cell).0.record.curves["loss"].points;
        let rows = example.x0.outer_iter().zip(example.noise.outer_iter());
        let wanted: f64 = rows
            .zip(&example.levels)
            .map(|((x0, noise), level)| {
                let sigma = level.sigma();
                let share = skip(sigma, std);
                let missed = |(x0, noise): (&f64, &f64)| share * (x0 + sigma * noise) - x0;
                let pairs = x0.iter().zip(noise);
                pairs
                    .map(|pair| (missed(pair) / sigma).powi(2))
                    .sum::<f64>()
            })
            .sum();
        let error = losses[0].y / (wanted / batch as f64) - 1.0;
        assert!(error.abs() < 1e-4, "{target}: {error}");
        ids.push(cell.id);
    }
    // The noise is what is predicted where nothing is said.
    let eps = ids.pop();
    assert_eq!(ids.first(), eps.as_ref());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[cfg(feature = "tch")]
#[test]
fn a_cell_in_bfloat16_is_another_cell_of_nearly_the_same_numbers() {
    let unet = json!({ "kind": "unet", "base": 8, "multipliers": [1, 2], "blocks": 1, "activation": "silu", "norm": "group", "short": "identity", "long": "concat", "init": "he" });
    let single = cell(json!({ "kind": "gaussian_field" }), unet, true);
    let mut config = single.config.diffusion().expect("a network").clone();
    config.noise.data_std = 1.0;
    let single = Cell::new(config.clone(), 3);
    config.numerics.precision = Precision::F32;
    assert_eq!(Cell::new(config.clone(), 3).id, single.id, "the default");
    config.numerics.precision = Precision::Bf16;
    config.numerics.memory_format = Precision::Bf16.memory_format();
    let rounded = Cell::new(config, 3);
    assert_ne!(rounded.id, single.id);
    let [exact, near] = [single, rounded].map(|cell| undisturbed(&cell).0);
    let said = serde_json::to_value(&near.record).expect("plain data");
    assert_eq!(said["cell"]["config"]["numerics"]["precision"], "bf16");
    assert_ne!(exact.weights, near.weights);
    for name in [
        "training_loss",
        "log_energy_distance",
        "log_denoising_error",
    ] {
        let [exact, near] = [&exact, &near].map(|cell| cell.record.values[name]);
        let least = 0.05 * exact.abs().max(1.0);
        assert!(
            (near - exact).abs() < least,
            "{name}: {near} against {exact}"
        );
    }
}

#[cfg(feature = "tch")]
#[test]
fn a_cell_in_another_memory_format_is_another_cell_of_the_same_numbers_to_rounding() {
    let unet = json!({ "kind": "unet", "base": 8, "multipliers": [1, 2], "blocks": 1, "activation": "silu", "norm": "group", "short": "identity", "long": "concat", "init": "he" });
    for (precision, noise, unit) in [
        (Precision::F32, true, 1e-3),
        // Sliced score matching differentiates twice.
        (Precision::F32, false, 1e-2),
        (Precision::Bf16, true, 0.05),
    ] {
        let cell = cell(json!({ "kind": "gaussian_field" }), unet.clone(), noise);
        let [first, last] = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast].map(|format| {
            let mut config = cell.config.diffusion().expect("a network").clone();
            config.noise.data_std = 1.0;
            config.numerics.precision = precision;
            config.numerics.memory_format = format;
            undisturbed(&Cell::new(config, 3)).0
        });
        assert_ne!(first.record.cell.id, last.record.cell.id);
        assert_ne!(
            first.weights, last.weights,
            "{precision} in one format alone"
        );
        let said = |cell: &Finished| {
            let record = serde_json::to_value(&cell.record).expect("plain data");
            record["cell"]["config"]["numerics"]["memory_format"].clone()
        };
        let spoken = match precision {
            Precision::F32 => [json!(null), json!("channels_last")],
            Precision::Bf16 => [json!("contiguous"), json!(null)],
        };
        assert_eq!([said(&first), said(&last)], spoken);
        let [first, last] = [first, last].map(|cell| cell.record.values["training_loss"]);
        assert!(
            (first - last).abs() < unit * first.abs().max(1.0),
            "{precision}, noise {noise}: {first} and {last}"
        );
    }
}

#[test]
fn a_cell_that_is_left_before_any_step_ends_the_same() {
    for cell in cells() {
        let (wanted, steps) = undisturbed(&cell);
        assert!(20 < steps, "{steps}");
        for step in 0..steps {
            assert_eq!(disturbed(&cell, &[step]), wanted, "left before step {step}");
        }
    }
}

#[test]
fn every_checkpoint_of_a_cell_leads_to_its_result() {
    for cell in cells() {
        let (wanted, steps) = undisturbed(&cell);
        let mut watch = watch(None, &(0..steps).collect::<Vec<_>>());
        let record = run(&cell, None, None, &mut watch).expect("it runs");
        assert_eq!(record.as_ref(), Some(&wanted), "keeping changes nothing");
        assert_eq!(watch.kept.len(), steps);
        assert!(
            watch
                .kept
                .windows(2)
                .all(|pair| pair[0].place < pair[1].place)
        );
        for checkpoint in watch.kept {
            let place = checkpoint.place;
            let mut calm = self::watch(None, &[]);
            let record = run(&cell, None, Some(checkpoint), &mut calm).expect("it runs");
            assert_eq!(record.as_ref(), Some(&wanted), "{place:?}");
        }
    }
}

#[test]
fn a_cell_that_diverged_stays_so() {
    let cell = exact(false);
    let mut config = cell.config.diffusion().expect("a network").clone();
    config.sampling.langevin.step = 1e9;
    let cell = Cell::new(config, 0);
    let (wanted, steps) = undisturbed(&cell);
    assert!(matches!(
        wanted.record.outcome,
        Outcome::Diverged {
            stage: Stage::Langevin,
            ..
        }
    ));
    for step in 0..steps {
        assert_eq!(disturbed(&cell, &[step]), wanted, "left before step {step}");
    }
}

#[cfg(feature = "tch")]
#[test]
fn a_training_that_diverged_is_a_result_of_finite_numbers() {
    for noise in [false, true] {
        let cell = cell(json!({ "kind": "song_ermon" }), mlp(), noise);
        let mut config = cell.config.diffusion().expect("a network").clone();
        config.training.rate = 1e30;
        let cell = Cell::new(config, 3);
        let (wanted, steps) = undisturbed(&cell);
        let record = &wanted.record;
        let Outcome::Diverged {
            stage: Stage::Training,
            step,
        } = record.outcome
        else {
            panic!("{:?}", record.outcome)
        };
        assert_eq!(record.evaluations.training, step);
        // A number that is none is written as null, and does not read.
        let bytes = serde_json::to_vec(record).expect("plain data");
        let read: Record = serde_json::from_slice(&bytes).expect("finite numbers");
        assert_eq!(read, *record);
        let points = record.curves.values().flat_map(|curve| &curve.points);
        let numbers = points.flat_map(|point| [point.x, point.y]);
        assert!(
            numbers
                .chain(record.values.values().copied())
                .all(f64::is_finite)
        );
        for at in 0..steps {
            let again = disturbed(&cell, &[at]);
            assert_eq!(again, wanted, "left before step {at}");
            assert_eq!(
                serde_json::to_vec(&again.record).expect("plain data"),
                bytes
            );
        }
    }
}

#[cfg(not(feature = "tch"))]
#[test]
fn a_network_needs_torch() {
    let (cell, _) = plan(STUDY).expect("the study is sound").cells().remove(0);
    let refused = run(&cell, None, None, &mut watch(None, &[]));
    assert!(matches!(refused, Err(Error::WithoutTorch)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_cell_may_be_left_any_number_of_times(
        which in any::<prop::sample::Index>(),
        leave in prop::collection::vec(0_usize..20, 0..6),
    ) {
        let cells = cells();
        let cell = which.get(&cells);
        prop_assert_eq!(disturbed(cell, &leave), undisturbed(cell).0);
    }
}
