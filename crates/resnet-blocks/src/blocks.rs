//! Branches of residual blocks, pre-activation, and the residual blocks made of them.

use tch::Tensor;

use crate::{
    Activation, Bias, Block, Conv2d, ConvBlockConfig, Dropout, Error, Injection, Linear,
    MlpBlockConfig, Mode, Normalise, Params, ResBlockConfig, Resample, ShortSkip, Skip,
    norms::scale_and_shift,
};

/// F(h) = W2 drop(phi(norm2(W1 phi(norm1(h)) + b1))) + b2: the branch that [`MlpBlockConfig`] describes.
///
/// It takes no embedding: whatever is given is ignored.
///
/// Source: He et al. 2016, "Identity Mappings in Deep Residual Networks" (pre-activation).
#[derive(Debug)]
pub struct MlpBlock {
    norm1: Normalise,
    linear1: Linear,
    norm2: Normalise,
    linear2: Linear,
    activation: Activation,
    dropout: Dropout,
}

impl MlpBlock {
    /// Draws the layers.
    ///
    /// # Errors
    /// As [`MlpBlockConfig::check`]; [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(params: &Params<'_>, config: &MlpBlockConfig) -> Result<MlpBlock, Error> {
        MlpBlock::prepared(params, config, ShortSkip::Identity)
    }

    /// The same, with the initial values that this skip asks of its branch.
    ///
    /// # Errors
    /// As [`new`](Self::new), and as [`ShortSkip::check`].
    pub fn prepared(
        params: &Params<'_>,
        config: &MlpBlockConfig,
        short: ShortSkip,
    ) -> Result<MlpBlock, Error> {
        config.check()?;
        short.check()?;
        let MlpBlockConfig {
            width,
            hidden,
            activation,
            norm,
            dropout,
            init,
            last_gain,
        } = *config;
        let gains = short.branch_gains();
        let linear = |name: &str, inputs, outputs, gain| {
            Linear::gained(
                &params.sub(name),
                inputs,
                outputs,
                Bias::Learned,
                init,
                gain,
            )
        };
        Ok(MlpBlock {
            norm1: Normalise::new(&params.sub("norm1"), norm, width)?,
            linear1: linear("linear1", width, hidden, gains.inner)?,
            norm2: Normalise::new(&params.sub("norm2"), norm, hidden)?,
            linear2: linear("linear2", hidden, width, gains.last * last_gain)?,
            activation,
            dropout,
        })
    }
}

impl Block for MlpBlock {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let input = self.activation.apply(&self.norm1.forward(x));
        let hidden = self.linear1.forward(&input, mode);
        let hidden = self.activation.apply(&self.norm2.forward(&hidden));
        self.linear2
            .forward(&self.dropout.apply(hidden, mode), mode)
    }
}

/// The branch that [`ConvBlockConfig`] describes.
///
/// # Shapes
/// x: `[B, in_channels, H, W]`; embedding: `[B, width]`; result: `[B, out_channels, H', W']`, resampled
/// where the configuration says so.
#[derive(Debug)]
pub struct ConvBlock {
    norms: [Normalise; 2],
    convs: [Conv2d; 2],
    injection: Injection,
    injections: [Option<Linear>; 2],
    embedding_activation: Option<Activation>,
    activation: Activation,
    resample: Option<Resample>,
    dropout: Dropout,
}

impl ConvBlock {
    /// Draws the layers.
    ///
    /// # Errors
    /// As [`ConvBlockConfig::check`]; [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(params: &Params<'_>, config: &ConvBlockConfig) -> Result<ConvBlock, Error> {
        ConvBlock::prepared(params, config, ShortSkip::Identity)
    }

    /// The same, with the initial values that this skip asks of its branch.
    ///
    /// # Errors
    /// As [`new`](Self::new), and as [`ShortSkip::check`].
    pub fn prepared(
        params: &Params<'_>,
        config: &ConvBlockConfig,
        short: ShortSkip,
    ) -> Result<ConvBlock, Error> {
        config.check()?;
        short.check()?;
        let conditioning = config.conditioning;
        let norm = |name: &str, norm, channels| match conditioning.injection {
            Injection::Adaptive => Normalise::bare(norm, channels),
            _ => Normalise::new(&params.sub(name), norm, channels),
        };
        let linear = |(name, outputs)| {
            let params = params.sub(name);
            Linear::new(&params, conditioning.width, outputs, conditioning.init)
        };
        let [first, second] = config.injections();
        let convs = config.convs(short);
        // In the order of the forward pass, which is that of the units.
        let norm1 = norm("norm1", config.norms[0], config.in_channels)?;
        let first = first.map(linear).transpose()?;
        let conv1 = Conv2d::new(&params.sub("conv1"), &convs[0])?;
        let second = second.map(linear).transpose()?;
        let norm2 = norm("norm2", config.norms[1], config.out_channels)?;
        let conv2 = Conv2d::new(&params.sub("conv2"), &convs[1])?;
        Ok(ConvBlock {
            norms: [norm1, norm2],
            convs: [conv1, conv2],
            injection: conditioning.injection,
            injections: [first, second],
            embedding_activation: conditioning.activation,
            activation: config.activation,
            resample: config.resample,
            dropout: config.dropout,
        })
    }
}

impl Block for ConvBlock {
    fn forward(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor {
        // A linear layer here sees the embedding only, so `Calibrate` leaves it alone.
        let inject = |linear: &Linear| match self.embedding_activation {
            Some(activation) => linear.forward(&activation.apply(embedding), &mut Mode::Eval),
            None => linear.forward(embedding, &mut Mode::Eval),
        };
        let [norm1, norm2] = &self.norms;
        let [conv1, conv2] = &self.convs;
        let [first, second] = self.injections.each_ref().map(|l| l.as_ref().map(inject));
        let mut hidden = match &first {
            Some(parts) => self.activation.apply(&norm1.modulated(x, parts)),
            None => norm1.activated(x, None, self.activation),
        };
        if let Some(resample) = self.resample {
            hidden = resample.apply(&hidden);
        }
        let hidden = conv1.forward(&hidden, mode);
        let phi = self.activation;
        let hidden = match (self.injection, &second) {
            (Injection::Shift, shift) => norm2.activated(&hidden, shift.as_ref(), phi),
            (Injection::ScaleShift, Some(parts)) => {
                phi.apply(&scale_and_shift(&norm2.forward(&hidden), parts))
            }
            (Injection::Adaptive, Some(parts)) => phi.apply(&norm2.modulated(&hidden, parts)),
            _ => norm2.activated(&hidden, None, phi),
        };
        let hidden = self.dropout.apply(hidden, mode);
        conv2.forward(&hidden, mode)
    }
}

/// skip(shortcut(h), F(h, e)), of any branch F and any skip.
///
/// The shortcut is h itself until [`through`](Self::through) sends it through other blocks.
///
/// ```
/// use resnet_blocks::{Activation, Block, Conditioning, ConvBlockConfig, Dropout, Init, Injection, Mode, Norm};
/// use resnet_blocks::{Params, Projection, ResBlockConfig, Resample, Residual, ShortSkip};
/// use tch::{Device, Kind, Tensor, nn::VarStore};
/// # fn main() -> Result<(), resnet_blocks::Error> {
/// let config = ResBlockConfig {
///     branch: ConvBlockConfig {
///         in_channels: 32, out_channels: 64,
///         conditioning: Conditioning {
///             injection: Injection::ScaleShift, width: 128, activation: None, init: Init::PyTorch },
///         activation: Activation::Silu, norms: [Norm::GROUP; 2], resample: Some(Resample::HalveMean),
///         dropout: Dropout::None, init: Init::PyTorch, last_gain: 1.0,
///     },
///     projection: Projection::fit(32, 64),
///     short: ShortSkip::Averaged(0.5f64.sqrt()),
/// };
/// let store = VarStore::new(Device::Cpu);
/// let block = Residual::drawn(&Params::seeded(store.root(), 7), &config)?;
/// let on = (Kind::Float, Device::Cpu);
/// let (x, embedding) = (Tensor::zeros([2, 32, 16, 16], on), Tensor::zeros([2, 128], on));
/// assert_eq!(block.forward(&x, &embedding, &mut Mode::Eval).size(), [2, 64, 8, 8]);
/// # Ok(())
/// # }
/// ```
pub struct Residual {
    branch: Box<dyn Block>,
    shortcut: Vec<Box<dyn Block>>,
    skip: Box<dyn Skip>,
}

impl std::fmt::Debug for Residual {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Residual")
            .field("shortcut", &self.shortcut.len())
            .finish_non_exhaustive()
    }
}

impl Residual {
    /// The block of the catalogue: short(projection(resample(h)), F(h, e)).
    ///
    /// # Errors
    /// As [`ResBlockConfig::check`]; [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn drawn(params: &Params<'_>, config: &ResBlockConfig) -> Result<Residual, Error> {
        config.check()?;
        let branch = ConvBlock::prepared(params, &config.branch, config.short)?;
        let mut shortcut: Vec<Box<dyn Block>> = Vec::new();
        if config.short != ShortSkip::None {
            if let Some(resample) = config.branch.resample {
                shortcut.push(Box::new(resample));
            }
            if let Some(conv) = config.shortcut() {
                shortcut.push(Box::new(Conv2d::new(&params.sub("projection"), &conv)?));
            }
        }
        let channels = config.branch.out_channels;
        Ok(Residual {
            branch: Box::new(branch),
            shortcut,
            skip: config.short.openable(&params.sub("skip"), channels)?,
        })
    }

    /// skip(h, F(h, e)).
    pub fn new(branch: Box<dyn Block>, skip: Box<dyn Skip>) -> Residual {
        Residual {
            branch,
            shortcut: Vec::new(),
            skip,
        }
    }

    /// The same, with the shortcut sent through one more block, such as a projection.
    pub fn through(mut self, block: Box<dyn Block>) -> Residual {
        self.shortcut.push(block);
        self
    }
}

impl Block for Residual {
    fn forward(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let branch = self.branch.forward(x, embedding, mode);
        let mut shortcut = x.shallow_clone();
        for block in &self.shortcut {
            shortcut = block.forward(&shortcut, embedding, mode);
        }
        self.skip.join(&shortcut, &branch, mode)
    }
}
