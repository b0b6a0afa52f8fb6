//! Adam on arrays of double precision, for experiments without libtorch.

use ndarray::Array2;

/// Adam (Kingma & Ba 2015, Algorithm 1) with β = (0.9, 0.999) and ε = 10⁻⁸.
#[derive(Clone, Debug)]
pub(super) struct Adam {
    moments: Vec<(Array2<f64>, Array2<f64>)>,
    step: i32,
}

impl Adam {
    /// For parameters of these shapes.
    pub(super) fn new(parameters: &[Array2<f64>]) -> Adam {
        let zeros = |p: &Array2<f64>| (Array2::zeros(p.raw_dim()), Array2::zeros(p.raw_dim()));
        Adam {
            moments: parameters.iter().map(zeros).collect(),
            step: 0,
        }
    }

    /// One step along the gradients of the parameters, in their order.
    pub(super) fn step(
        &mut self,
        parameters: &mut [Array2<f64>],
        gradients: &[Array2<f64>],
        rate: f64,
    ) {
        self.step += 1;
        let mean_of = 1.0 / (1.0 - 0.9_f64.powi(self.step));
        let square_of = 1.0 / (1.0 - 0.999_f64.powi(self.step));
        for ((w, gradient), (mean, square)) in
            parameters.iter_mut().zip(gradients).zip(&mut self.moments)
        {
            ndarray::Zip::from(w)
                .and(gradient)
                .and(mean)
                .and(square)
                .for_each(|w, g, mean, square| {
                    *mean += 0.1 * (g - *mean);
                    *square += 0.001 * (g * g - *square);
                    *w -= rate * (*mean * mean_of) / ((*square * square_of).sqrt() + 1e-8);
                });
        }
    }
}

/// A half cosine from `rate` to 0 over `steps`.
pub(super) fn cosine(rate: f64, step: u64, steps: u64) -> f64 {
    let done = step as f64 / steps as f64;
    0.5 * rate * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    /// With one gradient for ever, both averages are it, and every step is the rate.
    #[test]
    fn a_constant_gradient_moves_each_parameter_by_the_rate() {
        let mut parameters = [array![[1.0, -2.0]], array![[0.5]]];
        let mut adam = Adam::new(&parameters);
        for _ in 0..10 {
            adam.step(
                &mut parameters,
                &[array![[3.0, -0.2]], array![[40.0]]],
                0.01,
            );
        }
        let wanted = [array![[0.9, -1.9]], array![[0.4]]];
        for (found, wanted) in parameters.iter().zip(&wanted) {
            assert!((found - wanted).iter().all(|d| d.abs() < 1e-7), "{found}");
        }
    }
}
