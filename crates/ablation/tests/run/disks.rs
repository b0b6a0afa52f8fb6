//! Disks that are full, and folders that may not be written any more.
//!
//! Both take mounts, which the shell that runs the program makes in a namespace of its own; they go with it.

use std::{
    fs,
    io::{self, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus, Output},
};

use tempfile::tempdir;

use crate::{
    common::{refusal, stderr, stdout},
    process::{SHORT, endless, last_line, results, undisturbed, with},
};

/// How `unshare` gives a shell mounts of its own: to root, or to whom the system lets be root of a namespace; `None`
/// where it does not.
fn namespace(folder: &Path) -> Option<&'static str> {
    let place = folder.join("probe");
    fs::create_dir(&place).expect("a folder");
    ["-m", "-Urm"].into_iter().find(|flags| {
        let mount = ["mount", "-t", "tmpfs", "tmpfs", "probe"];
        let tried = Command::new("unshare")
            .arg(flags)
            .args(mount)
            .current_dir(folder)
            .output();
        tried.is_ok_and(|output| output.status.success())
    })
}

/// A test that does not pass must not look as if it did: past the harness, which shows nothing of what passes.
fn skip(what: &str) {
    let _ = writeln!(io::stderr(), "skipped, no mounts for this user: {what}");
}

/// Begins a script: what a step says goes into files of its name.
const STEPS: &str = r#"
step() { name=$1; shift; "$@" > $name.out 2> $name.err; echo $? > $name.status; }
"#;

/// Runs a script whose `$0` is the program and `$@` its arguments, in a shell that `unshare` starts with these flags.
fn shell(folder: &Path, flags: Option<&str>, script: &str, arguments: &[&str]) {
    let mut command = Command::new("env");
    if let Some(flags) = flags {
        command.args(["unshare", flags]);
    }
    let output = command
        .arg("sh")
        .args([
            "-c",
            &[STEPS, script].concat(),
            env!("CARGO_BIN_EXE_ablate"),
        ])
        .args(arguments)
        .current_dir(folder)
        .env_remove("ABLATE_DATA_DIR")
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}", stderr(&output));
}

/// What a step of the script said.
fn step(folder: &Path, name: &str) -> Output {
    let read = |kind: &str| fs::read(folder.join(format!("{name}.{kind}"))).expect("a step");
    let status = String::from_utf8(read("status")).expect("text");
    let code: i32 = status.trim().parse().expect("a number");
    Output {
        // As wait(2) gives it.
        status: ExitStatus::from_raw(code << 8),
        stdout: read("out"),
        stderr: read("err"),
    }
}

#[test]
fn a_full_disk_stops_the_run_and_it_goes_on_where_there_is_space() {
    let folder = tempdir().expect("a temporary folder");
    let folder = folder.path();
    let Some(flags) = namespace(folder) else {
        return skip("a full disk");
    };
    // All but 300 kB of it is taken by something else.
    let script = r#"
        mkdir disk full whole
        mount -t tmpfs -o size=16384k tmpfs disk || exit 1
        head -c 16084k /dev/zero > disk/else
        step full "$0" "$@"
        cp -r disk/cells full/
        rm disk/else
        step whole "$0" "$@"
        step verify "$0" verify disk
        cp -r disk/cells whole/
    "#;
    let study = with(&SHORT[..2], &["--seeds", "12"]);
    let on_disk = with(&study, &["--jobs", "2", "--out", "disk"]);
    shell(folder, Some(flags), script, &on_disk);

    let line = refusal(&step(folder, "full"), 74);
    assert!(
        line.contains("is full") && line.contains("finished cells are kept"),
        "{line}"
    );
    let calm = undisturbed(&study);
    let kept = results(&folder.join("full"));
    assert!(
        !kept.is_empty() && kept.len() < calm.len(),
        "{} of {}",
        kept.len(),
        calm.len()
    );
    let is_calm = |(id, bytes): (&String, &Vec<u8>)| calm[id] == *bytes;
    assert!(kept.iter().all(is_calm), "a torn result");

    let whole = step(folder, "whole");
    assert!(whole.status.success(), "{}", stderr(&whole));
    let line = last_line(&whole);
    assert_eq!(line.run_now as usize, calm.len() - kept.len());
    assert!(results(&folder.join("whole")) == calm, "results differ");
    let verdict = step(folder, "verify");
    assert!(verdict.status.success(), "{}", stdout(&verdict));
}

#[test]
fn a_directory_that_cannot_be_written_any_more_ends_the_run() {
    let folder = tempdir().expect("a temporary folder");
    let study = with(
        &endless(&folder),
        &["--jobs", "1", "--checkpoint", "0.05", "--out", "run"],
    );
    let folder = folder.path();
    let flags = namespace(folder);
    // Permissions bind every user but root, who may mount.
    if flags.is_none() && rustix::process::geteuid().is_root() {
        return skip("a directory that may not be written any more");
    }
    let (cover, uncover) = match flags {
        // The folder covered by itself, read-only as soon as nobody writes a file there.
        Some(_) => (
            "mount --bind run run && until mount -o remount,bind,ro run 2> /dev/null; do
                looks=$((looks + 1))
                test $looks -lt 2400 || { kill $!; exit 1; }
                sleep 0.01
            done",
            "umount run",
        ),
        None => ("chmod -R a-w run", "chmod -R u+w run"),
    };
    let script = format!(
        r#"
        "$0" "$@" > run.out 2> run.err &
        looks=0
        until ls run/claims 2> /dev/null | grep -qE "^[0-9a-f]{{32}}$"; do
            looks=$((looks + 1))
            test $looks -lt 1200 || {{ kill $!; exit 1; }}
            sleep 0.05
        done
        {cover} || {{ kill $!; exit 1; }}
        wait $!
        echo $? > run.status
        # Looking is allowed, and writing a report is refused in words.
        step status "$0" status run
        step verify "$0" verify run
        step report "$0" report run
        {uncover}
        "#
    );
    shell(folder, flags, &script, &study);
    for (name, status) in [("run", 2), ("report", 2)] {
        let line = refusal(&step(folder, name), status);
        assert!(line.contains("no permission for "), "{name}: {line}");
    }
    for name in ["status", "verify"] {
        let output = step(folder, name);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
    }
}
