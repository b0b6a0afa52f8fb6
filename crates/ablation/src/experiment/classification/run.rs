//! Training, and what is measured before and after it.

use std::ops::Range;

use learnability::gradient::{first_to_last, unit_gradients};
use rand::RngCore;
use resnet_blocks::Params;
use tch::{Device, Kind, Tensor, nn::VarStore};

use super::{
    Classification,
    batches::{Batch, Order, Pictures},
    network::{Classifier, Statistics},
    sgd::Sgd,
};
use crate::{
    cell::device,
    config::Data,
    error::Error,
    experiment::Found,
    stream::{Role, Stream},
};

/// Images that the network is asked for at a time, to be measured.
const CHUNK: usize = 500;
/// How often the loss is looked at.
const LOOKS: u64 = 100;

/// Trains and measures.
pub(super) fn run(
    experiment: &Classification,
    stream: &Stream,
    found: &mut Found<'_>,
) -> Result<(), Error> {
    let Data::Images { held_out, .. } = experiment.data else {
        unreachable!("it was checked");
    };
    let pictures = Pictures::new(found.images(), held_out);
    let mut learner = Learner::new(experiment, stream)?;
    let mut order = Order::new();
    let train = pictures.train();
    let mut batch = |step: u64| {
        let cuts = order.step(experiment, step, train.len(), stream);
        pictures.batch(cuts, experiment.padding)
    };
    // What has vanished entirely is further down than single precision reaches.
    let ratio = learner.gradient_ratio(&batch(0)).unwrap_or(-45.0);
    found.set("gradient_ratio", ratio);
    let every = experiment.steps.div_ceil(LOOKS);
    let (mut losses, mut sum, mut seen) = (Vec::new(), learner.zero(), 0);
    for step in 0..experiment.steps {
        if !found.goes_on() {
            return Ok(());
        }
        sum += learner.step(&batch(step), experiment.rate_at(step));
        seen += 1;
        found.trained(1);
        // To look is to wait for a card.
        if seen == every || step + 1 == experiment.steps {
            let mean = sum.double_value(&[0]) / seen as f64;
            losses.push(((step + 1) as f64, mean));
            if !mean.is_finite() {
                break;
            }
            (sum, seen) = (learner.zero(), 0);
        }
    }
    let titles = ["training step", "cross-entropy since the point before"];
    found.curve("training_loss", titles, true, &losses);
    let guessing = 1.0 - 1.0 / experiment.classes as f64;
    let finite = losses.last().is_some_and(|(_, loss)| loss.is_finite());
    let mut error = |numbers: Range<usize>| {
        let missed = finite.then(|| learner.missed(&pictures, numbers)).flatten();
        missed.unwrap_or_else(|| {
            found.diverged();
            guessing
        })
    };
    let count = held_out as f64;
    let own = error(pictures.held_out()).min(guessing);
    let measured = train.len().min(experiment.measured);
    let training = error(0..measured).min(guessing);
    found.set("held_out_error", own);
    found.set("log_held_out_error", own.max(0.5 / count).log10());
    found.set("training_error", training);
    Ok(())
}

/// A network in training.
struct Learner {
    network: Classifier,
    parameters: Vec<Tensor>,
    /// The kernels of all convolutions, in forward order.
    kernels: Vec<(String, Vec<Tensor>)>,
    sgd: Sgd,
    device: Device,
    shape: [i64; 3],
}

impl Learner {
    fn new(experiment: &Classification, stream: &Stream) -> Result<Learner, Error> {
        let device = device(experiment.numerics.device)?;
        let store = VarStore::new(device);
        let params = Params::seeded(store.root(), stream.at(Role::Init, 0).next_u64());
        let network = Classifier::new(experiment, &params).expect("it was checked");
        let units = params.units();
        let mut parameters: Vec<Tensor> = units
            .iter()
            .flat_map(|unit| unit.parameters.iter().map(Tensor::shallow_clone))
            .collect();
        let sgd = Sgd::new(&mut parameters, experiment.momentum, experiment.decay);
        let kernels = units.into_iter();
        let kernels = kernels.filter(|unit| unit.parameters[0].dim() == 4);
        Ok(Learner {
            network,
            parameters,
            kernels: kernels.map(|unit| (unit.name, unit.parameters)).collect(),
            sgd,
            device,
            shape: experiment.shape().map(|n| n as i64),
        })
    }

    fn zero(&self) -> Tensor {
        Tensor::zeros([1], (Kind::Float, self.device))
    }

    fn tensors(&self, batch: &Batch) -> (Tensor, Tensor) {
        let [channels, height, width] = self.shape;
        let labels = Tensor::from_slice(&batch.labels).to_device(self.device);
        let x = Tensor::from_slice(&batch.x).to_device(self.device);
        (x.view([-1, channels, height, width]), labels)
    }

    fn loss(&self, batch: &Batch) -> Tensor {
        let (x, labels) = self.tensors(batch);
        self.network
            .forward(&x, Statistics::Batch)
            .cross_entropy_for_logits(&labels)
    }

    /// log10 of |g| of the first over the last convolution.
    fn gradient_ratio(&self, batch: &Batch) -> Option<f64> {
        let gradients = unit_gradients(&self.loss(batch), &self.kernels);
        first_to_last(&gradients, 0, self.kernels.len() - 1)
    }

    /// One step; the loss before it, on the device.
    fn step(&mut self, batch: &Batch, rate: f64) -> Tensor {
        let loss = self.loss(batch);
        let gradients = Tensor::run_backward(&[&loss], &self.parameters, false, false);
        self.sgd.step(&gradients, rate);
        loss.detach()
    }

    /// The share of these images whose class it misses; `None` if an answer is not finite.
    fn missed(&self, pictures: &Pictures<'_>, numbers: Range<usize>) -> Option<f64> {
        let _guard = tch::no_grad_guard();
        let count = numbers.len();
        let mut missed = 0.0;
        for first in numbers.clone().step_by(CHUNK) {
            let batch = pictures.as_they_are(first..numbers.end.min(first + CHUNK));
            let (x, labels) = self.tensors(&batch);
            let answers = self.network.forward(&x, Statistics::Noted);
            if !answers.sum(Kind::Double).double_value(&[]).is_finite() {
                return None;
            }
            let wrong = answers.argmax(1, false).ne_tensor(&labels);
            missed += wrong.sum(Kind::Double).double_value(&[]);
        }
        Some(missed / count as f64)
    }
}
