//! What training leaves out at random.

use crate::{
    Error,
    error::{above_zero, share},
};

/// What training drops of a hidden feature, the rest being divided by the share that is kept, so that the
/// mean stays; evaluation drops nothing.
///
/// Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dropout {
    /// Nothing.
    None,
    /// This share of the numbers, in \[0, 1), each by itself.
    Elements(f64),
    /// This share of the channels, in \[0, 1), all pixels of one together. Of vectors, a channel is a number.
    ///
    /// Source: Tompson et al. 2015, "Efficient Object Localization Using Convolutional Networks".
    #[doc(alias = "Dropout2d")]
    #[doc(alias = "SpatialDropout")]
    Channels(f64),
}

impl Dropout {
    /// Whether the share is in its range.
    ///
    /// # Errors
    /// [`Error::NotAShare`]; [`Error::NotPositive`] if nothing is kept.
    pub fn check(self) -> Result<(), Error> {
        match self {
            Dropout::None => Ok(()),
            Dropout::Elements(dropped) | Dropout::Channels(dropped) => {
                share("the dropout", dropped)?;
                above_zero("the share that dropout keeps", 1.0 - dropped)
            }
        }
    }
}
