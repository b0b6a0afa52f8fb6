//! `rows.csv`: one row per study, block, arm, seed and probe.

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
