//! Processes, told apart across machines, restarts and containers.

use std::fs;

use crate::files;

/// A process, told apart from later ones of the same number, and from those of other machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    /// When it was started, in the system's own unit; `None` where the system does not say.
    pub(super) start: Option<u64>,
    pub(super) machine: Machine,
    /// Its task in a batch system, by which its log is named.
    pub(super) task: Option<String>,
}

/// Where a process is, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In our list of processes.
    Here,
    /// On this machine before it was started anew.
    Gone,
    /// On another machine, or in another container: whether it lives is not known.
    Elsewhere,
}

impl Process {
    pub(super) fn this(task: Option<&str>) -> Process {
        let id = std::process::id();
        Process {
            id,
            start: started(id).map(|(_, start)| start),
            machine: Machine::this(),
            task: task.map(str::to_owned),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Process> {
        let mut words = text.split_whitespace();
        Some(Process {
            id: words.next()?.parse().ok()?,
            start: words.next()?.parse().ok(),
            machine: Machine::parse(words.next()?)?,
            task: words.next().map(str::to_owned),
        })
    }

    pub(super) fn is_this(&self) -> bool {
        let this = Process::this(None);
        (self.id, self.start) == (this.id, this.start) && self.machine == this.machine
    }

    pub(super) fn place(&self) -> Place {
        let here = Machine::this();
        if self.machine == here {
            Place::Here
        } else if self.machine.host == here.host && self.machine.boot != here.boot {
            Place::Gone
        } else {
            Place::Elsewhere
        }
    }

    /// Whether the system knows it, be it only as a zombie; a number alone does not say, since after a restart of a
    /// container another process bears it.
    pub(super) fn exists(&self) -> bool {
        let known = self.place() == Place::Here && is_known(self.id);
        match (self.start, started(self.id)) {
            (Some(start), Some((_, now))) => known && start == now,
            _ => known,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.exists() && lives(self.id)
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let who = match &self.task {
            Some(task) => format!("task {task}, process {}", self.id),
            None => format!("process {}", self.id),
        };
        match self.place() {
            Place::Here => who,
            _ => format!("{who} on {}", self.machine.host),
        }
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine {
            host,
            boot,
            container,
        } = &self.machine;
        write!(f, "{} ", self.id)?;
        match self.start {
            Some(start) => write!(f, "{start}")?,
            None => write!(f, "-")?,
        }
        write!(f, " {host}/{boot}/{container}")?;
        match &self.task {
            Some(task) => write!(f, " {task}"),
            None => Ok(()),
        }
    }
}

/// A machine since it was started, and the list of processes in which a container sees its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    host: String,
    boot: String,
    container: String,
}

impl Machine {
    fn this() -> Machine {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let list = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let list = list.to_string_lossy();
        Machine {
            host: files::host(),
            boot: boot.trim().to_owned(),
            container: list.chars().filter(char::is_ascii_digit).collect(),
        }
    }

    fn parse(text: &str) -> Option<Machine> {
        let mut parts = text.split('/').map(str::to_owned);
        Some(Machine {
            host: parts.next()?,
            boot: parts.next()?,
            container: parts.next()?,
        })
    }
}

/// Whether a process of that number is at work or may be again: a zombie may not.
pub(super) fn lives(pid: u32) -> bool {
    is_known(pid) && started(pid).is_none_or(|(state, _)| !['Z', 'X'].contains(&state))
}

/// Whether the system has a process of that number.
fn is_known(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Whether a process was stopped (SIGSTOP, SIGTSTP, a debugger) and may sleep for ever.
pub(crate) fn is_stopped(pid: u32) -> bool {
    started(pid).is_some_and(|(state, _)| ['T', 't'].contains(&state))
}

/// State and start of a process, where there is `/proc`.
pub(super) fn started(pid: u32) -> Option<(char, u64)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name, may hold spaces and brackets.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some((
        fields.first()?.chars().next()?,
        fields.get(19)?.parse().ok()?,
    ))
}
