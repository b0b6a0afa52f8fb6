//! The arithmetic of NumPy that grids depend on.

use std::f32::consts::{FRAC_1_SQRT_2, LN_2};

/// `count` numbers from `start` to `stop` as `numpy.linspace` rounds them: start + i·step, with an exact last one.
/// One number is `start`.
pub(super) fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    let step = (stop - start) / (count.max(2) - 1) as f64;
    let mut numbers: Vec<f64> = (0..count).map(|i| i as f64 * step + start).collect();
    if 1 < count {
        numbers[count - 1] = stop;
    }
    numbers
}

/// The numbers start, start − step, … above 0 as `numpy.arange(start, 0, -step)` counts and rounds them:
/// where step does not divide start, the count may be one too many, and the last number about 1e-13.
pub(super) fn falling(start: f64, step: f64) -> Vec<f64> {
    let count = (-start / -step).ceil() as usize;
    let delta = (start - step) - start;
    (0..count).map(|i| start + i as f64 * delta).collect()
}

/// The value at `x` of the broken line through (i, values[i]), constant beyond both ends, as `numpy.interp` rounds it.
pub(super) fn interpolate(x: f64, values: &[f32]) -> f64 {
    let last = values.len() - 1;
    if x <= 0.0 {
        f64::from(values[0])
    } else if last as f64 <= x {
        f64::from(values[last])
    } else {
        let below = x as usize;
        let (low, high) = (f64::from(values[below]), f64::from(values[below + 1]));
        (high - low) * (x - below as f64) + low
    }
}

/// The natural logarithm in `f32` as NumPy computes it with AVX2 and later, for `x` that is not negative:
/// x = 2^e (1 + y) with y in (√½ − 1, √2 − 1], and ln(1 + y) as a ratio of polynomials of degree 5.
///
/// It is off by up to three units in the last place, and in 7 of 100 cases not the nearest `f32`.
/// Whether a timestep lies just below an integer is decided by that.
pub(super) fn ln(x: f32) -> f32 {
    const NUMERATOR: [f32; 6] = [
        0.0,
        1.0,
        2.112_677_5,
        1.480_000_6,
        0.380_883_77,
        0.025_899_798,
    ];
    const DENOMINATOR: [f32; 6] = [
        1.0,
        2.612_677_6,
        2.453_006,
        0.986_494_3,
        0.154_647_65,
        0.005_875_095_4,
    ];
    if x == 0.0 || x == f32::INFINITY {
        return x.ln();
    }
    // Subnormal numbers are normalised first.
    let (x, shift) = if x < f32::MIN_POSITIVE {
        (x * 2_f32.powi(25), -25)
    } else {
        (x, 0)
    };
    let mut exponent = (x.to_bits() >> 23) as i32 - 126 + shift;
    let mut fraction = f32::from_bits((x.to_bits() & 0x007f_ffff) | 0x3f00_0000);
    if fraction <= FRAC_1_SQRT_2 {
        fraction += fraction;
        exponent -= 1;
    }
    let y = fraction - 1.0;
    let polynomial = |coefficients: [f32; 6]| {
        let (&leading, rest) = coefficients.split_last().expect("there are six");
        rest.iter()
            .rev()
            .fold(leading, |sum, &next| sum.mul_add(y, next))
    };
    (exponent as f32).mul_add(LN_2, polynomial(NUMERATOR) / polynomial(DENOMINATOR))
}
