//! A claim becomes arms, each complete and checked.

use super::{Claim, ClaimArm, Cost, Measure, PlannedClaim, Rule, Term};
use crate::{
    architecture::Architecture,
    catalog, check, cost,
    error::{Error, nearest_name},
    exact::place::Place,
    map,
    plan::{Overrides, Shelf},
    study,
    work::Work,
};

/// More seeds than any claim can use.
const MOST_SEEDS: usize = 10_000;

pub(crate) fn plan_claim(claim: Claim, overrides: &Overrides) -> Result<PlannedClaim, Error> {
    let place = Place(claim.place.clone());
    if claim.schema != 1 {
        return Err(place.refuse("schema", claim.schema, "this program reads schema = 1"));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if claim.name.is_empty() || !claim.name.chars().all(plain) {
        let rule = "a name has small letters, digits and `-` only";
        return Err(place.refuse("name", format!("{:?}", claim.name), rule));
    }
    place.sentences(&claim.about)?;
    let seeds = match claim.seeds {
        // What is deterministic stays so.
        1 => 1,
        seeds => overrides.seeds.unwrap_or(seeds),
    };
    place.count("seeds", seeds as usize, 1, MOST_SEEDS)?;
    check_source(&claim, &place)?;
    let (arms, missing) = match arms(&claim, overrides, &place) {
        Ok(arms) => (arms, None),
        // What only some machines run is not refused where its images are not: it says so.
        Err(error @ Error::Data(_)) if claim.cost == Cost::Cuda => {
            (Vec::new(), Some(error.to_string()))
        }
        Err(error) => return Err(error),
    };
    let mut ids = Vec::new();
    for registered in &claim.findings {
        place.distinct("findings.id", &mut ids, &registered.id)?;
        let place = Place(format!("{}, finding `{}`", claim.place, registered.id));
        place.sentences(&registered.about)?;
        check_rule(registered.rule, &place)?;
        for term in registered.measure.terms() {
            check_term(term, &claim, &arms, &place)?;
        }
        if let Measure::Value { less, .. } = registered.measure {
            place.finite("measure.less", less)?;
        }
    }
    for (id, sentences) in &claim.against {
        place.sentences(sentences)?;
        if !ids.contains(&id.as_str()) && !claim.exact.contains(id) {
            let rule = "it names findings of this claim";
            return Err(place.refuse("against", format!("{id:?}"), rule));
        }
    }
    let mut deciding = Vec::new();
    for id in &claim.decides {
        place.distinct("decides", &mut deciding, id)?;
        if !ids.contains(&id.as_str()) && !claim.exact.contains(id) {
            let rule = "it lists findings of this claim, all of which must hold";
            return Err(place.refuse("decides", format!("{id:?}"), rule));
        }
    }
    for condition in claim.findings.iter().filter_map(|f| f.condition.as_ref()) {
        if !ids.contains(&condition.unless.as_str()) {
            let rule = "it is the id of another finding of this claim";
            return Err(place.refuse("condition.unless", format!("{:?}", condition.unless), rule));
        }
    }
    for given in claim.findings.iter().filter_map(|f| f.given.as_ref()) {
        if !ids.contains(&given.as_str()) {
            let rule = "it is the id of another finding of this claim";
            return Err(place.refuse("given", format!("{given:?}"), rule));
        }
    }
    if !arms.is_empty() && !claim.arms.iter().any(|arm| arm.name == claim.counter) {
        let rule = "the counter-arm is one of the arms: name the strongest rival";
        return Err(place.refuse("counter", format!("{:?}", claim.counter), rule));
    }
    Ok(PlannedClaim {
        name: claim.name,
        title: claim.title,
        question: claim.question,
        about: claim.about,
        cost: claim.cost,
        seeds,
        counter: claim.counter,
        notes: claim.notes,
        exact: claim.exact,
        against: claim.against,
        decides: claim.decides,
        untested: claim.untested.or(missing),
        grid: claim.grid,
        arms,
        findings: claim.findings,
    })
}

/// A claim has exactly one source of numbers, or says why it has none.
fn check_source(claim: &Claim, place: &Place) -> Result<(), Error> {
    let sources = [
        claim.config.is_some(),
        claim.experiment.is_some(),
        !claim.exact.is_empty(),
        claim.untested.is_some(),
    ];
    let count = sources.iter().filter(|given| **given).count();
    if count != 1 {
        let rule = "a claim has [config], or [experiment], or `arms_of`, or `exact`, or `untested`: give one of them";
        return Err(place.refuse("sources of numbers", count, rule));
    }
    let runs = claim.config.is_some() || claim.experiment.is_some();
    match (runs, claim.arms.is_empty() || claim.findings.is_empty()) {
        (true, true) => {
            let rule = "it needs at least one [[arms]] and one [[findings]]";
            Err(place.refuse("arms and findings", "none", rule))
        }
        (false, false) => {
            let rule =
                "a claim without [config] and [experiment] has no arms and findings of its own";
            Err(place.refuse("arms and findings", claim.arms.len(), rule))
        }
        _ => Ok(()),
    }
}

/// Every arm at every value of the grid.
fn arms(claim: &Claim, overrides: &Overrides, place: &Place) -> Result<Vec<ClaimArm>, Error> {
    if let Some(grid) = &claim.grid {
        place.count("number of grid values", grid.values.len(), 2, 100)?;
        for &value in &grid.values {
            place.positive("grid.values", value)?;
        }
        if let Some(pair) = grid.values.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(place.refuse("grid.values", pair[1], "they rise: sort them"));
        }
    }
    let points: Vec<Option<f64>> = match &claim.grid {
        Some(grid) => grid.values.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    let mut images = Shelf::new(overrides);
    let mut names = Vec::new();
    let mut found = Vec::new();
    for arm in &claim.arms {
        place.distinct("arms.name", &mut names, &arm.name)?;
        for &value in &points {
            let mut patches = vec![(format!("arm `{}`", arm.name), arm.set.clone())];
            if let (Some(grid), Some(value)) = (&claim.grid, value) {
                let patch = [(grid.setting.clone(), toml::Value::Float(value))];
                patches.push(("grid".to_owned(), patch.into()));
            }
            let patches: Vec<_> = patches.iter().map(|(p, s)| (p.clone(), s)).collect();
            let name = match value {
                Some(value) => format!("{} @ {value}", arm.name),
                None => arm.name.clone(),
            };
            let here = format!("{}, arm `{name}`", claim.place);
            let (config, seconds) = if let Some(experiment) = &claim.experiment {
                let mut experiment = study::resolve(experiment, &patches, &claim.place)?;
                if let Some(own) = experiment.classification() {
                    if let Some(device) = overrides.device {
                        own.numerics.device = device;
                    }
                    images.complete_labelled(&mut own.data, own.classes, &here)?;
                }
                experiment.check(&here)?;
                let seconds = experiment.seconds();
                (Work::from(experiment), seconds)
            } else if let Some(config) = &claim.config {
                let mut config = study::resolve(config, &patches, &claim.place)?;
                if let Some(device) = overrides.device {
                    config.numerics.device = device;
                }
                images.complete(&mut config.data, &here)?;
                check::check(&config, &here)?;
                let architecture = Architecture::of(&config.network, &config.shape(), &here)?;
                map::check(&config, &architecture, &here)?;
                check::differentiates(&config, &architecture, &here)?;
                let seconds = cost::seconds(&config, &architecture, claim.seeds);
                (Work::from(config), seconds)
            } else {
                continue;
            };
            found.push(ClaimArm {
                name,
                arm: arm.name.clone(),
                value,
                seconds,
                config,
            });
        }
    }
    Ok(found)
}

fn check_rule(rule: Rule, place: &Place) -> Result<(), Error> {
    match rule {
        Rule::Higher { delta, refute } | Rule::Lower { delta, refute } => {
            place.non_negative("rule.delta", delta)?;
            place.finite("rule.refute", refute)?;
            if delta < refute {
                let rule = "what refutes is not larger than what supports (delta)";
                return Err(place.refuse("rule.refute", refute, rule));
            }
        }
        Rule::Equal { delta, refute } => {
            place.positive("rule.delta", delta)?;
            place.finite("rule.refute", refute)?;
            if refute < delta {
                let rule = "what refutes equality is not smaller than what supports it (delta)";
                return Err(place.refuse("rule.refute", refute, rule));
            }
        }
        Rule::Nothing {} => {}
    }
    Ok(())
}

fn check_term(term: &Term, claim: &Claim, arms: &[ClaimArm], place: &Place) -> Result<(), Error> {
    for arm in term.arms() {
        if !claim.arms.iter().any(|own| own.name == arm) {
            let names = claim.arms.iter().map(|arm| arm.name.as_str());
            let near = nearest_name(arm, names)
                .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            let rule = format!("no arm has that name{near}");
            return Err(place.refuse("measure.arm", format!("{arm:?}"), &rule));
        }
    }
    for arm in arms
        .iter()
        .filter(|own| term.arms().contains(&own.arm.as_str()))
    {
        let known: Vec<&str> = match &arm.config {
            Work::Experiment(experiment) => experiment.metrics().iter().map(|m| m.name).collect(),
            Work::Diffusion(config) => {
                let has =
                    |probe: &&str| !map::OF_LEVELS.contains(probe) || map::reads_levels(config);
                let probes = catalog::PROBES.iter().map(|row| row.0);
                probes.filter(has).collect()
            }
        };
        if let Some(metric) = term.metrics().iter().find(|own| !known.contains(own)) {
            let rule = match map::OF_LEVELS.contains(metric) {
                true => "its arms compare no noise levels: train them with noise, and give probes.map.agreement".to_owned(),
                false => format!("it measures {}", known.join(", ")),
            };
            return Err(place.refuse("measure.metric", format!("{metric:?}"), &rule));
        }
    }
    if term.needs_grid() != claim.grid.is_some() {
        let rule = "`tuned` and `usable` need a [grid], and with one every term is one of them";
        return Err(place.refuse("measure", term.metrics()[0], rule));
    }
    let tuned = matches!(term, Term::Tuned { .. });
    if tuned
        && claim
            .grid
            .as_ref()
            .is_some_and(|grid| grid.tuning_seeds == 0)
    {
        let rule = "`tuned` needs seeds to tune with: give at least 1";
        return Err(place.refuse("grid.tuning_seeds", 0, rule));
    }
    if let Term::Slope { arms, x, .. } = term
        && (x.len() != arms.len() || x.len() < 2)
    {
        let rule = "a slope has as many abscissae as arms, two at least";
        return Err(place.refuse("measure.x", x.len(), rule));
    }
    Ok(())
}
