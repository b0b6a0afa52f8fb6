//! The frequencies of a square torus, divided into rings.

use ndarray::{Array1, ArrayView1};

use crate::Error;

/// A partition of the frequencies of a [`GaussianField`](super::GaussianField) into rings, with the power that p has in each.
#[derive(Debug, Clone, PartialEq)]
pub struct Bands {
    index: Vec<usize>,
    sizes: Vec<usize>,
    power: Array1<f64>,
}

impl Bands {
    /// The number of bands.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// The band of each coefficient: \[S²\].
    pub fn index(&self) -> &[usize] {
        &self.index
    }

    /// The number of coefficients in each band.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The exact mean of X² per coefficient in each band, over p and with the mean images in it.
    ///
    /// Of q_σ it is σ² more in every band.
    pub fn power(&self) -> ArrayView1<'_, f64> {
        self.power.view()
    }

    /// Rings of equal width in |f| up to the Nyquist frequency, with the given mean of X² at each frequency.
    pub(super) fn rings(
        side: usize,
        count: usize,
        second_moments: &Array1<f64>,
    ) -> Result<Bands, Error> {
        let most = (side / 2).max(1);
        if count == 0 || most < count {
            return Err(Error::Count {
                name: "bands",
                least: 1,
                most,
                given: count,
            });
        }
        let index: Vec<usize> = (0..side * side)
            .map(|f| {
                // floor(|f| count/(S/2)), in integers so that no frequency is on the wrong side of an edge.
                let scaled = 4 * squared_frequency(side, f) * count * count;
                (scaled.isqrt() / side).min(count - 1)
            })
            .collect();
        let mut sizes = vec![0; count];
        for &band in &index {
            sizes[band] += 1;
        }
        let mut bands = Bands {
            index,
            sizes,
            power: Array1::zeros(0),
        };
        bands.power = bands.average(second_moments);
        Ok(bands)
    }

    /// The mean of a non-negative quantity per coefficient, band by band.
    pub(super) fn average(&self, per_coefficient: &Array1<f64>) -> Array1<f64> {
        let mut average = Array1::zeros(self.count());
        for (&band, value) in self.index.iter().zip(per_coefficient) {
            average[band] += value / self.sizes[band] as f64;
        }
        average
    }
}

/// |f|² of coefficient `index`, in (cycles per side)².
pub(super) fn squared_frequency(side: usize, index: usize) -> usize {
    let folded = |i: usize| i.min(side - i);
    folded(index / side).pow(2) + folded(index % side).pow(2)
}
