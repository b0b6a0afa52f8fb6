//! The kernels as a node of libtorch's autograd.
//!
//! As operations of torch it is five passes forwards and more backwards, and group normalisation of images that lie
//! pixel after pixel, which is the order that convolutions in bfloat16 are fastest in, is torch's slowest.
#![expect(
    unsafe_code,
    reason = "tch cannot define a node, so C++ calls the kernels with pointers into tensors"
)]

use std::{
    ffi::{CStr, c_char, c_void},
    slice,
};

use tch::{Device, Kind, Tensor};

use super::kernel::{self, Affine, Bf16, Gradients};
use crate::registers::Registers;

/// silu(x' w + b) with x' = x + shift normalised over groups of channels and all pixels, or nothing where there is no
/// kernel for the kinds, the device, the shape or the order in memory, which is pixel after pixel.
///
/// # Shapes
/// x: `[B, C, H, W]`; shift: `[B, C]`; weight and bias: `[C]`; result: as x.
pub(crate) fn norm_silu(
    x: &Tensor,
    shift: Option<&Tensor>,
    [weight, bias]: [&Tensor; 2],
    groups: i64,
    eps: f64,
) -> Option<Tensor> {
    let is = |tensor: &Tensor, kind| tensor.kind() == kind && tensor.device() == Device::Cpu;
    let size = x.size();
    let fits = size.len() == 4
        && is(x, Kind::BFloat16)
        && pixel_after_pixel(&size, &x.stride())
        && !size.contains(&0)
        && size[1] % groups == 0
        && [weight, bias]
            .iter()
            .all(|v| is(v, Kind::Float) && v.size() == [size[1]] && v.is_contiguous())
        && shift.is_none_or(|s| is(s, Kind::BFloat16) && s.size() == size[..2]);
    if !fits {
        return None;
    }
    let pointer = |tensor: &Tensor| tensor.as_ptr().cast::<c_void>();
    let mut said: [c_char; 512] = [0; 512];
    // SAFETY: the tensors live, their kinds and sizes are what the kernels take, as was just asked, and `said` is as
    // long as it says and ends with a zero that the node leaves alone.
    let y = unsafe {
        norm_silu_node(
            pointer(x),
            shift.map_or(std::ptr::null(), pointer),
            pointer(weight),
            pointer(bias),
            groups,
            eps,
            KERNELS,
            said.as_mut_ptr(),
            said.len(),
        )
    };
    assert!(
        !y.is_null(),
        "silu of a normalisation: {}",
        // SAFETY: it ends with a zero, as above.
        unsafe { CStr::from_ptr(said.as_ptr()) }.to_string_lossy()
    );
    // SAFETY: a new tensor that nobody else owns.
    Some(unsafe { Tensor::from_ptr(y.cast()) })
}

/// Whether the channels of a pixel lie nearer to each other than its neighbours; one channel lies in either order.
fn pixel_after_pixel(size: &[i64], stride: &[i64]) -> bool {
    size[1] == 1 || stride[1] <= stride[3]
}

/// The instructions that libtorch's own kernels are chosen for, in its word: `AVX2`, `AVX512`, `DEFAULT`, …
pub(crate) fn capability() -> String {
    let mut said: [c_char; 64] = [0; 64];
    // SAFETY: `said` is as long as it says, and ends with a zero that is left alone.
    unsafe { libtorch_capability(said.as_mut_ptr(), said.len()) };
    // SAFETY: as above.
    let word = unsafe { CStr::from_ptr(said.as_ptr()) };
    word.to_string_lossy().into_owned()
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Sizes {
    pixels: usize,
    channels: usize,
    groups: usize,
}

#[repr(C)]
struct Kernels {
    forward: unsafe extern "C" fn(
        Sizes,
        f32,
        *const Bf16,
        *const Bf16,
        *const f32,
        *const f32,
        *mut Bf16,
        *mut [f32; 2],
    ),
    backward: unsafe extern "C" fn(
        Sizes,
        *const Bf16,
        *const Bf16,
        *const Bf16,
        *const f32,
        *const f32,
        *const [f32; 2],
        *mut Bf16,
        *mut Bf16,
        *mut f32,
    ),
}

const KERNELS: Kernels = Kernels {
    forward: forward_image,
    backward: backward_image,
};

unsafe extern "C" {
    fn norm_silu_node(
        x: *const c_void,
        shift: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        groups: i64,
        eps: f64,
        kernels: Kernels,
        said: *mut c_char,
        length: usize,
    ) -> *mut c_void;
    fn libtorch_capability(said: *mut c_char, length: usize);
}

/// # Safety
/// Each pointer is to as many numbers as the sizes say, which live and are written by nobody else meanwhile.
unsafe extern "C" fn forward_image(
    sizes: Sizes,
    eps: f32,
    x: *const Bf16,
    shift: *const Bf16,
    weight: *const f32,
    bias: *const f32,
    y: *mut Bf16,
    statistics: *mut [f32; 2],
) {
    let numbers = sizes.pixels * sizes.channels;
    // SAFETY: as the caller promises.
    unsafe {
        let norm = affine(sizes, weight, bias, shift);
        let (x, y) = (
            slice::from_raw_parts(x, numbers),
            slice::from_raw_parts_mut(y, numbers),
        );
        kernel::forward(
            Registers::widest(),
            norm,
            eps,
            x,
            y,
            slice::from_raw_parts_mut(statistics, sizes.groups),
        );
    }
}

/// # Safety
/// As [`forward_image`]; the last pointer is to the gradients of the weight and, behind them, of the bias.
unsafe extern "C" fn backward_image(
    sizes: Sizes,
    gradient: *const Bf16,
    x: *const Bf16,
    shift: *const Bf16,
    weight: *const f32,
    bias: *const f32,
    statistics: *const [f32; 2],
    to_x: *mut Bf16,
    to_shift: *mut Bf16,
    to_affine: *mut f32,
) {
    let numbers = sizes.pixels * sizes.channels;
    // SAFETY: as the caller promises.
    unsafe {
        let norm = affine(sizes, weight, bias, shift);
        let affine = slice::from_raw_parts_mut(to_affine, 2 * sizes.channels);
        let (to_weight, to_bias) = affine.split_at_mut(sizes.channels);
        let to = Gradients {
            x: slice::from_raw_parts_mut(to_x, numbers),
            shift: match norm.shift {
                [] => &mut [],
                all => slice::from_raw_parts_mut(to_shift, all.len()),
            },
            weight: to_weight,
            bias: to_bias,
        };
        let (x, gradient) = (
            slice::from_raw_parts(x, numbers),
            slice::from_raw_parts(gradient, numbers),
        );
        let statistics = slice::from_raw_parts(statistics, sizes.groups);
        kernel::backward(Registers::widest(), norm, statistics, x, gradient, to);
    }
}

/// # Safety
/// As [`forward_image`].
unsafe fn affine<'a>(
    sizes: Sizes,
    weight: *const f32,
    bias: *const f32,
    shift: *const Bf16,
) -> Affine<'a> {
    // SAFETY: as the caller promises.
    unsafe {
        Affine {
            groups: sizes.groups,
            weight: slice::from_raw_parts(weight, sizes.channels),
            bias: slice::from_raw_parts(bias, sizes.channels),
            shift: if shift.is_null() {
                &[]
            } else {
                slice::from_raw_parts(shift, sizes.channels)
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Reduction;

    use super::*;

    /// x by seeds, images pixel after pixel.
    fn wave(size: &[i64], seed: f64, kind: Kind) -> Tensor {
        let count = size.iter().product::<i64>();
        let index = Tensor::arange(count, (Kind::Double, Device::Cpu)) + 1.0;
        let wave = ((index * seed).sin() * 2.0 + 0.7).view(size).to_kind(kind);
        match size.len() {
            4 => {
                let pixels = wave.permute([0, 2, 3, 1]).contiguous();
                pixels.permute([0, 3, 1, 2])
            }
            _ => wave,
        }
    }

    /// The result, and the gradients of a sum of its numbers with weights, of everything that has one.
    fn all(kind: Kind, size: [i64; 4], groups: i64, with_shift: bool) -> Vec<Tensor> {
        let leaf = |tensor: Tensor| tensor.set_requires_grad(true);
        // Rounded once for both.
        let rounded = |tensor: Tensor| leaf(tensor.to_kind(Kind::BFloat16).to_kind(kind));
        let x = rounded(wave(&size, 0.37, Kind::Double));
        let shift = with_shift.then(|| rounded(wave(&size[..2], 0.83, Kind::Double)));
        let affine = match kind {
            Kind::BFloat16 => Kind::Float,
            exact => exact,
        };
        let [weight, bias] = [0.21, 0.59].map(|seed| {
            let single = wave(&size[1..2], seed, Kind::Float);
            leaf(single.to_kind(affine))
        });
        let y = match kind {
            Kind::BFloat16 => {
                norm_silu(&x, shift.as_ref(), [&weight, &bias], groups, 1e-5).expect("it fits")
            }
            _ => {
                let moved = match &shift {
                    Some(shift) => &x + shift.unsqueeze(-1).unsqueeze(-1),
                    None => x.shallow_clone(),
                };
                let normal = moved.group_norm(groups, Some(&weight), Some(&bias), 1e-5, false);
                normal.silu()
            }
        };
        assert_eq!((y.kind(), y.size()), (kind, size.to_vec()));
        let target = wave(&size, 0.11, Kind::Float).to_kind(Kind::BFloat16);
        let loss = y.mse_loss(&target.to_kind(kind), Reduction::Sum);
        let leaves: Vec<&Tensor> = [&x, &weight, &bias].into_iter().chain(&shift).collect();
        let gradients = Tensor::run_backward(&[&loss], &leaves, false, false);
        [y].into_iter().chain(gradients).collect()
    }

    #[test]
    fn agrees_with_the_composition_of_torch() {
        for (size, groups, with_shift) in [
            ([3, 32, 6, 6], 8, true),
            ([2, 32, 5, 7], 8, false),
            ([2, 6, 3, 4], 1, true),
            ([1, 34, 8, 8], 17, true),
            ([2, 16, 1, 1], 1, false),
        ] {
            let near = all(Kind::BFloat16, size, groups, with_shift);
            let exact = all(Kind::Double, size, groups, with_shift);
            let names = ["y", "x", "weight", "bias", "shift"];
            for ((near, exact), name) in near.iter().zip(&exact).zip(names) {
                let near = near.to_kind(Kind::Double);
                let apart = (&near - exact).norm() / (exact.norm() + 1e-3);
                let apart = apart.double_value(&[]);
                assert!(
                    apart < 8e-3,
                    "{size:?} {groups} {with_shift}: {name} by {apart}"
                );
            }
        }
    }

    #[test]
    fn libtorch_says_what_its_kernels_are_chosen_for() {
        let word = capability();
        let upper = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit();
        assert!(!word.is_empty() && word.chars().all(upper), "{word:?}");
    }

    #[test]
    fn what_has_no_kernel_is_left_to_torch() {
        let x = wave(&[2, 4, 3, 3], 0.3, Kind::BFloat16);
        let one = Tensor::ones([4], (Kind::Float, Device::Cpu));
        assert!(norm_silu(&x, None, [&one, &one], 2, 1e-5).is_some());
        assert!(norm_silu(&x.to_kind(Kind::Float), None, [&one, &one], 2, 1e-5).is_none());
        assert!(norm_silu(&x.contiguous(), None, [&one, &one], 2, 1e-5).is_none());
        assert!(norm_silu(&x.flatten(2, 3), None, [&one, &one], 2, 1e-5).is_none());
        let rounded = one.to_kind(Kind::BFloat16);
        assert!(norm_silu(&x, None, [&rounded, &rounded], 2, 1e-5).is_none());
    }

    #[test]
    #[should_panic(expected = "no second derivative")]
    fn there_is_no_second_derivative() {
        let x = wave(&[2, 4, 3, 3], 0.3, Kind::BFloat16).set_requires_grad(true);
        let one = Tensor::ones([4], (Kind::Float, Device::Cpu));
        let y = norm_silu(&x, None, [&one, &one], 2, 1e-5).expect("it fits");
        Tensor::run_backward(&[&y.sum(Kind::Float)], &[&x], true, true);
    }
}
