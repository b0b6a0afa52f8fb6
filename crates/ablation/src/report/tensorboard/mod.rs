//! Event files for TensorBoard: curves by step, and the numbers of every seed beside their hyperparameters.

mod event;

use crate::report::tensorboard::event::{Events, Parameter};
use crate::summary::{EffectNumbers, Summary};

/// What readers take for an event file.
const NAME: &str = "events.out.tfevents.0.ablation";

/// Renders the summary as the event files of a log directory: each with its path within it, and its bytes.
///
/// A folder is a run of TensorBoard:
///
/// - `<study>/<block>/<arm>`: every curve whose abscissas are whole numbers, as `<curve>/median`, `…/min` and `…/max`
///   over seeds, by step; and `final/<probe>/median`, `…/mean`, `…/sd`, `…/min`, `…/max`;
/// - `<study>/<block>/<arm>/seed <n>`: every probe, beside the hyperparameters study, block, arm, seed, parameters and
///   the level of each factor;
/// - `<study>/effects`: `<block>/<probe>/<effect>/estimate`, `…/low`, `…/high`, `…/p`;
/// - `<study>/contrasts`: `<contrast>/estimate`, …, `…/deciding_low`, `…/deciding_high`, `…/adjusted_p`,
///   `…/larger`, `…/larger_low`, `…/larger_high`.
///
/// Numbers have 64 bits; those that are undefined are left out. Wall times are zero, so that the same summary gives
/// the same bytes. A `/` in a name becomes `-`.
pub fn tensorboard(summary: &Summary) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut file = |folders: &[&str], events: Events| {
        let plain = folders.iter().map(|name| name.replace(['/', '\\'], "-"));
        let path = plain.chain([NAME.to_owned()]).collect::<Vec<_>>().join("/");
        files.push((path, events.finish()));
    };
    for study in &summary.studies {
        for block in &study.blocks {
            for arm in &block.arms {
                let mut run = Events::new();
                for (name, curve) in &arm.curves {
                    let whole = |x: f64| x.fract() == 0.0 && x.abs() < 2_f64.powi(53);
                    for point in curve.points.iter().filter(|point| whole(point.x)) {
                        for (what, value) in [
                            ("median", point.median),
                            ("min", point.min),
                            ("max", point.max),
                        ] {
                            run.scalar(&format!("{name}/{what}"), point.x as i64, value);
                        }
                    }
                }
                for (probe, spread) in &arm.values {
                    let tag = |what: &str| format!("final/{probe}/{what}");
                    for (what, value) in [
                        ("median", spread.median),
                        ("mean", spread.mean),
                        ("sd", spread.sd),
                        ("min", spread.min),
                        ("max", spread.max),
                    ] {
                        scalar(&mut run, &tag(what), value);
                    }
                }
                file(&[&study.name, &block.name, &arm.label], run);
                for seed in 0..arm.planned {
                    let values = arm.values.iter().filter_map(|(probe, spread)| {
                        Some((probe, spread.seeds.get(&seed).copied().flatten()?))
                    });
                    let mut values = values.peekable();
                    if values.peek().is_none() {
                        continue;
                    }
                    let mut run = Events::new();
                    let mut parameters = vec![
                        ("study", Parameter::Text(&study.name)),
                        ("block", Parameter::Text(&block.name)),
                        ("arm", Parameter::Text(&arm.label)),
                        ("seed", Parameter::Number(f64::from(seed))),
                        ("parameters", Parameter::Number(arm.parameters as f64)),
                    ];
                    let levels = arm.levels.iter();
                    parameters.extend(
                        levels.map(|(factor, level)| (factor.as_str(), Parameter::Text(level))),
                    );
                    run.hyperparameters(&parameters);
                    for (probe, value) in values {
                        run.scalar(probe, 0, value);
                    }
                    let seed = format!("seed {seed}");
                    file(&[&study.name, &block.name, &arm.label, &seed], run);
                }
            }
        }
        let mut run = Events::new();
        for row in &study.effects {
            let tag = format!("{}/{}/{}", row.block, row.probe, row.effect);
            effect(&mut run, &tag, &row.numbers);
        }
        file(&[&study.name, "effects"], run);
        let mut run = Events::new();
        for row in &study.verdicts {
            effect(&mut run, &row.id, &row.numbers);
            for (what, value) in [
                ("deciding_low", row.deciding_low),
                ("deciding_high", row.deciding_high),
                ("adjusted_p", row.adjusted_p),
                ("larger", row.larger),
                ("larger_low", row.larger_low),
                ("larger_high", row.larger_high),
            ] {
                scalar(&mut run, &format!("{}/{what}", row.id), value);
            }
        }
        file(&[&study.name, "contrasts"], run);
    }
    files
}

fn effect(run: &mut Events, tag: &str, numbers: &EffectNumbers) {
    for (what, value) in [
        ("estimate", numbers.estimate),
        ("low", numbers.low),
        ("high", numbers.high),
        ("p", numbers.p),
    ] {
        scalar(run, &format!("{tag}/{what}"), value);
    }
}

/// A number of the whole run, if it is defined.
fn scalar(run: &mut Events, tag: &str, value: Option<f64>) {
    if let Some(value) = value {
        run.scalar(tag, 0, value);
    }
}
