//! The network of a finished cell as training left it: asked again, or written for diffusers.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use ndarray::{ArrayD, ArrayViewD};
use noise_schedule::Kernel;
use resnet_blocks::{Bfloat16, Mode, Network, Params, ResidualMlp};
use tch::{Device, Tensor, nn::VarStore};
use unet::{Transformer, UNet};

use crate::{
    architecture::Architecture,
    config::{CellConfig, MemoryFormat, Precision, Target},
    error::Error,
    record::{Outcome, Record, Stage},
    store, tensors,
};

/// A cell's network with its weights.
///
/// Of a cell that predicts the noise it answers with ε in x = x₀ + sigma ε, and is told ln(sigma)/4 and shown x/√(data_std² + sigma²);
/// so D = x − sigma F(x/√(data_std² + sigma²), ln(sigma)/4).
#[derive(Debug)]
pub struct Trained {
    folder: PathBuf,
    config: CellConfig,
    words: String,
    variables: Vec<(String, Tensor)>,
    network: Kept,
    device: Device,
    precision: Precision,
    memory_format: MemoryFormat,
}

#[derive(Debug)]
enum Kept {
    UNet(UNet),
    Mlp(ResidualMlp),
    Transformer(Transformer),
}

impl Trained {
    /// Reads the cell in a folder (`runs/<name>/cells/<id>`).
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] where there is no such cell, its weights were not kept, are not those of its network, or
    /// are not finite; [`Error::Damaged`] and [`Error::DamagedWeights`] where a file is not as it was committed.
    pub fn open(folder: &Path, device: Device) -> Result<Trained, Error> {
        let unusable = |reason: String| Error::Unusable {
            path: folder.to_owned(),
            reason,
        };
        let (record, weights) = store::weights(folder)?;
        let Some(config) = record.cell.config.diffusion().cloned() else {
            let reason = "the cell is an experiment, which keeps no network";
            return Err(unusable(reason.to_owned()));
        };
        let architecture = Architecture::of(&config.network, &config.shape(), "cell")?;
        if matches!(architecture, Architecture::Exact) {
            let reason =
                "the exact score stands in the place of a network there, and has no weights";
            return Err(unusable(reason.to_owned()));
        }
        let weights = weights.ok_or_else(|| {
            let reason = "no weights were kept there; remove its result.json and run the study again with `--weights keep`";
            unusable(reason.to_owned())
        })?;
        let values: HashMap<String, Tensor> = tensors::from_bytes(&weights)
            .map_err(|reason| unusable(format!("of its weights, {reason}")))?
            .into_iter()
            .collect();
        if values
            .values()
            .any(|t| t.isfinite().all().int64_value(&[]) == 0)
        {
            return Err(unusable(format!(
                "its weights are not finite{}",
                end(&record)
            )));
        }
        let count = values.len();
        let store = VarStore::new(device);
        let params = Params::with_values(store.root(), values);
        let network = match &architecture {
            Architecture::UNet(unet) => UNet::new(&params, unet)
                .map(Kept::UNet)
                .map_err(|error| unusable(error.to_string()))?,
            Architecture::Mlp(mlp) => ResidualMlp::new(&params, mlp)
                .map(Kept::Mlp)
                .map_err(|error| unusable(error.to_string()))?,
            Architecture::Transformer(config) => Transformer::new(&params, config)
                .map(Kept::Transformer)
                .map_err(|error| unusable(error.to_string()))?,
            Architecture::Exact => unreachable!("returned above"),
        };
        let variables = params.tensors();
        if variables.len() != count {
            return Err(unusable(format!(
                "it holds {count} tensors of weights, and its network has {}",
                variables.len()
            )));
        }
        Ok(Trained {
            folder: folder.to_owned(),
            precision: config.numerics.precision,
            memory_format: config.numerics.memory_format,
            config,
            words: architecture.words(),
            variables,
            network,
            device,
        })
    }

    /// What the cell was.
    pub fn config(&self) -> &CellConfig {
        &self.config
    }

    /// The same, denoising in this precision instead of the cell's, and then in its memory format; only a U-Net has another
    /// than f32.
    pub(crate) fn in_precision(self, precision: Precision) -> Trained {
        if precision == self.precision {
            return self;
        }
        Trained {
            precision,
            memory_format: precision.memory_format(),
            ..self
        }
    }

    /// The network.
    pub(crate) fn network(&self) -> &dyn Network {
        match &self.network {
            Kept::UNet(network) => network,
            Kept::Mlp(network) => network,
            Kept::Transformer(network) => network,
        }
    }

    /// The network, if it is a U-Net.
    pub(crate) fn unet(&self) -> Option<&UNet> {
        match &self.network {
            Kept::UNet(network) => Some(network),
            Kept::Mlp(_) | Kept::Transformer(_) => None,
        }
    }

    /// Whether it takes an image as one row of numbers, as an MLP does.
    pub(crate) fn takes_rows(&self) -> bool {
        matches!(self.network, Kept::Mlp(_))
    }

    /// The network in words.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    /// Every variable by its name, fixed ones too.
    pub(crate) fn variables(&self) -> &[(String, Tensor)] {
        &self.variables
    }

    /// Samples that are evaluated at a time: as many as the caches of one core hold.
    pub fn chunk(&self) -> usize {
        64
    }

    /// The denoiser E[x₀ given x] at a level; x itself where there is no noise.
    ///
    /// # Shapes
    /// `x`: \[n, …\] of the cell's [`shape`](CellConfig::shape); so is the result.
    pub fn denoise(&self, x: ArrayViewD<'_, f64>, at: Kernel) -> ArrayD<f64> {
        if at.sigma() == 0.0 {
            return x.to_owned();
        }
        let _guard = tch::no_grad_guard();
        let n = x.shape()[0];
        let single = tensors::single(x, self.device);
        let target = self.config.objective.target();
        let row = target.row(self.config.noise.data_std);
        let levels = vec![at; n];
        let eval = |network: &dyn Network, x: &Tensor| {
            let net = |x: &Tensor, label: &Tensor| network.forward(x, label, &mut Mode::Eval);
            score_objective::torch::denoise(&net, &*row, x, &levels)
        };
        let denoised = match &self.network {
            Kept::UNet(network) => {
                let network = network.in_memory(self.memory_format.into());
                match self.precision {
                    Precision::F32 => eval(&network, &single),
                    Precision::Bf16 => eval(&Bfloat16(network), &single),
                }
            }
            Kept::Transformer(network) => eval(network, &single),
            // An MLP takes an image as one row of numbers.
            Kept::Mlp(network) => eval(network, &single.view([n as i64, -1])).view_as(&single),
        };
        tensors::array(&denoised)
    }

    /// Writes the network as a folder that diffusers' `UNet2DModel.from_pretrained` opens; its `timestep` is the
    /// label of the study, ln(sigma)/4, and its `sample` is x/√(data_std² + sigma²). Returns its parameters.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] where diffusers has no such network, or `out` cannot be written.
    pub fn export(&self, out: &Path) -> Result<usize, Error> {
        let refused = |reason: String| Error::Unusable {
            path: self.folder.clone(),
            reason,
        };
        let target = self.config.objective.target();
        if target != Target::Eps {
            return Err(refused(format!(
                "its network predicts {}, which the folder cannot say; export one that predicts the noise",
                target.words()
            )));
        }
        match &self.network {
            Kept::UNet(network) => {
                let written = network.to_diffusers(out);
                written.map_err(|error| refused(error.to_string()))?;
                Ok(network.topology().parameters())
            }
            Kept::Mlp(_) => Err(refused(
                "the cell's network is an MLP, and diffusers' UNet2DModel is not; export a U-Net"
                    .to_owned(),
            )),
            Kept::Transformer(_) => Err(refused(
                "the cell's network is a transformer, and diffusers' UNet2DModel is not; export a U-Net"
                    .to_owned(),
            )),
        }
    }
}

fn end(record: &Record) -> String {
    match record.outcome {
        Outcome::Diverged {
            stage: Stage::Training,
            step,
        } => format!(": its training diverged at step {step}"),
        _ => String::new(),
    }
}
