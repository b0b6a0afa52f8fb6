//! Sets of images: found, read with distrust, and handed out in batches
//!
//! Three formats are read: IDX (MNIST and its kin), CIFAR-10's binary version, and a folder of PNGs.
//! Memory is taken only after a header was checked against what its file can hold, so that a file that lies is
//! refused and not believed.

mod cifar;
mod error;
mod find;
mod idx;
mod png_folder;
mod sniff;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array2;

pub use self::error::Error;
pub use self::find::{SYSTEM, locate};
pub use self::sniff::Looks;

/// No deflate stream expands by more: 258 bytes from 2 bits.
const DEFLATE_MAX_RATIO: u64 = 1032;

/// A finite set of 8-bit images of one shape, with labels where the source has them.
///
/// ```
/// use ablation::data::Images;
///
/// // Two grey images of one row and two columns, labelled 3 and 9.
/// let images = Images::new(vec![0, 255, 51, 204], [1, 1, 2], Some(vec![3, 9]))?;
/// assert_eq!(images.len(), 2);
/// assert_eq!(images.batch(&[1, 0]), ndarray::arr2(&[[-0.6, 0.6], [-1.0, 1.0]]));
/// # Ok::<(), ablation::data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Image after image, each `[channel, row, column]`.
    pixels: Vec<u8>,
    count: usize,
    channels: usize,
    height: usize,
    width: usize,
    labels: Option<Vec<u8>>,
}

impl Images {
    /// Images from pixels in the order `[image, channel, row, column]`.
    ///
    /// # Shapes
    /// `shape` is `[C, H, W]`; `pixels` has `n * C * H * W` entries and `labels`, if any, `n`.
    ///
    /// # Errors
    /// [`Error::Content`] where there is no image, a size is 0, or the numbers of pixels and labels do not fit.
    pub fn new(pixels: Vec<u8>, shape: [usize; 3], labels: Option<Vec<u8>>) -> Result<Self, Error> {
        let [channels, height, width] = shape;
        let size = channels
            .checked_mul(height)
            .and_then(|area| area.checked_mul(width))
            .unwrap_or(0);
        let count = pixels.len().checked_div(size).unwrap_or(0);
        let labelled = labels.as_ref().map_or(count, Vec::len);
        if count == 0 || pixels.len() != count * size || labelled != count {
            return Err(Error::Content {
                pixels: pixels.len(),
                labels: labelled,
                count,
                shape,
            });
        }
        Ok(Self {
            pixels,
            count,
            channels,
            height,
            width,
            labels,
        })
    }

    /// Reads the training images of the data set in the folder `dir`.
    ///
    /// # Errors
    /// [`Error`] where files are missing, damaged, foreign, or do not fit together.
    pub fn open(dir: &Path, format: ImageFormat) -> Result<Self, Error> {
        match format {
            ImageFormat::Idx => idx::open(dir),
            ImageFormat::Cifar10 => cifar::open(dir),
            ImageFormat::PngFolder => png_folder::open(dir),
        }
    }

    /// The number of images, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// The shape of one image: `[channels, height, width]`.
    #[must_use]
    pub const fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// All pixels, in the order `[image, channel, row, column]`.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// One label per image, where the source has labels.
    #[must_use]
    pub fn labels(&self) -> Option<&[u8]> {
        self.labels.as_deref()
    }

    /// The images at `indices`, scaled to [-1, 1]: `x = (p - 127.5) / 127.5` for a pixel `p` in 0..=255.
    ///
    /// # Shapes
    /// `[indices.len(), C * H * W]`, each row in the order channel, row, column.
    ///
    /// # Panics
    /// Where an index is not below [`Images::len`].
    #[must_use]
    pub fn batch(&self, indices: &[usize]) -> Array2<f32> {
        let size = self.size();
        let mut scaled = Vec::with_capacity(indices.len() * size);
        for &index in indices {
            assert!(index < self.count, "image {index} of {}", self.count);
            let image = &self.pixels[index * size..(index + 1) * size];
            scaled.extend(
                image
                    .iter()
                    .map(|&pixel| (f32::from(pixel) - 127.5) / 127.5),
            );
        }
        Array2::from_shape_vec((indices.len(), size), scaled).expect("one row per index")
    }

    /// The BLAKE3 hash, in hexadecimal, of the decoded content: shape, pixels and labels.
    ///
    /// It enters a cell's identity; the format and the compression of the files do not.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("ablation images v1");
        for size in [
            self.count,
            self.channels,
            self.height,
            self.width,
            self.labels.iter().len(),
        ] {
            hasher.update(&(size as u64).to_le_bytes());
        }
        hasher.update(&self.pixels);
        hasher.update(self.labels.as_deref().unwrap_or_default());
        hasher.finalize().to_hex().to_string()
    }

    /// The first `train` images, and the `held_out` images that follow them; what is left is dropped.
    ///
    /// By order, so that the division is the same everywhere. MNIST and its kin and CIFAR-10 come shuffled; for a
    /// folder of PNGs the order is that of the names, which must not be sorted by class.
    ///
    /// # Errors
    /// [`Error::Split`] where there are too few images or one side is empty.
    pub fn split(mut self, train: usize, held_out: usize) -> Result<(Self, Self), Error> {
        let enough = train
            .checked_add(held_out)
            .is_some_and(|both| both <= self.count);
        if train == 0 || held_out == 0 || !enough {
            return Err(Error::Split {
                count: self.count,
                train,
                held_out,
            });
        }
        let size = self.size();
        let mut held = Self {
            pixels: self.pixels.split_off(train * size),
            labels: self.labels.as_mut().map(|labels| labels.split_off(train)),
            ..self
        };
        for (images, count) in [(&mut self, train), (&mut held, held_out)] {
            images.count = count;
            images.pixels.truncate(count * size);
            images.pixels.shrink_to_fit();
            if let Some(labels) = &mut images.labels {
                labels.truncate(count);
            }
        }
        Ok((self, held))
    }

    const fn size(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// How a set of images is stored in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    /// The files of MNIST, Fashion-MNIST, KMNIST and EMNIST: `train-images-idx3-ubyte`, plain or `.gz`, and
    /// `train-labels-idx1-ubyte` where it is there.
    ///
    /// EMNIST's files (`emnist-<split>-train-images-idx3-ubyte`) hold each image *transposed*, rows and columns
    /// exchanged. The pixels are handed out as they are stored, so that the same file means the same numbers
    /// everywhere: EMNIST's letters lie on their side, mirrored.
    Idx,
    /// The binary version of CIFAR-10: `data_batch_1.bin` and so on, in records of 3073 bytes: a label, then 32x32
    /// pixels of red, of green and of blue.
    Cifar10,
    /// A folder of 8-bit PNGs, grey or RGB, all of one size, in the order of the bytes of their names; without
    /// labels. Files that do not end in `.png` are passed over, and so are folders.
    PngFolder,
}

impl ImageFormat {
    /// Every format, once.
    pub const ALL: [Self; 3] = [Self::Idx, Self::Cifar10, Self::PngFolder];

    /// The name in snake_case, as studies write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idx => "idx",
            Self::Cifar10 => "cifar10",
            Self::PngFolder => "png_folder",
        }
    }

    /// The files that the format is known by.
    const fn files(self) -> &'static str {
        match self {
            Self::Idx => "`train-images-idx3-ubyte[.gz]`",
            Self::Cifar10 => "`data_batch_1.bin`",
            Self::PngFolder => "`*.png`",
        }
    }

    fn owns(self, path: &Path) -> bool {
        match self {
            Self::Idx => idx::is_images(path),
            Self::Cifar10 => cifar::number(path).is_some(),
            Self::PngFolder => png_folder::is_png(path),
        }
    }
}

/// The format of the files in the folder `dir`, by their names.
///
/// # Errors
/// [`Error::NoFormat`] where nothing is known, [`Error::Ambiguous`] where more than one format is there.
pub fn detect(dir: &Path) -> Result<ImageFormat, Error> {
    let files = files(dir)?;
    let present: Vec<_> = ImageFormat::ALL
        .into_iter()
        .filter(|format| files.iter().any(|path| format.owns(path)))
        .collect();
    match present[..] {
        [format] => Ok(format),
        [] => Err(Error::NoFormat {
            dir: dir.to_owned(),
        }),
        _ => Err(Error::Ambiguous {
            dir: dir.to_owned(),
            names: present
                .iter()
                .map(|format| format.files().to_owned())
                .collect(),
        }),
    }
}

/// The files in a folder, folders left out, sorted by the bytes of their names.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read {
        path: dir.to_owned(),
        source,
    };
    let entries = fs::read_dir(dir)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed)?;
    let mut files: Vec<_> = entries
        .iter()
        .map(fs::DirEntry::path)
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    fn six() -> Images {
        Images::new((0..12).collect(), [1, 2, 1], Some((0..6).collect())).unwrap()
    }

    #[test]
    fn batches_reach_both_ends_exactly_and_keep_the_order_asked_for() {
        let images = Images::new(vec![0, 255, 0, 0, 255, 255], [2, 1, 1], None).unwrap();
        let batch = images.batch(&[2, 0, 2]);
        assert_eq!(batch.shape(), [3, 2]);
        assert_eq!(
            batch.iter().copied().collect::<Vec<_>>(),
            [1.0, 1.0, -1.0, 1.0, 1.0, 1.0]
        );
        assert_eq!(images.batch(&[]).shape(), [0, 2]);
    }

    #[test]
    #[should_panic(expected = "image 6 of 6")]
    fn an_index_beyond_the_set_panics() {
        let _ = six().batch(&[6]);
    }

    #[test]
    fn a_split_is_by_order_and_disjoint() {
        let (train, held_out) = six().split(3, 2).unwrap();
        assert_eq!((train.len(), held_out.len()), (3, 2));
        assert_eq!(
            (train.pixels(), held_out.pixels()),
            (&[0, 1, 2, 3, 4, 5][..], &[6, 7, 8, 9][..])
        );
        assert_eq!(
            (train.labels(), held_out.labels()),
            (Some(&[0, 1, 2][..]), Some(&[3, 4][..]))
        );
        assert_eq!(train.shape(), [1, 2, 1]);
        for (train, held_out) in [(0, 1), (1, 0), (5, 2), (usize::MAX, 2)] {
            assert!(matches!(
                six().split(train, held_out),
                Err(Error::Split { count: 6, .. })
            ));
        }
    }

    #[test]
    fn content_must_fit_the_shape() {
        assert!(Images::new(vec![0; 4], [1, 2, 2], None).is_ok());
        for (pixels, shape, labels) in [
            (vec![], [1, 2, 2], None),
            (vec![0; 5], [1, 2, 2], None),
            (vec![0; 4], [1, 2, 0], None),
            (vec![0; 4], [usize::MAX, 2, 2], None),
            (vec![0; 4], [1, 2, 2], Some(vec![1, 2])),
        ] {
            assert!(
                matches!(
                    Images::new(pixels, shape, labels),
                    Err(Error::Content { .. })
                ),
                "{shape:?}"
            );
        }
    }

    /// The digest is part of every identity: these bytes may change with the version in its context only.
    #[test]
    fn golden_digest() {
        assert_eq!(
            six().digest(),
            "b5358c361f87f6f5502720035430f7ac7e8d1fdf4ffe83259a8fd773d2e73b03"
        );
    }

    #[test]
    fn the_digest_sees_shape_pixels_and_labels() {
        let digests = [
            six(),
            Images::new((0..12).collect(), [2, 1, 1], Some((0..6).collect())).unwrap(),
            Images::new((0..12).rev().collect(), [1, 2, 1], Some((0..6).collect())).unwrap(),
            Images::new((0..12).collect(), [1, 2, 1], Some(vec![0; 6])).unwrap(),
            Images::new((0..12).collect(), [1, 2, 1], None).unwrap(),
        ]
        .map(|images| images.digest());
        for (i, digest) in digests.iter().enumerate() {
            assert!(!digests[..i].contains(digest), "{i}");
        }
        assert_eq!(digests[0], six().digest());
    }

    #[test]
    fn formats_are_known_by_names_of_files() {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join("README"), "").unwrap();
        fs::create_dir(dir.path().join("train-images-idx3-ubyte")).unwrap();
        let message = detect(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains("data_batch_1.bin") && message.contains("--data"),
            "{message}"
        );
        for (name, format) in [
            ("train-images-idx3-ubyte.gz", ImageFormat::Idx),
            ("emnist-letters-train-images-idx3-ubyte", ImageFormat::Idx),
            ("data_batch_1.bin", ImageFormat::Cifar10),
            ("0001.PNG", ImageFormat::PngFolder),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            assert_eq!(detect(dir.path()).unwrap(), format, "{name}");
            fs::remove_file(&path).unwrap();
        }
        fs::write(dir.path().join("a.png"), "").unwrap();
        fs::write(dir.path().join("data_batch_1.bin"), "").unwrap();
        assert!(
            matches!(detect(dir.path()), Err(Error::Ambiguous { names, .. }) if names.len() == 2)
        );
        assert!(matches!(
            detect(&dir.path().join("absent")),
            Err(Error::Read { .. })
        ));
    }

    #[test]
    fn an_empty_folder_is_empty_in_every_format() {
        let dir = tempdir().unwrap();
        for format in ImageFormat::ALL {
            assert!(
                matches!(Images::open(dir.path(), format), Err(Error::Empty { .. })),
                "{format:?}"
            );
        }
    }
}
