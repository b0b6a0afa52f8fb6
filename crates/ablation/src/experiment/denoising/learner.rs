//! The network of a denoising experiment, between arrays and tensors.

use ndarray::{Array2, ArrayView2, Axis};
use noise_schedule::Kernel;
use rand::RngCore;
use resnet_blocks::{Mode, Network, Params, ResidualMlp};
use score_objective::{DenoisingBatch, Preconditioner, Weighting, torch};
use tch::{Kind, Tensor, nn::VarStore};
use unet::{Transformer, UNet};

use super::{Denoising, Levels};
use crate::{
    architecture::Architecture,
    cell::{Written, optimizer::Adam},
    error::Error,
    stream::{Role, Stream},
};

/// Examples that are evaluated at a time.
const CHUNK: usize = 256;

/// A network that is trained.
pub(super) struct Learner {
    network: Box<dyn Network>,
    parameters: Vec<Tensor>,
    adam: Adam,
    /// The network's passes, where they are written out and its loss can do with them.
    written: Option<Written>,
    row: Box<dyn Preconditioner>,
    weight: Box<dyn Weighting>,
    /// Whether it learns the score of the clean data, which has no level.
    clean: bool,
    /// The shape of an example.
    shape: Vec<i64>,
}

/// A batch: clean points, standard normal numbers, levels.
pub(super) struct Batch {
    pub(super) x0: Array2<f64>,
    pub(super) noise: Array2<f64>,
    pub(super) levels: Vec<Kernel>,
}

impl Learner {
    /// Draws the initial weights from the seed's stream.
    pub(super) fn build(experiment: &Denoising, stream: &Stream) -> Result<Learner, Error> {
        let shape = experiment.bed.shape();
        let architecture = Architecture::of(&experiment.network, &shape, "cell")?;
        let store = VarStore::new(tch::Device::Cpu);
        let params = Params::seeded(store.root(), stream.at(Role::Init, 0).next_u64());
        let impossible = |rule: String| Error::Impossible {
            place: "cell".to_owned(),
            name: "network".to_owned(),
            value: serde_json::to_string(&experiment.network).expect("plain data"),
            rule,
        };
        let (network, shape): (Box<dyn Network>, Vec<usize>) = match &architecture {
            Architecture::Exact => unreachable!("it was checked"),
            Architecture::Mlp(mlp) => {
                let mlp = ResidualMlp::new(&params, mlp).map_err(|e| impossible(e.to_string()))?;
                (Box::new(mlp), vec![shape.iter().product()])
            }
            Architecture::UNet(unet) => {
                let unet = UNet::new(&params, unet).map_err(|e| impossible(e.to_string()))?;
                (Box::new(unet), shape)
            }
            Architecture::Transformer(config) => {
                let transformer = Transformer::new(&params, config);
                let transformer = transformer.map_err(|e| impossible(e.to_string()))?;
                (Box::new(transformer), shape)
            }
        };
        let mut parameters: Vec<Tensor> = params
            .units()
            .into_iter()
            .flat_map(|unit| unit.parameters)
            .collect();
        let std = experiment.data_std;
        let clean = matches!(experiment.levels, Levels::Clean {});
        Ok(Learner {
            network,
            // The sliced objective asks for the network's derivative.
            written: (!clean)
                .then(|| Written::of(&architecture, tch::Device::Cpu, experiment.training.batch))
                .flatten(),
            adam: Adam::new(&mut parameters),
            parameters,
            row: experiment.target.row(std),
            weight: experiment.weighting.rule(std),
            clean,
            shape: shape.iter().map(|&n| n as i64).collect(),
        })
    }

    pub(super) fn parameters(&self) -> usize {
        self.parameters.iter().map(Tensor::numel).sum()
    }

    /// Layer-sequential unit variance on a batch as training sees it.
    pub(super) fn calibrate(&self, batch: &Batch) {
        let _guard = tch::no_grad_guard();
        let mut x = batch.x0.clone();
        if !self.clean {
            let rows = x.outer_iter_mut().zip(batch.noise.outer_iter());
            for ((mut row, noise), level) in rows.zip(&batch.levels) {
                row.scaled_add(level.sigma(), &noise);
            }
        }
        let net = |x: &Tensor, label: &Tensor| self.network.forward(x, label, &mut Mode::Calibrate);
        let _ = torch::denoise(&net, &*self.row, &self.tensor(x.view()), &batch.levels);
    }

    /// One step; the loss before it.
    pub(super) fn step(&mut self, batch: &Batch, rate: f64) -> f64 {
        if let Some(written) = &self.written {
            let (x0, noise) = (batch.x0.view(), batch.noise.view());
            let batch = DenoisingBatch::new(&*self.row, &*self.weight, x0, noise, &batch.levels);
            return written.denoising(&mut self.adam, &batch, rate);
        }
        let (x0, noise) = (
            self.tensor(batch.x0.view()),
            self.tensor(batch.noise.view()),
        );
        let net = |x: &Tensor, label: &Tensor| self.network.forward(x, label, &mut Mode::Eval);
        let losses = if self.clean {
            let score = |x: &Tensor| torch::score(&net, &*self.row, x, &batch.levels);
            torch::sliced_score_matching(&score, &x0, &noise.sign())
        } else {
            let levels = &batch.levels;
            torch::denoising_loss(&net, &*self.row, &*self.weight, &x0, &noise, levels)
        };
        let loss = losses.mean(Kind::Float);
        let value = loss.double_value(&[]);
        if value.is_finite() {
            let gradients = Tensor::run_backward(&[&loss], &self.parameters, false, false);
            self.adam.step(&gradients, rate);
        }
        value
    }

    /// The score at the rows of `x`, at this level.
    pub(super) fn score(&self, x: ArrayView2<'_, f64>, sigma: f64) -> Array2<f64> {
        let _guard = tch::no_grad_guard();
        let net = |x: &Tensor, label: &Tensor| self.network.forward(x, label, &mut Mode::Eval);
        let level = self.level(sigma);
        let mut scores = Array2::zeros(x.raw_dim());
        let parts = scores.axis_chunks_iter_mut(Axis(0), CHUNK);
        for (mut part, x) in parts.zip(x.axis_chunks_iter(Axis(0), CHUNK)) {
            let levels = vec![level; x.nrows()];
            let score = torch::score(&net, &*self.row, &self.tensor(x), &levels);
            let flat = score.to_kind(Kind::Double).contiguous().view([-1]);
            let values = Vec::<f64>::try_from(&flat).expect("a flat double tensor");
            part.assign(&ArrayView2::from_shape(x.raw_dim(), &values).expect("the shape of x"));
        }
        scores
    }

    /// The level that the network is told: 1 where it has none.
    pub(super) fn level(&self, sigma: f64) -> Kernel {
        let told = if self.clean { 1.0 } else { sigma };
        Kernel::variance_exploding(told).expect("it was checked")
    }

    fn tensor(&self, x: ArrayView2<'_, f64>) -> Tensor {
        let values: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let mut size = vec![x.nrows() as i64];
        size.extend(&self.shape);
        Tensor::from_slice(&values).view(&size[..])
    }
}
