//! Power of images in radial frequency bands.

use ndarray::{Array2, ArrayView2};

/// Radial bands of the frequencies of a `side`×`side` image, equal in width, the constant apart as band 0.
#[derive(Clone, Debug)]
pub struct Bands {
    side: usize,
    channels: usize,
    /// Orthonormal cosine-and-sine (Hartley) transform of one axis.
    transform: Array2<f64>,
    /// Band of each coefficient, row by row.
    index: Vec<usize>,
    count: usize,
}

impl Bands {
    /// Bands for images of `channels` × `side` × `side`; `bands` of them beside the constant.
    pub fn new(channels: usize, side: usize, bands: usize) -> Bands {
        let n = side as f64;
        let transform = Array2::from_shape_fn((side, side), |(k, x)| {
            let angle = std::f64::consts::TAU * (k * x) as f64 / n;
            (angle.cos() + angle.sin()) / n.sqrt()
        });
        let signed = |k: usize| k.min(side - k) as f64;
        // Up to the corner of the square of frequencies.
        let largest = signed(side / 2) * std::f64::consts::SQRT_2;
        let band = |u: usize, v: usize| match (u, v) {
            (0, 0) => 0,
            _ => {
                let radius = (signed(u).powi(2) + signed(v).powi(2)).sqrt();
                1 + ((radius / largest * bands as f64) as usize).min(bands - 1)
            }
        };
        let index = (0..side * side).map(|i| band(i / side, i % side)).collect();
        Bands {
            side,
            channels,
            transform,
            index,
            count: bands + 1,
        }
    }

    /// The bands, the constant included.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The orthonormal transform of one axis, T: T·image·Tᵀ are the coefficients of an image.
    pub fn transform(&self) -> ArrayView2<'_, f64> {
        self.transform.view()
    }

    /// The band of each coefficient of an image, row by row.
    pub fn index(&self) -> &[usize] {
        &self.index
    }

    /// Mean power per coefficient of each band, over all rows of `images` \[n, channels·side·side\].
    ///
    /// The separable transform mixes a frequency with its mirror images, which lie in the same band: the
    /// sums are those of the Fourier transform.
    ///
    /// *Range*: `[0, ∞)` for each band. *Misleading*: a mean over images, which a single loud one decides; where there is power,
    /// and not whether it is in the right places: phases are not seen.
    pub fn power(&self, images: ArrayView2<'_, f64>) -> Vec<f64> {
        let mut power = vec![0.0; self.count];
        let mut size = vec![0usize; self.count];
        for &band in &self.index {
            size[band] += 1;
        }
        for row in images.outer_iter() {
            let row = row.as_standard_layout();
            for plane in row
                .as_slice()
                .expect("standard layout")
                .chunks_exact(self.side * self.side)
            {
                let plane =
                    ArrayView2::from_shape((self.side, self.side), plane).expect("side × side");
                let spectrum = self.transform.dot(&plane).dot(&self.transform.t());
                for (coefficient, &band) in spectrum.iter().zip(&self.index) {
                    power[band] += coefficient * coefficient;
                }
            }
        }
        let rows = (images.nrows() * self.channels) as f64;
        power
            .iter()
            .zip(size)
            .map(|(sum, size)| sum / (rows * size.max(1) as f64))
            .collect()
    }

    /// Root mean square over bands of log10(power/reference); bands without power in the reference are left out.
    ///
    /// *Range*: `[0, ∞)` decades; a band without any power counts as 10⁻³⁰⁸ and so decides all. *Invariances*: joint scale.
    /// *Misleading*: bands weigh alike, of however few coefficients they are; too much and too little are the same.
    /// *Source*: defined here.
    pub fn log_error(power: &[f64], reference: &[f64]) -> f64 {
        let logs: Vec<f64> = power
            .iter()
            .zip(reference)
            .filter(|(_, r)| 0.0 < **r)
            .map(|(p, r)| (p.max(f64::MIN_POSITIVE) / r).log10().powi(2))
            .collect();
        (logs.iter().sum::<f64>() / logs.len() as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_kept_and_sorted_by_frequency() {
        let side = 8;
        let bands = Bands::new(1, side, 4);
        let wave = |k: usize| {
            Array2::from_shape_fn((1, side * side), |(_, i)| {
                (std::f64::consts::TAU * (k * (i % side)) as f64 / side as f64).cos()
            })
        };
        let total = |x: &Array2<f64>| x.iter().map(|v| v * v).sum::<f64>();
        for k in [0, 1, 3] {
            let x = wave(k);
            let power = bands.power(x.view());
            let sizes = (0..5).map(|b| bands.index.iter().filter(|i| **i == b).count() as f64);
            let kept: f64 = power.iter().zip(sizes).map(|(p, n)| p * n).sum();
            assert!((kept - total(&x)).abs() < 1e-9, "Parseval at k = {k}");
            let loudest = power
                .iter()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(b.1))
                .expect("bands")
                .0;
            assert_eq!(loudest, if k == 0 { 0 } else { bands.index[k] }, "k = {k}");
        }
    }

    #[test]
    fn a_tenfold_power_is_an_error_of_one() {
        assert!((Bands::log_error(&[10.0, 1.0], &[1.0, 10.0]) - 1.0).abs() < 1e-12);
        assert_eq!(Bands::log_error(&[2.0, 5.0], &[2.0, 0.0]), 0.0);
    }
}
