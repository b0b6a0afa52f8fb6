//! Quantiles and distribution functions, from statrs.

use std::f64::consts::SQRT_2;

use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};
use statrs::function::beta::inv_beta_reg;
use statrs::function::erf::{erfc, erfc_inv};

/// Student's t with `df` >= 1 degrees of freedom.
pub(crate) fn student_t(df: usize) -> StudentsT {
    StudentsT::new(0.0, 1.0, df as f64).expect("location, scale and df are valid by construction")
}

/// Two-sided critical value: P(|T| > c) = `alpha` for `df` degrees of freedom.
pub(crate) fn t_critical(alpha: f64, df: usize) -> f64 {
    // The lower tail keeps its digits for a small alpha, where 1 − alpha/2 would round them off.
    -student_t(df).inverse_cdf(0.5 * alpha)
}

/// P(T <= `t`) for `df` degrees of freedom.
pub(crate) fn t_cdf(t: f64, df: usize) -> f64 {
    student_t(df).cdf(t)
}

/// P(Z <= `z`) for a standard normal Z.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z / SQRT_2)
}

/// Two-sided critical value of a standard normal Z: P(|Z| > z) = `alpha`.
pub(crate) fn normal_critical(alpha: f64) -> f64 {
    SQRT_2 * erfc_inv(alpha)
}

/// Φ⁻¹(p); infinite at 0 and 1.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    -SQRT_2 * erfc_inv(2.0 * p)
}

/// The `p` quantile of χ² with `df` >= 1 degrees of freedom.
pub(crate) fn chi_square_quantile(p: f64, df: usize) -> f64 {
    ChiSquared::new(df as f64)
        .expect("degrees of freedom are valid by construction")
        .inverse_cdf(p)
}

/// The `p` quantile of Beta(`a`, `b`).
pub(crate) fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    inv_beta_reg(a, b, p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_values_match_the_tables() {
        // The cases df = 1 and df = 2 have closed forms; the others are the usual printed table.
        for (alpha, df, expected) in [
            (0.05, 1, 12.706_204_736_432_1),
            (0.05, 2, 4.302_652_729_911_28),
            (0.05, 7, 2.364_624_251_592_78),
            (0.05, 9, 2.262_157_162_740_99),
            (0.01, 9, 3.249_835_541_592_14),
            (0.05, 29, 2.045_229_642_132_70),
            (1e-6, 1, 636_619.772_367_058),
        ] {
            let found = t_critical(alpha, df);
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "df {df}: {found} vs {expected}"
            );
        }
    }

    #[test]
    fn normal_and_chi_square_quantiles_match_the_tables() {
        assert!((normal_critical(0.05) - 1.959_963_984_540_054).abs() < 1e-10);
        assert!((normal_critical(2e-9) - 5.997_807_015_007_687).abs() < 1e-6);
        for (p, df, expected) in [
            (0.025, 7, 1.689_869_180_677),
            (0.975, 7, 16.012_764_274_629),
            (0.5, 2, 1.386_294_361_120),
        ] {
            assert!((chi_square_quantile(p, df) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn normal_tail_keeps_its_digits() {
        assert!((normal_cdf(-10.0) / 7.619_853_024_160_53e-24 - 1.0).abs() < 1e-9);
        assert_eq!(normal_cdf(0.0), 0.5);
    }
}
