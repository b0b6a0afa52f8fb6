//! Curves over layers, noise levels, bands and training steps: one panel per curve.

use std::collections::BTreeSet;

use crate::report::figure::axis::{self, Plot, Scale, Warp};
use crate::report::figure::canvas::{Anchor, Canvas, open, polygon};
use crate::report::figure::{NARROW, figure, of_arm};
use crate::report::markup::data;
use crate::report::number;
use crate::report::view;
use crate::summary::{Arm, Block, Curve, CurvePoint, StudySummary};

/// The curve of the gradient's figure.
const GRADIENT: &str = "gradient_by_layer";
/// Drawn as ink in the panel of [`BANDS`].
const BAND_DATA: &str = "band_power_data";
/// Power of samples by band.
const BANDS: &str = "band_power";

/// Headings of the curves we know, in the order of the page; others follow under their own names.
const KNOWN: [(&str, &str); 14] = [
    ("loss", "Loss along training"),
    (
        "gradient_ratio",
        "Gradient of the first against the last layer along training",
    ),
    (
        "gradient_ratio_by_depth",
        "Gradient of the first against the last layer by depth, untrained",
    ),
    ("silent_by_depth", "Silent layers by depth, untrained"),
    ("silent_layers", "Silent layers along training"),
    ("score_error_by_sigma", "Score error by noise level"),
    ("denoising_error_by_sigma", "Denoising error by noise level"),
    (
        "score_error_by_density",
        "Score error by density of the data",
    ),
    ("score_error_by_mode", "Score error by mode"),
    ("score_error_by_band", "Score error by frequency band"),
    (BANDS, "Power by frequency band"),
    (
        "level_agreement",
        "Agreement of noise levels along training",
    ),
    (
        "level_confusion",
        "Worst conflict of noise levels along training",
    ),
    ("log_noise_scale", "Gradient noise scale along training"),
];

/// One drawn line.
type Line<'a> = (&'a Block, &'a Arm, &'a Curve);

/// Who gets a gradient: the norm by layer at initialisation.
pub(in crate::report) fn gradient(study: &StudySummary) -> Option<String> {
    let lines = lines(study, GRADIENT);
    let svg = panel(study, GRADIENT, &lines, None)?;
    let said: Vec<String> = lines
        .iter()
        .filter_map(|(_, arm, curve)| fall(arm, curve))
        .collect();
    let layers = lines
        .iter()
        .map(|(.., curve)| curve.points.len())
        .max()
        .unwrap_or(0);
    let caption = format!(
        "Gradient norm by layer before the first step: median over seeds, the range as a band, the first layer on \
         the left. Across {layers} layers, from the last to the first, it falls by so many decades: {}.",
        said.join("; ")
    );
    let tags = data(&[("study", &study.name), ("curve", GRADIENT)]);
    Some(figure("Who gets a gradient", &svg, &caption, &tags))
}

/// A panel for every other curve that some arm has.
pub(in crate::report) fn curves(study: &StudySummary) -> Vec<String> {
    let present: BTreeSet<&str> = view::drawn(study)
        .iter()
        .flat_map(|(_, arm)| arm.curves.keys())
        .map(String::as_str)
        .collect();
    let known = KNOWN
        .iter()
        .map(|(name, title)| (*name, (*title).to_owned()));
    let other = present.iter().copied().filter(|name| {
        ![GRADIENT, BAND_DATA].contains(name) && KNOWN.iter().all(|(known, _)| known != name)
    });
    let other = other.map(|name| (name, name.replace('_', " ")));
    known
        .chain(other)
        .filter_map(|(name, title)| one(study, name, &title))
        .collect()
}

fn one(study: &StudySummary, name: &str, title: &str) -> Option<String> {
    let lines = lines(study, name);
    let truth = if name == BANDS {
        self::lines(study, BAND_DATA)
            .first()
            .map(|(.., curve)| *curve)
    } else {
        None
    };
    let svg = panel(study, name, &lines, truth)?;
    let ends = lines
        .iter()
        .filter_map(|(_, arm, curve)| finite(curve).last().map(|point| (point, *arm)));
    let mut ends: Vec<(&CurvePoint, &Arm)> = ends.collect();
    ends.sort_by(|a, b| a.0.median.total_cmp(&b.0.median));
    let mut caption = String::from("Medians over seeds, the range as a band.");
    if let (Some(low), Some(high)) = (ends.first(), ends.last()) {
        let at = if low.0.label.is_empty() {
            number::position(low.0.x)
        } else {
            low.0.label.clone()
        };
        let x_title = &lines[0].2.x_title;
        caption += &format!(
            " At the right end ({x_title} {at}) the medians run from {} ({}) to {} ({}).",
            number::significant(low.0.median, 2),
            low.1.label,
            number::significant(high.0.median, 2),
            high.1.label
        );
    }
    if truth.is_some() {
        caption += " The thick line is the data.";
    }
    let tags = data(&[("study", &study.name), ("curve", name)]);
    Some(figure(title, &svg, &caption, &tags))
}

fn lines<'a>(study: &'a StudySummary, name: &str) -> Vec<Line<'a>> {
    let of = |(block, arm): (&'a Block, &'a Arm)| Some((block, arm, arm.curves.get(name)?));
    view::drawn(study)
        .into_iter()
        .filter_map(of)
        .filter(|(.., curve)| finite(curve).next().is_some())
        .collect()
}

fn finite(curve: &Curve) -> impl DoubleEndedIterator<Item = &CurvePoint> {
    curve
        .points
        .iter()
        .filter(|p| [p.x, p.median, p.min, p.max].iter().all(|v| v.is_finite()))
}

/// Axes, bands, lines.
fn panel(
    study: &StudySummary,
    name: &str,
    lines: &[Line<'_>],
    truth: Option<&Curve>,
) -> Option<String> {
    let first = lines.first()?.2;
    let all = || {
        lines
            .iter()
            .map(|(.., curve)| *curve)
            .chain(truth)
            .flat_map(finite)
    };
    let plot = Plot {
        left: 56.0,
        top: 30.0,
        right: NARROW - 10.0,
        bottom: 222.0,
    };
    let xs: Vec<f64> = all().map(|p| p.x).collect();
    let log_x = first.log_x && xs.iter().all(|x| 0.0 < *x);
    let x = Scale::cover(
        if log_x { Warp::Log } else { Warp::Linear },
        &xs,
        0.02,
        plot.left,
        plot.right,
    );
    let ys: Vec<f64> = all().flat_map(|p| [p.min, p.median, p.max]).collect();
    let warp = if first.y_title.contains("log") {
        Warp::Linear
    } else {
        Warp::fitting(&ys)
    };
    let y = Scale::cover(warp, &ys, 0.04, plot.bottom, plot.top);

    let mut canvas = Canvas::new(NARROW, 270.0);
    canvas.text("axis-title", Anchor::Start, (4.0, 16.0), &first.y_title, "");
    axis::rows(&mut canvas, plot, &y, 5);
    let named = first
        .points
        .iter()
        .all(|p| !p.label.is_empty() && p.label.chars().count() <= 6);
    let ticks = if named {
        first
            .points
            .iter()
            .map(|p| (x.at(p.x), p.label.clone()))
            .collect()
    } else {
        x.ticks(6)
    };
    axis::foot(&mut canvas, plot, ticks, &first.x_title);

    for (block, arm, curve) in lines
        .iter()
        .filter(|(.., curve)| finite(curve).any(|p| 1 < p.n))
    {
        let upper = finite(curve).map(|p| (x.at(p.x), y.at(p.max)));
        let lower = finite(curve).rev().map(|p| (x.at(p.x), y.at(p.min)));
        let edge: Vec<(f64, f64)> = upper.chain(lower).collect();
        canvas.path(
            &format!("band {}", view::kind(block, arm).class()),
            &polygon(&edge),
            "",
        );
    }
    if let Some(truth) = truth {
        let path: Vec<(f64, f64)> = finite(truth).map(|p| (x.at(p.x), y.at(p.median))).collect();
        canvas.path(
            "truth",
            &open(&path),
            &data(&[("study", &study.name), ("curve", BAND_DATA)]),
        );
    }
    for (block, arm, curve) in lines {
        let path: Vec<(f64, f64)> = finite(curve).map(|p| (x.at(p.x), y.at(p.median))).collect();
        let tags = of_arm(study, block, arm)
            .map(|(key, value)| data(&[(key, &value)]))
            .concat();
        let tags = tags + &data(&[("curve", name)]);
        canvas.path(
            &format!("ln {}", view::look(block, arm)),
            &open(&path),
            &tags,
        );
    }
    Some(canvas.finish(&format!(
        "{}: {} over {}",
        study.title, first.y_title, first.x_title
    )))
}

/// `plain, noise off 4.9`: decades from the last layer down to the first; negative where it rises.
fn fall(arm: &Arm, curve: &Curve) -> Option<String> {
    let (first, last) = (finite(curve).next()?, finite(curve).last()?);
    let decades = if curve.y_title.contains("log") {
        last.median - first.median
    } else if 0.0 < first.median && 0.0 < last.median {
        (last.median / first.median).log10()
    } else {
        return None;
    };
    Some(format!("{} {}", arm.label, number::fixed(decades, 1)))
}
