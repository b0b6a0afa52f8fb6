//! Shattered gradients: how fast the gradient changes along a line of inputs.
//!
//! Where neighbouring inputs have unrelated gradients, a step that is good for one says nothing of the next, whatever the
//! gradients' size.

use crate::error::{Error, check_at_least, check_finite};

/// Whether the mean gradient counts as agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Centring {
    /// As the gradients are: a constant gradient agrees with itself.
    Uncentred,
    /// Less their mean over the line: a constant gradient has nothing left, and the autocorrelation is undefined.
    Centred,
}

/// Gradients at equally spaced inputs on a line, in order.
///
/// ```
/// use learnability::shattering::{Centring, GradientLine};
/// let alternating = (0..64).map(|i| vec![if i % 2 == 0 { 1.0 } else { -1.0 }]).collect();
/// let line = GradientLine::new(alternating)?;
/// let near = |lag, value: f64| (line.autocorrelation(lag, Centring::Uncentred).unwrap() - value).abs() < 1e-12;
/// assert!(near(1, -1.0) && near(2, 1.0));
/// # Ok::<(), learnability::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GradientLine {
    gradients: Vec<Vec<f64>>,
}

impl GradientLine {
    /// Takes the gradient with respect to the input at each point, or its component along the line.
    ///
    /// # Errors
    /// Fewer than 3 points, points of different dimension, or an entry that is not finite.
    pub fn new(gradients: Vec<Vec<f64>>) -> Result<Self, Error> {
        check_at_least("gradients along a line", 3, gradients.len())?;
        let dimension = gradients[0].len();
        for gradient in &gradients {
            if gradient.len() != dimension {
                return Err(Error::Length {
                    what: "components of a gradient along a line",
                    expected: dimension,
                    found: gradient.len(),
                });
            }
            check_finite("gradient along a line", gradient)?;
        }
        Ok(Self { gradients })
    }

    /// The gradients.
    pub fn gradients(&self) -> &[Vec<f64>] {
        &self.gradients
    }

    /// Autocorrelation at a lag, as the cosine of the line with itself shifted by `lag` points:
    ///
    /// ```text
    /// ρ_k = Σ_i ⟨g_i, g_{i+k}⟩ / √(Σ_i |g_i|² · Σ_i |g_{i+k}|²),   i = 1 … N − k
    /// ```
    ///
    /// *Range*: `[−1, 1]`; 1 at lag 0 and, uncentred, for a constant gradient at any lag; near 0, within `±2/√(N d)`, for
    /// white noise. `None` if the lag leaves no pair or one side of every pair is 0.
    /// *Invariances*: scale and rotation of the gradients.
    /// *Failure mode*: it depends on the spacing, so state the line and the number of points. Uncentred it is high for a
    /// network that computes a straight line, which is no virtue; report both, and the correlation of outputs beside.
    /// With batch normalisation the statistics are to be frozen, or each gradient is that of the whole batch.
    /// *Source*: after Balduzzi et al. 2017; normalised over the pairs that enter, so that a constant gives 1.
    pub fn autocorrelation(&self, lag: usize, centring: Centring) -> Option<f64> {
        let gradients = self.as_seen(centring);
        let pairs = || {
            gradients
                .iter()
                .zip(gradients.get(lag..).unwrap_or_default())
        };
        let total = |f: &dyn Fn(&[f64], &[f64]) -> f64| pairs().map(|(a, b)| f(a, b)).sum::<f64>();
        let here = total(&|a, _| dot(a, a));
        let there = total(&|_, b| dot(b, b));
        let correlation = total(&|a, b| dot(a, b)) / here.sqrt() / there.sqrt();
        correlation
            .is_finite()
            .then_some(correlation.clamp(-1.0, 1.0))
    }

    /// Whiteness `Q/m` over `m` lags: the statistic of Ljung & Box over its expectation for white noise.
    ///
    /// ```text
    /// Q = N (N + 2) Σ_{k=1…m} d · r_k² / (N − k),   r_k = Σ_{i=1…N−k} ⟨c_i, c_{i+k}⟩ / Σ_{i=1…N} |c_i|²,   c = g − mean g
    /// ```
    ///
    /// *Range*: `[0, ∞)`; 1 ± √(2/m) for white noise of `d` independent components, of the order of `N d` for a smooth
    /// line. `None` if the gradient is constant or `lags` is 0 or not below the number of points.
    /// *Invariances*: scale and rotation of the gradients, shift by a constant.
    /// *Failure mode*: components that are correlated with each other, or of unequal size, raise it although each is white.
    /// *Source*: Ljung & Box 1978, with `d` for vectors.
    pub fn whiteness(&self, lags: usize) -> Option<f64> {
        let n = self.gradients.len();
        if n <= lags {
            return None;
        }
        let gradients = self.as_seen(Centring::Centred);
        let energy: f64 = gradients.iter().map(|c| dot(c, c)).sum();
        let statistic: f64 = (1..=lags)
            .map(|k| {
                let pairs = gradients.iter().zip(&gradients[k..]);
                let r = pairs.map(|(a, b)| dot(a, b)).sum::<f64>() / energy;
                r * r / (n - k) as f64
            })
            .sum();
        let (n, d) = (n as f64, self.gradients[0].len() as f64);
        // Over no lags it is 0/0.
        let ratio = n * (n + 2.0) * d * statistic / lags as f64;
        ratio.is_finite().then_some(ratio)
    }

    fn as_seen(&self, centring: Centring) -> Vec<Vec<f64>> {
        let mut gradients = self.gradients.clone();
        if centring == Centring::Centred {
            let n = gradients.len() as f64;
            for component in 0..gradients[0].len() {
                let mean = gradients.iter().map(|g| g[component]).sum::<f64>() / n;
                for gradient in &mut gradients {
                    let centred = gradient[component] - mean;
                    // What a sum of equal numbers leaves by rounding is nothing.
                    let rounding = n * f64::EPSILON * mean.abs();
                    gradient[component] = if centred.abs() <= rounding {
                        0.0
                    } else {
                        centred
                    };
                }
            }
        }
        gradients
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
