//! Where values come from: one random stream for each variable, named by its full path; or a file.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor, nn::Path};

use crate::{Error, Law, Shortcut, Skip, shortcut::Openable};

/// A place in a variable store, with a source of values: what layers are created in.
///
/// With a seed, each variable is drawn from ChaCha8 keyed by a hash of (seed, full name), on the CPU,
/// in f32. So its initial value depends on the seed, its name, its shape and its law, and on nothing
/// else: two networks share the initial values of every variable that they have in common, and a layer
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
    source: Source,
    /// How many components of the path are above the place where this began.
    above: usize,
    created: Rc<RefCell<Created>>,
}

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    Values(Rc<HashMap<String, Tensor>>),
}

#[derive(Debug, Default)]
struct Created {
    units: Vec<Unit>,
    /// Every variable with its name below the beginning, constants too.
    tensors: Vec<(String, Tensor)>,
    shortcuts: Vec<Shortcut>,
}

/// One layer's trainable variables: what a per-layer measurement is about.
#[derive(Debug)]
pub struct Unit {
    /// The full path of the layer, with dots.
    pub name: String,
    /// Its variables, such as weight and bias: views of the layer's own.
    pub parameters: Vec<Tensor>,
}

impl<'a> Params<'a> {
    /// Variables below `path`, drawn by `seed`.
    pub fn seeded(path: Path<'a>, seed: u64) -> Params<'a> {
        Params::new(path, Source::Seed(seed))
    }

    /// Variables below `path` that take copies of these values instead of drawn ones, by their names below it;
    /// values that no variable asks for are ignored.
    pub fn with_values(path: Path<'a>, values: HashMap<String, Tensor>) -> Params<'a> {
        Params::new(path, Source::Values(Rc::new(values)))
    }

    fn new(path: Path<'a>, source: Source) -> Params<'a> {
        Params {
            above: path.components().count(),
            path,
            source,
            created: Rc::default(),
        }
    }

    /// One level further down, or several: `sub("a.b")` is `sub("a").sub("b")`.
    pub fn sub(&self, name: impl std::fmt::Display) -> Params<'a> {
        let name = name.to_string();
        Params {
            path: name
                .split('.')
                .fold(self.path.clone(), |path, part| path.sub(part)),
            source: self.source.clone(),
            above: self.above,
            created: Rc::clone(&self.created),
        }
    }

    /// Every layer created so far from this value or its relatives by [`sub`](Self::sub), in the
    /// order of creation, which in this crate and in `unet` is that of the forward pass.
    pub fn units(&self) -> Vec<Unit> {
        let shallow = |unit: &Unit| Unit {
            name: unit.name.clone(),
            parameters: unit.parameters.iter().map(Tensor::shallow_clone).collect(),
        };
        self.created.borrow().units.iter().map(shallow).collect()
    }

    /// Every variable created so far from this value or its relatives, fixed ones too, by its name below
    /// the path where this began, in the order of creation.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let shallow = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.shallow_clone());
        self.created.borrow().tensors.iter().map(shallow).collect()
    }

    /// Every skip without weights created so far from this value or its relatives, in the order of creation.
    pub fn shortcuts(&self) -> Vec<Shortcut> {
        self.created.borrow().shortcuts.clone()
    }

    /// The rule with a [`Shortcut`] of this place's name, for a rule without weights.
    pub fn openable(&self, rule: Box<dyn Skip>) -> Box<dyn Skip> {
        let mut created = self.created.borrow_mut();
        let name = self.path.components().collect::<Vec<_>>().join(".");
        let shortcut = Shortcut::new(name, created.units.len());
        created.shortcuts.push(shortcut.clone());
        Box::new(Openable { rule, shortcut })
    }

    /// A trainable variable of this name and shape, drawn by the law and multiplied by `gain`; the
    /// variables of one path are one [`Unit`].
    ///
    /// It is how a layer of one's own is drawn, shared between arms and measured as those of this crate are.
    ///
    /// ```
    /// use resnet_blocks::{Law, Params};
    /// # fn main() -> Result<(), resnet_blocks::Error> {
    /// let store = tch::nn::VarStore::new(tch::Device::Cpu);
    /// let params = Params::seeded(store.root(), 7);
    /// let prototypes = params.sub("prototypes").variable("weight", &[10, 32], Law::Normal(1.0), 1.0)?;
    /// assert_eq!(prototypes.size(), [10, 32]);
    /// assert_eq!(params.units()[0].name, "prototypes");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DuplicateName`]; [`Error::NoValue`] where values are given and this one is not.
    pub fn variable(
        &self,
        name: &str,
        shape: &[usize],
        law: Law,
        gain: f64,
    ) -> Result<Tensor, Error> {
        let variable = self.create(name, shape, law, gain, Path::zeros)?;
        let unit = self.path.components().collect::<Vec<_>>().join(".");
        let units = &mut self.created.borrow_mut().units;
        match units.iter_mut().rev().find(|known| known.name == unit) {
            Some(known) => known.parameters.push(variable.shallow_clone()),
            None => units.push(Unit {
                name: unit,
                parameters: vec![variable.shallow_clone()],
            }),
        }
        Ok(variable)
    }

    /// As [`variable`](Self::variable), but fixed: it is stored, and not learned or measured; in f64 where the
    /// variables are, else in f32.
    ///
    /// # Errors
    /// As [`variable`](Self::variable).
    pub fn constant(&self, name: &str, shape: &[usize], law: Law) -> Result<Tensor, Error> {
        // tch's own fixed variables are f32 in every store.
        let kind = match self.path.kind() {
            Kind::Double => Kind::Double,
            _ => Kind::Float,
        };
        self.create(name, shape, law, 1.0, |path, name, dims| {
            path.add(name, Tensor::zeros(dims, (kind, path.device())), false)
        })
    }

    /// tch renames a duplicate in silence; here it is refused.
    fn create(
        &self,
        name: &str,
        shape: &[usize],
        law: Law,
        gain: f64,
        zeros: impl Fn(&Path<'a>, &str, &[i64]) -> Tensor,
    ) -> Result<Tensor, Error> {
        let full = self.path.path(name);
        let below = self.path.components().skip(self.above).chain([name]);
        let below = below.collect::<Vec<_>>().join(".");
        if self.path.get(name).is_some() {
            return Err(Error::DuplicateName { name: full });
        }
        let dims: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
        let value = match &self.source {
            Source::Seed(seed) => {
                let mut hasher =
                    blake3::Hasher::new_derive_key("fair-gradients resnet-blocks init v1");
                hasher.update(&seed.to_le_bytes());
                hasher.update(full.as_bytes());
                let mut stream = ChaCha8Rng::from_seed(*hasher.finalize().as_bytes());
                Tensor::from_slice(&law.draw(shape, gain, &mut stream)).view(&dims[..])
            }
            Source::Values(values) => {
                let missing = |reason: String| Error::NoValue {
                    name: below.clone(),
                    shape: shape.to_vec(),
                    reason,
                };
                let value = values
                    .get(&below)
                    .ok_or_else(|| missing("it is not there".to_owned()))?;
                if value.size() != dims {
                    return Err(missing(format!("its shape is {:?}", value.size())));
                }
                if !value.is_floating_point() {
                    return Err(missing(format!(
                        "its numbers are of kind {:?}",
                        value.kind()
                    )));
                }
                value.shallow_clone()
            }
        };
        let mut variable = zeros(&self.path, name, &dims);
        {
            let _guard = tch::no_grad_guard();
            variable.copy_(&value);
        }
        let created = &mut self.created.borrow_mut().tensors;
        created.push((below, variable.shallow_clone()));
        Ok(variable)
    }
}
