//! The levels of another distribution, as variance-exploding ones.

use crate::error::check_positive;
use crate::{Error, Kernel};

use super::LevelDistribution;

/// The variance-exploding levels sigma = scale · noise_to_signal of another distribution:
/// how often a noise-to-signal ratio is drawn, without the schedule's scale of the signal.
///
/// With the levels of a [`CosineLogSnr`](crate::CosineLogSnr) at uniform times and scale sigma_data
/// this is `rand_cosine_interpolated` of k-diffusion.
///
/// ```
/// use noise_schedule::{CosineLogSnr, Exploding, LevelDistribution, UniformTime};
/// // sigma from 0.001 to 1000 for data of standard deviation 0.5, images of side 64 with noise as at 32 and 64.
/// let log_snr = |sigma: f64| -2.0 * (sigma / 0.5).ln();
/// let schedule = CosineLogSnr::between_sides(log_snr(1e-3), log_snr(1e3), 64.0, 32.0, 64.0)?;
/// let levels = Exploding::new(UniformTime::new(schedule, 0.0, 1.0)?, 0.5)?;
/// assert!((levels.quantile(1.0).sigma() / 1e3 - 1.0).abs() < 1e-9);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "rand_cosine_interpolated")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exploding<L> {
    levels: L,
    scale: f64,
}

impl<L: LevelDistribution> Exploding<L> {
    /// The levels of `levels`, with `scale` in the units of the data.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for the scale; [`Error::KernelScales`] if the noisiest level is pure noise.
    pub fn new(levels: L, scale: f64) -> Result<Exploding<L>, Error> {
        check_positive("exploding levels: scale", scale)?;
        Kernel::variance_exploding(scale * levels.quantile(1.0).noise_to_signal())?;
        Ok(Exploding { levels, scale })
    }
}

impl<L: LevelDistribution> LevelDistribution for Exploding<L> {
    fn quantile(&self, u: f64) -> Kernel {
        Kernel::from_scales(1.0, self.scale * self.levels.quantile(u).noise_to_signal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cosine, CosineLogSnr, HalfCauchy, UniformTime};

    #[test]
    fn the_cosine_schedule_has_half_cauchy_levels() {
        let schedule = Cosine::salimans2022();
        let levels = Exploding::new(UniformTime::new(schedule, 0.1, 0.9).unwrap(), 0.5).unwrap();
        let ends = [0.0, 1.0].map(|u| levels.quantile(u).sigma());
        let cauchy = HalfCauchy::new(0.5, ends[0], ends[1]).unwrap();
        for u in [0.0, 0.2, 0.7, 1.0] {
            let ratio = levels.quantile(u).sigma() / cauchy.quantile(u).sigma();
            assert!((ratio - 1.0).abs() < 1e-13);
        }
    }

    #[test]
    fn interpolated_cosine_of_k_diffusion() {
        // rand_cosine_interpolated(64, 32, 64, 0.5, 1e-3, 1e3) at 1 − u: its sigma falls with its uniform number.
        let log_snr = |sigma: f64| -2.0 * (sigma / 0.5_f64).ln();
        let schedule =
            CosineLogSnr::between_sides(log_snr(1e-3), log_snr(1e3), 64.0, 32.0, 64.0).unwrap();
        let levels = Exploding::new(UniformTime::new(schedule, 0.0, 1.0).unwrap(), 0.5).unwrap();
        for (u, sigma) in [(0.3, 0.314_421_518_385_496), (0.9, 5.862_670_022_542_7)] {
            assert!((levels.quantile(u).sigma() / sigma - 1.0).abs() < 1e-10);
        }
    }

    #[test]
    fn pure_noise_has_no_sigma() {
        let levels = UniformTime::new(Cosine::salimans2022(), 0.0, 1.0).unwrap();
        assert!(matches!(
            Exploding::new(levels, 1.0),
            Err(Error::KernelScales { .. })
        ));
        assert!(Exploding::new(|_: f64| Kernel::CLEAN, 0.0).is_err());
    }
}
