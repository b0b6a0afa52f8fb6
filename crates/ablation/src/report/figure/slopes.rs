//! The 2×2 seed by seed: pairing made visible.

use crate::report::figure::axis::{self, Plot, Scale, Warp};
use crate::report::figure::canvas::{Canvas, Shape, open};
use crate::report::figure::{WIDTH, figure, of_arm, shape};
use crate::report::markup::data;
use crate::report::number;
use crate::report::view::{self, Kind};
use crate::summary::{Arm, Better, Block, StudySummary};

/// Positions of noise off and noise on.
const OFF_ON: [f64; 2] = [170.0, 320.0];

/// One line per seed and skip level from noise off to noise on, what stands beside as separate marks.
pub(in crate::report) fn slopes(study: &StudySummary) -> Option<String> {
    let main = view::main_block(study)?;
    let probe = study.primary.as_str();
    let arms: Vec<(&Block, &Arm)> = view::drawn(study)
        .into_iter()
        .filter(|(_, arm)| arm.values.contains_key(probe))
        .collect();
    let mut values: Vec<f64> = arms
        .iter()
        .flat_map(|(_, arm)| arm.values[probe].seeds.values().flatten())
        .copied()
        .filter(|x| x.is_finite())
        .collect();
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);

    let plot = Plot {
        left: 52.0,
        top: 14.0,
        right: WIDTH - 8.0,
        bottom: 296.0,
    };
    let y = Scale::cover(Warp::fitting(&values), &values, 0.06, plot.bottom, plot.top);
    let mut canvas = Canvas::new(WIDTH, 346.0);
    axis::rows(&mut canvas, plot, &y, 6);
    let ticks = OFF_ON
        .iter()
        .zip(["noise off", "noise on"])
        .map(|(x, word)| (*x, word.to_owned()))
        .collect();
    let title = view::title(study, probe);
    let better = view::better(study, probe);
    axis::foot(
        &mut canvas,
        plot,
        ticks,
        &format!("{title} ({})", view::better_words(better)),
    );

    for skip in [false, true] {
        lines(&mut canvas, study, main, skip, &y);
    }
    let worst = if better == Better::Higher {
        plot.bottom - 6.0
    } else {
        plot.top + 6.0
    };
    for (block, arm) in &arms {
        marks(&mut canvas, study, block, arm, &y, worst);
    }
    let caption = caption(study, main);
    let tags = data(&[("study", &study.name), ("probe", probe)]);
    Some(figure(
        "Seed by seed",
        &canvas.finish(&caption),
        &caption,
        &tags,
    ))
}

/// The slope lines of one skip level.
fn lines(canvas: &mut Canvas, study: &StudySummary, main: &Block, skip: bool, y: &Scale) {
    let (Some(off), Some(on)) = (
        view::quarter(main, skip, false),
        view::quarter(main, skip, true),
    ) else {
        return;
    };
    let (Some(from), Some(to)) = (
        off.values.get(&study.primary),
        on.values.get(&study.primary),
    ) else {
        return;
    };
    let class = format!("slope {}", view::kind(main, off).class());
    for (seed, value) in &from.seeds {
        if let (Some(a), Some(b)) = (*value, to.seeds.get(seed).copied().flatten()) {
            let seed = seed.to_string();
            let tags = data(&[
                ("study", &study.name),
                ("probe", &study.primary),
                ("seed", &seed),
            ]);
            canvas.path(
                &class,
                &open(&[(OFF_ON[0], y.at(a)), (OFF_ON[1], y.at(b))]),
                &tags,
            );
        }
    }
}

/// The seeds of one arm, its median, and a cross on each seed that diverged.
fn marks(
    canvas: &mut Canvas,
    study: &StudySummary,
    block: &Block,
    arm: &Arm,
    y: &Scale,
    worst: f64,
) {
    let noise = view::on(arm, "noise") == Some(true);
    let kind = view::kind(block, arm);
    // What stands beside the 2×2 stands outside it: to the left without noise, to the right with it.
    let away = match kind {
        Kind::Plain | Kind::Skip => 0.0,
        Kind::Counter | Kind::Copy => 48.0,
        Kind::Reference => 86.0,
    };
    let x = if noise {
        OFF_ON[1] + away
    } else {
        OFF_ON[0] - away
    };
    let spread = &arm.values[&study.primary];
    let lost = &arm.diverged_seeds;
    let [study_tag, block_tag, arm_tag] = of_arm(study, block, arm);
    for (seed, value) in &spread.seeds {
        let number = seed.to_string();
        let tags = data(&[
            (study_tag.0, &study_tag.1),
            (block_tag.0, &block_tag.1),
            (arm_tag.0, &arm_tag.1),
            ("probe", &study.primary),
            ("seed", &number),
        ]);
        let at = value.filter(|v| v.is_finite()).map(|v| (x, y.at(v)));
        if let (Some(at), Some(value)) = (at, value) {
            let title = format!(
                "{}, seed {seed}: {}",
                arm.label,
                number::significant(*value, 3)
            );
            canvas.mark(
                shape(kind),
                &format!("dot small {}", kind.class()),
                at,
                3.4,
                &title,
                &tags,
            );
        }
        if lost.contains(seed) {
            let note = if at.is_some() {
                "diverged"
            } else {
                "diverged, no number"
            };
            let title = format!("{}, seed {seed}: {note}", arm.label);
            canvas.mark(
                Shape::Cross,
                "lost",
                at.unwrap_or((x, worst)),
                6.0,
                &title,
                &tags,
            );
        }
    }
    if let Some(median) = spread.median.filter(|m| m.is_finite()) {
        let class = format!("median {}", kind.class());
        canvas.line(&class, (x - 13.0, y.at(median)), (x + 13.0, y.at(median)));
    }
}

fn caption(study: &StudySummary, main: &Block) -> String {
    let median = |skip, noise| {
        let spread = view::quarter(main, skip, noise)?
            .values
            .get(&study.primary)?;
        spread.median.map(|_| number::median(spread))
    };
    let medians: Vec<String> = view::QUARTERS
        .iter()
        .filter_map(|&(skip, noise)| {
            Some(format!(
                "{} {}",
                view::quarter(main, skip, noise)?.label,
                median(skip, noise)?
            ))
        })
        .collect();
    let lost: u32 = view::drawn(study).iter().map(|(_, arm)| arm.diverged).sum();
    let lost = match lost {
        0 => "No cell drawn here diverged.".to_owned(),
        1 => "The cross is a cell that diverged.".to_owned(),
        n => format!("Crosses are the {n} cells that diverged."),
    };
    format!(
        "Each line is one seed, the same draws at both ends, dotted without a skip; short bars are medians ({}). \
         What was not part of the 2×2 stands outside the lines. {lost}",
        medians.join("; ")
    )
}
