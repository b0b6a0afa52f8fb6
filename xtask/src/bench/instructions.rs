//! Counting the instructions of one run of a benchmark, by whatever the machine has for it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::blocks::{Instructions, Lost, Uncounted};
use crate::bench::counts;
use crate::bench::subjects::Subject;
use crate::process::Invocation;

/// A count that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// The processor's own counter.
    Perf,
    /// An emulated processor, some fifty times slower.
    Callgrind,
}

impl Counter {
    /// The best that works here, or why none does.
    pub(crate) fn find(root: &Path) -> Result<Self, String> {
        if Self::Perf.count(Path::new("true"), &[], root).is_ok() {
            return Ok(Self::Perf);
        }
        let callgrind = Invocation::new("valgrind", root).args(["--version"]);
        if callgrind.succeeds() {
            return Ok(Self::Callgrind);
        }
        Err(
            "instructions were not counted: `perf stat` sees no counter here, and valgrind is not installed"
                .to_owned(),
        )
    }

    /// How it counts, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Perf => {
                "instructions:u by `perf stat`, one run of each benchmark, its preparation included, \
                 less one of none"
            }
            Self::Callgrind => {
                "by `valgrind --tool=callgrind`, one run of each benchmark, its preparation included, \
                 less one of none; \
                 an emulated processor without AVX-512"
            }
        }
    }

    /// Instructions of both sides of a benchmark, of the base twice.
    pub(crate) fn both(self, subject: &Subject, folder: &Path) -> Result<Instructions, Uncounted> {
        let one = |program: &Path| {
            let count = |name: &str| self.count(program, &["--test", "--exact", name], folder);
            // What is less than the variation of none is still a count.
            Ok::<_, Lost>((count(&subject.name)? - count("no benchmark has this name")?).max(1.0))
        };
        let base = one(&subject.base).map_err(Uncounted::Base)?;
        let again = one(&subject.base).map_err(Uncounted::Base)?;
        let head = one(&subject.head).map_err(Uncounted::Head)?;
        if base.max(again).max(head) < counts::SMALLEST {
            return Err(Uncounted::Small);
        }
        Ok(Instructions { base, again, head })
    }

    /// Instructions of one run.
    fn count(self, program: &Path, arguments: &[&str], folder: &Path) -> Result<f64, Lost> {
        let mut command = match self {
            Self::Perf => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x", ",", "-e", "instructions:u", "--"]);
                command
            }
            Self::Callgrind => {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
                command
            }
        };
        let child = command
            .arg(program)
            .args(arguments)
            // Threads that wait count what they like.
            .envs(["RAYON_NUM_THREADS", "OMP_NUM_THREADS"].map(|name| (name, "1")))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|_| Lost::Failed)?;
        let mut errors = child.stderr.take().ok_or(Lost::Failed)?;
        let reader = thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|_| Lost::Failed)? {
                break status;
            }
            if PATIENCE < begin.elapsed() {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Lost::TooLong);
            }
            thread::sleep(Duration::from_millis(20));
        };
        let text = reader.join().map_err(|_| Lost::Failed)?;
        let count = status.success().then(|| self.read(&text)).flatten();
        count.ok_or(Lost::Failed)
    }

    fn read(self, text: &str) -> Option<f64> {
        let number = |word: &str| word.trim().replace(',', "").parse::<f64>().ok();
        match self {
            // 1234,,instructions:u,…
            Self::Perf => text
                .lines()
                .find(|line| line.contains("instructions"))?
                .split(',')
                .next()
                .and_then(number),
            // ==7== Collected : 1234; a child that was forked says so first.
            Self::Callgrind => text
                .lines()
                .filter_map(|line| line.split_once("Collected :"))
                .next_back()
                .and_then(|(_, count)| number(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tools_are_read() {
        let perf = "1203344,,instructions:u,1146926,100.00,,\n";
        assert_eq!(Counter::Perf.read(perf), Some(1_203_344.0));
        let none = "<not supported>,,instructions:u,0,100.00,,\n";
        assert_eq!(Counter::Perf.read(none), None);
        let callgrind =
            "==8== Collected : 544321\n==7== Events    : Ir\n==7== Collected : 219077\n==7==\n";
        assert_eq!(Counter::Callgrind.read(callgrind), Some(219_077.0));
        assert_eq!(Counter::Callgrind.read("==7== killed"), None);
    }

    #[test]
    fn a_head_that_cannot_be_counted_is_no_head_that_is_fine() {
        let Ok(counter) = Counter::find(Path::new("/")) else {
            return; // Nothing counts here.
        };
        let both = |base: &str, head: &str| {
            let subject = Subject {
                name: "a".to_owned(),
                base: base.into(),
                head: head.into(),
            };
            counter.both(&subject, Path::new("/"))
        };
        let head = both("true", "false");
        assert_eq!(head, Err(Uncounted::Head(Lost::Failed)));
        assert_eq!(both("false", "true"), Err(Uncounted::Base(Lost::Failed)));
        assert_eq!(both("true", "true"), Err(Uncounted::Small));
    }
}
