//! Factors on the shortcuts of skips without weights, to differentiate by.

use std::{cell::RefCell, rc::Rc};

use tch::Tensor;

use crate::{Mode, Skip};

/// The shortcut of a skip that has no weights, and so no gradient of its own.
///
/// That of a factor γ = 1 on what it carries, skip(γ a, F), stands for it:
///
/// ```text
/// ∂L/∂γ = ⟨∂L/∂(γ a), a⟩
/// ```
///
/// Below 0 the loss falls if the shortcut carries more. There is no factor, and nothing is computed, until it is
/// [opened](Self::open); with one, the network computes what it did, to the last bit.
///
/// *Range*: real. *Invariances*: the scale of a, if what reads it is rescaled.
/// *Failure mode*: one number for all that is carried: what one channel is to have more of and another less cancels. A
/// network that is homogeneous in the shortcuts has the same derivative for all of them (Euler), as it has for layers.
/// *Source*: defined here; a learned factor at this place is LayerScale's, on the other summand.
///
/// ```
/// use resnet_blocks::{Activation, Init, MlpBlockConfig, Mode, Network, Params, ResidualMlp, ResidualMlpConfig};
/// use resnet_blocks::{ShortSkip, Shortcut};
/// use tch::{Device, Kind, Tensor, nn::VarStore};
/// # fn main() -> Result<(), resnet_blocks::Error> {
/// let (store, block) = (VarStore::new(Device::Cpu), MlpBlockConfig::square(8, Activation::Relu, Init::He));
/// let params = Params::seeded(store.root(), 0);
/// let config = ResidualMlpConfig { inputs: 2, blocks: 3, block, short: ShortSkip::Identity };
/// let net = ResidualMlp::new(&params, &config)?;
/// let opened: Vec<_> = params.shortcuts().iter().map(Shortcut::open).collect();
/// let on = (Kind::Float, Device::Cpu);
/// let loss = net.forward(&Tensor::ones([4, 2], on), &Tensor::zeros([4], on), &mut Mode::Eval).sum(Kind::Float);
/// let gradients = Tensor::run_backward(&[loss], &[opened[0].factor()], false, false);
/// assert_eq!((params.shortcuts()[0].name(), gradients[0].size()), ("block0.skip", vec![]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Shortcut {
    name: String,
    after: usize,
    factor: Rc<RefCell<Option<Tensor>>>,
}

impl Shortcut {
    /// Of a skip of this name, created after so many layers.
    pub(crate) fn new(name: String, after: usize) -> Shortcut {
        Shortcut {
            name,
            after,
            factor: Rc::default(),
        }
    }

    /// The full path of its skip, with dots.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many of [`Params::units`](crate::Params::units) come before it in the forward pass.
    pub fn after(&self) -> usize {
        self.after
    }

    /// The factor, while it is open.
    pub fn factor(&self) -> Option<Tensor> {
        self.factor.borrow().as_ref().map(Tensor::shallow_clone)
    }

    /// Gives it a factor of 1 that requires a gradient, until what is returned is dropped.
    pub fn open(&self) -> Opened {
        let factor = Tensor::from(1.0_f32).set_requires_grad(true);
        *self.factor.borrow_mut() = Some(factor.shallow_clone());
        Opened {
            shortcut: self.clone(),
            factor,
        }
    }
}

/// A shortcut that has a factor, until this is dropped.
#[derive(Debug)]
#[must_use = "the factor is gone when this is dropped"]
pub struct Opened {
    shortcut: Shortcut,
    factor: Tensor,
}

impl Opened {
    /// γ, one number.
    pub fn factor(&self) -> &Tensor {
        &self.factor
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        *self.shortcut.factor.borrow_mut() = None;
    }
}

/// A rule whose shortcut can be given a factor.
pub(crate) struct Openable {
    pub(crate) rule: Box<dyn Skip>,
    pub(crate) shortcut: Shortcut,
}

impl Skip for Openable {
    fn join(&self, shortcut: &Tensor, branch: &Tensor, mode: &mut Mode) -> Tensor {
        match &*self.shortcut.factor.borrow() {
            Some(factor) => self.rule.join(&(shortcut * factor), branch, mode),
            None => self.rule.join(shortcut, branch, mode),
        }
    }
}
