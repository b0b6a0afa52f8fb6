//! What a file looks like from its first bytes: for messages only, nothing is decided by it

use std::fmt;

/// A guess at what a foreign file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Looks {
    /// An IDX file of labels (`00 00 08 01`).
    IdxLabels,
    /// An IDX file of images (`00 00 08 03`).
    IdxImages,
    /// An IDX file of another element type or number of dimensions.
    IdxOther,
    /// A PNG image.
    Png,
    /// A JPEG image.
    Jpeg,
    /// An HTML page, as a failed download leaves behind.
    Html,
    /// A gzip stream.
    Gzip,
    /// A ZIP archive.
    Zip,
    /// A NumPy array.
    Numpy,
    /// A Python pickle.
    Pickle,
    /// A pointer of Git LFS in place of the file.
    LfsPointer,
    /// Nothing known.
    Unknown,
}

impl Looks {
    /// A guess from the first bytes of a file, of which a few are enough.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let text = head.trim_ascii_start();
        match head {
            [0, 0, 0x08, 1, ..] => Self::IdxLabels,
            [0, 0, 0x08, 3, ..] => Self::IdxImages,
            [0, 0, 0x08 | 0x09 | 0x0b..=0x0e, 1..=4, ..] => Self::IdxOther,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x80, 2..=5, ..] => Self::Pickle,
            _ if head.starts_with(b"\x89PNG") => Self::Png,
            _ if head.starts_with(b"PK\x03\x04") => Self::Zip,
            _ if head.starts_with(b"\x93NUMPY") => Self::Numpy,
            _ if head.starts_with(b"version ") => Self::LfsPointer,
            _ if text.starts_with(b"<") => Self::Html,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdxLabels => "this looks like labels in IDX format",
            Self::IdxImages => "this looks like images in IDX format",
            Self::IdxOther => "this looks like an IDX file that holds no 8-bit images or labels",
            Self::Png => "this looks like a PNG",
            Self::Jpeg => "this looks like a JPEG",
            Self::Html => "this looks like an HTML page, left by a download that failed",
            Self::Gzip => "this looks like a gzip file",
            Self::Zip => "this looks like a ZIP archive",
            Self::Numpy => "this looks like a NumPy array",
            Self::Pickle => "this looks like a Python pickle",
            Self::LfsPointer => "this looks like a Git LFS pointer in place of the file",
            Self::Unknown => "this looks like nothing known",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_suspects() {
        for (head, looks) in [
            (&b"\x00\x00\x08\x01\x00\x00"[..], Looks::IdxLabels),
            (b"\x00\x00\x08\x03", Looks::IdxImages),
            (b"\x00\x00\x0d\x03", Looks::IdxOther),
            (b"\x89PNG\r\n\x1a\n", Looks::Png),
            (b"\xff\xd8\xff\xe0", Looks::Jpeg),
            (b" \n<!DOCTYPE html>", Looks::Html),
            (b"\x1f\x8b\x08", Looks::Gzip),
            (b"PK\x03\x04", Looks::Zip),
            (b"\x93NUMPY\x01", Looks::Numpy),
            (b"\x80\x04\x95", Looks::Pickle),
            (b"version https://", Looks::LfsPointer),
            (b"", Looks::Unknown),
            (b"\x00\x00\x08", Looks::Unknown),
        ] {
            assert_eq!(Looks::of(head), looks, "{head:?}");
        }
    }
}
