//! All steps at once: the trajectory as a fixed point.

use noise_schedule::{Grid, Kernel};

use crate::stepper::{renoised, rescaled};
use crate::{Batch, Denoiser};

/// DDIM's trajectory by Picard iteration: every sweep evaluates all levels at once and then takes all steps.
///
/// With x_i^(k) the state at level i after k sweeps, a sweep takes the steps of [`Ddim`](crate::Ddim) from the same start with the
/// slopes of the sweep before:
/// x_(i+1)^(k+1) = a_i x_i^(k+1) + b_i D(x_i^(k)).
/// After k sweeps the first k states are DDIM's, whatever the model, so that as many sweeps as steps are exact;
/// a smooth trajectory needs far fewer.
/// What is gained is parallelism: the evaluations of a sweep are one [`denoise_each`](Denoiser::denoise_each) of
/// (levels × samples) states.
/// The number of sweeps is given, not found by an error over the batch: a sample depends on itself alone.
///
/// Returns the last state after each sweep; the differences between them tell whether more are needed.
///
/// Shih et al. 2023 (<https://arxiv.org/abs/2305.16317>), there with a sliding window.
///
/// # Shapes
/// Each result has the shape of `x`; samples lie along the leading axis.
#[doc(alias = "paradigms")]
#[doc(alias = "parallel_sampling")]
pub fn picard<X: Batch>(grid: &Grid, sweeps: usize, model: &mut dyn Denoiser<X>, x: X) -> Vec<X> {
    let steps: Vec<(Kernel, Kernel)> = grid.steps().collect();
    // A step that only rescales asks nothing.
    let asking = |&(from, to): &(Kernel, Kernel)| rescaled(&x, from, to).is_none();
    let levels: Vec<Kernel> = steps
        .iter()
        .filter(|step| asking(step))
        .map(|&(from, _)| from)
        .collect();
    let samples = x.split().len();
    let each: Vec<Kernel> = levels
        .iter()
        .flat_map(|&level| vec![level; samples])
        .collect();
    // The first guess: the start, at every level.
    let mut states = vec![x.clone(); levels.len()];
    let mut ends = Vec::with_capacity(sweeps);
    for _ in 0..sweeps {
        let mut answers = if levels.is_empty() {
            Vec::new()
        } else {
            model.denoise_each(&X::stack(&states), &each).split()
        }
        .into_iter();
        states.clear();
        let end = steps.iter().fold(x.clone(), |state, &(from, to)| {
            if let Some(same) = rescaled(&state, from, to) {
                return same;
            }
            let own: Vec<X> = answers.by_ref().take(samples).collect();
            let next = renoised(&state, &X::stack(&own), from, to.alpha(), to.sigma());
            states.push(state);
            next
        });
        ends.push(end);
    }
    ends
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use noise_schedule::{NoiseSchedule, VpLinear};

    use super::*;
    use crate::{Counted, Ddim, Silent, sample};

    fn model(x: &Array2<f64>, at: Kernel) -> Array2<f64> {
        // Two points, ±1.
        x.mapv(|x| (x * at.alpha() / at.sigma().powi(2)).tanh())
    }

    #[test]
    fn as_many_sweeps_as_steps_are_ddim_to_the_bit() {
        let vp = VpLinear::song2021();
        let grid = Grid::uniform_time(&vp, 0.95, 0.05, 12)
            .unwrap()
            .then_clean();
        let x = array![[0.3, -1.2], [2.0, 0.7], [-0.1, 0.0]];
        let exact = sample(&grid, Ddim, &mut model, &mut Silent, x.clone());
        let mut counted = Counted::new(model);
        let ends = picard(&grid, 13, &mut counted, x);
        assert_eq!(counted.evaluations(), 13);
        assert_eq!(ends[12], exact);
        // Long before the last sweep the rest is rounding.
        let error =
            |end: &Array2<f64>| (end - &exact).fold(0.0, |worst: f64, d| worst.max(d.abs()));
        assert!(
            error(&ends[8]) < 1e-2 * error(&ends[0]),
            "{:?}",
            ends.iter().map(error).collect::<Vec<_>>()
        );
    }

    #[test]
    fn pure_noise_and_repeated_levels_are_finite() {
        let noise = Kernel::new(0.0, 1.0).unwrap();
        let middle = VpLinear::song2021().kernel(0.5);
        let grid = Grid::new(vec![noise, middle, middle, Kernel::CLEAN]).unwrap();
        let mut finite = |x: &Array2<f64>, _: Kernel| x.mapv(f64::tanh);
        let x = array![[0.3], [-2.0]];
        let ends = picard(&grid, 3, &mut finite, x.clone());
        assert_eq!(ends[2], sample(&grid, Ddim, &mut finite, &mut Silent, x));
        assert_eq!(
            picard(&grid, 0, &mut finite, array![[1.0]]),
            Vec::<Array2<f64>>::new()
        );
    }
}
