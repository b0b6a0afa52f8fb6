//! What is done to one long skip of a trained network, to see what it carries.

use resnet_blocks::{FreeU, Mode, Skip};
use tch::Tensor;

use crate::{Error, error::finite};

/// A change of one long skip at inference: of the encoder feature a, or of the stream h that it joins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SkipEdit {
    /// a as it is.
    Keep,
    /// Zeros in place of a.
    Zero,
    /// s a, s finite.
    Scale(f64),
    /// The a of another example: of that `shift` places further in the batch, counted round. It has the
    /// law of a, and nothing of this example; in a batch of one it is a itself.
    #[doc(alias = "resample")]
    OfAnother {
        /// Places; 0 is the example itself.
        shift: usize,
    },
    /// h strengthened and a weakened, as FreeU has it.
    FreeU(FreeU),
}

impl SkipEdit {
    /// Whether the numbers are finite.
    ///
    /// # Errors
    /// [`Error::NotANumber`]; [`Error::Block`] for those of FreeU.
    pub fn check(self) -> Result<(), Error> {
        match self {
            SkipEdit::Keep | SkipEdit::Zero | SkipEdit::OfAnother { .. } => Ok(()),
            SkipEdit::Scale(scale) => finite("the scale of an edited skip", scale),
            SkipEdit::FreeU(free_u) => Ok(free_u.check()?),
        }
    }

    /// The joined stream, with this change.
    pub(crate) fn join(
        self,
        rule: &dyn Skip,
        shortcut: &Tensor,
        stream: &Tensor,
        mode: &mut Mode,
    ) -> Tensor {
        match self {
            SkipEdit::Keep => rule.join(shortcut, stream, mode),
            SkipEdit::Zero => rule.join(&shortcut.zeros_like(), stream, mode),
            SkipEdit::Scale(scale) => rule.join(&(shortcut * scale), stream, mode),
            SkipEdit::OfAnother { shift } => {
                let shift = (shift as i64).rem_euclid(shortcut.size()[0]);
                rule.join(&shortcut.roll([-shift], [0]), stream, mode)
            }
            SkipEdit::FreeU(free_u) => rule.join(
                &free_u.weakened(shortcut),
                &free_u.strengthened(stream),
                mode,
            ),
        }
    }
}
