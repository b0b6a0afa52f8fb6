//! Fully connected residual blocks, and the network made of them.

use crate::{
    Activation, Bias, Dropout, Error, Feature, Init, Layer, Norm, ShortSkip,
    error::{finite, positive},
};

/// The branch of a fully connected residual block: F(h) = W2 drop(phi(norm2(W1 phi(norm1(h)) + b1))) + b2.
///
/// Layers: `norm1` (if any), `linear1`, `norm2` (if any), `linear2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MlpBlockConfig {
    /// Width of the stream, at least 1.
    pub width: usize,
    /// Width of the hidden layer, at least 1.
    pub hidden: usize,
    /// Nonlinearity.
    pub activation: Activation,
    /// Normalisation before each activation.
    pub norm: Norm,
    /// What training drops of the hidden feature, after its activation.
    pub dropout: Dropout,
    /// Law of the initial values.
    pub init: Init,
    /// Factor on the initial values of `linear2`; 0 begins with a branch that is 0.
    pub last_gain: f64,
}

/// A residual multilayer perceptron for data of few dimensions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualMlpConfig {
    /// Dimensions of x, at least 1.
    pub inputs: usize,
    /// Number of blocks, at least 1.
    pub blocks: usize,
    /// The branch of every block.
    pub block: MlpBlockConfig,
    /// How each block rejoins the stream.
    pub short: ShortSkip,
}

impl MlpBlockConfig {
    /// Two square layers without normalisation or dropout.
    pub fn square(width: usize, activation: Activation, init: Init) -> MlpBlockConfig {
        MlpBlockConfig {
            width,
            hidden: width,
            activation,
            norm: Norm::None,
            dropout: Dropout::None,
            init,
            last_gain: 1.0,
        }
    }

    /// Whether the branch can be built.
    ///
    /// # Errors
    /// [`Error::Zero`], [`Error::Groups`], [`Error::NormOfVectors`], [`Error::NotPositive`],
    /// [`Error::NotAShare`], [`Error::NotFinite`].
    pub fn check(&self) -> Result<(), Error> {
        positive("the width", self.width)?;
        positive("the hidden width", self.hidden)?;
        self.dropout.check()?;
        finite("the gain of the initial values", self.last_gain)?;
        if let Norm::InstancePlus { .. } = self.norm {
            return Err(Error::NormOfVectors);
        }
        self.norm.check("norm1", self.width)?;
        self.norm.check("norm2", self.hidden)
    }

    /// The layers below this name, in the order of the forward pass.
    pub fn layers(&self, name: &str) -> Vec<Layer> {
        let (width, hidden) = (self.width, self.hidden);
        let norm = |part: &str, width| {
            self.norm
                .layers(&format!("{name}.{part}"), Feature::vector(width))
        };
        let linear = |part: &str, inputs, outputs| {
            Layer::linear(format!("{name}.{part}"), inputs, outputs, Bias::Learned)
        };
        let mut layers = norm("norm1", width);
        layers.push(linear("linear1", width, hidden));
        layers.extend(norm("norm2", hidden));
        layers.push(linear("linear2", hidden, width));
        layers
    }
}

impl ResidualMlpConfig {
    /// Whether the network can be built.
    ///
    /// # Errors
    /// [`Error::Zero`] and as [`MlpBlockConfig::check`] and [`ShortSkip::check`].
    pub fn check(&self) -> Result<(), Error> {
        positive("the number of inputs", self.inputs)?;
        positive("the number of blocks", self.blocks)?;
        self.block.check()?;
        self.short.check()
    }

    /// Every layer, in the order of the forward pass.
    ///
    /// ```
    /// use resnet_blocks::{Activation, Init, MlpBlockConfig, ResidualMlpConfig, ShortSkip};
    /// let config = ResidualMlpConfig {
    ///     inputs: 2, blocks: 6, short: ShortSkip::inverse_sqrt(6),
    ///     block: MlpBlockConfig::square(64, Activation::Silu, Init::PyTorch),
    /// };
    /// assert_eq!(config.layers().len(), 14);
    /// assert_eq!(config.parameters(), 50_306); // the same for every `short` without parameters
    /// ```
    pub fn layers(&self) -> Vec<Layer> {
        let width = self.block.width;
        let linear =
            |name: &str, inputs, outputs| Layer::linear(name, inputs, outputs, Bias::Learned);
        let mut layers = vec![linear("read_in", self.inputs + 1, width)];
        for block in 0..self.blocks {
            let name = format!("block{block}");
            layers.extend(self.block.layers(&name));
            layers.extend(
                self.short
                    .layers(&format!("{name}.skip"), Feature::vector(width)),
            );
        }
        layers.push(linear("read_out", width, self.inputs));
        layers
    }

    /// Names of the skips that have a shortcut and no weights, in forward order.
    pub fn shortcuts(&self) -> Vec<String> {
        let blocks = if self.short.is_fixed() {
            self.blocks
        } else {
            0
        };
        (0..blocks)
            .map(|block| format!("block{block}.skip"))
            .collect()
    }

    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        self.layers().iter().map(Layer::parameters).sum()
    }

    /// Floating-point operations of one forward pass over a batch: 2 for each multiply-add of a
    /// matrix; biases, activations and skips are left out.
    pub fn forward_flops(&self, batch: usize) -> u64 {
        let each: u64 = self.layers().iter().map(Layer::multiply_adds).sum();
        2 * each * batch as u64
    }
}
