//! The learnability map of a cell's network, as it is.

use learnability::{
    gradient::unit_grams,
    index,
    interval::Confidence,
    map::{Column, LearnabilityMap, Measurement, Objective as Of},
};
use resnet_blocks::{Opened, Shortcut};
use tch::{Kind, Tensor};

use super::{
    Work,
    model::{Learned, Model, kernel},
    train::{Example, loss},
};
use crate::{
    config::{CellConfig, Objective as Loss, Weighting},
    error::Error,
    frame::median,
    map::{self, CONFIDENCE, Look, Map, MapProbe, Objective, RATE, Reading, Skips, WHOLE},
    stream::Role,
};

/// Where the streams of the micro-batches begin: beyond every step of training.
pub(super) const BEGIN: u64 = 1 << 48;

impl Work<'_> {
    /// Measures the map if the study asks for one at this look: the arm's own objective, with its parts by noise level
    /// where it has noise; without noise the denoising loss by level, on the same weights and apart.
    ///
    /// All columns, and all arms of a seed, see the same examples.
    pub(super) fn map(&mut self, model: &Model, look: Look) -> Result<(), Error> {
        let config = self.config;
        let seed = self.at.record.cell.seed;
        let asked = |probe: &&MapProbe| probe.looks.contains(&look) && seed < probe.seeds;
        let Some(probe) = config.probes.map.as_ref().filter(asked) else {
            return Ok(());
        };
        let _opened: Vec<Opened> = match probe.skips {
            Some(Skips::Factor) => model.learned.shortcuts.iter().map(Shortcut::open).collect(),
            None => Vec::new(),
        };
        let levels = || probe.levels.iter().copied().map(Some);
        if config.objective.uses_noise() {
            let columns = [None].into_iter().chain(levels()).collect();
            self.whole(model, config, probe, look, Objective::Own, columns)?;
        } else {
            self.whole(model, config, probe, look, Objective::Own, vec![None])?;
            let columns: Vec<_> = levels().collect();
            if !columns.is_empty() {
                let of = Objective::Counterfactual;
                self.whole(model, &denoising(config), probe, look, of, columns)?;
            }
        }
        self.parts(model, probe, look)
    }

    /// The map of all of the loss.
    fn whole(
        &mut self,
        model: &Model,
        config: &CellConfig,
        probe: &MapProbe,
        look: Look,
        objective: Objective,
        levels: Vec<Option<f64>>,
    ) -> Result<(), Error> {
        let examples: Vec<Example> = (0..probe.micro_batches as u64)
            .map(|i| {
                let (dataset, common) = (self.dataset, &self.common);
                let begin = BEGIN + i;
                Example::draw(config, dataset, common, Role::Probe, begin, probe.examples)
            })
            .collect();
        let mut losses = |column: usize, i: usize| {
            let Example {
                x0,
                noise,
                levels: own,
            } = &examples[i];
            let own = match levels[column] {
                None => own.clone(),
                Some(sigma) => vec![kernel(sigma); probe.examples],
            };
            let (x0, noise) = (x0.clone(), noise.clone());
            self.loss(
                model,
                config,
                &Example {
                    x0,
                    noise,
                    levels: own,
                },
                i,
            )
        };
        let label = |level: &Option<f64>| Column {
            label: level.map_or_else(|| WHOLE.to_owned(), |sigma| format!("σ = {sigma}")),
            noise_level: *level,
        };
        let columns = levels.iter().map(label).collect();
        let map = self.measured(model, probe, look, objective, columns, &mut losses)?;
        if (look, objective) == (Look::End, Objective::Own) {
            self.enter_whole(&map, &model.learned);
        }
        self.at.record.maps.push(map);
        Ok(())
    }

    /// Mean loss of micro-batch `i`.
    pub(super) fn loss(
        &self,
        model: &Model,
        config: &CellConfig,
        example: &Example,
        i: usize,
    ) -> Tensor {
        let dropped = self.common.at(Role::Dropout, BEGIN + i as u64);
        let net = model.learned.in_training(dropped);
        loss(&net, model, config, example).mean(Kind::Float)
    }

    /// Signal and noise of every unit in every column; `losses` gives the mean loss of a column and a micro-batch.
    pub(super) fn measured(
        &self,
        model: &Model,
        probe: &MapProbe,
        look: Look,
        objective: Objective,
        columns: Vec<Column>,
        losses: &mut dyn FnMut(usize, usize) -> Tensor,
    ) -> Result<Map, Error> {
        let units = rows(&model.learned, probe);
        let flips = map::flips(units.len() * columns.len());
        let mut rng = self.common.at(Role::Probe, BEGIN - 1);
        let confidence = Confidence::new(CONFIDENCE).expect("within (0, 1)");
        let mut measured: Vec<Vec<Measurement>> = units.iter().map(|_| Vec::new()).collect();
        for column in 0..columns.len() {
            let grams = unit_grams(&mut |i| losses(column, i), probe.micro_batches, &units);
            for (row, gram) in measured.iter_mut().zip(&grams) {
                row.push(Measurement::of(gram, confidence, flips, &mut rng));
            }
        }
        let measured = LearnabilityMap::new(
            units.into_iter().map(|(name, _)| name).collect(),
            columns,
            match objective {
                Objective::Own => Of::Own,
                Objective::Counterfactual => Of::Counterfactual,
            },
            measured.into_iter().flatten().collect(),
            RATE,
        )
        .map_err(|error| Error::Impossible {
            place: "cell".to_owned(),
            name: "probes.map".to_owned(),
            value: probe.micro_batches.to_string(),
            rule: error.to_string(),
        })?;
        let steps = self.config.training.batch as f64 / probe.examples as f64;
        Ok(Map::of(&measured, look, objective, steps))
    }

    /// Existence, size and share of the gradient of the arm's own objective, over the rows that have weights.
    fn enter_whole(&mut self, map: &Map, learned: &Learned) {
        let has_weights = |unit: &str| {
            !learned
                .shortcuts
                .iter()
                .any(|shortcut| shortcut.name() == unit)
        };
        let rows = map.units.iter().zip(map.cells.chunks(map.columns.len()));
        let rows = rows.filter(|(unit, _)| has_weights(unit));
        let whole: Vec<&Reading> = rows.map(|(_, cells)| &cells[0]).collect();
        let silent: Vec<bool> = whole.iter().map(|cell| cell.silent).collect();
        let heard = whole.iter().filter_map(|cell| cell.heard()).collect();
        let access: Vec<f64> = whole
            .iter()
            .map(|cell| cell.heard().map_or(0.0, |log| 10_f64.powf(log)))
            .collect();
        // As much signal as noise in one step, and in all steps of training together.
        let steps = self.config.training.steps as f64;
        let [of_step, of_training] =
            [1.0, 1.0 / steps].map(|reference| index::level_aware(&access, reference));
        for (probe, value) in [
            ("map_silent_fraction", index::silent_fraction(&silent)),
            ("map_log_gsnr", median(heard)),
            ("map_fairness", of_step),
            ("map_fairness_floor", of_training),
        ] {
            self.at.record.set(probe, value.unwrap_or(f64::NAN));
        }
    }
}

/// The same cell under the denoising loss, in its usual weighting; at one level a factor, which no reading sees.
pub(super) fn denoising(config: &CellConfig) -> CellConfig {
    CellConfig {
        objective: Loss::Denoising {
            target: config.objective.target(),
            weighting: Weighting::default(),
        },
        ..config.clone()
    }
}

/// The layers, gathered into the rows of the map, and the skips whose shortcuts have a factor, each where it joins.
fn rows(learned: &Learned, probe: &MapProbe) -> Vec<(String, Vec<Tensor>)> {
    let mut rows: Vec<(String, Vec<Tensor>)> = Vec::new();
    let skips_after = |layers: usize| {
        let here = move |shortcut: &&Shortcut| shortcut.after() == layers;
        let shortcuts = learned.shortcuts.iter().filter(here);
        shortcuts
            .filter_map(|shortcut| Some((shortcut.name().to_owned(), vec![shortcut.factor()?])))
    };
    for (before, (layer, parameters)) in learned.units.iter().enumerate() {
        rows.extend(skips_after(before));
        let name = probe.units.row(layer);
        let parameters = parameters.iter().map(Tensor::shallow_clone);
        match rows.iter_mut().find(|(row, _)| row == name) {
            Some((_, all)) => all.extend(parameters),
            None => rows.push((name.to_owned(), parameters.collect())),
        }
    }
    rows.extend(skips_after(learned.units.len()));
    rows
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cell::{Turn, Watch, fresh},
        checkpoint::{Checkpoint, Place},
        dataset::Dataset,
        fixture::{STUDY, plan},
        plan::Cell,
        record::Record,
        stream::Stream,
    };

    struct Nobody;

    impl Watch for Nobody {
        fn turn(&mut self) -> Turn {
            Turn::GoOn
        }

        fn keep(&mut self, _: &mut Checkpoint) -> Result<(), Error> {
            Ok(())
        }

        fn program(&self) -> &str {
            "this"
        }
    }

    /// The maps of an untrained cell whose parameters are changed first, in the order of the layers.
    fn maps(noise: bool, network: serde_json::Value, change: impl Fn(&str, &Tensor)) -> Vec<Map> {
        let (mut config, probe) = (config(noise, network), probe());
        config["probes"]["map"] = probe;
        measured(config, change)
    }

    /// A cell of the plane, as text.
    pub(in crate::cell) fn config(noise: bool, network: serde_json::Value) -> serde_json::Value {
        let (cell, _) = plan(STUDY).expect("the study is sound").cells().remove(0);
        let mut config = serde_json::to_value(cell.config).expect("plain data");
        config["objective"] = json!({ "kind": if noise { "denoising" } else { "sliced" } });
        config["network"] = network;
        config
    }

    pub(in crate::cell) fn probe() -> serde_json::Value {
        json!({
            "levels": [0.3, 6.5], "units": "layers", "micro_batches": 64, "examples": 8, "looks": ["start"], "seeds": 4
        })
    }

    /// The maps before training of a cell whose parameters are changed first.
    pub(in crate::cell) fn measured(
        config: serde_json::Value,
        change: impl Fn(&str, &Tensor),
    ) -> Vec<Map> {
        let record = worked(config, change, |work, model| {
            work.map(model, Look::End).expect("no map is asked for");
            assert_eq!(work.at.record.maps, []);
            work.map(model, Look::Start).expect("it is measured");
        });
        record.maps
    }

    /// What is entered by this work on an untrained cell whose parameters are changed first.
    pub(in crate::cell) fn worked(
        config: serde_json::Value,
        change: impl Fn(&str, &Tensor),
        run: impl Fn(&mut Work<'_>, &Model),
    ) -> Record {
        let config: crate::config::CellConfig =
            serde_json::from_value(config).expect("a configuration");
        let cell = Cell::new(config, 3);
        let config = cell.config.diffusion().expect("a network");
        let stream = Stream::new(3);
        let dataset = Dataset::of(config, None, &stream);
        let model = Model::build(config, &dataset, &stream, tch::Device::Cpu).expect("it builds");
        {
            let _guard = tch::no_grad_guard();
            for (layer, parameters) in &model.learned.units {
                parameters
                    .iter()
                    .for_each(|parameter| change(layer, parameter));
            }
        }
        let mut work = Work {
            config,
            dataset: &dataset,
            common: stream,
            own: stream,
            at: Checkpoint {
                program: String::new(),
                record: fresh(&cell),
                place: Place::Training { step: 0 },
                seconds: 0.0,
                arrays: Default::default(),
            },
            watch: &mut Nobody,
        };
        run(&mut work, &model);
        work.at.record
    }

    pub(in crate::cell) fn mlp(short: &str) -> serde_json::Value {
        json!({ "kind": "mlp", "width": 8, "blocks": 2, "activation": "relu", "short": short, "init": "he" })
    }

    /// A network that says b whatever it sees: its loss at every level is E|ε − b|²,
    /// so the gradient of b has signal 4|b|² and noise 4 D / examples, and no other layer has any.
    #[test]
    fn a_constant_network_has_the_gsnr_of_its_bias() {
        let b = 0.5;
        let maps = maps(true, mlp("none"), |layer, parameter| {
            let is_bias = layer == "read_out" && parameter.dim() == 1;
            let _ = parameter
                .shallow_clone()
                .fill_(if is_bias { b } else { 0.0 });
        });
        let [map] = &maps[..] else {
            panic!("one map, of its own objective: {}", maps.len());
        };
        assert_eq!(map.columns, [None, Some(0.3), Some(6.5)]);
        // D = 2 and a training step of 16 examples.
        let wanted = 2.0 * b * b * 16.0 / 2.0;
        for (place, reading) in map.cells.iter().enumerate() {
            let unit = &map.units[place / 3];
            assert_eq!(reading.silent, unit != "read_out", "{unit}: {reading:?}");
            if !reading.silent {
                let [low, high] = reading.interval.expect("an interval");
                assert!(low < wanted && wanted < high, "{wanted}: {reading:?}");
                assert!(high - low < 0.8 * wanted, "{reading:?}");
            }
        }
    }

    #[test]
    fn a_dead_unit_is_silent_and_what_stands_behind_it_is_not() {
        let maps = maps(true, mlp("identity"), |layer, parameter| {
            if layer == "block0.linear1" && parameter.dim() == 1 {
                let _ = parameter.shallow_clone().fill_(-1e6);
            }
        });
        let silent = |unit: &str| {
            let row = maps[0].units.iter().position(|u| u == unit).expect(unit);
            maps[0].cells[3 * row].silent
        };
        assert!(silent("block0.linear1"));
        assert!(
            ["block0.linear2", "block1.linear1", "read_out"]
                .iter()
                .all(|unit| !silent(unit))
        );
    }

    /// Where all branches end in zeros the network is y = γ_1 … γ_n y₀, so all factors have one gradient, ⟨∂L/∂y, y⟩
    /// (Euler): a row for each skip, behind its branch, and all of them alike.
    #[test]
    fn a_skip_without_weights_is_a_factor_on_its_shortcut() {
        let of = |short: &str, skips: bool| {
            let (mut config, mut probe) = (config(true, mlp(short)), probe());
            if skips {
                probe["skips"] = json!("factor");
            }
            config["probes"]["map"] = probe;
            let maps = measured(config, |layer, parameter| {
                if layer.ends_with("linear2") || parameter.dim() == 1 {
                    let _ = parameter.shallow_clone().zero_();
                }
            });
            maps.into_iter().next().expect("a map")
        };
        let layers = [
            "read_in",
            "block0.linear1",
            "block0.linear2",
            "block1.linear1",
            "block1.linear2",
            "read_out",
        ];
        assert_eq!(of("inverse_sqrt_depth", false).units, layers);
        assert_eq!(of("none", true).units, layers);
        let map = of("inverse_sqrt_depth", true);
        let mut with_skips = layers.to_vec();
        with_skips.insert(3, "block0.skip");
        with_skips.insert(6, "block1.skip");
        assert_eq!(map.units, with_skips);
        let row = |place: usize| &map.cells[3 * place..3 * (place + 1)];
        for (first, second) in row(3).iter().zip(row(6)) {
            let [first, second] = [first, second].map(|cell| cell.gsnr.expect("a gradient"));
            assert!((first / second - 1.0).abs() < 1e-4, "{first} {second}");
        }
        // They are not for good.
        assert_eq!(of("inverse_sqrt_depth", false).units, layers);
    }

    /// Without noise: a column of its own, and the denoising loss apart from it.
    #[test]
    fn behind_a_gate_of_zero_the_branch_is_silent() {
        let maps = maps(false, mlp("re_zero"), |_, _| {});
        let columns: Vec<_> = maps
            .iter()
            .map(|m| (m.objective, m.columns.clone()))
            .collect();
        let wanted = [
            (Objective::Own, vec![None]),
            (Objective::Counterfactual, vec![Some(0.3), Some(6.5)]),
        ];
        assert_eq!(columns, wanted);
        for map in &maps {
            for (unit, cells) in map.units.iter().zip(map.cells.chunks(map.columns.len())) {
                if unit.contains("linear") {
                    assert!(
                        cells.iter().all(|cell| cell.silent && cell.p == 1.0),
                        "{unit}"
                    );
                }
            }
            let heard = map.cells.iter().filter(|cell| !cell.silent).count();
            assert!(0 < heard, "the ends and the gates hear something");
        }
    }
}
