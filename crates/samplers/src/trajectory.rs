//! Steps along a grid.

use std::{fmt, slice};

use noise_schedule::{Grid, Kernel};

use crate::{Denoiser, NoiseSource, Stepper, VectorSpace};

/// The state at the end of a grid, from the state `x` at its first level.
///
/// # Shapes
/// The result has the shape of `x`; samples lie along the leading axis.
///
/// A grid of one level has no steps and returns `x`.
pub fn sample<X: VectorSpace>(
    grid: &Grid,
    mut stepper: impl Stepper<X>,
    model: &mut dyn Denoiser<X>,
    noise: &mut dyn NoiseSource<X>,
    x: X,
) -> X {
    grid.steps()
        .fold(x, |x, (from, to)| stepper.step(model, noise, &x, from, to))
}

/// The path of a sampler, as an iterator: one item (level, state) after each step.
///
/// The state at the first level is the caller's, and is not repeated.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{Ddim, Silent, Trajectory};
/// let mut model = |x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
/// let grid = Grid::geometric(10.0, 0.1, 5)?.then_clean();
/// let (mut stepper, mut noise) = (Ddim, Silent);
/// let path = Trajectory::new(&grid, &mut stepper, &mut model, &mut noise, array![10.0]);
/// let levels: Vec<Kernel> = path.map(|(level, _state)| level).collect();
/// assert_eq!(levels, grid.levels()[1..]);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
pub struct Trajectory<'a, X> {
    steps: slice::Windows<'a, Kernel>,
    stepper: &'a mut dyn Stepper<X>,
    model: &'a mut dyn Denoiser<X>,
    noise: &'a mut dyn NoiseSource<X>,
    x: X,
}

impl<'a, X: VectorSpace> Trajectory<'a, X> {
    /// The path along `grid` that starts from the state `x` at the first level.
    pub fn new(
        grid: &'a Grid,
        stepper: &'a mut dyn Stepper<X>,
        model: &'a mut dyn Denoiser<X>,
        noise: &'a mut dyn NoiseSource<X>,
        x: X,
    ) -> Trajectory<'a, X> {
        Trajectory {
            steps: grid.levels().windows(2),
            stepper,
            model,
            noise,
            x,
        }
    }
}

impl<X: VectorSpace> Iterator for Trajectory<'_, X> {
    type Item = (Kernel, X);

    fn next(&mut self) -> Option<(Kernel, X)> {
        let pair = self.steps.next()?;
        self.x = self
            .stepper
            .step(self.model, self.noise, &self.x, pair[0], pair[1]);
        Some((pair[1], self.x.clone()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.steps.size_hint()
    }
}

impl<X: VectorSpace> ExactSizeIterator for Trajectory<'_, X> {}

impl<X: fmt::Debug> fmt::Debug for Trajectory<'_, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trajectory")
            .field("steps", &self.steps)
            .field("x", &self.x)
            .finish_non_exhaustive()
    }
}
