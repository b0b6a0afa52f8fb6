//! The order of images in memory.

use tch::{Device, Kind, Tensor};

/// The order in memory of a network's images \[B, C, H, W\]: it moves results by rounding alone, and how long they take.
///
/// ```
/// use resnet_blocks::{Activation, Feature, Init, LongSkip, Mode, Network, Norm, Params, ShortSkip};
/// use tch::{Device, Kind, Tensor, nn::VarStore};
/// use unet::{MemoryFormat, ResidualParts, UNet, UNetConfig};
///
/// # fn main() -> Result<(), unet::Error> {
/// let image = Feature { channels: 1, height: 8, width: 8 };
/// let parts = ResidualParts::plain(Activation::Silu, Norm::GROUP, ShortSkip::Identity, Init::He);
/// let config = UNetConfig::study(image, 8, &[1, 2], 1, parts, LongSkip::Add(1.0));
/// let store = VarStore::new(Device::Cpu);
/// let net = UNet::new(&Params::seeded(store.root(), 0), &config)?;
/// let on = (Kind::Float, Device::Cpu);
/// let (x, label) = (Tensor::ones([2, 1, 8, 8], on), Tensor::zeros([2], on));
/// let [one, other] = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast]
///     .map(|format| net.in_memory(format).forward(&x, &label, &mut Mode::Eval));
/// assert!((one - other).abs().max().double_value(&[]) < 1e-4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "memory_format")]
pub enum MemoryFormat {
    /// Channel after channel.
    #[doc(alias = "NCHW")]
    Contiguous,
    /// Pixel after pixel, the channels of a pixel side by side.
    #[doc(alias = "NHWC")]
    ChannelsLast,
}

impl MemoryFormat {
    /// What a network takes x for unless it is told: on the processor, bfloat16 for channels last, in which its convolutions
    /// are fastest; everything else as it comes.
    pub(crate) fn of(x: &Tensor) -> Option<MemoryFormat> {
        (x.kind() == Kind::BFloat16 && x.device() == Device::Cpu)
            .then_some(MemoryFormat::ChannelsLast)
    }

    /// x in this order; what follows keeps it.
    pub(crate) fn arrange(self, x: Tensor) -> Tensor {
        let (batch, channels, height, width) = x.size4().expect("an image has four dimensions");
        let (pixels, numbers) = (height * width, channels * height * width);
        let strides = match self {
            MemoryFormat::Contiguous => [numbers, pixels, width, 1],
            MemoryFormat::ChannelsLast => [numbers, 1, width * channels, channels],
        };
        if x.stride() == strides {
            return x;
        }
        let packed = match self {
            MemoryFormat::Contiguous => x.contiguous(),
            MemoryFormat::ChannelsLast => x.permute([0, 2, 3, 1]).contiguous(),
        };
        // Of one channel torch takes either order for the other, and goes by the strides.
        packed.as_strided([batch, channels, height, width], strides, None::<i64>)
    }
}
