//! Tiles of the processor, which the compiler does not know: all that is written in its own words.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

use super::on_tiles::Start;
use super::parts::{PAIR, Terms};
use crate::pass::transpose::SIDE;

/// That the processor has tiles that multiply bfloat16, and wide registers, and that the system lets this program use them.
///
/// Only [`available`](Amx::available) makes one: that a value exists is the proof.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amx(());

impl Amx {
    /// The tiles, if there are any.
    pub(super) fn available() -> Option<Amx> {
        const BFLOAT16: u32 = 1 << 22;
        const TILES: u32 = 1 << 24;
        // The leaf exists where AVX-512 does.
        let has = |bits: u32| __cpuid_count(7, 0).edx & bits == bits;
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        (wide && has(BFLOAT16 | TILES) && permitted()).then_some(Amx(()))
    }
}

/// That the system lets this program use tiles, which it is asked for once.
#[expect(unsafe_code, reason = "a call of the system")]
fn permitted() -> bool {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XTILEDATA: libc::c_long = 18;
        // SAFETY: the call takes two numbers and touches no memory of ours; a system that does not know it refuses.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    false
}

/// Eight tiles of sixteen rows of 64 bytes, until it is dropped.
pub(super) struct SetUp(());

impl SetUp {
    #[expect(unsafe_code, reason = "the compiler knows no tiles")]
    pub(super) fn new(_: Amx) -> SetUp {
        // The first byte is the palette, from byte 16 on are the bytes of a row, from 48 on the rows.
        #[repr(align(64))]
        struct Description([u8; 64]);
        let mut description = Description([0; 64]);
        description.0[0] = 1;
        for tile in 0..8 {
            description.0[16 + 2 * tile] = 64;
            description.0[48 + tile] = SIDE as u8;
        }
        // SAFETY: there are tiles; it reads the 64 bytes of the description.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &description, options(nostack, readonly)) };
        SetUp(())
    }

    /// Sums of 32 rows and columns, with their terms: four tiles of sums, two of each factor; `c` has rows of `stored`.
    ///
    /// # Panics
    /// If `c` has fewer.
    #[inline(always)]
    #[expect(unsafe_code, reason = "the compiler knows no tiles")]
    pub(super) fn add(
        &self,
        c: &mut [f32],
        stored: usize,
        start: Start<'_>,
        left: &[Terms],
        right: &[Terms],
    ) {
        assert!(
            (PAIR - 1) * stored + PAIR <= c.len()
                && PAIR <= stored
                && left.len() == right.len()
                && !left.is_empty()
        );
        let line = 4 * stored;
        let (begin, step) = match start {
            Start::Row(row) => (row[..PAIR].as_ptr(), 0),
            Start::There => (c.as_ptr(), line),
        };
        // The sums with the terms of the two left and two right tiles that are there.
        macro_rules! multiply {
            () => {
                "tdpbf16ps tmm0, tmm4, tmm6
             tdpbf16ps tmm1, tmm4, tmm7
             tdpbf16ps tmm2, tmm5, tmm6
             tdpbf16ps tmm3, tmm5, tmm7"
            };
        }
        // SAFETY: of `c` are read and written 32 rows of 32 numbers, `stored` apart, as was just asked; of a row,
        // 32 numbers, sixteen times the same; of the factors as many `Terms` as there are, each of six tiles of 1024 bytes. The
        // tiles are set up, and nothing is left in them.
        unsafe {
            asm!(
                "tileloadd tmm0, [{begin} + {step}]",
                "tileloadd tmm1, [{begin} + {step} + 64]",
                "tileloadd tmm2, [{below} + {step}]",
                "tileloadd tmm3, [{below} + {step} + 64]",
                "2:",
                // From the least to the largest: a₁ with b₃, b₂ and b₁, which a₃ and a₂ meet then, and a₂ with b₂.
                "tileloadd tmm4, [{left} + {side}]",
                "tileloadd tmm5, [{left} + {side} + 1024]",
                "tileloadd tmm6, [{right} + {side} + 4096]",
                "tileloadd tmm7, [{right} + {side} + 5120]",
                multiply!(),
                "tileloadd tmm6, [{right} + {side} + 2048]",
                "tileloadd tmm7, [{right} + {side} + 3072]",
                multiply!(),
                "tileloadd tmm6, [{right} + {side}]",
                "tileloadd tmm7, [{right} + {side} + 1024]",
                multiply!(),
                "tileloadd tmm4, [{left} + {side} + 4096]",
                "tileloadd tmm5, [{left} + {side} + 5120]",
                multiply!(),
                "tileloadd tmm4, [{left} + {side} + 2048]",
                "tileloadd tmm5, [{left} + {side} + 3072]",
                multiply!(),
                "tileloadd tmm6, [{right} + {side} + 2048]",
                "tileloadd tmm7, [{right} + {side} + 3072]",
                multiply!(),
                "add {left}, 6144",
                "add {right}, 6144",
                "dec {count}",
                "jnz 2b",
                "tilestored [{c} + {line}], tmm0",
                "tilestored [{c} + {line} + 64], tmm1",
                "tilestored [{lower} + {line}], tmm2",
                "tilestored [{lower} + {line} + 64], tmm3",
                begin = in(reg) begin,
                below = in(reg) begin.wrapping_byte_add(SIDE * step),
                step = in(reg) step,
                c = in(reg) c.as_mut_ptr(),
                lower = in(reg) c[SIDE * stored..].as_mut_ptr(),
                line = in(reg) line,
                side = in(reg) 64_usize,
                left = inout(reg) left.as_ptr() => _,
                right = inout(reg) right.as_ptr() => _,
                count = inout(reg) left.len() => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack)
            )
        }
    }
}

impl Drop for SetUp {
    #[expect(unsafe_code, reason = "the compiler knows no tiles")]
    fn drop(&mut self) {
        // SAFETY: there are tiles; what is in them was stored.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
