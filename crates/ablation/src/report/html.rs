//! The report as one HTML file: no script, no request, no font but the reader's own.

use std::fmt::Write as _;

use crate::report::figure;
use crate::report::markup::{data, escape, slug};
use crate::report::number::{self, DASH};
use crate::report::tables;
use crate::report::view;
use crate::summary::{StudySummary, Summary, VerdictRow};

/// Renders the summary as a self-contained HTML page.
///
/// Every number carries `data-study` with `data-contrast`, or with `data-probe` and `data-arm` or
/// `data-effect`, so that a reader's script finds it. Light and dark follow the reader's setting.
pub fn html(summary: &Summary) -> String {
    let name = escape(&summary.name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{name}</title>\n<style>\n{}</style>\n</head>\n\
         <body>\n<main>\n<header>\n<p class=\"kicker\">ablation · {name}</p>\n<h1>{}</h1>\n</header>\n",
        include_str!("style.css"),
        escape(&summary.question)
    );
    for stamp in &summary.stamps {
        let (word, reason) = (escape(&stamp.word), escape(&stamp.reason));
        let _ = writeln!(
            out,
            "<p class=\"stamp\"><strong>{word}</strong> {reason}</p>"
        );
    }
    answer(&mut out, summary);
    overview(&mut out, summary);
    tables::costs(&mut out, summary);
    for study in &summary.studies {
        section(&mut out, study);
    }
    provenance(&mut out, summary);
    glossary(&mut out, summary);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// All registered contrasts with their verdicts.
fn answer(out: &mut String, summary: &Summary) {
    out.push_str("<section id=\"answer\">\n<h2>The answer</h2>\n");
    let findings = view::findings(summary);
    let findings = findings
        .iter()
        .map(|text| format!("<li>{}.</li>", escape(&sentence(text))));
    let _ = writeln!(
        out,
        "<ul class=\"lead findings\">{}</ul>",
        findings.collect::<String>()
    );
    if summary
        .studies
        .iter()
        .any(|study| !study.verdicts.is_empty())
    {
        out.push_str(
            "<table class=\"verdicts\">\n<thead><tr><th>verdict</th><th>claim</th><th>effect [95&nbsp;% interval]</th>\
             <th title=\"Holm over the registered contrasts of the study\">adjusted p</th><th>seeds</th></tr></thead>\n",
        );
        for study in summary
            .studies
            .iter()
            .filter(|study| !study.verdicts.is_empty())
        {
            let (id, title) = (slug(&study.name), escape(&study.title));
            let _ = writeln!(
                out,
                "<tbody><tr class=\"group\"><th colspan=\"5\"><a href=\"#{id}\">{title}</a></th></tr>"
            );
            for row in &study.verdicts {
                verdict(out, study, row);
            }
            out.push_str("</tbody>\n");
        }
        let _ = writeln!(
            out,
            "</table>\n<p class=\"standing\">{}.</p>",
            escape(view::LARGER)
        );
    }
    out.push_str("</section>\n");
}

fn verdict(out: &mut String, study: &StudySummary, row: &VerdictRow) {
    let shown = number::effect(&row.numbers);
    let tags = data(&[
        ("study", &study.name),
        ("contrast", &row.id),
        ("probe", &row.probe),
    ]);
    let why = if shown.interval.contains(DASH) {
        view::effect_reason(&row.numbers)
    } else {
        "paired t interval"
    };
    let bootstrap = if shown.bootstrap.contains(DASH) {
        String::new()
    } else {
        format!("<small{tags}>bootstrap-t {}</small>", shown.bootstrap)
    };
    let deciding = number::deciding(row).map_or_else(String::new, |text| {
        format!("<small class=\"deciding\"{tags} title=\"what the other contrasts, and the looks, leave to this one\">decides at {text}</small>")
    });
    let larger = number::larger(row).map_or_else(String::new, |text| {
        let what = escape(view::LARGER);
        format!("<small class=\"larger\"{tags} title=\"{what}\">P(A &gt; B) {text}</small>")
    });
    let remarks: String = row
        .remarks
        .iter()
        .map(|remark| format!("<li>{}</li>", escape(remark)))
        .collect();
    let remarks = if remarks.is_empty() {
        remarks
    } else {
        format!("<ul class=\"remarks\">{remarks}</ul>")
    };
    let incomplete = match row.numbers.incomplete {
        0 => String::new(),
        count => format!("<small{tags}>{count} incomplete</small>"),
    };
    let _ = writeln!(
        out,
        "<tr><td><span class=\"badge v-{class}\">{symbol} {verdict}</span></td>\
         <td class=\"claim\">{claim}<small>{effect} on {probe}; expected: {expect}; \
         smallest effect of interest <span{tags}>{delta}</span></small>{remarks}</td>\
         <td data-label=\"effect\"><span class=\"number\"{tags} title=\"{why}\">{whole}</span>\
         {deciding}{bootstrap}{larger}</td>\
         <td data-label=\"adjusted p\"><span class=\"number\"{tags} title=\"{p_title}\">{p}</span></td>\
         <td data-label=\"seeds\"><span class=\"number\"{tags}>{n}</span>{incomplete}</td></tr>",
        class = slug(&row.class),
        symbol = symbol(&row.class),
        verdict = escape(&row.verdict),
        claim = escape(&row.claim),
        effect = escape(&row.effect),
        probe = escape(view::title(study, &row.probe)),
        expect = escape(&row.expect),
        delta = number::significant(row.delta, 2),
        whole = shown.whole(),
        p = escape(&number::p(row.adjusted_p)),
        p_title = escape(&p_title(row)),
        n = row.numbers.n,
    );
}

fn p_title(row: &VerdictRow) -> String {
    match (row.adjusted_p, row.numbers.p) {
        (None, None) => view::effect_reason(&row.numbers).to_owned(),
        (_, p) => format!(
            "not adjusted {}; smallest possible {}",
            number::p(p),
            number::p(row.numbers.p_floor)
        ),
    }
}

/// A sign beside the colour, for those who do not see it.
fn symbol(class: &str) -> &'static str {
    match class {
        "supported" => "✓",
        "supported_under" => "(✓)",
        "refuted" => "✗",
        "inconclusive" => "?",
        "invalid" => "!",
        _ => "–",
    }
}

/// The 2×2 of every study.
fn overview(out: &mut String, summary: &Summary) {
    if summary.studies.is_empty() {
        return;
    }
    out.push_str(
        "<section id=\"overview\">\n<h2>Every 2×2</h2>\n<p>Median of the primary probe over seeds; the deeper the \
         blue, the better within its study.</p>\n<div class=\"cards\">\n",
    );
    for study in &summary.studies {
        tables::square(out, study);
    }
    out.push_str("</div>\n</section>\n");
}

/// One study: set-up, caveats, figures, tables.
fn section(out: &mut String, study: &StudySummary) {
    let (id, title, question) = (
        slug(&study.name),
        escape(&study.title),
        escape(&study.question),
    );
    let _ = writeln!(
        out,
        "<section id=\"{id}\" class=\"study\">\n<h2>{title}</h2>\n<p class=\"lead\">{question}</p>"
    );
    for words in [view::standing(study), view::noise_floors(study)] {
        let tags = data(&[("study", &study.name)]);
        let words = words.map(|words| {
            format!(
                "<p class=\"standing\"{tags}>{}.</p>\n",
                escape(&sentence(&words))
            )
        });
        out.push_str(&words.unwrap_or_default());
    }
    list(out, "Set-up", "setup", &study.setup);
    list(out, "To keep in mind", "notes", &study.notes);

    let answer = [figure::forest(study), figure::slopes(study)];
    figures(out, "pair", answer.into_iter().flatten().collect());
    out.push_str(&figure::map(study).unwrap_or_default());
    out.push_str(&figure::parts(study).unwrap_or_default());
    figures(out, "panels", figure::depths(study));
    let mut panels: Vec<String> = figure::gradient(study).into_iter().collect();
    panels.extend(figure::curves(study));
    if !panels.is_empty() {
        out.push_str(&figure::legend(study));
    }
    figures(out, "panels", panels);
    out.push_str(&figure::samples(study).unwrap_or_default());
    tables::blocks(out, study);
    tables::effects(out, study);
    out.push_str("</section>\n");
}

fn list(out: &mut String, heading: &str, class: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = write!(out, "<div class=\"{class}\"><h3>{heading}</h3><ul>");
    for line in lines {
        let _ = write!(out, "<li>{}</li>", escape(line));
    }
    out.push_str("</ul></div>\n");
}

fn figures(out: &mut String, class: &str, figures: Vec<String>) {
    if !figures.is_empty() {
        let _ = writeln!(out, "<div class=\"{class}\">\n{}</div>", figures.concat());
    }
}

fn provenance(out: &mut String, summary: &Summary) {
    let from = &summary.provenance;
    let join = |items: &[String]| {
        if items.is_empty() {
            DASH.to_owned()
        } else {
            escape(&items.join("; "))
        }
    };
    let _ = writeln!(
        out,
        "<section id=\"provenance\">\n<h2>Where the numbers come from</h2>\n<dl>\
         <dt>programs</dt><dd>{}</dd><dt>devices</dt><dd>{}</dd><dt>numerics</dt><dd>{}</dd><dt>hosts</dt><dd>{}</dd><dt>libtorch</dt><dd>{}</dd>\
         <dt>computing, all cells</dt><dd data-provenance=\"cell_seconds\">{}</dd>\
         <dt>again with</dt><dd><code>{}</code></dd></dl>\n</section>",
        join(&from.binaries),
        join(&from.devices),
        join(&from.numerics),
        join(&from.hosts),
        join(&from.libtorch),
        number::duration(from.cell_seconds),
        escape(&from.command)
    );
}

/// What each probe measures, once.
fn glossary(out: &mut String, summary: &Summary) {
    let mut seen = std::collections::BTreeSet::new();
    let probes: Vec<_> = summary
        .studies
        .iter()
        .flat_map(|study| &study.probes)
        .filter(|probe| seen.insert(&probe.id))
        .collect();
    if probes.is_empty() {
        return;
    }
    out.push_str("<section id=\"glossary\">\n<h2>Probes</h2>\n<dl>");
    for probe in probes {
        let _ = write!(
            out,
            "<dt id=\"probe-{}\">{}</dt><dd>{} <em>({})</em></dd>",
            slug(&probe.id),
            escape(&probe.title),
            escape(&probe.meaning),
            view::better_words(probe.better)
        );
    }
    out.push_str("</dl>\n</section>\n");
}

/// The first letter as a capital.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
