//! The limit of infinite width: second moments and correlations of two inputs, layer by layer.

use std::f64::consts::PI;

use super::network::{Activation, Connection, Design, Norm};

/// Of two inputs of equal size: E h², ½ E (h − h′)² and E h, per unit.
///
/// In an infinitely wide network the preactivations of two inputs are Gaussian with variance v = g² E h² + σ_b² and
/// covariance k = g² E h h′ + σ_b² (Poole et al. 2016); for ReLU E φ² = v/2, E φ φ′ = (v/2) κ(k/v) with
/// κ(c) = (√(1 − c²) + c (π − arccos c))/π (Cho and Saul 2009), and E φ = √(v/2π).
/// A branch of one layer has that mean, which all blocks add up; a second layer takes it away.
/// The difference is followed, not the product, so that it keeps its digits where the two become one.
/// Range: E h² ≥ 0, and at most 2 E h² of difference. It misleads where the depth is no small part of the width: see
/// [`finite_width`](super::finite_width).
#[derive(Clone, Copy, Debug)]
pub(super) struct MeanField {
    /// E h².
    pub(super) square: f64,
    /// ½ E (h − h′)²; NaN for tanh, which has no closed form here.
    pub(super) apart: f64,
    mean: f64,
}

impl MeanField {
    /// Two independent standard normal inputs.
    const INPUTS: MeanField = MeanField {
        square: 1.0,
        apart: 1.0,
        mean: 0.0,
    };

    /// The states before the first layer and after each; none under normalisation.
    pub(super) fn layers(design: &Design, width: usize, depth: usize) -> Option<Vec<MeanField>> {
        if design.norm != Norm::None {
            return None;
        }
        let factor = design.factor(depth);
        let mut states = vec![MeanField::INPUTS];
        for l in 0..depth {
            states.push(states[l].after_layer(design, width, factor));
        }
        Some(states)
    }

    /// 1 − the correlation of the two.
    pub(super) fn separation(&self) -> f64 {
        self.apart / self.square
    }

    /// The variance of the preactivations that follow.
    fn preactivation(&self, design: &Design, width: usize) -> f64 {
        design.weights.gain.powi(2) * self.square + design.biases.variance(width)
    }

    /// E φ′² and E φ′⁴ at the preactivations that follow.
    pub(super) fn slopes(&self, design: &Design, width: usize) -> [f64; 2] {
        let std = self.preactivation(design, width).sqrt();
        match design.activation {
            Activation::Relu => [0.5, 0.5],
            Activation::Linear => [1.0, 1.0],
            Activation::Tanh => [sech_mean(std, 4), sech_mean(std, 8)],
        }
    }

    fn after_layer(self, design: &Design, width: usize, factor: f64) -> MeanField {
        let bias = design.biases.variance(width);
        let v = self.preactivation(design, width);
        // The bias is that of both.
        let gap = design.weights.gain.powi(2) * self.apart;
        let (square, apart, mean) = match design.activation {
            Activation::Relu => (v / 2.0, v / 2.0 * lost(gap / v), (v / (2.0 * PI)).sqrt()),
            Activation::Linear => (v, gap, 0.0),
            Activation::Tanh => {
                let square = tanh_square(v.sqrt());
                (square, f64::NAN, 0.0)
            }
        };
        match design.connection {
            Connection::Plain => MeanField {
                square,
                apart,
                mean,
            },
            Connection::OneLayer { .. } => MeanField {
                square: self.square + 2.0 * factor * self.mean * mean + factor.powi(2) * square,
                apart: self.apart + factor.powi(2) * apart,
                mean: self.mean + factor * mean,
            },
            Connection::TwoLayer { second_gain, .. } => MeanField {
                square: self.square + factor.powi(2) * (second_gain.powi(2) * square + bias),
                apart: self.apart + factor.powi(2) * second_gain.powi(2) * apart,
                mean: self.mean,
            },
        }
    }
}

/// 1 − κ(1 − e), what is left of the difference of two inputs after ReLU: e less (sin θ − θ cos θ)/π at their angle θ.
fn lost(e: f64) -> f64 {
    let e = e.clamp(0.0, 2.0);
    let angle = 2.0 * (0.5 * e).sqrt().asin();
    let bent = if angle < 1e-2 {
        angle.powi(3) / 3.0 - angle.powi(5) / 30.0
    } else {
        angle.sin() - angle * angle.cos()
    };
    e - bent / PI
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

/// E sech^k a for normal a of that standard deviation, by the trapezoidal rule over the narrower of its two factors.
pub(super) fn sech_mean(std: f64, k: i32) -> f64 {
    const POINTS: i32 = 400;
    let reach = (8.0 * std).min(25.0);
    let step = 2.0 * reach / f64::from(POINTS);
    let at = |i: i32| {
        let a = f64::from(i) * step - reach;
        (-0.5 * (a / std).powi(2)).exp() * a.cosh().powi(-k)
    };
    (0..=POINTS).map(at).sum::<f64>() * step / std / (2.0 * std::f64::consts::PI).sqrt()
}

/// E tanh² a for normal a of that standard deviation; 1 − E sech² where that keeps its digits.
pub(super) fn tanh_square(std: f64) -> f64 {
    if std < 1.0 {
        normal_mean(|z| (std * z).tanh().powi(2))
    } else {
        1.0 - sech_mean(std, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::{Biases, Law, Scale, Weights};
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

    fn after(connection: Connection, depth: usize) -> MeanField {
        MeanField::layers(&design(connection), 64, depth).unwrap()[depth]
    }

    #[test]
    fn critical_networks_keep_the_second_moment_and_lose_the_angle_as_a_power() {
        let state = |depth| after(Connection::Plain, depth);
        assert!((state(100).square - 1.0).abs() < 1e-12);
        assert!((state(1).separation() - (1.0 - 1.0 / PI)).abs() < 1e-15);
        // 1 − c falls like 9 π²/(2 l²): a power, not an exponential.
        let scaled = |depth: usize| state(depth).separation() * (depth * depth) as f64;
        let limit = 4.5 * PI * PI;
        assert!((scaled(20_000) / limit - 1.0).abs() < 0.01);
    }

    #[test]
    fn what_is_lost_keeps_its_digits_where_two_inputs_are_almost_one() {
        let kappa = |c: f64| ((1.0 - c * c).sqrt() + c * (PI - c.acos())) / PI;
        for e in [1.9, 1.0, 0.3, 1e-3] {
            assert!((lost(e) - (1.0 - kappa(1.0 - e))).abs() < 1e-13, "{e}");
        }
        // e − (2 √2/3π) e^(3/2).
        let e = 1e-24_f64;
        let leading = e - 2.0 * 2.0_f64.sqrt() / (3.0 * PI) * e.powf(1.5);
        assert!((lost(e) / leading - 1.0).abs() < 1e-15);
        assert!((lost(5.1e-5) / lost(4.9e-5) - 5.1 / 4.9).abs() < 1e-3);
    }

    #[test]
    fn scaled_branches_have_a_limit_in_depth() {
        let scaled = |scale| Connection::TwoLayer {
            scale,
            second_gain: 1.0,
        };
        let state = after(scaled(Scale::InverseSqrtDepth), 100_000);
        assert!((state.square - 1.0_f64.exp()).abs() < 1e-3);
        let power = after(scaled(Scale::Power(-0.5)), 1000);
        let constant = after(scaled(Scale::Constant(1e-3_f64.sqrt())), 1000);
        assert!((power.square / constant.square - 1.0).abs() < 1e-12);
        let state = after(scaled(Scale::One), 128);
        assert!((state.square.log2() - 128.0).abs() < 1e-9);
    }

    #[test]
    fn means_over_a_normal_variable_are_exact() {
        assert!((normal_mean(|_| 1.0) - 1.0).abs() < 1e-13);
        assert!((normal_mean(|z| z.powi(4)) - 3.0).abs() < 1e-11);
        assert!((normal_mean(f64::cos) - (-0.5_f64).exp()).abs() < 1e-13);
    }

    #[test]
    fn means_of_sech_are_those_of_narrow_and_of_wide_laws() {
        // 1 − k s²/2 for small s; ∫ sech² = 2 and ∫ sech⁴ = 4/3 over the density's top for large ones.
        assert!((sech_mean(1e-3, 4) - (1.0 - 2e-6)).abs() < 1e-10);
        let top = |std: f64| 1.0 / (2.0 * std::f64::consts::PI).sqrt() / std;
        for std in [50.0, 1e4] {
            assert!((sech_mean(std, 2) / (2.0 * top(std)) - 1.0).abs() < 1e-3);
            assert!((sech_mean(std, 4) / (4.0 / 3.0 * top(std)) - 1.0).abs() < 1e-3);
        }
        // In between against the plain rule in z.
        let plain = normal_mean(|z| (2.0 * z).cosh().powi(-2));
        assert!((sech_mean(2.0, 2) - plain).abs() < 1e-10);
        for std in [1e-30, 1e-3, 0.999, 1.001, 30.0, 1e6] {
            let off = tanh_square(std) / (std * std).min(1.0);
            let small = 1.0 - 2.0 * std * std;
            assert!(
                off < 1.0 + 1e-12 && (small - 1e-12 < off || 1e-2 < std),
                "{std}: {off}"
            );
        }
        assert!((tanh_square(0.999) / tanh_square(1.001) - 1.0).abs() < 2e-3);
        // 1 − 2/√(2π s²).
        assert!((tanh_square(1e6) - (1.0 - 2e-6 / (2.0 * PI).sqrt())).abs() < 1e-15);
    }
}
