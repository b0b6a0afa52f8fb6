//! How far the noise levels agree on a step of the whole network, and how large a batch hears its own objective.

use learnability::{
    gradient::{mean_grams, unit_moments},
    gram::Gram,
};

use super::{
    Work,
    map::BEGIN,
    model::{Model, kernel},
    train::Example,
};
use crate::{
    map::{Agreement, GROUPS},
    record::Record,
    stream::Role,
};

/// Where the streams of the micro-batches begin, as counted from those of the map: beyond all that parts are chosen from.
const FIRST: usize = 1 << 33;

impl Work<'_> {
    /// Reads the agreement of the levels and the noise scale of the arm's own objective after so many steps, if the study asks
    /// for them then and the arm has levels.
    ///
    /// Every micro-batch has examples of its own, since gradients of two levels that share them share their noise; all arms
    /// of a seed, and all looks, see the same. A reading that is undefined is left out: `learnability` says when.
    pub(super) fn agreement(&mut self, model: &Model, done: u64) {
        let (config, seed) = (self.config, self.at.record.cell.seed);
        let probe = config
            .probes
            .map
            .as_ref()
            .filter(|probe| seed < probe.seeds);
        let Some((probe, asked)) = probe.and_then(|probe| Some((probe, probe.agreement.as_ref()?)))
        else {
            return;
        };
        if !config.objective.uses_noise() || !asked.after.contains(&done) {
            return;
        }
        let micro_batches = asked.micro_batches;
        // One unit: products of gradients of the network are the sums of those of its layers.
        let units = [("network".to_owned(), model.learned.parameters())];
        let draw = |at: usize| {
            let (dataset, common, begin) = (self.dataset, &self.common, BEGIN + at as u64);
            Example::draw(config, dataset, common, Role::Probe, begin, probe.examples)
        };
        let mut own = |i: usize| self.loss(model, config, &draw(FIRST + i), FIRST + i);
        let moments = unit_moments(&mut own, micro_batches, &units);
        let mut at_level = |i: usize| {
            let at = FIRST + micro_batches + i;
            let mut example = draw(at);
            let level = probe.levels[i / micro_batches];
            example.levels = vec![kernel(level); probe.examples];
            self.loss(model, config, &example, at)
        };
        let vectors = GROUPS * probe.levels.len();
        let each = micro_batches / GROUPS;
        let gram = mean_grams(&mut at_level, vectors, each, &units).remove(0);

        let cosines = cosines(&gram);
        let count = cosines.len() as f64;
        // Not `f64::min`, which would leave out what is not a number.
        let least = |a, b: f64| if b < a || b.is_nan() { b } else { a };
        let batch = moments[0].noise_scale();
        let batch = batch.map_or(f64::NAN, |scale| scale * probe.examples as f64);
        let record = &mut self.at.record;
        for (reading, title, value) in [
            (
                "level_agreement",
                "mean cosine of the gradients of two noise levels",
                cosines.iter().sum::<f64>() / count,
            ),
            (
                "level_confusion",
                "least cosine of the gradients of two noise levels",
                cosines.iter().copied().fold(f64::INFINITY, least),
            ),
            (
                "log_noise_scale",
                "gradient noise scale in examples, log10",
                batch.log10(),
            ),
        ] {
            enter(record, asked, reading, title, (done as f64, value));
        }
    }
}

/// Of all pairs of levels; NaN where one has no signal.
fn cosines(gram: &Gram) -> Vec<f64> {
    let levels = gram.n() / GROUPS;
    let pairs = (0..levels).flat_map(|i| (0..i).map(move |j| (i, j)));
    let cosine = |(i, j)| gram.disattenuated_cosine(GROUPS, i, j);
    pairs.map(|pair| cosine(pair).unwrap_or(f64::NAN)).collect()
}

/// Adds a point to the curve of a reading, and when all are there their mean as a probe.
fn enter(record: &mut Record, asked: &Agreement, reading: &str, title: &str, point: (f64, f64)) {
    let before = record.curves.remove(reading).into_iter();
    let before = before.flat_map(|series| series.points);
    let mut points: Vec<_> = before
        .map(|point| (point.x, point.label, point.y))
        .collect();
    points.push((point.0, String::new(), point.1));
    let values = points.iter().map(|(.., y)| y);
    if points.len() == asked.after.len() {
        let mean = values.sum::<f64>() / points.len() as f64;
        record.set(&format!("map_{reading}"), mean);
    }
    record.curve(reading, ["training step", title], true, points);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tch::Tensor;

    use crate::{
        cell::map::tests::{config, mlp, probe, worked},
        map::OF_LEVELS,
        record::Record,
    };

    /// The readings of a cell of these parameters after 10 and 20 steps, none of which is made.
    fn read(objective: Value, micro_batches: usize, change: impl Fn(&str, &Tensor)) -> Record {
        let mut config = config(true, mlp("identity"));
        config["objective"] = objective;
        config["probes"]["map"] = probe();
        config["probes"]["map"]["agreement"] =
            json!({ "micro_batches": micro_batches, "after": [10, 20] });
        worked(config, change, |work, model| {
            for done in [0, 10, 15] {
                work.agreement(model, done);
            }
            assert!(!work.at.record.values.contains_key("map_level_agreement"));
            work.agreement(model, 20);
        })
    }

    fn denoising() -> Value {
        json!({ "kind": "denoising" })
    }

    /// A network that says b = (0.2, 0.2) whatever it sees: at every level E g of its bias is 2b, and the noise of an example
    /// 4 · 2. So all levels agree, though of 1024 examples the cosine is 0.976 by its noise; and the noise scale is
    /// 2/|b|² = 25 examples.
    #[test]
    fn levels_that_ask_for_one_step_agree_through_the_noise() {
        let b = 0.2;
        let constant = |layer: &str, parameter: &Tensor| {
            let is_bias = layer == "read_out" && parameter.dim() == 1;
            let _ = parameter
                .shallow_clone()
                .fill_(if is_bias { b } else { 0.0 });
        };
        let record = read(denoising(), 512, constant);
        for probe in ["map_level_agreement", "map_level_confusion"] {
            let found = record.values[probe];
            assert!((found - 1.0).abs() < 0.012, "{probe}: {found}");
        }
        let scale = record.values["map_log_noise_scale"];
        assert!((scale - 25.0_f64.log10()).abs() < 0.1, "{scale}");
        // Under another weight every level has another factor, which no cosine sees.
        let weighted = json!({ "kind": "denoising", "weighting": "x0" });
        let weighted = read(weighted, 512, constant);
        let error = weighted.values["map_level_agreement"] - record.values["map_level_agreement"];
        assert!(error.abs() < 1e-5, "{error}");
        assert!((weighted.values["map_log_noise_scale"] - scale).abs() > 0.1);
    }

    /// A hidden unit that says the level alone, h = w ln(σ)/4, and the constant output b: E g of the bias is 2b, and that of
    /// the unit's weight 2bh, of opposite signs on the two sides of σ = 1.
    #[test]
    fn levels_that_ask_for_opposite_steps_are_in_conflict() {
        let (b, w) = (0.5, 6.0);
        let split = |layer: &str, parameter: &Tensor| {
            let mut parameter = parameter.shallow_clone();
            let bias = parameter.dim() == 1;
            let _ = parameter.fill_(if bias && layer == "read_out" { b } else { 0.0 });
            if layer == "read_in" && !bias {
                let _ = parameter.narrow(0, 0, 1).narrow(1, 2, 1).fill_(w);
            }
        };
        let record = read(denoising(), 512, split);
        let [low, high] = [0.3_f64, 6.5].map(|sigma| w * sigma.ln() / 4.0);
        let wanted = (1.0 + low * high) / ((1.0 + low * low) * (1.0 + high * high)).sqrt();
        assert!(wanted < -0.6);
        for probe in ["map_level_agreement", "map_level_confusion"] {
            let found = record.values[probe];
            assert!(
                (found - wanted).abs() < 0.01,
                "{probe}: {found}, not {wanted}"
            );
        }
        let curve = &record.curves["level_agreement"];
        let steps: Vec<f64> = curve.points.iter().map(|point| point.x).collect();
        assert_eq!(steps, [10.0, 20.0]);
    }

    #[test]
    fn what_was_not_asked_for_is_not_there() {
        // No output, so no signal: what is undefined is left out, and what is there is a number.
        let silent = |_: &str, parameter: &Tensor| {
            let _ = parameter.shallow_clone().zero_();
        };
        let silent = read(denoising(), 8, silent);
        assert!(silent.values.values().all(|value| value.is_finite()));
        let mut asked = config(true, mlp("identity"));
        asked["probes"]["map"] = probe();
        let without = asked.clone();
        asked["probes"]["map"]["agreement"] = json!({ "micro_batches": 8, "after": [10] });
        let mut seedless = asked.clone();
        seedless["probes"]["map"]["seeds"] = json!(3);
        let mut noiseless = asked.clone();
        noiseless["objective"] = json!({ "kind": "sliced" });
        for (config, there) in [
            (asked, true),
            (without, false),
            (seedless, false),
            (noiseless, false),
        ] {
            let record = worked(config, |_, _| {}, |work, model| work.agreement(model, 10));
            let mut probes = OF_LEVELS.iter();
            assert_eq!(
                probes.any(|probe| record.values.contains_key(*probe)),
                there
            );
            assert_eq!(record.curves.contains_key("level_agreement"), there);
        }
    }
}
