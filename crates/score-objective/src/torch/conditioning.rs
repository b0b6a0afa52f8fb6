//! What a network is told besides its input: labels that are dropped, its own estimate; and noise with an offset.

use noise_schedule::Kernel;
use tch::{Kind, Tensor, no_grad_guard};

use super::{column, denoise};
use crate::{Error, OffsetNoise, Preconditioner};

/// Labels of which a share is replaced by `unconditional`: training for classifier-free guidance (Ho and Salimans 2022).
///
/// A label is dropped where its uniform number is below `probability`: never at 0, always at 1.
/// Labels that are no tensor yet: [`crate::drop_labels`].
///
/// # Shapes
/// `labels`: \[B\], integers; `uniforms`: B numbers in \[0, 1); returns \[B\].
///
/// # Errors
/// [`Error::Outside`] unless 0 ≤ `probability` ≤ 1.
///
/// # Panics
/// Unless there is one number per label.
///
/// ```
/// use score_objective::torch::drop_labels;
/// use tch::Tensor;
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let labels = Tensor::from_slice(&[3_i64, 7]);
/// let kept = drop_labels(&labels, 10, 0.1, &[0.05, 0.6])?;
/// assert_eq!(Vec::<i64>::try_from(kept).unwrap(), [10, 7]);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "cond_drop_prob")]
#[doc(alias = "label_dropout")]
pub fn drop_labels(
    labels: &Tensor,
    unconditional: i64,
    probability: f64,
    uniforms: &[f64],
) -> Result<Tensor, Error> {
    let dropped = rows_below(labels, probability, uniforms)?;
    Ok(labels.masked_fill(&dropped, unconditional))
}

/// The network's own estimate of x₀ for the rows that get one, zero for the others: self-conditioning
/// (Chen, Zhang and Hinton 2023).
///
/// `net` is `(x, label, previous estimate) → F`.
/// The estimate is D(x) from a pass whose previous estimate is zero, without a graph; a row gets it where its uniform
/// number is below `probability` (one half in the paper).
/// Hand the result to the loss inside the network: `|x, label| net(x, label, &previous)`; x here is
/// [`diffuse`](super::diffuse) of the same data, noise and levels.
///
/// # Shapes
/// `x`: \[B, …\]; `levels`: B kernels; `uniforms`: B numbers in \[0, 1); returns the shape of `x`.
///
/// # Errors
/// [`Error::Outside`] unless 0 ≤ `probability` ≤ 1.
///
/// # Panics
/// Unless there is one level and one number per row.
pub fn self_condition(
    net: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Tensor,
    p: &dyn Preconditioner,
    x: &Tensor,
    levels: &[Kernel],
    probability: f64,
    uniforms: &[f64],
) -> Result<Tensor, Error> {
    let given = rows_below(x, probability, uniforms)?;
    let _guard = no_grad_guard();
    let nothing = x.zeros_like();
    let first = denoise(&|x, label| net(x, label, &nothing), p, x, levels);
    // Not a product with the mask, which would keep what is not finite.
    Ok(first.where_self(&column(&given, x), &nothing))
}

/// ε + s δ with one δ per row and channel: noise whose mean over a channel varies more than white noise's, so that the mean
/// brightness is learned.
///
/// Not the noise of any [`Kernel`]: densities and scores derived from one no longer hold exactly.
///
/// # Shapes
/// `noise`: \[B, C, …\]; `offsets`: \[B, C\], standard normal; returns the shape of `noise`.
///
/// # Panics
/// If shapes disagree.
pub fn offset_noise(law: OffsetNoise, noise: &Tensor, offsets: &Tensor) -> Tensor {
    let mut shape = noise.size();
    assert_eq!(
        offsets.size(),
        shape[..2],
        "there must be one offset per row and channel"
    );
    shape[2..].fill(1);
    noise + offsets.view(shape.as_slice()) * law.add(0.0, 1.0)
}

/// Whether each row's uniform number is below `probability`: [B].
fn rows_below(like: &Tensor, probability: f64, uniforms: &[f64]) -> Result<Tensor, Error> {
    let probability = Error::within("probability", 0.0, 1.0, probability)?;
    assert_eq!(
        like.size()[0],
        uniforms.len() as i64,
        "there must be one uniform number per row"
    );
    let below: Vec<bool> = uniforms.iter().map(|&u| u < probability).collect();
    Ok(Tensor::from_slice(&below)
        .to_kind(Kind::Bool)
        .to_device(like.device()))
}
