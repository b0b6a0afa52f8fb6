//! The schedulers of diffusers 0.42.1, from their `scheduler_config.json`.
//!
//! Where they differ from the steppers of this crate:
//!
//! | class | what is reproduced | here otherwise |
//! |---|---|---|
//! | all | tables of betas, sigmas and most coefficients in `f32` | `f64` |
//! | all with `timestep_spacing` | `trailing` makes one step too many for some numbers of steps, at timestep −1, whose level is the noisiest | [`Spacing`](noise_schedule::Spacing) |
//! | DDPM, DDIM | noise where the timestep is above 0, not where a step is left; a clipped sample meets the noise of the sample before clipping | [`Ancestral`](crate::Ancestral) |
//! | DDIM, PNDM | each step is by ⌊T/n⌋ levels, which is not the next timestep for `linspace` and `trailing` | [`Ddim`](crate::Ddim) |
//! | DDIMInverse | the network is asked at the level that the step leads to | [`walk`](crate::walk) |
//! | PNDM, IPNDM | weights of equal steps for steps that are not equal: order 2 | [`AdamsBashforth`](crate::AdamsBashforth), order 4 |
//! | EulerDiscrete, EDMEuler, FlowMatchHeun | churn comes after the evaluation, so that the network never sees the noise | [`Churn`](crate::Churn) |
//! | EulerAncestral, KDPM2Ancestral | the fresh noise is not bounded by the level: NaN over long steps, which is an error here | [`Ancestral`](crate::Ancestral), [`Renewed`](crate::Renewed) |
//! | LMS | orders 1, 2, … until its own: the start caps the order at 2 | [`Start::Full`](crate::Start) |
//! | DPMSolverMultistep and its kin, order 3 | a factor 2 is missing in the second difference, which leaves order 2; with `sde-dpmsolver++` a sign is wrong, which leaves order 1 | [`DpmSolverMultistep`](crate::DpmSolverMultistep), order 3 |
//! | DPMSolverSinglestep | its stages are the points of the grid: order 3 on smooth grids only | [`DpmSolverSinglestep`](crate::DpmSolverSinglestep) |
//! | UniPC, DEIS, SASolver | lower orders at the start and at the end | [`UniPc`](crate::UniPc), [`Deis`](crate::Deis), [`SaSolver`](crate::SaSolver) |
//! | DPMSolver…, UniPC, DEIS with flow sigmas | the grids of the classes differ; answers meant for one kind of level are read at another | [`FlowShift`](noise_schedule::FlowShift) |
//! | FlowMatchEuler | the shift is applied twice to the bounds | [`FlowShift`](noise_schedule::FlowShift) |
//! | ScoreSdeVe | a corrector's step is as long as the means over the batch say | [`Corrected`](crate::Corrected) |
//! | CosineDPMSolver, DPMSolverSDE | the Brownian path of the peer is independent noise here | [`BrownianPath`](crate::BrownianPath) |

mod consistency;
mod ddim;
mod ddpm;
mod deis;
mod dpm_solver;
mod euler;
mod flow_match;
mod lambda_space;
mod lms;
mod pndm;
mod predictor_corrector;
mod repaint;
mod sa_solver;
mod score_sde;
mod sigmas;
mod single_levels;
mod t_space;
mod training;
mod two_stage;
mod unipc;

use crate::compat::Options;
use crate::{Coordinates, Error, Prepared};

/// What prepares a class: its configuration, the number of inference steps, and the arguments of its `step`.
type Prepare<X> = fn(&mut Options, usize, &mut Options) -> Result<Prepared<X>, Error>;

/// The classes that are reproduced, by their names in `_class_name`.
fn classes<X: Coordinates + 'static>() -> Vec<(&'static str, Prepare<X>)> {
    vec![
        ("DDPMScheduler", ddpm::ddpm),
        ("DDPMParallelScheduler", ddpm::ddpm),
        ("UnCLIPScheduler", ddpm::unclip),
        ("DDIMScheduler", ddim::ddim),
        ("DDIMParallelScheduler", ddim::ddim),
        ("DDIMInverseScheduler", ddim::inverse),
        ("PNDMScheduler", pndm::pndm),
        ("IPNDMScheduler", pndm::ipndm),
        ("LCMScheduler", consistency::lcm),
        ("TCDScheduler", consistency::tcd),
        (
            "CMStochasticIterativeScheduler",
            consistency::stochastic_iterative,
        ),
        ("RePaintScheduler", repaint::repaint),
        ("ScoreSdeVeScheduler", score_sde::exploding),
        ("DPMSolverMultistepScheduler", dpm_solver::multistep),
        ("DPMSolverMultistepInverseScheduler", dpm_solver::inverse),
        ("DPMSolverSinglestepScheduler", dpm_solver::singlestep),
        ("DPMSolverSDEScheduler", dpm_solver::sde),
        ("EDMDPMSolverMultistepScheduler", dpm_solver::edm),
        ("CosineDPMSolverMultistepScheduler", dpm_solver::cosine),
        ("UniPCMultistepScheduler", unipc::unipc),
        ("DEISMultistepScheduler", deis::deis),
        ("SASolverScheduler", sa_solver::sa_solver),
        ("EulerDiscreteScheduler", euler::euler),
        ("EulerAncestralDiscreteScheduler", euler::euler_ancestral),
        ("EDMEulerScheduler", euler::edm_euler),
        ("FlowMatchEulerDiscreteScheduler", flow_match::euler),
        ("FlowMatchHeunDiscreteScheduler", flow_match::heun),
        ("FlowMatchLCMScheduler", flow_match::lcm),
        ("HeunDiscreteScheduler", two_stage::heun),
        ("LMSDiscreteScheduler", lms::lms),
        ("KDPM2DiscreteScheduler", two_stage::kdpm2),
        (
            "KDPM2AncestralDiscreteScheduler",
            two_stage::kdpm2_ancestral,
        ),
    ]
}

/// Fields of one class that a file for another may hold: the classes read each other's configurations,
/// pass over what is not theirs, and write it out again.
///
/// `sigma_min` and `sigma_max` are not among them: the peer's shaped grids take them from other classes' fields too.
const OF_OTHERS: &[&str] = &[
    "algorithm_type",
    "beta_end",
    "beta_schedule",
    "beta_start",
    "clip_sample",
    "clip_sample_range",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "lambda_min_clipped",
    "lower_order_final",
    "num_train_timesteps",
    "predict_x0",
    "prediction_type",
    "rescale_betas_zero_snr",
    "rho",
    "sample_max_value",
    "set_alpha_to_one",
    "shift_terminal",
    "sigma_data",
    "sigma_schedule",
    "skip_prk_steps",
    "solver_order",
    "solver_p",
    "solver_type",
    "steps_offset",
    "thresholding",
    "time_shift_type",
    "timestep_spacing",
    "timestep_type",
    "trained_betas",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_flow_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
    "variance_type",
];

/// The names of the classes that [`prepare`] takes, as `_class_name` has them.
pub fn class_names() -> impl Iterator<Item = &'static str> {
    let classes = classes::<ndarray::Array1<f64>>();
    classes.into_iter().map(|(name, _)| name)
}

/// The scheduler of this class, configured and with its timesteps set.
///
/// `config` holds the fields of a `scheduler_config.json` without those that start with an underscore;
/// absent fields have the defaults of the class, and fields of other classes have no effect, as in the peer.
/// `step` holds the keyword arguments that each call of `step` would get (`eta`, `s_churn`, …).
///
/// # Errors
/// [`Error::UnknownSampler`] for another class; [`Error::UnknownOption`], [`Error::OptionValue`] and
/// [`Error::Contradiction`] for what the class does not take; [`Error::Levels`] for levels that break a rule.
pub fn prepare<X: Coordinates + 'static>(
    class: &str,
    mut config: Options,
    steps: usize,
    mut step: Options,
) -> Result<Prepared<X>, Error> {
    let classes = classes::<X>();
    let Some((_, prepare)) = classes.iter().find(|(name, _)| *name == class) else {
        let known: Vec<&str> = class_names().collect();
        return Err(Error::UnknownSampler {
            toolkit: "diffusers",
            name: class.to_string(),
            known: known.join(", "),
        });
    };
    if steps == 0 {
        return Err(Error::NoSteps);
    }
    let prepared = prepare(&mut config, steps, &mut step)?;
    config.ignore(OF_OTHERS);
    config.forget_nulls(&["sigma_min", "sigma_max"]);
    config.finish()?;
    step.finish()?;
    Ok(prepared)
}
