//! A step of Adam in one pass over memory.
//!
//! As operations of torch it reads and writes every number a dozen times, and each result is fresh memory.
//! Here each number is read and written once, on the widest vector registers of the processor.
//! Nothing is fused or reordered, so the bits are the same on every processor, and there is nothing to record.
#![expect(
    unsafe_code,
    reason = "tch gives no slice of a tensor, and the compiler cannot know what the processor has"
)]

use tch::{Device, Kind, Tensor};

use super::{EPSILON, Factors};

/// Changes parameters, mean and mean square of the gradients, all flat, along the gradients.
///
/// Does nothing and returns false unless they are as many numbers of single precision in the processor's memory.
pub(super) fn step(state: [&mut Tensor; 3], gradients: &[&[f32]], factors: &Factors) -> bool {
    let length: usize = gradients.iter().map(|gradient| gradient.len()).sum();
    let fits = |tensor: &&mut Tensor| numbers(tensor).is_some_and(|flat| flat.len() == length);
    if !state.iter().all(fits) {
        return false;
    }
    let [mut parameters, mut mean, mut square] = state.map(|tensor| {
        // SAFETY: `length` numbers of single precision one behind the other, as was just asked; the three are tensors of
        // their own, which nobody else reads or writes meanwhile.
        unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), length) }
    });
    for gradient in gradients {
        let of_these = [&mut parameters, &mut mean, &mut square].map(|rest| {
            rest.split_off_mut(..gradient.len())
                .expect("as many as gradients")
        });
        update(of_these, gradient, factors);
    }
    true
}

/// The numbers of a tensor, if they are of single precision and one behind the other in the processor's memory.
///
/// Nobody may write them through another tensor while the slice lives.
pub(super) fn numbers(tensor: &Tensor) -> Option<&[f32]> {
    let in_place = tensor.device() == Device::Cpu && tensor.is_contiguous();
    (in_place && tensor.kind() == Kind::Float).then(|| {
        // SAFETY: so many numbers of single precision one behind the other, as was just asked, which the tensor keeps.
        unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
    })
}

fn update(state: [&mut [f32]; 3], gradient: &[f32], factors: &Factors) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(state: [&mut [f32]; 3], gradient: &[f32], factors: &Factors) {
            one_by_one(state, gradient, factors);
        }
        #[target_feature(enable = "avx512f")]
        fn avx512(state: [&mut [f32]; 3], gradient: &[f32], factors: &Factors) {
            one_by_one(state, gradient, factors);
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor was just asked, and has them.
            return unsafe { avx512(state, gradient, factors) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { avx2(state, gradient, factors) };
        }
    }
    one_by_one(state, gradient, factors);
}

#[inline(always)]
fn one_by_one([parameters, mean, square]: [&mut [f32]; 3], gradient: &[f32], factors: &Factors) {
    let fresh = (factors.fresh.0 as f32, factors.fresh.1 as f32);
    let (kept, of_mean) = (factors.kept as f32, factors.mean as f32);
    let (of_square, epsilon) = (factors.square as f32, EPSILON as f32);
    for (((p, m), v), &g) in (parameters.iter_mut().zip(mean)).zip(square).zip(gradient) {
        *m += fresh.0 * (g - *m);
        *v = *v * kept + g * (g * fresh.1);
        *p += *m * of_mean / (v.sqrt() / of_square + epsilon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_the_same_bits_on_all_registers() {
        for length in [0, 1, 7, 16, 1000] {
            let values = |seed: f32| -> Vec<f32> {
                let at = |i| (seed * i as f32).sin().powi(3);
                (0..length).map(at).collect()
            };
            let [mut wide, mut narrow] = [(); 2].map(|()| {
                [
                    values(0.3),
                    values(0.7),
                    values(1.1).iter().map(|v| v * v).collect(),
                ]
            });
            let gradient = values(1.9);
            let factors = Factors::new(3, 0.01);
            update(
                wide.each_mut().map(|v: &mut Vec<f32>| &mut v[..]),
                &gradient,
                &factors,
            );
            one_by_one(narrow.each_mut().map(|v| &mut v[..]), &gradient, &factors);
            let bits = |state: [Vec<f32>; 3]| state.concat().into_iter().map(f32::to_bits);
            assert!(bits(wide).eq(bits(narrow)), "{length}");
        }
    }
}
