//! Numbers of single precision as sums of three bfloat16, laid out as tiles take them.

use std::array;
use std::ops::Range;

use super::{Left, Read};
use crate::pass::transpose::{SIDE, transposed};

/// Rows and columns of a product that are worked on at a time, and terms of its sums in a tile: two bfloat16 lie in a column.
pub(super) const PAIR: usize = 2 * SIDE;

/// A tile's memory: rows of a cache line each.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Tile(pub(super) [[u32; SIDE]; SIDE]);

/// Of one factor, what a tile has of the sums' terms: three parts of two neighbouring tiles.
pub(super) type Terms = [[Tile; 2]; 3];

pub(super) const NOTHING: Terms = [[Tile([[0; SIDE]; SIDE]); 2]; 3];

/// x = a + b + c, each in the upper half of a word: a is x rounded to eight significant bits, b what is left, rounded, and
/// c what is left then, which has no more than eight.
///
/// Only of numbers below 1e-33 is something left out, less than 1e-40: there c would be none of the normal numbers.
/// An infinite x has parts that are no numbers.
#[inline(always)]
fn parts(x: f32) -> [u32; 3] {
    const UPPER: u32 = 0xffff_0000;
    let rounded = |x: f32| x.to_bits().wrapping_add(0x8000) & UPPER;
    let a = rounded(x);
    let left = x - f32::from_bits(a);
    let b = rounded(left);
    let c = (left - f32::from_bits(b)).to_bits() & UPPER;
    [a, b, c]
}

/// So many numbers, of which those that are not there are 0.
#[inline(always)]
fn some<const N: usize>(numbers: &[f32], from: usize, there: usize) -> [f32; N] {
    match numbers.get(from..).and_then(<[f32]>::first_chunk) {
        Some(all) if N <= there => *all,
        _ => {
            let mut some = [0.0; N];
            some[..there].copy_from_slice(&numbers[from..][..there]);
            some
        }
    }
}

/// Terms of the right factor, stored row by row in rows of `stored`: these rows and columns of it, 32 at most, and zeros
/// where there are fewer.
#[inline(always)]
pub(super) fn pack_right(
    terms: &mut Terms,
    b: &[f32],
    stored: usize,
    [rows, columns]: [Range<usize>; 2],
) {
    for side in 0..2 {
        let begin = columns.end.min(columns.start + SIDE * side);
        let there = SIDE.min(columns.end - begin);
        let line = |row: usize| match rows.start + row {
            row if row < rows.end => some(b, row * stored + begin, there),
            _ => [0.0; SIDE],
        };
        for pair in 0..SIDE {
            let lines = paired(line(2 * pair), line(2 * pair + 1));
            for (tiles, line) in terms.iter_mut().zip(lines) {
                tiles[side].0[pair] = line;
            }
        }
    }
}

/// The parts of two rows, number by number one beside the other: the first lies lower, as in memory.
#[inline(always)]
fn paired(first: [f32; SIDE], second: [f32; SIDE]) -> [[u32; SIDE]; 3] {
    let mut lines = [[0; SIDE]; 3];
    for i in 0..SIDE {
        let both = [parts(first[i]), parts(second[i])];
        for (part, line) in lines.iter_mut().enumerate() {
            line[i] = both[0][part] >> 16 | both[1][part];
        }
    }
    lines
}

/// Terms of the left factor: these rows and columns of it as it is read, 32 at most, and zeros where there are fewer.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack_left(terms: &mut Terms, a: Left<'_>, [rows, columns]: [Range<usize>; 2]) {
    if a.read == Read::Transposed {
        pack_right(terms, a.numbers, a.stored, [columns, rows]);
        for tile in terms.iter_mut().flatten() {
            tile.0 = transposed(tile.0);
        }
        return;
    }
    for row in 0..PAIR {
        let numbers: [f32; PAIR] = match rows.start + row {
            row if row < rows.end => some(a.numbers, row * a.stored + columns.start, columns.len()),
            _ => [0.0; PAIR],
        };
        let mut lines = [[0_u16; PAIR]; 3];
        for (i, x) in numbers.into_iter().enumerate() {
            for (line, part) in lines.iter_mut().zip(parts(x)) {
                line[i] = (part >> 16) as u16;
            }
        }
        for (tiles, line) in terms.iter_mut().zip(lines) {
            tiles[row / SIDE].0[row % SIDE] =
                array::from_fn(|i| u32::from(line[2 * i]) | u32::from(line[2 * i + 1]) << 16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_number_and_are_short() {
        let all = (0..130_000).map(|i| f32::from_bits(16_411 * i));
        for x in all.chain([-1.0, 1.0 + f32::EPSILON, 2.0 - f32::EPSILON, -3.0e-34]) {
            let parts = parts(x).map(f32::from_bits);
            assert!(parts.iter().all(|part| part.to_bits() & 0xffff == 0), "{x}");
            let sum = parts.map(f64::from).iter().sum::<f64>();
            let allowed = if x.abs() < 1e-33 { 1e-40 } else { 0.0 };
            assert!((sum - f64::from(x)).abs() <= allowed, "{x:e}: {parts:?}");
            assert!(
                parts[1].abs() <= x.abs() / 256.0 + f32::MIN_POSITIVE
                    && parts[2].abs() <= x.abs() / 65_536.0
            );
        }
    }
}
