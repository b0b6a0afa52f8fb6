//! Timesteps and sigmas of the schedulers that walk a grid of sigmas, from the options that they share.
//!
//! The schedulers in sigma-space (Euler, Heun, LMS, KDPM2 and their ancestral forms) start from sigmas at their timesteps, [`native`];
//! those in lambda-space (DPM-Solver, UniPC, DEIS, SA-Solver) from the whole table, and share [`Shape`], [`spacing`] and [`timesteps_of`].

use noise_schedule::compat::diffusers as grids;
use noise_schedule::single::Table;
use noise_schedule::{Kernel, Spacing};

use crate::compat::Options;
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// What `use_karras_sigmas`, `use_exponential_sigmas` and `use_beta_sigmas` make of a grid of sigmas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// None of them: the grid as it is.
    Native,
    /// Equally spaced in sigma^(1/7).
    Karras,
    /// Equally spaced in ln sigma.
    Exponential,
    /// The quantiles of Beta(0.6, 0.6).
    Beta,
}

impl Shape {
    /// Reads the three flags.
    pub(super) fn read(options: &mut Options) -> Result<Shape, Error> {
        let flags = [
            ("use_karras_sigmas", Shape::Karras),
            ("use_exponential_sigmas", Shape::Exponential),
            ("use_beta_sigmas", Shape::Beta),
        ];
        let mut chosen = Vec::new();
        for (name, shape) in flags {
            if options.flag(name, false)? {
                chosen.push((name, shape));
            }
        }
        match chosen[..] {
            [] => Ok(Shape::Native),
            [(_, shape)] => Ok(shape),
            _ => Err(Error::Contradiction {
                owner: options.owner().to_string(),
                rule: "at most one of use_karras_sigmas, use_exponential_sigmas and use_beta_sigmas may be true",
                given: chosen
                    .iter()
                    .map(|(name, _)| *name)
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// `count` sigmas of this shape between `(sigma_min, sigma_max)`, from noise to data; none if the grid stays as it is.
    ///
    /// # Errors
    /// As [`check_range`].
    pub(super) fn sigmas(
        self,
        (low, high): (f64, f64),
        count: usize,
        owner: &str,
    ) -> Result<Option<Vec<f64>>, Error> {
        if self != Shape::Native {
            check_range((low, high), owner)?;
        }
        Ok(match self {
            Shape::Native => None,
            Shape::Karras => Some(grids::karras(low, high, 7.0, count)),
            Shape::Exponential => Some(grids::exponential(low, high, count)),
            Shape::Beta => Some(grids::beta(low, high, count)),
        })
    }
}

/// Reads `timestep_spacing` and `steps_offset`, which only the leading spacing uses.
pub(super) fn spacing(options: &mut Options, default: &str) -> Result<Spacing, Error> {
    let offset = options.count("steps_offset", 0, 0)?;
    let spacings = [
        ("linspace", Spacing::Linspace),
        ("leading", Spacing::Leading { offset }),
        ("trailing", Spacing::Trailing),
    ];
    options.choice("timestep_spacing", &spacings, default)
}

/// The timesteps of a scheduler in sigma-space, and the sigmas there, linear between the levels of the table.
///
/// A timestep of −1 (some trailing spacings) has the sigma of timestep 0.
pub(super) fn native(table: &Table, spacing: Spacing, steps: usize) -> (Vec<f64>, Vec<f64>) {
    let single = |timestep: f64| f64::from(timestep as f32);
    let timesteps = grids::sigma_space(spacing, table.count(), steps)
        .into_iter()
        .map(single);
    let sigmas = table.sigmas();
    timesteps
        .map(|t| (t, grids::interpolate(t, &sigmas)))
        .unzip()
}

/// [`native`], with sigmas of this shape between the first and the last of them; and zero at the end.
pub(super) fn shaped(
    table: &Table,
    spacing: Spacing,
    shape: Shape,
    steps: usize,
    owner: &str,
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let (mut timesteps, mut sigmas) = native(table, spacing, steps);
    let ends = (sigmas[sigmas.len() - 1], sigmas[0]);
    if let Some(shaped) = shape.sigmas(ends, steps, owner)? {
        timesteps = timesteps_of(&shaped, table, owner)?;
        sigmas = shaped;
    }
    sigmas.push(0.0);
    Ok((timesteps, sigmas))
}

/// The fractional timestep of each sigma, linear in ln sigma between the levels of the table.
pub(super) fn timesteps_of(sigmas: &[f64], table: &Table, owner: &str) -> Result<Vec<f64>, Error> {
    let logs = log_sigmas(table, owner)?;
    Ok(sigmas
        .iter()
        .map(|&sigma| grids::timestep_of(sigma, &logs))
        .collect())
}

/// ln sigma of each level of the table, as the peer rounds it.
///
/// # Errors
/// For a table of one level, or one whose last alpha-bar is 0: timesteps cannot be interpolated there.
pub(super) fn log_sigmas(table: &Table, owner: &str) -> Result<Vec<f32>, Error> {
    let sigmas = table.sigmas();
    if sigmas.len() < 2 || sigmas.iter().any(|sigma| sigma.is_infinite()) {
        return Err(Error::Contradiction {
            owner: owner.to_string(),
            rule: "timesteps of sigmas need two or more levels with finite sigmas",
            given: format!(
                "{} levels up to sigma = {}",
                sigmas.len(),
                sigmas[sigmas.len() - 1]
            ),
        });
    }
    Ok(grids::log_sigmas(&sigmas))
}

/// Makes each stage take for D what the peer makes of a v-prediction, with coefficients in `f32`:
/// a step to a small sigma multiplies their last bit.
pub(super) fn convert_velocities(prediction: Prediction, mut steps: Vec<Step>) -> Vec<Step> {
    if prediction == Prediction::Velocity {
        for stage in steps.iter_mut().flat_map(|(_, stages)| stages) {
            let sigma = stage.at.sigma() as f32;
            let squares = sigma * sigma + 1.0;
            let (kept, out) = (1.0 / f64::from(squares), f64::from(-sigma / squares.sqrt()));
            let (state, clean) = prediction.answer_coefficients(stage.at);
            stage.estimate = (kept + out * state, out * clean);
        }
    }
    steps
}

/// Refuses a range of sigmas that is empty or not positive.
pub(super) fn check_range((low, high): (f64, f64), owner: &str) -> Result<(), Error> {
    if 0.0 < low && low <= high && high.is_finite() {
        return Ok(());
    }
    Err(Error::Contradiction {
        owner: owner.to_string(),
        rule: "sigma_min must be positive and not exceed sigma_max",
        given: format!("sigma_min = {low} and sigma_max = {high}"),
    })
}

/// A grid of sigmas at alpha = 1, as a scheduler holds it once its timesteps are set.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// What the network is told in each step.
    pub(super) timesteps: Vec<f64>,
    /// The sigmas with the final one.
    pub(super) sigmas: Vec<f32>,
    /// Standard deviation of the state at the start.
    pub(super) init_noise_sigma: f64,
}

impl Grid {
    /// The grid, rounded as the peer rounds it.
    ///
    /// With the leading spacing the initial state also gets unit variance of data: √(sigma² + 1) in place of sigma.
    pub(super) fn new(timesteps: Vec<f64>, sigmas: Vec<f64>, spacing: Spacing) -> Grid {
        let sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
        let largest = f64::from(sigmas.iter().copied().fold(0.0, f32::max));
        Grid {
            timesteps: timesteps
                .into_iter()
                .map(|timestep| f64::from(timestep as f32))
                .collect(),
            sigmas,
            init_noise_sigma: match spacing {
                Spacing::Leading { .. } => largest.hypot(1.0),
                _ => largest,
            },
        }
    }

    /// The sigmas (from, to) of each step.
    ///
    /// # Errors
    /// [`Error::Contradiction`] if the first timestep occurs again and the peer then runs out of sigmas.
    pub(super) fn walk(&self, owner: &str) -> Result<Vec<(f32, f32)>, Error> {
        let first = first_index(&self.timesteps);
        let pairs: Vec<(f32, f32)> = self.sigmas[first..]
            .windows(2)
            .map(|pair| (pair[0], pair[1]))
            .collect();
        match pairs.get(..self.timesteps.len()) {
            Some(pairs) => Ok(pairs.to_vec()),
            None => Err(runs_out(owner, self.timesteps[0])),
        }
    }

    /// The sampler of these steps, each of one evaluation and with the sigma that it leads to, of order 1, with a state held in `f32`.
    pub(super) fn prepared<X: Coordinates + 'static>(
        &self,
        owner: &str,
        steps: impl Iterator<Item = Result<(Stage, f32), Error>>,
        prediction: Prediction,
        input: Input,
    ) -> Result<Prepared<X>, Error> {
        let table: Result<Vec<Step>, Error> = steps
            .map(|step| {
                let (stage, to) = step?;
                Ok((Kernel::variance_exploding(f64::from(to))?, vec![stage]))
            })
            .collect();
        let recipe = Recipe::new(owner, 1, Precision::Start, table?)?;
        Ok(Prepared {
            steps: recipe.levels(),
            calls: recipe.calls(&self.timesteps),
            stepper: Box::new(recipe),
            sigmas: self.sigmas.iter().copied().map(f64::from).collect(),
            init_noise_sigma: self.init_noise_sigma,
            input,
            prediction,
        })
    }
}

/// Where a scheduler begins in its sigmas: at 0, or at 1 if its first timestep occurs again.
///
/// The rule is meant for starting amid the timesteps; with rounded timesteps it may skip the first sigma of a whole run.
pub(super) fn first_index(timesteps: &[f64]) -> usize {
    usize::from(timesteps[1..].contains(&timesteps[0]))
}

/// The error for a first timestep that occurs again where the peer needs every sigma.
pub(super) fn runs_out(owner: &str, timestep: f64) -> Error {
    Error::Contradiction {
        owner: owner.to_string(),
        rule: "the first timestep must occur once: the peer begins at its second occurrence and runs out of sigmas; take fewer steps",
        given: format!("timestep {timestep} twice"),
    }
}
