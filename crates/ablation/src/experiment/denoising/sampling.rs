//! Samples by a network beside samples by the exact score, from the same noise in as many steps.

use ndarray::Array2;
use noise_schedule::{Grid, Kernel};
use samplers::{Ddim, Denoiser, Silent, sample};
use score_objective::exact::{ExactScore, GaussianField};

use super::{Denoising, Levels, learner::Learner, measure::FURTHEST, run::power};
use crate::{
    experiment::Found,
    stream::{Role, Stream},
};

/// What becomes of the finest octave in each number of steps; nothing where none is asked for.
///
/// The probability flow by DDIM from the largest level to the smallest, levels of one ratio. What the steps cost by
/// themselves, the exact score pays too.
pub(super) fn follow(
    experiment: &Denoising,
    data: &dyn ExactScore,
    learner: &Learner,
    stream: &Stream,
    found: &mut Found,
) {
    let Levels::Range { from, to } = experiment.levels else {
        return;
    };
    let field = GaussianField::grf16();
    let start = Kernel::variance_exploding(to).expect("it was checked");
    let start = data.draw_at(experiment.queries, start, &mut stream.at(Role::Probe, 2000));
    let octave = |model: &mut dyn Denoiser<Array2<f64>>, steps: u64| {
        let grid = Grid::geometric(to, from, steps as usize + 1).expect("it was checked");
        let x = sample(&grid, Ddim, model, &mut Silent, start.clone());
        power(&field, &x, 4..8)
    };
    let wrong = |&steps: &u64| {
        let mut own = |x: &Array2<f64>, at: Kernel| {
            let sigma = at.sigma();
            x + learner.score(x.view(), sigma) * (sigma * sigma)
        };
        let mut exact = |x: &Array2<f64>, at: Kernel| data.denoise(x.view(), at.sigma());
        let decades = (octave(&mut own, steps) / octave(&mut exact, steps)).log10();
        // A network whose samples leave the finite numbers is as wrong as any.
        let wrong = decades.abs().min(FURTHEST);
        (steps as f64, if wrong.is_nan() { FURTHEST } else { wrong })
    };
    let course: Vec<(f64, f64)> = experiment.sampled.iter().map(wrong).collect();
    let (Some(few), Some(many)) = (course.first(), course.last()) else {
        return;
    };
    found.set("sampled_few", few.1);
    found.set("sampled_many", many.1);
    found.set("sampled_drift", many.1 - few.1);
    found.curve(
        "octave_by_steps",
        ["denoising steps", "power of the finest octave, log10 off"],
        true,
        &course,
    );
}
