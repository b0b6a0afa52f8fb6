//! silu(group_norm(x + shift)) of one image in bfloat16, pixel after pixel, and its gradients.
//!
//! With u = x + shift − mean and r = 1/√(variance + eps) of its group, z = r w u + b and y = z sigmoid(z).
//! Statistics, coefficients and sums are f32 and f64; what is read and written between them is bfloat16.
//! What is fused is written as fused, and nothing is reordered, so the bits are the same on every processor.

use crate::registers::{Registers, compiled_for_registers};

/// A number of bfloat16: the upper half of an f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Bf16(pub(super) u16);

impl Bf16 {
    #[inline(always)]
    pub(super) fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The nearest, of two the even one.
    #[inline(always)]
    pub(super) fn nearest(value: f32) -> Bf16 {
        let bits = value.to_bits();
        let up = 0x7fff + ((bits >> 16) & 1);
        let near = (bits.wrapping_add(up) >> 16) as u16;
        Bf16(if value.is_nan() { 0x7fc0 } else { near })
    }
}

/// An affine normalisation over groups of channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine<'a> {
    pub(super) groups: usize,
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    /// One for each channel, or none at all.
    pub(super) shift: &'a [Bf16],
}

/// y, and the mean and 1/√(variance + eps) of each group.
///
/// # Panics
/// If the sizes differ.
pub(super) fn forward(
    registers: Registers,
    norm: Affine<'_>,
    eps: f32,
    x: &[Bf16],
    y: &mut [Bf16],
    of: &mut [[f32; 2]],
) {
    assert!(x.len() == y.len() && of.len() == norm.groups);
    forward_on(registers, norm, eps, x, y, of);
}

compiled_for_registers! {
    fn forward_on(norm: Affine<'_>, eps: f32, x: &[Bf16], y: &mut [Bf16], of: &mut [[f32; 2]]) = forward_pass
}

/// The gradients of x, of the shift (empty if there is none), of the weight and of the bias.
///
/// # Panics
/// If the sizes differ.
pub(super) fn backward(
    registers: Registers,
    norm: Affine<'_>,
    of: &[[f32; 2]],
    x: &[Bf16],
    gradient: &[Bf16],
    mut to: Gradients<'_>,
) {
    assert!(x.len() == gradient.len() && x.len() == to.x.len() && of.len() == norm.groups);
    assert!(to.shift.len() == norm.shift.len() && to.weight.len() == norm.weight.len());
    backward_on(registers, norm, of, x, gradient, &mut to);
}

compiled_for_registers! {
    fn backward_on(norm: Affine<'_>, of: &[[f32; 2]], x: &[Bf16], gradient: &[Bf16], to: &mut Gradients<'_>) = backward_pass
}

/// Where gradients go.
#[derive(Debug)]
pub(super) struct Gradients<'a> {
    pub(super) x: &'a mut [Bf16],
    pub(super) shift: &'a mut [Bf16],
    pub(super) weight: &'a mut [f32],
    pub(super) bias: &'a mut [f32],
}

impl Affine<'_> {
    fn channels(&self) -> usize {
        self.weight.len()
    }

    /// Channels in a group.
    fn wide(&self) -> usize {
        self.channels() / self.groups
    }

    #[inline(always)]
    fn shift(&self, channel: usize) -> f32 {
        self.shift.get(channel).map_or(0.0, |shift| shift.wide())
    }
}

/// Runs a pass on as many channels at a time as fill registers and divide the channels.
macro_rules! in_lanes {
    ($pass:ident, $channels:expr, $($argument:expr),*) => {
        match $channels {
            n if n % 32 == 0 => $pass::<32>($($argument),*),
            n if n % 16 == 0 => $pass::<16>($($argument),*),
            n if n % 8 == 0 => $pass::<8>($($argument),*),
            _ => $pass::<1>($($argument),*),
        }
    };
}

#[inline(always)]
fn forward_pass(norm: Affine<'_>, eps: f32, x: &[Bf16], y: &mut [Bf16], of: &mut [[f32; 2]]) {
    let channels = norm.channels();
    let pixels = (x.len() / channels) as f64;
    let (mut sum, mut square) = (vec![0f32; channels], vec![0f32; channels]);
    in_lanes!(moments, channels, x, &mut sum, &mut square);
    let wide = norm.wide();
    for (group, of) in of.iter_mut().enumerate() {
        let mean_of =
            |c: usize| f64::from(x[c].wide() + norm.shift(c)) + f64::from(sum[c]) / pixels;
        let all = group * wide..(group + 1) * wide;
        let mean = all.clone().map(mean_of).sum::<f64>() / wide as f64;
        let within = |c: usize| {
            let (sum, square) = (f64::from(sum[c]), f64::from(square[c]));
            (square - sum * sum / pixels) / pixels + (mean_of(c) - mean).powi(2)
        };
        let variance = all.map(within).sum::<f64>() / wide as f64;
        let root = 1.0 / (variance.max(0.0) + f64::from(eps)).sqrt();
        *of = [mean as f32, root as f32];
    }
    let line = coefficients(norm, of);
    in_lanes!(activate, channels, &line, norm.bias, x, y);
}

/// Sums and sums of squares of each channel's differences from its first pixel: the squares of numbers far from 0
/// would cancel.
#[inline(always)]
fn moments<const N: usize>(x: &[Bf16], sum: &mut [f32], square: &mut [f32]) {
    let channels = sum.len();
    for from in (0..channels).step_by(N) {
        let first: [f32; N] = std::array::from_fn(|i| x[from + i].wide());
        let (mut sums, mut squares) = ([0f32; N], [0f32; N]);
        for pixel in x.chunks_exact(channels) {
            let x = lanes::<_, N>(pixel, from);
            for i in 0..N {
                let difference = x[i].wide() - first[i];
                sums[i] += difference;
                squares[i] = difference.mul_add(difference, squares[i]);
            }
        }
        sum[from..from + N].copy_from_slice(&sums);
        square[from..from + N].copy_from_slice(&squares);
    }
}

#[inline(always)]
fn activate<const N: usize>(line: &Line, bias: &[f32], x: &[Bf16], y: &mut [Bf16]) {
    let channels = bias.len();
    for from in (0..channels).step_by(N) {
        let [slope, centre, bias] =
            [&line.slope[..], &line.centre, bias].map(|of| lanes::<_, N>(of, from));
        let images = x.chunks_exact(channels).zip(y.chunks_exact_mut(channels));
        for (x, y) in images {
            let (x, y) = (lanes::<_, N>(x, from), lanes_mut::<_, N>(y, from));
            for i in 0..N {
                let z = (x[i].wide() + centre[i]).mul_add(slope[i], bias[i]);
                y[i] = Bf16::nearest(z * sigmoid(z));
            }
        }
    }
}

#[inline(always)]
fn backward_pass(
    norm: Affine<'_>,
    of: &[[f32; 2]],
    x: &[Bf16],
    gradient: &[Bf16],
    to: &mut Gradients<'_>,
) {
    let channels = norm.channels();
    let pixels = (x.len() / channels) as f32;
    let line = coefficients(norm, of);
    let mut sums = [(); 3].map(|()| vec![0f32; channels]);
    // What is kept where the gradient of x will be is that of z.
    in_lanes!(
        through, channels, &line, norm.bias, x, gradient, &mut *to.x, &mut sums
    );
    let [sum, with, of_u] = sums;
    // Of x: r w dz − (r/M) (Σ w dz) − u (r³/M) (Σ w dz u), sums over the group's M numbers.
    let wide = norm.wide();
    let (mut constant, mut factor) = (vec![0f32; channels], vec![0f32; channels]);
    for (group, [_, root]) in of.iter().enumerate() {
        let all = group * wide..(group + 1) * wide;
        let numbers = pixels * wide as f32;
        let weigh = |sums: &[f32]| -> f32 { all.clone().map(|c| norm.weight[c] * sums[c]).sum() };
        let (plain, with_u) = (weigh(&sum), weigh(&with));
        for c in all.clone() {
            to.bias[c] = sum[c];
            to.weight[c] = with[c] * root;
            constant[c] = -root / numbers * plain;
            factor[c] = -root * root * root / numbers * with_u;
        }
    }
    in_lanes!(centred, channels, &line, &constant, &factor, x, &mut *to.x);
    for (c, shift) in to.shift.iter_mut().enumerate() {
        let all = sum[c] * line.slope[c] + (of_u[c] * factor[c] + pixels * constant[c]);
        *shift = Bf16::nearest(all);
    }
}

/// The gradient of z, and for each channel its sum, its sum with u, and the sum of u.
#[inline(always)]
fn through<const N: usize>(
    line: &Line,
    bias: &[f32],
    x: &[Bf16],
    gradient: &[Bf16],
    to: &mut [Bf16],
    sums: &mut [Vec<f32>; 3],
) {
    let channels = bias.len();
    for from in (0..channels).step_by(N) {
        let [slope, centre, bias] =
            [&line.slope[..], &line.centre, bias].map(|of| lanes::<_, N>(of, from));
        let [mut sum, mut with, mut of_u] = [[0f32; N]; 3];
        let images = x
            .chunks_exact(channels)
            .zip(gradient.chunks_exact(channels));
        for ((x, gradient), to) in images.zip(to.chunks_exact_mut(channels)) {
            let (x, gradient) = (lanes::<_, N>(x, from), lanes::<_, N>(gradient, from));
            let to = lanes_mut::<_, N>(to, from);
            for i in 0..N {
                let u = x[i].wide() + centre[i];
                let z = u.mul_add(slope[i], bias[i]);
                let s = sigmoid(z);
                let slope_of_silu = z.mul_add(s * (1.0 - s), s);
                let through = gradient[i].wide() * slope_of_silu;
                to[i] = Bf16::nearest(through);
                sum[i] += through;
                with[i] = through.mul_add(u, with[i]);
                of_u[i] += u;
            }
        }
        for (all, lanes) in sums.iter_mut().zip([sum, with, of_u]) {
            all[from..from + N].copy_from_slice(&lanes);
        }
    }
}

/// The gradient of x from that of z.
#[inline(always)]
fn centred<const N: usize>(
    line: &Line,
    constant: &[f32],
    factor: &[f32],
    x: &[Bf16],
    to: &mut [Bf16],
) {
    let channels = constant.len();
    for from in (0..channels).step_by(N) {
        let [slope, centre] = [&line.slope, &line.centre].map(|of| lanes::<_, N>(of, from));
        let [constant, factor] = [constant, factor].map(|of| lanes::<_, N>(of, from));
        for (x, to) in x.chunks_exact(channels).zip(to.chunks_exact_mut(channels)) {
            let (x, to) = (lanes::<_, N>(x, from), lanes_mut::<_, N>(to, from));
            for i in 0..N {
                let u = x[i].wide() + centre[i];
                let rest = u.mul_add(factor[i], constant[i]);
                to[i] = Bf16::nearest(to[i].wide().mul_add(slope[i], rest));
            }
        }
    }
}

#[inline(always)]
fn lanes<T, const N: usize>(of: &[T], from: usize) -> &[T; N] {
    of[from..from + N]
        .first_chunk()
        .expect("as many were taken")
}

#[inline(always)]
fn lanes_mut<T, const N: usize>(of: &mut [T], from: usize) -> &mut [T; N] {
    of[from..from + N]
        .first_chunk_mut()
        .expect("as many were taken")
}

/// z = slope (x + centre) + bias of each channel.
struct Line {
    slope: Vec<f32>,
    centre: Vec<f32>,
}

#[inline(always)]
fn coefficients(norm: Affine<'_>, of: &[[f32; 2]]) -> Line {
    let wide = norm.wide();
    let each = (0..norm.channels()).map(|c| {
        let [mean, root] = of[c / wide];
        (root * norm.weight[c], norm.shift(c) - mean)
    });
    let (slope, centre) = each.unzip();
    Line { slope, centre }
}

/// 1/(1 + exp(−z)), to 10⁻⁵ of itself: a hundredth of what bfloat16 then rounds away.
#[inline(always)]
fn sigmoid(z: f32) -> f32 {
    // exp(v) = 2ⁿ exp(r) with n the nearest integer to v/ln 2; adding 1.5·2²³ rounds, and leaves n in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let v = if -z < -87.0 { -87.0 } else { -z };
    let v = if 87.0 < v { 87.0 } else { v };
    let shifted = v.mul_add(std::f32::consts::LOG2_E, ROUND);
    let r = (shifted - ROUND).mul_add(-std::f32::consts::LN_2, v);
    let mut power = 1.0 / 120.0;
    for factor in [1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        power = f32::mul_add(power, r, factor);
    }
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    1.0 / power.mul_add(scale, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sigmoid_is_that_of_double_precision() {
        let mut worst = 0.0_f64;
        for i in -200_000..=200_000 {
            let z = i as f32 * 5e-4;
            let exact = 1.0 / (1.0 + (-f64::from(z.clamp(-87.0, 87.0))).exp());
            worst = worst.max((f64::from(sigmoid(z)) / exact - 1.0).abs());
        }
        assert!(worst < 1e-5, "{worst:e}");
    }

    #[test]
    fn rounding_is_to_the_nearest_and_of_two_to_the_even() {
        // 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷, 1 + 3·2⁻⁸ between 1 + 2⁻⁷ and 1 + 2⁻⁶.
        let step = 2f32.powi(-8);
        for (from, to) in [
            (1.0 + step, 1.0),
            (1.0 + 3.0 * step, 1.0 + 4.0 * step),
            (1.0 + 1.01 * step, 1.0 + 2.0 * step),
            (-1.0 - 0.99 * step, -1.0),
            (f32::MAX, f32::INFINITY),
            (-0.0, -0.0),
        ] {
            assert_eq!(
                Bf16::nearest(from).wide().to_bits(),
                f32::to_bits(to),
                "{from}"
            );
        }
        assert!(Bf16::nearest(f32::NAN).wide().is_nan());
    }

    #[test]
    fn results_are_the_same_bits_on_all_registers() {
        for (pixels, channels) in [(1, 2), (3, 6), (17, 24), (5, 48), (64, 64)] {
            let numbers = |seed: f32, count: usize| -> Vec<f32> {
                (0..count)
                    .map(|i| 3.0 * (seed * (i + 1) as f32).sin())
                    .collect()
            };
            let short = |seed, count| -> Vec<Bf16> {
                numbers(seed, count)
                    .into_iter()
                    .map(Bf16::nearest)
                    .collect()
            };
            let (weight, bias) = (numbers(0.3, channels), numbers(0.7, channels));
            let shift = short(1.3, channels);
            let norm = Affine {
                groups: 2,
                weight: &weight,
                bias: &bias,
                shift: &shift,
            };
            let (x, gradient) = (short(1.7, pixels * channels), short(0.9, pixels * channels));
            let all = Registers::available().map(|registers| {
                let mut y = x.clone();
                let mut of = vec![[0.0; 2]; 2];
                let (mut to_x, mut to_shift) = (x.clone(), shift.clone());
                let (mut to_weight, mut to_bias) = (weight.clone(), bias.clone());
                let to = Gradients {
                    x: &mut to_x,
                    shift: &mut to_shift,
                    weight: &mut to_weight,
                    bias: &mut to_bias,
                };
                forward(registers, norm, 1e-5, &x, &mut y, &mut of);
                backward(registers, norm, &of, &x, &gradient, to);
                let bits = [of.concat(), to_weight, to_bias].concat();
                let bits: Vec<u32> = bits.into_iter().map(f32::to_bits).collect();
                (y, to_x, to_shift, bits)
            });
            let all: Vec<_> = all.collect();
            assert!(all.iter().all(|one| *one == all[0]), "{pixels} {channels}");
        }
    }
}
