//! Products on vector registers.
//!
//! Some columns of the right factor are packed one behind the other ([`Panel`]); a tile of rows by these columns stays in
//! registers while the inner dimension runs.
//! Every sum runs over the inner dimension in order, whatever the tile.

use std::array;

use super::{Left, Read};
use crate::registers::compiled_for_registers;

/// Rows of a tile: with four registers of columns 24 sums, which leave of 32 registers what the factors need.
const ROWS: usize = 6;

/// Columns that are worked on at a time where the registers are wide.
const COLUMNS: usize = 64;

/// The same where they are narrow, or fewer columns are left.
const REST: usize = 16;

/// The inner dimension of a pass: so much of a panel stays in the first cache.
const INNER: usize = 128;

/// Where columns of the right factor are packed: from the beginning of a cache line, since a register that is loaded from two
/// takes two loads, and without gaps, since rows at a power of two share few places of a cache.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Panel([f32; INNER * COLUMNS]);

impl Panel {
    pub(super) fn new() -> Box<Panel> {
        Box::new(Panel([0.0; INNER * COLUMNS]))
    }

    /// These columns of some rows, and zeros up to as many as there are lanes.
    #[inline(always)]
    fn packed<const LANES: usize>(&mut self, b: &[f32], part: Part<'_>) -> &[[f32; LANES]] {
        let (lines, _) = self.0.as_chunks_mut();
        let lines = &mut lines[..b.len() / part.columns];
        for (line, row) in lines.iter_mut().zip(b.chunks_exact(part.columns)) {
            let line: &mut [f32; LANES] = line;
            line[..part.filled].copy_from_slice(&row[part.column..][..part.filled]);
            line[part.filled..].fill(0.0);
        }
        lines
    }
}

compiled_for_registers! {
    /// c = a b, plus this row in every row if there is one.
    ///
    /// # Shapes
    /// a: \[m, k\] as it is read; b: \[k, columns\]; c: \[m, columns\]; row: \[columns\].
    ///
    /// # Panics
    /// If the lengths disagree.
    pub(super) fn product(
        panel: &mut Panel,
        c: &mut [f32],
        a: Left<'_>,
        b: &[f32],
        columns: usize,
        row: Option<&[f32]>,
    ) = product_by::<REST>, product_by::<COLUMNS>
}

#[inline(always)]
fn product_by<const LANES: usize>(
    panel: &mut Panel,
    c: &mut [f32],
    a: Left<'_>,
    b: &[f32],
    columns: usize,
    row: Option<&[f32]>,
) {
    let [_, inner] = a.sizes(c, b, columns);
    for from in (0..inner).step_by(INNER) {
        let b = &b[from * columns..inner.min(from + INNER) * columns];
        let mut column = 0;
        while column < columns {
            let left = columns - column;
            let part = |lanes: usize| Part {
                from,
                start: match row {
                    _ if 0 < from => Start::There,
                    Some(row) => Start::Row(&row[column..]),
                    None => Start::Zero,
                },
                columns,
                column,
                filled: left.min(lanes),
            };
            if LANES <= left {
                let part = part(LANES);
                tiles(c, a, panel.packed::<LANES>(b, part), part);
                column += LANES;
            } else {
                let part = part(REST);
                tiles(c, a, panel.packed::<REST>(b, part), part);
                column += REST;
            }
        }
    }
}

/// Some columns of a product, and some of the terms of their sums.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// The first term.
    from: usize,
    /// What the sums begin with.
    start: Start<'a>,
    /// Columns of the product.
    columns: usize,
    /// The first of these.
    column: usize,
    /// How many are meant.
    filled: usize,
}

#[derive(Clone, Copy)]
enum Start<'a> {
    Zero,
    /// These, in every row.
    Row(&'a [f32]),
    /// What is there.
    There,
}

#[inline(always)]
fn tiles<const LANES: usize>(c: &mut [f32], a: Left<'_>, b: &[[f32; LANES]], part: Part<'_>) {
    let rows = c.len() / part.columns;
    let mut row = 0;
    while row + ROWS <= rows {
        tile::<ROWS, LANES>(c, a, b, part, row);
        row += ROWS;
    }
    while row + 2 <= rows {
        tile::<2, LANES>(c, a, b, part, row);
        row += 2;
    }
    if row < rows {
        tile::<1, LANES>(c, a, b, part, row);
    }
}

#[inline(always)]
fn tile<const HEIGHT: usize, const LANES: usize>(
    c: &mut [f32],
    a: Left<'_>,
    b: &[[f32; LANES]],
    part: Part<'_>,
    row: usize,
) {
    let at = |i: usize| (row + i) * part.columns + part.column;
    let mut sums = [[0.0; LANES]; HEIGHT];
    for (i, sums) in sums.iter_mut().enumerate() {
        let sums = &mut sums[..part.filled];
        match part.start {
            Start::Zero => {}
            Start::Row(row) => sums.copy_from_slice(&row[..part.filled]),
            Start::There => sums.copy_from_slice(&c[at(i)..][..part.filled]),
        }
    }
    let sums = summed(sums, a, b, part.from, row);
    for (i, sums) in sums.iter().enumerate() {
        c[at(i)..][..part.filled].copy_from_slice(&sums[..part.filled]);
    }
}

/// The sums with their terms; by value, or they would be kept in memory.
#[inline(always)]
fn summed<const HEIGHT: usize, const LANES: usize>(
    mut sums: [[f32; LANES]; HEIGHT],
    a: Left<'_>,
    b: &[[f32; LANES]],
    from: usize,
    row: usize,
) -> [[f32; LANES]; HEIGHT] {
    match a.read {
        Read::AsStored => {
            let rows: [&[f32]; HEIGHT] =
                array::from_fn(|i| &a.numbers[(row + i) * a.stored + from..][..b.len()]);
            for (k, b) in b.iter().enumerate() {
                add(&mut sums, array::from_fn(|i| rows[i][k]), b);
            }
        }
        Read::Transposed => {
            let rows = a.numbers[from * a.stored..].chunks_exact(a.stored);
            for (a, b) in rows.zip(b) {
                let a: &[f32; HEIGHT] = a[row..].first_chunk().expect("as many as rows");
                add(&mut sums, *a, b);
            }
        }
    }
    sums
}

/// The next term of every sum.
#[inline(always)]
fn add<const HEIGHT: usize, const LANES: usize>(
    sums: &mut [[f32; LANES]; HEIGHT],
    a: [f32; HEIGHT],
    b: &[f32; LANES],
) {
    for (sums, a) in sums.iter_mut().zip(a) {
        for (sum, b) in sums.iter_mut().zip(b) {
            *sum = a.mul_add(*b, *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::Registers;

    /// Sizes that fill no tile, some, and more than one pass of the inner dimension.
    const SIZES: [[usize; 3]; 7] = [
        [1, 1, 1],
        [5, 3, 2],
        [4, 16, 64],
        [7, 130, 48],
        [9, 257, 83],
        [6, 40, 150],
        [15, 130, 80],
    ];

    fn values(count: usize, seed: f32) -> Vec<f32> {
        let at = |i| (seed * i as f32 + seed).sin();
        (0..count).map(at).collect()
    }

    fn left(numbers: &[f32], rows: usize, inner: usize, read: Read) -> Left<'_> {
        let stored = if read == Read::AsStored { inner } else { rows };
        Left {
            numbers,
            stored,
            read,
        }
    }

    #[test]
    fn a_product_is_the_sum_of_products() {
        for ([rows, inner, columns], read) in SIZES
            .into_iter()
            .flat_map(|size| [(size, Read::AsStored), (size, Read::Transposed)])
        {
            let mut panel = Panel::new();
            let (a, b) = (values(rows * inner, 0.7), values(inner * columns, 1.3));
            let added = values(columns, 2.1);
            for row in [None, Some(&added[..])] {
                let mut c = vec![f32::NAN; rows * columns];
                let a_read = left(&a, rows, inner, read);
                product(
                    Registers::widest(),
                    &mut panel,
                    &mut c,
                    a_read,
                    &b,
                    columns,
                    row,
                );
                for (place, found) in c.iter().enumerate() {
                    let (i, j) = (place / columns, place % columns);
                    let a = |k| match read {
                        Read::AsStored => a[i * inner + k],
                        Read::Transposed => a[k * rows + i],
                    };
                    let terms = (0..inner).map(|k| f64::from(a(k)) * f64::from(b[k * columns + j]));
                    let wanted = terms.sum::<f64>() + row.map_or(0.0, |row| f64::from(row[j]));
                    let error = (f64::from(*found) - wanted).abs();
                    assert!(error < 2e-7 * inner as f64 + 1e-6, "{found} for {wanted}");
                }
            }
        }
    }

    #[test]
    fn results_are_the_same_bits_on_all_registers() {
        for [rows, inner, columns] in SIZES {
            let (a, b) = (values(rows * inner, 0.7), values(inner * columns, 1.3));
            let all = Registers::available().flat_map(|registers| {
                [Read::AsStored, Read::Transposed].map(|read| {
                    let (mut panel, mut c) = (Panel::new(), vec![f32::NAN; rows * columns]);
                    let a = match read {
                        Read::AsStored => a.clone(),
                        // The same matrix, stored the other way.
                        Read::Transposed => {
                            let at = |i| a[i % rows * inner + i / rows];
                            (0..a.len()).map(at).collect()
                        }
                    };
                    let a = left(&a, rows, inner, read);
                    product(registers, &mut panel, &mut c, a, &b, columns, None);
                    c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                })
            });
            let all: Vec<_> = all.collect();
            assert!(all.iter().all(|bits| *bits == all[0]));
        }
    }
}
