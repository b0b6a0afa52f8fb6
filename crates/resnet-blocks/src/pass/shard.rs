//! Some examples on their way through the network and back.

use super::{
    elementwise::{activate, join, rejoin, through},
    plan::Plan,
    product::Workspace,
};

/// Some examples, what the network answers, and what is learned from them.
#[derive(Debug)]
pub(super) struct Shard {
    /// The input with the label as its last column.
    pub(super) x: Vec<f32>,
    pub(super) y: Vec<f32>,
    pub(super) by_y: Vec<f32>,
    /// By all parameters.
    pub(super) gradient: Vec<f32>,
}

impl Shard {
    pub(super) fn new(plan: &Plan, examples: usize) -> Shard {
        Shard {
            x: vec![0.0; examples * plan.read_in.inputs],
            y: vec![0.0; examples * plan.read_out.outputs],
            by_y: vec![0.0; examples * plan.read_out.outputs],
            gradient: vec![0.0; plan.read_out.end()],
        }
    }
}

/// What lies between the layers, of one shard after the other, so that it stays in the caches.
#[derive(Debug)]
pub(super) struct Activations {
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
    /// Where the products pack their factors.
    workspace: Workspace,
}

/// An activation's values, and its slopes, which cost next to nothing where the values are computed.
#[derive(Debug, Default)]
struct Activated {
    value: Vec<f32>,
    slope: Vec<f32>,
}

impl Activations {
    pub(super) fn new(plan: &Plan) -> Activations {
        Activations {
            stream: Vec::new(),
            last: Vec::new(),
            kept: plan.blocks.iter().map(|_| Default::default()).collect(),
            branch: Vec::new(),
            hidden: Vec::new(),
            workspace: Workspace::default(),
        }
    }

    /// Takes up as many examples as the shard has.
    fn fit(&mut self, plan: &Plan, shard: &Shard) {
        let examples = shard.y.len() / plan.read_out.outputs;
        let (width, hidden) = (plan.read_in.outputs, plan.blocks[0][0].outputs);
        for numbers in [&mut self.stream, &mut self.last, &mut self.branch] {
            numbers.resize(examples * width, 0.0);
        }
        self.hidden.resize(examples * hidden, 0.0);
        for [outer, inner] in &mut self.kept {
            for (activated, columns) in [(outer, width), (inner, hidden)] {
                activated.value.resize(examples * columns, 0.0);
                activated.slope.resize(examples * columns, 0.0);
            }
        }
    }

    pub(super) fn forward(
        &mut self,
        plan: &Plan,
        parameters: &[f32],
        transposed: &[f32],
        shard: &mut Shard,
    ) {
        self.fit(plan, shard);
        let Activations {
            stream,
            last,
            kept,
            branch,
            hidden,
            workspace,
        } = self;
        plan.read_in
            .forward(workspace, parameters, transposed, &shard.x, stream);
        for ([first, second], [outer, inner]) in plan.blocks.iter().zip(kept) {
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
            .forward(workspace, parameters, transposed, stream, &mut shard.y);
        // The stream's place is needed on the way back.
        std::mem::swap(stream, last);
    }

    /// Of the shard that went [`forward`](Self::forward) last.
    pub(super) fn backward(&mut self, plan: &Plan, parameters: &[f32], shard: &mut Shard) {
        let Activations {
            stream,
            last,
            kept,
            branch,
            hidden,
            workspace,
        } = self;
        let Shard {
            x, by_y, gradient, ..
        } = shard;
        plan.read_out.gradient(workspace, gradient, 1.0, by_y, last);
        plan.read_out.backward(workspace, parameters, by_y, stream);
        for ([first, second], [outer, inner]) in plan.blocks.iter().zip(kept).rev() {
            second.gradient(workspace, gradient, plan.share, stream, &inner.value);
            second.backward(workspace, parameters, stream, hidden);
            through(plan.registers, hidden, plan.share, &inner.slope);
            first.gradient(workspace, gradient, 1.0, hidden, &outer.value);
            first.backward(workspace, parameters, hidden, branch);
            rejoin(plan.registers, stream, plan.carry, branch, &outer.slope);
        }
        plan.read_in.gradient(workspace, gradient, 1.0, stream, x);
    }
}
