//! The probability flow of two modes, which is a monotone map of the line through them.

use score_objective::exact::GaussianMixture;
use statrs::function::erf::erfc;

/// The line through the means of a mixture of two equal Gaussians, where the flow separates from the other directions.
pub(super) struct Transport {
    // Weight of the mode above, half the distance, and the variance.
    weight: f64,
    half: f64,
    variance: f64,
    dim: usize,
    // Where the origin lies on the line, seen from the middle.
    origin: f64,
}

/// Where the flow from N(0, σ²) without any noise in between arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// The share of the first mode.
    pub(super) share: f64,
    /// The variance per coordinate around the mean of each mode's samples.
    pub(super) within: f64,
}

impl Transport {
    /// None unless the mixture has two modes of one positive variance, at two places.
    pub(super) fn between(data: &GaussianMixture) -> Option<Transport> {
        let means = data.means();
        if means.nrows() != 2 || data.variances()[0] <= 0.0 {
            return None;
        }
        let apart = &means.row(0) - &means.row(1);
        let distance = apart.dot(&apart).sqrt();
        if distance == 0.0 {
            return None;
        }
        let middle = (&means.row(0) + &means.row(1)) / 2.0;
        Some(Transport {
            weight: data.weights()[0],
            half: 0.5 * distance,
            variance: data.variances()[0],
            dim: means.ncols(),
            origin: -middle.dot(&apart) / distance,
        })
    }

    /// The flow from N(0, σ² I): a point at the quantile p of q_σ goes to the quantile p of the mixture.
    pub(super) fn flow(&self, sigma: f64) -> Flow {
        const POINTS: usize = 8001;
        // Mass, sum and sum of squares on either side of the middle.
        let mut sides = [[0.0; 3]; 2];
        for i in 0..POINTS {
            let z = -8.0 + 16.0 * i as f64 / (POINTS - 1) as f64;
            let mass = (-0.5 * z * z).exp();
            let p = self.above(self.origin + sigma * z, sigma);
            let u = self.quantile_above(p);
            let side = &mut sides[usize::from(u < 0.0)];
            side[0] += mass;
            side[1] += mass * u;
            side[2] += mass * u * u;
        }
        let total = sides[0][0] + sides[1][0];
        let spread = |[mass, sum, squares]: [f64; 3]| {
            if 0.0 < mass {
                squares - sum * sum / mass
            } else {
                0.0
            }
        };
        let along = (spread(sides[0]) + spread(sides[1])) / total;
        // Across, the flow from σ shrinks by √(v/(v + σ²)).
        let across = sigma * sigma * self.variance / (self.variance + sigma * sigma);
        // Exactly where the middle of the end lies at the start.
        let boundary = self.bisect(self.above(0.0, 0.0), sigma);
        Flow {
            share: 0.5 * erfc((boundary - self.origin) / (sigma * std::f64::consts::SQRT_2)),
            within: (along + across * (self.dim - 1) as f64) / self.dim as f64,
        }
    }

    /// P(u > `at`) under q_σ: complementary, so that the upper mode's tail keeps its digits.
    fn above(&self, at: f64, sigma: f64) -> f64 {
        let scale = (2.0 * (self.variance + sigma * sigma)).sqrt();
        let tail = |mean: f64| 0.5 * erfc((at - mean) / scale);
        self.weight * tail(self.half) + (1.0 - self.weight) * tail(-self.half)
    }

    fn quantile_above(&self, p: f64) -> f64 {
        self.bisect(p, 0.0)
    }

    /// Where P(u > x) = p under q_σ.
    fn bisect(&self, p: f64, sigma: f64) -> f64 {
        let reach = self.half + 40.0 * (self.variance + sigma * sigma).sqrt();
        let (mut low, mut high) = (-reach, reach);
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if p < self.above(middle, sigma) {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn from_far_away_the_flow_finds_weights_and_variance() {
        let data = GaussianMixture::song_ermon();
        let flow = Transport::between(&data).unwrap().flow(1e5);
        assert!(
            (flow.share - 0.8).abs() < 1e-4 && (flow.within - 1.0).abs() < 1e-2,
            "{flow:?}"
        );
    }

    #[test]
    fn where_the_start_is_symmetric_so_is_the_end() {
        let means = array![[3.0, 1.0], [-3.0, -1.0]];
        let data = GaussianMixture::new(array![1.0, 1.0], means, 0.5).unwrap();
        let flow = Transport::between(&data).unwrap().flow(3.0);
        assert!((flow.share - 0.5).abs() < 1e-12);
        // A start that is narrower than q_σ ends narrower than the data.
        assert!(flow.within < 0.5);
    }
}
