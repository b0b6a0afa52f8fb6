//! Why a data set cannot be used: each message names the path, the rule, the value and the remedy

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::data::{ImageFormat, Looks};

/// Why images could not be found, read or divided.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read.
    #[error("cannot read {}; check that it exists and that this user may read it", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file ends before what its header promises.
    #[error(
        "{} is truncated: {found} bytes are there, the header promises {promised}; copy or download it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that are there, after decompression.
        found: u64,
        /// Bytes that the header promises, itself included.
        promised: u64,
    },
    /// The file goes on after what its header promises.
    #[error(
        "{} holds more than the {promised} bytes that its header promises; copy or download it again",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises, itself included.
        promised: u64,
    },
    /// The header promises more than a compressed file of this size can hold.
    #[error(
        "{} cannot be right: its header promises {promised} bytes, and a compressed file of {bytes} bytes holds at \
         most {at_most}; copy or download it again",
        path.display()
    )]
    Implausible {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// Bytes that the header promises.
        promised: u64,
        /// What the compression can reach at best.
        at_most: u64,
    },
    /// The file is of another kind.
    #[error(
        "{} starts with {found:02x?} where {expected:02x?} is expected: {looks}; put the right file in its place",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The magic number that is there.
        found: Vec<u8>,
        /// The magic number that should be there.
        expected: Vec<u8>,
        /// A guess at what the file is.
        looks: Looks,
    },
    /// The sizes in the header are zero or absurd.
    #[error(
        "the header of {} gives the sizes {sizes:?}, each of which must be at least 1 and all of which must fit into \
         memory; copy or download it again",
        path.display()
    )]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// The sizes in the order of the file: count, height, width.
        sizes: Vec<u64>,
    },
    /// The gzip stream breaks off or fails its checksum.
    #[error(
        "{} is a damaged gzip file: it fails after {decoded} decoded bytes; copy or download it again",
        path.display()
    )]
    GzDamaged {
        /// The file.
        path: PathBuf,
        /// Bytes that could be decoded.
        decoded: u64,
        /// What the decoder said.
        source: io::Error,
    },
    /// There are not as many labels as images.
    #[error(
        "{} holds {labels} labels for {images} images; take both files from one source, or remove the labels",
        path.display()
    )]
    LabelCount {
        /// The file of the labels.
        path: PathBuf,
        /// How many labels it holds.
        labels: u64,
        /// How many images there are.
        images: u64,
    },
    /// A CIFAR-10 file is not made of whole records.
    #[error(
        "{} has {bytes} bytes, which is no multiple of a record of 3073 (at least one): {looks}; copy it again, in \
         the binary version of CIFAR-10",
        path.display()
    )]
    CifarRecords {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// A guess at what the file is.
        looks: Looks,
    },
    /// A CIFAR-10 label is not a digit.
    #[error(
        "record {record} of {} has the label {label}, which must be 0 to 9; this is not the binary version of \
         CIFAR-10, download that",
        path.display()
    )]
    CifarLabel {
        /// The file.
        path: PathBuf,
        /// The record, counted from 0.
        record: usize,
        /// The label that is there.
        label: u8,
    },
    /// CIFAR-10 batches differ in size, so that one of them is cut.
    #[error(
        "{} has {bytes} bytes and the first batch has {first}, but all batches have the same size; copy it again",
        path.display()
    )]
    CifarUneven {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// The size of the first batch in bytes.
        first: u64,
    },
    /// A CIFAR-10 batch is missing between others.
    #[error("{} is missing, though later batches are there; copy it as well", path.display())]
    CifarGap {
        /// The batch that should be there.
        path: PathBuf,
    },
    /// The folder holds nothing of the format.
    #[error("{} holds no {}; point --data at the folder that does", dir.display(), format.files())]
    Empty {
        /// The folder.
        dir: PathBuf,
        /// The format that was looked for.
        format: ImageFormat,
    },
    /// The folder holds nothing of any format.
    #[error(
        "{} holds no images in a known format ({}, {} or {}); point --data at the folder that does",
        dir.display(), ImageFormat::Idx.files(), ImageFormat::Cifar10.files(), ImageFormat::PngFolder.files()
    )]
    NoFormat {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder holds files that exclude each other.
    #[error(
        "{} holds more than one data set ({}); leave one there, or give each a folder of its own",
        dir.display(), names.join(", ")
    )]
    Ambiguous {
        /// The folder.
        dir: PathBuf,
        /// What competes.
        names: Vec<String>,
    },
    /// Images differ in size or number of channels.
    #[error(
        "{} is {shape:?} (channels, height, width) and {} is {first_shape:?}, but all images of a folder have one \
         shape; convert or remove the odd ones",
        path.display(), first.display()
    )]
    MixedSizes {
        /// The first image by name.
        first: PathBuf,
        /// Its channels, height and width.
        first_shape: [usize; 3],
        /// The image that differs.
        path: PathBuf,
        /// Its channels, height and width.
        shape: [usize; 3],
    },
    /// A PNG is not 8-bit grey or RGB.
    #[error(
        "{} is a PNG with {bits} bits of {color}, and must be 8 bits of grey or RGB without alpha; convert it, for \
         example with `mogrify -depth 8 -alpha off`",
        path.display()
    )]
    PngKind {
        /// The file.
        path: PathBuf,
        /// Bits per channel.
        bits: u8,
        /// The name of the colour type.
        color: &'static str,
    },
    /// A PNG breaks off or fails a checksum.
    #[error("{} is a damaged PNG; copy it again or remove it", path.display())]
    PngDamaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Pixels or labels are not as many as the shape says.
    #[error(
        "{pixels} pixels and {labels} labels do not make {count} images of {shape:?} (channels, height, width), \
         each at least 1; give as many as the shape says"
    )]
    Content {
        /// Pixels given.
        pixels: usize,
        /// Labels given (as many as images where there are none).
        labels: usize,
        /// Images promised.
        count: usize,
        /// Channels, height and width.
        shape: [usize; 3],
    },
    /// The set is too small for a division, or one side of it is empty.
    #[error(
        "{count} images cannot be divided into {train} for training and {held_out} held out, each at least 1; ask \
         for fewer"
    )]
    Split {
        /// Images there are.
        count: usize,
        /// Images asked for training.
        train: usize,
        /// Images asked to be held out.
        held_out: usize,
    },
    /// The name of a set is not a name.
    #[error(
        "`{name}` is not the name of a data set: small letters, digits and `-` only; put folders into --data"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// The folder given by hand does not exist.
    #[error("--data {} is not a folder; give the one that holds the data set `{name}`", given.display())]
    GivenAbsent {
        /// The name of the set.
        name: String,
        /// The folder that was given.
        given: PathBuf,
    },
    /// The set is in none of the places.
    #[error(
        "the data set `{name}` is not here (searched: {}); install the package `dataset-{name}` where your system \
         has it, or say where it is with `--data DIR`, or fetch it with `cargo xtask data {name}`",
        searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Missing {
        /// The name of the set.
        name: String,
        /// The folders that were searched.
        searched: Vec<PathBuf>,
    },
}
