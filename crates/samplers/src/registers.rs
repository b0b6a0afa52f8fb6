//! Linear combinations on the widest vector registers of the processor, which is asked as the program runs.
//!
//! A wider register does the same multiplications and additions on more numbers at a time, and none is fused with
//! another: results are the same to the last bit on every processor.

use crate::Element;

/// Sets every number of `out` to a times itself plus Σ b_i y_i, added up in this order in `f64` and rounded once.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn combine_in<A: Element>(a: f64, out: &mut [A], terms: &[(f64, &[A])]) {
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
        fn avx2<A: Element>(a: f64, out: &mut [A], terms: &[(f64, &[A])]) {
            any_number(a, out, terms);
        }
        #[target_feature(enable = "avx512f")]
        fn avx512<A: Element>(a: f64, out: &mut [A], terms: &[(f64, &[A])]) {
            any_number(a, out, terms);
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
    any_number(a, out, terms);
}

/// One loop for as many terms as most steps have, whose sums stay in registers; for more, sums stay in the first cache.
#[inline(always)]
fn any_number<A: Element>(a: f64, out: &mut [A], terms: &[(f64, &[A])]) {
    macro_rules! lengths {
        ($($length:literal)*) => {
            match terms.len() {
                $($length => one_by_one::<A, $length>(a, out, terms.try_into().expect("so many")),)*
                _ => piece_by_piece(a, out, terms),
            }
        };
    }
    lengths!(0 1 2 3 4 5 6 7);
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

#[inline(always)]
fn piece_by_piece<A: Element>(a: f64, out: &mut [A], terms: &[(f64, &[A])]) {
    const PIECE: usize = 512;
    let mut sums = [0.0; PIECE];
    for (index, out) in out.chunks_mut(PIECE).enumerate() {
        let sums = &mut sums[..out.len()];
        for (sum, x) in sums.iter_mut().zip(&*out) {
            *sum = a * (*x).into();
        }
        for (b, y) in terms {
            for (sum, y) in sums.iter_mut().zip(&y[index * PIECE..]) {
                *sum += b * (*y).into();
            }
        }
        for (x, sum) in out.iter_mut().zip(sums) {
            *x = A::round(*sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Combine = fn(f64, &mut [f32], &[(f64, &[f32])]);

    /// The loop on all registers that this processor has, whichever of them `combine_in` takes.
    #[expect(
        unsafe_code,
        reason = "the compiler cannot know what the processor has"
    )]
    fn available() -> impl Iterator<Item = Combine> {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn avx2(a: f64, out: &mut [f32], terms: &[(f64, &[f32])]) {
            any_number(a, out, terms);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        fn avx512(a: f64, out: &mut [f32], terms: &[(f64, &[f32])]) {
            any_number(a, out, terms);
        }
        let all: [Option<Combine>; _] = [
            Some(any_number),
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
        for length in [0, 1, 7, 8, 31, 1000_i32] {
            let values = |seed: f64| -> Vec<f32> {
                let at = |i| (seed * f64::from(i)).sin() as f32;
                (0..length).map(at).collect()
            };
            let given = [0.7, 1.9, 0.2, 2.3].map(values);
            let weights = [-0.3, 1e-9, 1.7, -4e3];
            let terms: Vec<(f64, &[f32])> = weights
                .into_iter()
                .zip(given.iter().map(|term| &term[..]))
                .collect();
            for count in 0..=terms.len() {
                let all = available().map(|combine| {
                    let mut x = values(1.3);
                    combine(0.1, &mut x, &terms[..count]);
                    x.into_iter().map(f32::to_bits).collect()
                });
                let all: Vec<Vec<u32>> = all.collect();
                let plain = |i: usize| {
                    let sum = 0.1 * f64::from(values(1.3)[i]);
                    let add = |sum, (b, y): &(f64, &[f32])| sum + b * f64::from(y[i]);
                    (terms[..count].iter().fold(sum, add) as f32).to_bits()
                };
                let plain: Vec<u32> = (0..length as usize).map(plain).collect();
                assert!(all.iter().all(|bits| *bits == plain), "{length} {count}");
            }
        }
    }
}
