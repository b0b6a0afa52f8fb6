//! How far the gain of one random network lies below that of their mean square.

use std::f64::consts::LN_10;

use super::{
    mean_field::MeanField,
    network::{Connection, Design, Law as Drawn},
};

/// By how much log₁₀ of the gain of a network lies below that of its mean square: a quarter of that of
/// E‖J‖⁴/(E‖J‖²)², as if ‖J‖² were lognormal.
///
/// Of A = J Jᵀ, with T = E (tr A)² and S = E tr A² over (E tr A)² and r = E φ′⁴/(E φ′²)², a layer of independent
/// normal entries makes of T and S, exactly,
///
/// ```text
/// (1 + (r − 1)/n) T + 2 r/n S         r/n T + (1 + (2 r − 1)/n) S
/// ```
///
/// one of an orthogonal matrix
///
/// ```text
/// T + (r − 1)/(n + 2) (T + 2 S)       S + (r − 1)/(n + 2) (T + 2 S)
/// ```
///
/// and a branch of variance a, whose own layers make T′ and S′,
///
/// ```text
/// (1 + 2 a) T + 4 a/n S + a² T′       2 a/n T + (1 + 2 a + 2 a/n) S + a² S′,   both over (1 + a)²
/// ```
pub(super) fn shift(design: &Design, states: &[MeanField], width: usize, branch: f64) -> f64 {
    let n = width as f64;
    let layer = |r: f64, [t, s]: [f64; 2]| match design.weights.law {
        Drawn::Orthogonal => {
            let both = (r - 1.0) / (n + 2.0) * (t + 2.0 * s);
            [t + both, s + both]
        }
        Drawn::Normal | Drawn::Uniform => [
            (1.0 + (r - 1.0) / n) * t + 2.0 * r / n * s,
            r / n * t + (1.0 + (2.0 * r - 1.0) / n) * s,
        ],
    };
    let step = |state: &MeanField, [t, s]: [f64; 2]| {
        let [square, fourth] = state.slopes(design, width);
        let one = layer(fourth / (square * square), [t, s]);
        let variance = branch * design.weights.gain.powi(2) * square;
        let (a, own) = match design.connection {
            Connection::Plain => return one,
            Connection::OneLayer { .. } => (variance, one),
            Connection::TwoLayer { second_gain, .. } => {
                (variance * second_gain.powi(2), layer(1.0, one))
            }
        };
        let skip = [
            (1.0 + 2.0 * a) * t + 4.0 * a / n * s,
            2.0 * a / n * t + (1.0 + 2.0 * a + 2.0 * a / n) * s,
        ];
        [0, 1].map(|i| (skip[i] + a * a * own[i]) / ((1.0 + a) * (1.0 + a)))
    };
    // T and S grow exponentially: the logarithm of T, and S over T.
    let before = &states[..states.len() - 1];
    let (log, _) = before.iter().fold((0.0, 1.0 / n), |(log, share), state| {
        let [t, s] = step(state, [1.0, share]);
        (log + t.ln(), s / t)
    });
    0.25 * log / LN_10
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    use super::super::network::{Activation, Biases, Norm, Scale, Weights};
    use super::*;

    /// ‖J‖⁴ of single draws, at a width where the correction is no small one.
    #[test]
    fn the_second_moment_of_the_norm_is_that_of_drawn_matrices() {
        let scale = Scale::Constant(0.8);
        let second_gain = 1.1;
        let two = Connection::TwoLayer { scale, second_gain };
        let cases = [
            (Activation::Tanh, Connection::Plain, Drawn::Normal),
            (Activation::Tanh, Connection::Plain, Drawn::Orthogonal),
            (
                Activation::Tanh,
                Connection::OneLayer { scale },
                Drawn::Normal,
            ),
            (Activation::Relu, two, Drawn::Normal),
            (Activation::Linear, two, Drawn::Normal),
        ];
        const WIDTH: usize = 6;
        const LAYERS: usize = 3;
        for (case, (activation, connection, drawn)) in cases.into_iter().enumerate() {
            let design = Design {
                activation,
                connection,
                norm: Norm::None,
                weights: Weights {
                    law: drawn,
                    gain: 1.5,
                },
                biases: Biases::None,
            };
            // Slopes of preactivations that are drawn for themselves, as the theory has them.
            let states = MeanField::layers(&design, WIDTH, LAYERS).expect("no normalisation");
            let mut rng = ChaCha8Rng::seed_from_u64(case as u64);
            let std = |l: usize| (2.25 * states[l].square).sqrt();
            let draws = 40_000;
            let (mut first, mut second) = (0.0, 0.0);
            for _ in 0..draws {
                let mut j: Array2<f64> = Array2::eye(WIDTH);
                for l in 0..LAYERS {
                    let mut branch = design.weights.draw(WIDTH, WIDTH, &mut rng).dot(&j);
                    for mut row in branch.rows_mut() {
                        let z: f64 = rng.sample(StandardNormal);
                        row *= activation.slope(std(l) * z);
                    }
                    j = match connection {
                        Connection::Plain => branch,
                        Connection::OneLayer { .. } => &j + &(branch * 0.8),
                        Connection::TwoLayer { .. } => {
                            let second = Weights {
                                gain: second_gain,
                                ..design.weights
                            };
                            let second = second.draw(WIDTH, WIDTH, &mut rng);
                            &j + &(second.dot(&branch) * 0.8)
                        }
                    };
                }
                let square = j.mapv(|v| v * v).sum();
                first += square / f64::from(draws);
                second += square * square / f64::from(draws);
            }
            let drawn = second / (first * first);
            let exact = (4.0 * LN_10 * shift(&design, &states, WIDTH, 0.64)).exp();
            assert!(
                (drawn / exact - 1.0).abs() < 0.04,
                "{case}: {drawn} {exact}"
            );
        }
    }
}
