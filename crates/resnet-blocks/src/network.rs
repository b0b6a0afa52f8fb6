//! What a network, a block and a skip promise.

use tch::Tensor;

use crate::{LongSkip, ShortSkip};

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

/// The branch of a residual block: (x, embedding) to something shaped like x.
///
/// The skip is not part of it: [`Skip::join`] adds, or does not add, the shortcut.
pub trait Block {
    /// The branch.
    ///
    /// # Shapes
    /// x: `[B, ...]`; embedding: `[B, E]`, or anything at all for a block that takes none;
    /// result: as x.
    ///
    /// # Panics
    /// If the shapes are other than the block was built for.
    fn forward(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor;
}

/// A rule that joins a shortcut and a branch, without parameters.
pub trait Skip {
    /// The stream after the block.
    ///
    /// # Shapes
    /// shortcut and branch: of one shape `[B, ...]`.
    ///
    /// # Panics
    /// If the shapes cannot be joined.
    fn join(&self, shortcut: &Tensor, branch: &Tensor, mode: &mut Mode) -> Tensor;
}

impl Skip for ShortSkip {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        match *self {
            ShortSkip::None => branch.shallow_clone(),
            ShortSkip::Identity => shortcut + branch,
            ShortSkip::Scaled(scale) => shortcut + branch * scale,
        }
    }
}

impl Skip for LongSkip {
    /// The shortcut is the encoder's feature; `Concat` joins along dimension 1.
    fn join(&self, shortcut: &Tensor, branch: &Tensor, _mode: &mut Mode) -> Tensor {
        match *self {
            LongSkip::None => branch.shallow_clone(),
            LongSkip::Add(scale) => (shortcut + branch) * scale,
            LongSkip::Concat(scale) => Tensor::cat(&[&(shortcut * scale), branch], 1),
        }
    }
}

/// What a forward pass is for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Mode {
    /// Evaluate, in training and in sampling alike: no layer is random.
    Eval,
    /// Centred layer-sequential unit variance, in one forward pass: every layer on the way from x
    /// to the output measures its own output on this batch, shifts its bias so that each channel
    /// has mean 0, scales its weight so that the standard deviation over the whole output is 1,
    /// and passes the corrected output on.
    ///
    /// Layers that only see the embedding keep their values: they are not on that way, and a label
    /// as loud as the image in every block would drown it. So does a layer whose output on the
    /// batch is constant up to rounding. The batch should hold many different examples.
    ///
    /// Source: Mishkin & Matas 2016, "All you need is a good init" (LSUV); the centring is ours.
    Calibrate,
}
