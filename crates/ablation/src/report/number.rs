//! One rule of rounding for every rendering.
//!
//! An effect is rounded to two significant digits of its interval's half-width: more digits would pretend
//! to a precision that the seeds do not give.

use crate::summary::{DepthPoint, DepthRow, EffectNumbers, Spread, VerdictRow};

/// Shown where a number is undefined.
pub(super) const DASH: &str = "–";

/// An effect's numbers, rounded together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EffectText {
    /// Mean effect.
    pub(super) estimate: String,
    /// `[low, high]` of the paired t interval.
    pub(super) interval: String,
    /// `[low, high]` of the bootstrap-t interval.
    pub(super) bootstrap: String,
}

impl EffectText {
    /// `−1.26 [−1.81, −0.71]`.
    pub(super) fn whole(&self) -> String {
        if self.estimate == DASH {
            return DASH.to_owned();
        }
        format!("{} {}", self.estimate, self.interval)
    }
}

/// Decimals that show two significant digits of `half_width`; none if there is no width.
pub(super) fn decimals(half_width: f64) -> Option<usize> {
    if !half_width.is_finite() || half_width <= 0.0 {
        return None;
    }
    Some(usize::try_from(1 - exponent(half_width, 2)).unwrap_or(0))
}

/// `x` with a fixed number of decimals; `1.2e−9` where that would be unreadable.
pub(super) fn fixed(x: f64, decimals: usize) -> String {
    if !x.is_finite() {
        return DASH.to_owned();
    }
    if 6 < decimals || 1e7 <= x.abs() {
        return minus(&if x == 0.0 {
            "0".to_owned()
        } else {
            format!("{x:.2e}")
        });
    }
    let text = format!("{x:.decimals$}");
    // −0.00 says nothing that 0.00 does not.
    let zero = text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
    minus(if zero {
        text.trim_start_matches('-')
    } else {
        &text
    })
}

/// `x` with so many significant digits.
pub(crate) fn significant(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return DASH.to_owned();
    }
    if x == 0.0 {
        return "0".to_owned();
    }
    fixed(x, decimals_for(x, digits))
}

/// An abscissa: whole numbers as such, others with three significant digits.
pub(super) fn position(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() < 1e7 {
        fixed(x, 0)
    } else {
        significant(x, 3)
    }
}

/// Estimate and intervals of an effect.
pub(super) fn effect(numbers: &EffectNumbers) -> EffectText {
    let places = match (numbers.low, numbers.high) {
        (Some(low), Some(high)) => decimals((high - low) / 2.0),
        _ => None,
    };
    let show = |x: f64| places.map_or_else(|| significant(x, 3), |d| fixed(x, d));
    let pair = |low: Option<f64>, high: Option<f64>| match (low, high) {
        (Some(low), Some(high)) => format!("[{}, {}]", show(low), show(high)),
        _ => format!("[{DASH}]"),
    };
    EffectText {
        estimate: numbers.estimate.map_or_else(|| DASH.to_owned(), show),
        interval: pair(numbers.low, numbers.high),
        bootstrap: pair(numbers.bootstrap_low, numbers.bootstrap_high),
    }
}

/// `98.3 % [−1.92, −0.60]`: the interval that decides, rounded as the effect is.
pub(super) fn deciding(row: &VerdictRow) -> Option<String> {
    let (confidence, low, high) = (row.confidence?, row.deciding_low?, row.deciding_high?);
    // Where nothing is shared it is the interval that is shown anyway.
    if (confidence - 0.95).abs() < 1e-9 {
        return None;
    }
    let places = match (row.numbers.low, row.numbers.high) {
        (Some(low), Some(high)) => decimals((high - low) / 2.0),
        _ => None,
    };
    let show = |x: f64| places.map_or_else(|| significant(x, 3), |d| fixed(x, d));
    Some(format!(
        "{} [{}, {}]",
        percent(confidence),
        show(low),
        show(high)
    ))
}

/// `0.06 [0.00, 0.19]`: P(A > B) with its interval.
pub(super) fn larger(row: &VerdictRow) -> Option<String> {
    let (share, low, high) = (row.larger?, row.larger_low?, row.larger_high?);
    Some(format!("{share:.2} [{low:.2}, {high:.2}]"))
}

/// `−0.62 [−0.90, −0.34]`: an effect at one depth, with the band that holds at all of them.
pub(super) fn band(point: &DepthPoint) -> String {
    interval(Some(point.estimate), point.low.zip(point.high))
}

/// `−0.11 [−0.18, −0.04]`: the change of an effect per doubling of the depth; none for a single seed.
pub(super) fn slope(row: &DepthRow) -> Option<String> {
    row.slope
        .map(|slope| interval(Some(slope), row.slope_low.zip(row.slope_high)))
}

fn interval(estimate: Option<f64>, ends: Option<(f64, f64)>) -> String {
    let numbers = EffectNumbers {
        estimate,
        low: ends.map(|(low, _)| low),
        high: ends.map(|(_, high)| high),
        ..EffectNumbers::default()
    };
    effect(&numbers).whole()
}

/// A confidence, with two significant digits of what it leaves: `95 %`, `98.3 %`, `99.966 %`.
fn percent(confidence: f64) -> String {
    let left = 100.0 * (1.0 - confidence);
    let text = fixed(100.0 - left, decimals_for(left, 2).min(6));
    match text.contains('.') {
        true => format!("{} %", text.trim_end_matches('0').trim_end_matches('.')),
        false => format!("{text} %"),
    }
}

/// `0.49 [0.45, 0.54]`: median and range.
///
/// A range that is much wider than the median would round the median away: the median keeps two
/// significant digits, and no number shows more than three for the median's sake.
pub(super) fn spread(spread: &Spread) -> String {
    let (Some(median), Some(min), Some(max)) = (spread.median, spread.min, spread.max) else {
        return DASH.to_owned();
    };
    let Some(range) = decimals((max - min) / 2.0) else {
        return significant(median, 3);
    };
    let wanted = if median == 0.0 {
        range
    } else {
        decimals_for(median, 2)
    };
    let show = |x: f64| {
        let own = if x == 0.0 { range } else { decimals_for(x, 3) };
        fixed(x, range.max(wanted.min(own)).min(6))
    };
    format!("{} [{}, {}]", show(median), show(min), show(max))
}

/// The median alone, rounded as in [`spread`].
pub(super) fn median(spread_of: &Spread) -> String {
    let text = spread(spread_of);
    text.split(" [").next().unwrap_or(DASH).to_owned()
}

/// A p value with three decimals.
pub(super) fn p(value: Option<f64>) -> String {
    match value {
        Some(p) if p.is_finite() && p < 0.001 => "<0.001".to_owned(),
        Some(p) if p.is_finite() => format!("{p:.3}"),
        _ => DASH.to_owned(),
    }
}

/// `51,234`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// ` (1 % to 72 %)`: the interval of a share, with the leading space; empty if there is none.
pub(super) fn share(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(String::new, |[low, high]| {
        format!(" ({:.0} % to {:.0} %)", 100.0 * low, 100.0 * high)
    })
}

/// Seconds as a duration: `42 s`, `7 min`, `3.2 h`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        DASH.to_owned()
    } else if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3600.0)
    }
}

/// The sign of print, as wide as a plus.
pub(super) fn minus(text: &str) -> String {
    text.replace('-', "−")
}

/// Decimals that show `digits` significant digits of x ≠ 0.
fn decimals_for(x: f64, digits: usize) -> usize {
    let places = i64::try_from(digits).unwrap_or(i64::MAX) - 1 - i64::from(exponent(x, digits));
    usize::try_from(places).unwrap_or(0)
}

/// Decimal exponent of x ≠ 0 after rounding to `digits` significant digits (0.0996 has −1 at two).
fn exponent(x: f64, digits: usize) -> i32 {
    let text = format!("{x:.*e}", digits.saturating_sub(1));
    text.rsplit('e')
        .next()
        .and_then(|e| e.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn numbers(estimate: f64, low: f64, high: f64) -> EffectNumbers {
        EffectNumbers {
            seeds: BTreeMap::new(),
            n: 8,
            incomplete: 0,
            estimate: Some(estimate),
            low: Some(low),
            high: Some(high),
            bootstrap_low: None,
            bootstrap_high: None,
            p: None,
            p_floor: None,
        }
    }

    #[test]
    fn effects_are_rounded_to_two_digits_of_the_half_width() {
        let shown = effect(&numbers(-1.26431, -1.8142, -0.7144));
        assert_eq!(shown.whole(), "−1.26 [−1.81, −0.71]");
        assert_eq!(shown.bootstrap, "[–]");
        assert_eq!(
            effect(&numbers(123.456, 100.2, 146.7)).whole(),
            "123 [100, 147]"
        );
        assert_eq!(
            effect(&numbers(0.00012, 0.00010, 0.00014)).whole(),
            "0.000120 [0.000100, 0.000140]"
        );
        assert_eq!(
            effect(&numbers(-0.0004, -0.05, 0.05)).whole(),
            "0.000 [−0.050, 0.050]"
        );
    }

    #[test]
    fn an_effect_without_an_interval_keeps_three_digits() {
        let mut one = numbers(0.123_456, 0.0, 0.0);
        (one.low, one.high) = (None, None);
        assert_eq!(effect(&one).whole(), "0.123 [–]");
        one.estimate = None;
        assert_eq!(effect(&one).whole(), DASH);
    }

    #[test]
    fn half_widths_round_before_they_are_counted() {
        assert_eq!(decimals(0.0996), Some(2));
        assert_eq!(decimals(0.994), Some(2));
        assert_eq!(decimals(0.996), Some(1));
        assert_eq!(decimals(40.0), Some(0));
        assert_eq!(decimals(0.0), None);
        assert_eq!(decimals(f64::NAN), None);
    }

    #[test]
    fn a_wide_range_does_not_round_the_median_away() {
        let wide = Spread {
            seeds: BTreeMap::new(),
            n: 3,
            median: Some(0.87),
            mean: None,
            sd: None,
            min: Some(0.512),
            max: Some(516.3),
        };
        assert_eq!(spread(&wide), "0.87 [0.51, 516]");
        assert_eq!(median(&wide), "0.87");
        let equal = Spread {
            min: Some(0.87),
            max: Some(0.87),
            ..wide
        };
        assert_eq!(spread(&equal), "0.870");
    }

    #[test]
    fn numbers_that_are_none_are_dashes() {
        assert_eq!(fixed(f64::NAN, 2), DASH);
        assert_eq!(significant(f64::INFINITY, 2), DASH);
        assert_eq!(p(None), DASH);
        assert_eq!(p(Some(f64::NAN)), DASH);
        assert_eq!(p(Some(0.0078)), "0.008");
        assert_eq!(p(Some(1e-5)), "<0.001");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(position(7.0), "7");
        assert_eq!(position(38.402), "38.4");
        assert_eq!(thousands(999), "999");
        assert_eq!(significant(1.23e-9, 3), "1.23e−9");
    }
}
