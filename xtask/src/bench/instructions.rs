//! Counting the instructions of one run of a benchmark, by whatever the machine has for it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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
        if Self::Perf.count(Path::new("true"), &[], root).is_some() {
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

    /// Instructions of one run; `None` where it fails or takes too long.
    pub(crate) fn count(self, program: &Path, arguments: &[&str], folder: &Path) -> Option<f64> {
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
        let mut child = child.ok()?;
        let mut errors = child.stderr.take()?;
        let reader = thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().ok()? {
                break status;
            }
            if PATIENCE < begin.elapsed() {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let text = reader.join().ok()?;
        status.success().then(|| self.read(&text))?
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
}
