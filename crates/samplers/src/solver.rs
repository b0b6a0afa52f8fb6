//! The steppers by the names that people know.

use std::fmt;

use crate::{
    AdamsBashforth, Ancestral, CloneStepper, Ddim, Deis, Dpm2, DpmSolverMultistep, DpmSolverSde,
    DpmSolverSinglestep, Error, HalfLogSnr, Heun, Integrand, Renewed, RungeKutta, SaSolver,
    SecondOrder, Tableau, Tau, UniPc, VectorSpace,
};

/// A stepper by name, with the parameters that its source has: what a command line or a study chooses from.
///
/// Each is built by [`stepper`](Solver::stepper) from the steppers of this crate, which have more parameters.
///
/// ```
/// use samplers::Solver;
/// assert_eq!(Solver::from_name("DPM++ 2M")?, Solver::DpmPlusPlus2M);
/// assert_eq!(Solver::from_name("sample_dpmpp_2m")?, Solver::DpmPlusPlus2M);
/// assert!(Solver::from_name("DPM 17").is_err());
/// # Ok::<(), samplers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Solver {
    /// [`Ddim`], which is Euler's method.
    Euler,
    /// [`Ancestral`] with η = 1: DDPM, and the ancestral form of Euler's method.
    EulerAncestral,
    /// [`Heun`].
    Heun,
    /// [`Dpm2`].
    Dpm2,
    /// [`Dpm2`], [`Renewed`] with η = 1.
    Dpm2Ancestral,
    /// [`AdamsBashforth`] of order 4.
    Lms,
    /// The classical Runge–Kutta method in ln(alpha/sigma): [`RungeKutta`].
    RungeKutta4,
    /// DPM-Solver-3: [`DpmSolverSinglestep`] of order 3 in the noise.
    DpmSolver3,
    /// DPM-Solver++(2S): [`DpmSolverSinglestep`] of order 2.
    DpmPlusPlus2S,
    /// DPM-Solver++(2S), [`Renewed`] with η = 1.
    DpmPlusPlus2SAncestral,
    /// DPM-Solver++(2M): [`DpmSolverMultistep`] of order 2.
    DpmPlusPlus2M,
    /// DPM-Solver++(3M): [`DpmSolverMultistep`] of order 3, which it really has here.
    DpmPlusPlus3M,
    /// [`DpmSolverSde`] with η = 1 and its stage in the middle.
    DpmPlusPlusSde,
    /// [`DpmSolverMultistep`] of order 2 with η = 1.
    DpmPlusPlus2MSde,
    /// [`DpmSolverMultistep`] of order 3 with η = 1.
    DpmPlusPlus3MSde,
    /// [`UniPc`] of order 2 with its corrector.
    UniPc,
    /// [`Deis`] of order 3.
    Deis,
    /// [`SaSolver`] with τ = 1, predictor 2 and corrector 2.
    SaSolver,
}

/// Every solver with its name, which is that of web interfaces, and what other toolkits call it.
const TABLE: [(Solver, &str, &[&str]); 18] = [
    (
        Solver::Euler,
        "Euler",
        &[
            "DDIM",
            "sample_euler",
            "EulerDiscreteScheduler",
            "DDIMScheduler",
        ],
    ),
    (
        Solver::EulerAncestral,
        "Euler a",
        &[
            "DDPM",
            "sample_euler_ancestral",
            "EulerAncestralDiscreteScheduler",
            "DDPMScheduler",
        ],
    ),
    (
        Solver::Heun,
        "Heun",
        &["sample_heun", "HeunDiscreteScheduler"],
    ),
    (
        Solver::Dpm2,
        "DPM2",
        &["sample_dpm_2", "KDPM2DiscreteScheduler"],
    ),
    (
        Solver::Dpm2Ancestral,
        "DPM2 a",
        &["sample_dpm_2_ancestral", "KDPM2AncestralDiscreteScheduler"],
    ),
    (
        Solver::Lms,
        "LMS",
        &[
            "PLMS",
            "PNDM",
            "sample_lms",
            "LMSDiscreteScheduler",
            "PNDMScheduler",
        ],
    ),
    (Solver::RungeKutta4, "RK4", &[]),
    (Solver::DpmSolver3, "DPM-Solver-3", &["sample_dpm_fast"]),
    (
        Solver::DpmPlusPlus2S,
        "DPM++ 2S",
        &["DPMSolverSinglestepScheduler"],
    ),
    (
        Solver::DpmPlusPlus2SAncestral,
        "DPM++ 2S a",
        &["sample_dpmpp_2s_ancestral"],
    ),
    (
        Solver::DpmPlusPlus2M,
        "DPM++ 2M",
        &["sample_dpmpp_2m", "DPMSolverMultistepScheduler"],
    ),
    (Solver::DpmPlusPlus3M, "DPM++ 3M", &[]),
    (
        Solver::DpmPlusPlusSde,
        "DPM++ SDE",
        &["sample_dpmpp_sde", "DPMSolverSDEScheduler"],
    ),
    (
        Solver::DpmPlusPlus2MSde,
        "DPM++ 2M SDE",
        &["sample_dpmpp_2m_sde"],
    ),
    (
        Solver::DpmPlusPlus3MSde,
        "DPM++ 3M SDE",
        &["sample_dpmpp_3m_sde"],
    ),
    (Solver::UniPc, "UniPC", &["UniPCMultistepScheduler"]),
    (Solver::Deis, "DEIS", &["DEISMultistepScheduler"]),
    (Solver::SaSolver, "SA-Solver", &["SASolverScheduler"]),
];

impl Solver {
    /// Every solver.
    pub fn all() -> impl ExactSizeIterator<Item = Solver> {
        TABLE.iter().map(|&(solver, ..)| solver)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let (_, name, _) = TABLE
            .iter()
            .find(|(solver, ..)| *solver == self)
            .expect("every solver is in the table");
        name
    }

    /// The solver of this name, or of the name that k-diffusion or diffusers has for it, in any case of letters.
    ///
    /// The grid is no part of a name here: "DPM++ 2M Karras" is this solver along [`Grid::karras`](noise_schedule::Grid::karras).
    ///
    /// # Errors
    /// [`Error::UnknownSampler`] for another name.
    pub fn from_name(name: &str) -> Result<Solver, Error> {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        let row = TABLE
            .iter()
            .find(|(_, own, others)| same(own) || others.iter().any(|other| same(other)));
        row.map(|&(solver, ..)| solver).ok_or_else(|| {
            let known: Vec<&str> = TABLE.iter().map(|&(_, name, _)| name).collect();
            Error::UnknownSampler {
                toolkit: "solvers",
                name: name.to_string(),
                known: known.join(", "),
            }
        })
    }

    /// The stepper, at the start of a trajectory.
    pub fn stepper<X: VectorSpace + 'static>(self) -> Box<dyn CloneStepper<X>> {
        self.build().expect("the parameters of the table are valid")
    }

    fn build<X: VectorSpace + 'static>(self) -> Result<Box<dyn CloneStepper<X>>, Error> {
        let two_s = || DpmSolverSinglestep::second(Integrand::Denoised, 0.5, SecondOrder::Midpoint);
        let multistep = |order| DpmSolverMultistep::new(Integrand::Denoised, order);
        Ok(match self {
            Solver::Euler => Box::new(Ddim),
            Solver::EulerAncestral => Box::new(Ancestral::new(1.0)?),
            Solver::Heun => Box::new(Heun),
            Solver::Dpm2 => Box::new(Dpm2),
            Solver::Dpm2Ancestral => Box::new(Renewed::new(Dpm2, 1.0)?),
            Solver::Lms => Box::new(AdamsBashforth::new(4)?),
            Solver::RungeKutta4 => Box::new(RungeKutta::new(Tableau::classical(), HalfLogSnr)),
            Solver::DpmSolver3 => Box::new(DpmSolverSinglestep::third(
                Integrand::Noise,
                1.0 / 3.0,
                2.0 / 3.0,
            )?),
            Solver::DpmPlusPlus2S => Box::new(two_s()?),
            Solver::DpmPlusPlus2SAncestral => Box::new(Renewed::new(two_s()?, 1.0)?),
            Solver::DpmPlusPlus2M => Box::new(multistep(2)?),
            Solver::DpmPlusPlus3M => Box::new(multistep(3)?),
            Solver::DpmPlusPlusSde => Box::new(DpmSolverSde::new(1.0, 0.5)?),
            Solver::DpmPlusPlus2MSde => Box::new(multistep(2)?.with_eta(1.0)?),
            Solver::DpmPlusPlus3MSde => Box::new(multistep(3)?.with_eta(1.0)?),
            Solver::UniPc => Box::new(UniPc::new(Integrand::Denoised, 2)?),
            Solver::Deis => Box::new(Deis::new(3)?),
            Solver::SaSolver => Box::new(
                SaSolver::new(Integrand::Denoised, 2, Tau::constant(1.0)?)?.with_corrector(2)?,
            ),
        })
    }
}

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;

    #[test]
    fn names_lead_back_to_their_solvers() {
        for solver in Solver::all() {
            assert_eq!(Solver::from_name(solver.name()), Ok(solver));
            assert!(0 < solver.stepper::<Array1<f64>>().order());
        }
        let mut names: Vec<&str> = TABLE
            .iter()
            .flat_map(|(_, own, others)| [*own].into_iter().chain(others.iter().copied()))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name leads to two solvers");
        let message = Solver::from_name("magic").unwrap_err().to_string();
        assert!(message.contains("DPM++ 2M"), "{message}");
    }
}
