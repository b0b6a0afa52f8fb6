//! What answers for the score: a network that is trained.

use learnability::{gradient::Snapshot, silence::is_silent};
use ndarray::{Array2, ArrayView2, Axis};
use noise_schedule::Kernel;
use rand::RngCore;
use rand_chacha::ChaCha8Rng;
use resnet_blocks::{Bfloat16, Mode, Network, Params, ResidualMlp, Shortcut};
use score_objective::Preconditioner;
use tch::{Tensor, nn::VarStore};
use unet::{Transformer, UNet};

use super::{optimizer::Adam, written::Written};
use crate::{
    architecture::{Architecture, calibrates},
    config::{CellConfig, Precision},
    dataset::Dataset,
    error::Error,
    stream::{Role, Stream},
    tensors,
};

/// A network with what is needed to ask it for scores.
pub(super) struct Model {
    pub(super) learned: Learned,
    pub(super) config: CellConfig,
    /// The network's passes, where they are written out and its loss can do with them.
    pub(super) written: Option<Written>,
}

/// A trainable network.
pub(super) struct Learned {
    pub(super) network: Box<dyn Network>,
    /// Layers in forward order, by name.
    pub(super) units: Vec<(String, Vec<Tensor>)>,
    /// The network again, if its features can be looked at.
    pub(super) transformer: Option<Transformer>,
    /// Skips without weights, in forward order.
    pub(super) shortcuts: Vec<Shortcut>,
    pub(super) device: tch::Device,
    /// Every variable by name, fixed ones too.
    variables: Vec<(String, Tensor)>,
    shape: Vec<i64>,
    /// Examples evaluated at a time in sampling: as many as the caches of one core hold.
    chunk: usize,
}

impl Model {
    /// Builds the network of a configuration; its initial weights are drawn, and calibrated if it says so.
    pub(super) fn build(
        config: &CellConfig,
        dataset: &Dataset<'_>,
        own: &Stream,
        device: tch::Device,
    ) -> Result<Model, Error> {
        let architecture = Architecture::of(&config.network, &config.shape(), "cell")?;
        Ok(Model {
            learned: Learned::build(&architecture, config, dataset, own, device)?,
            config: config.clone(),
            // Other objectives ask for the network's derivative, or ask it several times.
            written: config
                .objective
                .uses_noise()
                .then(|| Written::of(&architecture, device, config.training.batch))
                .flatten(),
        })
    }

    /// The score at points \[n, d\]: of the noised data at `sigma` for a noise-on arm, of the clean data, whatever
    /// `sigma`, for a noise-off arm.
    pub(super) fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        let learned = &self.learned;
        let _guard = tch::no_grad_guard();
        let level = super::own_level(&self.config).unwrap_or(sigma);
        let mut scores = Array2::zeros(x.raw_dim());
        let parts = scores.axis_chunks_iter_mut(Axis(0), learned.chunk);
        for (mut part, x) in parts.zip(x.axis_chunks_iter(Axis(0), learned.chunk)) {
            let levels = vec![kernel(level); x.nrows()];
            let net = |x: &Tensor, label: &Tensor| learned.forward(x, label);
            let score =
                score_objective::torch::score(&net, &*self.row(), &learned.tensor(x), &levels);
            part.assign(&learned.array(&score, x.ncols()));
        }
        scores
    }

    /// How a denoiser is made of what the network predicts.
    pub(super) fn row(&self) -> Box<dyn Preconditioner> {
        row(&self.config)
    }
}

impl Learned {
    pub(super) fn build(
        architecture: &Architecture,
        config: &CellConfig,
        dataset: &Dataset<'_>,
        own: &Stream,
        device: tch::Device,
    ) -> Result<Learned, Error> {
        let store = VarStore::new(device);
        let params = Params::seeded(store.root(), own.at(Role::Init, 0).next_u64());
        let impossible = |rule: String| Error::Impossible {
            place: "cell".to_owned(),
            name: "network".to_owned(),
            value: serde_json::to_string(&config.network).expect("plain data"),
            rule,
        };
        let mut features = None;
        let network: Box<dyn Network> = match architecture {
            Architecture::Exact => unreachable!("the exact score is not built"),
            Architecture::Mlp(mlp) => {
                Box::new(ResidualMlp::new(&params, mlp).map_err(|e| impossible(e.to_string()))?)
            }
            Architecture::UNet(unet) => {
                let unet = UNet::new(&params, unet).map_err(|e| impossible(e.to_string()))?;
                let unet = unet.in_memory(config.numerics.memory_format.into());
                match config.numerics.precision {
                    Precision::F32 => Box::new(unet),
                    Precision::Bf16 => Box::new(Bfloat16(unet)),
                }
            }
            Architecture::Transformer(config) => {
                let transformer = Transformer::new(&params, config);
                let transformer = transformer.map_err(|e| impossible(e.to_string()))?;
                features = Some(transformer.clone());
                Box::new(transformer)
            }
        };
        let units = params
            .units()
            .into_iter()
            .map(|unit| (unit.name, unit.parameters))
            .collect();
        let shape: Vec<i64> = match architecture {
            Architecture::UNet(_) | Architecture::Transformer(_) => {
                config.shape().iter().map(|&n| n as i64).collect()
            }
            // An MLP takes an image as one row of numbers.
            _ => vec![config.shape().iter().product::<usize>() as i64],
        };
        // Measured on the 16×16 U-Net: 64 took 7.1 s a cell, 16 and all 256 at once 10 s.
        let chunk = 64;
        let learned = Learned {
            network,
            units,
            transformer: features,
            shortcuts: params.shortcuts(),
            device,
            shape,
            chunk,
            variables: params.tensors(),
        };
        if calibrates(&config.network) {
            learned.calibrate(config, dataset, own);
        }
        Ok(learned)
    }

    /// Layer-sequential unit variance on a batch as training sees it.
    fn calibrate(&self, config: &CellConfig, dataset: &Dataset<'_>, own: &Stream) {
        let _guard = tch::no_grad_guard();
        let batch = 256;
        let example = super::train::Example::draw(config, dataset, own, Role::Nuisance, 0, batch);
        let x = self.tensor(example.noised(config).view());
        let net = |x: &Tensor, label: &Tensor| self.network.forward(x, label, &mut Mode::Calibrate);
        let _ = score_objective::torch::denoise(&net, &*row(config), &x, &example.levels);
    }

    pub(super) fn forward(&self, x: &Tensor, label: &Tensor) -> Tensor {
        self.network.forward(x, label, &mut Mode::Eval)
    }

    /// The network as training asks it; what it drops is drawn from `dropped`, and is the same in each pass.
    pub(super) fn in_training(&self, dropped: ChaCha8Rng) -> impl Fn(&Tensor, &Tensor) -> Tensor {
        move |x, label| {
            let mut mode = Mode::Train(dropped.clone());
            self.network.forward(x, label, &mut mode)
        }
    }

    /// The layers of the main path, in forward order: embeddings, shifts and norms are left out.
    pub(super) fn layers(&self) -> Vec<usize> {
        let beside = |name: &str| {
            ["embedding", "shift", "norm"]
                .iter()
                .any(|word| name.contains(word))
        };
        (0..self.units.len())
            .filter(|&unit| !beside(&self.units[unit].0))
            .collect()
    }

    /// An optimiser that takes over the parameters; their values stay.
    pub(super) fn optimizer(&self) -> Adam {
        Adam::new(&mut self.parameters())
    }

    /// All parameters, in forward order.
    pub(super) fn parameters(&self) -> Vec<Tensor> {
        let tensors = self.units.iter().flat_map(|(_, tensors)| tensors);
        tensors.map(Tensor::shallow_clone).collect()
    }

    /// The weights as a file.
    pub(super) fn weights(&self) -> Vec<u8> {
        tensors::to_bytes(&self.variables)
    }

    /// The share of layers that the steps since `before` left as they were, to the last bit.
    pub(super) fn silent_share(&self, before: &Snapshot) -> f64 {
        let absorbed = before.absorbed(&self.units);
        let layers = self.layers();
        let silent = layers.iter().filter(|&&unit| is_silent(absorbed[unit]));
        silent.count() as f64 / layers.len() as f64
    }

    /// The first and the last layer between read-in and read-out.
    pub(super) fn ends(&self) -> (usize, usize) {
        let layers = self.layers();
        (layers[1], layers[layers.len() - 2])
    }

    /// Rows as single-precision examples on the device.
    pub(super) fn tensor(&self, x: ArrayView2<'_, f64>) -> Tensor {
        let values: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let mut size = vec![x.nrows() as i64];
        size.extend(&self.shape);
        Tensor::from_slice(&values)
            .view(&size[..])
            .to_device(self.device)
    }

    fn array(&self, tensor: &Tensor, columns: usize) -> Array2<f64> {
        let flat = tensor
            .to_device(tch::Device::Cpu)
            .to_kind(tch::Kind::Double)
            .contiguous()
            .view([-1]);
        let values = Vec::<f64>::try_from(&flat).expect("a flat double tensor");
        Array2::from_shape_vec((values.len() / columns, columns), values)
            .expect("rows of one length")
    }
}

/// How a denoiser is made of what the network of a configuration predicts.
pub(super) fn row(config: &CellConfig) -> Box<dyn Preconditioner> {
    config.objective.target().row(config.noise.data_std)
}

/// The kernel x₀ + sigma·ε.
pub(super) fn kernel(sigma: f64) -> Kernel {
    Kernel::variance_exploding(sigma).expect("checked by the plan")
}
