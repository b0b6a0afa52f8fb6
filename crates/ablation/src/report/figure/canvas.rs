//! An SVG under construction: shapes with classes, never colours.

use std::fmt::Write as _;

use crate::report::markup::escape;

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// The text begins at the point.
    Start,
    /// The text is centred on the point.
    Middle,
    /// The text ends at the point.
    End,
}

/// Shape of a mark; shape and colour say the same, so that either suffices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An arm of the 2×2 with a skip, and what is of no arm.
    Circle,
    /// An arm of the 2×2 without one.
    Triangle,
    /// The counter-arm.
    Diamond,
    /// The exact-score reference.
    Square,
    /// A seed that diverged.
    Cross,
}

/// A drawing with its size in user units.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    /// An empty drawing.
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = ((short(from.0), short(from.1)), (short(to.0), short(to.1)));
        let _ = write!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        );
    }

    /// A rectangle from its upper left corner.
    pub(super) fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64)) {
        let (x, y, w, h) = (short(at.0), short(at.1), short(size.0), short(size.1));
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"
        );
    }

    /// A rectangle with a tooltip; `attributes` are markup already.
    pub(super) fn tile(
        &mut self,
        class: &str,
        at: (f64, f64),
        size: (f64, f64),
        attributes: &str,
        title: &str,
    ) {
        let (x, y, w, h) = (short(at.0), short(at.1), short(size.0), short(size.1));
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{attributes}>"
        );
        if !title.is_empty() {
            let _ = write!(self.body, "<title>{}</title>", escape(title));
        }
        self.body.push_str("</rect>");
    }

    /// A text; `data` are attributes from [`crate::report::markup::data`].
    pub(super) fn text(
        &mut self,
        class: &str,
        anchor: Anchor,
        at: (f64, f64),
        text: &str,
        data: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y, text) = (short(at.0), short(at.1), escape(text));
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}{data}>{text}</text>"
        );
    }

    /// A path with ready path data.
    pub(super) fn path(&mut self, class: &str, d: &str, data: &str) {
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{d}\"{data}/>");
    }

    /// A mark with a tooltip.
    pub(super) fn mark(
        &mut self,
        shape: Shape,
        class: &str,
        at: (f64, f64),
        size: f64,
        title: &str,
        data: &str,
    ) {
        let (x, y) = at;
        let s = size;
        let d = match shape {
            Shape::Circle => {
                let (cx, cy, r, title) = (short(x), short(y), short(s), escape(title));
                let _ = write!(
                    self.body,
                    "<circle class=\"{class}\" cx=\"{cx}\" cy=\"{cy}\" r=\"{r}\"{data}><title>{title}</title></circle>"
                );
                return;
            }
            // As large to the eye as a circle.
            Shape::Triangle => polygon(&[
                (x, y - 1.2 * s),
                (x + 1.1 * s, y + 0.8 * s),
                (x - 1.1 * s, y + 0.8 * s),
            ]),
            Shape::Diamond => polygon(&[(x, y - s), (x + s, y), (x, y + s), (x - s, y)]),
            Shape::Square => polygon(&[
                (x - s, y - s),
                (x + s, y - s),
                (x + s, y + s),
                (x - s, y + s),
            ]),
            Shape::Cross => {
                format!(
                    "{}{}",
                    open(&[(x - s, y - s), (x + s, y + s)]),
                    open(&[(x - s, y + s), (x + s, y - s)])
                )
            }
        };
        let title = escape(title);
        let _ = write!(
            self.body,
            "<path class=\"{class}\" d=\"{d}\"{data}><title>{title}</title></path>"
        );
    }

    /// A bitmap as a data URI.
    pub(super) fn image(&mut self, at: (f64, f64), size: (f64, f64), uri: &str) {
        let (x, y, w, h) = (short(at.0), short(at.1), short(size.0), short(size.1));
        let _ = write!(
            self.body,
            "<image class=\"pixels\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" href=\"{uri}\"/>"
        );
    }

    /// The `<svg>` element; `label` is what a screen reader says.
    pub(super) fn finish(self, label: &str) -> String {
        let (w, h, label) = (short(self.width), short(self.height), escape(label));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-label=\"{label}\">{}</svg>",
            self.body
        )
    }
}

/// Path data of an open line.
pub(super) fn open(points: &[(f64, f64)]) -> String {
    let mut d = String::new();
    for (place, (x, y)) in points.iter().enumerate() {
        let _ = write!(
            d,
            "{}{} {}",
            if place == 0 { 'M' } else { 'L' },
            short(*x),
            short(*y)
        );
    }
    d
}

/// Path data of a closed line.
pub(super) fn polygon(points: &[(f64, f64)]) -> String {
    open(points) + "Z"
}

/// A coordinate with at most one decimal.
pub(super) fn short(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
