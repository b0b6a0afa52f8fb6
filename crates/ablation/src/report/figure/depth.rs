//! The effects against depth: seeds as thin lines, means, and a band that holds at all depths together.

use crate::report::figure::axis::{self, Plot, Scale, Warp};
use crate::report::figure::canvas::{Anchor, Canvas, Shape, open, polygon};
use crate::report::figure::{NARROW, figure};
use crate::report::markup::data;
use crate::report::{number, view};
use crate::summary::{DepthRow, StudySummary};

/// One panel for each effect, where the study has several depths.
pub(in crate::report) fn depths(study: &StudySummary) -> Vec<String> {
    study.depths.iter().map(|row| panel(study, row)).collect()
}

fn panel(study: &StudySummary, row: &DepthRow) -> String {
    let plot = Plot {
        left: 56.0,
        top: 30.0,
        right: NARROW - 10.0,
        bottom: 222.0,
    };
    let depths: Vec<f64> = row.points.iter().map(|p| f64::from(p.depth)).collect();
    let x = Scale::cover(Warp::Log, &depths, 0.12, plot.left, plot.right);
    let floor = view::noise_floor(study, &study.primary)
        .and_then(|row| row.numbers.low.zip(row.numbers.high));
    let mut values = vec![0.0];
    values.extend(floor.map_or([0.0; 2], |(low, high)| [low, high]));
    for point in &row.points {
        values.extend(point.seeds.values());
        values.extend(
            [Some(point.estimate), point.low, point.high]
                .into_iter()
                .flatten(),
        );
    }
    let y = Scale::cover(Warp::fitting(&values), &values, 0.06, plot.bottom, plot.top);

    let mut canvas = Canvas::new(NARROW, 270.0);
    let title = format!("change of {}", view::title(study, &study.primary));
    canvas.text("axis-title", Anchor::Start, (4.0, 16.0), &title, "");
    if let Some((low, high)) = floor {
        let size = (plot.right - plot.left, y.at(low) - y.at(high));
        canvas.rect("floor", (plot.left, y.at(high)), size);
    }
    axis::rows(&mut canvas, plot, &y, 5);
    canvas.line("zero", (plot.left, y.at(0.0)), (plot.right, y.at(0.0)));
    let ticks = depths
        .iter()
        .map(|depth| (x.at(*depth), number::position(*depth)));
    axis::foot(&mut canvas, plot, ticks.collect(), "residual blocks");

    let at = |place: usize, value: f64| (x.at(depths[place]), y.at(value));
    let edge = |of: fn(&crate::summary::DepthPoint) -> Option<f64>| -> Option<Vec<(f64, f64)>> {
        let points = row.points.iter().enumerate();
        points
            .map(|(place, point)| Some(at(place, of(point)?)))
            .collect()
    };
    let tags = [
        ("study", study.name.as_str()),
        ("probe", &study.primary),
        ("effect", &row.effect),
    ];
    if let (Some(upper), Some(mut lower)) = (edge(|p| p.high), edge(|p| p.low)) {
        lower.reverse();
        canvas.path("together", &polygon(&[upper, lower].concat()), &data(&tags));
    }
    for seed in row
        .points
        .first()
        .into_iter()
        .flat_map(|point| point.seeds.keys())
    {
        let line: Vec<(f64, f64)> = row
            .points
            .iter()
            .enumerate()
            .filter_map(|(place, point)| Some(at(place, *point.seeds.get(seed)?)))
            .collect();
        let seed = seed.to_string();
        canvas.path(
            "of-seed",
            &open(&line),
            &data(&[tags[0], tags[1], tags[2], ("seed", &seed)]),
        );
    }
    let means: Vec<(f64, f64)> = (0..row.points.len())
        .map(|i| at(i, row.points[i].estimate))
        .collect();
    canvas.path("mean", &open(&means), "");
    for (point, place) in row.points.iter().zip(means) {
        let depth = point.depth.to_string();
        let title = format!("{} blocks: {}", point.depth, number::band(point));
        let tags = data(&[tags[0], tags[1], tags[2], ("depth", &depth)]);
        canvas.mark(Shape::Circle, "estimate", place, 4.5, &title, &tags);
    }
    let caption = caption(row, floor.is_some());
    let heading = format!("By depth: {}", view::effect_words(&row.effect));
    figure(&heading, &canvas.finish(&caption), &caption, &data(&tags))
}

fn caption(row: &DepthRow, has_floor: bool) -> String {
    let seeds = row.n;
    let band = match row.points.first().and_then(|point| point.low) {
        Some(_) => {
            format!("The band holds at all depths together with 95 % (max-T over {seeds} seeds).")
        }
        None => format!(
            "{seeds} seeds are complete at every depth: too few for a band that holds at all of them together."
        ),
    };
    let floor = if has_floor {
        " The grey strip is the A/A interval."
    } else {
        ""
    };
    let slope = number::slope(row).map_or_else(String::new, |slope| {
        format!(" Per doubling of the depth: {slope} (95 %).")
    });
    format!("Thin lines are seeds, dots their mean. {band}{floor}{slope}")
}
