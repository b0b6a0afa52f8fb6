//! The answer at a glance: effects with intervals, seeds, zero and the noise floor.

use crate::report::figure::axis::{self, Plot, Scale, Warp};
use crate::report::figure::canvas::{Anchor, Canvas, Shape};
use crate::report::figure::{WIDTH, figure};
use crate::report::markup::data;
use crate::report::number;
use crate::report::view::{self, Side};
use crate::summary::{Better, EffectRow, Role, StudySummary};

/// Height of one effect: a line of text above its interval.
const ROW: f64 = 42.0;

/// The effects of the 2×2 on the primary probe; none if there is no effect with an estimate.
pub(in crate::report) fn forest(study: &StudySummary) -> Option<String> {
    let block = view::main_block(study)?;
    let of = |name| view::effect(study, &block.name, &study.primary, name);
    let rows: Vec<(&EffectRow, &str)> = view::EFFECTS
        .iter()
        .filter_map(|(name, words)| Some((of(name)?, *words)))
        .filter(|(row, _)| row.numbers.estimate.is_some())
        .collect();
    if rows.is_empty() {
        return None;
    }
    let floor = noise_floor(study);

    let ends = |row: &EffectRow| {
        [row.numbers.estimate, row.numbers.low, row.numbers.high]
            .into_iter()
            .flatten()
            .collect()
    };
    let mut values: Vec<f64> = rows
        .iter()
        .flat_map(|(row, _)| -> Vec<f64> { ends(row) })
        .collect();
    values.extend(rows.iter().flat_map(|(row, _)| row.numbers.seeds.values()));
    values.extend(floor.map_or([0.0, 0.0], |(low, high)| [low, high]));
    values.push(0.0);

    let height = 34.0 + ROW * rows.len() as f64 + 44.0;
    let plot = Plot {
        left: 14.0,
        top: 30.0,
        right: WIDTH - 14.0,
        bottom: height - 44.0,
    };
    let x = Scale::cover(Warp::Linear, &values, 0.04, plot.left, plot.right);
    let mut canvas = Canvas::new(WIDTH, height);

    // Ink behind the intervals only, so that nothing crosses the words.
    for place in 0..rows.len() {
        let (top, bottom) = strip(plot, place);
        if let Some((low, high)) = floor {
            let size = (x.at(high) - x.at(low), bottom - top);
            canvas.rect("floor", (x.at(low), top), size);
        }
        for (at, _) in x.ticks(6) {
            canvas.line("grid", (at, top), (at, bottom));
        }
        canvas.line("zero", (x.at(0.0), top), (x.at(0.0), bottom));
    }
    direction(&mut canvas, plot, view::better(study, &study.primary));
    for (place, (row, words)) in rows.iter().enumerate() {
        effect(
            &mut canvas,
            study,
            row,
            words,
            &x,
            plot.top + ROW * place as f64 + 4.0,
        );
    }
    let title = view::title(study, &study.primary);
    axis::foot(&mut canvas, plot, x.ticks(6), &format!("change of {title}"));

    let caption = caption(study, &rows, floor);
    let tags = data(&[("study", &study.name), ("probe", &study.primary)]);
    Some(figure(
        "The answer at a glance",
        &canvas.finish(&caption),
        &caption,
        &tags,
    ))
}

/// Upper and lower edge of the part of a row in which its interval is drawn.
fn strip(plot: Plot, place: usize) -> (f64, f64) {
    let top = plot.top + ROW * place as f64;
    (top + 19.0, top + ROW - 1.0)
}

/// One row: words and numbers above, then seeds, interval and estimate.
fn effect(
    canvas: &mut Canvas,
    study: &StudySummary,
    row: &EffectRow,
    words: &str,
    x: &Scale,
    top: f64,
) {
    let shown = number::effect(&row.numbers);
    let whole = shown.whole();
    let tags = [
        ("study", study.name.as_str()),
        ("probe", &row.probe),
        ("effect", &row.effect),
    ];
    let line = top + 26.0;
    let class = match view::side(view::better(study, &row.probe), &row.numbers) {
        Side::Better => "better",
        Side::Worse => "worse",
        Side::Unclear => "unclear",
    };
    canvas.text("label", Anchor::Start, (14.0, top + 11.0), words, "");
    canvas.text(
        "label number",
        Anchor::End,
        (WIDTH - 14.0, top + 11.0),
        &whole,
        &data(&tags),
    );
    if let (Some(low), Some(high)) = (row.numbers.low, row.numbers.high) {
        canvas.line(
            &format!("interval {class}"),
            (x.at(low), line),
            (x.at(high), line),
        );
    }
    for (seed, value) in &row.numbers.seeds {
        let seed = seed.to_string();
        let title = format!("seed {seed}: {}", number::significant(*value, 3));
        let tags = data(&[tags[0], tags[1], tags[2], ("seed", &seed)]);
        canvas.mark(
            Shape::Circle,
            "seed",
            (x.at(*value), line),
            2.8,
            &title,
            &tags,
        );
    }
    if let Some(estimate) = row.numbers.estimate {
        let title = format!("{words}: {whole}, n = {}", row.numbers.n);
        canvas.mark(
            Shape::Circle,
            &format!("estimate {class}"),
            (x.at(estimate), line),
            5.5,
            &title,
            &data(&tags),
        );
    }
}

/// The arrow that says which side is better.
fn direction(canvas: &mut Canvas, plot: Plot, better: Better) {
    match better {
        Better::Lower => canvas.text("arrow", Anchor::Start, (plot.left, 18.0), "← better", ""),
        Better::Higher => canvas.text("arrow", Anchor::End, (plot.right, 18.0), "better →", ""),
        Better::Descriptive => {}
    }
}

/// Interval of the A/A effect on the primary probe.
fn noise_floor(study: &StudySummary) -> Option<(f64, f64)> {
    let row = view::noise_floor(study, &study.primary)?;
    row.numbers.low.zip(row.numbers.high)
}

fn caption(study: &StudySummary, rows: &[(&EffectRow, &str)], floor: Option<(f64, f64)>) -> String {
    let better = view::better(study, &study.primary);
    let clear = rows.iter().filter(|(row, _)| {
        matches!((row.numbers.low, row.numbers.high), (Some(low), Some(high)) if 0.0 < low || high < 0.0)
    });
    let clear = clear.count();
    let band = if floor.is_some() {
        " The grey band is the A/A interval: what other random draws alone can do."
    } else if study.blocks.iter().any(|block| block.role == Role::AA) {
        " The A/A arm has no interval yet."
    } else {
        " This study has no A/A arm, so no noise floor is drawn."
    };
    format!(
        "Effects on {} ({}): the large dot is the mean over seeds, the bar its 95 % interval, each small dot one seed. \
         {clear} of {} intervals exclude zero.{band}",
        view::title(study, &study.primary),
        view::better_words(better),
        rows.len()
    )
}
