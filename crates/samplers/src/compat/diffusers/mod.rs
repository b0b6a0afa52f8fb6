//! The schedulers of diffusers 0.42.1, from their `scheduler_config.json`.

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
        let known: Vec<&str> = classes.iter().map(|&(name, _)| name).collect();
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
