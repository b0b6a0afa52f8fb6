//! A network that computes in bfloat16.

use tch::{Kind, Tensor};

use crate::{Mode, Network};

/// F computed in bfloat16, for an x and a result in single precision.
///
/// x is rounded, each layer rounds its weights as it uses them, and what lies between two layers is bfloat16: 8
/// significant bits, with the range of f32. The variables, their gradients and the sums inside of layers and
/// normalisations stay f32. [`Mode::Calibrate`] is f32 throughout, since it sets the variables.
///
/// ```
/// use resnet_blocks::{Bfloat16, Conv2d, Conv2dConfig, Init, Mode, Network, Params};
/// use tch::{Device, Kind, Tensor, nn::VarStore};
/// # fn main() -> Result<(), resnet_blocks::Error> {
/// let store = VarStore::new(Device::Cpu);
/// let conv = Conv2d::new(&Params::seeded(store.root(), 0), &Conv2dConfig::new(1, 1, 3, Init::He))?;
/// let net = |x: &Tensor, _label: &Tensor| conv.forward(x, &mut Mode::Eval);
/// let x = Tensor::ones([2, 1, 8, 8], (Kind::Float, Device::Cpu));
/// let (exact, rounded) = (net(&x, &x), Bfloat16(net).forward(&x, &x, &mut Mode::Eval));
/// assert_eq!(rounded.kind(), Kind::Float);
/// assert!((exact - rounded).abs().max().double_value(&[]) < 0.02);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[doc(alias = "autocast")]
pub struct Bfloat16<N>(pub N);

/// What this build and this processor decide of the last digits of networks on the processor, in words.
///
/// It says which instructions libtorch's own kernels are chosen for, where that is known, and whether group normalisation
/// with SiLU in bfloat16 is one pass over images whose channels lie last in memory, or operations of torch on images as they
/// come: results in bfloat16 differ between the two by its rounding. The products of [`MlpPass`](crate::MlpPass) are made on
/// tiles where there are such, whose sums round otherwise.
pub fn kernels() -> String {
    let products = crate::pass::products();
    #[cfg(norm_silu_node)]
    {
        let capability = crate::norm_silu::capability();
        format!(
            "kernels for {capability}; in bf16 norm_silu in one pass, channels last; written-out products {products}"
        )
    }
    #[cfg(not(norm_silu_node))]
    {
        format!("in bf16 norm_silu by operations of torch; written-out products {products}")
    }
}

impl<N: Network> Network for Bfloat16<N> {
    fn forward(&self, x: &Tensor, label: &Tensor, mode: &mut Mode) -> Tensor {
        match mode {
            Mode::Calibrate => self.0.forward(x, label, mode),
            _ => {
                let answer = self.0.forward(&x.to_kind(Kind::BFloat16), label, mode);
                answer.to_kind(x.kind())
            }
        }
    }
}
