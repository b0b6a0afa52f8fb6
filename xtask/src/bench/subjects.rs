//! What two revisions are compared in: the benchmarks that both have, and what is left out, which every report names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bench::blocks::LeftOut;
use crate::bench::criterion;
use crate::bench::sides::Side;
use crate::error::{Error, at};
use crate::process::{Invocation, Variables};

/// One benchmark that both sides have.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its name, as it calls itself.
    pub(crate) name: String,
    /// The base's program.
    pub(crate) base: PathBuf,
    /// The head's.
    pub(crate) head: PathBuf,
}

/// Refuses a bench that was asked for and that one side lacks.
pub(crate) fn asked(base: &Side, head: &Side, named: &[String]) -> Result<(), Error> {
    for side in [base, head] {
        for name in named {
            let here = |key: &String| key.rsplit('/').next() == Some(name.as_str());
            if !side.programs.keys().any(here) {
                return Err(Error::NoBench {
                    name: name.clone(),
                    side: side.shown.clone(),
                    known: side.known.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Every benchmark that both sides list and the filter wants, and what is left out; floors measure the machine, and no
/// side.
///
/// The programs are copied into `runs`: the next build would replace them, and both sides lie equally deep.
pub(crate) fn find(
    base: &Side,
    head: &Side,
    runs: &Path,
    filter: &str,
    environment: &Variables,
) -> Result<(Vec<Subject>, LeftOut), Error> {
    let mut subjects = Vec::new();
    let needing = base.need_libtorch.union(&head.need_libtorch);
    let mut left_out = LeftOut {
        need_libtorch: needing.cloned().collect(),
        ..LeftOut::default()
    };
    let programs: BTreeSet<&String> = base.programs.keys().chain(head.programs.keys()).collect();
    for program in programs {
        let copy = |word: &str| runs.join(format!("{}.{word}", program.replace('/', "-")));
        let copies = [copy("base"), copy("head")];
        let mut lists = [Vec::new(), Vec::new()];
        for ((side, copy), list) in [base, head].into_iter().zip(&copies).zip(&mut lists) {
            let Some(built) = side.programs.get(program) else {
                continue;
            };
            fs::copy(built, copy).map_err(at("copy", built))?;
            let text = Invocation::new(copy, runs)
                .args(["--bench", "--list", "--format", "terse"])
                .envs(environment.iter().cloned())
                .capture()?;
            *list = listed(&text, filter);
        }
        let [both, base_only, head_only] = parted(lists);
        left_out.base_only.extend(base_only);
        left_out.head_only.extend(head_only);
        let [base, head] = copies;
        subjects.extend(both.into_iter().map(|name| Subject {
            name,
            base: base.clone(),
            head: head.clone(),
        }));
    }
    if subjects.is_empty() {
        return Err(Error::NoBenchmark {
            filter: filter.to_owned(),
        });
    }
    Ok((subjects, left_out))
}

/// Names in the list that criterion prints: `name: benchmark`.
fn listed(text: &str, filter: &str) -> Vec<String> {
    let names = text
        .lines()
        .filter_map(|line| line.strip_suffix(": benchmark"));
    let wanted = names.filter(|name| name.contains(filter) && !criterion::is_floor(name));
    wanted.map(str::to_owned).collect()
}

/// What both list, what the base lists alone, and what the head does.
fn parted([base, head]: [Vec<String>; 2]) -> [Vec<String>; 3] {
    let (both, base_only) = base.iter().cloned().partition(|name| head.contains(name));
    let head_only = head.into_iter().filter(|name| !base.contains(name));
    [both, base_only, head_only.collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, programs: &[&str]) -> Side {
        Side {
            shown: name.to_owned(),
            known: vec!["a".to_owned()],
            programs: programs
                .iter()
                .map(|program| ((*program).to_owned(), PathBuf::from(program)))
                .collect(),
            need_libtorch: BTreeSet::new(),
        }
    }

    #[test]
    fn a_bench_that_one_side_lacks_is_refused_if_it_was_asked_for() {
        let (base, head) = (side("base", &["p/a"]), side("head", &["p/a", "p/b"]));
        assert!(asked(&base, &head, &[]).is_ok());
        assert!(asked(&base, &head, &["a".to_owned()]).is_ok());
        let message = asked(&base, &head, &["b".to_owned()])
            .expect_err("the base lacks it")
            .to_string();
        assert!(
            message.contains("`b`") && message.contains("base") && message.contains("has a;"),
            "{message}"
        );
    }

    #[test]
    fn the_list_is_read() {
        let text = "a/b: benchmark\nnoise\nc (d): benchmark\na/floor: benchmark\n";
        assert_eq!(listed(text, ""), ["a/b", "c (d)"]);
        assert_eq!(listed(text, "a/"), ["a/b"]);
    }

    #[test]
    fn what_one_side_has_alone_is_kept() {
        let lists = [["a", "old"], ["a", "new"]].map(|list| list.map(str::to_owned).to_vec());
        assert_eq!(parted(lists), [["a"], ["old"], ["new"]]);
    }
}
