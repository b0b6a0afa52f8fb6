//! How other programs, cargo above all, are run: command lines that can be shown, repeated and replaced.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::error::Error;

/// The two folders that every command needs.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// cargo's target directory: everything that xtask brings or makes lies below it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// The workspace that this xtask belongs to.
    ///
    /// cargo says where the package is when it runs us, so a checkout may be moved after it was built.
    /// The target directory is cargo's: what the environment says, else the folder above our own program
    /// that cargo has marked with `CACHEDIR.TAG` (which holds for `build.target-dir` too).
    pub(crate) fn find() -> Self {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().unwrap_or(&package).to_path_buf();
        let target = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
            .iter()
            .find_map(env::var_os)
            .map(PathBuf::from)
            .or_else(|| {
                let program = env::current_exe().ok()?;
                let marked = program
                    .ancestors()
                    .find(|folder| folder.join("CACHEDIR.TAG").is_file())?;
                Some(marked.to_path_buf())
            })
            .unwrap_or_else(|| root.join("target"));
        // One spelling of the path: torch-sys is built again whenever the text of LIBTORCH changes.
        let target = std::path::absolute(&target).unwrap_or(target);
        Self { root, target }
    }
}

/// Variables for a program alone.
pub(crate) type Variables = Vec<(&'static str, OsString)>;

/// A command line that can be shown and run.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    program: OsString,
    shown: String,
    arguments: Vec<OsString>,
    environment: Variables,
    folder: PathBuf,
}

impl Invocation {
    /// A program, run in the given folder.
    pub(crate) fn new(program: impl Into<OsString>, folder: &Path) -> Self {
        let program = program.into();
        let shown = program.to_string_lossy().into_owned();
        Self {
            program,
            shown,
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.to_path_buf(),
        }
    }

    /// The cargo that runs us, in the workspace's root.
    pub(crate) fn cargo(workspace: &Workspace) -> Self {
        let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let shown = "cargo".to_owned();
        let line = Self {
            shown,
            ..Self::new(program, &workspace.root)
        };
        // A relative one would mean another folder there.
        let moved = env::var_os("CARGO_TARGET_DIR").is_some();
        if moved {
            line.env("CARGO_TARGET_DIR", &workspace.target)
        } else {
            line
        }
    }

    /// Leaves the program in the folder that we were started in, so that relative paths mean what they say.
    pub(crate) fn here(mut self) -> Self {
        if let Ok(folder) = env::current_dir() {
            self.folder = folder;
        }
        self
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Sets a variable for the program alone.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Sets several variables for the program alone.
    pub(crate) fn envs(
        mut self,
        variables: impl IntoIterator<Item = (&'static str, OsString)>,
    ) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Runs it to its end; it shares our terminal but has no standard input.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let status = self
            .command()
            .stdin(Stdio::null())
            .status()
            .map_err(|source| self.not_started(source))?;
        self.judge(status)
    }

    /// Runs it to its end and returns its standard output; its standard error stays visible.
    pub(crate) fn capture(&self) -> Result<String, Error> {
        let output = self
            .command()
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|source| self.not_started(source))?;
        self.judge(output.status)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it runs and ends well; says nothing.
    pub(crate) fn succeeds(&self) -> bool {
        self.command()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Becomes the program, so that signals and the terminal reach it directly; returns only if that fails.
    #[cfg(unix)]
    pub(crate) fn replace(&self) -> Error {
        use std::os::unix::process::CommandExt;
        self.not_started(self.command().exec())
    }

    /// Runs the program in our place; returns only if it fails.
    #[cfg(not(unix))]
    pub(crate) fn replace(&self) -> Error {
        match self.command().status() {
            Ok(status) => std::process::exit(status.code().unwrap_or(1)),
            Err(source) => self.not_started(source),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .current_dir(&self.folder);
        command
    }

    fn judge(&self, status: ExitStatus) -> Result<(), Error> {
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed {
            command: self.to_string(),
            status: code(status),
        })
    }

    fn not_started(&self, source: std::io::Error) -> Error {
        Error::Start {
            command: self.to_string(),
            source,
        }
    }
}

/// As a shell takes it.
impl fmt::Display for Invocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(out, "{name}={} ", quoted(&value.to_string_lossy()))?;
        }
        write!(out, "{}", self.shown)?;
        for argument in &self.arguments {
            write!(out, " {}", quoted(&argument.to_string_lossy()))?;
        }
        Ok(())
    }
}

/// A shell's exit status: the program's own, or 128 + the signal that ended it.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let code = status
        .code()
        .or(signal.map(|signal| 128 + signal))
        .unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation::new("sh", Path::new("/")).args(["-c", script])
    }

    #[test]
    fn is_shown_as_a_shell_takes_it() {
        let shown = shell("it's a line").env("TWO", "a b").to_string();
        assert_eq!(shown, r"TWO='a b' sh -c 'it'\''s a line'");
    }

    #[cfg(unix)]
    #[test]
    fn the_exit_status_of_a_child_is_kept() {
        assert_eq!(shell("exit 7").run().expect_err("it fails").status(), 7);
        assert_eq!(
            shell("kill -TERM $$")
                .run()
                .expect_err("it is ended")
                .status(),
            128 + 15
        );
        assert!(shell("exit 0").run().is_ok());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Invocation::new("no-such-program", Path::new("/"))
            .run()
            .expect_err("there is none");
        assert!(error.to_string().contains("no-such-program"), "{error}");
        assert_eq!(error.status(), 2);
    }
}
