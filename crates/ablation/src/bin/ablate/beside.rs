//! Commands beside the runs: the exact layer, seeds to plan, reference files of other toolkits.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use ablation::{Error, claim, conform, exact, files, inspect, power, report, store::Store, study};

use crate::{colour, quoted, say};

/// Tries every case, one line each, and says how many passed; nothing to try is a failure too.
pub(crate) fn compare(paths: &[PathBuf]) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    conform::run(paths, &mut |tried| {
        *(if tried.passed() {
            &mut passed
        } else {
            &mut failed
        }) += 1;
        say(&format!("{}\n", tried.line()));
    });
    say(&format!("{passed} passed, {failed} failed\n"));
    if passed + failed == 0 {
        eprintln!(
            "ablate: no case was found; name a conformance file, or a folder that holds some"
        );
    }
    ExitCode::from(u8::from(0 < failed || passed == 0))
}

/// The exact layer and published numbers, beside the claims that are kept in a folder, if it is there: computes, prints,
/// and writes `word`.md and `word`.json beside other runs.
pub(crate) fn compute(
    word: &str,
    built_in: (&str, &str),
    paths: &[PathBuf],
    out: Option<PathBuf>,
    kept: Option<&Path>,
) -> Result<(), Error> {
    let studies = exact::load(paths, built_in)?;
    let name = match &studies[..] {
        [study] => study.name.clone(),
        _ => word.to_owned(),
    };
    let root = out.unwrap_or_else(|| Path::new("runs").join(&name));
    files::create_dir(&root)?;
    let kept = match kept {
        Some(folder) if folder.is_dir() => claim::kept(folder)?,
        _ => Vec::new(),
    };
    let report = exact::run(&name, &studies, &kept);
    let mut json = serde_json::to_string_pretty(&report).expect("a report is plain data");
    json.push('\n');
    files::replace(&root.join(format!("{word}.json")), json.as_bytes())?;
    let markdown = root.join(format!("{word}.md"));
    files::replace(&markdown, report::exact_markdown(&report).as_bytes())?;
    say(&report::exact_terminal(&report, 80, colour()));
    say(&format!(
        "\nreport: {}\n",
        markdown.canonicalize().unwrap_or(markdown).display()
    ));
    Ok(())
}

/// Plans seeds from the run named, or from the one that the study would be run in.
pub(crate) fn plan_seeds(study: &str, pilot: Option<PathBuf>) -> Result<(), Error> {
    let folder = study::load(study)?;
    let usual = Path::new("runs").join(&folder.name);
    let place = pilot.or_else(|| usual.join("lock.json").is_file().then_some(usual));
    let page = match place {
        None => power::page(&quoted(Path::new(study)), &folder, None),
        Some(place) => {
            let (store, plan) = Store::open(&place)?;
            let results = inspect::results(&store, &plan)?;
            let pilot = power::Pilot {
                place: &quoted(&place),
                plan: &plan,
                results: &results,
            };
            power::page(study, &folder, Some(pilot))
        }
    };
    say(&page);
    Ok(())
}
