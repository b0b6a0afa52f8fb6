//! The catalogue of skips, with the weights of those that have any.

use tch::{Kind, Tensor};

use crate::{
    Backbone, Bias, Error, FreeU, Init, Law, Linear, LongSkip, Mode, Norm, Normalise, Params,
    ShortSkip, Skip,
    layers::{in_kind_of, linear},
};

impl ShortSkip {
    /// The rule for a stream of so many channels, its weights (if any) created in `params`.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn build(self, params: &Params<'_>, channels: usize) -> Result<Box<dyn Skip>, Error> {
        self.check()?;
        let gain = |numbers: usize, start: f64| {
            params
                .sub("gain")
                .variable("weight", &[numbers], Law::Constant(start), 1.0)
                .map(Gain)
        };
        Ok(match self {
            ShortSkip::None => Box::new(branch_alone),
            ShortSkip::Identity => Box::new(Scaled(1.0)),
            ShortSkip::Scaled(scale) => Box::new(Scaled(scale)),
            ShortSkip::Averaged(scale) => Box::new(Averaged(scale)),
            ShortSkip::MagnitudePreserving(share) => Box::new(Between(share)),
            ShortSkip::StochasticDepth { survival } => Box::new(Survival(survival)),
            ShortSkip::ReZero => Box::new(gain(1, 0.0)?),
            ShortSkip::LayerScale(start) => Box::new(gain(channels, start)?),
            ShortSkip::Fixup { .. } => Box::new(gain(1, 1.0)?),
            ShortSkip::Highway { bias } => {
                let gate = params.sub("gate");
                let shape = [channels, channels];
                let law = Init::LeCun.weight(&shape, false);
                Box::new(Gate {
                    weight: gate.variable("weight", &shape, law, 1.0)?,
                    bias: gate.variable("bias", &[channels], Law::Constant(bias), 1.0)?,
                })
            }
            ShortSkip::DeepNorm { blocks } => Box::new(PostNorm {
                scale: (blocks as f64).powf(0.25),
                norm: Normalise::new(&params.sub("norm"), Norm::Layer { eps: 1e-5 }, channels)?,
            }),
        })
    }
}

impl ShortSkip {
    /// As [`build`](Self::build); one without weights is known to [`Params::shortcuts`] by the name of this place.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn openable(self, params: &Params<'_>, channels: usize) -> Result<Box<dyn Skip>, Error> {
        let rule = self.build(params, channels)?;
        Ok(if self.is_fixed() {
            params.openable(rule)
        } else {
            rule
        })
    }
}

impl LongSkip {
    /// As [`build`](Self::build); one without weights is known to [`Params::shortcuts`] by the name of this place.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn openable(self, params: &Params<'_>, channels: usize) -> Result<Box<dyn Skip>, Error> {
        let rule = self.build(params, channels)?;
        Ok(if self.is_fixed() {
            params.openable(rule)
        } else {
            rule
        })
    }

    /// The rule for an encoder feature of so many channels, its weights (if any) created in `params`;
    /// `ConcatPower` counts as the skip nearest to input and output, see [`at`](Self::at).
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Zero`], [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn build(self, params: &Params<'_>, channels: usize) -> Result<Box<dyn Skip>, Error> {
        self.check()?;
        Ok(match self {
            LongSkip::None => Box::new(branch_alone),
            LongSkip::Add(scale) => Box::new(Averaged(scale)),
            LongSkip::Concat(scale) => Box::new(Concat(scale)),
            LongSkip::ConcatPower(_) => Box::new(Concat(1.0)),
            LongSkip::ConcatMagnitudePreserving(share) => Box::new(BalancedConcat(share)),
            LongSkip::ConcatLearned => {
                let hidden = LongSkip::squeezed(channels);
                let linear = |part, inputs, outputs| {
                    let part = params.sub(part);
                    Linear::gained(&part, inputs, outputs, Bias::Learned, Init::PyTorch, 1.0)
                };
                Box::new(SqueezeConcat {
                    squeeze: linear("squeeze", channels, hidden)?,
                    excite: linear("excite", hidden, channels)?,
                })
            }
        })
    }
}

/// F.
fn branch_alone(_shortcut: &Tensor, branch: &Tensor) -> Tensor {
    branch.shallow_clone()
}

/// h + b F.
struct Scaled(f64);

impl Skip for Scaled {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        if self.0 == 1.0 {
            shortcut + branch
        } else {
            shortcut + branch * self.0
        }
    }
}

/// s (h + F).
struct Averaged(f64);

impl Skip for Averaged {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        (shortcut + branch) * self.0
    }
}

/// ((1-t) h + t F) / sqrt((1-t)^2 + t^2).
struct Between(f64);

impl Skip for Between {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        shortcut.lerp(branch, self.0) / (1.0 - self.0).hypot(self.0)
    }
}

/// h + F in training for those that survive, h + p F in evaluation.
struct Survival(f64);

impl Skip for Survival {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, mode: &mut Mode) -> Tensor {
        let mut size = vec![1; branch.dim()];
        size[0] = branch.size()[0];
        match mode.kept(self.0, &size, branch) {
            Some(kept) => shortcut.addcmul(branch, &kept),
            None => shortcut + branch * self.0,
        }
    }
}

/// h + a F, with one a or one for each channel.
struct Gain(Tensor);

impl Skip for Gain {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        let mut dims = vec![1; branch.dim()];
        dims[1] = -1;
        shortcut.addcmul(branch, &in_kind_of(branch, &self.0).view(&dims[..]))
    }
}

/// g F + (1 - g) h.
struct Gate {
    weight: Tensor,
    bias: Tensor,
}

impl Skip for Gate {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        let gate = if shortcut.dim() == 4 {
            let [weight, bias] = [&self.weight, &self.bias].map(|v| in_kind_of(shortcut, v));
            let kernel = weight.unsqueeze(-1).unsqueeze(-1);
            shortcut.conv2d(&kernel, Some(bias), [1, 1], [0, 0], [1, 1], 1)
        } else {
            linear(shortcut, &self.weight, Some(&self.bias))
        };
        shortcut.lerp_tensor(branch, &gate.sigmoid())
    }
}

/// norm(a h + F).
struct PostNorm {
    scale: f64,
    norm: Normalise,
}

impl Skip for PostNorm {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        self.norm.forward(&(shortcut * self.scale + branch))
    }
}

/// [b, s a].
struct Concat(f64);

impl Skip for Concat {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        if self.0 == 1.0 {
            Tensor::cat(&[branch, shortcut], 1)
        } else {
            Tensor::cat(&[branch, &(shortcut * self.0)], 1)
        }
    }
}

/// [w_b b, w_a a], the weights such that the mean square stays.
struct BalancedConcat(f64);

impl Skip for BalancedConcat {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        let share = self.0;
        let [ours, theirs] = [branch, shortcut].map(|x| x.size()[1] as f64);
        let all = ((ours + theirs) / ((1.0 - share).powi(2) + share.powi(2))).sqrt();
        let branch = branch * (all / ours.sqrt() * (1.0 - share));
        Tensor::cat(&[branch, shortcut * (all / theirs.sqrt() * share)], 1)
    }
}

/// [b, g(a) a].
struct SqueezeConcat {
    squeeze: Linear,
    excite: Linear,
}

impl Skip for SqueezeConcat {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        let mean = shortcut.mean_dim(&[2i64, 3][..], false, None::<Kind>);
        // The gates are not on the way from x to the output, so `Calibrate` leaves them alone.
        let hidden = self.squeeze.forward(&mean, &mut Mode::Eval).relu();
        let gate = self.excite.forward(&hidden, &mut Mode::Eval).sigmoid();
        Tensor::cat(&[branch, &(shortcut * gate.unsqueeze(-1).unsqueeze(-1))], 1)
    }
}

impl Skip for FreeU {
    /// # Panics
    /// If a or b is no batch of images, or their sides differ.
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        Tensor::cat(&[self.strengthened(branch), self.weakened(shortcut)], 1)
    }
}

impl FreeU {
    /// b': the decoder's feature with its first half of channels multiplied.
    ///
    /// # Shapes
    /// branch: `[B, C, H, W]`; result: the same.
    ///
    /// # Panics
    /// If it is no batch of images.
    pub fn strengthened(self, branch: &Tensor) -> Tensor {
        let half = branch.size()[1] / 2;
        let first = branch.narrow(1, 0, half);
        let first = match self.backbone {
            Backbone::Constant(factor) => first * factor,
            Backbone::Structured(factor) => {
                let mean = branch.mean_dim(1, true, None::<Kind>);
                let least = mean.amin([2, 3], true);
                // A constant mean is 0 / 1.
                let spread = mean.amax([2, 3], true) - &least;
                let spread = &spread + spread.eq(0.0).to_kind(mean.kind());
                first * ((mean - least) / spread * (factor - 1.0) + 1.0)
            }
        };
        let rest = branch.narrow(1, half, branch.size()[1] - half);
        Tensor::cat(&[first, rest], 1)
    }

    /// a': the shortcut with its lowest frequencies multiplied.
    ///
    /// # Shapes
    /// shortcut: `[B, C, H, W]`; result: the same.
    ///
    /// # Panics
    /// If it is no batch of images.
    pub fn weakened(self, shortcut: &Tensor) -> Tensor {
        let x = shortcut;
        let (_, _, height, width) = x.size4().expect("an image has four dimensions");
        let kind = if x.kind() == Kind::Double {
            Kind::Double
        } else {
            Kind::Float
        };
        // Frequencies 0 and -1 are the first and the last.
        let lowest = |side: i64| {
            let mut ones = vec![0.0; side as usize];
            ones[0] = 1.0;
            ones[side as usize - 1] = 1.0;
            Tensor::from_slice(&ones)
        };
        let mask = lowest(height).outer(&lowest(width)) * (self.skip - 1.0) + 1.0;
        let mask = mask.to_kind(kind).to_device(x.device());
        let sides = [-2, -1];
        let spectrum = x.to_kind(kind).fft_fft2(None::<&[i64]>, sides, "backward") * mask;
        let filtered = spectrum.fft_ifft2(None::<&[i64]>, sides, "backward").real();
        filtered.to_kind(x.kind())
    }
}
