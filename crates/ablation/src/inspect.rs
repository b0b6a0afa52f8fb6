//! What a person asks of a run's directory: how far it is, whether it is sound, why a cell is as it is, and how two
//! runs differ. Reads, and returns text.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    error::Error,
    frame::{self, Results},
    lock,
    plan::{Cell, Plan},
    record::{Failure, Outcome, Record},
    runner::{seconds_left, words},
    store::{State, Store},
};

/// Differing cells that are listed.
const LISTED: usize = 10;

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// One line for each cell.
    pub cells: Vec<String>,
    /// All in one line.
    pub line: String,
    /// Whether cells are open.
    pub is_open: bool,
}

/// All that a report is made of.
///
/// # Errors
///
/// A lock that does not read.
pub fn results(store: &Store, plan: &Plan) -> Result<Results, Error> {
    let mut results = Results {
        locks: store.locks()?,
        ..Results::default()
    };
    for (cell, _) in plan.cells() {
        if !store.conflicts(&cell.id).is_empty() {
            results.conflicts.insert(cell.id.clone());
        }
        match store.state(&cell.id) {
            State::Done(record, attempt) => {
                results.records.insert(cell.id, (*record, attempt));
            }
            State::Failed(failure) => {
                results.failures.insert(cell.id, failure);
            }
            State::Corrupt(reason) => {
                results.corrupt.insert(cell.id, reason);
            }
            State::Missing => {}
        }
    }
    Ok(results)
}

/// The cells that are to be run, given what is finished: in a sequential run those of the next look.
///
/// # Errors
///
/// As [`results`].
pub fn due(store: &Store, plan: &Plan) -> Result<Vec<(Cell, f64)>, Error> {
    Ok(match plan.looks {
        None => plan.cells(),
        Some(_) => frame::due(plan, &results(store, plan)?),
    })
}

/// Counts the cells, and estimates the time left from what the finished ones took.
///
/// # Errors
///
/// As [`results`].
pub fn progress(store: &Store, plan: &Plan) -> Result<Progress, Error> {
    let [mut done, mut running, mut failed, mut missing] = [0; 4];
    let (mut finished, mut open, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for (cell, predicted) in due(store, plan)? {
        let word = match store.state(&cell.id) {
            State::Done(record, attempt) => {
                done += 1;
                finished.push((predicted, attempt.seconds));
                format!("done in {:.1} s, {}", attempt.seconds, outcome(&record))
            }
            State::Corrupt(reason) => {
                failed += 1;
                format!("unreadable, will be run again: {reason}")
            }
            state => {
                let failure = match state {
                    State::Failed(failure) => Some(failure),
                    _ => None,
                };
                if !failure.as_ref().is_some_and(Failure::is_final) {
                    open.push(predicted);
                }
                let word = match (store.claimant(&cell.id), failure) {
                    (Some(process), _) => {
                        running += 1;
                        format!("claimed by {process}")
                    }
                    (None, Some(failure)) => {
                        failed += 1;
                        format!("failed {} times: {}", failure.attempts(), failure.message)
                    }
                    (None, None) => {
                        missing += 1;
                        "missing".to_owned()
                    }
                };
                match store.checkpoint_words(&cell.id).last() {
                    Some(Ok(place)) => format!("{word}, kept at {}", place.words()),
                    _ => word,
                }
            }
        };
        cells.push(format!("{}  seed {:>2}  {word}", &cell.id[..10], cell.seed));
    }
    let left = seconds_left(&finished, &open, running)
        .filter(|_| 0 < running)
        .map_or(String::new(), |left| {
            format!(", about {} left", words(left))
        });
    Ok(Progress {
        line: format!(
            "{}: {done} of {} cells done, {running} running, {failed} failed, {missing} missing{left}",
            plan.name,
            cells.len()
        ),
        cells,
        is_open: !open.is_empty(),
    })
}

/// Reads everything in a run that bears on its results: what it found wrong, one line each, and a last line that
/// counts.
pub fn verify(store: &Store, plan: &Plan) -> Result<(Vec<String>, String), Error> {
    let mut findings = Vec::new();
    let locks = store.locks()?;
    for (number, pair) in locks.windows(2).enumerate() {
        if pair[1].changed != lock::changes(&pair[0].plan, &pair[1].plan) {
            let number = number + 1;
            findings.push(format!("lock-{number}.json does not say what it changes"));
        }
    }
    let (mut whole, mut missing, mut kept) = (0, 0, 0);
    let mut builds = BTreeSet::new();
    let cells = plan.cells();
    for (cell, _) in &cells {
        let name = &cell.id[..10];
        let state = store.state(&cell.id);
        for other in store.conflicts(&cell.id) {
            let how = match (&state, other) {
                (State::Done(record, _), Ok(other)) => of_records(record, &other).join("; "),
                (_, Ok(_)) => "the first is gone".to_owned(),
                (_, Err(why)) => why,
            };
            findings.push(format!("cell {name} has a second, different result: {how}"));
        }
        match state {
            State::Done(_, attempt) => {
                whole += 1;
                if attempt.is_lost() {
                    findings.push(format!(
                        "cell {name}: the attempt beside its result does not read, so its build is not known: `--other-builds again` runs it again"
                    ));
                }
                builds.insert(attempt.binary);
                let damage = store.weights_damage(&cell.id).into_iter();
                findings.extend(damage.map(|why| format!("cell {name}: {why}")));
            }
            State::Corrupt(reason) => findings.push(format!("cell {name}: {reason}")),
            State::Missing | State::Failed(_) => missing += 1,
        }
        // Of a finished cell they serve nothing, whatever is in them.
        if store.is_done(&cell.id) {
            continue;
        }
        for checkpoint in store.checkpoint_words(&cell.id) {
            match checkpoint {
                Ok(_) => kept += 1,
                Err(why) => findings.push(format!("cell {name}: {why}")),
            }
        }
    }
    builds.remove("");
    if 1 < builds.len() {
        findings.push(format!("results of {} builds of the program", builds.len()));
    }
    let amended = match locks.len() {
        0 | 1 => String::new(),
        n => format!(", amended {} times", n - 1),
    };
    let line = format!(
        "{}: {whole} of {} results are as they were committed, {missing} missing, {kept} checkpoints{amended}, {} findings",
        plan.name,
        cells.len(),
        findings.len()
    );
    Ok((findings, line))
}

/// All that is known of the cell whose id begins with `given`.
///
/// # Errors
///
/// [`Error::WhichCell`] if it is not exactly one.
pub fn explain(store: &Store, plan: &Plan, given: &str) -> Result<String, Error> {
    let mut found = plan.cells();
    found.retain(|(cell, _)| cell.id.starts_with(given));
    let [(cell, predicted)] = &found[..] else {
        return Err(Error::WhichCell {
            path: store.root().to_owned(),
            given: given.to_owned(),
            found: found.len(),
        });
    };
    let mut text = format!("cell      {}\nseed      {}\n", cell.id, cell.seed);
    let mut say = |title: &str, line: &str| text += &format!("{title:<10}{line}\n");
    for study in &plan.studies {
        let base = &study.blocks[0].arms[0];
        for block in study.blocks.iter().filter(|block| cell.seed < block.seeds) {
            for arm in block
                .arms
                .iter()
                .filter(|arm| Some(&arm.config) == cell.config.diffusion())
            {
                let place = [&study.name, &block.name, &arm.label].map(String::as_str);
                say("arm", &place.join(" / "));
                for line in lock::differences(&value(&base.config), &value(&arm.config)) {
                    say("", &format!("{line} (from `{}`)", base.label));
                }
            }
        }
    }
    for claim in &plan.claims {
        for arm in claim.arms.iter().filter(|arm| arm.config == cell.config) {
            say("arm", &format!("{} / {}", claim.name, arm.name));
            for line in lock::differences(&value(&claim.arms[0].config), &value(&arm.config)) {
                say("", &format!("{line} (from `{}`)", claim.arms[0].name));
            }
        }
    }
    say("predicted", &words(*predicted));
    match store.state(&cell.id) {
        State::Done(record, attempt) => {
            say(
                "state",
                &format!("done in {:.1} s, {}", attempt.seconds, outcome(&record)),
            );
            let torch = if attempt.libtorch.is_empty() {
                "none"
            } else {
                &attempt.libtorch
            };
            let made = format!(
                "program {}, libtorch {torch}, {}",
                attempt.binary, attempt.host
            );
            say("made by", &made);
            for (title, others) in [
                ("conflict", store.conflicts(&cell.id)),
                ("superseded", store.superseded(&cell.id)),
            ] {
                for other in others {
                    let lines = other.map_or_else(|why| vec![why], |o| of_records(&record, &o));
                    let same = "the same in every number".to_owned();
                    for line in if lines.is_empty() { vec![same] } else { lines } {
                        say(title, &line);
                    }
                }
            }
            for (probe, number) in &record.values {
                say("", &format!("{probe} = {number}"));
            }
        }
        State::Corrupt(reason) => say("state", &format!("unreadable, will be run again: {reason}")),
        State::Failed(failure) => {
            let how = format!("{} crashes, {} kills", failure.crashes, failure.kills);
            say("state", &format!("failed ({how}): {}", failure.message));
        }
        State::Missing => say("state", "missing"),
    }
    if let Some(process) = store.claimant(&cell.id) {
        say("claim", &process);
    }
    for checkpoint in store.checkpoint_words(&cell.id) {
        say(
            "kept",
            &checkpoint.map_or_else(|why| why, |place| place.words()),
        );
    }
    Ok(text)
}

/// How two runs differ, in lines; empty where they do not.
pub fn diff(a: (&Store, &Plan), b: (&Store, &Plan)) -> Vec<String> {
    let changes = lock::changes(a.1, b.1).into_iter();
    let mut lines: Vec<String> = changes
        .map(|change| format!("plan: {}", change.what))
        .collect();
    let result = |store: &Store, id: &str| match store.state(id) {
        State::Done(record, _) => Some(*record),
        _ => None,
    };
    let mut ids: Vec<Cell> = a.1.cells().into_iter().map(|(cell, _)| cell).collect();
    let known: BTreeSet<String> = ids.iter().map(|cell| cell.id.clone()).collect();
    let others = b.1.cells().into_iter().map(|(cell, _)| cell);
    ids.extend(others.filter(|cell| !known.contains(&cell.id)));
    let [mut only_a, mut only_b, mut differ] = [0; 3];
    for Cell { id, .. } in ids {
        match (result(a.0, &id), result(b.0, &id)) {
            (Some(one), Some(other)) if one != other => {
                differ += 1;
                if differ <= LISTED {
                    let how = of_records(&one, &other).join("; ");
                    lines.push(format!("cell {}: {how}", &id[..10]));
                }
            }
            (Some(_), None) => only_a += 1,
            (None, Some(_)) => only_b += 1,
            _ => {}
        }
    }
    if LISTED < differ {
        lines.push(format!("… and {} cells more", differ - LISTED));
    }
    for (count, store) in [(only_a, a.0), (only_b, b.0)] {
        if 0 < count {
            lines.push(format!(
                "{count} results in {} alone",
                store.root().display()
            ));
        }
    }
    lines
}

/// What two records of one cell differ in, numbers first.
fn of_records(one: &Record, other: &Record) -> Vec<String> {
    let [before, after] = [one, other].map(|record| {
        let Record {
            outcome,
            evaluations,
            values,
            ..
        } = record;
        serde_json::json!({ "outcome": outcome, "evaluations": evaluations, "values": values })
    });
    let lines = lock::differences(&before, &after);
    if lines.is_empty() && one != other {
        return vec!["curves or samples differ".to_owned()];
    }
    lines
}

fn outcome(record: &Record) -> String {
    match record.outcome {
        Outcome::Measured {} => "measured".to_owned(),
        Outcome::Diverged { stage, step } => {
            format!("diverged in {} at step {step}", stage.words())
        }
    }
}

fn value<T: serde::Serialize>(plain: &T) -> Value {
    serde_json::to_value(plain).expect("plain data")
}
