//! The exponential of a non-positive number, in a form that compilers turn into vector instructions.

use std::f64::consts::LOG2_E;

/// Terms smaller than e^−60 ≈ 10⁻²⁶ of the largest are zero.
///
/// Even 10⁹ of them together stay below the rounding of the sum. What is left is far from the denormal numbers, which
/// begin at e^−708 and make every product with them several times slower: in 64 dimensions most terms are that small.
pub(super) const NEGLIGIBLE: f64 = -60.0;

/// Numbers at a time: a few hundred bytes, which stay in the first cache between the steps.
pub(super) const WIDTH: usize = 32;

/// Replaces each x ≤ 0 by e^x, within 4e-16 of its size; by zero below [`NEGLIGIBLE`].
///
/// x = n ln 2 + r with |r| ≤ ln 2/2, and e^r is its Taylor polynomial of degree 12, whose remainder is below 2e-16.
/// In several short loops: one long chain of operations would leave a processor waiting for each of them.
#[inline]
pub(super) fn exp_or_zero(x: &mut [f64; WIDTH]) {
    // Adding 1.5 · 2⁵² rounds to an integer and leaves it in the lowest bits.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    // ln 2 in two parts, the first with so few digits that its product with n is exact.
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let (mut shifted, mut rest, mut tail) = ([0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH]);
    for ((shifted, rest), x) in shifted.iter_mut().zip(&mut rest).zip(&*x) {
        *shifted = x * LOG2_E + SHIFT;
        let n = *shifted - SHIFT;
        *rest = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    }
    for (tail, &r) in tail.iter_mut().zip(&rest) {
        let r2 = r * r;
        let seventh = (1.0 / 5_040.0 + r * (1.0 / 40_320.0))
            + r2 * (1.0 / 362_880.0 + r * (1.0 / 3_628_800.0));
        let eleventh = 1.0 / 39_916_800.0 + r * (1.0 / 479_001_600.0);
        *tail = (r2 * r2) * (seventh + (r2 * r2) * eleventh);
    }
    for (tail, &r) in tail.iter_mut().zip(&rest) {
        let r2 = r * r;
        let third = (1.0 / 6.0 + r * (1.0 / 24.0)) + r2 * (1.0 / 120.0 + r * (1.0 / 720.0));
        *tail = 1.0 + (r + r2 * (0.5 + r * (third + *tail)));
    }
    for ((x, shifted), power) in x.iter_mut().zip(&shifted).zip(&tail) {
        let power_of_two = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
        *x = if *x < NEGLIGIBLE {
            0.0
        } else {
            power * power_of_two
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library_and_flushes() {
        for block in 0..6_000 {
            let mut x = [0.0; WIDTH];
            for (i, x) in x.iter_mut().enumerate() {
                *x = -60.0 * (f64::from(block) + i as f64 / WIDTH as f64) / 6_000.0;
            }
            let mut y = x;
            exp_or_zero(&mut y);
            for (x, y) in x.iter().zip(&y) {
                assert!((y / x.exp() - 1.0).abs() < 4e-16, "{x}: {y}");
            }
        }
        let mut ends = [-60.0; WIDTH];
        let beyond = [-60.000_001, -708.5, -745.0, -1e300, f64::NEG_INFINITY];
        ends[0] = 0.0;
        ends[1..6].copy_from_slice(&beyond);
        exp_or_zero(&mut ends);
        assert_eq!(ends[0], 1.0);
        assert!(ends[1..6].iter().all(|y| y.to_bits() == 0), "{ends:?}");
        assert!(0.0 < ends[6]);
    }
}
