//! Curvature of the loss, and the kernel of the outputs (feature `tch`).
//!
//! The Hessian is known by its products with vectors; [`crate::lanczos`] makes eigenvalues, traces and densities of them.
//! With one unit it is the diagonal block of that layer.
//!
//! ```
//! use learnability::{curvature::Hessian, lanczos::{Lanczos, trace}};
//! use rand::SeedableRng;
//! use tch::{Kind, Tensor};
//!
//! let w = Tensor::from_slice(&[1.0_f64, 1.0, 1.0]).set_requires_grad(true);
//! let units = [("w".to_owned(), vec![w.shallow_clone()])];
//! let loss = (w.square() * Tensor::from_slice(&[0.5, 1.0, 5.0])).sum(Kind::Double); // Hessian diag(1, 2, 10)
//! let hessian = Hessian::new(&loss, &units);
//! let mut product = |v: &[f64]| hessian.product(v);
//!
//! let sharpest = Lanczos::run(&mut product, &[1.0, 1.0, 1.0], 20)?.ritz()[0];
//! assert!((sharpest.value - 10.0).abs() < 1e-9 && sharpest.residual < 1e-9);
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
//! assert!((trace(&mut product, hessian.dimension(), 4, &mut rng)?.value - 13.0).abs() < 1e-9);
//! # Ok::<(), learnability::Error>(())
//! ```

use tch::{Kind, Tensor};

use crate::gradient::unit_grams;
use crate::gram::Gram;

/// The Hessian of a loss with respect to the parameters of some units, as products with vectors.
///
/// A vector has one entry for each scalar, unit by unit, parameter by parameter, row by row.
/// Holds the graph of the gradient: the memory of about two backward passes, until dropped.
///
/// *Range*: a symmetric operator; eigenvalues of either sign, below 0 where the loss is curved down.
/// *Invariances*: none; where scale is moved between layers, curvature moves with it (Dinh et al. 2017), so compare
/// networks by curvature only where their scales are comparable.
/// *Failure mode*: at a kink of a piecewise linear activation it is that of one side. Batch normalisation has another
/// Hessian while training than while evaluating: `loss` decides which. In single precision the small end of a spectrum
/// is rounding.
/// *Source*: Pearlmutter 1994, by differentiating `⟨∇L, v⟩`.
#[derive(Debug)]
pub struct Hessian {
    parameters: Vec<Tensor>,
    /// `None` where the loss does not depend on a parameter, or is linear in all of them.
    gradients: Vec<Option<Tensor>>,
}

impl Hessian {
    /// Of `loss`, one element, at the present values of the parameters.
    ///
    /// # Panics
    /// If `loss` has more than one element or depends on no parameter that requires a gradient, or there are no
    /// parameters.
    pub fn new(loss: &Tensor, units: &[(String, Vec<Tensor>)]) -> Self {
        assert_eq!(loss.numel(), 1, "the loss has more than one element");
        let parameters: Vec<Tensor> = units
            .iter()
            .flat_map(|(_, p)| p)
            .map(Tensor::shallow_clone)
            .collect();
        assert!(!parameters.is_empty(), "Hessian: no parameters");
        let gradients = Tensor::run_backward(&[loss], &parameters, true, true)
            .into_iter()
            .map(|g| (g.defined() && g.requires_grad()).then_some(g))
            .collect();
        Self {
            parameters,
            gradients,
        }
    }

    /// Number of scalars.
    pub fn dimension(&self) -> usize {
        self.parameters.iter().map(Tensor::numel).sum()
    }

    /// `H v`, by one backward pass through the gradient.
    ///
    /// # Shapes
    /// `v` and the product: `[dimension]`.
    ///
    /// # Panics
    /// If `v` has another length.
    pub fn product(&self, v: &[f64]) -> Vec<f64> {
        assert_eq!(
            v.len(),
            self.dimension(),
            "Hessian::product: length of the vector"
        );
        let mut rest = v;
        let mut slope: Option<Tensor> = None;
        for (parameter, gradient) in self.parameters.iter().zip(&self.gradients) {
            let (here, after) = rest.split_at(parameter.numel());
            rest = after;
            if let Some(gradient) = gradient {
                let along = Tensor::from_slice(here)
                    .to_kind(gradient.kind())
                    .to_device(gradient.device());
                let term = (gradient * along.reshape(gradient.size())).sum(gradient.kind());
                slope = Some(match slope {
                    Some(slope) => slope + term,
                    None => term,
                });
            }
        }
        let Some(slope) = slope else {
            return vec![0.0; v.len()];
        };
        let products = Tensor::run_backward(&[slope], &self.parameters, true, false);
        self.parameters
            .iter()
            .zip(products)
            .flat_map(|(parameter, product)| {
                if product.defined() {
                    numbers(&product)
                } else {
                    vec![0.0; parameter.numel()]
                }
            })
            .collect()
    }
}

/// The empirical neural tangent kernel `K_ij = ⟨∂f_i/∂w, ∂f_j/∂w⟩` of every unit; [`Gram::sum`] is that of the network.
///
/// `K` decides which errors gradient descent removes first, while the network stays near its linearisation: at rates
/// proportional to its eigenvalues. [`Gram::spectrum`] has its condition number and effective rank.
/// `|w|² · `[`Gram::trace`] is the energy of a layer, an access that does not depend on the loss.
///
/// *Range*: positive semidefinite. *Invariances*: of `|w|² tr K`, rescaling between layers; of `K`, none.
/// *Failure mode*: a statement about one moment; in training it moves. With `n` outputs the gradients of all of them are
/// held at once.
/// *Source*: Jacot, Gabriel & Hongler 2018.
///
/// # Shapes
/// `outputs`: any; each element is an output, in row-major order.
///
/// # Panics
/// As [`crate::gradient::unit_gradients`].
///
/// ```
/// use learnability::{curvature::tangent_kernel, gram::Gram};
/// use tch::Tensor;
/// let x = Tensor::from_slice(&[1.0_f64, 0.0, 1.0, 1.0]).reshape([2, 2]);
/// let w = Tensor::from_slice(&[0.3_f64, -0.7]).set_requires_grad(true);
/// let kernel = tangent_kernel(&x.mv(&w), &[("w".to_owned(), vec![w.shallow_clone()])]);
/// assert_eq!(kernel[0], Gram::of(&[&[1.0, 0.0], &[1.0, 1.0]])); // of a linear model: x xᵀ
/// ```
#[doc(alias = "ntk")]
pub fn tangent_kernel(outputs: &Tensor, units: &[(String, Vec<Tensor>)]) -> Vec<Gram> {
    let outputs = outputs.flatten(0, -1);
    unit_grams(&mut |i| outputs.get(i as i64), outputs.numel(), units)
}

/// The elements of a tensor, row by row, in `f64`.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().flatten(0, -1).to_kind(Kind::Double);
    Vec::try_from(flat).expect("a vector of f64")
}
