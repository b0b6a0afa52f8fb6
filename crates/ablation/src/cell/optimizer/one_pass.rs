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
/// Does nothing and returns false unless they are as many numbers of single precision in the processor's memory, and none
/// of them is in two of the arguments, as it would be in views of one tensor.
pub(super) fn step(state: [&mut Tensor; 3], gradients: &[&[f32]], factors: &Factors) -> bool {
    let length: usize = gradients.iter().map(|gradient| gradient.len()).sum();
    let fits = |tensor: &&mut Tensor| is_in_place(tensor) && tensor.numel() == length;
    if !state.iter().all(fits) {
        return false;
    }
    let pointers = state.map(|tensor| tensor.data_ptr().cast::<f32>());
    let state = pointers.map(|pointer| (pointer.cast_const(), length));
    let gradients_at = gradients.iter().map(|slice| (slice.as_ptr(), slice.len()));
    if !are_apart(state.into_iter().chain(gradients_at).collect()) {
        return false;
    }
    let [mut parameters, mut mean, mut square] = pointers.map(|pointer| {
        // SAFETY: `length` numbers of single precision one behind the other, which tensors keep that are borrowed until
        // the end of this function; none is among another's or among the gradients, as was just asked.
        unsafe { std::slice::from_raw_parts_mut(pointer, length) }
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
/// # Safety
///
/// While the slice lives nobody writes to the tensor's memory, neither by this tensor nor by one that shares it.
pub(super) unsafe fn numbers(tensor: &Tensor) -> Option<&[f32]> {
    is_in_place(tensor).then(|| {
        // SAFETY: so many numbers of single precision one behind the other, as was just asked, which the tensor keeps; that
        // nobody writes them is the caller's word.
        unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
    })
}

/// Whether the numbers are of single precision and one behind the other in the processor's memory.
fn is_in_place(tensor: &Tensor) -> bool {
    let in_memory = tensor.device() == Device::Cpu && 0 < tensor.numel();
    in_memory && tensor.kind() == Kind::Float && tensor.is_contiguous()
}

/// Whether no two of these ranges of memory, given by where they begin and by their lengths, have a number in common.
fn are_apart(mut ranges: Vec<(*const f32, usize)>) -> bool {
    ranges.retain(|(_, length)| 0 < *length);
    ranges.sort_unstable();
    ranges.windows(2).all(|pair| {
        let (from, length) = pair[0];
        from.wrapping_add(length) <= pair[1].0
    })
}

/// A step on slices of the same length.
type Update = fn([&mut [f32]; 3], &[f32], &Factors);

fn update(state: [&mut [f32]; 3], gradient: &[f32], factors: &Factors) {
    let widest = available().next_back();
    widest.expect("every processor has the portable one")(state, gradient, factors);
}

/// The same step on all vector registers that this processor has, from the narrowest to the widest.
fn available() -> impl DoubleEndedIterator<Item = Update> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2(state: [&mut [f32]; 3], gradient: &[f32], factors: &Factors) {
        one_by_one(state, gradient, factors);
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(state: [&mut [f32]; 3], gradient: &[f32], factors: &Factors) {
        one_by_one(state, gradient, factors);
    }
    let all: [Option<Update>; _] = [
        Some(one_by_one),
        // SAFETY: the function is there only if the processor was asked and has them.
        #[cfg(target_arch = "x86_64")]
        is_x86_feature_detected!("avx2").then_some(|s, g, f| unsafe { avx2(s, g, f) }),
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        is_x86_feature_detected!("avx512f").then_some(|s, g, f| unsafe { avx512(s, g, f) }),
    ];
    all.into_iter().flatten()
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
            let gradient = values(1.9);
            let factors = Factors::new(3, 0.01);
            let all = available().map(|update| {
                let square = values(1.1).iter().map(|v| v * v).collect();
                let mut state: [Vec<f32>; 3] = [values(0.3), values(0.7), square];
                update(state.each_mut().map(|v| &mut v[..]), &gradient, &factors);
                state.concat().into_iter().map(f32::to_bits).collect()
            });
            let all: Vec<Vec<u32>> = all.collect();
            assert!(all.iter().all(|bits| *bits == all[0]), "{length}");
        }
    }

    #[test]
    fn tensors_that_share_memory_are_left_alone() {
        let like = || Tensor::ones([8], (Kind::Float, Device::Cpu));
        let factors = Factors::new(1, 0.1);
        let gradient = [1.0; 8];
        let [mut a, mut b, mut c] = [like(), like(), like()];
        let mut of_a = a.shallow_clone();
        assert!(!step([&mut a, &mut of_a, &mut c], &[&gradient], &factors));
        assert_eq!(a, like());
        // Half of it is shared.
        let all = Tensor::ones([12], (Kind::Float, Device::Cpu));
        let [mut first, mut last] = [all.narrow(0, 0, 8), all.narrow(0, 4, 8)];
        assert!(!step(
            [&mut first, &mut b, &mut last],
            &[&gradient],
            &factors
        ));
        let [mut first, mut rest] = [all.narrow(0, 0, 4), all.narrow(0, 4, 4)];
        let mut other = like().narrow(0, 0, 4);
        assert!(step(
            [&mut first, &mut rest, &mut other],
            &[&[1.0; 4]],
            &factors
        ));
        // SAFETY: `step` writes only if nothing is shared.
        let own = unsafe { numbers(&a) }.expect("in memory");
        let mut of_a = a.shallow_clone();
        assert!(!step([&mut of_a, &mut b, &mut c], &[own], &factors));
        assert!(step([&mut a, &mut b, &mut c], &[&gradient], &factors));
    }
}
