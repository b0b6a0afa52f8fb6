//! Reading studies of the exact layer.

use std::path::{Path, PathBuf};

use super::Study;
use crate::{error::Error, study};

/// Reads and checks the studies in these TOML files; the built-in one, by its name and text, if none is named.
///
/// # Errors
///
/// [`Error::StudySyntax`] with file, line and column; [`Error::Impossible`] for a value that cannot be computed with;
/// [`Error::DuplicateName`] where two studies have one name; files.
pub fn load(paths: &[PathBuf], built_in: (&str, &str)) -> Result<Vec<Study>, Error> {
    let texts: Vec<(String, String)> = if paths.is_empty() {
        let (place, text) = built_in;
        vec![(place.to_owned(), text.to_owned())]
    } else {
        let text = |path: &Path| Ok((path.display().to_string(), study::read(path)?));
        paths
            .iter()
            .map(|path| text(path))
            .collect::<Result<_, Error>>()?
    };
    let mut studies: Vec<Study> = Vec::new();
    for (place, text) in texts {
        let mut study: Study = study::parse(&place, &text)?;
        study.place = place;
        study.check()?;
        if studies.iter().any(|other| other.name == study.name) {
            return Err(Error::DuplicateName {
                folder: "this run".to_owned(),
                name: study.name,
            });
        }
        studies.push(study);
    }
    Ok(studies)
}
