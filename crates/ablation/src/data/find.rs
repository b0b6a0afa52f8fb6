//! Where a named data set lies: a folder given by hand, the laboratory's own store, or the system's

use std::path::{Path, PathBuf};

use crate::data::Error;

/// Where the packages `dataset-<name>` put their files.
pub const SYSTEM: &str = "/usr/share/datasets";

/// The folder that holds the data set `name`.
///
/// In this order: `given` (from `--data`), as `<given>/<name>` or itself; `<folder>/<name>` for each of
/// `searched`; `/usr/share/datasets/<name>`.
/// A folder given by hand is never passed over for another: who names a place means it.
///
/// # Errors
/// [`Error::Name`] for what is no name, [`Error::GivenAbsent`] where `given` is no folder, and [`Error::Missing`]
/// with the three ways to get the data.
///
/// ```
/// use ablation::data;
///
/// let store = tempfile::tempdir()?;
/// std::fs::create_dir(store.path().join("my-images"))?;
/// let found = data::locate("my-images", None, &[store.path().to_owned()])?;
/// assert_eq!(found, store.path().join("my-images"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn locate(name: &str, given: Option<&Path>, searched: &[PathBuf]) -> Result<PathBuf, Error> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(Error::Name {
            name: name.to_owned(),
        });
    }
    if let Some(given) = given {
        return [given.join(name), given.to_owned()]
            .into_iter()
            .find(|folder| folder.is_dir())
            .ok_or_else(|| Error::GivenAbsent {
                name: name.to_owned(),
                given: given.to_owned(),
            });
    }
    let searched: Vec<_> = searched
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new(SYSTEM)])
        .map(|folder| folder.join(name))
        .collect();
    match searched.iter().find(|folder| folder.is_dir()) {
        Some(found) => Ok(found.clone()),
        None => Err(Error::Missing {
            name: name.to_owned(),
            searched,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;

    #[test]
    fn a_given_folder_wins_and_its_subfolder_before_itself() {
        let (given, store) = (tempdir().unwrap(), tempdir().unwrap());
        let searched = [store.path().to_owned()];
        fs::create_dir(store.path().join("set")).unwrap();
        assert_eq!(
            locate("set", None, &searched).unwrap(),
            store.path().join("set")
        );
        assert_eq!(
            locate("set", Some(given.path()), &searched).unwrap(),
            given.path()
        );
        fs::create_dir(given.path().join("set")).unwrap();
        assert_eq!(
            locate("set", Some(given.path()), &searched).unwrap(),
            given.path().join("set")
        );
    }

    #[test]
    fn an_absent_given_folder_is_not_passed_over() {
        let store = tempdir().unwrap();
        fs::create_dir(store.path().join("set")).unwrap();
        let absent = store.path().join("absent");
        let error = locate("set", Some(&absent), &[store.path().to_owned()]).unwrap_err();
        assert!(
            matches!(&error, Error::GivenAbsent { given, .. } if *given == absent),
            "{error}"
        );
    }

    #[test]
    fn a_missing_set_names_the_places_and_the_three_ways() {
        let store = tempdir().unwrap();
        let message = locate("no-such-set", None, &[store.path().to_owned()])
            .unwrap_err()
            .to_string();
        for part in [
            store.path().join("no-such-set").to_str().unwrap(),
            "/usr/share/datasets/no-such-set",
            "package `dataset-no-such-set`",
            "--data DIR",
            "cargo xtask data no-such-set",
        ] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }

    #[test]
    fn a_name_is_not_a_path() {
        for name in ["", "..", "../etc", "a/b", "Fashion", "a b"] {
            assert!(
                matches!(locate(name, None, &[]), Err(Error::Name { .. })),
                "{name}"
            );
        }
    }
}
