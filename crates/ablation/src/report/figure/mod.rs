//! Figures as SVG inside an HTML `<figure>`; ink and colours come from the style sheet.
//!
//! Everywhere the same code: colour says skip off, skip on, counter-arm or exact score; a dashed line says
//! noise off and a solid one noise on; the shape of a mark, and the width of a line, repeat the colour, for prints
//! without any.

mod axis;
mod canvas;
mod curves;
mod depth;
mod forest;
mod map;
mod parts;
mod samples;
mod slopes;

use std::fmt::Write as _;

use crate::report::figure::canvas::{Canvas, Shape};
use crate::report::markup::escape;
use crate::report::view::{self, Kind};
use crate::summary::{Arm, Block, StudySummary};

pub(super) use self::curves::{curves, gradient};
pub(super) use self::depth::depths;
pub(super) use self::forest::forest;
pub(super) use self::map::{Group, LEVELS, Ramp, Tile, gsnr, lines, map, panel};
pub(super) use self::parts::{part_lines, parts};
pub(super) use self::samples::samples;
pub(super) use self::slopes::slopes;

/// Width of a panel in user units; small enough that text stays readable on a phone.
const WIDTH: f64 = 440.0;
/// Width of a curve's panel, of which three stand side by side.
const NARROW: f64 = 350.0;

/// `<figure>` with a heading, a drawing and a caption. `body` and `tags` are markup already; `tags` say what
/// the numbers of the caption are of.
fn figure(title: &str, body: &str, caption: &str, tags: &str) -> String {
    format!(
        "<figure{tags}><h4>{}</h4>{body}<figcaption>{}</figcaption></figure>\n",
        escape(title),
        escape(caption)
    )
}

/// What colours, lines and marks of a study's figures mean.
pub(super) fn legend(study: &StudySummary) -> String {
    let mut out = String::from("<ul class=\"legend\">");
    for (block, arm) in view::drawn(study) {
        let look = view::look(block, arm);
        let mut canvas = Canvas::new(34.0, 14.0);
        canvas.line(&format!("ln {look}"), (1.0, 7.0), (33.0, 7.0));
        canvas.mark(
            shape(view::kind(block, arm)),
            &format!("dot {look}"),
            (17.0, 7.0),
            4.5,
            &arm.label,
            "",
        );
        let _ = write!(
            out,
            "<li>{} {}</li>",
            canvas.finish(&arm.label),
            escape(&arm.label)
        );
    }
    out + "</ul>\n"
}

/// The mark of a kind of arm.
fn shape(kind: Kind) -> Shape {
    match kind {
        Kind::Plain => Shape::Triangle,
        Kind::Skip => Shape::Circle,
        Kind::Counter | Kind::Copy => Shape::Diamond,
        Kind::Reference => Shape::Square,
    }
}

/// Attributes of everything drawn of an arm.
fn of_arm(study: &StudySummary, block: &Block, arm: &Arm) -> [(&'static str, String); 3] {
    [
        ("study", study.name.clone()),
        ("block", block.name.clone()),
        ("arm", arm.label.clone()),
    ]
}
