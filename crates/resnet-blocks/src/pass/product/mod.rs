//! Products of matrices of single precision, small enough for the second cache.

#[cfg(target_arch = "x86_64")]
mod amx;
mod on_registers;
#[cfg(target_arch = "x86_64")]
mod on_tiles;
#[cfg(target_arch = "x86_64")]
mod parts;

use crate::registers::Registers;
use on_registers::Panel;
#[cfg(target_arch = "x86_64")]
use on_tiles::{Packed, Tiles};

/// The left factor.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    /// Row after row of the matrix as it is stored.
    pub(super) numbers: &'a [f32],
    /// Length of a stored row.
    pub(super) stored: usize,
    /// Which way it is read.
    pub(super) read: Read,
}

/// Which way a stored matrix is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// As it is stored.
    AsStored,
    /// Transposed.
    Transposed,
}

impl Left<'_> {
    /// Rows and inner dimension of the product with `b`, of so many columns.
    ///
    /// # Panics
    /// If the lengths disagree.
    fn sizes(&self, c: &[f32], b: &[f32], columns: usize) -> [usize; 2] {
        let inner = b.len() / columns;
        let rows = self.numbers.len() / inner;
        let stored = match self.read {
            Read::AsStored => inner,
            Read::Transposed => rows,
        };
        assert!(
            b.len() == inner * columns && c.len() == rows * columns && self.stored == stored,
            "{} numbers in {columns} columns are not the product of {} numbers in rows of {} and {} numbers",
            c.len(),
            self.numbers.len(),
            self.stored,
            b.len()
        );
        [rows, inner]
    }
}

/// How products are made here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Products {
    registers: Registers,
    /// Where they are there, for products that fill them.
    #[cfg(target_arch = "x86_64")]
    tiles: Option<Tiles>,
}

impl Products {
    /// On the widest registers, and on tiles where there are such.
    pub(super) fn fastest() -> Products {
        Products {
            registers: Registers::widest(),
            #[cfg(target_arch = "x86_64")]
            tiles: Tiles::available(),
        }
    }

    /// How, in words.
    #[cfg(feature = "tch")]
    pub(super) fn words(self) -> &'static str {
        #[cfg(target_arch = "x86_64")]
        if self.tiles.is_some() {
            return "on tiles of bfloat16, in three parts a number";
        }
        "on registers"
    }

    /// c = a b, plus this row in every row if there is one.
    ///
    /// # Shapes
    /// a: \[m, k\] as it is read; b: \[k, columns\]; c: \[m, columns\]; row: \[columns\].
    ///
    /// # Panics
    /// If the lengths disagree.
    pub(super) fn product(
        self,
        workspace: &mut Workspace,
        c: &mut [f32],
        a: Left<'_>,
        b: &[f32],
        columns: usize,
        row: Option<&[f32]>,
    ) {
        #[cfg(target_arch = "x86_64")]
        if let Some(tiles) = self.tiles
            && tiles.fit(a.sizes(c, b, columns), columns)
        {
            let packed = workspace.packed.get_or_insert_with(Packed::new);
            return tiles.product(packed, c, a, b, columns, row);
        }
        let panel = workspace.panel.get_or_insert_with(Panel::new);
        on_registers::product(self.registers, panel, c, a, b, columns, row);
    }
}

/// Where products pack their factors.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    panel: Option<Box<Panel>>,
    #[cfg(target_arch = "x86_64")]
    packed: Option<Box<Packed>>,
}
