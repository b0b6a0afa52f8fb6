//! Rows as columns, in blocks that fill the registers.

use crate::registers::Registers;

/// Rows and columns of a block: numbers in a cache line.
pub(super) const SIDE: usize = 16;

/// Writes a matrix, given row by row in rows of `columns`, to `to` column by column.
///
/// # Panics
/// If the lengths disagree.
#[allow(
    unsafe_code,
    reason = "the compiler cannot know what the processor has"
)]
pub(super) fn transpose(registers: Registers, from: &[f32], columns: usize, to: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(from: &[f32], columns: usize, to: &mut [f32]) {
        by_blocks(from, columns, to, |block| transposed(block));
    }
    match registers.kind() {
        // SAFETY: `Registers` of this kind exist only where the processor was asked and has them.
        #[cfg(target_arch = "x86_64")]
        crate::registers::Kind::Avx512 => unsafe { avx512(from, columns, to) },
        _ => by_blocks(from, columns, to, |block| {
            std::array::from_fn(|i| std::array::from_fn(|j| block[j][i]))
        }),
    }
}

#[inline(always)]
fn by_blocks(
    from: &[f32],
    columns: usize,
    to: &mut [f32],
    transposed: impl Fn([[u32; SIDE]; SIDE]) -> [[u32; SIDE]; SIDE],
) {
    assert_eq!(
        from.len(),
        to.len(),
        "a matrix has as many numbers either way"
    );
    let rows = from.len() / columns;
    for row in (0..rows).step_by(SIDE) {
        for column in (0..columns).step_by(SIDE) {
            let [height, width] = [rows - row, columns - column].map(|left| left.min(SIDE));
            let mut block = [[0; SIDE]; SIDE];
            for (i, line) in block[..height].iter_mut().enumerate() {
                let numbers = &from[(row + i) * columns + column..];
                match numbers.first_chunk::<SIDE>() {
                    Some(numbers) if width == SIDE => *line = numbers.map(f32::to_bits),
                    _ => (0..width).for_each(|j| line[j] = numbers[j].to_bits()),
                }
            }
            for (i, line) in transposed(block)[..width].iter().enumerate() {
                let numbers = &mut to[(column + i) * rows + row..];
                match numbers.first_chunk_mut::<SIDE>() {
                    Some(numbers) if height == SIDE => *numbers = line.map(f32::from_bits),
                    _ => (0..height).for_each(|j| numbers[j] = f32::from_bits(line[j])),
                }
            }
        }
    }
}

/// A block with rows as columns.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "registers as numbers, and back")]
pub(super) fn transposed(rows: [[u32; SIDE]; SIDE]) -> [[u32; SIDE]; SIDE] {
    use std::arch::x86_64::{
        __m512i, _mm512_shuffle_i32x4, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
        _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };
    use std::array;

    // SAFETY: both are sixteen times sixteen words, and every word is one.
    let x: [__m512i; SIDE] = unsafe { std::mem::transmute(rows) };
    // A register is four lanes of four words. First the words of a lane: of each four rows, the rows of one register are its
    // columns i, 4 + i, 8 + i and 12 + i.
    let pairs: [__m512i; SIDE] = array::from_fn(|i| match i % 2 {
        0 => _mm512_unpacklo_epi32(x[i], x[i + 1]),
        _ => _mm512_unpackhi_epi32(x[i - 1], x[i]),
    });
    let fours: [__m512i; SIDE] = array::from_fn(|i| {
        let from = i / 4 * 4 + i % 4 / 2;
        match i % 2 {
            0 => _mm512_unpacklo_epi64(pairs[from], pairs[from + 2]),
            _ => _mm512_unpackhi_epi64(pairs[from], pairs[from + 2]),
        }
    });
    // Then the lanes: the even ones and the odd ones of two registers.
    let lanes = |x: &[__m512i; SIDE], [a, b]: [usize; 2], odd: bool| match odd {
        false => _mm512_shuffle_i32x4::<0b10_00_10_00>(x[a], x[b]),
        true => _mm512_shuffle_i32x4::<0b11_01_11_01>(x[a], x[b]),
    };
    let eights: [__m512i; SIDE] = array::from_fn(|i| {
        let from = i / 8 * 8 + i % 4;
        lanes(&fours, [from, from + 4], 4 <= i % 8)
    });
    let columns: [__m512i; SIDE] = array::from_fn(|i| {
        let from = i / 4 % 2 * 4 + i % 4;
        lanes(&eights, [from, from + 8], 8 <= i)
    });
    // SAFETY: as above.
    unsafe { std::mem::transmute(columns) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_on_all_registers() {
        for [rows, columns] in [[1, 1], [16, 16], [48, 32], [5, 40], [33, 17]] {
            let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let wanted: Vec<f32> = (0..rows * columns)
                .map(|i| from[i % rows * columns + i / rows])
                .collect();
            for registers in Registers::available() {
                let mut to = vec![f32::NAN; from.len()];
                transpose(registers, &from, columns, &mut to);
                assert_eq!(to, wanted, "{rows} {columns} {registers:?}");
            }
        }
    }
}
