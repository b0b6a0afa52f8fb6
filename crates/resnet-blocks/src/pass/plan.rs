//! The layers of a residual multilayer perceptron, and where their parameters are.

use crate::{Activation, Dropout, Norm, ResidualMlpConfig, ShortSkip, registers::Registers};

use super::{
    elementwise::{Curve, sum_rows},
    product::{Left, Products, Read, Workspace},
    transpose::transpose,
};

/// The layers, and where their parameters are.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) read_in: Affine,
    pub(super) blocks: Vec<[Affine; 2]>,
    pub(super) read_out: Affine,
    pub(super) curve: Curve,
    /// Factor of the stream where it meets the branch.
    pub(super) carry: f32,
    /// Factor of the branch.
    pub(super) share: f32,
    /// What the loops run on.
    pub(super) registers: Registers,
}

impl Plan {
    pub(super) fn of(config: &ResidualMlpConfig) -> Option<Plan> {
        let (registers, products) = (Registers::widest(), Products::fastest());
        let block = &config.block;
        let plain = block.norm == Norm::None && block.dropout == Dropout::None;
        if config.check().is_err() || !plain {
            return None;
        }
        let curve = match block.activation {
            Activation::Silu => Curve::Silu { factor: 1.0 },
            Activation::MagnitudeSilu => Curve::Silu {
                factor: (1.0 / 0.596) as f32,
            },
            Activation::Relu => Curve::Rectified { slope: 0.0 },
            Activation::LeakyRelu => Curve::Rectified { slope: 0.2 },
            Activation::Elu | Activation::Tanh | Activation::Gelu | Activation::Mish => {
                return None;
            }
        };
        let (carry, share) = match config.short {
            ShortSkip::None => (0.0, 1.0),
            ShortSkip::Identity => (1.0, 1.0),
            ShortSkip::Scaled(share) => (1.0, share),
            ShortSkip::Averaged(scale) => (scale, scale),
            ShortSkip::MagnitudePreserving(t) => {
                let length = (1.0 - t).hypot(t);
                ((1.0 - t) / length, t / length)
            }
            ShortSkip::StochasticDepth { .. }
            | ShortSkip::ReZero
            | ShortSkip::LayerScale(_)
            | ShortSkip::Highway { .. }
            | ShortSkip::Fixup { .. }
            | ShortSkip::DeepNorm { .. } => return None,
        };
        let mut at = 0;
        let mut affine = |inputs, outputs| {
            let affine = Affine {
                inputs,
                outputs,
                at,
                registers,
                products,
            };
            at = affine.end();
            affine
        };
        Some(Plan {
            read_in: affine(config.inputs + 1, block.width),
            blocks: (0..config.blocks)
                .map(|_| {
                    [
                        affine(block.width, block.hidden),
                        affine(block.hidden, block.width),
                    ]
                })
                .collect(),
            read_out: affine(block.width, config.inputs),
            curve,
            carry: carry as f32,
            share: share as f32,
            registers,
        })
    }

    pub(super) fn affines(&self) -> impl Iterator<Item = &Affine> {
        [&self.read_in]
            .into_iter()
            .chain(self.blocks.iter().flatten())
            .chain([&self.read_out])
    }
}

/// W x + b, with W and b one behind the other among the parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Where W begins.
    at: usize,
    registers: Registers,
    products: Products,
}

impl Affine {
    pub(super) fn end(&self) -> usize {
        self.at + (self.inputs + 1) * self.outputs
    }

    fn weight<'a>(&self, parameters: &'a [f32]) -> &'a [f32] {
        &parameters[self.at..][..self.inputs * self.outputs]
    }

    /// Writes W' to the place of W.
    pub(super) fn transpose(&self, parameters: &[f32], transposed: &mut [f32]) {
        let weight = self.weight(parameters);
        let transposed = &mut transposed[self.at..][..weight.len()];
        transpose(self.registers, weight, self.inputs, transposed);
    }

    /// y = x W' + b, row by row.
    pub(super) fn forward(
        &self,
        workspace: &mut Workspace,
        parameters: &[f32],
        transposed: &[f32],
        x: &[f32],
        y: &mut [f32],
    ) {
        let bias = &parameters[self.at + self.inputs * self.outputs..self.end()];
        let x = Left {
            numbers: x,
            stored: self.inputs,
            read: Read::AsStored,
        };
        let weight = self.weight(transposed);
        let columns = self.outputs;
        self.products
            .product(workspace, y, x, weight, columns, Some(bias));
    }

    /// The gradients by W and b, times a factor.
    pub(super) fn gradient(
        &self,
        workspace: &mut Workspace,
        gradient: &mut [f32],
        factor: f32,
        by_y: &[f32],
        x: &[f32],
    ) {
        let (weight, bias) = gradient[self.at..self.end()].split_at_mut(self.inputs * self.outputs);
        let left = Left {
            numbers: by_y,
            stored: self.outputs,
            read: Read::Transposed,
        };
        self.products
            .product(workspace, weight, left, x, self.inputs, None);
        if factor != 1.0 {
            weight.iter_mut().for_each(|number| *number *= factor);
        }
        sum_rows(self.registers, bias, factor, by_y);
    }

    /// The gradient by x.
    pub(super) fn backward(
        &self,
        workspace: &mut Workspace,
        parameters: &[f32],
        by_y: &[f32],
        by_x: &mut [f32],
    ) {
        let left = Left {
            numbers: by_y,
            stored: self.outputs,
            read: Read::AsStored,
        };
        let weight = self.weight(parameters);
        self.products
            .product(workspace, by_x, left, weight, self.inputs, None);
    }
}
