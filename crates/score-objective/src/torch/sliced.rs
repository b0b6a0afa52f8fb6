//! Sliced score matching: the trace of the Jacobian along random directions.

use noise_schedule::Kernel;
use tch::Tensor;

use super::{diffuse, implicit::derivative, row_dot, row_sum, same_shape, values};

/// The laws of directions v with E\[v vᵀ\] = I, each made of standard normal draws.
///
/// The mean of vᵀ A v is tr A under all of them; the variance, with S the symmetric part of A, is as listed
/// (Hutchinson 1990; Avron and Toledo 2011).
///
/// ```
/// use score_objective::torch::Directions;
/// use tch::Tensor;
///
/// let normal = Tensor::from_slice(&[0.3, -0.4]).view([1, 2]);
/// let signs = Directions::Rademacher.of_normal(&normal);
/// assert_eq!(Vec::<f64>::try_from(signs.view([-1])).unwrap(), [1.0, -1.0]);
/// let sphere = Directions::Sphere.of_normal(&normal);
/// assert!((sphere.square().sum(tch::Kind::Double).double_value(&[]) - 2.0).abs() < 1e-15);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directions {
    /// Independent signs: 2 (‖S‖² − Σ Sᵢᵢ²), zero where S is diagonal.
    #[doc(alias = "Hutchinson")]
    Rademacher,
    /// Standard normal: 2 ‖S‖².
    Gaussian,
    /// Uniform on the sphere of radius √D: 2 (‖S‖² − (tr A)²/D) · D/(D + 2), zero for a multiple of the identity.
    Sphere,
}

impl Directions {
    /// The directions that standard normal draws stand for.
    ///
    /// # Shapes
    /// `normal`: \[B, …\]; returns its shape. Each row is one direction.
    pub fn of_normal(self, normal: &Tensor) -> Tensor {
        match self {
            // Not `sign`, whose value at zero is zero.
            Directions::Rademacher => normal.ge(0.0).to_kind(normal.kind()) * 2.0 - 1.0,
            Directions::Gaussian => normal.shallow_clone(),
            Directions::Sphere => {
                let squared = row_sum(&normal.square());
                let coordinates = (normal.numel() as f64) / (normal.size()[0] as f64);
                normal * super::column(&(squared.reciprocal() * coordinates).sqrt(), normal)
            }
        }
    }
}

/// ½‖s(x)‖² + vᵀ∇(vᵀs(x)): sliced score matching with variance reduction (SSM-VR; Song, Garg, Shi and Ermon 2019).
///
/// Its mean over x ~ q and directions v with E\[v vᵀ\] = I is ½ E‖s − ∇ log q‖² − ½ J(q), J the Fisher information.
/// It is [`implicit_score_matching`](super::implicit_score_matching) with Hutchinson's estimate of the trace.
/// Needs no noise level and no exact score.
/// ∇(vᵀs) is taken by a backward pass that can be differentiated again, so the loss trains the parameters of `score`.
/// `x` is detached: no gradient flows to where it came from.
/// Rows must not see each other inside `score` (no batch statistics).
/// For several directions per point, repeat the rows of `x`.
///
/// # Shapes
/// `x`, `directions`: \[B, …\]; returns \[B\].
///
/// # Panics
/// If shapes disagree, or under a guard that switches gradients off.
#[doc(alias = "SSM-VR")]
pub fn sliced_score_matching(
    score: &dyn Fn(&Tensor) -> Tensor,
    x: &Tensor,
    directions: &Tensor,
) -> Tensor {
    let (s, slope) = along(score, x, directions);
    row_dot(&s, &s) * 0.5 + slope
}

/// ½(vᵀs(x))² + vᵀ∇(vᵀs(x)): sliced score matching before its variance reduction (SSM; Song, Garg, Shi and Ermon 2019).
///
/// The mean is that of [`sliced_score_matching`], the variance larger: ‖s‖² too is measured along v.
/// Directions of length 1 instead of √D, as some code has them, give 1/D of it.
/// Differentiable as that.
///
/// # Shapes
/// `x`, `directions`: \[B, …\]; returns \[B\].
///
/// # Panics
/// If shapes disagree, or under a guard that switches gradients off.
#[doc(alias = "SSM")]
pub fn projected_score_matching(
    score: &dyn Fn(&Tensor) -> Tensor,
    x: &Tensor,
    directions: &Tensor,
) -> Tensor {
    let (s, slope) = along(score, x, directions);
    row_dot(&s, directions).square() * 0.5 + slope
}

/// σ² (½‖s(x)‖² + vᵀ∇(vᵀs(x))) at x = α x₀ + σ ε: sliced score matching of the noisy data at a ladder of levels.
///
/// σ² gives each level a loss of about the same size (Song and Ermon 2019, whose code has this objective beside the
/// denoising one); the mean differs from [`score_denoising_loss`](super::score_denoising_loss) with power 2 by D/2.
/// Differentiable as [`sliced_score_matching`].
///
/// # Shapes
/// `x0`, `noise`, `directions`: \[B, …\]; `levels`: B kernels; returns \[B\].
///
/// # Panics
/// If shapes disagree, or under a guard that switches gradients off.
pub fn annealed_sliced_score_matching(
    score: &dyn Fn(&Tensor) -> Tensor,
    x0: &Tensor,
    noise: &Tensor,
    directions: &Tensor,
    levels: &[Kernel],
) -> Tensor {
    sliced_score_matching(score, &diffuse(x0, noise, levels), directions)
        * values(x0, levels, |k| k.sigma().powi(2))
}

/// vᵀ∇(vᵀf(x)): Hutchinson's estimate of the divergence of f, unbiased where E\[v vᵀ\] = I.
///
/// One backward pass, which can be differentiated again.
/// The exact one is [`divergence`](super::divergence).
///
/// # Shapes
/// `x`, `directions`: \[B, …\]; returns \[B\].
///
/// # Panics
/// If shapes disagree, or under a guard that switches gradients off.
#[doc(alias = "Hutchinson")]
pub fn divergence_along(
    field: &dyn Fn(&Tensor) -> Tensor,
    x: &Tensor,
    directions: &Tensor,
) -> Tensor {
    along(field, x, directions).1
}

/// (f(x), vᵀ∇(vᵀf(x))).
fn along(field: &dyn Fn(&Tensor) -> Tensor, x: &Tensor, directions: &Tensor) -> (Tensor, Tensor) {
    same_shape("directions", directions, x);
    let x = x.detach().set_requires_grad(true);
    let f = field(&x);
    // A field that depends on parameters and not on x has no gradient at all: its divergence is zero.
    let slope = match derivative(&(&f * directions), &x) {
        Some(gradient) => row_dot(&gradient, directions),
        None => f.new_zeros([x.size()[0]], (f.kind(), f.device())),
    };
    (f, slope)
}
