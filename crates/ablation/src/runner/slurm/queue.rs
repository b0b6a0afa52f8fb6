//! What the batch system says: `squeue`, `sbatch`, `scontrol`. Hints, all of it; truth is what is committed.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use crate::{error::Error, runner::line, store::Round};

/// A task in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// `<job>_<task>`, or the job alone.
    pub(super) name: String,
    /// The number of the job, or of the array that it is of.
    pub(super) job: String,
    /// `PENDING`, `RUNNING`, …
    pub(super) state: String,
    /// Why it is not running.
    pub(super) reason: String,
}

/// Which tasks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Those that wait or run.
    Waiting,
    /// Also those that ended a short while ago.
    All,
}

/// The tasks that say `mark` of themselves.
///
/// # Errors
///
/// [`Error::Queue`] while the batch system does not answer, which says nothing of its tasks.
pub(super) fn tasks(mark: &str, of: Of) -> Result<Vec<Task>, Error> {
    let mut command = Command::new("squeue");
    // Of this user: on a large cluster the others are many.
    command.args(["--me", "-h", "-r", "-o", "%i|%F|%T|%r|%k"]);
    if of == Of::All {
        command.args(["-t", "all"]);
    }
    Ok(parse(&ask(command)?, mark))
}

fn parse(text: &str, mark: &str) -> Vec<Task> {
    let task = |line: &str| {
        let mut fields = line.splitn(5, '|').map(|field| field.trim().to_owned());
        let task = Task {
            name: fields.next()?,
            job: fields.next()?,
            state: fields.next()?,
            reason: fields.next()?,
        };
        (fields.next()? == mark).then_some(task)
    };
    text.lines().filter_map(task).collect()
}

/// The tasks in words: how many are in which state, and what they wait for.
pub(super) fn words(tasks: &[Task]) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for Task { state, reason, .. } in tasks {
        let reason = if state == "PENDING" { reason } else { "" };
        *counts.entry((state, reason)).or_default() += 1;
    }
    let counted = counts.iter().map(|((state, reason), count)| {
        let state = state.to_lowercase();
        match *reason {
            "" => format!("{count} {state}"),
            reason => format!("{count} {state} ({reason})"),
        }
    });
    counted.collect::<Vec<_>>().join(", ")
}

/// How often a submission is tried whose reply was lost and which is not found in the queue.
const TRIES: u32 = 5;

/// Submits a script whose jobs say `mark` of themselves, once: after a lost reply it is looked for before it is
/// submitted again. The number of its job.
///
/// # Errors
///
/// [`Error::Queue`] where the batch system refuses it, or does not answer for long.
pub(super) fn submit(script: &Path, mark: &str) -> Result<String, Error> {
    let mut tries = 1;
    loop {
        let mut command = Command::new("sbatch");
        command.arg("--parsable").arg(script);
        let error = match ask(command) {
            // With several clusters: `<job>;<cluster>`.
            Ok(reply) => {
                return Ok(reply
                    .trim()
                    .split(';')
                    .next()
                    .unwrap_or_default()
                    .to_owned());
            }
            Err(error) => error,
        };
        line(&error.to_string());
        // It may have been taken all the same, and show a little later.
        for pause in [1, 2, 4] {
            std::thread::sleep(Duration::from_secs(pause));
            if let Ok(found) = tasks(mark, Of::All)
                && let Some(task) = found.first()
            {
                line(&format!(
                    "it was submitted all the same, as job {}",
                    task.job
                ));
                return Ok(task.job.clone());
            }
            if !is_passing(&error) {
                break;
            }
        }
        if !is_passing(&error) || tries == TRIES {
            return Err(error);
        }
        tries += 1;
    }
}

/// Whether the batch system did not answer, rather than refuse.
fn is_passing(error: &Error) -> bool {
    const PASSING: [&str; 7] = [
        "timed out",
        "Unable to contact",
        "Zero Bytes",
        "temporarily",
        "try again",
        "Connection",
        "Communication",
    ];
    let text = error.to_string();
    PASSING.iter().any(|words| text.contains(words))
}

/// Lets tasks go on that were put on hold because their launch failed: else they wait for a person.
pub(super) fn release_failed_launches(tasks: &[Task]) {
    let held = tasks.iter().filter(|task| {
        task.state == "PENDING" && task.reason.to_lowercase().contains("launch failed")
    });
    for task in held {
        let mut command = Command::new("scontrol");
        command.args(["release", &task.name]);
        match ask(command) {
            Ok(_) => line(&format!(
                "task {} is released: its launch had failed",
                task.name
            )),
            Err(error) => line(&error.to_string()),
        }
    }
}

/// Takes the tasks of a round back that have not begun.
pub(super) fn withdraw(round: &Round) {
    let waiting = tasks(&round.mark, Of::Waiting).unwrap_or_default();
    let pending = waiting.iter().filter(|task| task.state == "PENDING");
    for task in pending {
        let mut command = Command::new("scancel");
        command.args(["--state=PENDING", &task.name]);
        let _ = ask(command);
    }
}

/// The most tasks of one array.
pub(super) fn most_tasks() -> usize {
    let mut command = Command::new("scontrol");
    command.args(["show", "config"]);
    // What it is where nobody has set it.
    const USUAL: usize = 1001;
    let text = ask(command).unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "MaxArraySize").then(|| value.trim().parse().ok())?
    });
    // The highest index is one less than that.
    found.unwrap_or(USUAL).saturating_sub(1).max(1)
}

/// Starts a task of this process's anew in the queue, as the last thing it does: the batch system ends it at once.
pub(super) fn requeue(task: &str) {
    let _ = Command::new("scontrol").args(["requeue", task]).status();
}

fn ask(mut command: Command) -> Result<String, Error> {
    let shown = {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let output = command.output().map_err(|source| Error::Process {
        what: format!("`{shown}` cannot be started (is Slurm on the PATH of this machine?)"),
        source,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words: Vec<&str> = words
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Err(Error::Queue {
        command: shown,
        message: match words.is_empty() {
            true => output.status.to_string(),
            false => words.join("; "),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "\
7_0|7|RUNNING|None|ablate:a:1:x
7_1|7|RUNNING|None|ablate:a:1:x
7_2|7|PENDING|JobArrayTaskLimit|ablate:a:1:x
7_3|7|PENDING|launch failed requeued held|ablate:a:1:x
8|8|PENDING|Dependency|ablate:a:1:x:gather
9|9|RUNNING|None|(null)
half a line
";

    #[test]
    fn only_what_bears_the_mark_is_ours() {
        let found = parse(ANSWER, "ablate:a:1:x");
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|task| task.job == "7"));
        assert_eq!(found[3].name, "7_3");
        assert_eq!(
            words(&found),
            "1 pending (JobArrayTaskLimit), 1 pending (launch failed requeued held), 2 running"
        );
        assert_eq!(parse(ANSWER, "ablate:a:1:x:gather").len(), 1);
        assert!(parse(ANSWER, "ablate:a:1").is_empty());
    }

    #[test]
    fn a_refusal_is_told_from_a_lost_reply() {
        let error = |message: &str| Error::Queue {
            command: "sbatch".to_owned(),
            message: message.to_owned(),
        };
        for message in [
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
            "sbatch: error: Unable to contact slurm controller (connect failure)",
        ] {
            assert!(is_passing(&error(message)), "{message}");
        }
        assert!(!is_passing(&error(
            "sbatch: error: invalid partition specified: nowhere"
        )));
    }
}
