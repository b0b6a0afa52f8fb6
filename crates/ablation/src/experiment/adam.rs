//! Adam in double precision, for experiments without libtorch.

/// Adam (Kingma & Ba 2015, Algorithm 1) with β = (0.9, 0.999) and ε = 10⁻⁸, from moments of zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Adam {
    moments: Vec<(f64, f64)>,
    step: i32,
}

impl Adam {
    /// One step: every parameter with its gradient, in the order of all other steps.
    pub(super) fn step<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a mut f64, &'a f64)>,
        rate: f64,
    ) {
        self.step += 1;
        let mean_of = 1.0 / (1.0 - 0.9_f64.powi(self.step));
        let square_of = 1.0 / (1.0 - 0.999_f64.powi(self.step));
        for (at, (w, g)) in parameters.into_iter().enumerate() {
            if self.moments.len() == at {
                self.moments.push((0.0, 0.0));
            }
            let (mean, square) = &mut self.moments[at];
            *mean += 0.1 * (g - *mean);
            *square += 0.001 * (g * g - *square);
            *w -= rate * (*mean * mean_of) / ((*square * square_of).sqrt() + 1e-8);
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
    use super::*;

    /// With one gradient for ever, both averages are it, and every step is the rate.
    #[test]
    fn a_constant_gradient_moves_each_parameter_by_the_rate() {
        let mut parameters = [1.0, -2.0, 0.5];
        let mut adam = Adam::default();
        for _ in 0..10 {
            adam.step(parameters.iter_mut().zip(&[3.0, -0.2, 40.0]), 0.01);
        }
        for (found, wanted) in parameters.iter().zip([0.9, -1.9, 0.4]) {
            assert!((found - wanted).abs() < 1e-7, "{found}");
        }
    }
}
