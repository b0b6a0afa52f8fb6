//! Tables and sentences beside the verdicts: effects, depths, divergence, the noise floor.

use ablation::summary::StudySummary;

use super::{between, elements, renderings, sections, shows, shows_p, tag};
use crate::fixture;

#[test]
fn effects_have_the_same_numbers_everywhere() {
    let summary = fixture::summary();
    let renderings = renderings(&summary);
    let (mut found, mut tiny) = (0, 0);
    for study in &summary.studies {
        let [html, markdown, _] = sections(study, &renderings);
        let table = between(html, "All effects", "</details>");
        let rows = between(markdown, "All effects", "</details>").lines();
        let mut rows = rows.filter(|line| line.starts_with("| ")).skip(1);
        for row in &study.effects {
            let of = &row.numbers;
            let tags = [
                tag("study", &study.name),
                tag("block", &row.block),
                tag("probe", &row.probe),
                tag("effect", &row.effect),
            ];
            let page = elements(table, &tags);
            let [effect, n, p, q] = page[..] else {
                panic!("effect, n, p and q: {page:?}")
            };
            shows(effect, &[of.estimate, of.low, of.high]);
            shows_p(p, of.p);
            shows_p(q, row.q);
            assert_eq!(n, of.n.to_string());

            let line = rows.next().expect("the comment has the effect");
            let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
            let title = study.probes.iter().find(|probe| probe.id == row.probe);
            assert_eq!(cells[0], row.block);
            assert_eq!(Some(cells[1]), title.map(|probe| &*probe.title));
            assert_eq!(cells[3..], [effect, p, q, n], "{line}");
            found += 1;
            tiny += usize::from(p == "&lt;0.001");
        }
        assert!(rows.next().is_none(), "the comment has one more");
    }
    assert!(40 < found && 10 < tiny);
}

#[test]
fn depths_have_the_same_numbers_everywhere() {
    let summary = fixture::summary();
    let renderings = renderings(&summary);
    let mut bands = 0;
    for study in &summary.studies {
        let [html, markdown, _] = sections(study, &renderings);
        let table = between(markdown, "| by depth", "\n\n");
        let mut lines = table.lines();
        let heads: Vec<&str> = lines.next().expect("a heading").split(" | ").collect();
        let mut lines = lines.skip(1);
        for row in &study.depths {
            let line = lines.next().expect("the comment has the effect");
            let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
            let effect = tag("effect", &row.effect);
            for (place, point) in row.points.iter().enumerate() {
                let blocks = format!("{} blocks", point.depth);
                assert_eq!(heads[1 + place].trim_end_matches(" |"), blocks);
                shows(
                    cells[1 + place],
                    &[Some(point.estimate), point.low, point.high],
                );
                // A mark and its tooltip.
                let mark = format!(
                    " {} {} {}><title>{blocks}: {}</title>",
                    tag("probe", &study.primary),
                    effect,
                    tag("depth", &point.depth.to_string()),
                    cells[1 + place]
                );
                assert_eq!(html.matches(&mark).count(), 1, "{mark}");
                bands += usize::from(point.low.is_some());
            }
            let slope = cells[1 + row.points.len()];
            shows(slope, &[row.slope, row.slope_low, row.slope_high]);
            let heading = "<h4>By depth: ";
            let mut figures = html.split("<figure").filter(|part| part.contains(heading));
            let figure = figures
                .find(|part| part.contains(&effect))
                .expect("a figure");
            assert!(figure.contains(&format!("Per doubling of the depth: {slope} (95 %)")));
            // The band is drawn where all depths have it, and its seeds are counted.
            let has_band = row.points.iter().all(|point| point.low.is_some());
            assert_eq!(figure.contains("class=\"together\""), has_band);
            assert!(figure.contains(&format!("{} seeds", row.n)));
        }
        assert!(lines.next().is_none(), "the comment has one more");
    }
    assert!(0 < bands);
}

#[test]
fn divergence_has_the_same_numbers_everywhere() {
    let summary = fixture::summary();
    let renderings = renderings(&summary);
    let costs = between(&renderings[0], "id=\"costs\"", "</section>");
    let mut tests = 0;
    for study in &summary.studies {
        let [_, markdown, terminal] = sections(study, &renderings);
        for block in &study.blocks {
            for arm in &block.arms {
                let tags = [
                    tag("study", &study.name),
                    tag("block", &block.name),
                    tag("arm", &arm.label),
                ];
                let page = elements(costs, &tags);
                if arm.diverged + arm.failed == 0 {
                    assert!(page.is_empty(), "{page:?}");
                    continue;
                }
                let [text] = page[..] else { panic!("{page:?}") };
                let share = arm.diverged_interval.expect("some diverged");
                let [low, high] = share.map(|share| Some(100.0 * share));
                let counts = [arm.diverged, arm.finished].map(|n| Some(f64::from(n)));
                let failed = Some(f64::from(arm.failed));
                shows(text, &[counts[0], counts[1], low, high, failed]);
                let said = format!("{} of {} diverged", arm.diverged, arm.finished);
                assert!(
                    markdown.contains(&said)
                        && terminal.contains(&format!("{}: {said}", arm.label))
                );
            }
        }
        for row in &study.divergences {
            let tags = [
                tag("study", &study.name),
                tag("block", &row.block),
                tag("effect", &row.effect),
            ];
            let list = costs.split_once("McNemar").expect("a list of tests").1;
            let page = elements(list, &tags);
            // What chance explains is not listed.
            assert_eq!(page.len(), usize::from(row.p <= 0.05), "{page:?}");
            for text in page {
                let counts = [row.only_off, row.n, row.only_on].map(|n| Some(f64::from(n)));
                shows(text, &[&counts[..], &[Some(row.p)]].concat());
                tests += 1;
            }
        }
    }
    assert!(0 < tests);
}

/// What is said of the noise floor of a probe, from its estimate to the number of its seeds.
fn floor<'t>(text: &'t str, study: &StudySummary, probe: &str) -> &'t str {
    let said = text.split_once("oise floor (A/A): ").expect("it is said").1;
    let info = study.probes.iter().find(|info| info.id == probe);
    let title = &info.expect("the probe is described").title;
    between(said, title, "seeds")
}

#[test]
fn the_noise_floor_is_the_same_everywhere() {
    let summary = fixture::summary();
    let renderings = renderings(&summary);
    let mut compared = 0;
    for study in &summary.studies {
        let [html, markdown, terminal] = sections(study, &renderings);
        // The terminal breaks lines where they are full.
        let terminal = terminal.split_whitespace().collect::<Vec<_>>().join(" ");
        let control = study
            .effects
            .iter()
            .find(|row| row.effect == "a_a" && row.probe == study.primary);
        let Some(row) = control else {
            assert!(
                [html, markdown, &terminal]
                    .iter()
                    .all(|text| !text.contains("oise floor (A"))
            );
            continue;
        };
        let of = &row.numbers;
        for text in [html, markdown, &terminal] {
            let text = floor(text, study, &row.probe);
            shows(text, &[of.estimate, of.low, of.high, Some(f64::from(of.n))]);
        }
        compared += 1;
    }
    assert!(0 < compared);
}
