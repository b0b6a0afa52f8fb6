//! The exponential of a non-positive number, in a form that compilers turn into vector instructions.

use std::f64::consts::LOG2_E;

/// Terms smaller than e^−60 ≈ 10⁻²⁶ of the largest are zero.
///
/// Even 10⁹ of them together stay below the rounding of the sum. What is left is far from the denormal numbers, which
/// begin at e^−708 and make every product with them several times slower: in 64 dimensions most terms are that small.
pub(super) const NEGLIGIBLE: f64 = -60.0;

/// e^x of an x ≤ 0, within 4e-16 of its size; zero below [`NEGLIGIBLE`].
///
/// x = n ln 2 + r with |r| ≤ ln 2/2, and e^r is its Taylor polynomial of degree 12, whose remainder is below 2e-16.
/// The polynomial is a tree: one long chain of operations would leave a processor waiting for each of them.
#[inline(always)]
pub(super) fn exp_or_zero(x: f64) -> f64 {
    // Adding 1.5 · 2⁵² rounds to an integer and leaves it in the lowest bits.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    // ln 2 in two parts, the first with so few digits that its product with n is exact.
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let shifted = x * LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let (r2, r4) = (r * r, (r * r) * (r * r));
    let third = (1.0 / 6.0 + r * (1.0 / 24.0)) + r2 * (1.0 / 120.0 + r * (1.0 / 720.0));
    let seventh =
        (1.0 / 5_040.0 + r * (1.0 / 40_320.0)) + r2 * (1.0 / 362_880.0 + r * (1.0 / 3_628_800.0));
    let eleventh = 1.0 / 39_916_800.0 + r * (1.0 / 479_001_600.0);
    let tail = r4 * (seventh + r4 * eleventh);
    let power = 1.0 + (r + r2 * (0.5 + r * (third + tail)));
    let power_of_two = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x < NEGLIGIBLE {
        0.0
    } else {
        power * power_of_two
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library_and_flushes() {
        for i in 0..200_000 {
            let x = -60.0 * f64::from(i) / 200_000.0;
            let y = exp_or_zero(x);
            assert!((y / x.exp() - 1.0).abs() < 4e-16, "{x}: {y}");
        }
        assert_eq!(exp_or_zero(0.0), 1.0);
        assert!(0.0 < exp_or_zero(NEGLIGIBLE));
        for x in [-60.000_001, -708.5, -745.0, -1e300, f64::NEG_INFINITY] {
            assert_eq!(exp_or_zero(x).to_bits(), 0, "{x}");
        }
    }
}
