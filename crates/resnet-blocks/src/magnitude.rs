//! Magnitude-preserving layers, and the block of EDM2 made of them.

use tch::Tensor;

use crate::{
    Activation, AttentionScores, Block, Error, Init, Law, MagnitudeBlockConfig, MagnitudeFlavour,
    Mode, Params, Resample, ShortSkip, Skip,
    attention::attend,
    layers::{in_kind_of, linear},
    norms::unit_magnitude,
};

/// gain W x / |W|: a matrix whose rows are divided by their length, so that x of independent features of
/// mean square 1 gives features of mean square gain^2.
///
/// In training the stored rows are set to root mean square 1 before each pass, so that the effective
/// learning rate does not decay.
///
/// Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
/// equations 47 and 66.
#[derive(Debug)]
#[doc(alias = "MPConv")]
pub struct MagnitudeLinear {
    weight: Tensor,
}

impl MagnitudeLinear {
    /// Draws a layer, weights N(0, 1).
    ///
    /// # Errors
    /// [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(
        params: &Params<'_>,
        inputs: usize,
        outputs: usize,
    ) -> Result<MagnitudeLinear, Error> {
        let shape = [outputs, inputs];
        let law = Init::UnitNormal.weight(&shape, false);
        Ok(MagnitudeLinear {
            weight: params.variable("weight", &shape, law, 1.0)?,
        })
    }

    /// gain W x / |W|.
    ///
    /// # Shapes
    /// x: `[B, inputs]`; gain: of one number; result: `[B, outputs]`.
    ///
    /// # Panics
    /// If x has another width.
    pub fn forward(&self, x: &Tensor, gain: &Tensor, mode: &mut Mode) -> Tensor {
        linear(x, &(normal_rows(&self.weight, mode) * gain), None)
    }
}

/// A convolution, with kernels divided as the rows of [`MagnitudeLinear`], and zeros around the image.
#[derive(Debug)]
#[doc(alias = "MPConv")]
pub struct MagnitudeConv2d {
    weight: Tensor,
}

impl MagnitudeConv2d {
    /// Draws a layer, weights N(0, 1).
    ///
    /// # Errors
    /// [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(
        params: &Params<'_>,
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
    ) -> Result<MagnitudeConv2d, Error> {
        let shape = [out_channels, in_channels, kernel, kernel];
        let law = Init::UnitNormal.weight(&shape, false);
        Ok(MagnitudeConv2d {
            weight: params.variable("weight", &shape, law, 1.0)?,
        })
    }

    /// The convolution.
    ///
    /// # Shapes
    /// x: `[B, in_channels, H, W]`; result: `[B, out_channels, H, W]`.
    ///
    /// # Panics
    /// If x has other channels.
    pub fn forward(&self, x: &Tensor, mode: &mut Mode) -> Tensor {
        let around = self.weight.size()[2] / 2;
        let weight = in_kind_of(x, &normal_rows(&self.weight, mode));
        x.conv2d(&weight, None::<&Tensor>, [1, 1], [around; 2], [1, 1], 1)
    }
}

impl Block for MagnitudeConv2d {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        self.forward(x, mode)
    }
}

/// The weight with rows of length 1; in training the stored one is set to rows of root mean square 1.
fn normal_rows(weight: &Tensor, mode: &mut Mode) -> Tensor {
    let row: Vec<i64> = (1..weight.dim() as i64).collect();
    if let Mode::Train(_) = mode {
        let _guard = tch::no_grad_guard();
        weight.shallow_clone().copy_(&unit_magnitude(weight, &row));
    }
    let fan_in = weight.size()[1..].iter().product::<i64>() as f64;
    unit_magnitude(weight, &row) / fan_in.sqrt()
}

/// The block that [`MagnitudeBlockConfig`] describes.
///
/// # Shapes
/// x: `[B, in_channels, H, W]`; embedding: `[B, embedding]`; result: `[B, out_channels, H', W']`.
pub struct MagnitudeBlock {
    config: MagnitudeBlockConfig,
    conv1: MagnitudeConv2d,
    gain: Tensor,
    embedding: MagnitudeLinear,
    conv2: MagnitudeConv2d,
    projection: Option<MagnitudeConv2d>,
    attention: Option<[MagnitudeConv2d; 4]>,
    sum: Box<dyn Skip>,
    attention_sum: Box<dyn Skip>,
}

impl std::fmt::Debug for MagnitudeBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MagnitudeBlock").field(&self.config).finish()
    }
}

impl MagnitudeBlock {
    /// Draws the layers.
    ///
    /// # Errors
    /// As [`MagnitudeBlockConfig::check`]; [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(
        params: &Params<'_>,
        config: &MagnitudeBlockConfig,
    ) -> Result<MagnitudeBlock, Error> {
        config.check()?;
        let (inputs, outputs) = (config.in_channels, config.out_channels);
        let conv = |name: &str, inputs, kernel| {
            MagnitudeConv2d::new(&params.sub(name), inputs, outputs, kernel)
        };
        let projected = |flavour| {
            if config.flavour == flavour && inputs != outputs {
                conv("projection", inputs, 1).map(Some)
            } else {
                Ok(None)
            }
        };
        let before = projected(MagnitudeFlavour::Encoder)?;
        let inner = match config.flavour {
            MagnitudeFlavour::Encoder => outputs,
            MagnitudeFlavour::Decoder => inputs,
        };
        let conv1 = conv("conv1", inner, 3)?;
        let start = Law::Constant(0.0);
        let gain = params.sub("gain").variable("weight", &[1], start, 1.0)?;
        let embedding = MagnitudeLinear::new(&params.sub("embedding"), config.embedding, outputs)?;
        let conv2 = conv("conv2", outputs, 3)?;
        let after = projected(MagnitudeFlavour::Decoder)?;
        let attention = if 0 < config.heads {
            let part = |name| conv(name, outputs, 1);
            Some([part("query")?, part("key")?, part("value")?, part("out")?])
        } else {
            None
        };
        let sum = |balance| ShortSkip::MagnitudePreserving(balance).build(params, outputs);
        Ok(MagnitudeBlock {
            config: *config,
            conv1,
            gain,
            embedding,
            conv2,
            projection: before.or(after),
            attention,
            sum: sum(config.balance)?,
            attention_sum: sum(config.attention_balance)?,
        })
    }

    fn attend(
        &self,
        x: &Tensor,
        [query, key, value, out]: &[MagnitudeConv2d; 4],
        mode: &mut Mode,
    ) -> Tensor {
        let heads = self.config.heads as i64;
        let mut split = |layer: &MagnitudeConv2d| {
            let features = layer.forward(x, mode).flatten(2, 3);
            features.unflatten(1, [heads, -1]).transpose(2, 3) // [B, heads, pixels, channels]
        };
        let parts = [split(query), split(key), split(value)];
        let read = attend(AttentionScores::Cosine, parts);
        out.forward(&read.transpose(2, 3).reshape(x.size()), mode)
    }
}

impl Block for MagnitudeBlock {
    fn forward(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let act = |x: &Tensor| Activation::MagnitudeSilu.apply(x);
        let mut stream = match self.config.resample {
            Some(resample) => Resample::apply(resample, x),
            None => x.shallow_clone(),
        };
        let project = |stream: Tensor, mode: &mut Mode| match &self.projection {
            Some(projection) => projection.forward(&stream, mode),
            None => stream,
        };
        if self.config.flavour == MagnitudeFlavour::Encoder {
            stream = unit_magnitude(&project(stream, mode), &[1]);
        }
        let hidden = self.conv1.forward(&act(&stream), mode);
        let factor = self.embedding.forward(embedding, &self.gain, mode) + 1.0;
        let hidden = act(&(hidden * factor.unsqueeze(-1).unsqueeze(-1)));
        let branch = self
            .conv2
            .forward(&self.config.dropout.apply(hidden, mode), mode);
        if self.config.flavour == MagnitudeFlavour::Decoder {
            stream = project(stream, mode);
        }
        stream = self.sum.join(&stream, &branch, mode);
        if let Some(layers) = &self.attention {
            let read = self.attend(&stream, layers, mode);
            stream = self.attention_sum.join(&stream, &read, mode);
        }
        stream.clamp(-self.config.clip, self.config.clip)
    }
}
