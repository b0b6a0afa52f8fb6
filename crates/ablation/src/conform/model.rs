//! The exact model of a case: the posterior mean of a mixture of isotropic normals, at any level.

use ndarray::Array2;
use noise_schedule::Kernel;

use super::case::{Mixture, Samples};

/// The rows as one array.
pub(super) fn array(samples: &Samples) -> Result<Array2<f64>, String> {
    let dim = samples.first().map_or(0, Vec::len);
    if dim == 0 || samples.iter().any(|row| row.len() != dim) {
        return Err("samples must be rows of one length, at least one number each".to_string());
    }
    let flat: Vec<f64> = samples.iter().flatten().copied().collect();
    Ok(Array2::from_shape_vec((samples.len(), dim), flat).expect("rows have one length"))
}

impl Mixture {
    /// Whether this is a mixture that we know, and consistent.
    pub(super) fn check(&self, dim: usize) -> Result<(), String> {
        if self.kind != "gaussian-mixture" {
            return Err(format!(
                "model `{}` is not known; there is gaussian-mixture",
                self.kind
            ));
        }
        let components = self.weights.len();
        let consistent = 0 < components
            && self.means.len() == components
            && self.stds.len() == components
            && self.means.iter().all(|mean| mean.len() == dim)
            && self
                .weights
                .iter()
                .chain(&self.stds)
                .all(|&value| 0.0 < value);
        consistent.then_some(()).ok_or_else(|| {
            format!("model: weights, means (of dimension {dim}) and stds must agree in number, weights and stds be positive")
        })
    }

    /// E[x_0 | x] for every row of `x`.
    pub(super) fn denoise(&self, x: &Array2<f64>, at: Kernel) -> Array2<f64> {
        let (alpha, sigma) = (at.alpha(), at.sigma());
        let dim = x.ncols() as f64;
        let mut answer = Array2::zeros(x.raw_dim());
        for (x, mut answer) in x.rows().into_iter().zip(answer.rows_mut()) {
            let variance = |k: usize| (alpha * self.stds[k]).powi(2) + sigma * sigma;
            let logits: Vec<f64> = (0..self.weights.len())
                .map(|k| {
                    let squared: f64 = x
                        .iter()
                        .zip(&self.means[k])
                        .map(|(x, mean)| (x - alpha * mean).powi(2))
                        .sum();
                    self.weights[k].ln()
                        - 0.5 * dim * variance(k).ln()
                        - 0.5 * squared / variance(k)
                })
                .collect();
            let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logits.iter().map(|logit| (logit - top).exp()).sum();
            for (k, logit) in logits.iter().enumerate() {
                let responsibility = (logit - top).exp() / total;
                let gain = alpha * self.stds[k].powi(2) / variance(k);
                for ((answer, x), mean) in answer.iter_mut().zip(x).zip(&self.means[k]) {
                    *answer += responsibility * (mean + gain * (x - alpha * mean));
                }
            }
        }
        answer
    }
}
