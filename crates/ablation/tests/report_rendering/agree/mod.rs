//! Every rendering shows the numbers of the summary, and the same digits of them.
//!
//! Number by number, and with the tools that people use, `cargo xtask test reports-python` does it for the table, the
//! event files and the page.

mod files;
mod tables;

use ablation::report::{self, Colour};
use ablation::summary::{Arm, Block, Role, Spread, StudySummary, Summary};

use crate::fixture;

/// The numbers in a text, each with half a unit of its last digit.
fn numbers(text: &str) -> Vec<(f64, f64)> {
    let part_of = |c: char| c.is_ascii_digit() || "−.e".contains(c);
    text.split(|c| !part_of(c))
        .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
        .map(|word| {
            let plain = word.replace('−', "-");
            let (head, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
            let decimals = head.split_once('.').map_or(0, |(_, digits)| digits.len()) as i32;
            let exponent: i32 = exponent.parse().expect("an exponent");
            let half = 0.5 * 10_f64.powi(exponent - decimals) * (1.0 + 1e-9);
            (plain.parse().expect("a number"), half)
        })
        .collect()
}

fn shows(text: &str, wanted: &[Option<f64>]) {
    let wanted: Vec<f64> = wanted.iter().flatten().copied().collect();
    let shown = numbers(text);
    assert_eq!(shown.len(), wanted.len(), "{text} for {wanted:?}");
    for ((seen, half), wanted) in shown.iter().zip(&wanted) {
        assert!((seen - wanted).abs() <= *half, "{text} for {wanted}");
    }
}

/// A p as it is shown: three decimals, a bound below them, a dash where there is none.
fn shows_p(text: &str, wanted: Option<f64>) {
    match wanted {
        None => assert_eq!(text, "–"),
        Some(p) if p < 0.001 => assert_eq!(text.replace("&lt;", "<"), "<0.001"),
        Some(p) => shows(text, &[Some(p)]),
    }
}

/// The texts of the elements whose tag holds all of these attributes, each up to the next tag.
fn elements<'h>(html: &'h str, attributes: &[String]) -> Vec<&'h str> {
    html.split('<')
        .filter_map(|part| {
            let (tag, text) = part.split_once('>')?;
            let all = attributes.iter().all(|attribute| tag.contains(attribute));
            all.then_some(text)
        })
        .collect()
}

/// A text between two others.
fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).map_or(rest, |(part, _)| part)
}

/// An attribute with its value.
fn tag(name: &str, value: &str) -> String {
    format!("data-{name}=\"{value}\"")
}

/// What the page, the comment and the terminal say of one study, after the table of verdicts that they begin with.
fn sections<'t>(study: &StudySummary, [html, markdown, terminal]: &'t [String; 3]) -> [&'t str; 3] {
    let id = format!("<section id=\"{}\" class=\"study\">", study.name);
    let lines = between(terminal, &format!("\n{} · ", study.name), "\nwhat it says");
    let end = lines[1..].find(" · ").map_or(lines.len(), |next| {
        lines[..next]
            .rfind('\n')
            .expect("a heading has a line of its own")
    });
    [
        between(html, &id, "<section id="),
        between(markdown, &format!("\n### {}\n", study.title), "\n### "),
        &lines[..end],
    ]
}

/// The columns of a line of the terminal: two spaces or more part them.
fn columns(line: &str) -> Vec<&str> {
    let columns = line.split("  ").map(str::trim);
    columns.filter(|column| !column.is_empty()).collect()
}

/// The renderings: page, comment, terminal.
fn renderings(summary: &Summary) -> [String; 3] {
    [
        report::html(summary),
        report::markdown(summary),
        report::terminal(summary, 100, Colour::Never),
    ]
}

#[test]
fn verdicts_have_the_same_numbers_everywhere() {
    let summary = fixture::summary();
    let renderings = renderings(&summary);
    let [html, markdown, _] = &renderings;
    let (mut shared, mut ordered) = (0, 0);
    for study in &summary.studies {
        let [.., terminal] = sections(study, &renderings);
        let rows = terminal.lines().map(columns);
        // The first is the heading; lines of fewer columns go on with what the one above could not hold.
        let mut rows = rows.filter(|row| row.len() == 5).skip(1);
        for row in &study.verdicts {
            let of = &row.numbers;
            let tags = [tag("study", &study.name), tag("contrast", &row.id)];
            let with = |class: &str| {
                let class = format!("class=\"{class}\"");
                elements(html, &[&tags[..], &[class]].concat())
            };
            let page = with("number");
            let [effect, p, n] = page[..] else {
                panic!("effect, p and n: {page:?}")
            };
            shows(effect, &[of.estimate, of.low, of.high]);
            shows_p(p, row.adjusted_p);
            if let Some(own) = of.p {
                let mut parts = html.split("<span").filter(|part| {
                    tags.iter().all(|tag| part.contains(tag)) && part.contains("not adjusted")
                });
                let tooltip = parts.next().expect("a tooltip on the adjusted p");
                shows_p(between(tooltip, "not adjusted ", ";"), Some(own));
                let least = between(tooltip, "smallest possible ", "\"");
                shows_p(least, of.p_floor);
            }
            assert_eq!(n, of.n.to_string());

            let line = markdown.lines().find(|line| {
                line.starts_with(&format!("| {} | **", study.name)) && line.contains(&row.claim)
            });
            let line = line.expect("the contrast has a line");
            let cells: Vec<&str> = line.split(" | ").collect();
            let [.., in_comment, larger, p_there, n_there] = cells[..] else {
                panic!("{line}")
            };
            let shown = in_comment.split("<br>").next();
            assert_eq!((shown, n_there), (Some(effect), &*format!("{n} |")));
            assert_eq!(p_there, p);

            let there = rows.next().expect("the terminal has the contrast");
            assert!(there[0].split(' ').all(|word| row.verdict.contains(word)));
            assert_eq!(there[2..], [effect, p, n], "{there:?}");

            match (row.larger, row.larger_low, row.larger_high) {
                (None, ..) => assert_eq!((larger, with("larger").len()), ("–", 0)),
                wanted => {
                    shows(larger, &[wanted.0, wanted.1, wanted.2]);
                    assert_eq!(with("larger"), [format!("P(A &gt; B) {larger}")]);
                    ordered += 1;
                }
            }
            if let (Some(confidence), Some(low), Some(high)) =
                (row.confidence, row.deciding_low, row.deciding_high)
            {
                let decides = in_comment.split_once("<br>").expect("what decides").1;
                shows(decides, &[Some(100.0 * confidence), Some(low), Some(high)]);
                assert_eq!(with("deciding"), [format!("decides at {decides}")]);
                assert!(terminal.contains(decides), "{decides}");
                shared += 1;
            }
        }
        assert!(rows.next().is_none(), "the terminal has one more");
    }
    assert!(5 < shared && 5 < ordered);
}

/// The entry of an arm in the terminal.
fn in_terminal<'t>(section: &'t str, block: &Block, arm: &Arm) -> &'t str {
    let (_, section) = section
        .split_once("median [min, max] over seeds")
        .expect("the arms come last");
    if block.role == Role::Main {
        let row = format!("skip {}", arm.levels["skip"]);
        let mut lines = section.lines().map(columns);
        let line = lines.find(|line| line.first() == Some(&&*row));
        let column = if arm.levels["noise"] == "on" { 2 } else { 1 };
        return line.expect("the 2×2 has the row")[column];
    }
    let heading = format!("beside it: {}\n", block.name);
    let (_, rest) = section.split_once(&heading).expect("the block is there");
    let lines = rest
        .lines()
        .take_while(|line| !line.contains("beside it: "));
    let mut lines = lines.map(columns);
    lines
        .find(|line| line[0] == arm.label)
        .expect("the arm has a line")[1]
}

#[test]
fn arms_have_the_same_numbers_everywhere() {
    let summary = fixture::summary();
    let renderings = renderings(&summary);
    let (mut compared, mut in_all) = (0, 0);
    for study in &summary.studies {
        let [html, markdown, terminal] = sections(study, &renderings);
        let probes = study.probes.iter();
        let places = study
            .blocks
            .iter()
            .flat_map(|block| block.arms.iter().map(move |arm| (block, arm)))
            .flat_map(|place| probes.clone().map(move |probe| (place, probe)));
        for ((block, arm), probe) in places {
            let tags = [
                tag("study", &study.name),
                tag("block", &block.name),
                tag("arm", &arm.label),
                tag("probe", &probe.id),
            ];
            let table = between(html, "class=\"probes\"", "All effects");
            let found = elements(table, &tags);
            let [text] = found[..] else {
                panic!("{tags:?}: {found:?}")
            };
            // The row of the probe in the block's table, the column of the arm.
            let folded = between(markdown, "All probes:", "</details>");
            let folded = between(folded, &format!("\n{}\n\n| probe |", block.name), "\n\n");
            let row = format!("| {} | ", probe.title);
            let row = folded.lines().find_map(|line| line.strip_prefix(&row));
            let row = row.expect("the probe has a row").trim_end_matches(" |");
            let heads = folded
                .lines()
                .next()
                .expect("a heading")
                .trim_end_matches(" |");
            let column = heads.split(" | ").position(|head| head.trim() == arm.label);
            let cell = row.split(" | ").nth(column.expect("the arm has a column"));
            assert_eq!(cell, Some(text), "{tags:?}");
            let Some(Spread {
                median: Some(median),
                min,
                max,
                ..
            }) = arm.values.get(&probe.id)
            else {
                assert_eq!(text, "–");
                continue;
            };
            match text.contains('[') {
                true => shows(text, &[Some(*median), *min, *max]),
                false => shows(text, &[Some(*median)]),
            }
            compared += 1;
            if probe.id == study.primary {
                assert_eq!(in_terminal(terminal, block, arm), text);
                in_all += 1;
            }
        }
    }
    assert!(30 < compared && 10 < in_all);
}
