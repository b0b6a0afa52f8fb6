//! The widest vector registers that the processor has, asked as the program runs.

/// Defines a function that runs another, `#[inline(always)]` and with a number of lanes as its last parameter, compiled for
/// the registers of this processor.
///
/// The number of lanes says how many columns of a product are worked on at a time. No sum depends on it, and products are
/// added with one rounding everywhere (`f32::mul_add`), so results are the same to the last bit on every processor.
macro_rules! on_widest_registers {
    ($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) by $body:ident) => {
        $(#[$doc])*
        pub(super) fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[expect(
                unsafe_code,
                reason = "the compiler cannot know what the processor has"
            )]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) {
                    $body::<16>($($argument),*);
                }
                #[target_feature(enable = "avx512f,fma")]
                fn avx512($($argument: $type),*) {
                    $body::<64>($($argument),*);
                }
                if is_x86_feature_detected!("fma") {
                    if is_x86_feature_detected!("avx512f") {
                        // SAFETY: the processor was just asked, and has them.
                        return unsafe { avx512($($argument),*) };
                    }
                    if is_x86_feature_detected!("avx2") {
                        // SAFETY: as above.
                        return unsafe { avx2($($argument),*) };
                    }
                }
            }
            $body::<16>($($argument),*);
        }
    };
}

pub(super) use on_widest_registers;
