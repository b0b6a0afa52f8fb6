//! What is true of files after every fault.

use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::thread;

use tempfile::tempdir;

use super::*;

/// A system in which one call fails.
enum Failing {
    /// With half of the bytes written.
    Write(Errno),
    Link(Errno),
    /// NFS: the link is made, its answer is lost, and the repeated call finds the name taken.
    LostReply,
    /// The name is taken, and free again before anyone can look, so many times.
    Vanishing(std::cell::Cell<u32>),
}

impl System for Failing {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        match *self {
            Self::Write(errno) => file
                .write_all(&bytes[..bytes.len() / 2])
                .and(Err(errno.into())),
            _ => Posix.write(file, bytes),
        }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match *self {
            Self::Link(errno) => Err(errno.into()),
            Self::LostReply => Posix.link(from, to).and(Err(Errno::EXIST.into())),
            Self::Vanishing(ref times) if 0 < times.get() => {
                times.set(times.get() - 1);
                Err(Errno::EXIST.into())
            }
            Self::Write(_) | Self::Vanishing(_) => Posix.link(from, to),
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_first_wins_and_nothing_is_left_over() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("result.json");
    assert_eq!(publish_new(&path, b"a").unwrap(), Published::Written);
    assert_eq!(publish_new(&path, b"a").unwrap(), Published::AlreadySame);
    for other in ["b", "", "ab"] {
        let outcome = publish_new(&path, other.as_bytes()).unwrap();
        assert_eq!(outcome, Published::Conflict, "{other}");
    }
    assert_eq!(read(&path).unwrap(), b"a");
    assert_eq!(names(folder.path()), ["result.json"]);
}

#[test]
fn of_many_threads_one_wins() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("claim");
    let start = Barrier::new(8);
    let write = &|i: u8| {
        start.wait();
        (i, publish_new(&path, &[i]).unwrap())
    };
    let winners: Vec<_> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8).map(|i| scope.spawn(move || write(i))).collect();
        let outcomes = writers.into_iter().map(|writer| writer.join().unwrap());
        outcomes
            .filter(|(_, outcome)| *outcome == Published::Written)
            .collect()
    });
    assert_eq!(winners.len(), 1);
    assert_eq!(read(&path).unwrap(), [winners[0].0]);
    assert_eq!(names(folder.path()), ["claim"]);
}

#[test]
fn a_lost_reply_is_still_a_win() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("result.json");
    let first = publish_on(&Failing::LostReply, &path, b"a").unwrap();
    assert_eq!(first, Published::Written);
    let second = publish_on(&Failing::LostReply, &path, b"b");
    assert_eq!(second.unwrap(), Published::Conflict);
}

#[test]
fn leftovers_of_a_dead_process_with_our_pid_do_not_disturb() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("result.json");
    // The counter is shared with the other tests: cover what it can reach while this one runs.
    for counter in 0..200 {
        let name = format!("result.json.tmp.{}.{}.{counter}", host(), process::id());
        fs::write(folder.path().join(name), b"torn").unwrap();
    }
    assert_eq!(publish_new(&path, b"whole").unwrap(), Published::Written);
    replace(&path, b"anew").unwrap();
    assert_eq!(read(&path).unwrap(), b"anew");
    assert_eq!(names(folder.path()).len(), 201);
}

#[test]
fn replacing_keeps_the_old_content_until_the_new_is_whole() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("beat");
    replace(&path, b"old").unwrap();
    let full = Failing::Write(Errno::NOSPC);
    assert!(replace_on(&full, &path, b"new").unwrap_err().is_disk_full());
    assert_eq!(read(&path).unwrap(), b"old");
    replace(&path, b"new").unwrap();
    assert_eq!(read(&path).unwrap(), b"new");
    assert_eq!(names(folder.path()), ["beat"]);
}

#[test]
fn a_full_or_failing_disk_is_a_class_of_its_own() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("result.json");
    for errno in [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::ROFS] {
        let full = errno != Errno::ROFS;
        for failing in [Failing::Write(errno), Failing::Link(errno)] {
            let error = publish_on(&failing, &path, b"1234").unwrap_err();
            assert_eq!(
                (error.is_disk_full(), error.is_read_only()),
                (full, !full),
                "{error}"
            );
            assert!(error.to_string().contains("result.json"), "{error}");
            assert!(names(folder.path()).is_empty());
        }
    }
    let error = publish_on(&Failing::Link(Errno::PERM), &path, b"1").unwrap_err();
    assert!(matches!(error, Error::NoHardLinks(..)), "{error}");
}

#[test]
fn a_missing_folder_is_named_and_can_be_made() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("cells/ab/result.json");
    for outcome in [publish_new(&path, b"").map(drop), replace(&path, b"")] {
        assert!(matches!(outcome, Err(Error::NoFolder(named, _)) if named == path));
    }
    assert!(read(&path).unwrap_err().is_absent());
    create_dir(path.parent().unwrap()).unwrap();
    create_dir(path.parent().unwrap()).unwrap();
    assert_eq!(publish_new(&path, b"").unwrap(), Published::Written);
    for below in [path.clone(), path.join("deeper")] {
        let error = create_dir(&below).unwrap_err();
        assert!(matches!(error, Error::NotAFolder(..)), "{error}");
    }
}

#[test]
fn a_read_only_folder_is_a_class_of_its_own() {
    let folder = tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // Permissions do not bind root, and then there is nothing to see here.
    if !rustix::process::geteuid().is_root() {
        let error = publish_new(&folder.path().join("result.json"), b"").unwrap_err();
        assert!(error.is_read_only() && !error.is_disk_full(), "{error}");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_name_that_was_taken_a_moment_ago_is_taken_over() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("claim");
    for times in [1, 3] {
        let system = Failing::Vanishing(std::cell::Cell::new(times));
        let published = publish_on(&system, &path, b"mine");
        assert_eq!(published.unwrap(), Published::Written);
        fs::remove_file(&path).unwrap();
    }
    let always = Failing::Vanishing(std::cell::Cell::new(u32::MAX));
    assert!(publish_on(&always, &path, b"mine").unwrap_err().is_absent());
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_name_that_comes_and_goes_is_nobodys_error() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("claim");
    thread::scope(|scope| {
        for writer in ["a", "b", "c"] {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..30 {
                    match publish_new(path, writer.as_bytes()).unwrap() {
                        Published::Written => fs::remove_file(path).unwrap(),
                        Published::AlreadySame => panic!("nobody else writes {writer}"),
                        Published::Conflict => {}
                    }
                }
            });
        }
    });
}
