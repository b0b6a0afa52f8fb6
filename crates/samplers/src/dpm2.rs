//! DPM2: the midpoint rule in sigma / alpha, with the geometric mean for the middle.

use noise_schedule::Kernel;

use crate::starter::intermediate;
use crate::stepper::{noise_ratio, renoised, rescaled};
use crate::{Denoiser, NoiseSource, Stepper, VectorSpace};

/// The second-order step for the probability flow in the ratio r = sigma / alpha that takes the slope halfway in ln r:
/// a [`Ddim`](crate::Ddim) step to the middle m, r_m = √(r_from r_to), then from the start with the slope that is found there.
///
/// With y the state in the middle and eps_m = (y − alpha_m D(y; m)) / sigma_m,
/// x_to / alpha_to = x / alpha + (r_to − r_from) eps_m.
///
/// Order 2, two evaluations.
/// One to sigma = 0 and from alpha = 0, and for walks up from sigma = 0 and to alpha = 0: there the step is DDIM's.
///
/// Named DPM2 in k-diffusion, after Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>), whose second order
/// integrates the linear part exactly; Karras et al. 2022 (<https://arxiv.org/abs/2206.00364>) have the churn that goes with it,
/// [`Churn`](crate::Churn). Its ancestral form is [`Renewed`](crate::Renewed).
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{Dpm2, Silent, sample};
/// let mut model = |x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
/// let grid = Grid::karras(0.002, 80.0, 7.0, 40)?.then_clean();
/// let x = sample(&grid, Dpm2, &mut model, &mut Silent, array![80.0]);
/// assert!((x[0] - 1.0).abs() < 0.01); // the flow of N(0, 1) data keeps x/√(1 + sigma²)
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "dpm_2")]
#[doc(alias = "KDPM2DiscreteScheduler")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dpm2;

impl<X: VectorSpace> Stepper<X> for Dpm2 {
    fn order(&self) -> u32 {
        2
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        _noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        if let Some(same) = rescaled(x, from, to) {
            return same;
        }
        let first = model.denoise(x, from);
        let ratio = noise_ratio(from, to);
        if !(0.0 < ratio && ratio.is_finite() && 0.0 < from.alpha()) {
            return renoised(x, &first, from, to.alpha(), to.sigma());
        }
        let middle = intermediate(from, to, 0.5);
        let halfway = renoised(x, &first, from, middle.alpha(), middle.sigma());
        let second = model.denoise(&halfway, middle);
        let length = to.alpha() * (to.noise_to_signal() - from.noise_to_signal());
        X::combine(&[
            (to.alpha() / from.alpha(), x),
            (length / middle.sigma(), &halfway),
            (-length / middle.noise_to_signal(), &second),
        ])
    }
}
