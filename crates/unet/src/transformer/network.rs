//! The transformer with its weights.

use std::rc::Rc;

use resnet_blocks::{
    Activation, AttentionBlock, Bias, Block, Law, Linear, LongSkip, Mode, Network, Normalise,
    Params, Skip,
};
use tch::Tensor;

use super::{LabelPath, Positions, TransformerConfig};
use crate::{Error, embedding::Embedding};

/// A transformer, built as its [`TransformerConfig`] says.
///
/// # Shapes
/// x: `[B, C, H, W]` of the planned size; label: `[B]`, or one number for all; result: as x.
#[derive(Clone)]
pub struct Transformer {
    body: Rc<Body>,
}

struct Body {
    config: TransformerConfig,
    embedding: Embedding,
    /// `[tokens, width]`, or without the label's.
    positions: Tensor,
    read_in: Linear,
    blocks: Vec<BlockNode>,
    end: Normalised,
    read_out: Linear,
}

/// A block: attention, then two layers, each with its own skip.
struct BlockNode {
    long: Option<Long>,
    shift: Option<Linear>,
    norms: [Normalise; 2],
    attention: AttentionBlock,
    layers: [Linear; 2],
    skips: [Box<dyn Skip>; 2],
    activation: Activation,
}

/// What the partner kept, joined.
struct Long {
    rule: Box<dyn Skip>,
    merge: Option<Linear>,
}

/// The normalisation before the read-out.
struct Normalised {
    shift: Option<Linear>,
    norm: Normalise,
}

impl std::fmt::Debug for Transformer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transformer")
            .field("parameters", &self.body.config.parameters())
            .finish_non_exhaustive()
    }
}

impl Transformer {
    /// Draws the network.
    ///
    /// # Errors
    /// As [`TransformerConfig::check`]; [`Error::Block`] if a name is taken, or a value is missing where values are
    /// given.
    pub fn new(params: &Params<'_>, config: &TransformerConfig) -> Result<Transformer, Error> {
        config.check()?;
        let embedding = Embedding::new(params, &config.embedding)?;
        let learned = match config.positions {
            Positions::Sines => None,
            Positions::Learned => {
                let table = params.sub("embedding.positions");
                let shape = [config.tokens(), config.width];
                Some(table.variable("weight", &shape, Law::Normal(0.02), 1.0)?)
            }
        };
        let read_in = params.sub("read_in");
        let read_in = Linear::new(&read_in, config.patch_numbers(), config.width, config.init)?;
        let positions = learned.unwrap_or_else(|| {
            let (_, like) = params.tensors().pop().expect("the read-in");
            sines(config).to_device(like.device())
        });
        let blocks = (0..config.blocks).map(|block| BlockNode::new(params, config, block));
        let blocks = blocks.collect::<Result<_, Error>>()?;
        let out = params.sub("read_out");
        let end = Normalised {
            shift: shift(&out, config, 2)?,
            norm: norm(&out.sub("norm"), config)?,
        };
        let gain = match config.label {
            LabelPath::AdaLnZero => 0.0,
            LabelPath::Token => 1.0,
        };
        let (inputs, outputs) = (config.width, config.patch_numbers());
        Ok(Transformer {
            body: Rc::new(Body {
                embedding,
                positions,
                read_in,
                blocks,
                end,
                read_out: Linear::gained(&out, inputs, outputs, Bias::Learned, config.init, gain)?,
                config: config.clone(),
            }),
        })
    }

    /// What it is made of.
    pub fn config(&self) -> &TransformerConfig {
        &self.body.config
    }

    /// The tokens behind the last block, that of the label first if it is one.
    ///
    /// # Shapes
    /// As for the network; result: `[B, tokens, width]`.
    ///
    /// # Panics
    /// If x has another size than the planned one.
    pub fn stream(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor {
        self.body.stream(x, &self.body.embed(x, label, mode), mode)
    }
}

impl Network for Transformer {
    fn forward(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor {
        let body = &*self.body;
        let embedding = body.embed(x, label, mode);
        let stream = body.stream(x, &embedding, mode);
        let (extra, tokens) = (body.config.extra(), body.config.tokens());
        let patches = stream.narrow(1, extra as i64, (tokens - extra) as i64);
        let shift = body.end.shift.as_ref();
        let parts = shift.map(|shift| modulation(shift, 2, &embedding));
        let normal = normalised(&body.end.norm, &patches, parts.as_deref());
        image(&body.config, &body.read_out.forward(&normal, mode))
    }
}

impl Body {
    /// # Shapes
    /// result: `[B, embedding]`.
    fn embed(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor {
        let label = label.to_device(x.device()).view([-1]);
        let label = label.expand([x.size()[0]], false);
        self.embedding.forward(&label, None, x.kind(), mode)
    }

    fn stream(&self, x: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let read = self.read_in.forward(&patches(&self.config, x), mode);
        let positions = self.positions.to_kind(x.kind());
        let mut stream = match (self.config.label, self.config.positions) {
            (LabelPath::AdaLnZero, _) => read + positions,
            (LabelPath::Token, Positions::Learned) => {
                Tensor::cat(&[embedding.unsqueeze(1), read], 1) + positions
            }
            (LabelPath::Token, Positions::Sines) => {
                Tensor::cat(&[embedding.unsqueeze(1), read + positions], 1)
            }
        };
        let mut kept = Vec::new();
        for (block, node) in self.blocks.iter().enumerate() {
            if let Some(long) = &node.long {
                let partner = kept
                    .pop()
                    .expect("the first half keeps what the second joins");
                stream = long.join(&partner, &stream, mode);
            }
            stream = node.forward(&stream, embedding, mode);
            if self.config.long != LongSkip::None && block < self.config.blocks / 2 {
                kept.push(stream.shallow_clone());
            }
        }
        stream
    }
}

impl BlockNode {
    fn new(
        params: &Params<'_>,
        config: &TransformerConfig,
        block: usize,
    ) -> Result<BlockNode, Error> {
        let params = params.sub(format!("block{block}"));
        let (width, hidden, init) = (config.width, config.hidden, config.init);
        let long = match config.partner(block) {
            None => None,
            Some(partner) => {
                let rule = config.long.at(partner);
                Some(Long {
                    rule: rule.openable(&params.sub("long.skip"), width)?,
                    merge: if rule.concatenates() {
                        let merge = params.sub("long.merge");
                        Some(Linear::new(&merge, 2 * width, width, init)?)
                    } else {
                        None
                    },
                })
            }
        };
        let shift = shift(&params, config, 6)?;
        let gains = config.short.branch_gains();
        let skip = |part: &str| config.short.openable(&params.sub(part), width);
        let linear = |part: &str, inputs, outputs, gain| {
            Linear::gained(
                &params.sub(part),
                inputs,
                outputs,
                Bias::Learned,
                init,
                gain,
            )
        };
        // In the order of the forward pass, which is that of the units.
        let norm1 = norm(&params.sub("norm1"), config)?;
        let of = params.sub("attention");
        let attention = AttentionBlock::prepared(&of, &config.attention(), config.short)?;
        let skip1 = skip("attention.skip")?;
        let norm2 = norm(&params.sub("norm2"), config)?;
        let layers = [
            linear("mlp.linear1", width, hidden, gains.inner)?,
            linear("mlp.linear2", hidden, width, gains.last)?,
        ];
        Ok(BlockNode {
            long,
            shift,
            norms: [norm1, norm2],
            attention,
            layers,
            skips: [skip1, skip("mlp.skip")?],
            activation: config.activation,
        })
    }

    fn forward(&self, stream: &Tensor, embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let shift = self.shift.as_ref();
        let parts = shift.map(|shift| modulation(shift, 6, embedding));
        let [first, second] = match &parts {
            Some(parts) => [Some(&parts[..3]), Some(&parts[3..])],
            None => [None, None],
        };
        let normal = normalised(&self.norms[0], stream, first);
        let read = self.attention.forward(&pixels(&normal), embedding, mode);
        let stream = rejoined(&*self.skips[0], stream, read, first, mode);
        let normal = normalised(&self.norms[1], &stream, second);
        let hidden = self
            .activation
            .apply(&self.layers[0].forward(&normal, mode));
        let thought = pixels(&self.layers[1].forward(&hidden, mode));
        rejoined(&*self.skips[1], &stream, thought, second, mode)
    }
}

impl Long {
    fn join(&self, kept: &Tensor, stream: &Tensor, mode: &mut Mode) -> Tensor {
        let joined = tokens(&self.rule.join(&pixels(kept), &pixels(stream), mode));
        match &self.merge {
            Some(merge) => merge.forward(&joined, mode),
            None => joined,
        }
    }
}

/// So many vectors for each example: shift, scale and, of a branch, gate.
///
/// # Shapes
/// Each: `[B, 1, width]`.
fn modulation(shift: &Linear, parts: i64, embedding: &Tensor) -> Vec<Tensor> {
    // It sees the embedding only, so `Calibrate` leaves it alone.
    let all = shift.forward(embedding, &mut Mode::Eval);
    all.unsqueeze(1).chunk(parts, 2)
}

/// The layer that gives so many vectors, if the label modulates.
fn shift(
    params: &Params<'_>,
    config: &TransformerConfig,
    parts: usize,
) -> Result<Option<Linear>, Error> {
    if config.label != LabelPath::AdaLnZero {
        return Ok(None);
    }
    let (inputs, outputs) = (config.embedding.width, parts * config.width);
    let params = params.sub("shift");
    Ok(Some(Linear::gained(
        &params,
        inputs,
        outputs,
        Bias::Learned,
        config.init,
        0.0,
    )?))
}

/// The normalisation of a token, without scale and shift of its own if the label gives them.
fn norm(params: &Params<'_>, config: &TransformerConfig) -> Result<Normalise, Error> {
    Ok(match config.label {
        LabelPath::AdaLnZero => Normalise::bare(config.norm(), config.width)?,
        LabelPath::Token => Normalise::new(params, config.norm(), config.width)?,
    })
}

/// Each token normalised by itself, then times 1 + scale and plus shift, if the label gives them.
///
/// # Shapes
/// stream and result: `[B, T, width]`; parts: `[B, 1, width]` each.
fn normalised(norm: &Normalise, stream: &Tensor, parts: Option<&[Tensor]>) -> Tensor {
    let width = stream.size()[2];
    let normal = norm.forward(&stream.reshape([-1, width]));
    let normal = normal.view_as(stream);
    match parts {
        Some([shift, scale, ..]) => shift.addcmul(&normal, &(scale + 1.0)),
        _ => normal,
    }
}

/// The stream with a branch that has its gate, if the label gives one.
fn rejoined(
    skip: &dyn Skip,
    stream: &Tensor,
    branch: Tensor,
    parts: Option<&[Tensor]>,
    mode: &mut Mode,
) -> Tensor {
    let branch = match parts {
        Some([.., gate]) => branch * pixels(gate),
        _ => branch,
    };
    tokens(&skip.join(&pixels(stream), &branch, mode))
}

/// Tokens as pixels of an image one pixel wide, as attention and skips take them; nothing is copied.
///
/// # Shapes
/// `[B, T, width]` to `[B, width, T, 1]`.
fn pixels(tokens: &Tensor) -> Tensor {
    tokens.transpose(1, 2).unsqueeze(-1)
}

/// Pixels as tokens again.
fn tokens(pixels: &Tensor) -> Tensor {
    pixels.squeeze_dim(-1).transpose(1, 2)
}

/// An image cut into patches, row by row; of a patch the pixels row by row, of a pixel the channels.
///
/// # Shapes
/// `[B, C, H, W]` to `[B, patches, patch patch C]`.
fn patches(config: &TransformerConfig, x: &Tensor) -> Tensor {
    let [patch, channels, down, across] = sizes(config);
    x.view([-1, channels, down, patch, across, patch])
        .permute([0, 2, 4, 3, 5, 1])
        .reshape([-1, down * across, patch * patch * channels])
}

/// Patches put back in their places.
fn image(config: &TransformerConfig, patches: &Tensor) -> Tensor {
    let [patch, channels, down, across] = sizes(config);
    patches
        .view([-1, down, across, patch, patch, channels])
        .permute([0, 5, 1, 3, 2, 4])
        .reshape([-1, channels, down * patch, across * patch])
}

fn sizes(config: &TransformerConfig) -> [i64; 4] {
    let [down, across] = config.grid();
    [config.patch, config.image.channels, down, across].map(|n| n as i64)
}

/// [`Positions::Sines`] of every patch.
///
/// # Shapes
/// Result: `[patches, width]`.
fn sines(config: &TransformerConfig) -> Tensor {
    let ([down, across], waves) = (config.grid(), config.width / 4);
    let places = (0..down).flat_map(|row| (0..across).map(move |column| [row, column]));
    let along = |place: usize| {
        let angle = move |wave: usize| place as f64 * 1e4f64.powf(-(wave as f64) / waves as f64);
        let sines = (0..waves).map(move |wave| angle(wave).sin());
        sines.chain((0..waves).map(move |wave| angle(wave).cos()))
    };
    let numbers: Vec<f64> = places
        .flat_map(|place| place.into_iter().flat_map(along))
        .collect();
    Tensor::from_slice(&numbers).view([(down * across) as i64, config.width as i64])
}

#[cfg(test)]
mod tests {
    use resnet_blocks::Feature;
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn patches_are_put_back_where_they_were() {
        let image_of = Feature {
            channels: 3,
            height: 4,
            width: 6,
        };
        let config = TransformerConfig {
            image: image_of,
            ..TransformerConfig::dit_s(image_of, 2)
        };
        let x = Tensor::arange(2 * 72, (Kind::Float, Device::Cpu)).view([2, 3, 4, 6]);
        let cut = patches(&config, &x);
        assert_eq!(cut.size(), [2, 6, 12]);
        // Patch 4 of 2 x 3 is in row 1 and column 1: its pixel (1, 0) of channel 2 is pixel (3, 2).
        assert_eq!(
            cut.double_value(&[1, 4, (2 * 3) + 2]),
            x.double_value(&[1, 2, 3, 2])
        );
        assert_eq!(image(&config, &cut), x);
    }

    #[test]
    fn every_place_has_its_own_sines() {
        let of = Feature {
            channels: 1,
            height: 4,
            width: 6,
        };
        let table = sines(&TransformerConfig::dit_s(of, 2));
        assert_eq!(table.size(), [6, 384]);
        let at = |patch: i64, channel: i64| table.double_value(&[patch, channel]);
        // Patch 5 is in row 1 and column 2; w_1 = 10000^(-1/96).
        let w = 1e4f64.powf(-1.0 / 96.0);
        assert_eq!(at(5, 0), 1f64.sin());
        assert_eq!(at(5, 96), 1f64.cos());
        assert_eq!(at(5, 192), 2f64.sin());
        assert!((at(5, 193) - (2.0 * w).sin()).abs() < 1e-15);
        assert!((at(5, 289) - (2.0 * w).cos()).abs() < 1e-15);
    }
}
