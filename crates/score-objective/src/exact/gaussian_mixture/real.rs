//! The numbers that the loops compute with, of single and of double precision, and their exponential.

use std::iter::Sum;

use ndarray::NdFloat;

use super::GaussianMixture;

/// `f32` or `f64`.
pub(super) trait Real: NdFloat + Into<f64> + Sum {
    /// Terms smaller than e to this power, relative to the largest, are zero.
    ///
    /// Even 10⁶ (`f32`) or 10⁹ (`f64`) of them together stay below the rounding of the sum. What is left is far from the
    /// denormal numbers, which make every product with them several times slower: in 64 dimensions most terms are that
    /// small.
    const NEGLIGIBLE: Self;

    /// The largest expected error of a logit from an expanded distance, which is the relative error of a responsibility,
    /// that is not repaired.
    const TOLERANCE: f64;

    /// All that a screen leaves out is together below e to minus this, relative to the largest term.
    const LEFT_OUT: f64;

    /// The nearest number of this type.
    fn nearest(value: f64) -> Self;

    /// e^x of an x ≤ 0; zero below [`NEGLIGIBLE`](Real::NEGLIGIBLE).
    ///
    /// Written so that compilers turn a loop over it into vector instructions.
    fn exp_or_zero(self) -> Self;

    /// What a mixture keeps of its means in this precision.
    fn means(mixture: &GaussianMixture) -> Means<'_, Self>;

    /// Constants of logits. In single precision less the largest of them: digits are for differences, and a density is
    /// not asked for.
    fn offsets(offsets: Vec<f64>) -> Vec<Self>;
}

/// Means, and where they are measured from.
pub(super) struct Means<'a, S> {
    /// μ_k less the centre, row by row: \[K · D\].
    pub(super) means: &'a [S],
    /// Half of their squared norms.
    pub(super) half_norms: &'a [S],
    /// \[D\]; the origin if there is none.
    pub(super) centre: Option<&'a [f64]>,
}

impl Real for f64 {
    /// ≈ 10⁻²⁶; the denormal numbers begin at e^−708.
    const NEGLIGIBLE: f64 = -60.0;
    const TOLERANCE: f64 = 1e-12;
    const LEFT_OUT: f64 = 40.0;

    #[inline(always)]
    fn nearest(value: f64) -> f64 {
        value
    }

    /// Within 4e-16 of its size.
    ///
    /// x = n ln 2 + r with |r| ≤ ln 2/2, and e^r is its Taylor polynomial of degree 12, whose remainder is below 2e-16.
    /// The polynomial is a tree: one long chain of operations would leave a processor waiting for each of them.
    #[inline(always)]
    fn exp_or_zero(self) -> f64 {
        // Adding 1.5 · 2⁵² rounds to an integer and leaves it in the lowest bits.
        const SHIFT: f64 = 6_755_399_441_055_744.0;
        // ln 2 in two parts, the first with so few digits that its product with n is exact.
        const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
        const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
        let shifted = self * std::f64::consts::LOG2_E + SHIFT;
        let n = shifted - SHIFT;
        let r = (self - n * LN_2_HIGH) - n * LN_2_LOW;
        let (r2, r4) = (r * r, (r * r) * (r * r));
        let third = (1.0 / 6.0 + r * (1.0 / 24.0)) + r2 * (1.0 / 120.0 + r * (1.0 / 720.0));
        let seventh = (1.0 / 5_040.0 + r * (1.0 / 40_320.0))
            + r2 * (1.0 / 362_880.0 + r * (1.0 / 3_628_800.0));
        let eleventh = 1.0 / 39_916_800.0 + r * (1.0 / 479_001_600.0);
        let tail = r4 * (seventh + r4 * eleventh);
        let power = 1.0 + (r + r2 * (0.5 + r * (third + tail)));
        let power_of_two = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
        if self < Self::NEGLIGIBLE {
            0.0
        } else {
            power * power_of_two
        }
    }

    fn means(mixture: &GaussianMixture) -> Means<'_, f64> {
        Means {
            means: (mixture.means.as_slice()).expect("laid out at construction"),
            half_norms: &mixture.half_norms,
            centre: None,
        }
    }

    fn offsets(offsets: Vec<f64>) -> Vec<f64> {
        offsets
    }
}

impl Real for f32 {
    /// ≈ 10⁻¹³; the denormal numbers begin at e^−87.
    const NEGLIGIBLE: f32 = -30.0;
    const TOLERANCE: f64 = 3e-5;
    const LEFT_OUT: f64 = 20.0;

    #[inline(always)]
    fn nearest(value: f64) -> f32 {
        value as f32
    }

    /// Within 2e-7 of the largest term, 1: e^x itself is as uncertain as x, by |x| e^x of a rounding.
    ///
    /// As in double precision, with the Taylor polynomial of degree 7, whose remainder is below 6e-9, and one part of
    /// ln 2, whose product with n is rounded no more coarsely than x was.
    #[inline(always)]
    fn exp_or_zero(self) -> f32 {
        // 1.5 · 2²³.
        const SHIFT: f32 = 12_582_912.0;
        let shifted = self * std::f32::consts::LOG2_E + SHIFT;
        let n = shifted - SHIFT;
        let r = self - n * std::f32::consts::LN_2;
        let r2 = r * r;
        let fourth = (1.0 / 24.0 + r * (1.0 / 120.0)) + r2 * (1.0 / 720.0 + r * (1.0 / 5_040.0));
        let power = 1.0 + (r + r2 * ((0.5 + r * (1.0 / 6.0)) + r2 * fourth));
        let power_of_two = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
        if self < Self::NEGLIGIBLE {
            0.0
        } else {
            power * power_of_two
        }
    }

    fn means(mixture: &GaussianMixture) -> Means<'_, f32> {
        mixture.centred.means()
    }

    fn offsets(offsets: Vec<f64>) -> Vec<f32> {
        let largest = offsets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let less = |offset: f64| (offset - largest) as f32;
        offsets.into_iter().map(less).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library_and_flushes() {
        for i in 0..200_000 {
            let x = -60.0 * f64::from(i) / 200_000.0;
            let y = x.exp_or_zero();
            assert!((y / x.exp() - 1.0).abs() < 4e-16, "{x}: {y}");
            let x = 0.5 * x as f32;
            let (y, exact) = (x.exp_or_zero(), f64::from(x).exp());
            assert!(
                (f64::from(y) - exact).abs() < 2e-7 * exact.sqrt(),
                "{x}: {y}"
            );
        }
        assert_eq!((0.0_f64.exp_or_zero(), 0.0_f32.exp_or_zero()), (1.0, 1.0));
        assert!(0.0 < f64::NEGLIGIBLE.exp_or_zero() && 0.0 < f32::NEGLIGIBLE.exp_or_zero());
        for x in [-60.000_001, -708.5, -745.0, -1e300, f64::NEG_INFINITY] {
            assert_eq!(x.exp_or_zero().to_bits(), 0, "{x}");
            assert_eq!((0.51 * x as f32).exp_or_zero().to_bits(), 0, "{x}");
        }
    }
}
