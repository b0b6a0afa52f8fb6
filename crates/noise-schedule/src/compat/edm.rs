//! The one grid of EDM (NVlabs/edm, `generate.py`) that is not plain `f64` arithmetic.

use std::f32::consts::PI;

/// The noise levels u_0 > … > u_M = 0 of improved DDPM as EDM tabulates them: `steps` + 1 values,
/// with u_(j−1)² = (u_j² + 1)/max(alpha_bar_(j−1)/alpha_bar_j, C1) − 1 and alpha_bar_j = sin²(π j/(2 M (C2 + 1))) in `f32`.
///
/// The exact table is [`Grid::iddpm`](crate::Grid::iddpm).
///
/// Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>), table 1, where C1 = 0.001, C2 = 0.008 and M = 1000.
pub fn iddpm_levels(c1: f64, c2: f64, steps: usize) -> Vec<f64> {
    let alpha_bar = |j: usize| {
        let angle = 0.5 * PI * j as f32 / steps as f32 / (c2 + 1.0) as f32;
        let sine = f64::from(angle).sin() as f32;
        sine * sine
    };
    let mut levels = vec![0.0; steps + 1];
    for j in (1..=steps).rev() {
        let ratio = f64::from((alpha_bar(j - 1) / alpha_bar(j)).max(c1 as f32));
        let next: f64 = levels[j];
        levels[j - 1] = ((next * next + 1.0) / ratio - 1.0).sqrt();
    }
    levels
}

/// EDM's choice of `count` of these levels: those inside [sigma_min, sigma_max], of which every
/// round(i (len − 1)/(count − 1))-th is taken, halves to even; 0 is not appended.
///
/// `ablation_sampler` takes `sigma_min` 0.002 and `sigma_max` 81 where they are not given.
pub fn iddpm_subset(levels: &[f64], sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f64> {
    let inside: Vec<f64> = levels
        .iter()
        .copied()
        .filter(|u| sigma_min <= *u && *u <= sigma_max)
        .collect();
    if inside.is_empty() {
        return inside;
    }
    let stride = (inside.len() - 1) as f64 / (count.max(2) - 1) as f64;
    (0..count)
        .map(|i| inside[(stride * i as f64).round_ties_even() as usize])
        .collect()
}
