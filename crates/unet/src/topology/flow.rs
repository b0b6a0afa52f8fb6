//! The forward pass on features alone, which checks a program and counts what it costs.

use resnet_blocks::{Feature, Layer, LongSkip};

use super::{BlockPlan, EmbeddingConfig, Frame, InputPath, LongSkipPlan, Step};
use crate::Error;

/// What the steps work on, without numbers, and what was written down on the way.
pub(super) struct Flow<'a> {
    frame: &'a Frame,
    embedding: &'a EmbeddingConfig,
    layers: Vec<Layer>,
    long_skips: Vec<LongSkipPlan>,
    stream: Feature,
    kept: Vec<(String, Feature)>,
    image: Feature,
    output: Option<Feature>,
    /// Channels that a long skip has brought, until a block takes them.
    brought: usize,
}

impl<'a> Flow<'a> {
    pub(super) fn begin(frame: &'a Frame, embedding: &'a EmbeddingConfig) -> Flow<'a> {
        let input = frame.input.with_channels(frame.in_channels());
        Flow {
            frame,
            embedding,
            layers: embedding.layers(),
            long_skips: Vec::new(),
            stream: input,
            kept: Vec::new(),
            image: input,
            output: None,
            brought: 0,
        }
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), Error> {
        let misfit = |name: &str, reason: String| Error::Step {
            name: name.to_owned(),
            reason,
        };
        match step {
            Step::Block { name, plan } => {
                self.stream = self.block(name, plan, self.stream)?;
            }
            Step::Keep { from } => self.kept.push((from.clone(), self.stream)),
            Step::Forget(count) => {
                let left = self.kept.len().saturating_sub(*count);
                self.kept.truncate(left);
            }
            Step::Join(join) => {
                join.rule.check()?;
                let Some((from, carried)) = self.kept.pop() else {
                    return Err(misfit(&join.name, "no kept feature is left".to_owned()));
                };
                self.cut("the stream", &join.name, self.stream, carried)?;
                self.stream = carried.with_channels(self.stream.channels);
                let before = self.layers.len();
                let mut shortcut = carried;
                if let Some(conv) = &join.projection {
                    conv.check()?;
                    let layer = conv.layer(format!("{}.projection", join.name), shortcut);
                    shortcut = layer.output;
                    self.layers.push(layer);
                }
                if !join.rule.concatenates()
                    && join.rule != LongSkip::None
                    && shortcut.channels != self.stream.channels
                {
                    return Err(misfit(
                        &join.name,
                        format!(
                            "{} channels cannot be added to {}",
                            shortcut.channels, self.stream.channels
                        ),
                    ));
                }
                self.layers.extend(join.rule.layers(&join.name, shortcut));
                let own = &self.layers[before..];
                self.long_skips.push(LongSkipPlan {
                    name: join.name.clone(),
                    from,
                    rule: join.rule,
                    carried,
                    stream: self.stream,
                    parameters: own.iter().map(Layer::parameters).sum(),
                });
                if join.rule.concatenates() {
                    self.brought = shortcut.channels;
                    let both = self.stream.channels + shortcut.channels;
                    self.stream = self.stream.with_channels(both);
                }
            }
            Step::Double(resample) => {
                let doubled = resample.output(self.stream);
                self.stream = match self.kept.last() {
                    None => doubled,
                    Some((from, kept)) => {
                        self.cut("the stream", from, doubled, *kept)?;
                        kept.with_channels(doubled.channels)
                    }
                };
            }
            Step::AddInput {
                name,
                resample,
                plan,
                scale: _,
                then,
            } => {
                let image = resample.map_or(self.image, |resample| resample.output(self.image));
                let added = self.block(name, plan, image)?;
                if added != self.stream {
                    return Err(misfit(
                        name,
                        format!("the image is {added:?} and the stream {:?}", self.stream),
                    ));
                }
                self.image = match then {
                    InputPath::Image => image,
                    InputPath::Stream => self.stream,
                };
            }
            Step::GrowOutput(resample) => {
                if let Some(output) = self.output {
                    let doubled = resample.output(output);
                    self.cut("the output image", "the output path", doubled, self.stream)?;
                    self.output = Some(self.stream.with_channels(output.channels));
                }
            }
            Step::AddOutput { name, norm, conv } => {
                let plan = BlockPlan::ReadOut {
                    norm: *norm,
                    conv: *conv,
                };
                let added = self.block(name, &plan, self.stream)?;
                if let Some(output) = self.output.filter(|output| *output != added) {
                    return Err(misfit(
                        name,
                        format!("the output image is {output:?} and what is added {added:?}"),
                    ));
                }
                self.output = Some(added);
            }
        }
        Ok(())
    }

    /// A block's output, its layers written down.
    fn block(&mut self, name: &str, plan: &BlockPlan, input: Feature) -> Result<Feature, Error> {
        plan.check(self.embedding.width)
            .map_err(|error| error.at(name))?;
        let wanted = plan.in_channels().unwrap_or(input.channels);
        if wanted != input.channels {
            return Err(Error::Step {
                name: name.to_owned(),
                reason: format!(
                    "it is made for {wanted} channels and gets {}",
                    input.channels
                ),
            });
        }
        let (layers, output) = plan.layers(name, input);
        let brought = std::mem::take(&mut self.brought);
        if let (true, Some(skip)) = (0 < brought, self.long_skips.last_mut()) {
            let numbers = |layers: &[Layer]| layers.iter().map(Layer::parameters).sum::<usize>();
            let narrow = input.with_channels(input.channels - brought);
            let alone = plan.without(brought);
            let alone = alone.map_or(0, |plan| numbers(&plan.layers(name, narrow).0));
            skip.parameters += numbers(&layers).saturating_sub(alone);
        }
        self.layers.extend(layers);
        Ok(output)
    }

    /// Whether the larger can be cut to the smaller: by one pixel at most in each direction.
    fn cut(&self, what: &str, name: &str, larger: Feature, smaller: Feature) -> Result<(), Error> {
        let fits = |larger: usize, smaller: usize| larger == smaller || larger == smaller + 1;
        if fits(larger.height, smaller.height) && fits(larger.width, smaller.width) {
            return Ok(());
        }
        Err(Error::Step {
            name: name.to_owned(),
            reason: format!(
                "{what} is {}x{} and what it joins {}x{}",
                larger.height, larger.width, smaller.height, smaller.width
            ),
        })
    }

    pub(super) fn end(self) -> Result<(Vec<Layer>, Vec<LongSkipPlan>), Error> {
        let wanted = self.frame.input.with_channels(self.frame.out_channels);
        if self.stream != wanted {
            return Err(Error::Step {
                name: "the end".to_owned(),
                reason: format!("the stream is {:?} instead of {wanted:?}", self.stream),
            });
        }
        if let Some(output) = self.output.filter(|output| *output != wanted) {
            return Err(Error::Step {
                name: "the end".to_owned(),
                reason: format!("the output image is {output:?} instead of {wanted:?}"),
            });
        }
        Ok((self.layers, self.long_skips))
    }
}
