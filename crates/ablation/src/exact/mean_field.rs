//! The limit of infinite width: second moments and correlations of two inputs, layer by layer.

use std::f64::consts::PI;

use super::network::{Activation, Connection, Design};

/// Of two inputs of equal size: E h², E h h′ and E h, per unit.
///
/// In an infinitely wide network the preactivations of two inputs are Gaussian with variance v = g² E h² + σ_b² and
/// covariance k = g² E h h′ + σ_b² (Poole et al. 2016); for ReLU E φ² = v/2, E φ φ′ = (v/2) κ(k/v) with
/// κ(c) = (√(1 − c²) + c (π − arccos c))/π (Cho and Saul 2009), and E φ = √(v/2π).
/// A branch of one layer has that mean, which all blocks add up; a second layer takes it away.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeanField {
    /// E h².
    pub(super) square: f64,
    /// E h h′.
    pub(super) product: f64,
    mean: f64,
}

impl MeanField {
    /// Two independent standard normal inputs.
    pub(super) const INPUTS: MeanField = MeanField {
        square: 1.0,
        product: 0.0,
        mean: 0.0,
    };

    /// The state at each of the depths; none for an activation without a closed form.
    pub(super) fn at(design: &Design, width: usize, depth: usize) -> Option<MeanField> {
        let factor = design.factor(depth);
        (0..depth).try_fold(MeanField::INPUTS, |state, _| {
            state.after_layer(design, width, factor)
        })
    }

    /// The correlation of the two.
    pub(super) fn cosine(&self) -> f64 {
        self.product / self.square
    }

    fn after_layer(self, design: &Design, width: usize, factor: f64) -> Option<MeanField> {
        let gain = design.weights.gain.powi(2);
        let bias = design.biases.variance(width);
        let (v, k) = (gain * self.square + bias, gain * self.product + bias);
        let (square, product, mean) = match design.activation {
            Activation::Relu => (
                v / 2.0,
                v / 2.0 * arc_cosine(k / v),
                (v / (2.0 * PI)).sqrt(),
            ),
            Activation::Linear => (v, k, 0.0),
            Activation::Tanh => return None,
        };
        Some(match design.connection {
            Connection::Plain => MeanField {
                square,
                product,
                mean,
            },
            Connection::OneLayer { .. } => {
                let cross = 2.0 * factor * self.mean * mean;
                MeanField {
                    square: self.square + cross + factor.powi(2) * square,
                    product: self.product + cross + factor.powi(2) * product,
                    mean: self.mean + factor * mean,
                }
            }
            Connection::TwoLayer { second_gain, .. } => {
                let branch = |moment| factor.powi(2) * (second_gain.powi(2) * moment + bias);
                MeanField {
                    square: self.square + branch(square),
                    product: self.product + branch(product),
                    mean: self.mean,
                }
            }
        })
    }
}

/// The correlation of ReLU's outputs, over their second moment, from that of the inputs.
fn arc_cosine(c: f64) -> f64 {
    let c = c.clamp(-1.0, 1.0);
    ((1.0 - c * c).sqrt() + c * (PI - c.acos())) / PI
}

/// E f(z) for standard normal z: the trapezoidal rule, which converges faster than any power.
pub(super) fn normal_mean(f: impl Fn(f64) -> f64) -> f64 {
    const POINTS: i32 = 400;
    let step = 16.0 / f64::from(POINTS);
    let at = |i: i32| {
        let z = f64::from(i) * step - 8.0;
        (-0.5 * z * z).exp() * f(z)
    };
    (0..=POINTS).map(at).sum::<f64>() * step / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::network::{Biases, Law, Norm, Scale, Weights};
    use super::*;

    fn design(connection: Connection) -> Design {
        Design {
            activation: Activation::Relu,
            connection,
            norm: Norm::None,
            weights: Weights {
                law: Law::Normal,
                gain: 2.0_f64.sqrt(),
            },
            biases: Biases::None,
        }
    }

    #[test]
    fn critical_networks_keep_the_second_moment_and_lose_the_angle_as_a_power() {
        let state = |depth| MeanField::at(&design(Connection::Plain), 64, depth).unwrap();
        assert!((state(100).square - 1.0).abs() < 1e-12);
        assert!((state(1).cosine() - 1.0 / PI).abs() < 1e-15);
        // 1 − c falls like 9 π²/(2 l²): a power, not an exponential.
        let scaled = |depth: usize| (1.0 - state(depth).cosine()) * (depth * depth) as f64;
        let limit = 4.5 * PI * PI;
        assert!((scaled(20_000) / limit - 1.0).abs() < 0.01);
    }

    #[test]
    fn scaled_branches_have_a_limit_in_depth() {
        let connection = Connection::TwoLayer {
            scale: Scale::InverseSqrtDepth,
            second_gain: 1.0,
        };
        let state = MeanField::at(&design(connection), 64, 100_000).unwrap();
        assert!((state.square - 1.0_f64.exp()).abs() < 1e-3);
        let unscaled = Connection::TwoLayer {
            scale: Scale::One,
            second_gain: 1.0,
        };
        let state = MeanField::at(&design(unscaled), 64, 128).unwrap();
        assert!((state.square.log2() - 128.0).abs() < 1e-9);
    }

    #[test]
    fn means_over_a_normal_variable_are_exact() {
        assert!((normal_mean(|_| 1.0) - 1.0).abs() < 1e-13);
        assert!((normal_mean(|z| z.powi(4)) - 3.0).abs() < 1e-11);
        assert!((normal_mean(f64::cos) - (-0.5_f64).exp()).abs() < 1e-13);
    }
}
