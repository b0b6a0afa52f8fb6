//! The label, as every block sees it.

use resnet_blocks::{Init, Linear, Mode, Params};
use tch::Tensor;

use crate::Error;

/// e = SiLU(W [cos(w_i label), sin(w_i label)] + b), w_i geometric from 1 to 32.
///
/// The frequencies suit a label of order 1, such as ln(sigma)/4: they resolve differences from
/// about 1/32 to 1. Source: Vaswani et al. 2017, "Attention Is All You Need" (sinusoids).
///
/// # Shapes
/// label: `[B]`; result: `[B, width]`.
#[derive(Debug)]
pub(crate) struct Embedding {
    frequencies: Vec<f64>,
    linear: Linear,
}

impl Embedding {
    pub(crate) fn new(
        params: &Params<'_>,
        frequencies: usize,
        width: usize,
        init: Init,
    ) -> Result<Embedding, Error> {
        let last = frequencies.saturating_sub(1).max(1) as f64;
        Ok(Embedding {
            frequencies: (0..frequencies)
                .map(|i| 32f64.powf(i as f64 / last))
                .collect(),
            linear: Linear::new(params, 2 * frequencies, width, init)?,
        })
    }

    /// The kind of `label` decides that of the result.
    pub(crate) fn forward(&self, label: &Tensor) -> Tensor {
        let frequencies = Tensor::from_slice(&self.frequencies)
            .to_kind(label.kind())
            .to_device(label.device());
        let angles = label.view([-1, 1]) * frequencies;
        let features = Tensor::cat(&[angles.cos(), angles.sin()], 1);
        // The label is not on the way from x to the output, so `Calibrate` leaves this layer alone.
        self.linear.forward(&features, &mut Mode::Eval).silu()
    }
}
