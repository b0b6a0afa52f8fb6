//! `rows.csv`: one row per study, block, arm, seed and probe; `map.csv`: one row per cell of a learnability map.

use crate::map::{By, Look, Objective};
use crate::summary::Summary;

/// Renders every number of every seed as CSV.
///
/// Columns `study,block,arm,seed,probe,value`; rows in the order of the summary, probes and seeds ascending;
/// `value` is the shortest decimal that reads back to the same f64, and empty where the probe is undefined.
/// Lines end with a line feed.
///
/// ```
/// use ablation::report;
/// use ablation::summary::{Provenance, Summary};
///
/// let empty = Summary {
///     schema: 1,
///     name: "none".into(),
///     question: String::new(),
///     stamps: vec![],
///     studies: vec![],
///     provenance: Provenance::default(),
/// };
/// assert_eq!(report::csv(&empty), "study,block,arm,seed,probe,value\n");
/// ```
pub fn csv(summary: &Summary) -> String {
    let mut table = ::csv::Writer::from_writer(Vec::new());
    let mut row = |fields: [&str; 6]| {
        table
            .write_record(fields)
            .expect("memory takes every row of six fields")
    };
    row(["study", "block", "arm", "seed", "probe", "value"]);
    for study in &summary.studies {
        for block in &study.blocks {
            for arm in &block.arms {
                for (probe, spread) in &arm.values {
                    for (seed, value) in &spread.seeds {
                        let value = value
                            .filter(|x| x.is_finite())
                            .map_or_else(String::new, |x| x.to_string());
                        row([
                            &study.name,
                            &block.name,
                            &arm.label,
                            &seed.to_string(),
                            probe,
                            &value,
                        ]);
                    }
                }
            }
        }
    }
    let bytes = table
        .into_inner()
        .expect("memory is flushed without failing");
    String::from_utf8(bytes).expect("fields are strings, so is the table")
}

/// Renders every cell of every learnability map as CSV; `None` where nobody asked for a map.
///
/// Columns `study,block,arm,look,loss,by,part,unit,sigma,seeds,silent_seeds,log10_gsnr,min,max`; `by` and `part` are empty where
/// a cell is of all of the loss, `sigma` where it is of the arm's own objective, and the last three are empty where no seed hears anything. Numbers and lines as in [`csv()`].
pub fn map_csv(summary: &Summary) -> Option<String> {
    let mut table = ::csv::Writer::from_writer(Vec::new());
    let mut row = |fields: [&str; 14]| {
        table
            .write_record(fields)
            .expect("memory takes every row of fourteen fields")
    };
    row([
        "study",
        "block",
        "arm",
        "look",
        "loss",
        "by",
        "part",
        "unit",
        "sigma",
        "seeds",
        "silent_seeds",
        "log10_gsnr",
        "min",
        "max",
    ]);
    let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    let mut rows = 0;
    for study in &summary.studies {
        for block in &study.blocks {
            for arm in &block.arms {
                for map in &arm.maps {
                    let look = match map.look {
                        Look::Start => "start",
                        Look::End => "end",
                    };
                    let loss = match map.objective {
                        Objective::Own => "own",
                        Objective::Counterfactual => "counterfactual",
                    };
                    for (unit, cells) in map.rows() {
                        for (place, (level, cell)) in map.columns.iter().zip(cells).enumerate() {
                            let part = map.parts.get(place);
                            let part = map.by.zip(part).map(|(by, part)| by.label(*part));
                            rows += 1;
                            row([
                                &study.name,
                                &block.name,
                                &arm.label,
                                look,
                                loss,
                                map.by.map_or("", By::name),
                                &part.unwrap_or_default(),
                                unit,
                                &number(*level),
                                &cell.n.to_string(),
                                &cell.silent.to_string(),
                                &number(cell.median),
                                &number(cell.min),
                                &number(cell.max),
                            ]);
                        }
                    }
                }
            }
        }
    }
    let bytes = table
        .into_inner()
        .expect("memory is flushed without failing");
    let text = String::from_utf8(bytes).expect("fields are strings, so is the table");
    (0 < rows).then_some(text)
}
