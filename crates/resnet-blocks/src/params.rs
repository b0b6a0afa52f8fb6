//! Where initial values come from: one random stream for each variable, named by its full path.

use std::{cell::RefCell, rc::Rc};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Tensor, nn::Path};

use crate::Error;

/// A place in a variable store, with a seed: what layers are created in.
///
/// Each variable is drawn from ChaCha8 keyed by a hash of (seed, full name), on the CPU, in f32.
/// So its initial value depends on the seed, its name, its shape and its law, and on nothing else:
/// two networks share the initial values of every variable that they have in common, and a layer
/// more or less changes no other. torch's generator is not touched.
///
/// ```
/// use resnet_blocks::{Init, Linear, Params};
/// use tch::{Device, nn::VarStore};
/// # fn main() -> Result<(), resnet_blocks::Error> {
/// let store = VarStore::new(Device::Cpu);
/// let params = Params::seeded(store.root(), 7);
/// let linear = Linear::new(&params.sub("read_in"), 3, 8, Init::PyTorch)?;
/// assert_eq!(params.units()[0].name, "read_in");
/// assert!(Linear::new(&params.sub("read_in"), 3, 8, Init::PyTorch).is_err()); // the name is taken
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Params<'a> {
    path: Path<'a>,
    seed: u64,
    units: Rc<RefCell<Vec<Unit>>>,
}

/// One layer's trainable variables: what a per-layer measurement is about.
#[derive(Debug)]
pub struct Unit {
    /// The full path of the layer, with dots.
    pub name: String,
    /// Weight and bias: views of the layer's own variables.
    pub parameters: Vec<Tensor>,
}

impl<'a> Params<'a> {
    /// Variables below `path`, drawn by `seed`.
    pub fn seeded(path: Path<'a>, seed: u64) -> Params<'a> {
        Params {
            path,
            seed,
            units: Rc::default(),
        }
    }

    /// One level further down, or several: `sub("a.b")` is `sub("a").sub("b")`.
    pub fn sub(&self, name: impl std::fmt::Display) -> Params<'a> {
        let name = name.to_string();
        let path = name
            .split('.')
            .fold(self.path.clone(), |path, part| path.sub(part));
        Params {
            path,
            seed: self.seed,
            units: Rc::clone(&self.units),
        }
    }

    /// Every layer created so far from this value or its relatives by [`sub`](Self::sub), in the
    /// order of creation, which in this crate and in `unet` is that of the forward pass.
    pub fn units(&self) -> Vec<Unit> {
        let shallow = |unit: &Unit| Unit {
            name: unit.name.clone(),
            parameters: unit.parameters.iter().map(Tensor::shallow_clone).collect(),
        };
        self.units.borrow().iter().map(shallow).collect()
    }

    /// The random stream of a variable of this path.
    pub(crate) fn stream(&self, name: &str) -> ChaCha8Rng {
        let mut hasher = blake3::Hasher::new_derive_key("fair-gradients resnet-blocks init v1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(self.path.path(name).as_bytes());
        ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
    }

    /// Creates a layer's weight and bias here, with these values, and records them as one unit.
    pub(crate) fn unit(
        &self,
        dims: &[usize],
        weight: &[f32],
        bias: &[f32],
    ) -> Result<(Tensor, Tensor), Error> {
        let dims: Vec<i64> = dims.iter().map(|dim| *dim as i64).collect();
        let weight = self.variable("weight", &dims, weight)?;
        let bias = self.variable("bias", &[bias.len() as i64], bias)?;
        self.units.borrow_mut().push(Unit {
            name: self.path.components().collect::<Vec<_>>().join("."),
            parameters: vec![weight.shallow_clone(), bias.shallow_clone()],
        });
        Ok((weight, bias))
    }

    /// tch renames a duplicate in silence; here it is refused.
    fn variable(&self, name: &str, dims: &[i64], values: &[f32]) -> Result<Tensor, Error> {
        if self.path.get(name).is_some() {
            return Err(Error::DuplicateName {
                name: self.path.path(name),
            });
        }
        let mut variable = self.path.zeros(name, dims);
        let _guard = tch::no_grad_guard();
        variable.copy_(&Tensor::from_slice(values).view(dims));
        Ok(variable)
    }
}
