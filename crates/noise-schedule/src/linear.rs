//! The straight-line schedule of rectified flow.

use crate::schedule::{check_time, clamp_time};
use crate::{Kernel, NoiseSchedule, Rates};

/// The straight line from data to noise: alpha = 1 − t, sigma = t.
///
/// Liu et al. 2022, rectified flow (<https://arxiv.org/abs/2209.03003>);
/// Lipman et al. 2022, flow matching with conditional optimal transport (<https://arxiv.org/abs/2210.02747>).
/// Both papers run time from noise to data; here, as everywhere in this crate, t = 0 is data.
#[doc(alias = "flow_matching")]
#[doc(alias = "CondOT")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectified;

impl NoiseSchedule for Rectified {
    fn kernel(&self, t: f64) -> Kernel {
        check_time(t);
        Kernel::from_scales(1.0 - t, t)
    }

    fn rates(&self, t: f64) -> Rates {
        check_time(t);
        Rates {
            alpha: -1.0,
            sigma: 1.0,
        }
    }

    fn time_at(&self, log_snr: f64) -> f64 {
        // alpha/sigma = 1/t - 1.
        clamp_time(1.0 / (1.0 + (0.5 * log_snr).exp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_data_and_noise() {
        assert_eq!(Rectified.kernel(0.0), Kernel::CLEAN);
        assert_eq!(Rectified.kernel(1.0), Kernel::new(0.0, 1.0).unwrap());
        assert_eq!(Rectified.time_at(f64::INFINITY), 0.0);
        assert_eq!(Rectified.time_at(f64::NEG_INFINITY), 1.0);
        assert_eq!(Rectified.time_at(0.0), 0.5);
    }
}
