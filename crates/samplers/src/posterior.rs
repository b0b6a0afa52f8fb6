//! Inverse problems: a denoiser of what is consistent with a measurement.

use noise_schedule::Kernel;

use crate::{Denoiser, Error, VectorSpace};

/// A denoiser led by the likelihood of a measurement y, D + (sigma²/alpha) (∂D/∂x)ᵀ g(D), where g is the gradient of ln p(y | x_t)
/// with respect to D: by Tweedie's formula, the denoiser that belongs to the score plus ∇ ln p(y | x_t).
///
/// `pullback` evaluates D, hands it to the function that it is given, and returns D and the result g pulled back, (∂D/∂x)ᵀ g:
/// one pass forward and one back.
///
/// What g is names the method. For y = H x_0 + N(0, s² I):
///
/// - ΠGDM, Song et al. 2023 (Pseudoinverse-guided diffusion models for inverse problems): g = Hᵀ (r² H Hᵀ + s² I)⁻¹ (y − H D),
///   with r² from [`spread`]; exact for Gaussian data of that spread;
/// - DPS, Chung et al. 2023 (<https://arxiv.org/abs/2209.14687>): g = Hᵀ (y − H D)/s², which is r = 0;
///   their algorithm takes ζ Hᵀ (y − H D)/|y − H D| instead, per step and not per unit of the flow.
///
/// In pure noise, where alpha = 0 and D does not depend on x, the answer is D.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::Kernel;
/// use samplers::{Denoiser, PosteriorGuided, spread};
/// // Data N(0, 1), measured as 0.8 with variance 0.3: the posterior is N(0.8/1.3, 0.3/1.3).
/// let gain = |k: Kernel| k.alpha() / (k.alpha().powi(2) + k.sigma().powi(2));
/// let pullback = |x: &Array1<f64>, k: Kernel, g: &mut dyn FnMut(&Array1<f64>) -> Array1<f64>| {
///     let denoised = x * gain(k);
///     let pulled = g(&denoised) * gain(k);
///     (denoised, pulled)
/// };
/// let gradient = |d: &Array1<f64>, k: Kernel| (0.8 - d) / (spread(k, 1.0).expect("positive").powi(2) + 0.3);
/// let mut posterior = PosteriorGuided::new(pullback, gradient);
/// let (x, k) = (array![0.5], Kernel::variance_preserving(1.0));
/// let (mean, variance) = (0.8 / 1.3, 0.3 / 1.3);
/// let exact = mean + k.alpha() * variance / (k.alpha().powi(2) * variance + k.sigma().powi(2)) * (0.5 - k.alpha() * mean);
/// assert!((posterior.denoise(&x, k)[0] - exact).abs() < 1e-12);
/// ```
#[doc(alias = "DPS")]
#[doc(alias = "PiGDM")]
#[doc(alias = "inverse problem")]
#[derive(Clone, Debug)]
pub struct PosteriorGuided<P, G> {
    pullback: P,
    gradient: G,
}

impl<P, G> PosteriorGuided<P, G> {
    /// The denoiser in `pullback`, led by `gradient`, which gives g from D.
    pub fn new(pullback: P, gradient: G) -> PosteriorGuided<P, G> {
        PosteriorGuided { pullback, gradient }
    }
}

impl<X, P, G> Denoiser<X> for PosteriorGuided<P, G>
where
    X: VectorSpace,
    P: FnMut(&X, Kernel, &mut dyn FnMut(&X) -> X) -> (X, X),
    G: FnMut(&X, Kernel) -> X,
{
    fn denoise(&mut self, x: &X, at: Kernel) -> X {
        let gradient = &mut self.gradient;
        let (denoised, pulled) = (self.pullback)(x, at, &mut |denoised| gradient(denoised, at));
        if at.alpha() == 0.0 {
            return denoised;
        }
        X::axpby(1.0, &denoised, at.sigma() * at.noise_to_signal(), &pulled)
    }
}

/// The standard deviation r of what the noise leaves unknown, std sigma/√(alpha² std² + sigma²): that of x_0 given x_t for data N(0, std² I).
///
/// # Errors
/// [`Error::Spread`] unless `std` is positive and finite.
pub fn spread(at: Kernel, std: f64) -> Result<f64, Error> {
    if 0.0 < std && std.is_finite() {
        Ok(std * at.sigma() / (at.alpha() * std).hypot(at.sigma()))
    } else {
        Err(Error::Spread {
            name: "posterior: std",
            value: std,
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use noise_schedule::Grid;

    use super::*;
    use crate::{Heun, Silent, sample};

    const STD: f64 = 1.5;
    const NOISE: f64 = 0.2;

    /// Data N(0, STD²) in two dimensions, of which h·x is measured.
    fn posterior(measured: f64) -> impl Denoiser<Array2<f64>> {
        let h = array![0.6, 1.1];
        let gain =
            |k: Kernel| k.alpha() * STD * STD / ((k.alpha() * STD).powi(2) + k.sigma().powi(2));
        let pullback =
            move |x: &Array2<f64>, k: Kernel, g: &mut dyn FnMut(&Array2<f64>) -> Array2<f64>| {
                let denoised = x * gain(k);
                let pulled = g(&denoised) * gain(k);
                (denoised, pulled)
            };
        let gradient = move |denoised: &Array2<f64>, k: Kernel| {
            let variance = spread(k, STD).unwrap().powi(2) * h.dot(&h) + NOISE * NOISE;
            let mut g = denoised.clone();
            for mut row in g.rows_mut() {
                let residual = measured - row.dot(&h);
                row.assign(&(&h * (residual / variance)));
            }
            g
        };
        PosteriorGuided::new(pullback, gradient)
    }

    #[test]
    fn a_gaussian_posterior_is_exact() {
        // The posterior is Gaussian, and so is its flow: the mean goes to the mean, and deviations scale by the spread.
        let h = array![0.6, 1.1];
        let measured = 0.9_f64;
        let grid = Grid::geometric(200.0, 0.001, 400).unwrap();
        let start = array![[0.0, 0.0], [150.0, 0.0], [0.0, -220.0]];
        let found = sample(
            &grid,
            Heun,
            &mut posterior(measured),
            &mut Silent,
            start.clone(),
        );
        let along: f64 = h.dot(&h);
        let unit = &h / along.sqrt();
        let variance: f64 = (STD.powi(-2) + along / (NOISE * NOISE)).recip();
        let mean = &h * (variance * measured / (NOISE * NOISE));
        let shrink = |variance: f64| ((variance + 1e-6) / (variance + 4e4)).sqrt();
        for (x, found) in start.rows().into_iter().zip(found.rows()) {
            let from = &x - &mean;
            let part = &unit * from.dot(&unit);
            let expected = &mean + &part * shrink(variance) + (&from - &part) * shrink(STD * STD);
            assert!(
                (&found - &expected).iter().all(|d| d.abs() < 1e-3),
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn the_ends_are_finite() {
        let x = array![[0.3, -2.0]];
        for level in [Kernel::new(0.0, 1.0).unwrap(), Kernel::CLEAN] {
            assert!(
                posterior(0.9)
                    .denoise(&x, level)
                    .iter()
                    .all(|v| v.is_finite())
            );
        }
        assert!(spread(Kernel::CLEAN, f64::NAN).is_err());
    }
}
