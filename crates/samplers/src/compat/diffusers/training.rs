//! The options of the training schedule that most classes share.

use noise_schedule::BetaSchedule;
use noise_schedule::single::Table;

use crate::Error;
use crate::compat::{Options, Value};

/// The schedules that almost every class knows, by their names in `beta_schedule`.
pub(super) const COMMON: &[&str] = &["linear", "scaled_linear", "squaredcos_cap_v2"];

/// The defaults that classes differ in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) beta_start: f64,
    pub(super) beta_end: f64,
    pub(super) beta_schedule: &'static str,
    /// What `beta_schedule` may be.
    pub(super) known: &'static [&'static str],
}

impl Defaults {
    /// Betas from 1e-4 to 0.02, linear.
    pub(super) const LINEAR: Defaults = Defaults {
        beta_start: 1e-4,
        beta_end: 0.02,
        beta_schedule: "linear",
        known: COMMON,
    };
    /// Betas from 0.00085 to 0.012, yet linear: the default of the classes that came from k-diffusion.
    pub(super) const K_DIFFUSION: Defaults = Defaults {
        beta_start: 0.00085,
        beta_end: 0.012,
        ..Defaults::LINEAR
    };
    /// Betas from 0.00085 to 0.012, linear in their square roots.
    pub(super) const LATENT: Defaults = Defaults {
        beta_schedule: "scaled_linear",
        ..Defaults::K_DIFFUSION
    };
}

/// Reads `num_train_timesteps`, `beta_start`, `beta_end`, `beta_schedule` and `trained_betas`.
pub(super) fn table(options: &mut Options, defaults: Defaults) -> Result<Table, Error> {
    let levels = options.count("num_train_timesteps", 1, 1000)?;
    let start = options.number("beta_start", defaults.beta_start)?;
    let end = options.number("beta_end", defaults.beta_end)?;
    let known: Vec<(&str, &str)> = defaults.known.iter().map(|&name| (name, name)).collect();
    let name = options.choice("beta_schedule", &known, defaults.beta_schedule)?;
    if let Some(betas) = options.numbers("trained_betas")? {
        if betas.len() != levels {
            let given = Value::Number(levels as f64);
            return Err(options.refused(
                "num_train_timesteps",
                &given,
                "the number of trained_betas",
            ));
        }
        return Ok(Table::from_betas(
            betas.into_iter().map(|beta| beta as f32).collect(),
        )?);
    }
    let schedule = match name {
        "linear" => BetaSchedule::Linear { start, end },
        "scaled_linear" => BetaSchedule::ScaledLinear { start, end },
        "squaredcos_cap_v2" => BetaSchedule::nichol2021_cosine(),
        "sigmoid" => BetaSchedule::Logistic { start, end },
        "exp" => BetaSchedule::Exponential { rate: 12.0 },
        "laplace" => BetaSchedule::LaplaceRoot,
        other => unreachable!("`{other}` is in no class's list"),
    };
    Ok(Table::new(schedule, levels)?)
}

/// Reads the same and `rescale_betas_zero_snr`, for the classes that then keep the last sigma finite, at 4096.
pub(super) fn floored_table(options: &mut Options, defaults: Defaults) -> Result<Table, Error> {
    let table = table(options, defaults)?;
    if options.flag("rescale_betas_zero_snr", false)? {
        Ok(table.zero_terminal_snr()?.floored())
    } else {
        Ok(table)
    }
}
