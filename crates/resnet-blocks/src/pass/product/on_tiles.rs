//! Products of single precision on tiles of bfloat16 (AMX), as exact as those on registers, and faster.
//!
//! Each number is a sum of three bfloat16, a = a₁ + a₂ + a₃, so a product of two is a sum of nine; what is left out,
//! a₂b₃ + a₃b₂ + a₃b₃, is at most 2⁻²³ |ab|, which rounding a sum of many terms exceeds.
//! The others are exact, and their sums are of single precision. Numbers below 2⁻¹²⁶ count as 0.
//!
//! Intel's architecture manual, TDPBF16PS; the idea is that of Henry, Tang & Heinecke 2019
//! (<https://arxiv.org/abs/1904.06376>).

use std::ops::Range;

use super::Left;
use super::amx::{Amx, SetUp};
use super::parts::{NOTHING, PAIR, Terms, pack_left, pack_right};

/// Terms of a sum that are packed at a time: so many of 32 rows and of 32 columns stay in the first cache.
const INNER: usize = 64;

/// Columns of the right factor that are packed at a time, for the second cache.
const COLUMNS: usize = 128;

/// Tiles, of which this processor has eight, and which the system lets this program use.
///
/// Only [`available`](Tiles::available) makes one: that a value exists is the proof.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Amx(Amx),
    /// The same operations one by one, for tests on every processor.
    #[cfg(test)]
    OneByOne,
}

/// Where factors are packed.
#[derive(Debug)]
pub(super) struct Packed {
    left: [Terms; INNER / PAIR],
    right: [[Terms; INNER / PAIR]; COLUMNS / PAIR],
}

impl Packed {
    pub(super) fn new() -> Box<Packed> {
        Box::new(Packed {
            left: [NOTHING; INNER / PAIR],
            right: [[NOTHING; INNER / PAIR]; COLUMNS / PAIR],
        })
    }
}

impl Tiles {
    /// The tiles, if there are any.
    pub(super) fn available() -> Option<Tiles> {
        Amx::available().map(|amx| Tiles(Kind::Amx(amx)))
    }

    /// Whether a product of these sizes is worth it: less than a tile is padded with zeros.
    pub(super) fn fit(self, [rows, inner]: [usize; 2], columns: usize) -> bool {
        PAIR <= rows.min(inner).min(columns)
    }

    /// c = a b, plus this row in every row if there is one.
    ///
    /// # Shapes
    /// As [`Products::product`](super::Products::product).
    ///
    /// # Panics
    /// If the lengths disagree.
    #[expect(
        unsafe_code,
        reason = "the compiler cannot know what the processor has"
    )]
    pub(super) fn product(
        self,
        packed: &mut Packed,
        c: &mut [f32],
        a: Left<'_>,
        b: &[f32],
        columns: usize,
        row: Option<&[f32]>,
    ) {
        // SAFETY: `Tiles` exist only where the processor has been asked, and has wide registers and tiles.
        unsafe { self.product_by(packed, c, a, b, columns, row) }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn product_by(
        self,
        Packed { left, right }: &mut Packed,
        c: &mut [f32],
        a: Left<'_>,
        b: &[f32],
        columns: usize,
        row: Option<&[f32]>,
    ) {
        let [rows, inner] = a.sizes(c, b, columns);
        let unit = Unit::of(self);
        for terms in pieces(0..inner, INNER) {
            for wide in pieces(0..columns, COLUMNS) {
                for (columns_of, right) in pieces(wide.clone(), PAIR).zip(&mut *right) {
                    for (terms, packed) in pieces(terms.clone(), PAIR).zip(right) {
                        pack_right(packed, b, columns, [terms, columns_of.clone()]);
                    }
                }
                // Few rows at a time: as they are packed the tiles still multiply those before.
                for rows in pieces(0..rows, PAIR) {
                    for (terms, packed) in pieces(terms.clone(), PAIR).zip(&mut *left) {
                        pack_left(packed, a, [rows.clone(), terms]);
                    }
                    let left = &left[..terms.len().div_ceil(PAIR)];
                    for (columns_of, right) in pieces(wide.clone(), PAIR).zip(&*right) {
                        let start = match row {
                            _ if 0 < terms.start => Start::There,
                            Some(row) => Start::Row(&row[columns_of.clone()]),
                            None => Start::Row(&[0.0; PAIR][..columns_of.len()]),
                        };
                        let size = [rows.len(), columns_of.len()];
                        let c = &mut c[rows.start * columns + columns_of.start..];
                        unit.add(c, columns, size, start, left, &right[..left.len()]);
                    }
                }
            }
        }
    }
}

/// What multiplies, while a product is made.
enum Unit {
    Amx(SetUp),
    #[cfg(test)]
    OneByOne,
}

impl Unit {
    fn of(tiles: Tiles) -> Unit {
        match tiles.0 {
            Kind::Amx(amx) => Unit::Amx(SetUp::new(amx)),
            #[cfg(test)]
            Kind::OneByOne => Unit::OneByOne,
        }
    }

    /// Sums of so many rows and columns, 32 at most, with their terms; `c` has rows of `stored`.
    #[inline(always)]
    fn add(
        &self,
        c: &mut [f32],
        stored: usize,
        [height, width]: [usize; 2],
        start: Start<'_>,
        left: &[Terms],
        right: &[Terms],
    ) {
        if [height, width] == [PAIR; 2] {
            return self.add_whole(c, stored, start, left, right);
        }
        let mut whole = [0.0; PAIR * PAIR];
        for (i, line) in whole.chunks_exact_mut(PAIR).take(height).enumerate() {
            let begin = match start {
                Start::Row(row) => row,
                Start::There => &c[i * stored..],
            };
            line[..width].copy_from_slice(&begin[..width]);
        }
        self.add_whole(&mut whole, PAIR, Start::There, left, right);
        for (i, line) in whole.chunks_exact(PAIR).take(height).enumerate() {
            c[i * stored..][..width].copy_from_slice(&line[..width]);
        }
    }

    /// The same of 32 rows and columns.
    #[inline(always)]
    fn add_whole(
        &self,
        c: &mut [f32],
        stored: usize,
        start: Start<'_>,
        left: &[Terms],
        right: &[Terms],
    ) {
        match self {
            Unit::Amx(set_up) => set_up.add(c, stored, start, left, right),
            #[cfg(test)]
            Unit::OneByOne => tests::one_by_one(c, stored, start, left, right),
        }
    }
}

/// A range in pieces of this length, of which the last may be shorter.
fn pieces(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range
        .step_by(length)
        .map(move |from| from..end.min(from + length))
}

/// What sums begin with.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// These, in every row.
    Row(&'a [f32]),
    /// What is there.
    There,
}

#[cfg(test)]
mod tests {
    use super::super::{Read, on_registers};
    use super::*;
    use crate::{pass::transpose::SIDE, registers::Registers};

    /// The sums of [`SetUp::add`] number by number, as the manual has them: of each tile the terms with even and with odd numbers
    /// apart.
    pub(super) fn one_by_one(
        c: &mut [f32],
        stored: usize,
        start: Start<'_>,
        left: &[Terms],
        right: &[Terms],
    ) {
        let number = |word: u32, odd: usize| match odd {
            0 => f32::from_bits(word << 16),
            _ => f32::from_bits(word & 0xffff_0000),
        };
        for (i, j) in (0..PAIR * PAIR).map(|place| (place / PAIR, place % PAIR)) {
            let mut sum = match start {
                Start::Row(row) => row[j],
                Start::There => c[i * stored + j],
            };
            for (left, right) in left.iter().zip(right) {
                for (a, b) in [(0, 2), (0, 1), (0, 0), (2, 0), (1, 0), (1, 1)] {
                    let a = left[a][i / SIDE].0[i % SIDE];
                    let b = right[b][j / SIDE].0.map(|row| row[j % SIDE]);
                    let [even, odd] = [0, 1].map(|odd| {
                        let terms = a.iter().zip(&b);
                        terms.fold(0.0_f32, |sum, (a, b)| {
                            number(*a, odd).mul_add(number(*b, odd), sum)
                        })
                    });
                    sum += even + odd;
                }
            }
            c[i * stored + j] = sum;
        }
    }

    /// The loops as they are on every processor with wide registers, and the tiles where there are such.
    fn all() -> impl Iterator<Item = Tiles> {
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        let one_by_one = wide.then_some(Tiles(Kind::OneByOne));
        one_by_one.into_iter().chain(Tiles::available())
    }

    /// Sizes that fill tiles, and some that do not; more than one pass of the inner dimension, and of columns.
    const SIZES: [[usize; 3]; 6] = [
        [32, 32, 32],
        [64, 128, 128],
        [1, 1, 1],
        [33, 31, 47],
        [70, 150, 83],
        [40, 260, 150],
    ];

    fn values(count: usize, seed: f32) -> Vec<f32> {
        let at = |i| (seed * i as f32 + seed).sin() * (0.01 * i as f32).cos();
        (0..count).map(at).collect()
    }

    /// The product of matrices that are stored row by row; the left one may be given as it is stored transposed.
    fn product_of(
        tiles: Tiles,
        [rows, inner, columns]: [usize; 3],
        a: &[f32],
        b: &[f32],
        row: Option<&[f32]>,
        read: Read,
    ) -> Vec<f32> {
        let turned: Vec<f32> = match read {
            Read::AsStored => a.to_vec(),
            Read::Transposed => {
                let at = |i| a[i % rows * inner + i / rows];
                (0..a.len()).map(at).collect()
            }
        };
        let left = Left {
            numbers: &turned,
            stored: if read == Read::AsStored { inner } else { rows },
            read,
        };
        let mut c = vec![f32::NAN; rows * columns];
        tiles.product(&mut Packed::new(), &mut c, left, b, columns, row);
        c
    }

    fn on_registers([rows, inner, columns]: [usize; 3], a: &[f32], b: &[f32]) -> Vec<f32> {
        let left = Left {
            numbers: a,
            stored: inner,
            read: Read::AsStored,
        };
        let mut c = vec![f32::NAN; rows * columns];
        let panel = &mut on_registers::Panel::new();
        on_registers::product(Registers::widest(), panel, &mut c, left, b, columns, None);
        c
    }

    /// The largest error, in units of the sum of the terms' magnitudes.
    fn error([_, inner, columns]: [usize; 3], a: &[f32], b: &[f32], c: &[f32]) -> f64 {
        let errors = c.iter().enumerate().map(|(place, found)| {
            let (i, j) = (place / columns, place % columns);
            let term = |k: usize| f64::from(a[i * inner + k]) * f64::from(b[k * columns + j]);
            let (sum, magnitudes) = (0..inner).map(term).fold((0.0, 0.0), |(sum, all), term| {
                (sum + term, all + term.abs())
            });
            (f64::from(*found) - sum).abs() / magnitudes
        });
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn a_product_is_as_exact_as_on_registers() {
        for (size, tiles) in SIZES
            .into_iter()
            .flat_map(|size| all().map(move |t| (size, t)))
        {
            let [rows, inner, columns] = size;
            let (a, b) = (values(rows * inner, 0.7), values(inner * columns, 1.3));
            let theirs = error(size, &a, &b, &on_registers(size, &a, &b));
            for read in [Read::AsStored, Read::Transposed] {
                let ours = error(size, &a, &b, &product_of(tiles, size, &a, &b, None, read));
                // A term's parts that are left out, and the last rounding of a sum.
                let least = f64::from(f32::EPSILON);
                assert!(
                    ours <= theirs.max(least),
                    "{size:?} {tiles:?}: {ours:e} and {theirs:e}"
                );
            }
        }
    }

    #[test]
    fn products_of_whole_numbers_are_exact() {
        for (size, tiles) in SIZES
            .into_iter()
            .flat_map(|size| all().map(move |t| (size, t)))
        {
            let [rows, inner, columns] = size;
            // Of 19 bits, which takes three parts; their products with small ones are exact in single precision.
            let large = |i: usize| (i * 7_919 % 524_287) as f32 - 262_143.0;
            let small = |i: usize| f32::from(i.is_multiple_of(97)) * (1.0 + (i % 3) as f32);
            let (mut a, mut b): (Vec<f32>, Vec<f32>) = (
                (0..rows * inner).map(large).collect(),
                (0..inner * columns).map(small).collect(),
            );
            let row: Vec<f32> = (0..columns).map(|j| j as f32).collect();
            for _ in 0..2 {
                let wanted: Vec<f32> = (0..rows * columns)
                    .map(|place| {
                        let (i, j) = (place / columns, place % columns);
                        let terms = (0..inner).map(|k| a[i * inner + k] * b[k * columns + j]);
                        row[j] + terms.sum::<f32>()
                    })
                    .collect();
                for read in [Read::AsStored, Read::Transposed] {
                    let found = product_of(tiles, size, &a, &b, Some(&row), read);
                    assert!(found == wanted, "{size:?} {tiles:?}");
                }
                // The other way round.
                a = (0..rows * inner).map(small).collect();
                b = (0..inner * columns).map(large).collect();
            }
        }
    }

    #[test]
    fn tiles_do_what_the_manual_says() {
        let Some(tiles) = Tiles::available() else {
            return;
        };
        for size in SIZES {
            let [rows, inner, columns] = size;
            let (a, b) = (values(rows * inner, 0.7), values(inner * columns, 1.3));
            let row = values(columns, 2.1);
            let [found, wanted] = [tiles, Tiles(Kind::OneByOne)]
                .map(|tiles| product_of(tiles, size, &a, &b, Some(&row), Read::AsStored))
                .map(|c| c.into_iter().map(f32::to_bits).collect::<Vec<_>>());
            assert!(found == wanted, "{size:?}");
        }
    }

    #[test]
    fn numbers_of_every_size_stand_side_by_side() {
        // From 1e6 down to where numbers are no normal ones any more.
        let mixed = |count: usize, seed: f32| -> Vec<f32> {
            let sizes = (0..count).map(|i| 10_f32.powi(6 - (i * 29 % 53) as i32));
            let values = values(count, seed).into_iter().zip(sizes);
            values.map(|(x, size)| x * size).collect()
        };
        for (size, tiles) in SIZES
            .into_iter()
            .flat_map(|size| all().map(move |t| (size, t)))
        {
            let [rows, inner, columns] = size;
            let (a, b) = (mixed(rows * inner, 0.7), mixed(inner * columns, 1.3));
            let wanted = on_registers(size, &a, &b);
            let magnitudes = [&a, &b].map(|all| all.iter().map(|x| x.abs()).collect::<Vec<_>>());
            let magnitudes = on_registers(size, &magnitudes[0], &magnitudes[1]);
            for read in [Read::AsStored, Read::Transposed] {
                let found = product_of(tiles, size, &a, &b, None, read);
                for ((found, wanted), magnitude) in found.iter().zip(&wanted).zip(&magnitudes) {
                    let allowed = 4e-7 * magnitude + 1e-30;
                    assert!(
                        (found - wanted).abs() <= allowed,
                        "{tiles:?}, {size:?}: {found:e} for {wanted:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for (bad, tiles) in [f32::NAN, f32::INFINITY]
            .into_iter()
            .flat_map(|bad| all().map(move |tiles| (bad, tiles)))
        {
            let (mut a, b) = (vec![1.0; 1024], vec![1.0; 1024]);
            a[5 * 32 + 7] = bad;
            let c = product_of(tiles, [32, 32, 32], &a, &b, None, Read::AsStored);
            for (i, row) in c.chunks_exact(32).enumerate() {
                assert!(
                    row.iter().all(|c| c.is_finite() == (i != 5)),
                    "{bad}, row {i}"
                );
            }
        }
    }
}
