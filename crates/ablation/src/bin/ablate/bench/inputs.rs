//! Numbers that both sides of a measurement make for themselves: integers hashed to uniforms, and those to normals.
//!
//! `peers/inputs.py` of `xtask` does the same; a difference shows in the answers that are compared.

use std::f64::consts::TAU;

/// The uniform number in \[0, 1) at a place of a stream: SplitMix64 (Steele, Lea & Flood 2014) of their mixture.
pub(super) fn uniform(stream: u64, place: u64) -> f64 {
    let mut z = (stream << 40)
        .wrapping_add(place + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

/// `count` uniforms in \[0, 1).
pub(super) fn uniforms(stream: u64, count: usize) -> Vec<f64> {
    (0..count as u64)
        .map(|place| uniform(stream, place))
        .collect()
}

/// `count` standard normals, by Box and Muller, from uniforms 2i and 2i + 1.
pub(super) fn normals(stream: u64, count: usize) -> Vec<f64> {
    let one = |place: u64| {
        let radius = (-2.0 * (1.0 - uniform(stream, 2 * place)).ln()).sqrt();
        radius * (TAU * uniform(stream, 2 * place + 1)).cos()
    };
    (0..count as u64).map(one).collect()
}
