//! How large the features of a transformer are.

use std::cell::RefCell;

use resnet_blocks::Mode;
use tch::{Kind, Tensor};

use super::{
    Work,
    map::BEGIN,
    model::{Model, row},
    train::Example,
};
use crate::stream::Role;

impl Work<'_> {
    /// Enters the norm of a transformer's tokens behind its last block, on a batch as training draws it.
    pub(super) fn features(&mut self, model: &Model) {
        let Some(transformer) = &model.learned.transformer else {
            return;
        };
        let _guard = tch::no_grad_guard();
        let (config, batch) = (self.config, self.config.training.batch);
        // Below what the map and its parts draw.
        let at = BEGIN - 2;
        let example = Example::draw(config, self.dataset, &self.common, Role::Probe, at, batch);
        let x = model.learned.tensor(example.noised(config).view());
        let square = RefCell::new(f64::NAN);
        let net = |x: &Tensor, label: &Tensor| {
            let stream = transformer.stream(x, label, &mut Mode::Eval);
            let all = stream.square().sum(Kind::Double).double_value(&[]);
            square.replace(all / batch as f64);
            x.zeros_like()
        };
        let _ = score_objective::torch::denoise(&net, &*row(config), &x, &example.levels);
        let norm = 0.5 * square.take().log10();
        self.at.record.set("log_feature_norm", norm);
    }
}
