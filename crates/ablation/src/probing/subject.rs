//! The network that is probed, and what it is asked at each noise level.

use ndarray::ArrayD;
use noise_schedule::Kernel;
use resnet_blocks::Mode;
use samplers::{Input, Prediction};
use tch::{Device, Tensor, nn::VarStore};
use unet::{Conditions, UNet};

use super::{Request, data::impossible};
use crate::{
    config::{CellConfig, Target},
    error::Error,
    map::Units,
    report,
    sample::{
        self,
        model::{Place, SMALL},
    },
    tensors,
    trained::Trained,
};

/// A network with its units and its questions.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) network: Net,
    /// Rows of the map with their parameters, in forward order.
    pub(super) units: Vec<(String, Vec<Tensor>)>,
    /// Rising noise.
    pub(super) asks: Vec<Ask>,
    pub(super) words: String,
    class: Option<Tensor>,
    device: Device,
}

#[derive(Debug)]
pub(super) enum Net {
    UNet(UNet),
    Trained(Box<Trained>),
}

/// A noise level as the network knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) at: Kernel,
    pub(super) timestep: f64,
    /// What the state is multiplied by.
    scale: f64,
    prediction: Prediction,
}

/// What is shown and what is to be answered.
pub(super) struct Question {
    shown: Tensor,
    wanted: Tensor,
}

impl Subject {
    pub(super) fn open(request: &Request, place: &Place, device: Device) -> Result<Subject, Error> {
        let all = match place {
            Place::Cell { config, .. } => of_cell(request, config)?,
            Place::Folder { .. } => of_scheduler(request, place)?,
        };
        let asks = chosen(all, request.levels);
        let given: Vec<f64> = request.class.into_iter().collect();
        let class = place.classes(&given, 1, device)?;
        let (network, variables, words) = match place {
            Place::Cell { folder, config } => {
                tch::set_num_threads(config.numerics.threads as i32);
                let trained = Trained::open(folder, device)?;
                let variables = learning(trained.variables());
                let words = format!("a cell of a study, {}", trained.words());
                let network = match trained.unet() {
                    Some(unet) => Net::UNet(unet.clone()),
                    None => Net::Trained(Box::new(trained)),
                };
                (network, variables, words)
            }
            Place::Folder { network, .. } => {
                let store = VarStore::new(device);
                let unet = UNet::from_diffusers(&store.root(), network);
                let unet = unet.map_err(|error| Error::Unusable {
                    path: network.clone(),
                    reason: error.to_string(),
                })?;
                // Threads that wait for each other after each small operation cost more than they bring.
                if unet.topology().forward_flops(request.examples) < SMALL {
                    tch::set_num_threads(1);
                }
                let parameters = unet.topology().parameters() as u64;
                let words = format!("U-Net of {} parameters", report::thousands(parameters));
                let variables = learning(unet.tensors());
                (Net::UNet(unet), variables, words)
            }
        };
        Ok(Subject {
            units: rows(variables, request.units),
            network,
            asks,
            words,
            class,
            device,
        })
    }

    /// x = α x₀ + σ ε as the network sees it, and the answer that x₀ stands for.
    pub(super) fn question(&self, ask: &Ask, x0: &ArrayD<f64>, noise: &ArrayD<f64>) -> Question {
        let x = x0 * ask.at.alpha() + noise * ask.at.sigma();
        let wanted = ask.prediction.answer(x0, &x, ask.at);
        let flat = |x: ArrayD<f64>| {
            let tensor = tensors::single(x.view(), self.device);
            match &self.network {
                Net::Trained(trained) if trained.takes_rows() => tensor.flatten(1, -1),
                Net::UNet(_) | Net::Trained(_) => tensor,
            }
        };
        Question {
            shown: flat(x * ask.scale),
            wanted: flat(wanted),
        }
    }

    /// The loss of each example, the mean over its numbers.
    pub(super) fn losses(&self, ask: &Ask, question: &Question) -> Tensor {
        match &self.network {
            Net::UNet(network) => self.losses_of(network, ask, question),
            Net::Trained(trained) => {
                let label = self.label(ask, question.shown.size()[0]);
                let answer = trained
                    .network()
                    .forward(&question.shown, &label, &mut Mode::Eval);
                missed(&answer, question)
            }
        }
    }

    /// The same of a network with an edited skip.
    pub(super) fn losses_of(&self, network: &UNet, ask: &Ask, question: &Question) -> Tensor {
        let n = question.shown.size()[0];
        let classes = self.class.as_ref().map(|class| class.expand([n], false));
        let conditions = Conditions {
            classes: classes.as_ref(),
            estimate: None,
        };
        let (label, mode) = (self.label(ask, n), &mut Mode::Eval);
        let answer = network.forward_with(&question.shown, &label, conditions, mode);
        missed(&answer, question)
    }

    fn label(&self, ask: &Ask, n: i64) -> Tensor {
        Tensor::from_slice(&vec![ask.timestep as f32; n as usize]).to_device(self.device)
    }
}

fn missed(answer: &Tensor, question: &Question) -> Tensor {
    let error = (answer - &question.wanted).square().flatten(1, -1);
    error.mean_dim(1, false, tch::Kind::Float)
}

/// The levels that a scheduler asks the network about, each once.
fn of_scheduler(request: &Request, place: &Place) -> Result<Vec<Ask>, Error> {
    let (prepared, _) = place.prepared(&super::data::sampling(request))?;
    let data_std = match prepared.input {
        Input::State => None,
        Input::UnitVariance { sigma_data } => Some(sigma_data),
        other => {
            let rule = "what it shows the network is not known here: choose another one";
            return Err(impossible("--scheduler", format!("{other:?}"), rule));
        }
    };
    let scale =
        |at: Kernel| data_std.map_or(1.0, |std: f64| (at.alpha() * std).hypot(at.sigma()).recip());
    let asks = prepared.calls.iter().map(|call| Ask {
        at: call.at,
        timestep: call.timestep,
        scale: scale(call.at),
        prediction: prepared.prediction,
    });
    // There is nothing to learn about pure noise, and nothing to remove where there is none.
    Ok(asks
        .filter(|ask| 0.0 < ask.at.sigma() && 0.0 < ask.at.alpha())
        .collect())
}

/// The levels of a cell, evenly over their logarithms.
fn of_cell(request: &Request, config: &CellConfig) -> Result<Vec<Ask>, Error> {
    sample::model::learned_with_noise(config, &super::data::sampling(request))?;
    let noise = &config.noise;
    let (low, high) = (noise.sigma_min.ln(), noise.sigma_max.ln());
    let steps = request.levels.max(2) - 1;
    let prediction = match config.objective.target() {
        Target::X0 => Prediction::Sample,
        Target::Eps => Prediction::Epsilon,
        Target::V => Prediction::Velocity,
        Target::Edm => Prediction::Edm {
            sigma_data: noise.data_std,
            sign: 1.0,
        },
    };
    let ask = |step: usize| {
        let sigma = (low + (high - low) * step as f64 / steps as f64).exp();
        Ask {
            at: Kernel::variance_exploding(sigma).expect("checked by the plan"),
            timestep: 0.25 * sigma.ln(),
            scale: noise.data_std.hypot(sigma).recip(),
            prediction,
        }
    };
    Ok((0..=steps).map(ask).collect())
}

/// So many of the levels, evenly over their order, the first and the last among them.
fn chosen(mut asks: Vec<Ask>, levels: usize) -> Vec<Ask> {
    let level = |ask: &Ask| ask.at.noise_to_signal();
    asks.sort_by(|a, b| level(a).total_cmp(&level(b)));
    asks.dedup_by(|a, b| level(a) == level(b));
    let last = asks.len().saturating_sub(1);
    let steps = levels.min(asks.len()).max(2) - 1;
    let mut places: Vec<usize> = (0..=steps).map(|step| step * last / steps).collect();
    places.dedup();
    places
        .into_iter()
        .filter_map(|at| asks.get(at).copied())
        .collect()
}

/// The variables that learn.
fn learning(variables: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let all = variables
        .iter()
        .filter(|(_, tensor)| tensor.requires_grad());
    all.map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
        .collect()
}

/// Variables gathered into rows: `block.conv.weight` belongs to the layer `block.conv`.
fn rows(variables: Vec<(String, Tensor)>, units: Units) -> Vec<(String, Vec<Tensor>)> {
    let mut rows: Vec<(String, Vec<Tensor>)> = Vec::new();
    for (name, variable) in variables {
        let layer = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(layer, _)| layer);
        let row = units.row(layer);
        match rows.iter_mut().find(|(name, _)| name == row) {
            Some((_, all)) => all.push(variable),
            None => rows.push((row.to_owned(), vec![variable])),
        }
    }
    rows
}
