//! Normalisations with their weights.

use tch::{Kind, Tensor};

#[cfg(norm_silu_node)]
use crate::norm_silu::norm_silu;
use crate::{Activation, Error, Law, Norm, Params, layers::in_kind_of};

/// A [`Norm`] for so many channels, with its scale and shift, or with those that an embedding gives.
#[derive(Debug)]
pub struct Normalise {
    norm: Norm,
    groups: i64,
    scale: Option<Tensor>,
    shift: Option<Tensor>,
    mean: Option<Tensor>,
}

impl Normalise {
    /// A normalisation with learned scale (initially 1) and shift (initially 0).
    ///
    /// # Errors
    /// As [`Norm::check`]; [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(params: &Params<'_>, norm: Norm, channels: usize) -> Result<Normalise, Error> {
        let bare = Normalise::bare(norm, channels)?;
        let variable = |params: &Params<'_>, name, start| {
            params
                .variable(name, &[channels], Law::Constant(start), 1.0)
                .map(Some)
        };
        Ok(match norm {
            Norm::None => bare,
            Norm::Rms { .. } => Normalise {
                scale: variable(params, "weight", 1.0)?,
                ..bare
            },
            Norm::Group { .. } | Norm::Layer { .. } => Normalise {
                scale: variable(params, "weight", 1.0)?,
                shift: variable(params, "bias", 0.0)?,
                ..bare
            },
            Norm::InstancePlus { .. } => Normalise {
                scale: variable(params, "weight", 1.0)?,
                shift: variable(params, "bias", 0.0)?,
                mean: variable(&params.sub("mean"), "weight", 1.0)?,
                ..bare
            },
        })
    }

    /// A normalisation without learned numbers, for [`modulated`](Self::modulated).
    ///
    /// # Errors
    /// As [`Norm::check`].
    pub fn bare(norm: Norm, channels: usize) -> Result<Normalise, Error> {
        norm.check("norm", channels)?;
        let groups = match norm {
            Norm::Group { groups, .. } => groups.of(channels),
            _ => 1,
        };
        Ok(Normalise {
            norm,
            groups: groups as i64,
            scale: None,
            shift: None,
            mean: None,
        })
    }

    /// The normalised feature, with the learned scale and shift.
    ///
    /// # Shapes
    /// x: `[B, channels, ...]`; result: as x.
    ///
    /// # Panics
    /// If x has other channels, or none but channels under `InstancePlus`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let along = |numbers: &Tensor| {
            let mut dims = vec![1; x.dim()];
            dims[1] = -1;
            in_kind_of(x, numbers).view(&dims[..])
        };
        match self.norm {
            Norm::None => x.shallow_clone(),
            Norm::Group { eps, .. } | Norm::Layer { eps } => x.group_norm(
                self.groups,
                self.scale.as_ref(),
                self.shift.as_ref(),
                eps,
                false,
            ),
            Norm::Rms { eps } => {
                let square = x.square().mean_dim(1, true, None::<Kind>);
                let normal = x * (square + eps).rsqrt();
                match &self.scale {
                    Some(scale) => normal * along(scale),
                    None => normal,
                }
            }
            Norm::InstancePlus { eps } => {
                let (normal, means) = instances(x, eps);
                let Some(((scale, shift), mean)) = self
                    .scale
                    .as_ref()
                    .zip(self.shift.as_ref())
                    .zip(self.mean.as_ref())
                else {
                    return normal;
                };
                along(shift).addcmul(&normal.addcmul(&means, &along(mean)), &along(scale))
            }
        }
    }

    /// phi(norm(x + shift)), in one pass where there is one.
    ///
    /// # Shapes
    /// x: `[B, channels, ...]`; shift: `[B, channels]`; result: as x.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn activated(&self, x: &Tensor, shift: Option<&Tensor>, phi: Activation) -> Tensor {
        #[cfg(norm_silu_node)]
        if let (Activation::Silu, Norm::Group { eps, .. } | Norm::Layer { eps }) = (phi, self.norm)
            && let (Some(scale), Some(bias)) = (&self.scale, &self.shift)
            && let Some(y) = norm_silu(x, shift, [scale, bias], self.groups, eps)
        {
            return y;
        }
        phi.apply(&match shift {
            Some(shift) => self.forward(&(x + shift.unsqueeze(-1).unsqueeze(-1))),
            None => self.forward(x),
        })
    }

    /// norm(x) (1 + s) + t with what an embedding gives, the parts (s, t); (s) for `Rms`, and for
    /// `InstancePlus` (s, t, m) with 1 + m the factor of the channels' means.
    ///
    /// # Shapes
    /// x: `[B, channels, ...]`; parts: `[B, n channels]` with n = [`Norm::adaptive_parts`]; result: as x.
    ///
    /// # Panics
    /// If the shapes are others.
    pub fn modulated(&self, x: &Tensor, parts: &Tensor) -> Tensor {
        match self.norm {
            Norm::None | Norm::Group { .. } | Norm::Layer { .. } => {
                scale_and_shift(&self.forward(x), parts)
            }
            Norm::Rms { .. } => self.forward(x) * (over_pixels(parts, x) + 1.0),
            Norm::InstancePlus { eps } => {
                let channels = x.size()[1];
                let means = over_pixels(&parts.narrow(1, 2 * channels, channels), x) + 1.0;
                let (normal, centred) = instances(x, eps);
                scale_and_shift(
                    &normal.addcmul(&centred, &means),
                    &parts.narrow(1, 0, 2 * channels),
                )
            }
        }
    }
}

/// x (1 + s) + t for the parts (s, t).
///
/// # Shapes
/// x: `[B, channels, ...]`; parts: `[B, 2 channels]`; result: as x.
pub(crate) fn scale_and_shift(x: &Tensor, parts: &Tensor) -> Tensor {
    let [scale, shift]: [Tensor; 2] = over_pixels(parts, x)
        .chunk(2, 1)
        .try_into()
        .expect("two parts");
    shift.addcmul(x, &(scale + 1.0))
}

/// Vectors `[B, n]` as images of one pixel, if x is a batch of images.
fn over_pixels(vectors: &Tensor, x: &Tensor) -> Tensor {
    let mut dims = vectors.size();
    dims.resize(x.dim(), 1);
    vectors.view(&dims[..])
}

/// x / (root mean square of x over these dimensions + 1e-4).
///
/// Unlike with an eps below the root, the gradient at x = 0 is finite in any precision.
///
/// Source: Karras et al. 2024, in the published code.
pub(crate) fn unit_magnitude(x: &Tensor, over: &[i64]) -> Tensor {
    let length = x.norm_scalaropt_dim(2, over, true);
    let count = (x.numel() / length.numel()) as f64;
    x / (length / count.sqrt() + 1e-4)
}

/// x normalised over the pixels of each channel, and the channels' means normalised over the channels.
fn instances(x: &Tensor, eps: f64) -> (Tensor, Tensor) {
    // Of no dimensions at all torch would take the mean over everything.
    assert!(2 < x.dim(), "pixels are normalised, so x must be images");
    let pixels: Vec<i64> = (2..x.dim() as i64).collect();
    let means = x.mean_dim(&pixels[..], true, None::<Kind>);
    let channels = x.size()[1];
    let centred = &means - means.mean_dim(1, true, None::<Kind>);
    // The unbiased variance, as the source computes it; of one channel there is none.
    let freedom = (channels - 1).max(1) as f64;
    let square = centred.square().sum_dim_intlist(1, true, None::<Kind>) / freedom;
    (
        x.group_norm(channels, None::<&Tensor>, None::<&Tensor>, eps, false),
        centred * (square + eps).rsqrt(),
    )
}
