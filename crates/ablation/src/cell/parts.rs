//! The learnability map with the loss restricted to a region of the data, a mode or a frequency band.

use learnability::map::Column;
use ndarray::Array2;
use resnet_blocks::Mode;
use score_objective::torch::{diffuse, score};
use tch::{Kind, Tensor};

use super::{
    Work,
    map::{BEGIN, denoising},
    model::{Model, kernel},
    regions,
    train::Example,
};
use crate::{
    config::CellConfig,
    error::Error,
    map::{By, Look, Map, MapProbe, Objective},
    probe::bands::Bands,
    stream::Role,
};

/// Where the streams begin that examples of parts are chosen from.
const CHOICE: u64 = BEGIN + (1 << 32);
/// Examples whose density says where the regions end.
const POOL: usize = 2048;
/// Draws, each as large as what a part needs, after which a part is called too rare to be filled.
const ROUNDS: u64 = 200;

/// What the losses of parts are taken from, at one noise level.
enum Restricted {
    /// Micro-batches of examples of each part.
    Chosen(Vec<Vec<Example>>),
    /// Of each micro-batch, the mean squared error in each band: \[bands\].
    Projected(Vec<Tensor>),
}

impl Work<'_> {
    /// Measures the maps of parts that the study asks for: of the denoising loss at their levels, which is counterfactual
    /// where the arm has no noise, and there of the arm's own objective on clean data beside it.
    ///
    /// All parts of a level are chosen from the same draws, and so for all arms of a seed.
    pub(super) fn parts(
        &mut self,
        model: &Model,
        probe: &MapProbe,
        look: Look,
    ) -> Result<(), Error> {
        let config = self.config;
        let seed = self.at.record.cell.seed;
        let Some(parts) = probe.parts.as_ref().filter(|parts| seed < parts.seeds) else {
            return Ok(());
        };
        let by_level = denoising(config);
        let levels: Vec<_> = parts.levels.iter().copied().map(Some).collect();
        for &by in &parts.by {
            if config.objective.uses_noise() {
                self.part(model, config, probe, look, by, &levels)?;
            } else {
                if by.of_clean_data(&config.data) {
                    self.part(model, config, probe, look, by, &[None])?;
                }
                self.part(model, &by_level, probe, look, by, &levels)?;
            }
        }
        Ok(())
    }

    /// One map: all parts at the first level, then all at the next. Without a level, of the arm's own objective.
    fn part(
        &mut self,
        model: &Model,
        config: &CellConfig,
        probe: &MapProbe,
        look: Look,
        by: By,
        levels: &[Option<f64>],
    ) -> Result<(), Error> {
        let restricted: Vec<Restricted> = levels
            .iter()
            .map(|&level| match by {
                By::Regions(_) | By::Modes => self.chosen(config, probe, by, level),
                By::Bands(bands) => {
                    let sigma = level.expect("a band is one of the denoising error");
                    Ok(self.projected(model, config, probe, bands, sigma))
                }
            })
            .collect::<Result<_, _>>()?;
        let count = match &restricted[0] {
            Restricted::Chosen(parts) => parts.len(),
            Restricted::Projected(errors) => errors[0].numel(),
        };
        let mut losses = |column: usize, i: usize| match &restricted[column / count] {
            Restricted::Chosen(parts) => self.loss(model, config, &parts[column % count][i], i),
            Restricted::Projected(errors) => errors[i].get((column % count) as i64),
        };
        let columns = levels.iter().flat_map(|level| {
            (0..count).map(move |part| Column {
                label: format!("{} {}", by.name(), by.label(part)),
                noise_level: *level,
            })
        });
        let objective = if config.objective == self.config.objective {
            Objective::Own
        } else {
            Objective::Counterfactual
        };
        let columns = columns.collect();
        let map = self.measured(model, probe, look, objective, columns, &mut losses)?;
        self.at.record.maps.push(Map {
            by: Some(by),
            parts: levels.iter().flat_map(|_| 0..count).collect(),
            ..map
        });
        Ok(())
    }

    /// Draws until each part has as many examples as its micro-batches need; the others are not used.
    ///
    /// The regions end at quantiles of other draws, so that an example's part does not depend on its fellows.
    fn chosen(
        &self,
        config: &CellConfig,
        probe: &MapProbe,
        by: By,
        level: Option<f64>,
    ) -> Result<Restricted, Error> {
        let draw = |at: u64, n: usize| {
            let (dataset, common) = (self.dataset, &self.common);
            Example::draw(config, dataset, common, Role::Probe, CHOICE + at, n)
        };
        let sigma = level.unwrap_or(0.0);
        let density = |example: &Example| {
            let exact = self.dataset.exact().expect("checked by the plan");
            let x = &example.x0 + &(&example.noise * sigma);
            exact.log_density(x.view(), sigma)
        };
        let components = |example: &Example| {
            let shares = self.dataset.components(example.x0.view());
            shares.expect("checked by the plan")
        };
        let (count, ends) = match by {
            By::Regions(count) => {
                let mut sorted = density(&draw(0, POOL)).to_vec();
                sorted.sort_by(f64::total_cmp);
                let ends = (1..count).map(|region| sorted[region * POOL / count]);
                (count, ends.collect())
            }
            _ => (components(&draw(0, 1)).ncols(), Vec::new()),
        };
        let part_of = |example: &Example| -> Vec<usize> {
            match by {
                By::Regions(_) => {
                    let of = |x: &f64| ends.partition_point(|end| end <= x);
                    density(example).iter().map(of).collect()
                }
                _ => regions::modes(&components(example)),
            }
        };
        let needed = probe.micro_batches * probe.examples;
        // Clean data and noise of each part, row after row.
        let mut found = vec![(Vec::new(), Vec::new()); count];
        let mut size = 0;
        for round in 1..=ROUNDS {
            let example = draw(round, needed);
            size = example.x0.ncols();
            let rows = example.x0.outer_iter().zip(example.noise.outer_iter());
            for ((x0, noise), part) in rows.zip(part_of(&example)) {
                let (all_x0, all_noise) = &mut found[part];
                if all_x0.len() < needed * size {
                    all_x0.extend(x0);
                    all_noise.extend(noise);
                }
            }
            if found.iter().all(|(x0, _)| x0.len() == needed * size) {
                break;
            }
        }
        if let Some(rare) = found.iter().position(|(x0, _)| x0.len() < needed * size) {
            return Err(Error::Impossible {
                place: "cell".to_owned(),
                name: "probes.map.parts.by".to_owned(),
                value: format!("{} {}", by.name(), by.label(rare)),
                rule: format!(
                    "of {} draws fewer than {needed} lie there: leave it out, or take fewer examples",
                    ROUNDS as usize * needed
                ),
            });
        }
        let levels = vec![kernel(level.unwrap_or(config.noise.sigma_min)); probe.examples];
        let rows = |all: &[f64]| {
            let all = all.chunks_exact(probe.examples * size);
            let shaped =
                all.map(|all| Array2::from_shape_vec((probe.examples, size), all.to_vec()));
            let arrays: Result<Vec<_>, _> = shaped.collect();
            arrays.expect("as many as there are")
        };
        let batches = found.iter().map(|(x0, noise)| {
            let pairs = rows(x0).into_iter().zip(rows(noise));
            let examples = pairs.map(|(x0, noise)| Example {
                x0,
                noise,
                levels: levels.clone(),
            });
            examples.collect()
        });
        Ok(Restricted::Chosen(batches.collect()))
    }

    /// The denoising loss |ε̂ − ε|² of each micro-batch, band by band: together they are all of it.
    fn projected(
        &self,
        model: &Model,
        config: &CellConfig,
        probe: &MapProbe,
        bands: usize,
        sigma: f64,
    ) -> Restricted {
        let [channels, side, _] = config.shape()[..] else {
            unreachable!("checked by the plan")
        };
        let bands = Bands::new(channels, side, bands);
        let learned = &model.learned;
        let transform = bands.transform();
        let transform: Vec<f32> = transform.iter().map(|&x| x as f32).collect();
        let side = side as i64;
        let transform = Tensor::from_slice(&transform).view([side, side]);
        let mut member = Array2::zeros((bands.index().len(), bands.count()));
        for (coefficient, &band) in bands.index().iter().enumerate() {
            member[[coefficient, band]] = 1.0_f32;
        }
        let size = [member.nrows() as i64, member.ncols() as i64];
        let member = Tensor::from_slice(member.as_slice().expect("standard layout")).view(size);
        let [transform, member] = [transform, member].map(|t| t.to_device(learned.device));
        let errors = (0..probe.micro_batches).map(|i| {
            let (dataset, common) = (self.dataset, &self.common);
            let begin = BEGIN + i as u64;
            let example =
                Example::draw(config, dataset, common, Role::Probe, begin, probe.examples);
            let dropped = self.common.at(Role::Dropout, begin);
            let net = |x: &Tensor, label: &Tensor| {
                let mut mode = Mode::Train(dropped.clone());
                learned.network.forward(x, label, &mut mode)
            };
            let [x0, noise] = [&example.x0, &example.noise].map(|rows| learned.tensor(rows.view()));
            let levels = vec![kernel(sigma); probe.examples];
            let x = diffuse(&x0, &noise, &levels);
            // σ s = −ε̂.
            let error = score(&net, &*model.row(), &x, &levels) * sigma + noise;
            let error = error.reshape([-1, side, side]);
            let coefficients = transform.matmul(&error).matmul(&transform.tr());
            let power = coefficients.square().reshape([-1, size[0]]).matmul(&member);
            power.sum_dim_intlist(0, false, Kind::Float) / probe.examples as f64
        });
        Restricted::Projected(errors.collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        cell::map::tests::{config, measured, mlp, probe},
        map::Reading,
    };

    /// The maps of one kind of parts of an untrained cell whose parameters are changed first.
    fn maps(mut config: Value, by: Value, level: f64, change: impl Fn(&str, &Tensor)) -> Vec<Map> {
        config["probes"]["map"] = probe();
        config["probes"]["map"]["levels"] = json!([]);
        config["probes"]["map"]["examples"] = json!(16);
        config["probes"]["map"]["parts"] = json!({ "by": [by], "levels": [level], "seeds": 4 });
        let mut maps = measured(config, change);
        maps.retain(|map| map.by.is_some());
        maps
    }

    fn row<'a>(map: &'a Map, unit: &str) -> &'a [Reading] {
        let row = map.units.iter().position(|u| u == unit).expect(unit);
        &map.cells[row * map.columns.len()..][..map.columns.len()]
    }

    /// The bias of the last layer is this, and all else 0: the network says b whatever it sees.
    fn constant(b: f64) -> impl Fn(&str, &Tensor) {
        move |layer: &str, parameter: &Tensor| {
            let is_bias = layer == "read_out" && parameter.dim() == 1;
            let _ = parameter
                .shallow_clone()
                .fill_(if is_bias { b } else { 0.0 });
        }
    }

    /// Within three standard errors, and these are small enough to tell a factor of two.
    fn is_near(reading: &Reading, wanted: f64) {
        let [low, high] = reading.interval.expect("an interval");
        let found = reading.gsnr.expect("a number");
        assert!(
            (found - wanted).abs() < 0.75 * (high - low) && high - low < 0.9 * wanted,
            "{wanted}: {reading:?}"
        );
    }

    /// Where noise is all there is to x, a region of its density is one of |ε|², which has the distribution 1 − e^(−u/2)
    /// in the plane. Of a constant network the signal is 4|b|² in each, and the noise 4 E[|ε|² | region] / examples.
    #[test]
    fn a_constant_network_hears_each_region_through_the_noise_that_is_in_it() {
        let b = 0.5;
        let by = json!({ "regions": 4 });
        let maps = maps(config(true, mlp("none")), by, 50.0, constant(b));
        let [map] = &maps[..] else {
            panic!("one map: {}", maps.len());
        };
        assert_eq!(
            (map.objective, &map.parts[..]),
            (Objective::Own, &[0, 1, 2, 3][..])
        );
        // ∫ u dF over all that is beyond the region's inner end, which holds the share p of the examples.
        let beyond = |p: f64| {
            if p == 0.0 {
                0.0
            } else {
                p * (2.0 - 2.0 * p.ln())
            }
        };
        for (region, reading) in row(map, "read_out").iter().enumerate() {
            let p = [region, region + 1].map(|k| k as f64 / 4.0);
            let mean = (beyond(p[1]) - beyond(p[0])) * 4.0;
            // |b|² of two coordinates, and a training step of 16 examples.
            is_near(reading, 2.0 * b * b * 16.0 / mean);
        }
        assert!(row(map, "block0.linear1").iter().all(|cell| cell.silent));
    }

    /// Positive in one mode and dead in the other, whose gradient stops at the bias of the last layer.
    #[test]
    fn a_unit_that_is_dead_in_a_mode_is_silent_there_and_only_there() {
        let half = |layer: &str, parameter: &Tensor| {
            let bias = parameter.dim() == 1;
            let mut parameter = parameter.shallow_clone();
            let _ = parameter.fill_(if bias { 0.0 } else { 0.2 });
            if layer == "read_in" && !bias {
                // The noise level is not seen.
                let _ = parameter.narrow(1, 2, 1).fill_(0.0);
            }
        };
        for noise in [true, false] {
            let maps = maps(config(noise, mlp("none")), json!("modes"), 0.3, half);
            let kinds: Vec<_> = maps
                .iter()
                .map(|map| (map.objective, map.columns[0]))
                .collect();
            let wanted: &[_] = if noise {
                &[(Objective::Own, Some(0.3))]
            } else {
                &[
                    (Objective::Own, None),
                    (Objective::Counterfactual, Some(0.3)),
                ]
            };
            assert_eq!(kinds, wanted);
            for map in &maps {
                for unit in ["read_in", "block0.linear1", "block1.linear1"] {
                    let [first, second] = row(map, unit) else {
                        panic!("two modes");
                    };
                    assert!(!first.silent, "{unit} {first:?}");
                    assert!(second.silent && second.p == 1.0, "{unit} {second:?}");
                }
            }
        }
    }

    /// A constant image has one frequency, whose coefficient is side·b; that of the noise is standard normal.
    #[test]
    fn a_constant_image_is_heard_in_the_band_of_the_constant_alone() {
        let b = 0.04;
        let network = json!({
            "kind": "unet", "base": 8, "multipliers": [1], "blocks": 1, "activation": "silu", "norm": "none",
            "short": "none", "long": "none", "init": "pytorch"
        });
        let mut config = config(true, network);
        config["data"] = json!({ "kind": "gaussian_field" });
        let maps = maps(config, json!({ "bands": 3 }), 1.0, constant(b));
        assert_eq!(maps[0].parts, [0, 1, 2, 3]);
        let cells = row(&maps[0], "read_out");
        is_near(&cells[0], 256.0 * b * b * 16.0);
        assert!(cells[1..].iter().all(|cell| cell.silent), "{cells:?}");
    }
}
