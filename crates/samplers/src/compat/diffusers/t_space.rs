//! What the schedulers that step on the variance-preserving table itself share: levels by timestep, and steps of one evaluation.

use noise_schedule::Kernel;
use noise_schedule::compat::diffusers as grids;
use noise_schedule::single::Table;

use crate::compat::Options;
use crate::compat::recipe::{Precision, Recipe, Step};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// The predictions that most classes know.
pub(super) const PREDICTIONS: &[(&str, Prediction)] = &[
    ("epsilon", Prediction::Epsilon),
    ("sample", Prediction::Sample),
    ("v_prediction", Prediction::Velocity),
];

/// Reads `rescale_betas_zero_snr`; here the last alpha-bar then is 0, unlike in the classes that keep the last sigma finite.
pub(super) fn rescaled(table: Table, options: &mut Options) -> Result<Table, Error> {
    if options.flag("rescale_betas_zero_snr", false)? {
        Ok(table.zero_terminal_snr()?)
    } else {
        Ok(table)
    }
}

/// Reads `timestep_spacing` and `steps_offset`: the timesteps of so many steps, at most one for each level of the table.
///
/// Some trailing spacings have one timestep more than steps, and it is −1.
pub(super) fn timesteps(
    options: &mut Options,
    train: usize,
    steps: usize,
) -> Result<Vec<i64>, Error> {
    let spacing = super::sigmas::spacing(options, "leading")?;
    at_most(steps, train, options.owner())?;
    Ok(grids::t_space(spacing, train, steps))
}

/// Refuses more steps than there are levels.
pub(super) fn at_most(steps: usize, train: usize, owner: &str) -> Result<(), Error> {
    if steps <= train {
        return Ok(());
    }
    Err(Error::Contradiction {
        owner: owner.to_string(),
        rule: "there may be at most num_train_timesteps inference steps",
        given: format!("{steps} of {train}"),
    })
}

/// The alpha-bars of a table by timestep, as the peers index them, and one for what comes after the last timestep.
#[derive(Clone, Debug)]
pub(super) struct Levels<'a> {
    owner: String,
    table: &'a Table,
    clean: f32,
}

impl<'a> Levels<'a> {
    /// The levels that end at alpha-bar 1, or where the table begins.
    pub(super) fn new(table: &'a Table, ends_at_one: bool, owner: &str) -> Levels<'a> {
        Levels {
            owner: owner.to_string(),
            table,
            clean: if ends_at_one {
                1.0
            } else {
                table.alpha_bars()[0]
            },
        }
    }

    /// The alpha-bar of a timestep; −1 is the noisiest level, as an index is in Python.
    ///
    /// # Errors
    /// [`Error::Contradiction`] for a timestep that the table does not have.
    pub(super) fn alpha_bar(&self, timestep: i64) -> Result<f32, Error> {
        let alpha_bars = self.table.alpha_bars();
        let index = match timestep {
            ..0 => timestep + alpha_bars.len() as i64,
            _ => timestep,
        };
        let found = usize::try_from(index)
            .ok()
            .and_then(|index| alpha_bars.get(index));
        found.copied().ok_or_else(|| self.refused(
            "every timestep must lie below num_train_timesteps; a smaller steps_offset or another spacing helps",
            format!("timestep {timestep} of {}", alpha_bars.len()),
        ))
    }

    /// The alpha-bar that a step leads to; a timestep below 0 is the end.
    pub(super) fn next_alpha_bar(&self, timestep: i64) -> Result<f32, Error> {
        if timestep < 0 {
            Ok(self.clean)
        } else {
            self.alpha_bar(timestep)
        }
    }

    /// The level at which the network is asked at this timestep.
    ///
    /// # Errors
    /// [`Error::Contradiction`] for a prediction of the noise where there is nothing else: it does not determine the sample,
    /// and the peer divides by zero.
    pub(super) fn asked(&self, timestep: i64, prediction: Prediction) -> Result<Asked, Error> {
        let alpha_bar = self.alpha_bar(timestep)?;
        let at = kernel(alpha_bar)?;
        if at.alpha() == 0.0 && prediction == Prediction::Epsilon {
            return Err(self.refused(
                "from pure noise a prediction of the noise does not determine the sample: use v_prediction or sample",
                format!("prediction_type epsilon at timestep {timestep}, where alpha is 0"),
            ));
        }
        let (alpha, sigma) = roots(alpha_bar);
        let (state, clean) = prediction.answer_coefficients(at);
        let of_denoised = |(x, answer): (f64, f64)| (x + answer * state, answer * clean);
        let (sample, noise) = of_answer(prediction, (alpha, sigma));
        Ok(Asked {
            at,
            roots: (alpha, sigma),
            sample: of_denoised(sample),
            noise: of_denoised(noise),
        })
    }

    /// The error for options that the peer cannot run at these levels.
    pub(super) fn refused(&self, rule: &'static str, given: String) -> Error {
        Error::Contradiction {
            owner: self.owner.clone(),
            rule,
            given,
        }
    }
}

/// An evaluation, and what the peer makes of it with roots in `f32`.
///
/// Where alpha is small, their last bit is a digit of the sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The level, in `f64`.
    pub(super) at: Kernel,
    /// [`roots`] at this level.
    pub(super) roots: (f64, f64),
    /// The weights of the state and of D in what the peer takes for the sample.
    pub(super) sample: (f64, f64),
    /// The same in what it takes for the noise.
    pub(super) noise: (f64, f64),
}

/// The sample and the noise of a state and the network's answer, each as the weights of the two, at this (alpha, sigma).
pub(super) fn of_answer(
    prediction: Prediction,
    (alpha, sigma): (f64, f64),
) -> ((f64, f64), (f64, f64)) {
    match prediction {
        Prediction::Epsilon => ((alpha.recip(), -sigma / alpha), (0.0, 1.0)),
        Prediction::Sample => ((0.0, 1.0), (sigma.recip(), -alpha / sigma)),
        _ => ((alpha, -sigma), (sigma, alpha)),
    }
}

/// The level (√alpha_bar, √(1 − alpha_bar)).
pub(super) fn kernel(alpha_bar: f32) -> Result<Kernel, Error> {
    let alpha_bar = f64::from(alpha_bar);
    Ok(Kernel::new(alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt())?)
}

/// √alpha_bar and √(1 − alpha_bar), each rounded to `f32`, as is the difference.
pub(super) fn roots(alpha_bar: f32) -> (f64, f64) {
    (
        f64::from(alpha_bar.sqrt()),
        f64::from((1.0 - alpha_bar).sqrt()),
    )
}

/// The sampler of these steps, one call of the network for each timestep; the state has unit variance before the first.
pub(super) fn prepared<X: Coordinates + 'static>(
    owner: &str,
    order: u32,
    timesteps: &[i64],
    steps: Vec<Step>,
    prediction: Prediction,
) -> Result<Prepared<X>, Error> {
    let told: Vec<f64> = timesteps.iter().map(|&timestep| timestep as f64).collect();
    let recipe = Recipe::new(owner, order, Precision::State, steps)?;
    Ok(Prepared {
        steps: recipe.levels(),
        calls: recipe.calls(&told),
        stepper: Box::new(recipe),
        sigmas: Vec::new(),
        init_noise_sigma: 1.0,
        input: Input::State,
        prediction,
    })
}
