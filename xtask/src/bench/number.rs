//! Numbers as people read them.

/// A log ratio as a change in percent: `+10.5 %`.
pub(crate) fn change(log_ratio: f64) -> String {
    format!("{:+.1} %", 100.0 * log_ratio.exp_m1())
}

/// A log ratio ≥ 0 as a size in percent: `5.0 %`.
pub(crate) fn size(log_ratio: f64) -> String {
    format!("{:.1} %", 100.0 * log_ratio.exp_m1())
}

/// A value with its unit; nanoseconds in the unit that suits them.
pub(crate) fn value(value: f64, unit: &str) -> String {
    let Some(per) = unit.strip_prefix("ns") else {
        return format!("{value:.4} {unit}");
    };
    let scales = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let fits = scales.into_iter().find(|(scale, _)| *scale <= value);
    let (scale, word) = fits.unwrap_or((1.0, "ns"));
    let scaled = value / scale;
    let digits = if scaled < 10.0 {
        2
    } else {
        usize::from(scaled < 100.0)
    };
    format!("{scaled:.digits$} {word}{per}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(change(1.1_f64.ln()), "+10.0 %");
        assert_eq!(change(-1.1_f64.ln()), "-9.1 %");
        assert_eq!(size(1.05_f64.ln()), "5.0 %");
        assert_eq!(value(1_234_567.0, "ns/iter"), "1.23 ms/iter");
        assert_eq!(value(999.0, "ns/iter"), "999 ns/iter");
        assert_eq!(value(12.34, "ns"), "12.3 ns");
        assert_eq!(value(2.0, "s"), "2.0000 s");
    }
}
