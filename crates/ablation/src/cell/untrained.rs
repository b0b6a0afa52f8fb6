//! Gradients of untrained networks of other depths.

use learnability::gradient::{Snapshot, unit_gradients};
use tch::{Kind, Tensor};

use super::{
    Work,
    model::{Learned, Model},
    train::{Example, first_to_last, loss, rate},
};
use crate::{architecture::Architecture, config::Network, error::Error, stream::Role};

impl Work<'_> {
    /// Gradients and silence of untrained networks of other depths, all else equal.
    pub(super) fn untrained(&mut self, model: &Model, device: tch::Device) -> Result<(), Error> {
        let (config, dataset, own) = (self.config, self.dataset, &self.own);
        let (mut ratios, mut silence) = (Vec::new(), Vec::new());
        for &depth in &config.probes.depths {
            let mut deeper = config.clone();
            let Network::Mlp { blocks, .. } = &mut deeper.network else {
                return Ok(());
            };
            *blocks = depth;
            let architecture = Architecture::of(&deeper.network, &deeper.shape(), "probes.depths")?;
            let learned = Learned::build(&architecture, &deeper, dataset, own, device)?;
            let example = Example::draw(config, dataset, own, Role::Data, 0, config.training.batch);
            let net = learned.in_training(self.own.at(Role::Dropout, 0));
            let loss = loss(&net, model, config, &example).mean(Kind::Float);
            let gradients = unit_gradients(&loss, &learned.units);
            let (first, last) = learned.ends();
            let layers = (2 * depth) as f64;
            if let Some(ratio) = first_to_last(&gradients, first, last) {
                ratios.push((layers, String::new(), ratio));
            }
            let parameters = learned.parameters();
            let mut adam = learned.optimizer();
            let before = Snapshot::of(&learned.units);
            adam.step(
                &Tensor::run_backward(&[&loss], &parameters, false, false),
                rate(&config.training, 0),
            );
            silence.push((layers, String::new(), learned.silent_share(&before)));
        }
        self.at.record.curve(
            "gradient_ratio_by_depth",
            [
                "square layers, untrained",
                "gradient first/last layer, log10",
            ],
            true,
            ratios,
        );
        self.at.record.curve(
            "silent_by_depth",
            ["square layers, untrained", "share of silent layers"],
            true,
            silence,
        );
        Ok(())
    }
}
