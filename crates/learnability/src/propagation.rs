//! Propagation of signals through a network: moments, correlations, Jacobians, shattering (feature `tch`).
//!
//! There are no hooks in tch, so the caller's closure hands out the activations, each with the batch as its first axis.
//!
//! ```
//! use learnability::propagation::{jacobian_spectrum, profile};
//! use tch::{Kind, Tensor};
//!
//! // Two linear layers: a rotation by 90°, and one that forgets the second coordinate.
//! let turn = Tensor::from_slice(&[0.0_f64, 1.0, -1.0, 0.0]).reshape([2, 2]);
//! let forget = Tensor::from_slice(&[2.0_f64, 0.0, 0.0, 0.0]).reshape([2, 2]);
//! let forward = |x: &Tensor| {
//!     let hidden = x.matmul(&turn);
//!     let output = hidden.matmul(&forget);
//!     vec![x.shallow_clone(), hidden, output]
//! };
//! let x = Tensor::eye(2, (Kind::Double, tch::Device::Cpu));
//! let layers = profile(&forward(&x));
//! assert_eq!(layers[1].second_moment, layers[0].second_moment); // a rotation keeps everything
//! assert_eq!((layers[1].effective_rank, layers[2].effective_rank), (Some(2.0), Some(1.0)));
//!
//! let last = |x: &Tensor| forward(x).remove(2);
//! assert_eq!(jacobian_spectrum(&last, &x.narrow(0, 0, 1))?.values(), [2.0, 0.0]);
//! # Ok::<(), learnability::Error>(())
//! ```

use tch::{Kind, Tensor};

use crate::curvature::numbers;
use crate::error::Error;
use crate::gradient::{dot, flat};
use crate::gram::Gram;
use crate::shattering::GradientLine;
use crate::spectrum::Spectrum;

/// What is left of a batch of inputs at one depth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// `q = mean h²` over batch and features.
    ///
    /// *Range*: `[0, ∞)`. Depth should leave it alone: `ln q` falls or rises linearly where signals vanish or explode.
    /// *Invariances*: rotation of the features, order of the inputs.
    /// *Failure mode*: it says how loud a layer is, not what of the input is left: a network that has become a constant
    /// may be as loud as ever, and a normalisation makes any layer so. The mean is taken over inputs before the logarithm,
    /// so one loud input decides it.
    /// *Source*: the length map of Poole et al. 2016.
    pub second_moment: f64,
    /// Mean cosine between two inputs of the batch, `mean_{i<j} cos(h_i, h_j)`.
    ///
    /// *Range*: `[−1/(B−1), 1]`; 1 where the network has become a constant. `None` for a single input, or if an `h_i` is
    /// 0 or not finite. *Invariances*: rotation of the features, scale of each input's features.
    /// *Failure mode*: a mean activation alone raises it, as after every ReLU; read the centred one beside it.
    /// *Source*: the correlation map of Poole et al. 2016, averaged over pairs.
    pub cosine: Option<f64>,
    /// The same after subtracting the mean over the batch.
    ///
    /// *Range*: `[−1/(B−1), 1]`, and `−1/(B−1)` up to the differences of length where inputs are unrelated: of use to
    /// see two clusters, not collapse. `None` as above. *Invariances*: rotation and shift of the features.
    /// *Failure mode*: where inputs are unrelated, the usual case, it is about `−1/(B−1)` whatever they are.
    /// *Source*: defined here.
    pub centred_cosine: Option<f64>,
    /// Effective rank of the inputs' inner products `h_i·h_j`, by their eigenvalues.
    ///
    /// *Range*: `[1, min(B, features)]`; 1 where all inputs have become multiples of one. `None` if all are 0 or one is
    /// not finite. *Invariances*: rotation, scale. *Failure mode*: limited by the batch, so compare at equal `B`.
    /// *Source*: Roy & Vetterli 2007, on eigenvalues.
    pub effective_rank: Option<f64>,
}

/// One [`Layer`] for each activation, in order; ranges, invariances and failure modes are those of its fields.
///
/// *Source*: Poole et al. 2016, Schoenholz et al. 2017 for what moments and correlations say about depth.
///
/// # Shapes
/// Each activation `[B, …]`.
///
/// # Panics
/// If an activation has no batch axis or no elements.
pub fn profile(activations: &[Tensor]) -> Vec<Layer> {
    activations
        .iter()
        .map(|h| {
            let h = rows(h);
            let gram = inner_products(&h);
            let centred = &h - h.mean_dim(&[0i64][..], true, Kind::Double);
            Layer {
                second_moment: gram.trace() / h.numel() as f64,
                cosine: gram.mean_cosine(),
                centred_cosine: inner_products(&centred).mean_cosine(),
                effective_rank: gram.spectrum().ok().and_then(|s| s.effective_rank()),
            }
        })
        .collect()
}

/// `|∂L/∂h|` at each activation, over the whole batch, by one backward pass.
///
/// *Range*: `[0, ∞)`; 0 for an activation that the loss does not depend on, so `activations` must be those of the graph,
/// and the input, if it is among them, must require a gradient.
/// *Invariances*: rotation of the features; of ratios between depths, the scale of the loss.
/// *Failure mode*: a size, not a direction: a gradient that arrives in full may be noise, or white along inputs
/// ([`gradients_along`]). With a mean over the batch as loss it falls as `1/√B`, and activations of other widths have other
/// norms, so compare equal ones. In single precision it is 0 where it underflows.
/// *Source*: the backward recursion of Schoenholz et al. 2017; vanishing by depth, Bengio, Simard & Frasconi 1994.
///
/// # Panics
/// If `loss` has more than one element, or an activation is not part of a graph.
pub fn backpropagated(loss: &Tensor, activations: &[Tensor]) -> Vec<f64> {
    assert_eq!(loss.numel(), 1, "the loss has more than one element");
    Tensor::run_backward(&[loss], activations, true, false)
        .iter()
        .map(|g| {
            if g.defined() {
                let g = flat(g);
                dot(&g, &g).sqrt()
            } else {
                0.0
            }
        })
        .collect()
}

/// `Jᵀ v` with `J = ∂f/∂x`, by one backward pass.
///
/// # Shapes
/// `v` as `f(x)`; the product as `x`.
///
/// # Panics
/// If `v` differs in shape from `f(x)`, or `f(x)` does not depend on `x`.
pub fn vjp(f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor, v: &Tensor) -> Tensor {
    let x = x.detach().set_requires_grad(true);
    let y = f(&x);
    assert_eq!(y.size(), v.size(), "vjp: shape of v");
    pulled_back(&y, &x, v, false)
}

/// `J v` with `J = ∂f/∂x`, by differentiating `u ↦ Jᵀ u`, which is linear.
///
/// # Shapes
/// `v` as `x`; the product as `f(x)`.
///
/// # Panics
/// If `v` differs in shape from `x`, or `f(x)` does not depend on `x`.
pub fn jvp(f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor, v: &Tensor) -> Tensor {
    assert_eq!(x.size(), v.size(), "jvp: shape of v");
    let x = x.detach().set_requires_grad(true);
    let y = f(&x);
    let u = y.detach().zeros_like().set_requires_grad(true);
    pulled_back(&pulled_back(&y, &x, &u, true), &u, v, false)
}

/// The Jacobian of `f` at `x` in `f64`, from as many passes as its smaller side.
///
/// `f` must treat `x` as one input: for the Jacobian of one sample give it a batch of one.
///
/// *Range*: real entries. *Failure mode*: at a kink of a piecewise linear activation it is that of one side; it holds all
/// entries at once, outputs times inputs.
///
/// # Shapes
/// `[outputs, inputs]`, both row by row.
///
/// # Panics
/// If `f(x)` does not depend on `x`.
pub fn jacobian(f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor) -> Tensor {
    let x = x.detach().set_requires_grad(true);
    let y = f(&x);
    let forward = x.numel() < y.numel();
    let u = y.detach().zeros_like().set_requires_grad(forward);
    // Both are linear maps given by a graph; their matrix comes out row by row.
    let (output, input) = if forward {
        (pulled_back(&y, &x, &u, true), &u)
    } else {
        (y, &x)
    };
    let output = output.flatten(0, -1);
    let lines: Vec<Tensor> = (0..output.numel() as i64)
        .map(|i| {
            let line = Tensor::run_backward(&[output.get(i)], &[input], true, false).remove(0);
            let line = if line.defined() {
                line
            } else {
                input.zeros_like()
            };
            line.detach().flatten(0, -1).to_kind(Kind::Double)
        })
        .collect();
    let matrix = Tensor::stack(&lines, 0);
    if forward { matrix.tr() } else { matrix }
}

/// The singular values of the Jacobian of `f` at `x`.
///
/// Where all are 1 the network is a dynamical isometry; the readings of [`Spectrum`] say how far it is from one.
///
/// *Range*: `min(outputs, inputs)` values of at least 0.
/// *Invariances*: rotation of inputs and of outputs.
/// *Failure mode*: one input; take several. In single precision what is below `10⁻⁷` of the largest is rounding.
/// *Source*: Pennington, Schoenholz & Ganguli 2017.
///
/// # Errors
/// A derivative that is not finite.
///
/// # Panics
/// If `f(x)` does not depend on `x`.
pub fn jacobian_spectrum(f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor) -> Result<Spectrum, Error> {
    let matrix = jacobian(f, x);
    crate::error::check_finite("Jacobian", &numbers(&matrix))?;
    Spectrum::new(numbers(&matrix.svd(true, false).1))
}

/// The gradients `∂f/∂x` at the inputs of a line: what [`GradientLine`] looks at for shattering.
///
/// `f` maps a batch of inputs to one number each; the rows must not depend on each other.
///
/// *Failure mode*: with batch normalisation in training mode rows do depend on each other; freeze its statistics.
///
/// # Shapes
/// `inputs` `[N, …]`, equally spaced and in order; `f(inputs)` `[N]` or `[N, 1]`.
///
/// # Errors
/// Fewer than 3 inputs, or a gradient that is not finite.
///
/// # Panics
/// If `f` gives another number of outputs, or does not depend on its inputs.
///
/// ```
/// use learnability::{propagation::gradients_along, shattering::Centring};
/// use tch::{Device, Kind, Tensor};
/// let inputs = Tensor::linspace(-2, 2, 256, (Kind::Double, Device::Cpu)).reshape([256, 1]);
/// let straight = gradients_along(&|x| x * 3.0, &inputs)?;
/// assert!((straight.autocorrelation(16, Centring::Uncentred).unwrap() - 1.0).abs() < 1e-12);
/// let quarter = std::f64::consts::FRAC_PI_2 * 255.0 / 4.0; // of a period between neighbours
/// let wave = gradients_along(&|x| (x * quarter).sin(), &inputs)?;
/// assert!((wave.autocorrelation(2, Centring::Uncentred).unwrap() + 1.0).abs() < 1e-9);
/// # Ok::<(), learnability::Error>(())
/// ```
pub fn gradients_along(
    f: &dyn Fn(&Tensor) -> Tensor,
    inputs: &Tensor,
) -> Result<GradientLine, Error> {
    let x = inputs.detach().set_requires_grad(true);
    let y = f(&x);
    let n = inputs.size()[0];
    assert_eq!(
        y.numel() as i64,
        n,
        "gradients_along: one output for each input"
    );
    let gradients = rows(&pulled_back(&y, &x, &y.ones_like(), false));
    GradientLine::new((0..n).map(|i| numbers(&gradients.get(i))).collect())
}

/// Linear CKA of two activations of the same batch: is what was there still there, up to rotation and scale?
///
/// ```text
/// CKA = |AᵀB|_F² / (|AᵀA|_F |BᵀB|_F),   columns centred over the batch
/// ```
///
/// *Range*: `[0, 1]`; 1 if one is a rotated and scaled copy of the other. `None` if one of them does not vary.
/// *Invariances*: rotation and scale of either.
/// *Failure mode*: dominated by directions of large variance; with fewer inputs than features it is biased upwards.
/// *Source*: Kornblith et al. 2019.
///
/// # Shapes
/// `[B, …]` both, with the same `B`.
///
/// # Panics
/// If the batches differ.
pub fn cka(a: &Tensor, b: &Tensor) -> Option<f64> {
    let centred = |h: &Tensor| {
        let h = rows(h);
        &h - h.mean_dim(&[0i64][..], true, Kind::Double)
    };
    let (a, b) = (centred(a), centred(b));
    assert_eq!(a.size()[0], b.size()[0], "cka: batches differ");
    // By products over the batch, since features may be many.
    let (a, b) = (flat(&a.matmul(&a.tr())), flat(&b.matmul(&b.tr())));
    let similarity = dot(&a, &b) / dot(&a, &a).sqrt() / dot(&b, &b).sqrt();
    similarity.is_finite().then_some(similarity)
}

/// `∂⟨y, u⟩/∂x`, which is 0 where `y` does not depend on `x` by way of `u` either.
fn pulled_back(y: &Tensor, x: &Tensor, u: &Tensor, keep: bool) -> Tensor {
    let product = (y * u).sum(y.kind());
    let gradient = Tensor::run_backward(&[product], &[x], keep, keep).remove(0);
    if gradient.defined() {
        gradient
    } else {
        x.zeros_like()
    }
}

/// `[B, features]` in `f64`, outside the graph.
fn rows(h: &Tensor) -> Tensor {
    let h = h.detach().to_kind(Kind::Double);
    assert!(h.dim() != 0 && h.numel() != 0, "an activation is [B, …]");
    h.reshape([h.size()[0], -1])
}

/// Of the rows of `[B, features]`.
fn inner_products(h: &Tensor) -> Gram {
    Gram::new(h.size()[0] as usize, numbers(&h.matmul(&h.tr()))).expect("a product with itself")
}
