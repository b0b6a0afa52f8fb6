//! Loops compiled for the vector registers of the processor, which is asked as the program runs.
//!
//! The loops are safe code as it is written: a wider register does the same operations on more numbers at a time. None is
//! moved, and none is fused with another but where the source says so (`f32::mul_add`), so results are the same to the last
//! bit on every processor, and there is nothing to record.

/// Vector registers that this processor has.
///
/// Only [`available`](Registers::available) makes one: that a value exists is the proof that the processor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers(Kind);

/// How many numbers of single precision a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As many as on every processor that the program is built for.
    Portable,
    /// Eight, and instructions that multiply and add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Sixteen, such instructions, and those for shorter numbers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Registers {
    /// All that this processor has, from the narrowest to the widest.
    pub(crate) fn available() -> impl DoubleEndedIterator<Item = Registers> {
        #[cfg(target_arch = "x86_64")]
        let fused = is_x86_feature_detected!("fma");
        #[cfg(target_arch = "x86_64")]
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        let all = [
            Some(Kind::Portable),
            #[cfg(target_arch = "x86_64")]
            (fused && is_x86_feature_detected!("avx2")).then_some(Kind::Avx2),
            #[cfg(target_arch = "x86_64")]
            (fused && wide).then_some(Kind::Avx512),
        ];
        all.into_iter().flatten().map(Registers)
    }

    /// The widest that this processor has.
    pub(crate) fn widest() -> Registers {
        let widest = Registers::available().next_back();
        widest.expect("every processor has the portable ones")
    }

    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

/// Defines `fn name(registers, arguments)`: the function after the equals sign, compiled once for each kind of registers.
///
/// One that is generic over how many columns it works on at a time stands there with that number for narrow registers, and
/// once more with that for wide ones. It, and what it calls in its loops, must be `#[inline(always)]`: what is called stays
/// portable.
macro_rules! compiled_for_registers {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $body:expr) => {
        compiled_for_registers! {
            $(#[$doc])* $visibility fn $name($($argument: $type),*) = $body, $body
        }
    };
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) = $narrow:expr, $wide:expr) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "the compiler cannot know what the processor has")]
        $visibility fn $name(registers: $crate::registers::Registers, $($argument: $type),*) {
            use $crate::registers::Kind;

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) {
                $narrow($($argument),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,fma")]
            fn avx512($($argument: $type),*) {
                $wide($($argument),*);
            }
            match registers.kind() {
                Kind::Portable => $narrow($($argument),*),
                // SAFETY: `Registers` of this kind exist only where the processor was asked and has them.
                #[cfg(target_arch = "x86_64")]
                Kind::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Kind::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    };
}

pub(crate) use compiled_for_registers;
