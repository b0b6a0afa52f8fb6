//! The quantile function of the standard normal distribution.

/// Φ⁻¹(p) for p in (0, 1), to a relative error of about 1e-16.
///
/// Wichura 1988, "The percentage points of the normal distribution", algorithm AS 241, routine PPND16:
/// one ratio of polynomials for the centre and two for the tails, whose coefficients follow from degree 0 up.
pub(crate) fn standard_normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.425 * 0.425 - q * q;
        return q * ratio(&CENTRE, r);
    }
    let depth = (-p.min(1.0 - p).ln()).sqrt();
    let magnitude = if depth <= 5.0 {
        ratio(&TAIL, depth - 1.6)
    } else {
        ratio(&FAR_TAIL, depth - 5.0)
    };
    magnitude.copysign(q)
}

/// Numerator and denominator.
type Ratio = [[f64; 8]; 2];

fn ratio(coefficients: &Ratio, r: f64) -> f64 {
    let [numerator, denominator] =
        coefficients.map(|c| c.iter().rev().fold(0.0, |sum, &next| sum * r + next));
    numerator / denominator
}

/// For |p − 1/2| ≤ 0.425.
const CENTRE: Ratio = [
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_545,
    ],
];

/// For √(−ln p) ≤ 5 outside the centre.
const TAIL: Ratio = [
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
];

/// For √(−ln p) > 5: p below about 1.4e-11.
const FAR_TAIL: Ratio = [
    [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        0.296_560_571_828_504_87,
        0.026_532_189_526_576_124,
        0.001_242_660_947_388_078_4,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288e-7,
    ],
    [
        1.0,
        0.599_832_206_555_888,
        0.136_929_880_922_735_8,
        0.014_875_361_290_850_615,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_7e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ],
];

#[cfg(test)]
mod tests {
    use super::standard_normal_quantile;

    #[test]
    fn known_quantiles() {
        // Python 3, statistics.NormalDist().inv_cdf.
        for (p, expected) in [
            (0.5, 0.0),
            (0.3, -0.524_400_512_708_040_7),
            (0.975, 1.959_963_984_540_053_6),
            (1e-3, -3.090_232_306_167_813),
            (1e-10, -6.361_340_902_404_056),
            (1e-300, -37.047_096_299_361_2),
        ] {
            let found = standard_normal_quantile(p);
            assert!((found - expected).abs() < 1e-13, "{p}: {found}");
        }
    }

    #[test]
    fn odd_about_one_half_and_smooth_where_the_pieces_meet() {
        for p in [0.01, 0.2, 0.4] {
            let sum = standard_normal_quantile(p) + standard_normal_quantile(1.0 - p);
            assert!(sum.abs() < 1e-13);
        }
        for seam in [0.075, (-25.0_f64).exp()] {
            let (below, above) = (
                standard_normal_quantile(seam * (1.0 - 1e-12)),
                standard_normal_quantile(seam * (1.0 + 1e-12)),
            );
            assert!(below < above && above - below < 1e-11, "{below} {above}");
        }
    }
}
