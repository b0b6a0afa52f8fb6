//! Finding studies by name, file or folder, and reading them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{Study, patch::syntax};
use crate::{
    catalog,
    error::{Error, nearest_name},
    files,
};

/// Studies that are run and reported together.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Name of the run.
    pub name: String,
    /// The question of the whole.
    pub question: String,
    /// The studies in the order of their file names.
    pub studies: Vec<Study>,
}

/// `folder.toml`: what is common to the studies beside it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderFile {
    question: String,
}

/// Reads the study that `given` names: one of the built-in studies, a TOML file, or a folder of TOML files.
///
/// # Errors
///
/// [`Error::UnknownStudy`] with the nearest name; [`Error::StudySyntax`] with file, line and column.
pub fn load(given: &str) -> Result<Folder, Error> {
    if let Some(built_in) = catalog::STUDIES.iter().find(|study| study.name == given) {
        let files = built_in
            .files
            .iter()
            .map(|(name, text)| (format!("{given}/{name}"), (*text).to_owned()));
        return assemble(given, files.collect());
    }
    let path = Path::new(given);
    if path.is_dir() {
        let mut files = Vec::new();
        for file in files_of(path, "toml")? {
            files.push((file.display().to_string(), read(&file)?));
        }
        if files.iter().all(|(place, _)| is_folder_file(place)) {
            return Err(Error::EmptyFolder {
                path: path.to_owned(),
            });
        }
        let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        return assemble(&stem(&absolute), files);
    }
    if path.is_file() && is_folder_file(given) {
        // It is no study, it belongs to those beside it.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        return load(&folder.to_string_lossy());
    }
    if path.is_file() {
        return assemble(&stem(path), vec![(given.to_owned(), read(path)?)]);
    }
    let known: Vec<&str> = catalog::STUDIES.iter().map(|study| study.name).collect();
    Err(Error::UnknownStudy {
        given: given.to_owned(),
        known: known.join(", "),
        nearest: nearest_name(given, known.iter().copied()),
    })
}

fn assemble(name: &str, files: Vec<(String, String)>) -> Result<Folder, Error> {
    let mut question = None;
    let mut studies: Vec<Study> = Vec::new();
    for (place, text) in files {
        if is_folder_file(&place) {
            let folder: FolderFile = parse(&place, &text)?;
            question = Some(folder.question);
            continue;
        }
        let mut study: Study = parse(&place, &text)?;
        if studies.iter().any(|other| other.name == study.name) {
            return Err(Error::DuplicateName {
                folder: name.to_owned(),
                name: study.name,
            });
        }
        study.place = place;
        studies.push(study);
    }
    let Some(first) = studies.first() else {
        return Err(Error::EmptyFolder { path: name.into() });
    };
    let name = if studies.len() == 1 {
        first.name.clone()
    } else {
        name.to_owned()
    };
    let question = question.unwrap_or_else(|| first.question.clone());
    Ok(Folder {
        name,
        question,
        studies,
    })
}

fn is_folder_file(place: &str) -> bool {
    Path::new(place)
        .file_name()
        .is_some_and(|name| name == "folder.toml")
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(
        || "study".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

/// The files of a folder with this extension, sorted by name.
pub(crate) fn files_of(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| files::Error::read(folder, error))?;
    let is_study =
        |path: &PathBuf| path.extension().is_some_and(|e| e == extension) && path.is_file();
    let mut found: Vec<PathBuf> = entries
        .iter()
        .map(fs::DirEntry::path)
        .filter(is_study)
        .collect();
    found.sort();
    Ok(found)
}

/// The text of a study's file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    String::from_utf8(files::read(path)?).map_err(|_| Error::StudySyntax {
        place: path.display().to_string(),
        message: "not UTF-8 text, which TOML is".to_owned(),
        nearest: None,
    })
}

/// TOML that is complete and has no key that nothing reads.
pub(crate) fn parse<T: DeserializeOwned>(place: &str, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| located(place, text, &error))
}

fn located(place: &str, text: &str, error: &toml::de::Error) -> Error {
    let place = match error.span() {
        Some(span) => {
            let before = &text[..span.start.min(text.len())];
            let line = before.matches('\n').count() + 1;
            let column = before
                .rsplit('\n')
                .next()
                .map_or(0, |tail| tail.chars().count())
                + 1;
            format!("{place}, line {line}, column {column}")
        }
        None => place.to_owned(),
    };
    syntax(place, error.message())
}
