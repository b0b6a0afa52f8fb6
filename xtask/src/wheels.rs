//! The recipe for libtorch without CUDA's gigabytes: three pinned wheels, of which a few members are kept.
//!
//! Everything lies in cargo's target directory: `libtorch/` when it is complete, `libtorch.partial/` before.
//! The folder becomes `libtorch/` in one rename, so that no half of it is ever linked with.

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::{Error, at};
use crate::process::Invocation;

/// One file of the Python package index.
struct Wheel {
    requirement: &'static str,
    file: &'static str,
    sha256: &'static str,
}

const WHEELS: [Wheel; 3] = [
    Wheel {
        requirement: "nvidia-cuda-runtime==13.0.96",
        file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    },
    Wheel {
        requirement: "nvidia-cuda-cupti==13.0.85",
        file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    },
    Wheel {
        requirement: "torch==2.11.0",
        file: "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
    },
];

/// Members of the wheels that are kept, and where: a name, or a folder with its slash.
const MEMBERS: [(&str, &str); 6] = [
    ("torch/include/", "include/"),
    ("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
    ("torch/lib/libc10.so", "lib/libc10.so"),
    ("torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
    ("nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13"),
    ("nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13"),
];

/// The wheel's own `libtorch.so` asks for the CUDA libraries; a linker script asks for the CPU's alone.
const LINKER_SCRIPT: (&str, &str) = ("lib/libtorch.so", "INPUT ( libtorch_cpu.so )\n");

/// Unpacks the members named by pairs `from to` out of the wheels before `--`; a name that is nowhere is an error.
const UNPACK: &str = r#"
import os, shutil, sys, zipfile
split = sys.argv.index("--")
tree, wheels, pairs = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
wanted = dict(zip(pairs[::2], pairs[1::2]))
missing = set(wanted)
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            source = next((w for w in wanted if member.filename == w or w.endswith("/") and member.filename.startswith(w)), None)
            if source is None or member.is_dir():
                continue
            missing.discard(source)
            place = os.path.join(tree, wanted[source] + member.filename[len(source):])
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with archive.open(member) as data, open(place, "wb") as file:
                shutil.copyfileobj(data, file, 1 << 20)
if missing:
    sys.exit("the wheels lack " + ", ".join(sorted(missing)))
"#;

/// Written last: holds the digest of the recipe that the folder was made by.
const STAMP: &str = "recipe.sha256";
const TRIES: usize = 3;

/// Returns `<target>/libtorch`, made by this recipe; what is complete is never fetched again.
pub(crate) fn install(target: &Path) -> Result<PathBuf, Error> {
    if let Some(folder) = installed(target) {
        return Ok(folder);
    }
    let folder = target.join("libtorch");
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Error::Platform {
            os: env::consts::OS,
            arch: env::consts::ARCH,
        });
    }
    fs::create_dir_all(target).map_err(at("create", target))?;
    let _lock = lock(&target.join("libtorch.lock"))?;
    // Another xtask may have made it while we waited.
    if complete(&folder) {
        return Ok(folder);
    }
    let python = python(target)?;
    eprintln!(
        "bringing libtorch into {} (once; about 550 MB to fetch, 450 MB to keep)",
        folder.display()
    );
    let partial = target.join("libtorch.partial");
    let kept = partial.join("wheels");
    fs::create_dir_all(&kept).map_err(at("create", &kept))?;
    for wheel in &WHEELS {
        fetch(python, wheel, &kept, Duration::from_secs(3))?;
    }
    let tree = partial.join("tree");
    remove(&tree)?;
    unpack(python, &kept, &tree)?;
    remove(&folder)?;
    fs::rename(&tree, &folder).map_err(at("put in place", &folder))?;
    remove(&partial)?;
    Ok(folder)
}

/// `<target>/libtorch`, if it is complete.
pub(crate) fn installed(target: &Path) -> Option<PathBuf> {
    Some(target.join("libtorch")).filter(|folder| complete(folder))
}

/// The stamp is of this recipe and every library is there.
fn complete(folder: &Path) -> bool {
    let stamped =
        fs::read_to_string(folder.join(STAMP)).is_ok_and(|stamp| stamp.trim() == recipe());
    stamped
        && MEMBERS
            .iter()
            .map(|(_, to)| to)
            .chain([&LINKER_SCRIPT.0])
            .all(|to| folder.join(to).exists())
}

/// Changes with everything that decides what the folder holds.
fn recipe() -> String {
    let mut digest = Sha256::new();
    let wheels = WHEELS.iter().flat_map(|wheel| [wheel.file, wheel.sha256]);
    let members = MEMBERS.iter().flat_map(|(from, to)| [*from, *to]);
    for word in wheels
        .chain(members)
        .chain([LINKER_SCRIPT.0, LINKER_SCRIPT.1])
    {
        digest.update(word);
        digest.update([0]);
    }
    hex(&digest.finalize())
}

/// Held until the file is dropped; the operating system lets go of it when a process dies, so it cannot go stale.
fn lock(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(at("open", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder); // for the message alone
            eprintln!(
                "waiting for another cargo xtask (process {}) to bring libtorch",
                holder.trim()
            );
            file.lock().map_err(at("lock", path))?;
        }
        Err(TryLockError::Error(source)) => return Err(at("lock", path)(source)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(at("write", path))?;
    Ok(file)
}

fn python(target: &Path) -> Result<&'static str, Error> {
    ["python3", "python"]
        .into_iter()
        .find(|python| {
            Invocation::new(*python, target)
                .args(["-m", "pip", "--version"])
                .succeeds()
        })
        .ok_or(Error::NoPip)
}

/// Leaves the wheel in `kept`, with the right digest; one that is already there is not asked for again.
fn fetch(python: &str, wheel: &Wheel, kept: &Path, pause: Duration) -> Result<(), Error> {
    let place = kept.join(wheel.file);
    let mut last = Error::Wheel {
        wheel: wheel.file,
        tries: TRIES,
    };
    for attempt in 0..=TRIES {
        // The first look is at what an earlier run may have left.
        if place.is_file() {
            let found = sha256(&place)?;
            if found == wheel.sha256 {
                return Ok(());
            }
            fs::remove_file(&place).map_err(at("remove", &place))?;
            last = Error::WheelHash {
                path: place.clone(),
                found,
                expected: wheel.sha256,
            };
        }
        if attempt == TRIES {
            break;
        }
        if attempt > 0 {
            thread::sleep(pause * 2_u32.pow(attempt as u32));
        }
        match download(python, wheel, kept) {
            Ok(()) => {}
            Err(Error::Failed { .. }) => {
                last = Error::Wheel {
                    wheel: wheel.file,
                    tries: TRIES,
                }
            }
            Err(other) => return Err(other),
        }
    }
    Err(last)
}

fn download(python: &str, wheel: &Wheel, kept: &Path) -> Result<(), Error> {
    let requirements = kept.join("requirements.txt");
    let line = format!("{} --hash=sha256:{}\n", wheel.requirement, wheel.sha256);
    fs::write(&requirements, line).map_err(at("write", &requirements))?;
    // pip writes to its temporary folder first; the pip of a killed xtask may still be busy in another.
    let temporary = kept.join(format!("tmp-{}", std::process::id()));
    fs::create_dir_all(&temporary).map_err(at("create", &temporary))?;
    Invocation::new(python, kept)
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--no-input",
            "--disable-pip-version-check",
        ])
        .args(["--require-hashes", "--only-binary=:all:"])
        // Whatever the local Python is, these are the wheels whose hashes are pinned.
        .args([
            "--python-version",
            "311",
            "--implementation",
            "cp",
            "--abi",
            "cp311",
        ])
        .args([
            "--platform",
            "manylinux_2_28_x86_64",
            "--platform",
            "manylinux_2_25_x86_64",
        ])
        .args([
            "--platform",
            "manylinux2014_x86_64",
            "--platform",
            "manylinux_2_17_x86_64",
        ])
        .args([
            "-r".as_ref(),
            requirements.as_os_str(),
            "-d".as_ref(),
            kept.as_os_str(),
        ])
        .env("TMPDIR", temporary)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .run()
}

fn unpack(python: &str, kept: &Path, tree: &Path) -> Result<(), Error> {
    eprintln!("unpacking libtorch");
    Invocation::new(python, kept)
        .args(["-c", UNPACK])
        .args([tree])
        .args(WHEELS.iter().map(|wheel| wheel.file))
        .args(["--"])
        .args(MEMBERS.iter().flat_map(|(from, to)| [from, to]))
        .run()?;
    for (name, text) in [(LINKER_SCRIPT.0, LINKER_SCRIPT.1), (STAMP, &recipe())] {
        let place = tree.join(name);
        fs::write(&place, text).map_err(at("write", &place))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(at("remove", folder))
    } else {
        Ok(())
    }
}

fn sha256(path: &Path) -> Result<String, Error> {
    let mut digest = Sha256::new();
    let mut file = File::open(path).map_err(at("open", path))?;
    std::io::copy(&mut file, &mut digest).map_err(at("read", path))?;
    Ok(hex(&digest.finalize()))
}

/// Lower-case hexadecimal digits, two for a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn pretend_python(folder: &Path, script: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let program = folder.join("pretend-python");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it may be run");
        program.to_str().expect("the path is text").to_owned()
    }

    const EMPTY: Wheel = Wheel {
        requirement: "nothing==1",
        file: "nothing.whl",
        sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    };

    #[cfg(unix)]
    #[test]
    fn a_wheel_is_asked_for_again_and_then_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Fails once, then gives a wrong file, then the right one, and would fail again.
        let python = pretend_python(
            folder.path(),
            "n=$(cat count 2>/dev/null || echo 0); echo $((n + 1)) > count\n\
             case $n in 0) exit 1;; 1) echo wrong > nothing.whl;; 2) : > nothing.whl;; *) exit 1;; esac",
        );
        fetch(&python, &EMPTY, folder.path(), Duration::ZERO).expect("the third try is right");
        fetch(&python, &EMPTY, folder.path(), Duration::ZERO).expect("it is kept");
        assert_eq!(
            fs::read_to_string(folder.path().join("count"))
                .expect("it counted")
                .trim(),
            "3"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_wrong_wheel_is_deleted_and_both_digests_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let python = pretend_python(folder.path(), "echo wrong > nothing.whl");
        let error =
            fetch(&python, &EMPTY, folder.path(), Duration::ZERO).expect_err("it is never right");
        let Error::WheelHash {
            found, expected, ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_ne!(found, expected);
        assert!(
            error.to_string().contains(found) && error.to_string().contains(expected),
            "{error}"
        );
        assert!(!folder.path().join(EMPTY.file).exists());
    }

    #[cfg(unix)]
    #[test]
    fn an_index_that_never_answers_is_an_error_with_the_way_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let python = pretend_python(folder.path(), "exit 1");
        let message = fetch(&python, &EMPTY, folder.path(), Duration::ZERO)
            .expect_err("it fails")
            .to_string();
        assert!(
            message.contains(EMPTY.file) && message.contains("LIBTORCH_USE_PYTORCH"),
            "{message}"
        );
    }

    #[test]
    fn only_a_folder_with_the_stamp_and_every_library_is_complete() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(!complete(folder.path()));
        for to in MEMBERS.iter().map(|(_, to)| *to).chain([LINKER_SCRIPT.0]) {
            let place = folder.path().join(to);
            fs::create_dir_all(place.parent().expect("it has one")).expect("a folder");
            if to.ends_with('/') {
                fs::create_dir_all(place).expect("a folder");
            } else {
                fs::write(place, "").expect("a file");
            }
        }
        assert!(!complete(folder.path()), "the stamp is missing");
        fs::write(folder.path().join(STAMP), "another recipe").expect("a stamp");
        assert!(!complete(folder.path()), "the stamp is another's");
        fs::write(folder.path().join(STAMP), recipe()).expect("a stamp");
        assert!(complete(folder.path()));
        fs::remove_file(folder.path().join("lib/libtorch_cpu.so")).expect("it was there");
        assert!(!complete(folder.path()), "a library is missing");
    }

    #[test]
    fn the_lock_is_held_by_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let held = lock(&path).expect("nobody holds it");
        let other = File::open(&path).expect("it exists");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(other.try_lock().is_ok());
    }
}
