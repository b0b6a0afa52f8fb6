//! `cargo xtask libtorch`: which libtorch the workspace is built with, brought here if nobody names one.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::process::{Invocation, Workspace};
use crate::wheels;

/// The version that tch 0.24 is written for; torch-sys refuses another.
pub(crate) const VERSION: &str = "2.11.0";

/// A libtorch that is ready to be linked with.
#[derive(Debug, Clone)]
pub(crate) struct Torch {
    /// Where it is and who chose it, in words.
    pub(crate) place: String,
    /// What LIBTORCH must be set to, where it is not set already.
    folder: Option<PathBuf>,
    /// Where the loader finds its libraries.
    lib: PathBuf,
}

impl Torch {
    /// What cargo and the programs it starts must find in their environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let old = env::var_os(LOADER_PATH);
        let mut variables = vec![(LOADER_PATH, in_front(&self.lib, old.as_deref()))];
        variables.extend(
            self.folder
                .iter()
                .map(|folder| ("LIBTORCH", folder.clone().into())),
        );
        variables
    }
}

/// Where the loader looks first.
const LOADER_PATH: &str = if cfg!(target_os = "macos") {
    "DYLD_LIBRARY_PATH"
} else {
    "LD_LIBRARY_PATH"
};

/// `cargo xtask libtorch`.
pub(crate) fn show(workspace: &Workspace) -> Result<(), Error> {
    let torch = ensure(workspace)?;
    println!("libtorch {VERSION}: {}", torch.place);
    println!("`cargo xtask` uses it by itself; for cargo on its own:");
    if let Some(folder) = &torch.folder {
        println!("  export LIBTORCH={}", folder.display());
    }
    println!(
        "  export {LOADER_PATH}={}:${LOADER_PATH}",
        torch.lib.display()
    );
    Ok(())
}

/// The libtorch that the environment names, else the one in the target directory, brought if it is not there.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Torch, Error> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    // torch-sys asks in this order.
    if set("LIBTORCH_USE_PYTORCH").is_some() {
        return from_pytorch(workspace, set("VIRTUAL_ENV").is_some());
    }
    if let Some(folder) = set("LIBTORCH") {
        return from_folder(
            &PathBuf::from(folder),
            set("LIBTORCH_LIB").map(PathBuf::from),
        );
    }
    Ok(brought(wheels::install(&workspace.target)?))
}

/// The same if it is ready; nothing is brought and nothing is refused.
pub(crate) fn present(workspace: &Workspace) -> Option<Torch> {
    let named = ["LIBTORCH_USE_PYTORCH", "LIBTORCH"]
        .iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    if named {
        return ensure(workspace).ok();
    }
    wheels::installed(&workspace.target).map(brought)
}

fn brought(folder: PathBuf) -> Torch {
    Torch {
        place: format!("{} (brought by cargo xtask)", folder.display()),
        lib: folder.join("lib"),
        folder: Some(folder),
    }
}

fn from_folder(folder: &Path, lib: Option<PathBuf>) -> Result<Torch, Error> {
    let lib = lib.unwrap_or_else(|| folder.to_path_buf()).join("lib");
    if !lib.is_dir() {
        return Err(Error::NoTorch {
            variable: "LIBTORCH",
            place: lib.display().to_string(),
        });
    }
    if let Some((found, file)) = version_of(folder) {
        check("LIBTORCH", &found, &file.display().to_string())?;
    }
    Ok(Torch {
        place: format!("{} (LIBTORCH)", folder.display()),
        folder: None,
        lib,
    })
}

fn from_pytorch(workspace: &Workspace, virtual_environment: bool) -> Result<Torch, Error> {
    // torch-sys chooses its interpreter in this way; another one might see another PyTorch.
    let python = if virtual_environment {
        "python"
    } else {
        "python3"
    };
    // The metadata answer at once; importing torch takes seconds.
    let script = "import importlib.metadata as m, importlib.util as u, os, sys\n\
                  found = u.find_spec('torch')\n\
                  if found is None: sys.exit(1)\n\
                  print(m.version('torch'))\n\
                  print(os.path.dirname(found.origin))";
    let variable = "LIBTORCH_USE_PYTORCH";
    let answer = Invocation::new(python, &workspace.root)
        .args(["-c", script])
        .capture();
    let Some((found, folder)) = answer.ok().and_then(|text| {
        let mut lines = text.lines().map(str::to_owned);
        Some((lines.next()?, PathBuf::from(lines.next()?)))
    }) else {
        return Err(Error::NoTorch {
            variable,
            place: format!("`{python}`"),
        });
    };
    check(variable, &found, &folder.display().to_string())?;
    let place = format!("{} ({variable})", folder.display());
    Ok(Torch {
        place,
        folder: None,
        lib: folder.join("lib"),
    })
}

/// The version that a libtorch states, and the file that states it.
fn version_of(folder: &Path) -> Option<(String, PathBuf)> {
    let stated = folder.join("build-version");
    if let Ok(text) = fs::read_to_string(&stated) {
        return Some((text.trim().to_owned(), stated));
    }
    [
        "torch/headeronly/version.h",
        "torch/csrc/api/include/torch/version.h",
        "torch/version.h",
    ]
    .iter()
    .map(|header| folder.join("include").join(header))
    .find_map(|header| {
        Some((
            version_in_header(&fs::read_to_string(&header).ok()?)?,
            header,
        ))
    })
}

fn version_in_header(text: &str) -> Option<String> {
    let part = |name: &str| {
        let rest = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("#define ")?.strip_prefix(name))?;
        rest.trim().parse::<u32>().ok()
    };
    let major = part("TORCH_VERSION_MAJOR ")?;
    Some(format!(
        "{major}.{}.{}",
        part("TORCH_VERSION_MINOR ")?,
        part("TORCH_VERSION_PATCH ")?
    ))
}

fn check(variable: &'static str, found: &str, place: &str) -> Result<(), Error> {
    let release = found.split('+').next().unwrap_or(found); // 2.11.0+cu130 is 2.11.0
    // torch-sys has this way out, and so must we.
    if release == VERSION || env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some() {
        return Ok(());
    }
    Err(Error::TorchVersion {
        variable,
        found: found.to_owned(),
        needed: VERSION,
        place: place.to_owned(),
    })
}

/// The loader's search path with this folder in front.
fn in_front(lib: &Path, old: Option<&OsStr>) -> OsString {
    let mut path = lib.as_os_str().to_owned();
    if let Some(old) = old.filter(|old| !old.is_empty()) {
        path.push(":");
        path.push(old);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "#pragma once\n#define TORCH_VERSION_MAJOR 2\n\n#define TORCH_VERSION_MINOR 11\n\
                          #define TORCH_VERSION_PATCH 0\n#define TORCH_VERSION_ABI_TAG 0\n";

    fn folder_with(file: &str, text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().expect("it has one")).expect("a folder");
        fs::create_dir_all(folder.path().join("lib")).expect("a folder");
        fs::write(file, text).expect("a file");
        folder
    }

    #[test]
    fn the_version_is_read_from_either_place() {
        for (file, text) in [
            ("build-version", "2.11.0+cu130\n"),
            ("include/torch/headeronly/version.h", HEADER),
        ] {
            let folder = folder_with(file, text);
            let torch = from_folder(folder.path(), None).expect("2.11.0 is the version");
            assert_eq!(torch.lib, folder.path().join("lib"));
        }
    }

    #[test]
    fn another_version_is_refused_with_both_numbers() {
        let folder = folder_with(
            "include/torch/headeronly/version.h",
            &HEADER.replace("11", "9"),
        );
        let message = from_folder(folder.path(), None)
            .expect_err("2.9.0 is another")
            .to_string();
        assert!(
            message.contains("2.9.0")
                && message.contains("2.11.0")
                && message.contains("version.h"),
            "{message}"
        );
    }

    #[test]
    fn a_folder_without_libraries_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let message = from_folder(folder.path(), None)
            .expect_err("it is empty")
            .to_string();
        assert!(
            message.contains("LIBTORCH") && message.contains("lib"),
            "{message}"
        );
    }

    #[test]
    fn the_loader_path_is_extended() {
        assert_eq!(in_front(Path::new("/t/lib"), None), "/t/lib");
        assert_eq!(
            in_front(Path::new("/t/lib"), Some(OsStr::new("/a:/b"))),
            "/t/lib:/a:/b"
        );
        assert_eq!(
            in_front(Path::new("/t/lib"), Some(OsStr::new(""))),
            "/t/lib"
        );
    }
}
