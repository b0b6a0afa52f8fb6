//! The model, as a sampler sees it.

use noise_schedule::Kernel;

use crate::{Batch, VectorSpace};

/// An estimate D(x; kernel) of E[x_0 | x_t = x].
///
/// Closures `FnMut(&X, Kernel) -> X` are denoisers.
pub trait Denoiser<X> {
    /// The estimate for the states `x`, all at the level `at`. One call is one evaluation.
    ///
    /// # Shapes
    /// The result has the shape of `x`; samples lie along the leading axis.
    fn denoise(&mut self, x: &X, at: Kernel) -> X;

    /// The estimates for the states `x`, sample i at the level `at[i]`: for samplers that step each sample on its own.
    ///
    /// The provided method denoises one sample after the other; a network, whose label may differ between the samples
    /// of a batch, does better in one evaluation.
    ///
    /// # Panics
    /// If the number of levels is not that of the samples.
    fn denoise_each(&mut self, x: &X, at: &[Kernel]) -> X
    where
        X: Batch,
    {
        let samples = x.split();
        assert!(
            samples.len() == at.len(),
            "denoise_each: {} samples need as many levels, got {}",
            samples.len(),
            at.len()
        );
        let pairs = samples.iter().zip(at);
        let denoised: Vec<X> = pairs.map(|(x, &at)| self.denoise(x, at)).collect();
        X::stack(&denoised)
    }
}

impl<X, F: FnMut(&X, Kernel) -> X> Denoiser<X> for F {
    fn denoise(&mut self, x: &X, at: Kernel) -> X {
        self(x, at)
    }
}

/// A denoiser that counts its evaluations, so that budgets are compared in evaluations and not in steps.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{Counted, Heun, Silent, sample};
/// let mut model = Counted::new(|x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2)));
/// let grid = Grid::karras(0.002, 80.0, 7.0, 18)?.then_clean();
/// sample(&grid, Heun, &mut model, &mut Silent, array![80.0]);
/// assert_eq!(model.evaluations(), 2 * 18 - 1);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "nfe")]
#[derive(Clone, Debug)]
pub struct Counted<D> {
    inner: D,
    evaluations: usize,
}

impl<D> Counted<D> {
    /// The same denoiser, with a count that starts at zero.
    pub fn new(inner: D) -> Counted<D> {
        Counted {
            inner,
            evaluations: 0,
        }
    }

    /// The number of evaluations so far.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// The denoiser without the count.
    pub fn into_inner(self) -> D {
        self.inner
    }
}

impl<X, D: Denoiser<X>> Denoiser<X> for Counted<D> {
    fn denoise(&mut self, x: &X, at: Kernel) -> X {
        self.evaluations += 1;
        self.inner.denoise(x, at)
    }

    /// One evaluation, as it is for a network.
    fn denoise_each(&mut self, x: &X, at: &[Kernel]) -> X
    where
        X: Batch,
    {
        self.evaluations += 1;
        self.inner.denoise_each(x, at)
    }
}

/// The score ∇ log p_t(x) = (alpha D − x) / sigma² that belongs to a denoised state.
///
/// This is Tweedie's formula, solved for the score.
///
/// # Shapes
/// `x`, `denoised` and the result have one shape.
///
/// # Panics
/// If `at.sigma()` is zero: the data need not have a density there.
pub fn score<X: VectorSpace>(x: &X, denoised: &X, at: Kernel) -> X {
    assert!(
        0.0 < at.sigma(),
        "score: sigma must be positive, got 0; the score of clean data is not a function of D"
    );
    let precision = at.sigma().powi(-2);
    X::axpby(at.alpha() * precision, denoised, -precision, x)
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use noise_schedule::Kernel;

    use super::score;

    #[test]
    fn score_of_a_gaussian() {
        // Data N(0, 9): p_t = N(0, v), v = 9 alpha² + sigma², score -x/v, D = 9 alpha x / v.
        let at = Kernel::new(0.6, 2.0).unwrap();
        let x = array![1.5_f64, -4.0];
        let v: f64 = 9.0 * 0.36 + 4.0;
        let found = score(&x, &(&x * (9.0 * 0.6 / v)), at);
        for (&found, &x) in found.iter().zip(&x) {
            assert!((found + x / v).abs() < 1e-15);
        }
    }

    #[test]
    #[should_panic(expected = "sigma must be positive")]
    fn clean_data_have_no_score_here() {
        score(&array![1.0], &array![1.0], Kernel::CLEAN);
    }
}
