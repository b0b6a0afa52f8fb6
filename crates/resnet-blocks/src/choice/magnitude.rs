//! The magnitude-preserving block of EDM2.

use crate::{
    Bias, Conv2dConfig, Dropout, Error, Feature, Init, Layer, LayerKind, Resample,
    error::{above_zero, positive, share},
};

/// A block whose features keep mean square 1 at the start and whose weights keep it for ever.
///
/// x = resample(h); in an encoder x = pixel-norm(projection(x)). The branch is
/// conv2(drop(phi(conv1(phi(x)) (1 + a W e)))) with phi = SiLU / 0.596 and one learned a, 0 at the start; in a
/// decoder x = projection(x). Then x = sum(x, branch) and x = sum(x, attention(x)), both
/// [`MagnitudePreserving`](crate::ShortSkip::MagnitudePreserving), and all numbers are cut to \[-clip, clip\].
/// No layer has a bias; weights are divided by their root mean square for each output, so they are
/// drawn by [`Init::UnitNormal`].
///
/// Layers: `projection` (in an encoder, where channels change), `conv1`, `gain`, `embedding`, `conv2`,
/// `projection` (in a decoder), `query`, `key`, `value`, `out`.
///
/// Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
/// figure 21.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MagnitudeBlockConfig {
    /// Channels in, at least 1.
    pub in_channels: usize,
    /// Channels out, at least 1.
    pub out_channels: usize,
    /// Width of the embedding, at least 1.
    pub embedding: usize,
    /// Where the block stands.
    pub flavour: MagnitudeFlavour,
    /// Change of the side, before everything else.
    pub resample: Option<Resample>,
    /// Heads of cosine attention; 0: no attention. They must divide the channels out.
    pub heads: usize,
    /// Share t of the branch in the sum, in \[0, 1\]; published 0.3.
    pub balance: f64,
    /// Share t of the attention in the sum, in \[0, 1\]; published 0.3.
    pub attention_balance: f64,
    /// What training drops of the hidden feature, after its activation.
    pub dropout: Dropout,
    /// Largest absolute value of what comes out, positive; published 256.
    pub clip: f64,
}

/// Where a magnitude-preserving block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MagnitudeFlavour {
    /// On the way down: the stream is projected and normalised before the branch leaves it.
    Encoder,
    /// In the middle and on the way up: the stream is projected where the branch rejoins it.
    Decoder,
}

impl MagnitudeBlockConfig {
    /// Whether the block can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::NotAShare`], [`Error::NotFinite`], [`Error::NotPositive`], [`Error::Heads`].
    pub fn check(&self) -> Result<(), Error> {
        positive("the number of input channels", self.in_channels)?;
        positive("the number of output channels", self.out_channels)?;
        positive("the width of the embedding", self.embedding)?;
        share("the balance of the branch", self.balance)?;
        share("the balance of the attention", self.attention_balance)?;
        self.dropout.check()?;
        above_zero("the clip", self.clip)?;
        if 0 < self.heads && !self.out_channels.is_multiple_of(self.heads) {
            return Err(Error::Heads {
                channels: self.out_channels,
                heads: self.heads,
            });
        }
        Ok(())
    }

    /// The layers below this name, in the order of the forward pass, and what comes out.
    pub fn layers(&self, name: &str, input: Feature) -> (Vec<Layer>, Feature) {
        let input = self
            .resample
            .map_or(input, |resample| resample.output(input));
        let output = input.with_channels(self.out_channels);
        let channels = self.out_channels;
        let conv = |part: &str, inputs, kernel| {
            let plain = Conv2dConfig::new(inputs, channels, kernel, Init::UnitNormal);
            let config = Conv2dConfig {
                bias: Bias::None,
                ..plain
            };
            config.layer(format!("{name}.{part}"), input)
        };
        let projection =
            (self.in_channels != channels).then(|| conv("projection", self.in_channels, 1));
        let (before, after) = match self.flavour {
            MagnitudeFlavour::Encoder => (projection, None),
            MagnitudeFlavour::Decoder => (None, projection),
        };
        let inner = match self.flavour {
            MagnitudeFlavour::Encoder => channels,
            MagnitudeFlavour::Decoder => self.in_channels,
        };
        let mut layers = Vec::from_iter(before);
        layers.push(conv("conv1", inner, 3));
        layers.push(Layer {
            name: format!("{name}.gain"),
            kind: LayerKind::Gain { numbers: 1 },
            in_channels: channels,
            output: Feature::vector(channels),
        });
        let embedding = format!("{name}.embedding");
        layers.push(Layer::linear(
            embedding,
            self.embedding,
            channels,
            Bias::None,
        ));
        layers.push(conv("conv2", channels, 3));
        layers.extend(after);
        if 0 < self.heads {
            layers.extend(["query", "key", "value"].map(|part| conv(part, channels, 1)));
            layers.push(Layer {
                name: format!("{name}.mix"),
                kind: LayerKind::Mixing { inner: channels },
                in_channels: channels,
                output,
            });
            layers.push(conv("out", channels, 1));
        }
        (layers, output)
    }
}
