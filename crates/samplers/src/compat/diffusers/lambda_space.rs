//! Timesteps and sigmas of the schedulers that step in λ = ln(alpha/sigma): DPM-Solver, UniPC, DEIS, SA-Solver.
//!
//! Unlike those in sigma-space they shape their grids between the ends of the whole table, whatever the timesteps,
//! and round the timesteps of shaped grids to integers: the network is told another level than that of its state.

use noise_schedule::Kernel;
use noise_schedule::compat::diffusers as grids;
use noise_schedule::single::Table;

use super::sigmas::{Shape, first_index, runs_out, timesteps_of};
use crate::Error;
use crate::compat::{Options, Value};

/// Where the levels of a scheduler lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Levels {
    /// On the variance-preserving schedule: sigma is the noise-to-signal ratio.
    Preserving,
    /// On a flow: (1 − sigma, sigma).
    Flow,
    /// At alpha = 1.
    Exploding,
}

impl Levels {
    /// The level of this sigma.
    pub(super) fn kernel(self, sigma: f32) -> Result<Kernel, Error> {
        let sigma = f64::from(sigma);
        Ok(match self {
            Levels::Preserving => {
                let alpha = sigma.hypot(1.0).recip();
                Kernel::new(alpha, sigma * alpha)?
            }
            Levels::Flow => Kernel::new(1.0 - sigma, sigma)?,
            Levels::Exploding => Kernel::variance_exploding(sigma)?,
        })
    }
}

/// What the last step leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Final {
    /// Clean data.
    Zero,
    /// The cleanest level of training; on a flow too, where it is the sigma of another schedule.
    SigmaMin,
}

impl Final {
    /// Reads `final_sigmas_type`.
    pub(super) fn read(options: &mut Options) -> Result<Final, Error> {
        let known = [("zero", Final::Zero), ("sigma_min", Final::SigmaMin)];
        options.choice("final_sigmas_type", &known, "zero")
    }
}

/// What the grid of a scheduler is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// The levels at the timesteps.
    Timesteps,
    /// One of the shapes of sigma-space, between the ends of the table. `Native` is [`Source::Timesteps`].
    Shaped(Shape),
    /// `use_lu_lambdas`: equally spaced in ln sigma, by its own arithmetic.
    Lu,
    /// `use_flow_sigmas`, with its shift.
    Flow(f64),
}

impl Source {
    /// Reads `use_karras_sigmas`, `use_exponential_sigmas`, `use_beta_sigmas`, `use_flow_sigmas` and `flow_shift`,
    /// and `use_lu_lambdas` where the class has it.
    ///
    /// Where several are set, the first of Karras, Lu, exponential, beta and flow wins, as in the peer,
    /// but levels are a flow's whenever flow sigmas are asked for: that contradiction is refused.
    pub(super) fn read(options: &mut Options, has_lu: bool) -> Result<Source, Error> {
        let shape = Shape::read(options)?;
        let lu = has_lu && options.flag("use_lu_lambdas", false)?;
        let flow = options.flag("use_flow_sigmas", false)?;
        let shift = options.number("flow_shift", 1.0)?;
        if flow && (shape != Shape::Native || lu) {
            return Err(Error::Contradiction {
                owner: options.owner().to_string(),
                rule: "use_flow_sigmas excludes the other grids of sigmas, which would be taken for those of a flow",
                given: format!(
                    "use_flow_sigmas with {}",
                    if lu {
                        "use_lu_lambdas".into()
                    } else {
                        format!("{shape:?}")
                    }
                ),
            });
        }
        Ok(match (flow, shape, lu) {
            (true, ..) => Source::Flow(shift),
            (false, Shape::Karras, _) => Source::Shaped(Shape::Karras),
            (false, _, true) => Source::Lu,
            (false, Shape::Native, false) => Source::Timesteps,
            (false, shape, false) => Source::Shaped(shape),
        })
    }

    /// Where its levels lie.
    pub(super) fn levels(self) -> Levels {
        match self {
            Source::Flow(_) => Levels::Flow,
            _ => Levels::Preserving,
        }
    }

    /// The timesteps, whole numbers but for the cosine schedule, whose shaped ones are cut off and not rounded if `rounds` is false,
    /// and the sigmas without the final one, from noise to data.
    pub(super) fn grid(
        self,
        table: &Table,
        timesteps: &[i64],
        steps: usize,
        rounds: bool,
        owner: &str,
    ) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let sigmas = table.sigmas();
        let ends = (f64::from(sigmas[0]), f64::from(sigmas[sigmas.len() - 1]));
        let train = table.count();
        let (grid, rounds) = match self {
            Source::Timesteps => {
                let at = |&timestep: &i64| {
                    (
                        timestep as f64,
                        grids::interpolate(timestep as f64, &sigmas),
                    )
                };
                return Ok(timesteps.iter().map(at).unzip());
            }
            Source::Flow(shift) => {
                let grid = grids::flow_from_alpha(train, shift, steps);
                let cut = grid.iter().map(|sigma| (sigma * train as f64).trunc());
                return Ok((cut.collect(), grid));
            }
            Source::Shaped(shape) => {
                let grid = shape.sigmas(ends, steps, owner)?;
                let native = || {
                    timesteps
                        .iter()
                        .map(|&t| grids::interpolate(t as f64, &sigmas))
                };
                (
                    grid.unwrap_or_else(|| native().collect()),
                    rounds && shape == Shape::Karras,
                )
            }
            Source::Lu => {
                let logs = super::sigmas::log_sigmas(table, owner)?;
                (grids::lu(logs[0], logs[logs.len() - 1], steps), rounds)
            }
        };
        let exact = timesteps_of(&grid, table, owner)?.into_iter();
        let whole = |t: f64| {
            if rounds {
                t.round_ties_even()
            } else {
                t.trunc()
            }
        };
        Ok((exact.map(whole).collect(), grid))
    }
}

/// Whether the schedule is named `squaredcos_cap_v2`, in which case timesteps are not rounded but cut off.
pub(super) fn is_cosine(options: &Options) -> bool {
    options.clone().take("beta_schedule") == Some(Value::Text("squaredcos_cap_v2".to_string()))
}

/// Reads `lambda_min_clipped`: the number of levels of the table whose λ is not below it. Absent and null clip nothing.
///
/// # Errors
/// [`Error::OptionValue`] if it leaves no level.
pub(super) fn unclipped(options: &mut Options, table: &Table) -> Result<usize, Error> {
    let least = match options.take("lambda_min_clipped") {
        None | Some(Value::Null) | Some(Value::Number(f64::NEG_INFINITY)) => {
            return Ok(table.count());
        }
        Some(Value::Number(least)) if least.is_finite() => least as f32,
        Some(other) => {
            return Err(options.refused("lambda_min_clipped", &other, "a number or null"));
        }
    };
    // In f32, as the peer has them; λ falls with the timestep.
    let lambda = |alpha_bar: f32| {
        let ln = |value: f32| f64::from(value).ln() as f32;
        ln(alpha_bar.sqrt()) - ln((1.0 - alpha_bar).sqrt())
    };
    let kept = table
        .alpha_bars()
        .iter()
        .filter(|&&alpha_bar| least <= lambda(alpha_bar))
        .count();
    if kept == 0 {
        let given = Value::Number(f64::from(least));
        return Err(options.refused(
            "lambda_min_clipped",
            &given,
            "a λ that a level of the table exceeds",
        ));
    }
    Ok(kept)
}

/// A grid of sigmas as a scheduler in λ-space holds it once its timesteps are set.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// What the network is told in each step.
    pub(super) timesteps: Vec<f64>,
    /// The sigmas with the final one, at least one more than the timesteps.
    pub(super) sigmas: Vec<f32>,
    /// The levels of these sigmas.
    pub(super) kernels: Vec<Kernel>,
}

impl Grid {
    /// The grid of these sigmas, final one included, rounded as the peer rounds it.
    ///
    /// # Errors
    /// [`Error::Contradiction`] if the first timestep occurs again: the peer then begins at its second occurrence and runs out of sigmas.
    pub(super) fn new(
        timesteps: Vec<f64>,
        sigmas: Vec<f64>,
        levels: Levels,
        owner: &str,
    ) -> Result<Grid, Error> {
        if first_index(&timesteps) != 0 {
            return Err(runs_out(owner, timesteps[0]));
        }
        let sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
        let kernels: Result<Vec<Kernel>, Error> =
            sigmas.iter().map(|&sigma| levels.kernel(sigma)).collect();
        Ok(Grid {
            timesteps,
            sigmas,
            kernels: kernels?,
        })
    }

    /// The grid that never ends at sigma = 0: after the levels at timesteps comes the cleanest of the table,
    /// after a shaped or flow grid its last sigma once more.
    pub(super) fn ending_noisy(
        timesteps: Vec<f64>,
        mut sigmas: Vec<f64>,
        source: Source,
        table: &Table,
        owner: &str,
    ) -> Result<Grid, Error> {
        sigmas.push(match source {
            Source::Timesteps => f64::from(table.sigmas()[0]),
            _ => sigmas[sigmas.len() - 1],
        });
        Grid::new(timesteps, sigmas, source.levels(), owner)
    }

    /// The grid of the options that the schedulers of DPM-Solver share, from noise to data.
    ///
    /// The timesteps are those that a grid without shape would have.
    pub(super) fn falling(
        table: &Table,
        source: Source,
        timesteps: &[i64],
        steps: usize,
        end: Final,
        rounds: bool,
        owner: &str,
    ) -> Result<Grid, Error> {
        let (timesteps, mut sigmas) = source.grid(table, timesteps, steps, rounds, owner)?;
        sigmas.push(match end {
            Final::Zero => 0.0,
            Final::SigmaMin => f64::from(table.sigmas()[0]),
        });
        Grid::new(timesteps, sigmas, source.levels(), owner)
    }
}
