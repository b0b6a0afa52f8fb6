//! Steps along a grid.

use std::{fmt, slice};

use noise_schedule::{Grid, Kernel, Path};

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

/// What a step towards more noise does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rise {
    /// It follows the probability flow backwards, by the stepper: inversion.
    Flow,
    /// It adds fresh noise, by [`noised`]: restarts and RePaint.
    Noise,
}

/// The state at the end of a path, which may rise, from the state `x` at its first level.
///
/// Each stretch of one direction has a stepper of its own, since what a multistep method remembers ends where the path turns.
///
/// With [`Path::restart`] and [`Rise::Noise`] this is restart sampling, Xu et al. 2023 (<https://arxiv.org/abs/2306.14878>), algorithm 1;
/// with a reversed grid and [`Rise::Flow`] it is the inversion of DDIM and of every other deterministic stepper.
///
/// # Shapes
/// The result has the shape of `x`; samples lie along the leading axis.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel, Path};
/// use samplers::{Heun, Rise, Silent, walk};
/// // The exact denoiser of N(0, 1) data: there and back again.
/// let mut model = |x: &Array1<f64>, k: Kernel| x * (k.alpha() / (k.alpha().powi(2) + k.sigma().powi(2)));
/// let down = Path::from(Grid::karras(0.01, 10.0, 7.0, 200)?);
/// let data = array![0.7];
/// let noise = walk(&down.clone().reversed(), Rise::Flow, || Heun, &mut model, &mut Silent, data);
/// let back = walk(&down, Rise::Flow, || Heun, &mut model, &mut Silent, noise);
/// assert!((back[0] - 0.7).abs() < 1e-5);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
pub fn walk<X: VectorSpace, S: Stepper<X>>(
    path: &Path,
    rise: Rise,
    stepper: impl Fn() -> S,
    model: &mut dyn Denoiser<X>,
    noise: &mut dyn NoiseSource<X>,
    mut x: X,
) -> X {
    let mut current: Option<(bool, S)> = None;
    for (from, to) in path.steps() {
        let rises = from.noise_to_signal() < to.noise_to_signal();
        if rises && rise == Rise::Noise {
            x = noised(&x, from, to, noise);
            current = None;
            continue;
        }
        let (_, stepper) = match current.take() {
            Some(same) if same.0 == rises => current.insert(same),
            _ => current.insert((rises, stepper())),
        };
        x = stepper.step(model, noise, &x, from, to);
    }
    x
}

/// A state of the noisier level `to`, from the state `x` at `from`, by fresh noise z:
/// (alpha_to/alpha_from) x + √(sigma_to² − (alpha_to/alpha_from)² sigma_from²) z, the transition of the forward process.
///
/// # Panics
/// If `to` is less noisy than `from`.
#[doc(alias = "add_noise")]
pub fn noised<X: VectorSpace>(
    x: &X,
    from: Kernel,
    to: Kernel,
    noise: &mut dyn NoiseSource<X>,
) -> X {
    let (less, more) = (from.noise_to_signal(), to.noise_to_signal());
    assert!(
        less <= more,
        "noised: a transition adds noise, got noise_to_signal {less} to {more}"
    );
    let fresh = noise.between(x, from, to);
    if to.alpha() == 0.0 {
        return X::axpby(0.0, x, to.sigma(), &fresh);
    }
    let kept = to.alpha() / from.alpha();
    let carried = kept * from.sigma();
    // As a product, which is not negative for rounding.
    let added = ((to.sigma() - carried) * (to.sigma() + carried))
        .max(0.0)
        .sqrt();
    X::axpby(kept, x, added, &fresh)
}

/// The path of a sampler, as an iterator: one item (level, state) after each step.
///
/// The state at the first level is the caller's, and is not repeated.
/// What the denoiser answered on the way is seen by a closure around it.
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
