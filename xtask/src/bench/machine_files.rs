//! What programs read: `report.json` (ours), `gab.json` (github-action-benchmark) and `bmf.json` (Bencher).

use serde_json::{Map, Value, json};

use crate::bench::blocks::Blocks;
use crate::bench::counts;
use crate::bench::judge::Job;
use crate::bench::number;

/// `report.json`: verdicts, what they rest on, and every measured value.
pub(crate) fn report(blocks: &Blocks, job: &Job, gate: &str) -> Value {
    json!({
        "schema": 1,
        "gate": gate,
        "job": job,
        "blocks": blocks,
    })
}

/// `gab.json`: what github-action-benchmark takes as `customSmallerIsBetter`.
pub(crate) fn action(blocks: &Blocks, job: &Job) -> Value {
    let rows = job.benchmarks.iter().zip(&blocks.benchmarks);
    let rows = rows.map(|(judged, benchmark)| {
        let [low, high] = heads(
            &benchmark
                .pairs
                .iter()
                .map(|pair| pair.head)
                .collect::<Vec<_>>(),
        );
        let mut extra = format!("{} against {}", judged.verdict, blocks.setting.base);
        if let Some(floor) = judged.floor {
            extra.push_str(&format!("\nA/A floor {}", number::size(floor)));
        }
        if let Some(count) = &benchmark.instructions {
            extra.push_str(&format!("\ninstructions {:.0}", count.head));
        }
        json!({
            "name": benchmark.name,
            "unit": benchmark.unit,
            "value": judged.head,
            "range": format!("± {:.4}", 0.5 * (high - low)),
            "extra": extra,
        })
    });
    Value::Array(rows.collect())
}

/// `bmf.json`: Bencher's metric format. Latencies are nanoseconds there; other units go by their own name.
pub(crate) fn bencher(blocks: &Blocks, job: &Job) -> Value {
    let rows = job.benchmarks.iter().zip(&blocks.benchmarks);
    let rows = rows.map(|(judged, benchmark)| {
        let values: Vec<f64> = benchmark.pairs.iter().map(|pair| pair.head).collect();
        let [low, high] = heads(&values);
        let measure = if benchmark.unit.starts_with("ns") {
            "latency"
        } else {
            &benchmark.unit
        };
        let mut measures = Map::new();
        measures.insert(
            measure.to_owned(),
            json!({"value": judged.head, "lower_value": low, "upper_value": high}),
        );
        if let Some(count) = &benchmark.instructions {
            measures.insert("instructions".to_owned(), json!({"value": count.head}));
        }
        if judged
            .counted
            .is_some_and(|counted| counted != counts::Counted::Unsteady)
        {
            let change = benchmark.instructions.as_ref().map(counts::change);
            measures.insert("instructions-change".to_owned(), json!({"value": change}));
        }
        (benchmark.name.clone(), Value::Object(measures))
    });
    Value::Object(rows.collect())
}

/// Smallest and largest: of the head alone, block to block, since a trend has no partner.
fn heads(values: &[f64]) -> [f64; 2] {
    values
        .iter()
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
            [low.min(*value), high.max(*value)]
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::blocks::Instructions;
    use crate::bench::judge::fixture::{blocks, steady};
    use crate::bench::judge::judge;

    fn example() -> (Blocks, Job) {
        let mut counted = steady("a/b", 0.1);
        counted.instructions = Some(Instructions {
            base: 1000.0,
            again: 1000.0,
            head: 1100.0,
        });
        let mut seconds = steady("c", 0.0);
        seconds.unit = "seconds".to_owned();
        let blocks = blocks(vec![counted, seconds]);
        let job = judge(&blocks);
        (blocks, job)
    }

    #[test]
    fn the_action_gets_the_keys_that_it_wants() {
        let (blocks, job) = example();
        let rows = action(&blocks, &job);
        let row = rows[0].as_object().expect("an object");
        let keys: Vec<&str> = row.keys().map(String::as_str).collect();
        assert_eq!(keys, ["extra", "name", "range", "unit", "value"]);
        assert!(
            row["value"].is_f64() && row["range"].as_str().is_some_and(|r| r.starts_with("± "))
        );
        assert!(
            row["extra"]
                .as_str()
                .is_some_and(|extra| extra.contains("REGRESSION"))
        );
    }

    #[test]
    fn bencher_gets_latency_in_nanoseconds_with_bounds() {
        let (blocks, job) = example();
        let file = bencher(&blocks, &job);
        let latency = &file["a/b"]["latency"];
        let bound = |key: &str| latency[key].as_f64().expect("a number");
        assert!(bound("lower_value") <= bound("value") && bound("value") <= bound("upper_value"));
        assert_eq!(file["a/b"]["instructions"]["value"], 1100.0);
        assert!(file["c"]["latency"].is_null() && file["c"]["seconds"]["value"].is_f64());
    }

    #[test]
    fn the_report_holds_every_measured_value() {
        let (blocks, job) = example();
        let text = report(&blocks, &job, "gate none").to_string();
        let read: Value = serde_json::from_str(&text).expect("it is JSON");
        let again: Blocks = serde_json::from_value(read["blocks"].clone()).expect("the blocks");
        assert_eq!(again, blocks);
        assert_eq!(read["job"]["benchmarks"][0]["verdict"], "REGRESSION");
        assert_eq!(read["job"]["benchmarks"][1]["verdict"], "NO_CHANGE");
    }
}
