//! `ablate claims`: runs claims one after another, each in a directory of its own, and judges them together.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use ablation::{
    Error,
    claim::{self, Claim, ClaimArm, ClaimReport, ClaimResult, PlannedClaim, Selection},
    config, exact, files, inspect,
    plan::Plan,
    report, runner,
    store::Store,
};
use clap::Args;

use crate::{
    colour, look, overrides,
    run::{Device, OtherBuilds, own_program},
    say, slots,
};

/// The order of directories is that of the table.
const ORDER: &str = "claims.json";
/// What the exact layer found.
const EXACT: &str = "exact.json";

#[derive(Args)]
pub(crate) struct Claims {
    /// Built-in claims by name, TOML files, folders of TOML files [default: those that fit half an hour]
    #[arg(value_name = "CLAIM")]
    claims: Vec<String>,
    /// All built-in claims, those that take longer or a graphics card too
    #[arg(long, conflicts_with = "claims")]
    all: bool,
    /// Print what would be run, with its costs, and stop
    #[arg(long)]
    plan: bool,
    /// Run nothing: keep the results of finished runs in DIR/results/claims and write the page DIR/claims.md of all that
    /// are kept there
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "docs", conflicts_with = "plan")]
    docs: Option<PathBuf>,
    /// Directory of the runs [default: runs/claims]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Cells at a time, each a process [default: as many as cores, memory or cards allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Seeds of every claim that has some
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// Where tensors of diffusion arms and classifiers live
    #[arg(long, value_enum, value_name = "D")]
    device: Option<Device>,
    /// Folder that holds the files of image sets
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Go on with claims that differ from those the directories were frozen with, and put the change on record; where it
    /// touches what was registered, verdicts are INVALID
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    amend: Option<String>,
    /// What becomes of results that another build of the program made
    #[arg(long, value_enum, value_name = "W", default_value_t = OtherBuilds::Keep)]
    other_builds: OtherBuilds,
}

/// Runs and judges.
pub(crate) fn run(arguments: Claims) -> Result<(), Error> {
    let root = arguments
        .out
        .clone()
        .unwrap_or_else(|| Path::new("runs").join("claims"));
    if let Some(docs) = &arguments.docs {
        return publish(&root, docs);
    }
    let selection = match (&arguments.claims[..], arguments.all) {
        ([], false) => Selection::Default,
        ([], true) => Selection::All,
        (named, _) => Selection::Named(named.to_vec()),
    };
    let overrides = ablation::plan::Overrides {
        seeds: arguments.seeds,
        device: arguments.device.map(config::Device::from),
        ..overrides(arguments.data.clone())
    };
    let mut runs: Vec<Vec<Claim>> = Vec::new();
    for claim in claim::load(&selection)? {
        match runs.iter_mut().find(|run| run[0].run() == claim.run()) {
            Some(run) => run.push(claim),
            None => runs.push(vec![claim]),
        }
    }
    let mut plans = runs
        .into_iter()
        .map(|run| Plan::of_claims(run, &overrides))
        .collect::<Result<Vec<Plan>, Error>>()?;
    for plan in &mut plans {
        let needs_card = |arm: &ClaimArm| arm.config.device() == config::Device::Cuda;
        if plan.claim_arms().any(needs_card) && slots::cards(plan).is_empty() {
            for claim in &mut plan.claims {
                claim.untested = Some("there is no graphics card here".to_owned());
                claim.arms.clear();
            }
        }
    }
    if arguments.plan {
        let (mut cells, mut seconds) = (0, 0.0);
        for plan in &plans {
            let jobs = jobs(plan, &arguments)?;
            look::print_plan(plan, jobs)?;
            cells += plan.cells().len();
            seconds += look::work(plan) / jobs as f64;
        }
        if 1 < plans.len() {
            say(&format!(
                "in all {cells} cells of {} runs, about {}\n",
                plans.len(),
                look::span(seconds)
            ));
        }
        return Ok(());
    }
    if !cfg!(feature = "tch") && plans.iter().any(Plan::needs_torch) {
        return Err(Error::WithoutTorch);
    }
    files::create_dir(&root)?;
    // What is refused is refused before work, and not after the runs that come first.
    for plan in plans.iter().filter(|plan| !plan.cells().is_empty()) {
        open(plan, &root, &arguments)?.close();
    }
    let is_exact = |claim: &PlannedClaim| !claim.exact.is_empty();
    if plans.iter().flat_map(|plan| &plan.claims).any(is_exact) {
        compute_exact(&root)?;
    }
    let (mut failed, mut total) = (0, 0);
    let count = plans.len();
    for (index, plan) in plans.iter().enumerate() {
        if plan.cells().is_empty() {
            continue;
        }
        let names: Vec<&str> = plan
            .claims
            .iter()
            .map(|claim| claim.name.as_str())
            .collect();
        say(&format!(
            "run {} of {count}: {}\n",
            index + 1,
            names.join(", ")
        ));
        let finished = run_one(plan, &root, &arguments)?;
        failed += finished.total - finished.done;
        total += finished.total;
    }
    let mut results = Vec::new();
    for plan in &plans {
        results.extend(judged(&root, plan)?);
    }
    write(&root, results)?;
    match failed {
        0 => Ok(()),
        failed => Err(Error::Unfinished {
            failed,
            total,
            path: root,
        }),
    }
}

fn jobs(plan: &Plan, arguments: &Claims) -> Result<usize, Error> {
    match arguments.jobs {
        Some(jobs) => Ok(usize::from(jobs)),
        None => slots::jobs(plan, &slots::cards(plan)),
    }
}

/// The directory of a run.
fn open(plan: &Plan, root: &Path, arguments: &Claims) -> Result<Store, Error> {
    let root = root.join(&plan.name);
    match &arguments.amend {
        Some(reason) => Store::amend(&root, plan, reason),
        None => Store::create(&root, plan),
    }
}

fn run_one(plan: &Plan, root: &Path, arguments: &Claims) -> Result<runner::Finished, Error> {
    let store = open(plan, root, arguments)?;
    let data = arguments.data.clone().into_iter();
    let data = data.flat_map(|data| ["--data".into(), data.into()]);
    // Nobody samples from the networks of claims.
    let weights = ["--weights".into(), "drop".into()];
    let engine = runner::Engine {
        program: &own_program()?,
        arguments: &data.chain(weights).collect::<Vec<OsString>>(),
        jobs: jobs(plan, arguments)?,
        cards: &slots::cards(plan),
        other_builds: arguments.other_builds.into(),
    };
    let finished = runner::run(plan, &store, &engine);
    store.close();
    finished
}

/// What the exact layer found is computed anew each time: it takes less than a minute, and may have been another
/// program's.
fn compute_exact(root: &Path) -> Result<(), Error> {
    let studies = exact::load(&[], ablation::catalog::EXACT)?;
    let path = root.join(EXACT);
    say("the exact layer\n");
    let report = exact::run("exact", &studies, &[]);
    let mut json = serde_json::to_string_pretty(&report).expect("a report is plain data");
    json.push('\n');
    Ok(files::replace(&path, json.as_bytes())?)
}

fn read_exact(root: &Path) -> Option<exact::Report> {
    serde_json::from_slice(&files::read(&root.join(EXACT)).ok()?).ok()
}

/// The claims of a plan by what its directory holds.
fn judged(root: &Path, plan: &Plan) -> Result<Vec<ClaimResult>, Error> {
    let folder = root.join(&plan.name);
    let results = if plan.cells().is_empty() {
        Default::default()
    } else {
        let (store, plan) = Store::open(&folder)?;
        inspect::results(&store, &plan)?
    };
    Ok(claim::judge(plan, &results, read_exact(root).as_ref()))
}

/// Whether a directory holds claims, or is that of one.
pub(crate) fn are_in(root: &Path) -> bool {
    root.join(ORDER).is_file() || Store::open(root).is_ok_and(|(_, plan)| !plan.claims.is_empty())
}

/// Judges again what is in a directory.
pub(crate) fn report(root: &Path) -> Result<(), Error> {
    if let Ok((store, plan)) = Store::open(root) {
        let results = inspect::results(&store, &plan)?;
        let claims = claim::judge(&plan, &results, None);
        let report = ClaimReport { schema: 1, claims };
        say(&report::claims_terminal(&report, 80, colour()));
        return Ok(());
    }
    let path = root.join(ORDER);
    let before = parse(&path, &files::read(&path)?)?;
    let mut claims: Vec<ClaimResult> = Vec::new();
    for claim in before.claims {
        if claims.iter().any(|known| known.name == claim.name) {
            continue;
        }
        match Store::open(&root.join(&claim.run)) {
            Ok((_, plan)) => claims.extend(judged(root, &plan)?),
            Err(_) => claims.push(claim),
        }
    }
    write(root, claims)
}

/// Writes and prints the table: these claims, and those of earlier runs beside.
fn write(root: &Path, claims: Vec<ClaimResult>) -> Result<(), Error> {
    let shown = ClaimReport { schema: 1, claims };
    let earlier: Vec<ClaimResult> = files::read(&root.join(ORDER))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<ClaimReport>(&bytes).ok())
        .map_or_else(Vec::new, |report| report.claims);
    let is_new = |old: &ClaimResult| shown.claims.iter().all(|claim| claim.name != old.name);
    let kept: Vec<ClaimResult> = earlier.into_iter().filter(is_new).collect();
    let mut all = shown.clone();
    all.claims.extend(kept);
    let mut json = serde_json::to_string_pretty(&all).expect("a report is plain data");
    json.push('\n');
    files::replace(&root.join(ORDER), json.as_bytes())?;
    let markdown = root.join("claims.md");
    files::replace(&markdown, report::claims_markdown(&all).as_bytes())?;
    say(&report::claims_terminal(&shown, 80, colour()));
    say(&format!(
        "\nreport: {}\n",
        markdown.canonicalize().unwrap_or(markdown).display()
    ));
    Ok(())
}

/// Keeps the results of finished runs, and writes the page of all that are kept.
fn publish(root: &Path, docs: &Path) -> Result<(), Error> {
    let kept = docs.join("results").join("claims");
    files::create_dir(&kept)?;
    if let Ok(bytes) = files::read(&root.join(ORDER)) {
        let path = root.join(ORDER);
        let report: ClaimReport = parse(&path, &bytes)?;
        for claim in report
            .claims
            .iter()
            .filter(|claim| claim.done == claim.cells)
        {
            let json = serde_json::to_string(claim).expect("a result is plain data");
            let path = kept.join(format!("{}.json", claim.name));
            files::replace(&path, format!("{json}\n").as_bytes())?;
        }
    }
    let page = docs.join("claims.md");
    files::replace(&page, claim::page(&claim::kept(&kept)?).as_bytes())?;
    say(&format!("{}\n", page.display()));
    Ok(())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<ClaimReport, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Damaged {
        path: path.to_owned(),
        message: error.to_string(),
    })
}
