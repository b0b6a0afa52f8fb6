//! A Slurm of two nodes on one machine, without systemd and without cgroups.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{ask, sh};
use crate::error::{Error, at};

/// The nodes, each a daemon with its own port.
pub(super) const NODES: [&str; 2] = ["n1", "n2"];
/// The most tasks of an array, plus one: few, so that a study has more cells.
pub(super) const MAX_ARRAY_SIZE: usize = 7;
/// Looks, five a second, for which a node that was put back must stay in service.
const LOOKS_AFTER_RETURN: u32 = 15;

/// A running cluster; its daemons end with it.
pub(super) struct Lab {
    pub(super) version: String,
    controller: Child,
    nodes: Vec<Child>,
}

impl Lab {
    /// Installs what is needed, writes the configuration and starts the daemons.
    pub(super) fn start(packages: &Path) -> Result<Lab, Error> {
        install(packages)?;
        let host = ask("hostname -s")?;
        let path = Path::new("/etc/slurm/slurm.conf");
        fs::create_dir_all("/etc/slurm").map_err(at("create", "/etc/slurm"))?;
        fs::write(path, configuration(host.trim())).map_err(at("write", path))?;
        sh(
            "mkdir -p /run/munge /var/spool/slurmctld /var/log/slurm && chown munge: /run/munge \
            && chmod 755 /run/munge && setpriv --reuid=munge --regid=munge --init-groups munged",
        )?;
        eventually("munge answers", || ask("munge -n | unmunge").is_ok())?;
        let mut lab = Lab {
            version: ask("sbatch --version")?.trim().to_owned(),
            controller: controller()?,
            nodes: Vec::new(),
        };
        for name in NODES {
            lab.nodes.push(node(name)?);
        }
        lab.settle()?;
        Ok(lab)
    }

    /// Waits until every node is idle, the queue is empty, and no job runs that a controller has forgotten: it would give
    /// the number of that job to another, and take the node out of service when the two meet there. It may do so seconds
    /// after the node was put back, so one that was is looked at for longer.
    pub(super) fn settle(&self) -> Result<(), Error> {
        let (mut looks, mut wanted) = (0, 1);
        eventually("every node is idle", || {
            if put_back() {
                (looks, wanted) = (0, LOOKS_AFTER_RETURN);
                return false;
            }
            let idle = ask("sinfo -h -N -o %T").unwrap_or_default();
            let jobs = ask("squeue -h").unwrap_or_else(|_| "?".to_owned());
            // A zombie is no job, where nobody has seen it off.
            let forgotten = ask("pgrep -c -r D,R,S,T slurmstepd || true").unwrap_or_default();
            let is_idle = idle.lines().count() == 2 * NODES.len()
                && idle.lines().all(|state| state.trim() == "idle")
                && jobs.trim().is_empty()
                && forgotten.trim() == "0";
            looks = if is_idle { looks + 1 } else { 0 };
            wanted <= looks
        })
    }

    /// The controller ends without a word and is started again.
    pub(super) fn restart_controller(&mut self, after: Duration) -> Result<(), Error> {
        let _ = self.controller.kill();
        let _ = self.controller.wait();
        std::thread::sleep(after);
        self.controller = controller()?;
        Ok(())
    }

    /// From here on jobs have numbers that none has had. A controller that was lost gives those of jobs that it forgot
    /// again, and nodes that remember them are taken out of service.
    pub(super) fn renumber(&self) -> Result<(), Error> {
        sh("echo FirstJobId=10000 >> /etc/slurm/slurm.conf && scontrol reconfigure")
    }

    /// A node is lost: its daemon and those of its jobs end without a word.
    pub(super) fn lose_node(&mut self, number: usize) {
        let _ = self.nodes[number].kill();
        let _ = self.nodes[number].wait();
        // The daemons of its jobs say whose they are: `slurmstepd: [<job>.batch]`, started by the node's own.
        let _ = sh("pkill -KILL slurmstepd");
    }

    /// It is back.
    pub(super) fn return_node(&mut self, number: usize) -> Result<(), Error> {
        self.nodes[number] = node(NODES[number])?;
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for daemon in self.nodes.iter_mut().chain([&mut self.controller]) {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Puts nodes back that Slurm has taken out of service, as a person would; whether there was one.
pub(super) fn put_back() -> bool {
    let states = ask("sinfo -h -N -o '%N %T'").unwrap_or_default();
    let is_out = |state: &str| state.contains("drain") || state.contains("down");
    let nodes = states.lines().filter_map(|line| line.split_once(' '));
    let out: BTreeSet<&str> = nodes
        .filter(|(_, state)| is_out(state))
        .map(|(name, _)| name)
        .collect();
    for name in &out {
        let _ = sh(&format!("scontrol update nodename={name} state=resume"));
    }
    !out.is_empty()
}

/// Asks until it is so; three minutes, which is long on the busiest machine.
pub(super) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), Error> {
    let begun = Instant::now();
    while !is_so() {
        if Duration::from_secs(180) < begun.elapsed() {
            return Err(Error::Cluster {
                what: format!("it never came that {what}"),
                why: ask("sinfo; squeue; tail -n 20 /var/log/slurm/*.log").unwrap_or_default(),
            });
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Debian's packages; kept in a folder, so that they are fetched once.
fn install(packages: &Path) -> Result<(), Error> {
    if ask("command -v slurmctld slurmd munged").is_ok() {
        return Ok(());
    }
    fs::create_dir_all(packages.join("partial")).map_err(at("create", packages))?;
    // No daemon starts by being installed.
    sh(
        "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d",
    )?;
    let archives = packages.display();
    sh(&format!(
        "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq install -y \
         --no-install-recommends -o Dir::Cache::archives='{archives}' -o APT::Keep-Downloaded-Packages=true \
         slurm-wlm munge"
    ))
}

fn controller() -> Result<Child, Error> {
    daemon("slurmctld", &["-D"])
}

fn node(name: &str) -> Result<Child, Error> {
    let spool = format!("/var/spool/slurmd.{name}");
    fs::create_dir_all(&spool).map_err(at("create", spool))?;
    daemon("slurmd", &["-D", "-N", name])
}

fn daemon(name: &str, words: &[&str]) -> Result<Child, Error> {
    let command = format!("{name} {}", words.join(" "));
    let mut daemon = Command::new(name);
    daemon
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    daemon
        .spawn()
        .map_err(|source| Error::Start { command, source })
}

/// No cgroups: a node would show idle and fail every launch. Times are short, so that a lost node is missed and a
/// requeued job starts within seconds.
fn configuration(host: &str) -> String {
    let nodes = NODES.iter().enumerate().map(|(number, name)| {
        format!(
            "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=2 Boards=1 SocketsPerBoard=1 \
             CoresPerSocket=2 ThreadsPerCore=1 RealMemory=1000 State=UNKNOWN\n",
            17001 + number
        )
    });
    format!(
        "ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=cred_expire=5
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd.%n
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.%n.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=bf_interval=2,sched_min_interval=50000,batch_sched_delay=0,requeue_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
KillWait=5
SlurmdTimeout=12
MaxArraySize={MAX_ARRAY_SIZE}
{}PartitionName=low  Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 State=UP PriorityTier=1  PreemptMode=REQUEUE GraceTime=10
PartitionName=high Nodes=ALL Default=NO  MaxTime=60 DefaultTime=10 State=UP PriorityTier=10 PreemptMode=OFF
",
        nodes.collect::<String>()
    )
}
