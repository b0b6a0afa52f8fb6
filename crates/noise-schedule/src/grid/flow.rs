//! Grids of flow matching: alpha = 1 − sigma.

use super::Grid;
use crate::{Error, Kernel};

/// A shift of rectified levels towards noise: sigma becomes s sigma / (1 + (s − 1) sigma).
///
/// It multiplies the noise-to-signal ratio sigma/(1 − sigma) by s, and moves the log-SNR by −2 ln s.
/// Esser et al. 2024 (<https://arxiv.org/abs/2403.03206>), equation 23, where s is √(m/n) for images of m instead of n pixels.
///
/// The other forms in use are the same function: diffusers' exponential time shift e^μ/(e^μ + 1/sigma − 1) has s = e^μ,
/// its linear one has s = μ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlowShift(f64);

impl FlowShift {
    /// No shift: s = 1.
    pub const NONE: FlowShift = FlowShift(1.0);

    /// The shift by the factor s = `ratio`; above 1 it adds noise.
    ///
    /// # Errors
    /// [`Error::FlowShift`] unless `ratio` is positive and finite.
    pub fn new(ratio: f64) -> Result<FlowShift, Error> {
        if 0.0 < ratio && ratio.is_finite() {
            Ok(FlowShift(ratio))
        } else {
            Err(Error::FlowShift { ratio })
        }
    }

    /// The dynamic shift s = e^μ, with μ linear in the number of image tokens: `mus.0` at `tokens.0`, `mus.1` at `tokens.1`.
    ///
    /// FLUX.1 and Stable Diffusion 3.5 have tokens (256, 4096) and μ (0.5, 1.15).
    ///
    /// # Errors
    /// [`Error::FlowShift`] if the two numbers of tokens are equal, or e^μ is not positive and finite.
    #[doc(alias = "use_dynamic_shifting")]
    pub fn dynamic(
        image_tokens: f64,
        tokens: (f64, f64),
        mus: (f64, f64),
    ) -> Result<FlowShift, Error> {
        let slope = (mus.1 - mus.0) / (tokens.1 - tokens.0);
        FlowShift::new((mus.0 + slope * (image_tokens - tokens.0)).exp())
    }

    /// s.
    pub fn ratio(self) -> f64 {
        self.0
    }

    /// The level of sigma shifted; `sigma` lies in [0, 1].
    ///
    /// alpha = (1 − sigma)/(1 + (s − 1) sigma) keeps its digits where it is small.
    fn kernel(self, sigma: f64) -> Kernel {
        let total = (1.0 - sigma) + self.0 * sigma;
        Kernel::from_scales((1.0 - sigma) / total, self.0 * sigma / total)
    }
}

/// Grids of rectified levels, alpha + sigma = 1.
impl Grid {
    /// Rectified levels at equally spaced sigmas from `from` down to `to`, shifted; one level is `from` alone.
    ///
    /// `from` = 1, `to` = 0 and n + 1 levels are the n steps of FLUX.1; `to` = 1/T, n levels and
    /// [`then_clean`](Grid::then_clean) those of diffusers without its second shift.
    ///
    /// # Errors
    /// [`Error::GridTimes`] unless 0 ≤ to < from ≤ 1; [`Error::NoLevels`] for no levels.
    ///
    /// ```
    /// use noise_schedule::{FlowShift, Grid};
    /// let grid = Grid::flow(FlowShift::new(3.0)?, 1.0, 0.0, 5)?;
    /// let sigmas: Vec<f64> = grid.levels().iter().map(|level| level.sigma()).collect();
    /// assert_eq!(sigmas, [1.0, 0.9, 0.75, 0.5, 0.0]);
    /// # Ok::<(), noise_schedule::Error>(())
    /// ```
    pub fn flow(shift: FlowShift, from: f64, to: f64, levels: usize) -> Result<Grid, Error> {
        super::schedule::check_times(from, to)?;
        let mut sigma = from;
        (0..levels)
            .map(|index| {
                let u = index as f64 / (levels.max(2) - 1) as f64;
                sigma = (from * (1.0 - u) + to * u).clamp(to, sigma);
                shift.kernel(sigma)
            })
            .collect::<Vec<_>>()
            .try_into()
    }

    /// The grid of rectified levels, stretched so that it ends at sigma = `terminal`: every alpha is multiplied by
    /// (1 − terminal)/alpha_last, and sigma = 1 − alpha.
    ///
    /// A grid of pure noise alone, as one level from sigma = 1 is, has nothing to stretch and stays.
    ///
    /// # Errors
    /// [`Error::FlowTerminal`] unless `terminal` lies in [0, 1) and alpha + sigma = 1 for every level, to rounding.
    #[doc(alias = "shift_terminal")]
    pub fn stretched_to(self, terminal: f64) -> Result<Grid, Error> {
        let is_rectified = |level: &Kernel| (level.alpha() + level.sigma() - 1.0).abs() < 1e-9;
        if !((0.0..1.0).contains(&terminal) && self.0.iter().all(is_rectified)) {
            return Err(Error::FlowTerminal { terminal });
        }
        let last = self.0[self.0.len() - 1].alpha();
        if last == 0.0 {
            return Ok(self);
        }
        Ok(self.rescaled(|level| {
            // The last alpha is the largest, but for rounding.
            let alpha = (level.alpha() / last).min(1.0) * (1.0 - terminal);
            Kernel::from_scales(alpha, 1.0 - alpha)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sigmas(grid: &Grid) -> Vec<f64> {
        grid.levels().iter().map(|level| level.sigma()).collect()
    }

    #[test]
    fn shifts_compose_and_move_the_log_snr() {
        let (a, b) = (FlowShift::new(2.0).unwrap(), FlowShift::new(1.5).unwrap());
        let both = FlowShift::new(3.0).unwrap();
        for sigma in [0.001, 0.3, 0.9] {
            let twice = b.kernel(a.kernel(sigma).sigma()).sigma();
            assert!((twice - both.kernel(sigma).sigma()).abs() < 1e-15);
            let moved = both.kernel(sigma).log_snr() - FlowShift::NONE.kernel(sigma).log_snr();
            assert!((moved + 2.0 * 3.0_f64.ln()).abs() < 1e-13);
        }
    }

    #[test]
    fn dynamic_shift_is_that_of_the_exponential_form() {
        let shift = FlowShift::dynamic(1024.0, (256.0, 4096.0), (0.5, 1.15)).unwrap();
        assert!((shift.ratio().ln() - 0.63).abs() < 1e-12);
        let mu = shift.ratio().ln();
        for sigma in [0.1, 0.5, 0.99] {
            let expected = mu.exp() / (mu.exp() + (1.0 / sigma - 1.0));
            assert!((shift.kernel(sigma).sigma() - expected).abs() < 1e-15);
        }
        assert!(FlowShift::dynamic(1.0, (2.0, 2.0), (0.5, 1.0)).is_err());
    }

    #[test]
    fn stretching_ends_at_the_terminal_and_survives_one_level() {
        let grid = Grid::flow(FlowShift::new(2.0).unwrap(), 1.0, 0.1, 5).unwrap();
        let stretched = sigmas(&grid.clone().stretched_to(0.1).unwrap());
        let last = grid.levels()[4].alpha();
        for (after, before) in stretched.iter().zip(grid.levels()) {
            assert!((after - (1.0 - before.alpha() / (last / 0.9))).abs() < 1e-15);
        }
        assert!((stretched[4] - 0.1).abs() < 1e-15);
        let one = Grid::flow(FlowShift::NONE, 1.0, 0.1, 1).unwrap();
        assert_eq!(sigmas(&one.stretched_to(0.1).unwrap()), [1.0]);
        // Levels that are rectified to rounding only.
        let rounded = [0.5 + 4e-10, 0.5].map(|scale| Kernel::new(scale, scale).unwrap());
        let stretched = Grid::new(rounded.to_vec()).unwrap().stretched_to(0.0);
        assert_eq!(sigmas(&stretched.unwrap()), [0.0, 0.0]);
    }

    #[test]
    fn arguments_are_checked() {
        for ratio in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(FlowShift::new(ratio).is_err());
        }
        let grid = |levels| Grid::flow(FlowShift::NONE, 1.0, 0.0, levels);
        assert_eq!(grid(0), Err(Error::NoLevels));
        assert!(matches!(
            Grid::flow(FlowShift::NONE, 0.2, 0.3, 3),
            Err(Error::GridTimes { .. })
        ));
        assert_eq!(
            grid(3).unwrap().stretched_to(1.0),
            Err(Error::FlowTerminal { terminal: 1.0 })
        );
        assert!(
            Grid::sigmas(&[2.0, 1.0])
                .unwrap()
                .stretched_to(0.1)
                .is_err()
        );
    }
}
