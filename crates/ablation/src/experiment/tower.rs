//! A tower of square layers between a read-in and a read-out, open to measurement block by block.

use serde::{Deserialize, Serialize};

use crate::{
    architecture::{MOST_BLOCKS, short_of},
    config::{Activation, Init, ShortSkip},
    error::Error,
    exact::place::Place,
};

/// h = W x + b; h = short(h, F_k(h)) for each block, F_k(h) = W₂ φ(W₁ φ(h) + b₁) + b₂; result W' h + b'.
///
/// With `short = "none"` it is a plain network of the same parameters and initial values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tower {
    /// Hidden width.
    pub width: usize,
    /// Blocks of two square layers.
    pub blocks: usize,
    /// Nonlinearity.
    pub activation: Activation,
    /// Short skip around each block.
    pub short: ShortSkip,
    /// Initial weights.
    pub init: Init,
    /// Factor on the initial weights of the square layers: √2 makes orthogonal ones critical for ReLU.
    pub gain: f64,
}

impl Tower {
    pub(super) fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("tower.width", self.width, 1, 4096)?;
        place.count("tower.blocks", self.blocks, 1, MOST_BLOCKS)?;
        place.positive("tower.gain", self.gain)?;
        let short = short_of(self.short, self.blocks);
        let given = serde_json::to_string(&self.short).expect("plain data");
        short
            .check()
            .map_err(|error| place.refuse("tower.short", given, &error.to_string()))
    }

    /// Predicted seconds of a forward pass over `batch` points on one core; a training step costs four.
    pub(super) fn seconds(&self, batch: usize) -> f64 {
        let layer = 2.5e-5 + 6e-11 * (batch * self.width * self.width) as f64;
        2.0 * (self.blocks + 1) as f64 * layer
    }
}

#[cfg(feature = "tch")]
pub(super) use drawn::{Drawn, points};

#[cfg(feature = "tch")]
mod drawn {
    use ndarray::Array2;
    use resnet_blocks::{Block, Init, Linear, MlpBlock, MlpBlockConfig, Mode, Params, Residual};
    use tch::{Device, Kind, Tensor, nn::VarStore};

    use super::Tower;
    use crate::{
        architecture::{activation_of, init_of, short_of},
        config,
    };

    /// A tower with its weights, in single or double precision.
    pub(in crate::experiment) struct Drawn {
        read_in: Linear,
        blocks: Vec<Residual>,
        read_out: Linear,
        /// Layers in forward order, by name.
        pub(in crate::experiment) units: Vec<(String, Vec<Tensor>)>,
    }

    impl Drawn {
        /// Draws the weights; layer-sequential unit variance is set on the points `x`.
        ///
        /// # Panics
        ///
        /// If the tower was not [checked](Tower::check).
        pub(in crate::experiment) fn new(
            tower: &Tower,
            outputs: usize,
            x: &Tensor,
            seed: u64,
        ) -> Drawn {
            let mut store = VarStore::new(Device::Cpu);
            let params = Params::seeded(store.root(), seed);
            let init = init_of(tower.init);
            let block = MlpBlockConfig::square(tower.width, activation_of(tower.activation), init);
            let short = short_of(tower.short, tower.blocks);
            let linear = |name: &str, inputs, outputs, init: Init| {
                Linear::new(&params.sub(name), inputs, outputs, init)
            };
            let inputs = x.size()[1] as usize;
            let drawn = || -> Result<Drawn, resnet_blocks::Error> {
                let read_in = linear("read_in", inputs, tower.width, init)?;
                let blocks = (0..tower.blocks).map(|index| {
                    let params = params.sub(format!("block{index}"));
                    let branch = MlpBlock::prepared(&params, &block, short)?;
                    let skip = short.build(&params.sub("skip"), tower.width)?;
                    Ok(Residual::new(Box::new(branch), skip))
                });
                let blocks = blocks.collect::<Result<_, resnet_blocks::Error>>()?;
                let read_out = linear("read_out", tower.width, outputs, init)?;
                let units = params.units().into_iter();
                Ok(Drawn {
                    read_in,
                    blocks,
                    read_out,
                    units: units.map(|unit| (unit.name, unit.parameters)).collect(),
                })
            };
            let drawn = drawn().expect("the tower was checked");
            {
                let _guard = tch::no_grad_guard();
                let square = drawn.units[1..]
                    .split_last()
                    .map_or(&[][..], |(_, inner)| inner);
                for weights in square.iter().flat_map(|(_, tensors)| tensors) {
                    if weights.dim() == 2 {
                        let mut weights = weights.shallow_clone();
                        weights *= tower.gain;
                    }
                }
            }
            if let config::Init::OrthogonalLsuv | config::Init::DeltaOrthogonalLsuv = tower.init {
                let _guard = tch::no_grad_guard();
                let x = x.to_kind(Kind::Float);
                let h = drawn.last(&x, &mut Mode::Calibrate);
                let _ = drawn.read(&h, &mut Mode::Calibrate);
            }
            if x.kind() == Kind::Double {
                store.double();
            }
            drawn
        }

        /// The stream behind the read-in and behind each block.
        pub(in crate::experiment) fn states(&self, x: &Tensor) -> Vec<Tensor> {
            let mut states = vec![self.read_in.forward(x, &mut Mode::Eval)];
            for block in &self.blocks {
                states.push(step(block, &states[states.len() - 1], &mut Mode::Eval));
            }
            states
        }

        fn last(&self, x: &Tensor, mode: &mut Mode) -> Tensor {
            let h = self.read_in.forward(x, mode);
            self.blocks.iter().fold(h, |h, block| step(block, &h, mode))
        }

        fn read(&self, h: &Tensor, mode: &mut Mode) -> Tensor {
            self.read_out.forward(h, mode)
        }

        /// The result for points \[n, d\].
        pub(in crate::experiment) fn forward(&self, x: &Tensor) -> Tensor {
            self.read(&self.last(x, &mut Mode::Eval), &mut Mode::Eval)
        }

        /// The result without block `index`: what stands before it goes on behind it. `before` is the state there.
        pub(in crate::experiment) fn without(&self, index: usize, before: &Tensor) -> Tensor {
            let h = before.shallow_clone();
            let h = self.blocks[index + 1..]
                .iter()
                .fold(h, |h, block| step(block, &h, &mut Mode::Eval));
            self.read(&h, &mut Mode::Eval)
        }

        /// All parameters, in forward order.
        pub(in crate::experiment) fn parameters(&self) -> Vec<Tensor> {
            let tensors = self.units.iter().flat_map(|(_, tensors)| tensors);
            tensors.map(Tensor::shallow_clone).collect()
        }
    }

    fn step(block: &Residual, h: &Tensor, mode: &mut Mode) -> Tensor {
        // The blocks of a tower take no embedding.
        block.forward(h, h, mode)
    }

    /// Rows as single-precision points.
    pub(in crate::experiment) fn points(x: &Array2<f64>) -> Tensor {
        let values: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        Tensor::from_slice(&values).view([x.nrows() as i64, x.ncols() as i64])
    }
}
