//! The scripts that are handed to `sbatch`; every line is there for a reason.

use std::path::Path;

use super::Settings;
use crate::store::Round;

/// The array of a round's tasks.
///
/// The last line is `exec`: the signal before the time limit goes to the batch shell (`B:`), which must be the
/// worker itself; a child of the shell would hear nothing and outlive the job.
pub(super) fn tasks(root: &Path, program: &Path, round: &Round, settings: &Settings) -> String {
    let last = round.tasks - 1;
    let throttle = match settings.throttle {
        Some(most) => format!("%{most}"),
        None => String::new(),
    };
    let log = format!("{}/workers/%A_%a.log", root.display());
    let mut lines = head(root, settings);
    lines.extend([
        option(
            "job-name",
            &format!("ablate-{}-r{}", settings.name, round.number),
        ),
        // Found again by it after a lost reply, before anything is submitted twice.
        option("comment", &round.mark),
        option("array", &format!("0-{last}{throttle}")),
        option("cpus-per-task", &settings.cpus.to_string()),
        option("mem", &format!("{}M", settings.memory)),
        option("signal", &format!("B:USR1@{}", settings.warning)),
        // A node that is lost, and a job that makes way for others.
        "#SBATCH --requeue".to_owned(),
        option("open-mode", "append"),
        option("output", &log),
    ]);
    let time = settings.time.as_ref().map(|time| option("time", time));
    let cards = settings
        .gpus
        .map(|cards| option("gres", &format!("gpu:{cards}")));
    lines.extend(time.into_iter().chain(cards));
    lines.extend(
        settings
            .environment
            .iter()
            .map(|(name, value)| format!("export {name}={}", quoted(value))),
    );
    lines.push(format!("export RAYON_NUM_THREADS={}", settings.cpus));
    let mut words = vec![
        quoted(&program.display().to_string()),
        "worker".to_owned(),
        quoted(&root.display().to_string()),
        format!("--round {}", round.number),
        "--task \"$SLURM_ARRAY_TASK_ID\"".to_owned(),
        "--name \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\"".to_owned(),
    ];
    words.extend(settings.arguments.iter().map(|word| quoted(word)));
    lines.push(format!("exec {}", words.join(" ")));
    lines.join("\n") + "\n"
}

/// What comes when the array of a round is over, however its tasks ended: the report, or the next round.
pub(super) fn gather(
    root: &Path,
    program: &Path,
    round: &Round,
    job: &str,
    settings: &Settings,
) -> String {
    let mut lines = head(root, settings);
    lines.extend([
        option("job-name", &format!("ablate-{}-gather", settings.name)),
        option("comment", &gather_mark(round)),
        option("dependency", &format!("afterany:{job}")),
        option("cpus-per-task", "1"),
        option("mem", "500M"),
        "#SBATCH --requeue".to_owned(),
        option("open-mode", "append"),
        option("output", &format!("{}/workers/%j.log", root.display())),
    ]);
    lines.extend(
        settings
            .environment
            .iter()
            .map(|(name, value)| format!("export {name}={}", quoted(value))),
    );
    lines.push(format!(
        "exec {} gather {}",
        quoted(&program.display().to_string()),
        quoted(&root.display().to_string())
    ));
    lines.join("\n") + "\n"
}

/// What the job that gathers a round says of itself.
pub(super) fn gather_mark(round: &Round) -> String {
    format!("{}:gather", round.mark)
}

fn head(root: &Path, settings: &Settings) -> Vec<String> {
    let mut lines = vec![
        "#!/bin/bash".to_owned(),
        option("chdir", &root.display().to_string()),
    ];
    lines.extend(
        settings
            .partition
            .iter()
            .map(|name| option("partition", name)),
    );
    lines.extend(
        settings
            .others
            .iter()
            .map(|other| format!("#SBATCH {other}")),
    );
    lines
}

fn option(name: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if value.chars().all(plain) {
        format!("#SBATCH --{name}={value}")
    } else {
        format!("#SBATCH --{name}=\"{value}\"")
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            name: "smoke".to_owned(),
            partition: Some("low".to_owned()),
            time: Some("30".to_owned()),
            cpus: 2,
            gpus: Some(1),
            memory: 700,
            throttle: Some(3),
            tasks: None,
            warning: 180,
            last_round: 3,
            others: vec!["--account=it's ours".to_owned()],
            environment: [("LD_LIBRARY_PATH".to_owned(), "/a b".to_owned())].into(),
            arguments: vec!["--data".to_owned(), "it's here".to_owned()],
        }
    }

    fn round() -> Round {
        Round {
            number: 2,
            mark: "ablate:smoke:2:0123".to_owned(),
            tasks: 5,
            cells: vec![],
        }
    }

    #[test]
    fn the_worker_is_the_batch_shell_and_is_warned() {
        let text = tasks(
            Path::new("/runs/a b"),
            Path::new("/bin/ablate"),
            &round(),
            &settings(),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "#!/bin/bash");
        for line in [
            "#SBATCH --partition=low",
            "#SBATCH --account=it's ours",
            "#SBATCH --comment=ablate:smoke:2:0123",
            "#SBATCH --array=0-4%3",
            "#SBATCH --signal=B:USR1@180",
            "#SBATCH --requeue",
            "#SBATCH --open-mode=append",
            "#SBATCH --output=\"/runs/a b/workers/%A_%a.log\"",
            "#SBATCH --time=30",
            "#SBATCH --cpus-per-task=2",
            "#SBATCH --mem=700M",
            "#SBATCH --gres=gpu:1",
            "export LD_LIBRARY_PATH='/a b'",
        ] {
            assert!(lines.contains(&line), "{line}\n{text}");
        }
        // Slurm reads no option after the first command.
        let first = lines.iter().position(|line| !line.starts_with('#'));
        let options = lines.iter().rposition(|line| line.starts_with("#SBATCH"));
        assert!(options < first, "{text}");
        let last = lines.last().expect("a line");
        assert_eq!(
            *last,
            "exec '/bin/ablate' worker '/runs/a b' --round 2 --task \"$SLURM_ARRAY_TASK_ID\" \
             --name \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\" '--data' 'it'\\''s here'"
        );
    }

    #[test]
    fn gathering_waits_for_every_task_however_it_ended() {
        let text = gather(
            Path::new("/runs/a"),
            Path::new("/bin/ablate"),
            &round(),
            "17",
            &settings(),
        );
        assert!(
            text.contains("#SBATCH --dependency=afterany:17\n"),
            "{text}"
        );
        assert!(
            text.ends_with("exec '/bin/ablate' gather '/runs/a'\n"),
            "{text}"
        );
        assert!(
            text.contains("#SBATCH --comment=ablate:smoke:2:0123:gather\n"),
            "{text}"
        );
    }
}
