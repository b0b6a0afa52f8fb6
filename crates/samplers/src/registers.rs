//! Linear combinations on the widest vector registers of the processor, which is asked as the program runs.
//!
//! A wider register does the same multiplications and additions on more numbers at a time, and none is fused with
//! another: results are the same to the last bit on every processor.

use crate::Element;

/// Sets every number of `out` to a times itself plus Σ b_i y_i.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn combine_in<A: Element, const N: usize>(
    a: f64,
    out: &mut [A],
    terms: [(f64, &[A]); N],
) {
    for (_, term) in terms {
        assert!(
            term.len() == out.len(),
            "combine: {} numbers against {}",
            term.len(),
            out.len()
        );
    }
    #[cfg(target_arch = "x86_64")]
    #[expect(
        unsafe_code,
        reason = "the compiler cannot know what the processor has"
    )]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<A: Element, const N: usize>(a: f64, out: &mut [A], terms: [(f64, &[A]); N]) {
            one_by_one(a, out, terms);
        }
        #[target_feature(enable = "avx512f")]
        fn avx512<A: Element, const N: usize>(a: f64, out: &mut [A], terms: [(f64, &[A]); N]) {
            one_by_one(a, out, terms);
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor was just asked, and has them.
            return unsafe { avx512(a, out, terms) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { avx2(a, out, terms) };
        }
    }
    one_by_one(a, out, terms);
}

#[inline(always)]
fn one_by_one<A: Element, const N: usize>(a: f64, out: &mut [A], terms: [(f64, &[A]); N]) {
    let terms = terms.map(|(b, y)| (b, &y[..out.len()]));
    for i in 0..out.len() {
        let mut sum = a * out[i].into();
        for (b, y) in &terms {
            sum += b * y[i].into();
        }
        out[i] = A::round(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Combine = fn(f64, &mut [f32], [(f64, &[f32]); 2]);

    /// The loop on all registers that this processor has, whichever of them `combine_in` takes.
    #[expect(
        unsafe_code,
        reason = "the compiler cannot know what the processor has"
    )]
    fn available() -> impl Iterator<Item = Combine> {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn avx2(a: f64, out: &mut [f32], terms: [(f64, &[f32]); 2]) {
            one_by_one(a, out, terms);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        fn avx512(a: f64, out: &mut [f32], terms: [(f64, &[f32]); 2]) {
            one_by_one(a, out, terms);
        }
        let all: [Option<Combine>; _] = [
            Some(one_by_one),
            Some(combine_in),
            // SAFETY: the function is there only if the processor was asked and has them.
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx2").then_some(|a, x, y| unsafe { avx2(a, x, y) }),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx512f").then_some(|a, x, y| unsafe { avx512(a, x, y) }),
        ];
        all.into_iter().flatten()
    }

    #[test]
    fn results_are_the_same_bits_on_all_registers() {
        for length in [0, 1, 7, 8, 31, 1000] {
            let values = |seed: f64| -> Vec<f32> {
                let at = |i| (seed * f64::from(i)).sin() as f32;
                (0..length).map(at).collect()
            };
            let (y, z) = (values(0.7), values(1.9));
            let terms = [(-0.3, &y[..]), (1e-9, &z[..])];
            let all = available().map(|combine| {
                let mut x = values(1.3);
                combine(0.1, &mut x, terms);
                x.into_iter().map(f32::to_bits).collect()
            });
            let all: Vec<Vec<u32>> = all.collect();
            assert!(all.iter().all(|bits| *bits == all[0]), "{length}");
        }
    }
}
