//! What is done number by number between the products, each in one pass over memory.

use crate::registers::compiled_for_registers;

/// The nonlinearities that are written out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Curve {
    /// factor x / (1 + exp(−x)).
    Silu { factor: f32 },
    /// max(x, 0) + slope min(x, 0).
    Rectified { slope: f32 },
}

compiled_for_registers! {
    /// value = φ(x), slope = φ'(x).
    pub(super) fn activate(curve: Curve, x: &[f32], value: &mut [f32], slope: &mut [f32]) = activate_by
}

compiled_for_registers! {
    /// stream = carry stream + share branch. A stream of which nothing is carried is not read, infinite or not.
    pub(super) fn join(stream: &mut [f32], carry: f32, share: f32, branch: &[f32]) = join_by
}

compiled_for_registers! {
    /// gradient = share gradient slope.
    pub(super) fn through(gradient: &mut [f32], share: f32, slope: &[f32]) = through_by
}

compiled_for_registers! {
    /// stream = carry stream + branch slope: the gradient of a block's input.
    pub(super) fn rejoin(stream: &mut [f32], carry: f32, branch: &[f32], slope: &[f32]) = rejoin_by
}

compiled_for_registers! {
    /// sums = factor Σ of the rows.
    pub(super) fn sum_rows(sums: &mut [f32], factor: f32, rows: &[f32]) = sum_rows_by
}

compiled_for_registers! {
    /// sum = sum + other.
    pub(super) fn add(sum: &mut [f32], other: &[f32]) = add_by
}

#[inline(always)]
fn activate_by(curve: Curve, x: &[f32], value: &mut [f32], slope: &mut [f32]) {
    let all = x.iter().zip(value).zip(slope);
    match curve {
        Curve::Silu { factor } => {
            for ((x, value), slope) in all {
                let share = 1.0 / (1.0 + exp(-x));
                let silu = x * share;
                *value = factor * silu;
                *slope = factor * (share + silu * (1.0 - share));
            }
        }
        Curve::Rectified { slope: below } => {
            for ((x, value), slope) in all {
                // What is no number stays none.
                *slope = if *x <= 0.0 { below } else { 1.0 };
                *value = x * *slope;
            }
        }
    }
}

#[inline(always)]
fn join_by(stream: &mut [f32], carry: f32, share: f32, branch: &[f32]) {
    if carry == 0.0 {
        for (stream, branch) in stream.iter_mut().zip(branch) {
            *stream = share * branch;
        }
    } else {
        for (stream, branch) in stream.iter_mut().zip(branch) {
            *stream = carry * *stream + share * branch;
        }
    }
}

#[inline(always)]
fn through_by(gradient: &mut [f32], share: f32, slope: &[f32]) {
    for (gradient, slope) in gradient.iter_mut().zip(slope) {
        *gradient = share * *gradient * slope;
    }
}

#[inline(always)]
fn rejoin_by(stream: &mut [f32], carry: f32, branch: &[f32], slope: &[f32]) {
    let all = stream.iter_mut().zip(branch).zip(slope);
    if carry == 0.0 {
        for ((stream, branch), slope) in all {
            *stream = branch * slope;
        }
    } else {
        for ((stream, branch), slope) in all {
            *stream = carry * *stream + branch * slope;
        }
    }
}

#[inline(always)]
fn sum_rows_by(sums: &mut [f32], factor: f32, rows: &[f32]) {
    sums.fill(0.0);
    for row in rows.chunks_exact(sums.len()) {
        add_by(sums, row);
    }
    for sum in sums {
        *sum *= factor;
    }
}

#[inline(always)]
fn add_by(sum: &mut [f32], other: &[f32]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// exp x = 2ⁿ exp r with n whole and |r| ≤ ln 2 / 2, by Taylor's sum; off by two units in the last place at most.
///
/// Beyond the range of normal numbers it stays at its ends. What is no number stays none.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: added to a number of less than 2²² it leaves the nearest whole number in the last bits.
    const WHOLE: f32 = 12_582_912.0;
    /// ln 2 in two parts, of which the first has few digits, so that its multiples are exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = if x < -87.3 { -87.3 } else { x };
    let x = if 88.3 < x { 88.3 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, WHOLE);
    let whole = shifted - WHOLE;
    let r = whole.mul_add(-LN_2.1, whole.mul_add(-LN_2.0, x));
    let taylor = [
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let sum = taylor
        .into_iter()
        .fold(0.0, |sum: f32, term: f32| sum.mul_add(r, term));
    sum * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::Registers;

    #[test]
    fn the_exponential_is_right_to_two_units() {
        for step in -8730..8830 {
            let x = 0.01 * step as f32;
            let wanted = f64::from(x).exp();
            let error = (f64::from(exp(x)) / wanted - 1.0).abs();
            assert!(error < 2.0 * f64::from(f32::EPSILON), "{x}: {error:e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(1e30), exp(88.3));
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.3));
    }

    #[test]
    fn a_slope_is_the_derivative() {
        for curve in [
            Curve::Silu {
                factor: 1.0 / 0.596,
            },
            Curve::Rectified { slope: 0.0 },
            Curve::Rectified { slope: 0.2 },
        ] {
            // Not where a corner is.
            let x: Vec<f32> = (-40..40).map(|i| 0.25 * i as f32 + 0.125).collect();
            let value = |shift: f32| {
                let x: Vec<f32> = x.iter().map(|x| x + shift).collect();
                let [mut value, mut slope] = [(); 2].map(|()| vec![0.0; x.len()]);
                activate(Registers::widest(), curve, &x, &mut value, &mut slope);
                [value, slope]
            };
            let h = 0.03125;
            let [[above, _], [below, _], [_, slope]] = [h, -h, 0.0].map(value);
            for i in 0..x.len() {
                let found = (above[i] - below[i]) / (2.0 * h);
                assert!((found - slope[i]).abs() < 1e-3, "{curve:?} at {}", x[i]);
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for curve in [Curve::Silu { factor: 1.0 }, Curve::Rectified { slope: 0.0 }] {
            let (mut value, mut slope) = ([0.0], [0.0]);
            activate(
                Registers::widest(),
                curve,
                &[f32::NAN],
                &mut value,
                &mut slope,
            );
            assert!(value[0].is_nan(), "{curve:?}");
        }
    }

    #[test]
    fn what_is_not_carried_is_not_read() {
        let (mut forward, mut backward) = ([f32::INFINITY], [f32::INFINITY]);
        join(Registers::widest(), &mut forward, 0.0, 2.0, &[3.0]);
        rejoin(Registers::widest(), &mut backward, 0.0, &[3.0], &[2.0]);
        assert_eq!((forward, backward), ([6.0], [6.0]));
    }

    #[test]
    fn results_are_the_same_bits_on_all_registers() {
        let x: Vec<f32> = (0..1003).map(|i| 9.0 * (0.37 * i as f32).sin()).collect();
        let curves = [Curve::Silu { factor: 1.0 }, Curve::Rectified { slope: 0.2 }];
        let all = Registers::available().map(|registers| {
            let mut parts = Vec::new();
            for curve in curves {
                let [mut value, mut slope] = [(); 2].map(|()| vec![0.0; x.len()]);
                activate(registers, curve, &x, &mut value, &mut slope);
                let (mut stream, mut gradient) = (x.clone(), x.clone());
                join(registers, &mut stream, 0.7, 0.3, &value);
                through(registers, &mut gradient, 0.7, &slope);
                rejoin(registers, &mut gradient, 1.1, &value, &slope);
                add(registers, &mut gradient, &stream);
                let mut sums = vec![0.0; 17];
                sum_rows(registers, &mut sums, 0.9, &x);
                parts.extend([value, slope, stream, gradient, sums]);
            }
            parts.concat().into_iter().map(f32::to_bits).collect()
        });
        let all: Vec<Vec<u32>> = all.collect();
        assert!(all.iter().all(|bits| *bits == all[0]));
    }
}
