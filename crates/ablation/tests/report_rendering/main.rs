//! What a summary looks like: goldens for text, properties for HTML and CSV.
//!
//! `UPDATE_GOLDEN=1 cargo test -p ablation --test report_rendering` rewrites the goldens.

mod agree;
mod fixture;
mod maps;

use std::path::PathBuf;

use ablation::report::{self, Colour};
use ablation::summary::{Arm, Role, Summary};

/// Compares with a file under `tests/golden`, or writes it.
fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("the path has a folder"))
            .expect("the folder can be made");
        std::fs::write(&path, text).expect("the golden can be written");
    }
    let wanted =
        std::fs::read_to_string(&path).expect("the golden exists; UPDATE_GOLDEN=1 writes it");
    assert_eq!(text, wanted, "{name} changed; UPDATE_GOLDEN=1 accepts it");
}

#[test]
fn terminal_golden() {
    golden(
        "report-terminal-80.txt",
        &report::terminal(&fixture::summary(), 80, Colour::Never),
    );
    golden(
        "report-terminal-interim.txt",
        &report::terminal(&fixture::interim(), 80, Colour::Never),
    );
}

#[test]
fn markdown_golden() {
    golden("report.md", &report::markdown(&fixture::summary()));
}

#[test]
fn terminal_keeps_its_width() {
    for width in [80, 100, 140] {
        for line in report::terminal(&fixture::summary(), width, Colour::Never).lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn colour_changes_no_character() {
    let summary = fixture::summary();
    let mut plain = report::terminal(&summary, 80, Colour::Ansi);
    assert!(plain.contains("\u{1b}[1;32mSUPPORTED"));
    while let Some(start) = plain.find('\u{1b}') {
        let end = start + plain[start..].find('m').expect("a sequence ends with m");
        plain.replace_range(start..=end, "");
    }
    assert_eq!(plain, report::terminal(&summary, 80, Colour::Never));
}

#[test]
fn markdown_fits_a_comment() {
    let mut summary = fixture::summary();
    assert!(report::markdown(&summary).contains("All effects"));
    let study = summary.studies[0].clone();
    let row = study.effects[0].clone();
    summary.studies[0].effects = vec![row; 2000];
    let text = report::markdown(&summary);
    assert!(text.len() < 60_000 && !text.contains("All effects") && text.contains("All probes"));
    summary.studies = vec![study; 60];
    let text = report::markdown(&summary);
    assert!(text.len() < 60_000 && text.contains("report.html"));
}

#[test]
fn html_asks_for_nothing_outside_itself() {
    let html = report::html(&fixture::summary()).replace("http://www.w3.org/2000/svg", "");
    assert!(!html.contains("http"));
    for word in ["<script", "<link", "@import", "url(", "src="] {
        assert!(!html.contains(word), "{word}");
    }
}

/// Names of the elements left open, or the first tag that closes another.
fn balance(html: &str) -> Result<Vec<String>, String> {
    let mut open: Vec<String> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').ok_or("a tag without an end")?;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        if tag.starts_with('!') || tag.ends_with('/') || ["meta", "br"].contains(&name.as_str()) {
            continue;
        }
        if !tag.starts_with('/') {
            open.push(name);
        } else if open.pop().as_deref() != Some(&name) {
            return Err(format!(
                "</{name}> closes another element near {:.80}",
                rest.trim_start()
            ));
        }
    }
    Ok(open)
}

#[test]
fn html_is_balanced() {
    assert!(balance("<p><b></p>").is_err() && balance("<p>").is_ok_and(|open| !open.is_empty()));
    for summary in [fixture::summary(), fixture::interim()] {
        assert_eq!(balance(&report::html(&summary)), Ok(vec![]));
    }
}

#[test]
fn html_shows_every_number_of_the_verdicts() {
    let summary = fixture::summary();
    let html = report::html(&summary);
    for shown in ["−0.62", "[−0.83, −0.41]", "0.031", "0.047", "0.410", ">6<"] {
        assert!(html.contains(shown), "{shown}");
    }
    for row in summary.studies.iter().flat_map(|study| &study.verdicts) {
        assert!(html.contains(&format!("data-contrast=\"{}\"", row.id)));
        assert!(html.contains(&row.verdict));
    }
}

/// The page without the letters of its pictures, which spell anything.
fn without_pictures(html: &str) -> String {
    let mut parts = html.split("base64,");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(&part[part.find('"').expect("the attribute ends")..]);
    }
    out
}

#[test]
fn missing_numbers_are_dashes_with_a_reason() {
    for summary in [fixture::summary(), fixture::interim()] {
        let html = without_pictures(&report::html(&summary));
        let md = report::markdown(&summary);
        let text = report::terminal(&summary, 80, Colour::Never);
        for page in [&html, &md, &text] {
            assert!(page.contains('–') && !page.contains("NaN") && !page.contains("inf "));
        }
    }
    assert!(report::html(&fixture::summary()).contains("title=\"undefined in every seed\">–"));
    assert!(report::html(&fixture::interim()).contains("title=\"no finished cell yet\">–"));
}

#[test]
fn figures_are_there_when_their_numbers_are() {
    let html = report::html(&fixture::summary());
    for title in [
        "The answer at a glance",
        "Seed by seed",
        "By depth: skip, mean over noise",
        "Who gets a gradient",
        "Loss along training",
        "Samples to look at",
        "weights norm",
    ] {
        assert!(html.contains(&format!("<h4>{title}</h4>")), "{title}");
    }
    assert!(html.contains("decades: plain, noise off 5.0; skip, noise off 0.2;"));
    assert!(html.contains("data:image/png;base64,"));
    assert!(html.contains("seed 3: diverged, no number"));
    assert!(!report::html(&fixture::interim()).contains("<figure"));
}

#[test]
fn learning_curves_have_a_line_and_a_band_of_seeds_for_every_arm() {
    let summary = fixture::summary();
    let html = report::html(&summary);
    for study in &summary.studies {
        let figures = html.split("<figure").skip(1);
        let figures = figures.filter(|part| part.contains("<h4>Loss along training</h4>"));
        let study_tag = format!("data-study=\"{}\"", study.name);
        let figure: Vec<&str> = figures.filter(|part| part.contains(&study_tag)).collect();
        let [figure] = figure[..] else {
            panic!("{}: {} figures of the loss", study.name, figure.len())
        };
        let drawn = study
            .blocks
            .iter()
            .filter(|block| matches!(block.role, Role::Main | Role::CounterArm | Role::Reference));
        let arms = drawn.flat_map(|block| &block.arms);
        let trained = |arm: &&Arm| arm.curves.contains_key("loss");
        let arms: Vec<&Arm> = arms.filter(trained).collect();
        assert_eq!(arms.len(), 6, "the 2×2 and the counter-arm");
        // A band goes along the largest values and back along the smallest: two corners for each step, and closed.
        let bands: Vec<&str> = figure.split("<path class=\"band ").skip(1).collect();
        assert_eq!(bands.len(), arms.len());
        for (band, arm) in bands.iter().zip(&arms) {
            let path = band
                .split(" d=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let path = path.expect("a path");
            let corners = 2 * arm.curves["loss"].points.len();
            assert_eq!(path.split(['M', 'L']).skip(1).count(), corners);
            assert!(path.ends_with('Z'), "{path}");
        }
        for arm in arms {
            let line = format!("data-arm=\"{}\" data-curve=\"loss\"/>", arm.label);
            assert_eq!(figure.matches(&line).count(), 1, "{line}");
        }
    }
}

#[test]
fn costs_name_what_got_worse() {
    let html = report::html(&fixture::summary());
    let costs = &html[html.find("id=\"costs\"").expect("the section is there")..];
    let costs = &costs[..costs.find("</section>").expect("the section ends")];
    assert!(costs.contains("noise, skip on") && costs.contains("relative score error"));
    assert!(
        costs.contains("the counter-arm is ahead")
            && costs.contains("1 of 5 diverged (1 % to 72 %), 1 failed")
    );
    assert!(costs.contains("6 of 28 intervals") && !costs.contains("silent layers"));
    let interim = report::html(&fixture::interim());
    assert!(interim.contains("No effect has an interval yet"));
}

#[test]
fn names_cannot_inject_markup() {
    let mut summary = fixture::summary();
    summary.studies[0].title = "<script>\"x\"</script>".into();
    summary.studies[0].verdicts[0].claim = "a | b <b>".into();
    assert!(!report::html(&summary).contains("<script"));
    assert!(report::markdown(&summary).contains("a \\| b &lt;b>"));
}

#[test]
fn csv_reads_back() {
    let summary = fixture::summary();
    let text = report::csv(&summary);
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<csv::StringRecord> = table
        .records()
        .collect::<Result<_, _>>()
        .expect("every row reads");
    let spreads = |summary: &Summary| -> usize {
        let arms = summary
            .studies
            .iter()
            .flat_map(|study| &study.blocks)
            .flat_map(|block| &block.arms);
        arms.flat_map(|arm| arm.values.values())
            .map(|spread| spread.seeds.len())
            .sum()
    };
    assert_eq!(rows.len(), spreads(&summary));
    let find = |arm: &str, seed: &str| {
        let row = rows.iter().find(|row| {
            row[0] == *"mixture"
                && row[1] == *"the 2×2"
                && row[2] == *arm
                && row[3] == *seed
                && row[4] == *"log_energy_distance"
        });
        row.expect("the row is there")[5].to_owned()
    };
    assert_eq!(find("plain, noise off", "3"), "");
    let wanted = summary.studies[0].blocks[0].arms[3].values["log_energy_distance"].seeds[&2];
    assert_eq!(find("skip, noise on", "2").parse().ok(), wanted);
}

#[test]
fn a_summary_without_studies_renders() {
    let mut summary = fixture::summary();
    summary.studies.clear();
    assert!(report::markdown(&summary).contains("no contrast is registered"));
    assert_eq!(balance(&report::html(&summary)), Ok(vec![]));
}

#[test]
fn extreme_numbers_stay_inside_their_figures() {
    let mut summary = fixture::summary();
    let arms = summary.studies[0]
        .blocks
        .iter_mut()
        .flat_map(|block| &mut block.arms);
    for (place, arm) in arms.enumerate() {
        let scale = [-1e5, 1e300, 0.0, f64::MIN_POSITIVE][place % 4];
        if let Some(loss) = arm.curves.get_mut("loss") {
            for point in &mut loss.points {
                (point.median, point.min, point.max) = (scale, scale - 1.0, scale + 1.0);
            }
        }
        let spread = arm
            .values
            .get_mut("log_energy_distance")
            .expect("the fixture has it");
        for value in spread.seeds.values_mut() {
            *value = Some(scale);
        }
        (spread.median, spread.min, spread.max) = (Some(scale), Some(scale), Some(scale));
    }
    for row in &mut summary.studies[0].effects {
        row.numbers.seeds.values_mut().for_each(|x| *x *= 1e200);
        row.numbers.estimate = row.numbers.estimate.map(|x| x * 1e200);
    }
    let html = without_pictures(&report::html(&summary));
    assert!(!html.contains("NaN") && !html.contains("inf\"") && html.len() < 2_000_000);
    for line in report::terminal(&summary, 80, Colour::Never).lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}
