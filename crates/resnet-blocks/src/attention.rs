//! Self-attention with its weights.

use tch::Tensor;

use crate::{
    Attention, AttentionScores, Bias, Block, Error, Linear, Mode, Normalise, Params, ShortSkip,
    Skip, norms::unit_magnitude,
};

/// The residual self-attention that [`Attention`] describes; it takes no embedding.
///
/// # Shapes
/// x: `[B, channels, H, W]`; result: as x.
pub struct AttentionBlock {
    norm: Normalise,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: i64,
    head_channels: i64,
    scores: AttentionScores,
    skip: Box<dyn Skip>,
}

impl std::fmt::Debug for AttentionBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AttentionBlock")
            .field("heads", &self.heads)
            .field("head_channels", &self.head_channels)
            .field("scores", &self.scores)
            .finish_non_exhaustive()
    }
}

impl AttentionBlock {
    /// Draws the layers.
    ///
    /// # Errors
    /// As [`Attention::check`]; [`Error::DuplicateName`], [`Error::NoValue`].
    pub fn new(params: &Params<'_>, config: &Attention) -> Result<AttentionBlock, Error> {
        AttentionBlock::prepared(params, config, config.short)
    }

    /// The same, with the initial values that this skip asks of its branch: with a `config` that has none, it is the
    /// branch of a skip that stands elsewhere, such as behind a gate.
    ///
    /// # Errors
    /// As [`new`](Self::new), and as [`ShortSkip::check`].
    pub fn prepared(
        params: &Params<'_>,
        config: &Attention,
        outer: ShortSkip,
    ) -> Result<AttentionBlock, Error> {
        config.check()?;
        outer.check()?;
        let Attention {
            channels,
            heads,
            head_channels,
            norm,
            scores,
            short,
            init,
            gain,
            last_gain,
        } = *config;
        let gains = outer.branch_gains();
        let inner = heads * head_channels;
        let linear = |name: &str, inputs, outputs, gain| {
            Linear::gained(
                &params.sub(name),
                inputs,
                outputs,
                Bias::Learned,
                init,
                gain,
            )
        };
        let project = |name: &str, gain| linear(name, channels, inner, gain);
        Ok(AttentionBlock {
            norm: Normalise::new(&params.sub("norm"), norm, channels)?,
            query: project("query", gain)?,
            key: project("key", gain)?,
            value: project("value", gain * gains.inner)?,
            out: linear("out", inner, channels, last_gain * gains.last)?,
            heads: heads as i64,
            head_channels: head_channels as i64,
            scores,
            skip: short.openable(&params.sub("skip"), channels)?,
        })
    }
}

impl Block for AttentionBlock {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, mode: &mut Mode) -> Tensor {
        let normal = self.norm.forward(x).flatten(2, 3);
        // [B, pixels, channels]; one copy for the three layers, none if x is channels-last.
        let pixels = normal.transpose(1, 2).contiguous();
        let mut split = |layer: &Linear| {
            let features = layer.forward(&pixels, mode);
            let heads = features.unflatten(2, [self.heads, self.head_channels]);
            heads.transpose(1, 2) // [B, heads, pixels, head_channels]
        };
        let [query, key, value] = [split(&self.query), split(&self.key), split(&self.value)];
        let read = attend(self.scores, [query, key, value]);
        let joined = read.transpose(1, 2).flatten(2, 3); // [B, pixels, heads head_channels]
        let image = self.out.forward(&joined, mode).transpose(1, 2).view_as(x);
        self.skip.join(x, &image, mode)
    }
}

/// softmax(scores) v for query, key and value.
///
/// # Shapes
/// Each and the result: `[B, heads, pixels, head_channels]`.
pub(crate) fn attend(scores: AttentionScores, parts: [Tensor; 3]) -> Tensor {
    let [query, key, value] = match scores {
        AttentionScores::Dot => parts,
        AttentionScores::Cosine => parts.map(|x| unit_magnitude(&x, &[-1])),
    };
    let mask = None::<&Tensor>;
    Tensor::scaled_dot_product_attention(&query, &key, &value, mask, 0.0, false, None, false)
}
