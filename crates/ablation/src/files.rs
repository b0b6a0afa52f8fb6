//! The one module through which files are written: first wins, or replaced whole, never torn
//!
//! A run directory may lie on NFS and be shared by many workers, some of which die while they write.
//! Hence three rules: a name appears with its complete, synced content or not at all; which of two writers won is
//! read from the link count and not from a return code, because a lost NFS reply turns success into `EEXIST`; and
//! file locks are never relied upon.
//!
//! Temporary files are named `<name>.tmp.<host>.<pid>.<counter>` and created with `O_EXCL`, so that no two processes
//! ever share one, whatever machines or containers they are of.
//! A crash may leave such a file behind: it is harmless, and no reader opens it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use thiserror::Error;

/// What became of the bytes given to [`publish_new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that two results exist for one name"]
pub enum Published {
    /// The name was free and now holds these bytes.
    Written,
    /// Another writer was first, with the same bytes: as good as written.
    AlreadySame,
    /// Another writer was first, with other bytes, which stay.
    Conflict,
}

/// Why a file could not be written or read: the path, and what the operating system said.
///
/// Each message names the path and what to do; the operating system's words are the source of the error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No space or no quota left (`ENOSPC`, `EDQUOT`).
    #[error(
        "the disk or the quota that holds {} is full; free space or choose another place with \
         --out, then run again: finished cells are kept", .0.display()
    )]
    DiskFull(PathBuf, #[source] io::Error),
    /// The storage itself failed (`EIO`).
    #[error(
        "the storage that holds {} fails; check the disk or the mount, then run again: finished \
         cells are kept", .0.display()
    )]
    Device(PathBuf, #[source] io::Error),
    /// This user may not write or read there (`EROFS`, `EACCES`, `EPERM`).
    #[error(
        "no permission for {}; make it accessible to this user or choose another place with --out",
        .0.display()
    )]
    ReadOnly(PathBuf, #[source] io::Error),
    /// The folder that should hold the file does not exist.
    #[error("the folder that should hold {} does not exist; create it first", .0.display())]
    NoFolder(PathBuf, #[source] io::Error),
    /// The file that was to be read does not exist.
    #[error("{} does not exist; check the path, or run the step that writes it", .0.display())]
    Absent(PathBuf, #[source] io::Error),
    /// Something that is not a folder stands where a folder is needed.
    #[error(
        "{}, or what is above it, is not a folder; move that away or choose another place with \
         --out", .0.display()
    )]
    NotAFolder(PathBuf, #[source] io::Error),
    /// The file system has no hard links, so that the first of two writers cannot be told.
    #[error(
        "the file system that holds {} has no hard links; choose a place on another one (ext4, \
         xfs, NFS) with --out", .0.display()
    )]
    NoHardLinks(PathBuf, #[source] io::Error),
    /// Anything else that the operating system refused.
    #[error("the system refuses to read or write {}; check the path", .0.display())]
    Refused(PathBuf, #[source] io::Error),
}

impl Error {
    /// Whether the storage gave out: full, over quota, or failing (`ENOSPC`, `EDQUOT`, `EIO`).
    ///
    /// Trying again does not help: a worker stops with exit status 74 (`EX_IOERR`) and keeps its last checkpoint.
    #[must_use]
    pub const fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull(..) | Self::Device(..))
    }

    /// Whether this user may not write there.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        matches!(self, Self::ReadOnly(..))
    }

    /// Whether a file that was to be read does not exist.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(..))
    }

    /// What `source`, met while writing at `path`, means.
    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::DiskFull(path, source),
            Some(Errno::IO) => Self::Device(path, source),
            Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => Self::ReadOnly(path, source),
            Some(Errno::NOENT) => Self::NoFolder(path, source),
            Some(Errno::NOTDIR) => Self::NotAFolder(path, source),
            _ => Self::Refused(path, source),
        }
    }

    /// What `source`, met while reading `path`, means.
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT) => Self::Absent(path.to_owned(), source),
            _ => Self::write(path, source),
        }
    }

    fn link(path: &Path, source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
                Self::NoHardLinks(path.to_owned(), source)
            }
            _ => Self::write(path, source),
        }
    }
}

/// Writes `bytes` under a name that must be new: of any number of writers, the first wins.
///
/// The bytes go to a temporary file in the same folder, are synced, and get their name by a hard link.
/// When this returns `Ok`, the name holds complete bytes that survive a power cut.
///
/// # Errors
/// Any [`enum@Error`]; the name is then as it was, unless the last step, syncing the folder, was the one that failed.
///
/// ```
/// use ablation::files::{Published, publish_new, read};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("result.json");
/// assert_eq!(publish_new(&path, b"1")?, Published::Written);
/// assert_eq!(publish_new(&path, b"1")?, Published::AlreadySame);
/// assert_eq!(publish_new(&path, b"2")?, Published::Conflict);
/// assert_eq!(read(&path)?, b"1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn publish_new(path: &Path, bytes: &[u8]) -> Result<Published, Error> {
    publish_on(&Posix, path, bytes)
}

/// Writes `bytes` under a name that may exist, which then holds the old bytes or the new ones and never a mixture.
///
/// For files with a single writer: of two at once, the last wins.
///
/// # Errors
/// Any [`enum@Error`]; the old content is then still there, unless syncing the folder was what failed.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace_on(&Posix, path, bytes)
}

/// Whether [`replace`] can write at `path`, as far as it can be known before the bytes are there.
///
/// # Errors
/// [`Error::Refused`] where a folder has the name, and what the operating system refuses.
pub fn check_writable(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        let source = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(Error::Refused(path.to_owned(), source));
    }
    let made = Temporary::create(path).map_err(|source| Error::write(path, source));
    made.map(|_| ())
}

/// The bytes of the file at `path`.
///
/// # Errors
/// [`Error::Absent`] where there is no such file, and what the operating system refuses.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::read(path, source))
}

/// Makes the folder `path` and those above it, durably; a folder that exists is fine.
///
/// # Errors
/// [`Error::NotAFolder`] where a file stands in the way, and what the operating system refuses.
pub fn create_dir(path: &Path) -> Result<(), Error> {
    let created = match fs::create_dir(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => {
                create_dir(above)?;
                // Once more and no further: below /proc it is never found, whatever stands above.
                fs::create_dir(path)
            }
            _ => Err(source),
        },
        created => created,
    };
    match created {
        Ok(()) => sync_folder(path),
        Err(_) if path.is_dir() => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::NotAFolder(path.to_owned(), source))
        }
        Err(source) => Err(Error::write(path, source)),
    }
}

/// The name of this machine.
pub(crate) fn host() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    name.replace(['/', ' '], "-")
}

/// The two system calls that tests make fail.
trait System {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }
}

struct Posix;

impl System for Posix {}

/// How often a name may be taken and free again while it is being taken.
const MOST_TRIES: u32 = 1000;

fn publish_on(system: &impl System, path: &Path, bytes: &[u8]) -> Result<Published, Error> {
    let temporary = Temporary::holding(system, path, bytes)?;
    let mut tries = 0;
    let published = loop {
        tries += 1;
        break match system.link(&temporary.path, path) {
            Ok(()) => Published::Written,
            Err(_) if temporary.links(path)? == 2 => Published::Written,
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                match holds(path, bytes) {
                    Ok(true) => Published::AlreadySame,
                    Ok(false) => Published::Conflict,
                    // What was there has been moved away since: the name is free again.
                    Err(error) if error.is_absent() && tries < MOST_TRIES => continue,
                    Err(error) => return Err(error),
                }
            }
            Err(source) => return Err(Error::link(path, source)),
        };
    };
    // Also where another was first: it may have died before this line.
    sync_folder(path)?;
    Ok(published)
}

fn replace_on(system: &impl System, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut temporary = Temporary::holding(system, path, bytes)?;
    fs::rename(&temporary.path, path).map_err(|source| Error::write(path, source))?;
    // The name is free again and may be another writer's by now: not ours to remove.
    temporary.path.clear();
    sync_folder(path)
}

/// Whether the file at `path` holds exactly `bytes`; reads no further than it takes to know.
fn holds(path: &Path, bytes: &[u8]) -> Result<bool, Error> {
    let mut found = Vec::with_capacity(bytes.len() + 1);
    let file = File::open(path).map_err(|source| Error::read(path, source))?;
    let ended = file.take(bytes.len() as u64 + 1).read_to_end(&mut found);
    ended.map_err(|source| Error::read(path, source))?;
    Ok(found == bytes)
}

/// A synced file next to its target, removed when dropped.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn holding(system: &impl System, target: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let failed = |source| Error::write(target, source);
        let (mut file, temporary) = Self::create(target).map_err(failed)?;
        system.write(&mut file, bytes).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(temporary)
    }

    fn create(target: &Path) -> io::Result<(File, Self)> {
        // Unique within the process; the pid and O_EXCL do the rest.
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        loop {
            let mut unique = OsString::from(name);
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            unique.push(format!(".tmp.{}.{}.{count}", host(), process::id()));
            let path = target.with_file_name(unique);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, Self { path })),
                // Left over by a dead process with our pid, or written right now by one in another container.
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(source),
            }
        }
    }

    /// How many names the file has; opened anew, because NFS asks the server for attributes on opening only.
    fn links(&self, target: &Path) -> Result<u64, Error> {
        let metadata = File::open(&self.path).and_then(|file| file.metadata());
        let metadata = metadata.map_err(|source| Error::write(target, source))?;
        Ok(metadata.nlink())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A leftover is harmless, and an error here must not hide the one that brought us here.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the name `path` durable by syncing the folder that holds it.
fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some network file systems cannot sync a folder and need not: they make names durable at once.
        Err(source) if Errno::from_io_error(&source) != Some(Errno::INVAL) => {
            Err(Error::write(path, source))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
