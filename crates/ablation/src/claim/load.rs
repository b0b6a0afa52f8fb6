//! Reading claims: by name, or from files and folders.

use std::path::{Path, PathBuf};

use super::{Claim, Cost};
use crate::{
    catalog,
    error::{Error, nearest_name},
    study,
};

/// What to run.
#[derive(Clone, Debug)]
pub enum Selection {
    /// The built-in claims that fit half an hour.
    Default,
    /// All built-in claims.
    All,
    /// These: names of built-in claims, TOML files, folders of TOML files.
    Named(Vec<String>),
}

/// Reads the claims that are selected, and those that are run together with them.
///
/// # Errors
///
/// [`Error::UnknownStudy`] with the nearest name; [`Error::StudySyntax`] with file, line and column;
/// [`Error::DuplicateName`].
pub fn load(selection: &Selection) -> Result<Vec<Claim>, Error> {
    let built_in = catalog::CLAIMS
        .iter()
        .map(|(name, text)| read(&format!("claims/{name}.toml"), text))
        .collect::<Result<Vec<Claim>, Error>>()?;
    let mut claims: Vec<Claim> = match selection {
        Selection::Default => {
            let fits = |claim: &&Claim| claim.cost == Cost::Default;
            built_in.iter().filter(fits).cloned().collect()
        }
        Selection::All => built_in.clone(),
        Selection::Named(names) => {
            let mut found = Vec::new();
            for given in names {
                match built_in.iter().find(|claim| claim.name == *given) {
                    // One directory holds them all, and its plan is frozen with all of them.
                    Some(claim) => {
                        let together = built_in.iter().filter(|c| c.run() == claim.run());
                        found.extend(together.cloned());
                    }
                    None => found.extend(from_files(given, &built_in)?),
                }
            }
            found
        }
    };
    for index in (0..claims.len()).rev() {
        let Some(other) = claims[..index]
            .iter()
            .find(|other| other.name == claims[index].name)
        else {
            continue;
        };
        if other.place != claims[index].place {
            return Err(Error::DuplicateName {
                folder: "this run".to_owned(),
                name: other.name.clone(),
            });
        }
        claims.remove(index);
    }
    for index in 0..claims.len() {
        let Some(base) = claims[index].arms_of.clone() else {
            continue;
        };
        let Some(base) = claims.iter().find(|other| other.name == base).cloned() else {
            return Err(Error::Impossible {
                place: claims[index].place.clone(),
                name: "arms_of".to_owned(),
                value: format!("{base:?}"),
                rule: "it names a claim that is run with this one".to_owned(),
            });
        };
        let claim = &mut claims[index];
        (claim.config, claim.experiment) = (base.config, base.experiment);
        (claim.grid, claim.arms) = (base.grid, base.arms);
    }
    Ok(claims)
}

/// The claims of a file, or of a folder of files.
fn from_files(given: &str, built_in: &[Claim]) -> Result<Vec<Claim>, Error> {
    let path = Path::new(given);
    let files: Vec<PathBuf> = if path.is_dir() {
        study::files_of(path, "toml")?
    } else if path.is_file() {
        vec![path.to_owned()]
    } else {
        let known: Vec<&str> = built_in.iter().map(|claim| claim.name.as_str()).collect();
        return Err(Error::UnknownStudy {
            given: given.to_owned(),
            nearest: nearest_name(given, known.iter().copied()),
            known: known.join(", "),
        });
    };
    files
        .iter()
        .map(|file| read(&file.display().to_string(), &study::read(file)?))
        .collect()
}

/// A claim from its text.
fn read(place: &str, text: &str) -> Result<Claim, Error> {
    let mut claim: Claim = study::parse(place, text)?;
    claim.place = place.to_owned();
    Ok(claim)
}
