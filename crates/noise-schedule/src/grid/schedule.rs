//! Grids along a schedule, in its time, its log-SNR or its discrete levels.

use super::Grid;
use super::sigma::check_beta_shape;
use crate::incomplete_beta::beta_quantile;
use crate::{Discrete, Error, NoiseSchedule};

/// Grids of the levels of a schedule.
impl Grid {
    /// The levels of a schedule at `steps` + 1 equally spaced times, from time `from` down to time `to`.
    ///
    /// # Errors
    /// [`Error::GridTimes`] unless 0 ≤ to < from ≤ 1; [`Error::NoSteps`] for no steps;
    /// [`Error::NoiseRises`] if the schedule breaks its law.
    pub fn uniform_time(
        schedule: &dyn NoiseSchedule,
        from: f64,
        to: f64,
        steps: usize,
    ) -> Result<Grid, Error> {
        timed(schedule, from, to, steps, |u| from * (1.0 - u) + to * u)
    }

    /// The levels of a schedule at `steps` + 1 times equally spaced in t^(1/power), from time `from` down to time `to`.
    ///
    /// A power above 1 puts more of the levels near the data: 2 is the quadratic grid of
    /// Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>), and
    /// Zhang & Chen 2022, DEIS (<https://arxiv.org/abs/2204.13902>).
    ///
    /// # Errors
    /// [`Error::TimePower`] unless `power` is positive and finite, and those of [`uniform_time`](Grid::uniform_time).
    #[doc(alias = "time_quadratic")]
    pub fn power_time(
        schedule: &dyn NoiseSchedule,
        from: f64,
        to: f64,
        power: f64,
        steps: usize,
    ) -> Result<Grid, Error> {
        if !(0.0 < power && power.is_finite()) {
            return Err(Error::TimePower { power });
        }
        // Relative to `from`, so that no power underflows at the start.
        let last = (to / from).powf(power.recip());
        timed(schedule, from, to, steps, |u| {
            from * (1.0 + u * (last - 1.0)).powf(power)
        })
    }

    /// The levels of a schedule at `steps` + 1 times that are quantiles of a beta distribution:
    /// t_i = to + Q(1 − u) (from − to), u = i/steps, with Q the quantile function of Beta(a, b).
    ///
    /// Lee et al. 2024 (<https://arxiv.org/abs/2407.12173>), where a = b = 0.6; [`beta_sigma`](Grid::beta_sigma) is diffusers' form.
    ///
    /// # Errors
    /// [`Error::BetaShape`] unless `a` and `b` lie in [0.01, 100], and those of [`uniform_time`](Grid::uniform_time).
    pub fn beta_time(
        schedule: &dyn NoiseSchedule,
        from: f64,
        to: f64,
        a: f64,
        b: f64,
        steps: usize,
    ) -> Result<Grid, Error> {
        check_beta_shape(a, b)?;
        timed(schedule, from, to, steps, |u| {
            to + beta_quantile(a, b, 1.0 - u) * (from - to)
        })
    }

    /// The levels of a schedule at `steps` + 1 equally spaced log-SNRs, from time `from` down to time `to`.
    ///
    /// Lu et al. 2022, DPM-Solver (<https://arxiv.org/abs/2206.00927>), where the steps are uniform in λ = log-SNR / 2.
    ///
    /// # Errors
    /// [`Error::GridTimes`] unless 0 ≤ to < from ≤ 1; [`Error::NoSteps`] for no steps;
    /// [`Error::InfiniteLogSnr`] if an end is clean or pure noise;
    /// [`Error::NoiseRises`] if the schedule breaks its law, or if the steps are too fine for `f64`.
    #[doc(alias = "use_lu_lambdas")]
    pub fn uniform_log_snr(
        schedule: &dyn NoiseSchedule,
        from: f64,
        to: f64,
        steps: usize,
    ) -> Result<Grid, Error> {
        check_times(from, to)?;
        let (first, last) = (
            finite_log_snr(schedule, from)?,
            finite_log_snr(schedule, to)?,
        );
        fractions(steps)?
            .map(|u| {
                let time = if u == 0.0 {
                    from
                } else if u == 1.0 {
                    to
                } else {
                    schedule.time_at(first * (1.0 - u) + last * u)
                };
                schedule.kernel(time.clamp(to, from))
            })
            .collect::<Vec<_>>()
            .try_into()
    }

    /// The levels of a discrete schedule at these timesteps, from noise to data; see [`Spacing`](crate::Spacing).
    ///
    /// # Errors
    /// [`Error::NoLevels`] for none; [`Error::TimestepRange`] for one that the schedule does not have;
    /// [`Error::NoiseRises`] unless they fall.
    pub fn discrete(schedule: &Discrete, timesteps: &[usize]) -> Result<Grid, Error> {
        let levels = schedule.count();
        if let Some(&timestep) = timesteps.iter().find(|&&timestep| levels <= timestep) {
            return Err(Error::TimestepRange { timestep, levels });
        }
        Grid::new(
            timesteps
                .iter()
                .map(|&timestep| schedule.level(timestep))
                .collect(),
        )
    }
}

/// The levels at the times `at(u)`, u = 0, 1/steps, …, 1, with exact ends and with rounding kept from raising the noise.
fn timed(
    schedule: &dyn NoiseSchedule,
    from: f64,
    to: f64,
    steps: usize,
    at: impl Fn(f64) -> f64,
) -> Result<Grid, Error> {
    check_times(from, to)?;
    let mut time = from;
    fractions(steps)?
        .map(|u| {
            time = match u {
                0.0 => from,
                1.0 => to,
                _ => at(u).clamp(to, time),
            };
            schedule.kernel(time)
        })
        .collect::<Vec<_>>()
        .try_into()
}

/// 0, 1/steps, …, 1.
fn fractions(steps: usize) -> Result<impl Iterator<Item = f64>, Error> {
    if steps == 0 {
        return Err(Error::NoSteps);
    }
    Ok((0..=steps).map(move |index| index as f64 / steps as f64))
}

pub(super) fn check_times(from: f64, to: f64) -> Result<(), Error> {
    if 0.0 <= to && to < from && from <= 1.0 {
        Ok(())
    } else {
        Err(Error::GridTimes { from, to })
    }
}

/// The log-SNR at a time, refused where it is infinite.
pub(crate) fn finite_log_snr(schedule: &dyn NoiseSchedule, time: f64) -> Result<f64, Error> {
    let log_snr = schedule.kernel(time).log_snr();
    if log_snr.is_finite() {
        Ok(log_snr)
    } else {
        Err(Error::InfiniteLogSnr { time, log_snr })
    }
}
