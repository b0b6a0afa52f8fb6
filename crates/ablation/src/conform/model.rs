//! The exact model of a case.

use ndarray::{Array1, Array2};
use score_objective::exact::GaussianMixture;

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
    /// The mixture, if it is one that we know, for samples of this dimension.
    pub(super) fn exact(&self, dim: usize) -> Result<GaussianMixture, String> {
        if self.kind != "gaussian-mixture" {
            return Err(format!(
                "model `{}` is not known; there is gaussian-mixture",
                self.kind
            ));
        }
        let means = array(&self.means)?;
        if means.ncols() != dim {
            return Err(format!(
                "model: the means have dimension {}, the samples dimension {dim}",
                means.ncols()
            ));
        }
        let weights = Array1::from(self.weights.clone());
        let variances = self.stds.iter().map(|std| std * std).collect();
        GaussianMixture::with_variances(weights, means, variances)
            .map_err(|error| error.to_string())
    }
}
