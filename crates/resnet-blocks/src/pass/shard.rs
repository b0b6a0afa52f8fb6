//! Some examples on their way through the network and back.

use super::{
    elementwise::{activate, join, rejoin, through},
    plan::Plan,
    product::Workspace,
};

/// Some examples on their way through the network.
#[derive(Debug)]
pub(super) struct Shard {
    /// The input with the label as its last column.
    pub(super) x: Vec<f32>,
    /// The stream; on the way back its gradient.
    stream: Vec<f32>,
    /// The stream that is read out.
    last: Vec<f32>,
    /// What each block's two activations gave.
    kept: Vec<[Activated; 2]>,
    /// A branch's end; on the way back the gradient of its beginning.
    branch: Vec<f32>,
    /// A branch's middle; on the way back its gradient.
    hidden: Vec<f32>,
    /// The output; on the way back its gradient.
    pub(super) y: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    /// Where the products pack their factors.
    workspace: Workspace,
}

/// An activation's values, and its slopes, which cost next to nothing where the values are computed.
#[derive(Debug)]
struct Activated {
    value: Vec<f32>,
    slope: Vec<f32>,
}

impl Shard {
    pub(super) fn new(plan: &Plan, examples: usize) -> Shard {
        let numbers = |columns: usize| vec![0.0; examples * columns];
        let (width, hidden) = (plan.read_in.outputs, plan.blocks[0][0].outputs);
        let activated = |columns| Activated {
            value: numbers(columns),
            slope: numbers(columns),
        };
        Shard {
            x: numbers(plan.read_in.inputs),
            stream: numbers(width),
            last: numbers(width),
            kept: plan
                .blocks
                .iter()
                .map(|_| [activated(width), activated(hidden)])
                .collect(),
            branch: numbers(width),
            hidden: numbers(hidden),
            y: numbers(plan.read_out.outputs),
            gradient: vec![0.0; plan.read_out.end()],
            workspace: Workspace::default(),
        }
    }

    pub(super) fn forward(&mut self, plan: &Plan, parameters: &[f32], transposed: &[f32]) {
        let Shard {
            stream,
            branch,
            hidden,
            workspace,
            ..
        } = self;
        plan.read_in
            .forward(workspace, parameters, transposed, &self.x, stream);
        for ([first, second], [outer, inner]) in plan.blocks.iter().zip(&mut self.kept) {
            activate(
                plan.registers,
                plan.curve,
                stream,
                &mut outer.value,
                &mut outer.slope,
            );
            first.forward(workspace, parameters, transposed, &outer.value, hidden);
            activate(
                plan.registers,
                plan.curve,
                hidden,
                &mut inner.value,
                &mut inner.slope,
            );
            second.forward(workspace, parameters, transposed, &inner.value, branch);
            join(plan.registers, stream, plan.carry, plan.share, branch);
        }
        plan.read_out
            .forward(workspace, parameters, transposed, stream, &mut self.y);
        // The stream's place is needed on the way back.
        std::mem::swap(stream, &mut self.last);
    }

    pub(super) fn backward(&mut self, plan: &Plan, parameters: &[f32]) {
        let Shard {
            stream,
            branch,
            hidden,
            gradient,
            workspace,
            ..
        } = self;
        plan.read_out
            .gradient(workspace, gradient, 1.0, &self.y, &self.last);
        plan.read_out
            .backward(workspace, parameters, &self.y, stream);
        for ([first, second], [outer, inner]) in plan.blocks.iter().zip(&self.kept).rev() {
            second.gradient(workspace, gradient, plan.share, stream, &inner.value);
            second.backward(workspace, parameters, stream, hidden);
            through(plan.registers, hidden, plan.share, &inner.slope);
            first.gradient(workspace, gradient, 1.0, hidden, &outer.value);
            first.backward(workspace, parameters, hidden, branch);
            rejoin(plan.registers, stream, plan.carry, branch, &outer.slope);
        }
        plan.read_in
            .gradient(workspace, gradient, 1.0, stream, &self.x);
    }
}
