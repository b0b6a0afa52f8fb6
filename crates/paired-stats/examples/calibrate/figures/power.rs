//! How often an effect is found.

use paired_stats::{power_t, sign_flip, t_test};

use super::study::normal;
use super::{Figure, Rule, share_of, simulate};

/// Standardised effects of the columns.
const EFFECTS: [f64; 4] = [0.5, 1.0, 1.5, 2.0];

/// Power of the sign-flip test, by number of seeds, from 1500 studies or more.
const TABLE: [(usize, [f64; 4]); 7] = [
    (5, [0.0, 0.0, 0.0, 0.0]),
    (6, [0.10, 0.34, 0.67, 0.87]),
    (8, [0.22, 0.65, 0.94, 1.0]),
    (10, [0.28, 0.80, 0.99, 1.0]),
    (15, [0.45, 0.94, 1.0, 1.0]),
    (20, [0.57, 0.99, 1.0, 1.0]),
    (30, [0.76, 1.0, 1.0, 1.0]),
];

pub(super) fn figures(studies: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (n, row) in TABLE {
        for (effect, by_flips) in EFFECTS.into_iter().zip(row) {
            // Thirty seeds are dear to flip.
            let found = simulate(if n < 30 { studies } else { studies / 4 }, 300, |rng| {
                let values = normal(effect, n, rng);
                [
                    t_test(&values, 0.0).unwrap() <= 0.05,
                    sign_flip(&values).unwrap().p <= 0.05,
                ]
            });
            let column = |i: usize| found.iter().map(|hits| hits[i]).collect::<Vec<bool>>();
            figures.push(share_of(
                format!("t test, {n} seeds, d = {effect}"),
                Rule::Near(power_t(effect, n, 0.05).unwrap(), 0.01),
                &column(0),
            ));
            let error = (by_flips * (1.0 - by_flips) / 1500.0).sqrt();
            figures.push(share_of(
                format!("sign-flip, {n} seeds, d = {effect}"),
                Rule::Near(by_flips, 3.0 * error + 0.01),
                &column(1),
            ));
        }
    }
    figures
}
