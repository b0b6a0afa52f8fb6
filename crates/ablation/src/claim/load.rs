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

/// Reads the claims that are selected.
///
/// # Errors
///
/// [`Error::UnknownStudy`] with the nearest name; [`Error::StudySyntax`] with file, line and column;
/// [`Error::DuplicateName`].
pub fn load(selection: &Selection) -> Result<Vec<Claim>, Error> {
    let built_in = || catalog::CLAIMS.iter().map(|(name, text)| (*name, *text));
    let mut claims = Vec::new();
    match selection {
        Selection::Default | Selection::All => {
            for (name, text) in built_in() {
                claims.push(read(&format!("claims/{name}.toml"), text)?);
            }
            if matches!(selection, Selection::Default) {
                claims.retain(|claim: &Claim| claim.cost == Cost::Default);
            }
        }
        Selection::Named(names) => {
            for given in names {
                if let Some((name, text)) = built_in().find(|(name, _)| name == given) {
                    claims.push(read(&format!("claims/{name}.toml"), text)?);
                    continue;
                }
                let path = Path::new(given);
                let files: Vec<PathBuf> = if path.is_dir() {
                    study::toml_files(path)?
                } else if path.is_file() {
                    vec![path.to_owned()]
                } else {
                    let known: Vec<&str> = built_in().map(|(name, _)| name).collect();
                    return Err(Error::UnknownStudy {
                        given: given.clone(),
                        nearest: nearest_name(given, known.iter().copied()),
                        known: known.join(", "),
                    });
                };
                for file in files {
                    claims.push(read(&file.display().to_string(), &study::read(&file)?)?);
                }
            }
        }
    }
    for (index, claim) in claims.iter().enumerate() {
        if claims[..index].iter().any(|other| other.name == claim.name) {
            return Err(Error::DuplicateName {
                folder: "this run".to_owned(),
                name: claim.name.clone(),
            });
        }
    }
    Ok(claims)
}

/// A claim from its text.
fn read(place: &str, text: &str) -> Result<Claim, Error> {
    let mut claim: Claim = study::parse(place, text)?;
    claim.place = place.to_owned();
    Ok(claim)
}
