//! Independent distributions side by side.

use ndarray::{Array1, Array2, Array3, ArrayView2, s};
use rand::RngCore;

use super::ExactScore;
use super::rows::{at_least_one, check_points, check_query};
use crate::Error;

/// p(x) = Π p_k(x_k), where x = (x_1, …, x_K) is cut into the coordinates of each part.
///
/// Everything falls apart: scores and posterior means stand side by side, log-densities and Fisher informations add,
/// posterior covariances are blocks.
/// A part of zero variance embeds the others in more dimensions.
///
/// ```
/// use ndarray::array;
/// use score_objective::exact::{Curve, ExactScore, Gaussian, Product};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// // A knot in ten dimensions.
/// let knot: Box<dyn ExactScore> = Box::new(Curve::trefoil(200)?);
/// let data = Product::new(vec![knot, Box::new(Gaussian::subspace(0, 7)?)])?;
/// assert_eq!(data.dim(), 10);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Product<P> {
    parts: Vec<P>,
}

impl<P: ExactScore> Product<P> {
    /// The parts in the order of their coordinates.
    ///
    /// # Errors
    /// [`Error::Count`] if there is none.
    pub fn new(parts: Vec<P>) -> Result<Product<P>, Error> {
        at_least_one("number of parts", parts.len())?;
        Ok(Product { parts })
    }

    /// The distributions p_k.
    pub fn parts(&self) -> &[P] {
        &self.parts
    }

    /// Each part with the range of its coordinates.
    fn blocks(&self) -> impl Iterator<Item = (&P, std::ops::Range<usize>)> {
        self.parts.iter().scan(0, |end, part| {
            let start = *end;
            *end += part.dim();
            Some((part, start..*end))
        })
    }

    /// f(part, its coordinates of x), side by side.
    fn by_part(
        &self,
        x: ArrayView2<'_, f64>,
        f: impl Fn(&P, ArrayView2<'_, f64>) -> Array2<f64>,
    ) -> Array2<f64> {
        let mut out = Array2::zeros(x.raw_dim());
        for (part, range) in self.blocks() {
            out.slice_mut(s![.., range.clone()])
                .assign(&f(part, x.slice(s![.., range])));
        }
        out
    }

    /// Σ f(part, its coordinates of x).
    fn summed(
        &self,
        x: ArrayView2<'_, f64>,
        f: impl Fn(&P, ArrayView2<'_, f64>) -> Array1<f64>,
    ) -> Array1<f64> {
        let terms = self
            .blocks()
            .map(|(part, range)| f(part, x.slice(s![.., range])));
        terms.fold(Array1::zeros(x.nrows()), |sum, term| sum + term)
    }
}

impl<P: ExactScore> ExactScore for Product<P> {
    fn dim(&self) -> usize {
        self.parts.iter().map(|part| part.dim()).sum()
    }

    fn has_density(&self) -> bool {
        self.parts.iter().all(|part| part.has_density())
    }

    /// All points of the first part are drawn before those of the second.
    fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        let mut x = Array2::zeros((n, self.dim()));
        for (part, range) in self.blocks() {
            x.slice_mut(s![.., range]).assign(&part.draw(n, rng));
        }
        x
    }

    fn mean(&self) -> Array1<f64> {
        self.parts.iter().flat_map(|part| part.mean()).collect()
    }

    fn covariance(&self) -> Array2<f64> {
        let mut covariance = Array2::zeros((self.dim(), self.dim()));
        for (part, range) in self.blocks() {
            covariance
                .slice_mut(s![range.clone(), range])
                .assign(&part.covariance());
        }
        covariance
    }

    fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_query(self, x, sigma);
        self.by_part(x, |part, x| part.score(x, sigma))
    }

    fn log_density(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_query(self, x, sigma);
        self.summed(x, |part, x| part.log_density(x, sigma))
    }

    fn denoise(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        check_points(self, x, sigma);
        self.by_part(x, |part, x| part.denoise(x, sigma))
    }

    fn posterior_covariance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array3<f64> {
        check_points(self, x, sigma);
        let mut covariance = Array3::zeros((x.nrows(), self.dim(), self.dim()));
        for (part, range) in self.blocks() {
            covariance
                .slice_mut(s![.., range.clone(), range.clone()])
                .assign(&part.posterior_covariance(x.slice(s![.., range]), sigma));
        }
        covariance
    }

    fn posterior_variance(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array1<f64> {
        check_points(self, x, sigma);
        self.summed(x, |part, x| part.posterior_variance(x, sigma))
    }

    /// The sum of the parts', if all know theirs.
    fn fisher_information(&self, sigma: f64) -> Option<f64> {
        self.parts
            .iter()
            .map(|part| part.fisher_information(sigma))
            .sum()
    }
}
