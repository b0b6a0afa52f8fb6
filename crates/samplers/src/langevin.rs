//! Langevin dynamics, plain and annealed.

use noise_schedule::{Grid, Kernel};

use crate::{Denoiser, NoiseSource, VectorSpace};

/// Unadjusted Langevin dynamics, `steps` times x ← x + (step/2) score(x) + √step z with z ~ N(0, I).
///
/// One evaluation of the score per step.
/// For the score of N(0, v) the stationary variance is v / (1 − step / (4v)):
/// the steps are not corrected, so the law is right in the limit of small steps only.
/// The noise is asked for at [`Kernel::CLEAN`], since no level is involved.
///
/// Song & Ermon 2019 (<https://arxiv.org/abs/1907.05600>), equation 4.
/// Some codes write the same dynamics as x + ε score + √(2ε) z: their ε is step / 2.
///
/// # Shapes
/// The score and the result have the shape of `x`; samples lie along the leading axis.
///
/// # Panics
/// If `step` is negative or not finite.
///
/// ```
/// use ndarray::Array2;
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{PerSample, langevin};
/// // From far away to N(0, 1), whose score is -x.
/// let mut noise = PerSample::new((0..500).map(ChaCha8Rng::seed_from_u64));
/// let x = langevin(&mut |x: &Array2<f64>| -x, &mut noise, Array2::from_elem((500, 1), 9.0), 0.1, 200);
/// assert!(x.mean().unwrap().abs() < 0.2);
/// ```
pub fn langevin<X: VectorSpace>(
    score: &mut dyn FnMut(&X) -> X,
    noise: &mut dyn NoiseSource<X>,
    mut x: X,
    step: f64,
    steps: usize,
) -> X {
    assert!(
        step.is_finite() && 0.0 <= step,
        "Langevin: the step must be finite and not negative, got {step}"
    );
    for _ in 0..steps {
        let drifted = X::axpby(1.0, &x, 0.5 * step, &score(&x));
        let fresh = noise.between(&x, Kernel::CLEAN, Kernel::CLEAN);
        x = X::axpby(1.0, &drifted, step.sqrt(), &fresh);
    }
    x
}

/// Annealed Langevin dynamics: [`langevin`] at each noise level of a variance-exploding grid in turn,
/// each level starting from where the one before ended.
///
/// At the level sigma the step is epsilon sigma², so that with score = (D − x) / sigma² one update reads
/// x ← x + (epsilon/2) (D − x) + √epsilon sigma z.
/// In this form nothing is divided by sigma.
///
/// Song & Ermon 2019 (<https://arxiv.org/abs/1907.05600>), Algorithm 1.
/// There the step is ε sigma² / sigma_L², relative to the last level sigma_L;
/// ours is relative to the level itself: epsilon = ε / sigma_L².
///
/// A level with sigma = 0 has no dynamics and is passed over.
#[doc(alias = "ncsn")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnnealedLangevin {
    /// Step in units of sigma², positive. Where noise dominates, updates are stable below 4.
    pub epsilon: f64,
    /// Updates at each level, one evaluation each.
    pub steps_per_level: usize,
    /// Whether the last state is replaced by D at the last level with noise (x + sigma² score), for one more evaluation.
    pub final_denoise: bool,
}

impl AnnealedLangevin {
    /// The dynamics of NCSN's code, in its own parameters: x + α score + √(2α) z with α = step_lr (sigma/sigma_L)²,
    /// where sigma_L is the last level of `grid` that has noise; epsilon = 2 step_lr/sigma_L².
    ///
    /// Song & Ermon 2019 had `step_lr` 2e-5 with sigma_L 0.01 and 100 steps per level.
    ///
    /// # Panics
    /// If no level of the grid has noise.
    #[doc(alias = "step_lr")]
    #[doc(alias = "anneal_Langevin_dynamics")]
    pub fn song2019(
        grid: &Grid,
        step_lr: f64,
        steps_per_level: usize,
        final_denoise: bool,
    ) -> AnnealedLangevin {
        let last = noisy_levels(grid).last();
        let last = last.expect("annealed Langevin: a grid with noise").sigma();
        AnnealedLangevin {
            epsilon: 2.0 * step_lr / (last * last),
            steps_per_level,
            final_denoise,
        }
    }

    /// The number of evaluations that [`run`](AnnealedLangevin::run) makes on this grid.
    pub fn evaluations(&self, grid: &Grid) -> usize {
        let noisy = noisy_levels(grid).count();
        noisy * self.steps_per_level + usize::from(self.final_denoise && 0 < noisy)
    }

    /// The state after the last level, from the state `x` before the first.
    ///
    /// # Shapes
    /// The result has the shape of `x`; samples lie along the leading axis.
    ///
    /// # Panics
    /// If `epsilon` is not positive and finite, or if a level has alpha ≠ 1:
    /// between levels of different alpha the state would have to be rescaled.
    pub fn run<X: VectorSpace>(
        &self,
        grid: &Grid,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        mut x: X,
    ) -> X {
        assert!(
            0.0 < self.epsilon && self.epsilon.is_finite(),
            "annealed Langevin: epsilon must be positive and finite, got {}",
            self.epsilon
        );
        for level in noisy_levels(grid) {
            assert!(
                level.alpha() == 1.0,
                "annealed Langevin: every level needs alpha = 1, got {}; use a variance-exploding grid",
                level.alpha()
            );
            for _ in 0..self.steps_per_level {
                let denoised = model.denoise(&x, level);
                let pull = 0.5 * self.epsilon;
                let drifted = X::axpby(1.0 - pull, &x, pull, &denoised);
                let fresh = noise.between(&x, level, level);
                x = X::axpby(1.0, &drifted, self.epsilon.sqrt() * level.sigma(), &fresh);
            }
        }
        match noisy_levels(grid).last() {
            Some(last) if self.final_denoise => model.denoise(&x, last),
            _ => x,
        }
    }
}

fn noisy_levels(grid: &Grid) -> impl Iterator<Item = Kernel> + '_ {
    grid.levels()
        .iter()
        .copied()
        .filter(|level| 0.0 < level.sigma())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    #[test]
    fn step_lr_is_that_of_the_code() {
        let grid = Grid::geometric(1.0, 0.1, 3).unwrap().then_clean();
        let dynamics = AnnealedLangevin::song2019(&grid, 2e-3, 1, false);
        let mut model = |x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
        let mut noise = |_: &Array1<f64>, _: Kernel, _: Kernel| array![0.7];
        let found = dynamics.run(&grid, &mut model, &mut noise, array![2.0]);
        let levels = grid.levels()[..3].iter().map(|level| level.sigma());
        let expected = levels.fold(2.0_f64, |x, sigma| {
            let step = 2e-3 * (sigma / 0.1).powi(2);
            x - step * x / (1.0 + sigma * sigma) + (2.0 * step).sqrt() * 0.7
        });
        assert!((found[0] - expected).abs() < 1e-12);
    }
}
