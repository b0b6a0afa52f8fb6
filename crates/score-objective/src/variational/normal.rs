//! Normal distributions of one coordinate: divergence, density, and probabilities that keep their digits.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, TAU};

use crate::Error;

/// A normal distribution of one coordinate, with positive variance.
///
/// ```
/// use score_objective::variational::Normal;
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let wide = Normal::new(1.0, 4.0)?;
/// // ln 2 + (1 + 1)/8 − 1/2
/// assert!((Normal::STANDARD.kl(wide) - (2.0_f64.ln() - 0.25)).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    mean: f64,
    variance: f64,
}

impl Normal {
    /// N(0, 1).
    pub const STANDARD: Normal = Normal {
        mean: 0.0,
        variance: 1.0,
    };

    /// N(mean, variance).
    ///
    /// # Errors
    /// [`Error::NotFinite`] unless the mean is finite, [`Error::NotPositive`] unless the variance lies in (0, ∞).
    pub fn new(mean: f64, variance: f64) -> Result<Normal, Error> {
        Ok(Normal {
            mean: Error::finite("mean", mean)?,
            variance: Error::positive("variance", variance)?,
        })
    }

    /// The mean.
    pub fn mean(self) -> f64 {
        self.mean
    }

    /// The variance, > 0.
    pub fn variance(self) -> f64 {
        self.variance
    }

    /// KL(self ‖ other) in nats: ½ (r − 1 − ln r + (μ − μ′)²/v′), r = v/v′.
    ///
    /// r − 1 − ln r keeps its digits where the variances nearly agree.
    #[doc(alias = "normal_kl")]
    pub fn kl(self, other: Normal) -> f64 {
        let shift = (self.mean - other.mean).powi(2) / other.variance;
        let ratio = self.variance / other.variance;
        let spread = if 0.8 < ratio && ratio < 1.25 {
            excess((self.variance - other.variance) / other.variance)
        } else {
            ratio - 1.0 - self.variance.ln() + other.variance.ln()
        };
        0.5 * (spread + shift)
    }

    /// The logarithm of the density at `x`.
    pub fn log_density(self, x: f64) -> f64 {
        -0.5 * ((x - self.mean).powi(2) / self.variance + (TAU * self.variance).ln())
    }

    /// The logarithm of the probability of \[low, high\], whose ends may be infinite; accurate in both tails and for narrow
    /// intervals.
    ///
    /// −∞ unless low < high.
    pub fn log_probability(self, low: f64, high: f64) -> f64 {
        let std = self.variance.sqrt();
        log_interval((low - self.mean) / std, (high - self.mean) / std)
    }
}

/// x − ln(1 + x) for |x| < 1/4, without cancellation: with y = x/(2 + x) it is x y − 2 (y³/3 + y⁵/5 + …).
fn excess(x: f64) -> f64 {
    let y = x / (2.0 + x);
    let square = y * y;
    // |y| is at most 1/9, so that the next term is below rounding.
    let series = (1..=10)
        .rev()
        .fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    y * (x - 2.0 * square * series)
}

/// ln(Φ(b) − Φ(a)).
fn log_interval(a: f64, b: f64) -> f64 {
    if b <= a {
        return f64::NEG_INFINITY;
    }
    // Mirrored into the lower tail, where differences of Φ do not cancel.
    let (a, b) = if 0.0 < a + b { (-b, -a) } else { (a, b) };
    let (width, middle) = (b - a, 0.5 * (a + b));
    if width <= 1.0 && -middle * width <= 2.0 {
        // φ(m) times the integral of exp(−m t − t²/2) over the interval around m: eight-point Gauss–Legendre.
        let integral: f64 = NODES
            .iter()
            .map(|&(node, weight)| {
                let t = 0.5 * width * node;
                weight * (middle * t).cosh() * (-0.5 * t * t).exp()
            })
            .sum();
        return -0.5 * (middle * middle + TAU.ln()) + (width * integral).ln();
    }
    let (upper, lower) = (log_cdf(b), log_cdf(a));
    if upper == f64::NEG_INFINITY {
        return upper;
    }
    upper + (-(lower - upper).exp()).ln_1p()
}

/// ln Φ(x).
fn log_cdf(x: f64) -> f64 {
    if 0.0 < x {
        return (-upper_tail(x)).ln_1p();
    }
    if x < -TAIL {
        return -0.5 * (x * x + TAU.ln()) - continued_fraction(-x).ln();
    }
    upper_tail(-x).ln()
}

/// 1 − Φ(z) for z ≥ 0.
fn upper_tail(z: f64) -> f64 {
    let density = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (-0.5 * z * z).exp();
    if TAIL < z {
        return density / continued_fraction(z);
    }
    // Φ(z) − 1/2 = φ(z) (z + z³/3 + z⁵/(3·5) + …), all terms positive.
    let (mut sum, mut term, mut odd) = (0.0, z, 1.0);
    while sum < sum + term {
        sum += term;
        odd += 2.0;
        term *= z * z / odd;
    }
    0.5 - density * sum
}

/// z + 1/(z + 2/(z + 3/(z + …))) = φ(z)/(1 − Φ(z)), for z ≥ `TAIL`.
fn continued_fraction(z: f64) -> f64 {
    if z == f64::INFINITY {
        return z;
    }
    (1..=TERMS).rev().fold(z, |rest, k| z + f64::from(k) / rest)
}

/// Where the tail begins: the series loses one digit here, the continued fraction needs `TERMS` terms.
const TAIL: f64 = 2.0;
const TERMS: u32 = 120;

/// The positive nodes of eight-point Gauss–Legendre quadrature and their weights.
const NODES: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
    (0.960_289_856_497_536_2, 0.101_228_536_290_376_26),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_and_narrow_intervals_keep_their_digits() {
        // Differences of erfc in 60 digits (mpmath).
        for (a, b, expected) in [
            (f64::NEG_INFINITY, -40.0, -804.608_442_013_753_8),
            (-8.5, -8.0, -35.028_792_508_579_75),
            (-2.5, -1.5, -2.803_501_047_738_798),
            (-1.0, 1.0, -0.381_715_146_302_126_05),
            (0.5, f64::INFINITY, -1.175_911_761_593_618_5),
            (30.0, 30.001, -457.841_656_477_884_8),
            (1.3, 1.300_1, -10.974_343_906_143_41),
            (-1e-9, 2e-9, -20.543_592_081_482_974),
            (-6.0, 3.0, -0.001_350_810_952_669_432_3),
            (5.0, 5.3, -15.290_635_120_858_841),
            (-0.7, 0.29, -0.988_516_782_557_059_2),
            (-2.1, -1.9, -4.523_393_052_238_179),
            (-3.0, -2.2, -4.377_751_826_151_909_5),
            (f64::NEG_INFINITY, -2.0, -3.783_184_333_682_032),
            (f64::NEG_INFINITY, -2.000_1, -3.783_421_659_663_929),
            (3.999, 4.0, -15.824_693_312_353_688),
            (-1.999, -1.0, -1.996_196_015_288_440_2),
        ] {
            let found = log_interval(a, b);
            assert!(
                (found - expected).abs() < 4e-15 * (1.0 + expected.abs()),
                "[{a}, {b}]: {found} {expected}"
            );
        }
        assert_eq!(log_interval(f64::NEG_INFINITY, f64::INFINITY), 0.0);
        assert_eq!(log_interval(1.0, 1.0), f64::NEG_INFINITY);
        assert_eq!(log_interval(1e200, f64::INFINITY), f64::NEG_INFINITY);
    }

    #[test]
    fn nearly_equal_variances_keep_their_digits() {
        // x²/2 − x³/3 + x⁴/4
        for x in [1e-12, -1e-9, 1e-5] {
            let exact = x * x * (0.5 - x / 3.0 + x * x / 4.0);
            assert!((excess(x) / exact - 1.0).abs() < 1e-15, "{x}");
        }
        for x in [-0.19, 0.24] {
            assert!((excess(x) - (x - f64::ln_1p(x))).abs() < 2e-16, "{x}");
        }
    }
}
