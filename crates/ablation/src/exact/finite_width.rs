//! What infinite width says of a random network, and what a finite one moves of it.

use std::f64::consts::LN_10;

use statrs::function::gamma::digamma;

use super::{
    mean_field::MeanField,
    network::{Activation, Biases, Connection, Design, Law as Drawn},
    norm::shift,
    paths::binomial,
    propagation::Propagation,
};

/// Units from which the first correction is one.
const NARROWEST: usize = 32;

/// What a number should be, and how far the theory itself may be off, in the units of the number.
///
/// What is drawn has its standard error besides: these are the errors that more seeds do not take away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    pub(super) value: f64,
    pub(super) slack: f64,
}

/// The law of a measure at initialisation; none where there is no closed form.
///
/// Infinite width (Poole et al. 2016) with the first correction of a width n. The logarithm of a product of L random
/// factors of mean 1 and variance v/n lies L v/2n below 0 (Hanin and Nica 2020, where v = 5 for ReLU):
///
/// | | mean | correction of the natural logarithm |
/// |---|---|---|
/// | growth, plain | m^L, m = g² E φ²/v | exact: L E ln(2 χ²_K/n), K of n units active |
/// | growth, two layers | (1 + a)^L, a = b² g₂² m | −L (4 a + (v + 2) a²)/(2 n (1 + a)²) |
/// | gain², plain and two layers | m^L, (1 + a)^L | −½ ln of the exact second moment of ‖J‖² |
/// | 1 − cosine, plain ReLU | κ, layer by layer | between −(7/3) L/n, derived below, and 0 |
/// | first gradient², plain ReLU | m^(L−1)/q | 0 without biases; −2.5 (L − 1)/n of it at most with them |
///
/// For 1 − cosine = e ≪ 1: e → e (1 − k √e) times a factor of mean 1 whose logarithm has the variance 8/n (5/n each for
/// difference and length, less twice the 1/n that both owe to the number of active units). With u = ln e and its mean-field
/// path u₀, 2/l = k e^(u₀/2), the mean δ of u − u₀ obeys δ′ = −δ/l − 4/n − Var/(4 l), Var = (8/3) l/n: δ = −(7/3) l/n.
/// That is of a single pair. The logarithm of a mean over pairs, which share only part of their noise, lies higher, and
/// biases keep lengths from shrinking: so half of it is taken, and as much allowed.
/// Below 32 units the next orders count, and networks die: there is no law.
pub(super) fn law(design: &Design, width: usize, depth: usize, of: Propagation) -> Option<Law> {
    if width < NARROWEST {
        return None;
    }
    let states = MeanField::layers(design, width, depth)?;
    let theory = Theory {
        design,
        states: &states,
        width,
        n: width as f64,
        layers: depth as f64,
        branch: design.factor(depth).powi(2),
    };
    let law = match of {
        Propagation::Growth => theory.growth(),
        Propagation::Gain => theory.gain(),
        Propagation::Separation => theory.separation(),
        Propagation::FirstGradient => theory.first_gradient(),
        Propagation::Cosine
        | Propagation::Centred
        | Propagation::EffectiveRank
        | Propagation::Recovered
        | Propagation::Rank
        | Propagation::Participation
        | Propagation::Condition
        | Propagation::KeptCondition => None,
    };
    // Second moments of thousands of unscaled blocks leave the range of numbers.
    law.filter(|law| law.value.is_finite() && law.slack.is_finite())
}

/// Whether a network keeps every angle and every ratio of lengths of its inputs, up to rounding.
pub(super) fn is_isometry(design: &Design) -> bool {
    design.activation == Activation::Linear
        && design.connection == Connection::Plain
        && design.norm == super::network::Norm::None
        && design.weights.law == Drawn::Orthogonal
        && design.biases == Biases::None
}

struct Theory<'a> {
    design: &'a Design,
    /// Before the first layer and after each.
    states: &'a [MeanField],
    width: usize,
    n: f64,
    layers: f64,
    /// b².
    branch: f64,
}

impl Theory<'_> {
    /// g² E φ²/v, and n times the variance of a layer's ‖φ(W h)‖² over the square of its mean; for independent entries.
    fn homogeneous(&self) -> Option<(f64, f64)> {
        let gain = self.design.weights.gain.powi(2);
        match (self.design.activation, self.design.weights.law) {
            (_, Drawn::Orthogonal) | (Activation::Tanh, _) => None,
            (Activation::Relu, _) => Some((0.5 * gain, 5.0)),
            (Activation::Linear, _) => Some((gain, 2.0)),
        }
    }

    fn growth(&self) -> Option<Law> {
        let unbiased = self.design.biases == Biases::None;
        match self.design.connection {
            Connection::Plain if unbiased => {
                let (m, _) = self.homogeneous()?;
                let shift = match self.design.activation {
                    Activation::Relu => active(self.width, |k| (2.0 / self.n).ln() + chi(k)),
                    _ => chi(self.n) - self.n.ln(),
                };
                // Uniform entries have a smaller fourth moment, by a share of about 6/n · 1.2.
                Some(Law {
                    value: self.layers * (m.ln() + shift) / LN_10,
                    slack: 1e-3 + 0.05 * (self.layers * shift).abs() / LN_10,
                })
            }
            Connection::TwoLayer { second_gain, .. } if unbiased => {
                let (m, v) = self.homogeneous()?;
                let a = self.branch * second_gain.powi(2) * m;
                let shift = (4.0 * a + (v + 2.0) * a * a) / (2.0 * self.n * (1.0 + a).powi(2));
                Some(Law {
                    value: self.layers * (a.ln_1p() - shift) / LN_10,
                    slack: 0.01 + 0.1 * self.layers * shift / LN_10,
                })
            }
            Connection::OneLayer { .. } => {
                let (m, _) = self.homogeneous()?;
                let a = self.branch * m;
                Some(Law {
                    value: self.last().square.log10(),
                    slack: 0.02 + self.layers * 2.0 * a / self.n / LN_10,
                })
            }
            Connection::Plain | Connection::TwoLayer { .. } => None,
        }
    }

    fn gain(&self) -> Option<Law> {
        let gain = self.design.weights.gain.powi(2);
        // What each layer multiplies ‖J‖² by.
        let slopes = |b: f64, skip: f64| -> f64 {
            let before = &self.states[..self.states.len() - 1];
            let factor = |s: &MeanField| skip + b * gain * s.slopes(self.design, self.width)[0];
            before.iter().map(|s| factor(s).log10()).sum()
        };
        match (self.design.connection, self.design.activation) {
            (Connection::Plain, Activation::Tanh) => {
                // Of a chaotic network few slopes are not zero, and ‖J‖² is no lognormal number.
                let [square, fourth] = self.last().slopes(self.design, self.width);
                if 4.0 < fourth / (square * square) {
                    return None;
                }
                let value = 0.5 * slopes(1.0, 0.0);
                let shift = shift(self.design, self.states, self.width, self.branch);
                Some(Law {
                    value: value - shift,
                    slack: 0.02 + 0.05 * value.abs() + 0.2 * shift,
                })
            }
            (Connection::Plain, _) => {
                let (m, _) = self.homogeneous()?;
                let shift = shift(self.design, self.states, self.width, self.branch);
                Some(Law {
                    value: 0.5 * self.layers * m.log10() - shift,
                    slack: 0.01 + 0.2 * shift,
                })
            }
            (Connection::TwoLayer { second_gain, .. }, Activation::Relu | Activation::Linear) => {
                let (m, _) = self.homogeneous()?;
                let a = self.branch * second_gain.powi(2) * m;
                let shift = shift(self.design, self.states, self.width, self.branch);
                Some(Law {
                    value: 0.5 * self.layers * a.ln_1p() / LN_10 - shift,
                    slack: 0.01 + 0.2 * shift,
                })
            }
            // ReLU's slope and its preactivation are correlated, which one layer after a skip does not average out.
            (Connection::OneLayer { .. }, Activation::Tanh) => {
                let shift = shift(self.design, self.states, self.width, self.branch);
                Some(Law {
                    value: 0.5 * slopes(self.branch, 1.0) - shift,
                    slack: 0.02 + 0.5 * shift,
                })
            }
            (Connection::OneLayer { .. } | Connection::TwoLayer { .. }, _) => None,
        }
    }

    fn separation(&self) -> Option<Law> {
        let value = self.last().separation().log10();
        match self.design.connection {
            Connection::Plain => {
                if self.design.activation != Activation::Relu {
                    return None;
                }
                self.homogeneous()?;
                let half = 0.5 * 7.0 / 3.0 * self.layers / self.n / LN_10;
                Some(Law {
                    value: value - half,
                    slack: 0.03 + half,
                })
            }
            Connection::OneLayer { .. } | Connection::TwoLayer { .. } => {
                let (m, v) = self.homogeneous()?;
                let a = self.branch * m;
                let spread = v * a * self.layers / self.n;
                // Branches that are louder than their skips are plain layers.
                let plain = 7.0 / 3.0 * self.layers / self.n * (a / (1.0 + a)).powi(2);
                Some(Law {
                    value,
                    slack: ((0.05 + spread).ln_1p() + plain) / LN_10,
                })
            }
        }
    }

    fn first_gradient(&self) -> Option<Law> {
        if self.design.connection != Connection::Plain || self.design.activation != Activation::Relu
        {
            return None;
        }
        let (m, v) = self.homogeneous()?;
        let back = (self.layers - 1.0) * m.ln();
        let length = self.states[self.states.len() - 2].square.ln();
        // Half of it, between that of a length which the biases hold and that of one which shrinks as the gradient does.
        let shift = match self.design.biases {
            Biases::None => 0.0,
            Biases::FanIn => 0.25 * v * (self.layers - 1.0) / self.n,
        };
        Some(Law {
            value: 0.5 * (back - length - shift) / LN_10,
            slack: 0.02 + 0.5 * shift / LN_10,
        })
    }

    fn last(&self) -> &MeanField {
        &self.states[self.states.len() - 1]
    }
}

/// E ln χ²_k.
fn chi(k: f64) -> f64 {
    digamma(0.5 * k) + std::f64::consts::LN_2
}

/// E f(K) over the number K of active units among n, given that there is one.
fn active(n: usize, f: impl Fn(f64) -> f64) -> f64 {
    let shares = binomial(n, 0.5);
    let sum: f64 = (1..=n).map(|k| shares[k] * f(k as f64)).sum();
    sum / (1.0 - shares[0])
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{ChiSquared, StandardNormal};

    use super::super::network::{Norm, Scale, Weights};
    use super::*;

    fn design(activation: Activation, connection: Connection, drawn: Drawn) -> Design {
        let gain = match activation {
            Activation::Relu => 2.0_f64.sqrt(),
            Activation::Linear | Activation::Tanh => 1.0,
        };
        Design {
            activation,
            connection,
            norm: Norm::None,
            weights: Weights { law: drawn, gain },
            biases: Biases::None,
        }
    }

    fn value(design: &Design, width: usize, depth: usize, of: Propagation) -> f64 {
        law(design, width, depth, of).expect("a law").value
    }

    #[test]
    fn logarithms_lie_half_a_variance_below_the_mean() {
        let relu = design(Activation::Relu, Connection::Plain, Drawn::Normal);
        let linear = design(Activation::Linear, Connection::Plain, Drawn::Normal);
        // −5 L/2n and −2 L/2n nats to leading order in 1/n.
        for (design, v) in [(&relu, 5.0), (&linear, 2.0)] {
            let found = value(design, 4000, 100, Propagation::Growth) * LN_10;
            assert!(
                (found / (-0.5 * v * 100.0 / 4000.0) - 1.0).abs() < 2e-3,
                "{found}"
            );
        }
        let connection = Connection::TwoLayer {
            scale: Scale::InverseSqrtDepth,
            second_gain: 1.0,
        };
        let scaled = design(Activation::Relu, connection, Drawn::Normal);
        let found = value(&scaled, 100_000, 1000, Propagation::Growth) * LN_10;
        assert!((found - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_block_of_two_layers_grows_as_one_that_is_drawn() {
        // b = g₂ = 1, m = 1: a = 1, so ln 2 − (4 + 7)/(2 · 4 n) for each layer.
        let connection = Connection::TwoLayer {
            scale: Scale::One,
            second_gain: 1.0,
        };
        let design = design(Activation::Relu, connection, Drawn::Normal);
        let (n, depth) = (100, 10);
        let of_layer = value(&design, n, depth, Propagation::Growth) * LN_10 / depth as f64;
        assert!((of_layer - (2.0_f64.ln() - 11.0 / 800.0)).abs() < 1e-12);
        // ‖h + F‖² of a unit h, without a matrix: K units are active, and W₂ is normal along h and across it.
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let across = ChiSquared::new((n - 1) as f64).expect("positive");
        let draws = 200_000;
        let logs = (0..draws).map(|_| {
            let active = (0..n).filter(|_| rng.random::<bool>()).count();
            let inner = ChiSquared::new(active as f64).expect("one is active");
            let square = 2.0 * rng.sample(inner) / (n * n) as f64;
            let along: f64 = rng.sample(StandardNormal);
            ((1.0 + square.sqrt() * along).powi(2) + square * rng.sample(across)).ln()
        });
        let mean = logs.sum::<f64>() / f64::from(draws);
        // 0.17/√draws = 4e-4 is the standard error, and 1/n² the next order.
        assert!((mean - of_layer).abs() < 1.5e-3, "{mean} {of_layer}");
    }

    #[test]
    fn the_norm_of_a_jacobian_averages_over_directions_until_one_is_left() {
        let relu = design(Activation::Relu, Connection::Plain, Drawn::Normal);
        let shift = |depth| -4.0 * LN_10 * value(&relu, 1000, depth, Propagation::Gain);
        // E‖J‖⁴ of the first layer: units on or off and n of them add 1/n, the entries 4/n².
        assert!((shift(1) - (1.0_f64 + 1e-3 + 4e-6).ln()).abs() < 1e-9);
        // In the end 5/n per layer, as of a single vector.
        let late = shift(4000) - shift(3999);
        assert!((late - 0.005_f64.ln_1p()).abs() < 1e-6, "{late}");
        let linear = design(Activation::Linear, Connection::Plain, Drawn::Normal);
        let late = |d| -4.0 * LN_10 * value(&linear, 1000, d, Propagation::Gain);
        assert!((late(9000) - late(8999) - 0.002_f64.ln_1p()).abs() < 1e-6);
    }

    #[test]
    fn there_is_no_law_of_narrow_networks_nor_beyond_the_range_of_numbers() {
        let relu = design(Activation::Relu, Connection::Plain, Drawn::Normal);
        for (width, depth, has) in [(31, 4, false), (32, 4, true), (32, 9000, true)] {
            assert_eq!(law(&relu, width, depth, Propagation::Gain).is_some(), has);
        }
        let two = Connection::TwoLayer {
            scale: Scale::One,
            second_gain: 1.0,
        };
        let unscaled = design(Activation::Relu, two, Drawn::Normal);
        assert!(law(&unscaled, 64, 1000, Propagation::Separation).is_some());
        assert!(law(&unscaled, 64, 2000, Propagation::Separation).is_none());
        let chaotic = |gain| Design {
            weights: Weights {
                law: Drawn::Normal,
                gain,
            },
            ..design(Activation::Tanh, Connection::Plain, Drawn::Normal)
        };
        for (gain, has) in [(2.0, true), (10.0, false)] {
            let found = law(&chaotic(gain), 64, 8, Propagation::Gain);
            assert_eq!(found.is_some(), has, "{gain}");
        }
    }

    #[test]
    fn gradients_of_critical_networks_are_those_of_all_layers() {
        let relu = design(Activation::Relu, Connection::Plain, Drawn::Normal);
        assert!(value(&relu, 64, 100, Propagation::FirstGradient).abs() < 1e-12);
        let pytorch = Design {
            weights: Weights {
                law: Drawn::Uniform,
                gain: 3.0_f64.sqrt().recip(),
            },
            biases: Biases::FanIn,
            ..relu
        };
        // (1/6)^((L − 1)/2)/√q with q at its fixed point 1/(5 · 64).
        let wide = value(&pytorch, 64, 32, Propagation::FirstGradient);
        let leading = -15.5 * 6.0_f64.log10() + 0.5 * 320.0_f64.log10();
        let shift = 0.125 * 5.0 * 31.0 / 64.0 / LN_10;
        assert!((wide - (leading - shift)).abs() < 1e-3, "{wide} {leading}");
    }
}
