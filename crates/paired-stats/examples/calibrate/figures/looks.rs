//! What looking more than once does, planned and unplanned.

use paired_stats::{Looks, log_e_value, t_test};

use super::study::normal;
use super::{Figure, Rule, mean_of, share_of, simulate};

/// The looks that `--sequential` plans.
pub(super) const SEEDS: [usize; 3] = [8, 16, 30];
/// Their shape: between O'Brien & Fleming (0) and Pocock (1/2).
pub(super) const SHAPE: f64 = 0.125;
/// Weight of the t e-process.
pub(super) const WEIGHT: f64 = 10.0;

/// Effect; share that rejects and mean number of seeds after each seed from 3 to 30 at 5 %, at three
/// planned looks, and by the t e-process after each seed; from 1500 studies or more, with nominal levels
/// of 0.0010, 0.0137 and 0.0449 at the looks.
const TABLE: [(f64, [(f64, f64); 3]); 4] = [
    (0.0, [(0.267, 24.7), (0.051, 29.8), (0.005, 30.0)]),
    (0.5, [(0.871, 14.2), (0.754, 26.2), (0.341, 27.6)]),
    (1.0, [(1.0, 6.7), (0.999, 17.3), (0.974, 18.5)]),
    (2.0, [(1.0, 3.9), (1.0, 11.2), (1.0, 12.3)]),
];

pub(super) fn figures(studies: usize) -> Vec<Figure> {
    let looks = Looks::wang_tsiatis(&SEEDS, SHAPE).unwrap();
    let levels: Vec<f64> = (0..SEEDS.len())
        .map(|k| looks.look(k).level(0.05).unwrap())
        .collect();
    let mut figures = Vec::new();
    for (effect, expected) in TABLE {
        let stops = simulate(studies / 4, 400, |rng| {
            let values = normal(effect, 30, rng);
            let p = |n: usize| t_test(&values[..n], 0.0).unwrap();
            let log_e = |n: usize| log_e_value(&values[..n], 0.0, WEIGHT).unwrap();
            [
                (3..=30).find(|n| p(*n) <= 0.05),
                (0..SEEDS.len())
                    .find(|k| p(SEEDS[*k]) <= levels[*k])
                    .map(|k| SEEDS[k]),
                (3..=30).find(|n| 20.0_f64.ln() <= log_e(*n)),
            ]
        });
        let names = ["every seed at 5 %", "three looks", "t e-process"];
        for (i, (name, (share, mean))) in names.into_iter().zip(expected).enumerate() {
            let rejected: Vec<bool> = stops.iter().map(|s| s[i].is_some()).collect();
            let seeds: Vec<f64> = stops.iter().map(|s| s[i].unwrap_or(30) as f64).collect();
            figures.push(share_of(
                format!("{name}, d = {effect}: rejected"),
                Rule::Near(share, 3.0 * (share * (1.0 - share) / 1500.0).sqrt() + 0.005),
                &rejected,
            ));
            figures.push(mean_of(
                format!("{name}, d = {effect}: mean seeds"),
                Rule::Near(mean, 0.8),
                &seeds,
            ));
        }
    }
    figures
}
