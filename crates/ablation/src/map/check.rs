//! Whether a map can be measured as a study declares it, and what it costs.

use std::collections::BTreeSet;

use super::{Agreement, GROUPS, RATE, Skips};
use crate::{architecture::Architecture, config::CellConfig, error::Error};

/// Whether so many micro-batches can mark a lone audible cell among all of a map, the levels are those of the cell, and
/// its data have the parts.
///
/// # Errors
/// [`Error::Impossible`].
pub(crate) fn check(
    config: &CellConfig,
    architecture: &Architecture,
    place: &str,
) -> Result<(), Error> {
    let Some(probe) = &config.probes.map else {
        return Ok(());
    };
    let refuse = |name: &str, value: String, rule: String| {
        Err(Error::Impossible {
            place: place.to_owned(),
            name: name.to_owned(),
            value,
            rule,
        })
    };
    let within = config.noise.sigma_min..=config.noise.sigma_max;
    let parts = probe.parts.as_ref();
    let of_parts = parts.map_or(&[][..], |parts| &parts.levels);
    for (name, levels) in [
        ("probes.map.levels", &probe.levels[..]),
        ("probes.map.parts.levels", of_parts),
    ] {
        if let Some(level) = levels.iter().find(|level| !within.contains(level)) {
            let rule = "every level must lie within [noise.sigma_min, noise.sigma_max]";
            return refuse(name, level.to_string(), rule.to_owned());
        }
    }
    if !(1..=1_000_000).contains(&probe.examples) {
        let rule = "a micro-batch has 1 to 1,000,000 examples";
        let value = probe.examples.to_string();
        return refuse("probes.map.examples", value, rule.to_owned());
    }
    if let Some(Agreement {
        micro_batches,
        after,
    }) = &probe.agreement
    {
        let mut levels = probe.levels.clone();
        levels.sort_by(f64::total_cmp);
        levels.dedup();
        let enough =
            micro_batches.is_multiple_of(GROUPS) && (GROUPS..=100_000).contains(micro_batches);
        let rises = after.is_sorted_by(|a, b| a < b);
        let steps = config.training.steps;
        for (holds, name, value, rule) in [
            (
                enough,
                "agreement.micro_batches",
                micro_batches.to_string(),
                "of each level there are four equal groups: a multiple of 4, to 100,000",
            ),
            (
                !after.is_empty() && rises && after.iter().all(|done| (1..=steps).contains(done)),
                "agreement.after",
                format!("{after:?}"),
                "numbers of training steps, rising, from 1 to training.steps",
            ),
            (
                2 <= levels.len() && levels.len() == probe.levels.len(),
                "levels",
                format!("{:?}", probe.levels),
                "probes.map.agreement compares levels in pairs: give two or more, none twice",
            ),
        ] {
            if !holds {
                return refuse(&format!("probes.map.{name}"), value, rule.to_owned());
            }
        }
    }
    let layers = architecture.layer_names();
    let shortcuts = match probe.skips {
        Some(Skips::Factor) => architecture.shortcut_names(),
        None => Vec::new(),
    };
    let rows = layers.iter().map(|name| probe.units.row(name));
    let rows: BTreeSet<&str> = rows.chain(shortcuts.iter().map(String::as_str)).collect();
    let mut columns = 1 + probe.levels.len();
    if let Some(parts) = parts {
        for (name, missing) in [
            ("by", parts.by.is_empty()),
            ("levels", parts.levels.is_empty()),
        ] {
            if missing {
                let rule = "a map of parts needs at least one: name one, or leave `parts` out";
                let name = format!("probes.map.parts.{name}");
                return refuse(&name, "[]".to_owned(), rule.to_owned());
            }
        }
        for by in &parts.by {
            match by.count(config) {
                Ok(count) => columns = columns.max(count * parts.levels.len()),
                Err(rule) => {
                    let value = format!("{by:?}").to_lowercase();
                    return refuse("probes.map.parts.by", value, rule.to_owned());
                }
            }
        }
    }
    let cells = rows.len() * columns;
    let enough = enough(cells);
    if !(enough..=1024).contains(&probe.micro_batches) {
        let rule = format!(
            "{enough} to 1024 are needed: the signs of so many micro-batches tell one audible cell from {cells} silent ones"
        );
        let value = probe.micro_batches.to_string();
        return refuse("probes.map.micro_batches", value, rule);
    }
    Ok(())
}

/// Whether a cell compares its noise levels: it has some, and is asked to.
pub(crate) fn reads_levels(config: &CellConfig) -> bool {
    let map = config.probes.map.as_ref();
    config.objective.uses_noise() && map.is_some_and(|probe| probe.agreement.is_some())
}

/// Passes forward and back that a cell spends on its map: of the denoising loss, and of its own objective where that is
/// another; the mean over `seeds` seeds, of which not all may have a map.
pub(crate) fn passes(config: &CellConfig, seeds: u32) -> [f64; 2] {
    let Some(probe) = &config.probes.map else {
        return [0.0; 2];
    };
    let noise = config.objective.uses_noise();
    let share = |of: u32| f64::from(of.min(seeds)) / f64::from(seeds.max(1));
    let mut denoising = share(probe.seeds) * (usize::from(noise) + probe.levels.len()) as f64;
    let mut own = share(probe.seeds) * f64::from(u8::from(!noise));
    if let Some(parts) = &probe.parts {
        for by in &parts.by {
            let count = share(parts.seeds) * by.count(config).unwrap_or(0) as f64;
            denoising += count * parts.levels.len() as f64;
            if !noise && by.of_clean_data(&config.data) {
                own += count;
            }
        }
    }
    let mut passes =
        [denoising, own].map(|columns| columns * (probe.looks.len() * probe.micro_batches) as f64);
    if let Some(agreement) = probe.agreement.as_ref().filter(|_| noise) {
        let looks = agreement.after.len() * agreement.micro_batches;
        passes[0] += share(probe.seeds) * ((1 + probe.levels.len()) * looks) as f64;
    }
    passes
}

/// Micro-batches whose signs have so many patterns that a lone cell of `cells` can be marked: 2¹⁻ⁿ ≤ rate / cells.
pub fn enough(cells: usize) -> usize {
    (3..63)
        .find(|n| cells as f64 / RATE <= (1_u64 << (n - 1)) as f64)
        .unwrap_or(63)
}

/// Random sign flips, where not all are listed, with which that many cells can be marked.
pub fn flips(cells: usize) -> usize {
    ((cells as f64 / RATE).ceil() as usize).max(999)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{plan, study_with};

    /// The plane with this map, or what is said against it.
    fn planned(data: &str, parts: &str) -> Result<crate::plan::Plan, String> {
        let map = format!(
            "depths = [], map = {{ levels = [0.3], units = \"layers\", micro_batches = 13, examples = 4, looks = [\"end\"], seeds = 1, parts = {parts} }} }}"
        );
        let study = study_with("depths = [2] }", &map).replace("{ kind = \"song_ermon\" }", data);
        plan(&study).map_err(|error| error.to_string())
    }

    #[test]
    fn so_many_micro_batches_can_mark_a_lone_cell() {
        // The measurement itself refuses one fewer, and takes this many.
        for cells in [1, 70, 250] {
            let n = enough(cells);
            let floor = |n: usize| 0.5_f64.powi(n as i32 - 1);
            assert!(
                floor(n) * cells as f64 <= RATE && (n == 3 || RATE < floor(n - 1) * cells as f64)
            );
            assert!(1.0 / (1.0 + flips(cells) as f64) * cells as f64 <= RATE);
        }
        assert_eq!(enough(70), 12);
    }

    #[test]
    fn parts_that_the_data_do_not_have_are_refused() {
        let plane = r#"{ kind = "song_ermon" }"#;
        let circle = r#"{ kind = "sphere", intrinsic = 2, ambient = 4, radius = 1.0 }"#;
        let said = |data, parts| planned(data, parts).expect_err("it is refused");
        for (data, parts, words) in [
            (
                circle,
                r#"{ by = ["modes"], levels = [0.3], seeds = 1 }"#,
                "by = modes, but these data are no mixture",
            ),
            (
                plane,
                r#"{ by = [{ bands = 4 }], levels = [0.3], seeds = 1 }"#,
                "no square images",
            ),
            (
                plane,
                r#"{ by = [{ regions = 11 }], levels = [0.3], seeds = 1 }"#,
                "2 to 10 regions",
            ),
            (
                plane,
                r#"{ by = [], levels = [0.3], seeds = 1 }"#,
                "needs at least one",
            ),
            (
                plane,
                r#"{ by = ["modes"], levels = [0.2], seeds = 1 }"#,
                "parts.levels = 0.2, but every level",
            ),
            (
                plane,
                r#"{ by = [{ regions = 10 }], levels = [0.3, 1.0, 3.0, 9.0], seeds = 1 }"#,
                "to 1024 are needed",
            ),
            (
                plane,
                r#"{ by = ["fields"], levels = [0.3], seeds = 1 }"#,
                "fields",
            ),
        ] {
            let said = said(data, parts);
            assert!(said.contains(words), "{parts}: {said}");
        }
        assert!(
            planned(
                circle,
                r#"{ by = [{ regions = 4 }], levels = [0.3], seeds = 1 }"#
            )
            .is_ok()
        );
    }

    /// The plane, of 20 steps, with a map at these levels and this agreement, or what is said against it.
    fn agreed(
        levels: &str,
        micro_batches: usize,
        after: &str,
    ) -> Result<crate::plan::Plan, String> {
        let map = format!(
            "depths = [], map = {{ levels = {levels}, units = \"layers\", micro_batches = 13, examples = 4, looks = [\"end\"], seeds = 1, agreement = {{ micro_batches = {micro_batches}, after = {after} }} }} }}"
        );
        plan(&study_with("depths = [2] }", &map)).map_err(|error| error.to_string())
    }

    #[test]
    fn levels_that_cannot_be_compared_are_refused() {
        for (levels, micro_batches, after, words) in [
            (
                "[0.3, 3.0]",
                6,
                "[10]",
                "agreement.micro_batches = 6, but of each",
            ),
            (
                "[0.3, 3.0]",
                0,
                "[10]",
                "agreement.micro_batches = 0, but of each",
            ),
            ("[0.3, 3.0]", 100_004, "[10]", "to 100,000"),
            ("[0.3, 3.0]", 8, "[]", "agreement.after = [], but numbers"),
            (
                "[0.3, 3.0]",
                8,
                "[3, 3]",
                "agreement.after = [3, 3], but numbers",
            ),
            ("[0.3, 3.0]", 8, "[0, 21]", "from 1 to training.steps"),
            (
                "[0.3]",
                8,
                "[10]",
                "levels = [0.3], but probes.map.agreement",
            ),
            ("[0.3, 3.0, 0.3]", 8, "[10]", "none twice"),
        ] {
            let said = agreed(levels, micro_batches, after).expect_err(words);
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn agreement_is_priced_by_its_looks_where_there_are_levels() {
        let plan = agreed("[0.3, 3.0]", 8, "[1, 10, 20]").expect("the study is sound");
        for arm in &plan.studies[0].blocks[0].arms {
            let noise = arm.config.objective.uses_noise();
            assert_eq!(reads_levels(&arm.config), noise);
            // Own and two levels, at the end and at three looks.
            let wanted = if noise {
                [3.0 * 13.0 + 3.0 * 3.0 * 8.0, 0.0]
            } else {
                [2.0 * 13.0, 13.0]
            };
            assert_eq!(passes(&arm.config, 1), wanted);
        }
    }

    #[test]
    fn a_map_is_priced_by_its_passes() {
        let parts = r#"{ by = ["modes", { regions = 4 }], levels = [0.3, 3.0], seeds = 1 }"#;
        let plan = planned(r#"{ kind = "song_ermon" }"#, parts).expect("the study is sound");
        let arms = &plan.studies[0].blocks[0].arms;
        let of = |noise: bool, seeds| {
            let arm = arms
                .iter()
                .find(|arm| arm.config.objective.uses_noise() == noise);
            passes(&arm.expect("both are there").config, seeds)
        };
        // Own and one level, then six parts at two levels; 13 micro-batches.
        assert_eq!(of(true, 1), [14.0 * 13.0, 0.0]);
        assert_eq!(of(false, 1), [13.0 * 13.0, 7.0 * 13.0]);
        assert_eq!(of(true, 4), [3.5 * 13.0, 0.0]);
    }
}
