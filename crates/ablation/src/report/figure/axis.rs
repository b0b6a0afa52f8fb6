//! Scales and their ticks.

use crate::report::figure::canvas::{Anchor, Canvas};
use crate::report::number;

/// How numbers are laid along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Warp {
    /// x.
    Linear,
    /// log10 x.
    Log,
    /// sign(x) log10(1 + |x|): for numbers of either sign that span many decades.
    Symlog,
}

impl Warp {
    /// The warp in which `values` can be told apart.
    pub(super) fn fitting(values: &[f64]) -> Self {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if 0.0 < low && 30.0 < high / low {
            Self::Log
        } else if low <= 0.0 && 1000.0 < high.max(-low) {
            Self::Symlog
        } else {
            Self::Linear
        }
    }

    fn forward(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Log => x.log10(),
            Self::Symlog => x.signum() * x.abs().ln_1p() / std::f64::consts::LN_10,
        }
    }
}

/// Numbers to positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    warp: Warp,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Covers all finite `values` between the positions `from` (small) and `to` (large), with a margin as a
    /// fraction of the range.
    pub(super) fn cover(warp: Warp, values: &[f64], margin: f64, from: f64, to: f64) -> Self {
        let warped = || {
            values
                .iter()
                .map(|x| warp.forward(*x))
                .filter(|x| x.is_finite())
        };
        let (mut low, mut high) = (
            warped().fold(f64::INFINITY, f64::min),
            warped().fold(f64::NEG_INFINITY, f64::max),
        );
        if high < low {
            (low, high) = (0.0, 1.0);
        }
        let spare = if low < high {
            margin * (high - low)
        } else {
            0.5_f64.max(low.abs() * 0.1)
        };
        Self {
            warp,
            low: low - spare,
            high: high + spare,
            from,
            to,
        }
    }

    /// Position of x, kept inside the axis.
    pub(super) fn at(&self, x: f64) -> f64 {
        let part = (self.warp.forward(x) - self.low) / (self.high - self.low);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Positions and labels of about `count` round numbers.
    pub(super) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let wanted = count.max(2) as f64;
        match self.warp {
            Warp::Linear => {
                let raw = (self.high - self.low) / wanted;
                let unit = 10_f64.powf(raw.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .map(|k| k * unit)
                    .into_iter()
                    .find(|s| raw <= *s)
                    .unwrap_or(unit);
                let places = usize::try_from(-(step.log10() + 1e-9).floor() as i64).unwrap_or(0);
                self.multiples(step)
                    .map(|x| (self.at(x), number::fixed(x, places)))
                    .collect()
            }
            Warp::Log => {
                let step = ((self.high - self.low) / wanted).ceil().max(1.0);
                let mut marks: Vec<f64> = self.multiples(step).map(|e| 10_f64.powf(e)).collect();
                if self.high - self.low < 2.0 {
                    marks.extend(
                        self.multiples_around()
                            .flat_map(|e| [2.0, 5.0].map(|k| k * 10_f64.powf(e)))
                            .filter(|x| self.holds(*x)),
                    );
                }
                marks.into_iter().map(|x| (self.at(x), power(x))).collect()
            }
            Warp::Symlog => {
                let largest = self.high.abs().max(self.low.abs());
                let step = (2.0 * largest / wanted).ceil().max(1.0) as i32;
                let powers = (1..=largest.ceil() as i32).filter(|e| e % step == 0);
                let mut marks: Vec<f64> = powers
                    .flat_map(|e| [10_f64.powi(e), -(10_f64.powi(e))])
                    .collect();
                marks.push(0.0);
                marks
                    .into_iter()
                    .filter(|x| self.holds(*x))
                    .map(|x| (self.at(x), power(x)))
                    .collect()
            }
        }
    }

    fn holds(&self, x: f64) -> bool {
        (self.low..=self.high).contains(&self.warp.forward(x))
    }

    fn multiples(&self, step: f64) -> impl Iterator<Item = f64> + use<> {
        let (first, last) = (
            (self.low / step).ceil() as i64,
            (self.high / step).floor() as i64,
        );
        (first..=last).map(move |k| k as f64 * step)
    }

    fn multiples_around(&self) -> impl Iterator<Item = f64> + use<> {
        (self.low.floor() as i64..=self.high.ceil() as i64).map(|k| k as f64)
    }
}

/// The box in which a figure is drawn, in user units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    /// Left edge.
    pub(super) left: f64,
    /// Upper edge.
    pub(super) top: f64,
    /// Right edge.
    pub(super) right: f64,
    /// Lower edge.
    pub(super) bottom: f64,
}

/// Horizontal grid lines with labels on the left.
pub(super) fn rows(canvas: &mut Canvas, plot: Plot, y: &Scale, count: usize) {
    for (at, label) in y.ticks(count) {
        canvas.line("grid", (plot.left, at), (plot.right, at));
        canvas.text("tick", Anchor::End, (plot.left - 6.0, at + 4.0), &label, "");
    }
}

/// Labels below, each with a short stroke; labels that would touch the one before are left out.
pub(super) fn foot(canvas: &mut Canvas, plot: Plot, mut ticks: Vec<(f64, String)>, title: &str) {
    ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
    canvas.line("axis", (plot.left, plot.bottom), (plot.right, plot.bottom));
    let mut free = f64::NEG_INFINITY;
    for (at, label) in ticks {
        canvas.line("axis", (at, plot.bottom), (at, plot.bottom + 4.0));
        let half = 3.4 * label.chars().count() as f64;
        if free < at - half {
            canvas.text("tick", Anchor::Middle, (at, plot.bottom + 17.0), &label, "");
            free = at + half + 6.0;
        }
    }
    canvas.text(
        "axis-title",
        Anchor::Middle,
        ((plot.left + plot.right) / 2.0, plot.bottom + 34.0),
        title,
        "",
    );
}

/// A number on a logarithmic axis: plain where short, else a power of ten.
fn power(x: f64) -> String {
    if x == 0.0 || (0.01..=1000.0).contains(&x.abs()) {
        return number::minus(&format!("{x}"));
    }
    let exponent = x.abs().log10().round() as i32;
    let head = match (x.abs() / 10_f64.powi(exponent)).round() as i64 {
        1 => String::new(),
        k => format!("{k}·"),
    };
    let raised: String = exponent
        .to_string()
        .chars()
        .map(|c| {
            c.to_digit(10).map_or('⁻', |d| {
                ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][d as usize]
            })
        })
        .collect();
    format!("{}{head}10{raised}", if x < 0.0 { "−" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, count: usize) -> Vec<String> {
        scale
            .ticks(count)
            .into_iter()
            .map(|(_, label)| label)
            .collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        let scale = Scale::cover(Warp::Linear, &[-1.9, 0.4], 0.0, 0.0, 100.0);
        assert_eq!(labels(scale, 5), ["−1.5", "−1.0", "−0.5", "0.0"]);
        assert!((scale.at(0.4) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn logarithmic_ticks_are_powers() {
        let scale = Scale::cover(Warp::Log, &[1e-6, 1.0], 0.0, 100.0, 0.0);
        assert_eq!(labels(scale, 3), ["10⁻⁶", "10⁻⁴", "0.01", "1"]);
        assert!(scale.at(1.0).abs() < 1e-9);
    }

    #[test]
    fn symlog_ticks_have_both_signs() {
        let scale = Scale::cover(Warp::Symlog, &[-1e5, 5.0], 0.0, 0.0, 1.0);
        let shown = labels(scale, 4);
        assert!(
            shown.contains(&"0".to_owned()) && shown.iter().any(|l| l.starts_with("−10")),
            "{shown:?}"
        );
    }

    #[test]
    fn an_axis_of_one_value_or_none_has_width() {
        for values in [&[3.0][..], &[], &[f64::NAN]] {
            let scale = Scale::cover(Warp::Linear, values, 0.05, 0.0, 10.0);
            assert!(scale.at(3.0).is_finite());
            assert!(scale.low < scale.high);
        }
    }

    #[test]
    fn warps_fit_the_numbers() {
        assert_eq!(Warp::fitting(&[0.1, 0.5]), Warp::Linear);
        assert_eq!(Warp::fitting(&[0.001, 0.5]), Warp::Log);
        assert_eq!(Warp::fitting(&[-1e5, 2.0]), Warp::Symlog);
        assert_eq!(Warp::fitting(&[-4.0, 2.0]), Warp::Linear);
    }
}
