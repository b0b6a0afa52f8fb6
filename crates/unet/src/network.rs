//! The network: the steps of a plan, with weights.

use std::rc::Rc;

use resnet_blocks::{Block, Conv2d, Mode, Network, Params, Resample, Skip};
use tch::Tensor;

use crate::{
    Error, MemoryFormat, SkipEdit, Topology, UNetConfig,
    catalogue::{ReadOut, block, skip},
    embedding::Embedding,
    topology::{
        BlockPlan, Features, FourierOf, InputPath, InputRange, Join, SelfConditioning, Step,
    },
};

/// A U-Net, built as its [`Topology`] plans it.
///
/// It runs on images of other sides than the planned one too, as long as every level has a pixel, though the
/// plan's operations then do not count them.
///
/// # Shapes
/// x: `[B, C, H, W]`; label: `[B]`, or one number for all; result: `[B, C', H, W]`.
///
/// Source: Ronneberger et al. 2015, "U-Net"; conditioning as in Ho et al. 2020, "Denoising
/// Diffusion Probabilistic Models".
#[derive(Clone)]
pub struct UNet {
    body: Rc<Body>,
    /// One for each long skip, in the plan's order.
    edits: Vec<SkipEdit>,
    /// That of its images; none where x decides.
    format: Option<MemoryFormat>,
}

struct Body {
    topology: Topology,
    embedding: Embedding,
    nodes: Vec<Node>,
    /// Name and value of every variable, in the order of creation.
    tensors: Vec<(String, Tensor)>,
    parts: Parts,
}

/// Who made the blocks and long skips.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// The catalogue, as the plan says.
    AsPlanned,
    /// The caller, who may do other things than the plan says.
    Own,
}

/// A [`Step`] with weights.
enum Node {
    Block(Box<dyn Block>),
    Keep,
    Forget(usize),
    Join {
        projection: Option<Conv2d>,
        rule: Box<dyn Skip>,
    },
    Double(Resample),
    AddInput {
        resample: Option<Resample>,
        block: Box<dyn Block>,
        scale: f64,
        then: InputPath,
    },
    GrowOutput(Resample),
    AddOutput(ReadOut),
}

/// What a network is told beside the image and its label.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// A class for each image, as the plan's [`Classes`](crate::Classes) says: `[B]`, or vectors `[B, length]`.
    pub classes: Option<&'a Tensor>,
    /// An earlier result of the network, `[B, C', H, W]`, for [`SelfConditioning::Estimate`]; without one it is 0.
    pub estimate: Option<&'a Tensor>,
}

impl Conditions<'_> {
    /// Nothing.
    pub const NONE: Conditions<'static> = Conditions {
        classes: None,
        estimate: None,
    };
}

impl std::fmt::Debug for UNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UNet")
            .field("parameters", &self.topology().parameters())
            .field("edits", &self.edits)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl UNet {
    /// Plans and draws a network of ours.
    ///
    /// # Errors
    /// As [`Topology::plan`]; [`Error::Block`] if a name is taken.
    pub fn new(params: &Params<'_>, config: &UNetConfig) -> Result<UNet, Error> {
        UNet::build(params, Topology::plan(config)?)
    }

    /// Draws the network of any plan.
    ///
    /// # Errors
    /// [`Error::Block`] if a name is taken, or a value is missing where values are given.
    pub fn build(params: &Params<'_>, topology: Topology) -> Result<UNet, Error> {
        UNet::made(params, topology, block, skip, Parts::AsPlanned)
    }

    /// As [`build`](Self::build), with blocks and long skips of one's own: each is asked for by its place, its
    /// plan and the kept feature's channels, and [`block`] and [`skip`] make those of the catalogue.
    ///
    /// ```
    /// use resnet_blocks::{Mode, Network, Params, Skip};
    /// use tch::{Device, Kind, Tensor, nn::VarStore};
    /// # use resnet_blocks::{Activation, Feature, Init, LongSkip, Norm, ShortSkip};
    /// use unet::{Topology, UNet, UNetConfig};
    /// # use unet::ResidualParts;
    ///
    /// /// Long skips carry the sign only.
    /// struct Sign;
    /// impl Skip for Sign {
    ///     fn join(&self, shortcut: &Tensor, stream: &Tensor, _mode: &mut Mode) -> Tensor {
    ///         shortcut.sign() + stream
    ///     }
    /// }
    /// # fn main() -> Result<(), unet::Error> {
    /// # let image = Feature { channels: 1, height: 8, width: 8 };
    /// # let parts = ResidualParts::plain(Activation::Silu, Norm::None, ShortSkip::Identity, Init::He);
    /// # let config = UNetConfig::study(image, 4, &[1, 2], 1, parts, LongSkip::Add(1.0));
    /// let store = VarStore::new(Device::Cpu);
    /// let net = UNet::assemble(
    ///     &Params::seeded(store.root(), 0),
    ///     Topology::plan(&config)?,
    ///     unet::block,
    ///     |_, _, _| Ok(Box::new(Sign)),
    /// )?;
    /// let on = (Kind::Float, Device::Cpu);
    /// let (x, label) = (Tensor::ones([2, 1, 8, 8], on), Tensor::zeros([2], on));
    /// assert_eq!(net.forward(&x, &label, &mut Mode::Eval).size(), x.size());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`build`](Self::build), and what the two functions return.
    pub fn assemble(
        params: &Params<'_>,
        topology: Topology,
        block: impl FnMut(&Params<'_>, &BlockPlan) -> Result<Box<dyn Block>, Error>,
        skip: impl FnMut(&Params<'_>, &Join, usize) -> Result<Box<dyn Skip>, Error>,
    ) -> Result<UNet, Error> {
        UNet::made(params, topology, block, skip, Parts::Own)
    }

    fn made(
        params: &Params<'_>,
        topology: Topology,
        mut block: impl FnMut(&Params<'_>, &BlockPlan) -> Result<Box<dyn Block>, Error>,
        mut skip: impl FnMut(&Params<'_>, &Join, usize) -> Result<Box<dyn Skip>, Error>,
        parts: Parts,
    ) -> Result<UNet, Error> {
        let before = params.tensors().len();
        let embedding = Embedding::new(params, topology.embedding())?;
        let mut skips = topology.long_skips().iter();
        let nodes = topology
            .steps()
            .iter()
            .map(|step| {
                Ok(match step {
                    Step::Block { name, plan } => Node::Block(block(&params.sub(name), plan)?),
                    Step::Keep { .. } => Node::Keep,
                    Step::Forget(count) => Node::Forget(*count),
                    Step::Join(join) => {
                        let params = params.sub(&join.name);
                        let plan = skips.next().expect("the plan lists every join");
                        let projection = match &join.projection {
                            Some(conv) => Some(Conv2d::new(&params.sub("projection"), conv)?),
                            None => None,
                        };
                        let channels = match &join.projection {
                            Some(conv) => conv.out_channels,
                            None => plan.carried.channels,
                        };
                        Node::Join {
                            projection,
                            rule: skip(&params, join, channels)?,
                        }
                    }
                    Step::Double(resample) => Node::Double(*resample),
                    Step::AddInput {
                        name,
                        resample,
                        plan,
                        scale,
                        then,
                    } => Node::AddInput {
                        resample: *resample,
                        block: block(&params.sub(name), plan)?,
                        scale: *scale,
                        then: *then,
                    },
                    Step::GrowOutput(resample) => Node::GrowOutput(*resample),
                    Step::AddOutput { name, norm, conv } => {
                        Node::AddOutput(ReadOut::new(&params.sub(name), *norm, conv)?)
                    }
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(UNet {
            edits: vec![SkipEdit::Keep; topology.long_skips().len()],
            format: None,
            body: Rc::new(Body {
                embedding,
                nodes,
                tensors: params.tensors().split_off(before),
                parts,
                topology,
            }),
        })
    }

    /// What it is made of.
    pub fn topology(&self) -> &Topology {
        &self.body.topology
    }

    /// Every variable by its name, in the order of creation, which is the plan's; fixed ones too.
    pub fn tensors(&self) -> &[(String, Tensor)] {
        &self.body.tensors
    }

    /// Whether it computes what its plan says.
    pub(crate) fn check_as_planned(&self) -> Result<(), Error> {
        let edited = self.edits.iter().position(|edit| *edit != SkipEdit::Keep);
        let (place, reason) = match (self.body.parts, edited) {
            (Parts::AsPlanned, None) => return Ok(()),
            (Parts::Own, _) => ("the network", "it has blocks or skips of the caller's own"),
            (_, Some(at)) => {
                let skip = &self.topology().long_skips()[at];
                (skip.name.as_str(), "the skip is edited")
            }
        };
        Err(Error::NotDiffusers {
            place: place.to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// The same network, with the same weights, whose long skip of this name is changed; one call for each
    /// skip.
    ///
    /// Names are those of [`Topology::long_skips`].
    ///
    /// # Errors
    /// [`Error::NoSuchSkip`], [`Error::NotANumber`].
    pub fn edited(&self, name: &str, edit: SkipEdit) -> Result<UNet, Error> {
        edit.check()?;
        let skips = self.topology().long_skips();
        let at = skips.iter().position(|skip| skip.name == name);
        let Some(at) = at else {
            let known = skips.iter().map(|skip| skip.name.as_str());
            return Err(Error::NoSuchSkip {
                name: name.to_owned(),
                known: known.collect::<Vec<_>>().join(", "),
            });
        };
        let mut edited = self.clone();
        edited.edits[at] = edit;
        Ok(edited)
    }

    /// The same network, with the same weights, whose images lie in this order in memory, whatever that of x.
    ///
    /// Without it those of a bfloat16 x on the processor are channels-last, in which its convolutions are fastest, and others
    /// are as x is.
    pub fn in_memory(&self, format: MemoryFormat) -> UNet {
        UNet {
            format: Some(format),
            ..self.clone()
        }
    }

    /// F(x, label), told about classes and an earlier estimate.
    ///
    /// # Panics
    /// If the shapes are others, or classes or an estimate are given that the network does not take, or a
    /// class is missing, or a table has no row for a number.
    pub fn forward_with(
        &self,
        x: &Tensor,
        label: &Tensor,
        conditions: Conditions<'_>,
        mode: &mut Mode,
    ) -> Tensor {
        let Body {
            topology,
            embedding,
            nodes,
            ..
        } = &*self.body;
        let frame = topology.frame();
        let (batch, _, height, width) = x.size4().expect("an image has four dimensions");
        let label = label
            .to_device(x.device())
            .view([-1])
            .expand([batch], false);
        let e = embedding.forward(&label, conditions.classes, x.kind(), mode);
        let x = match frame.range {
            InputRange::AsGiven => x.shallow_clone(),
            InputRange::Centred => x * 2.0 - 1.0,
        };
        let input = match (frame.self_conditioning, conditions.estimate) {
            (SelfConditioning::None, None) => x,
            (SelfConditioning::None, Some(_)) => {
                panic!("this network does not see its own estimate; give none")
            }
            (SelfConditioning::Estimate, Some(estimate)) => Tensor::cat(&[&x, estimate], 1),
            (SelfConditioning::Estimate, None) => {
                let size = [batch, frame.out_channels as i64, height, width];
                let estimate = Tensor::zeros(size, (x.kind(), x.device()));
                Tensor::cat(&[x, estimate], 1)
            }
        };
        let input = match self.format.or_else(|| MemoryFormat::of(&input)) {
            Some(format) => format.arrange(input),
            None => input,
        };
        let mut state = State {
            stream: input.shallow_clone(),
            image: input,
            kept: Vec::new(),
            output: None,
            edits: self.edits.iter(),
        };
        for node in nodes {
            state.step(node, &e, mode);
        }
        let output = match state.output {
            Some(image) => state.stream + image,
            None => state.stream,
        };
        match topology.embedding().features {
            Features::Fourier {
                of: FourierOf::LogarithmThenDivide,
                ..
            } => {
                let kind = output.kind();
                (output / label.view([-1, 1, 1, 1])).to_kind(kind)
            }
            _ => output,
        }
    }
}

impl Network for UNet {
    fn forward(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor {
        self.forward_with(x, label, Conditions::NONE, mode)
    }
}

/// What the steps work on.
struct State<'a> {
    stream: Tensor,
    image: Tensor,
    kept: Vec<Tensor>,
    output: Option<Tensor>,
    edits: std::slice::Iter<'a, SkipEdit>,
}

impl State<'_> {
    fn step(&mut self, node: &Node, e: &Tensor, mode: &mut Mode) {
        match node {
            Node::Block(block) => self.stream = block.forward(&self.stream, e, mode),
            Node::Keep => self.kept.push(self.stream.shallow_clone()),
            Node::Forget(count) => {
                self.kept.truncate(self.kept.len().saturating_sub(*count));
            }
            Node::Join { projection, rule } => {
                let kept = self.kept.pop().expect("the plan keeps before it joins");
                let stream = cut(&self.stream, &kept);
                let shortcut = match projection {
                    Some(conv) => conv.forward(&kept, mode),
                    None => kept,
                };
                let edit = self.edits.next().expect("one for each join");
                self.stream = edit.join(&**rule, &shortcut, &stream, mode);
            }
            Node::Double(resample) => {
                let doubled = resample.apply(&self.stream);
                self.stream = match self.kept.last() {
                    Some(kept) => cut(&doubled, kept),
                    None => doubled,
                };
            }
            Node::AddInput {
                resample,
                block,
                scale,
                then,
            } => {
                if let Some(resample) = resample {
                    self.image = resample.apply(&self.image);
                }
                let sum = &self.stream + block.forward(&self.image, e, mode);
                self.stream = if *scale == 1.0 { sum } else { sum * *scale };
                if *then == InputPath::Stream {
                    self.image = self.stream.shallow_clone();
                }
            }
            Node::GrowOutput(resample) => {
                let output = self.output.take();
                self.output = output.map(|output| cut(&resample.apply(&output), &self.stream));
            }
            Node::AddOutput(read_out) => {
                let image = read_out.forward(&self.stream, e, mode);
                self.output = Some(match self.output.take() {
                    Some(output) => output + image,
                    None => image,
                });
            }
        }
    }
}

/// x without the rows and columns that it has more than `like`.
fn cut(x: &Tensor, like: &Tensor) -> Tensor {
    let (x_size, size) = (x.size(), like.size());
    if x_size[2..] == size[2..] {
        return x.shallow_clone();
    }
    x.narrow(2, 0, size[2]).narrow(3, 0, size[3])
}
