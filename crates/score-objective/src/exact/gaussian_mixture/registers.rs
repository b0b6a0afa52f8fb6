//! Loops compiled for the widest vector registers of the processor, which is asked as the program runs.
//!
//! A program that is built for every processor of x86-64 has registers of two numbers; most processors have four or
//! eight.
//! The loops stay as they are written, in safe code: a wider register does the same additions and multiplications on
//! more numbers at a time.
//! None is moved, and none is fused with another but where the source says so (`mul_add`), so results are the same to the
//! last bit on every processor, and there is nothing to record.

/// A kind of vector registers that this processor has.
///
/// Only [`available`](Registers::available) makes one: that a value exists is the proof that the processor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Registers(Kind);

/// How many numbers of double precision a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As many as on every processor that the program is built for.
    Portable,
    /// Four, and instructions that multiply and add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Eight, and such instructions.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Registers {
    /// All that this processor has, from the narrowest to the widest.
    pub(super) fn available() -> impl DoubleEndedIterator<Item = Registers> {
        #[cfg(target_arch = "x86_64")]
        let fused = || is_x86_feature_detected!("fma");
        let all = [
            Some(Kind::Portable),
            #[cfg(target_arch = "x86_64")]
            (fused() && is_x86_feature_detected!("avx2")).then_some(Kind::Avx2),
            #[cfg(target_arch = "x86_64")]
            (fused() && is_x86_feature_detected!("avx512f")).then_some(Kind::Avx512),
        ];
        all.into_iter().flatten().map(Registers)
    }

    /// The widest that this processor has.
    pub(super) fn widest() -> Registers {
        let widest = Registers::available().next_back();
        widest.expect("every processor has the portable ones")
    }

    pub(super) fn kind(self) -> Kind {
        self.0
    }
}

/// Defines `fn name(registers, arguments)`: the function after the equals sign, compiled once for each kind.
///
/// A constant that it is generic over stands in brackets.
/// That function, and what it calls in its loops, must be `#[inline(always)]`: what is called stays portable.
macro_rules! compiled_for_registers {
    ($visibility:vis fn $name:ident$([const $size:ident: $of:ty])?$(<$generic:ident: $bound:ident>)?($($argument:ident: $type:ty),* $(,)?) = $body:path) => {
        #[allow(unsafe_code, reason = "the compiler cannot know what the processor has")]
        $visibility fn $name$(<const $size: $of>)?$(<$generic: $bound>)?(
            registers: $crate::exact::gaussian_mixture::registers::Registers,
            $($argument: $type),*
        ) {
            use $crate::exact::gaussian_mixture::registers::Kind;

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2$(<const $size: $of>)?$(<$generic: $bound>)?($($argument: $type),*) {
                $body($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,fma")]
            fn avx512$(<const $size: $of>)?$(<$generic: $bound>)?($($argument: $type),*) {
                $body($($argument),*)
            }
            match registers.kind() {
                Kind::Portable => $body($($argument),*),
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

pub(super) use compiled_for_registers;
