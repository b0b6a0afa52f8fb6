//! What a network, a block and a skip promise.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use crate::Dropout;

/// A network F: (x, label) to something shaped like x.
///
/// A closure over two tensors is a network that has no modes.
///
/// ```
/// use resnet_blocks::{Mode, Network};
/// use tch::Tensor;
/// let halve = |x: &Tensor, _label: &Tensor| x * 0.5;
/// let (x, label) = (Tensor::from_slice(&[2.0, 4.0]).view([2, 1]), Tensor::from_slice(&[0.0, 0.0]));
/// assert_eq!(halve.forward(&x, &label, &mut Mode::Eval).double_value(&[1, 0]), 2.0);
/// ```
pub trait Network {
    /// F(x, label).
    ///
    /// # Shapes
    /// x: `[B, ...]`; label: `[B]`; result: as x.
    ///
    /// # Panics
    /// If the shapes are other than the network was built for.
    fn forward(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor;
}

impl<F: Fn(&Tensor, &Tensor) -> Tensor> Network for F {
    fn forward(&self, x: &Tensor, label: &Tensor, _mode: &mut Mode) -> Tensor {
        self(x, label)
    }
}

/// A step of a network: (x, embedding) to the next feature.
///
/// The branch of a residual block is one, a whole residual block too, and so are a convolution and an
/// attention. Blocks that take no embedding ignore it. A closure over two tensors is a block that has no
/// modes.
pub trait Block {
    /// The next feature.
    ///
    /// # Shapes
    /// x: `[B, ...]`; embedding: `[B, E]`, or anything at all for a block that takes none;
    /// result: `[B, ...]`, of the shape that the block is built for.
    ///
    /// # Panics
    /// If the shapes are other than the block was built for.
    fn forward(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor;
}

impl<F: Fn(&Tensor, &Tensor) -> Tensor> Block for F {
    fn forward(&self, x: &Tensor, embedding: &Tensor, _mode: &mut Mode) -> Tensor {
        self(x, embedding)
    }
}

/// A rule that joins a shortcut and a branch.
///
/// [`ShortSkip`](crate::ShortSkip) and [`LongSkip`](crate::LongSkip) are the catalogue; a rule of one's
/// own is a type with this method, or a closure over the two, and goes wherever those go.
///
/// ```
/// use resnet_blocks::{Activation, Block, Init, MlpBlock, MlpBlockConfig, Mode, Params, Residual};
/// use tch::{Device, Kind, Tensor, nn::VarStore};
/// # fn main() -> Result<(), resnet_blocks::Error> {
/// let largest = |shortcut: &Tensor, branch: &Tensor| shortcut.maximum(branch);
/// let store = VarStore::new(Device::Cpu);
/// let config = MlpBlockConfig::square(8, Activation::Relu, Init::He);
/// let branch = MlpBlock::new(&Params::seeded(store.root(), 0), &config)?;
/// let block = Residual::new(Box::new(branch), Box::new(largest));
/// let x = Tensor::ones([2, 8], (Kind::Float, Device::Cpu));
/// let y = block.forward(&x, &Tensor::new(), &mut Mode::Eval);
/// assert!(1.0 <= y.min().double_value(&[]));
/// # Ok(())
/// # }
/// ```
pub trait Skip {
    /// The stream after the skip.
    ///
    /// # Shapes
    /// shortcut and branch: `[B, ...]`, of one shape for most rules.
    ///
    /// # Panics
    /// If the shapes cannot be joined.
    fn join(&self, shortcut: &Tensor, branch: &Tensor, mode: &mut Mode) -> Tensor;
}

impl<F: Fn(&Tensor, &Tensor) -> Tensor> Skip for F {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        self(shortcut, branch)
    }
}

/// What a forward pass is for.
#[allow(
    clippy::large_enum_variant,
    reason = "a training loop has one, and lends it to every pass"
)]
#[derive(Debug)]
#[non_exhaustive]
pub enum Mode {
    /// Evaluate: no layer is random.
    Eval,
    /// Train: what is dropped is drawn from this stream, in the order of the forward pass and for one
    /// example after the other, so one pass with one stream is always the same, whatever torch's own
    /// generator did. Magnitude-preserving weights are renormalised in place.
    Train(ChaCha8Rng),
    /// Centred layer-sequential unit variance, in one forward pass: every layer on the way from x
    /// to the output measures its own output on this batch, shifts its bias (if any) so that each
    /// channel has mean 0, scales its weight so that the standard deviation over the whole output is
    /// 1, and passes the corrected output on.
    ///
    /// Layers that only see the embedding keep their values: they are not on that way, and a label
    /// as loud as the image in every block would drown it. So do the gates and gains of skips, a
    /// layer whose weights are normalised anyway, and one whose output on the batch is constant up to
    /// rounding, such as one that begins at 0. The batch should hold many different examples.
    ///
    /// Source: Mishkin & Matas 2016, "All you need is a good init" (LSUV), on weights drawn by
    /// [`Init::Orthogonal`](crate::Init::Orthogonal) there; the centring is ours.
    Calibrate,
}

impl Mode {
    /// In training a tensor of ones and zeros, each 1 with this probability by itself; nothing otherwise.
    ///
    /// # Shapes
    /// Result: `size`, of the kind and on the device of `like`.
    ///
    /// # Panics
    /// If the probability is not in \[0, 1\].
    pub fn kept(&mut self, probability: f64, size: &[i64], like: &Tensor) -> Option<Tensor> {
        assert!(
            (0.0..=1.0).contains(&probability),
            "a probability must be in [0, 1], but it is {probability}"
        );
        let Mode::Train(stream) = self else {
            return None;
        };
        let draws = (0..size.iter().product()).map(|_| stream.random_bool(probability));
        let ones: Vec<f32> = draws.map(|kept| f32::from(u8::from(kept))).collect();
        let ones = Tensor::from_slice(&ones).view(size);
        Some(ones.to_device(like.device()).to_kind(like.kind()))
    }
}

impl Dropout {
    /// x without what training drops, the rest divided by the share that is kept; x itself otherwise.
    ///
    /// # Shapes
    /// x: `[B, channels, ...]`; result: as x.
    ///
    /// # Panics
    /// If the share is not in \[0, 1).
    pub fn apply(self, x: Tensor, mode: &mut Mode) -> Tensor {
        let mut size = x.size();
        let share = match self {
            Dropout::None => return x,
            Dropout::Elements(share) => share,
            Dropout::Channels(share) => {
                size[2..].fill(1);
                share
            }
        };
        match mode.kept(1.0 - share, &size, &x) {
            Some(kept) => x * (kept / (1.0 - share)),
            None => x,
        }
    }
}
