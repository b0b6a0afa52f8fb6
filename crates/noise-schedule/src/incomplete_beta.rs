//! The quantile function of the beta distribution.

use std::f64::consts::TAU;

/// The x in [0, 1] with I_x(a, b) = p, where I is the regularised incomplete beta function;
/// a and b are positive and p lies in [0, 1]. The absolute error is about 1e-15 for moderate a and b.
///
/// Newton's method on ln I as a function of ln x, which is close to a line of slope `a` where x is small,
/// kept inside a shrinking bracket.
pub(crate) fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    debug_assert!(0.0 < a && 0.0 < b && (0.0..=1.0).contains(&p));
    if p == 0.0 || p == 1.0 {
        return p;
    }
    let middle = incomplete_beta(a, b, 0.5);
    if middle < p {
        return 1.0 - lower_quantile(b, a, 1.0 - p);
    }
    lower_quantile(a, b, p)
}

/// The quantile where it is at most 1/2.
fn lower_quantile(a: f64, b: f64, p: f64) -> f64 {
    let ln_beta = ln_beta(a, b);
    let (mut low, mut high) = (f64::NEG_INFINITY, 0.5_f64.ln());
    // I_x ≈ x^a / (a B) for small x.
    let mut y = ((p.ln() + a.ln() + ln_beta) / a).min(high);
    for _ in 0..100 {
        let x = y.exp();
        let value = incomplete_beta(a, b, x);
        if value < p {
            low = y;
        } else {
            high = y;
        }
        // d(ln I)/d(ln x) = x^a (1 − x)^(b − 1) / (B I).
        let slope = (a * y + (b - 1.0) * (-x).ln_1p() - ln_beta).exp() / value;
        let mut next = y - (value / p).ln() / slope;
        if !(low <= next && next <= high) {
            next = if low.is_finite() {
                0.5 * (low + high)
            } else {
                high - 1.0
            };
        }
        if (next - y).abs() <= 1e-16 * y.abs() {
            return next.exp();
        }
        y = next;
    }
    y.exp()
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction
/// (Abramowitz & Stegun 26.5.8) where that converges fast, and else by I_x(a, b) = 1 − I_(1−x)(b, a).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || 1.0 <= x {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = (a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b)).exp();
    if x <= (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(a, b, x) / a
    } else {
        1.0 - front * continued_fraction(b, a, 1.0 - x) / b
    }
}

/// 1/(1 + d_1/(1 + d_2/(1 + …))), evaluated forwards (Lentz 1976).
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    let coefficient = |index: u32| {
        let m = f64::from(index / 2);
        if index.is_multiple_of(2) {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        }
    };
    // No denominator vanishes: the fraction is positive for x below the mean.
    let (mut c, mut d) = (1.0, 1.0 / (1.0 + coefficient(1)));
    let mut value = d;
    for index in 2..500 {
        d = 1.0 / (1.0 + coefficient(index) * d);
        c = 1.0 + coefficient(index) / c;
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

/// ln B(a, b) = ln Γ(a) + ln Γ(b) − ln Γ(a + b).
fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// ln Γ(z) for z > 0: Stirling's series at z + 12 or above, and the recurrence down to z.
fn ln_gamma(z: f64) -> f64 {
    let (mut z, mut product) = (z, 1.0);
    while z < 12.0 {
        product *= z;
        z += 1.0;
    }
    let r = 1.0 / (z * z);
    let series = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let tail = series.iter().rev().fold(0.0, |sum, term| sum * r + term) / z;
    (z - 0.5) * z.ln() - z + 0.5 * TAU.ln() + tail - product.ln()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn ln_gamma_known_values() {
        assert!((ln_gamma(0.5) - 0.5 * PI.ln()).abs() < 1e-14);
        assert!(ln_gamma(1.0).abs() < 1e-14 && ln_gamma(2.0).abs() < 1e-14);
        assert!((ln_gamma(11.0) - 3_628_800.0_f64.ln()).abs() < 1e-13);
        assert!((ln_gamma(0.6) - 0.398_233_858_069_234_9).abs() < 1e-14);
    }

    #[test]
    fn closed_forms() {
        for p in [1e-12, 1e-3, 0.2, 0.5, 0.77, 0.999, 1.0 - 1e-12] {
            // Beta(1, 1) is uniform, Beta(2, 1) has I_x = x², Beta(1/2, 1/2) is the arcsine law.
            assert!((beta_quantile(1.0, 1.0, p) - p).abs() < 1e-15, "{p}");
            assert!((beta_quantile(2.0, 1.0, p) - p.sqrt()).abs() < 1e-15, "{p}");
            let arcsine = (0.5 * PI * p).sin().powi(2);
            assert!((beta_quantile(0.5, 0.5, p) - arcsine).abs() < 1e-14, "{p}");
        }
    }
}
