//! The binary version of CIFAR-10: records of a label and 32x32 pixels in three planes

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::data::{Error, ImageFormat, Images, Looks, files, name_of};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;
const RECORD: usize = 1 + PIXELS;

/// Reads all batches, in the order of their numbers.
///
/// The format has no header: that a file was cut shows in its size, which is no multiple of a record or differs from
/// that of the other batches.
pub(super) fn open(dir: &Path) -> Result<Images, Error> {
    let mut batches: Vec<_> = files(dir)?
        .into_iter()
        .filter_map(|path| Some((number(&path)?, path)))
        .collect();
    batches.sort();
    if batches.is_empty() {
        return Err(Error::Empty {
            dir: dir.to_owned(),
            format: ImageFormat::Cifar10,
        });
    }

    let mut first = None;
    for (i, (number, path)) in (1..).zip(&batches) {
        if *number != i {
            return Err(Error::CifarGap {
                path: dir.join(format!("data_batch_{i}.bin")),
            });
        }
        let failed = |source| Error::Read {
            path: path.clone(),
            source,
        };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        if bytes == 0 || bytes % RECORD as u64 != 0 {
            let mut head = Vec::new();
            File::open(path)
                .and_then(|file| file.take(16).read_to_end(&mut head))
                .map_err(failed)?;
            return Err(Error::CifarRecords {
                path: path.clone(),
                bytes,
                looks: Looks::of(&head),
            });
        }
        let first = *first.get_or_insert(bytes);
        if bytes != first {
            return Err(Error::CifarUneven {
                path: path.clone(),
                bytes,
                first,
            });
        }
    }

    let count = batches.len() * first.unwrap_or_default() as usize / RECORD;
    let mut pixels = Vec::with_capacity(count * PIXELS);
    let mut labels = Vec::with_capacity(count);
    for (_, path) in &batches {
        let content = fs::read(path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        for (record, bytes) in content.chunks_exact(RECORD).enumerate() {
            let label = bytes[0];
            if 9 < label {
                return Err(Error::CifarLabel {
                    path: path.clone(),
                    record,
                    label,
                });
            }
            labels.push(label);
            pixels.extend(&bytes[1..]);
        }
    }
    Images::new(pixels, SHAPE, Some(labels))
}

/// The number in `data_batch_<number>.bin`.
pub(super) fn number(path: &Path) -> Option<u32> {
    name_of(path)
        .strip_prefix("data_batch_")?
        .strip_suffix(".bin")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::{TempDir, tempdir};

    use super::*;

    /// One record per label; the pixels count up from the label, plane by plane.
    fn batch(labels: &[u8]) -> Vec<u8> {
        labels
            .iter()
            .flat_map(|&label| {
                [label]
                    .into_iter()
                    .chain((0..PIXELS).map(move |i| label + (i / 1024) as u8))
            })
            .collect()
    }

    fn folder(batches: &[(u32, &[u8])]) -> TempDir {
        let dir = tempdir().unwrap();
        for (number, bytes) in batches {
            fs::write(dir.path().join(format!("data_batch_{number}.bin")), bytes).unwrap();
        }
        dir
    }

    #[test]
    fn records_come_in_the_order_of_the_batch_numbers() {
        let batches: Vec<_> = (1..=10)
            .map(|number| (number, batch(&[number as u8 - 1])))
            .collect();
        let batches: Vec<_> = batches
            .iter()
            .map(|(number, bytes)| (*number, &bytes[..]))
            .collect();
        let images = open(folder(&batches).path()).unwrap();
        assert_eq!((images.len(), images.shape()), (10, SHAPE));
        // By name, 10 would come before 2.
        assert_eq!(images.labels(), Some(&(0..10).collect::<Vec<_>>()[..]));
        let second = &images.pixels()[PIXELS..2 * PIXELS];
        assert_eq!(
            [second[0], second[1023], second[1024], second[PIXELS - 1]],
            [1, 1, 2, 3]
        );
    }

    #[test]
    fn a_missing_batch_is_named() {
        let whole = batch(&[1, 2]);
        let error = open(folder(&[(1, &whole), (3, &whole)]).path()).unwrap_err();
        assert!(
            matches!(&error, Error::CifarGap { path } if path.ends_with("data_batch_2.bin")),
            "{error}"
        );
    }

    #[test]
    fn foreign_files_are_refused() {
        let error = open(folder(&[(1, b"<html></html>")]).path()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::CifarRecords {
                    bytes: 13,
                    looks: Looks::Html,
                    ..
                }
            ),
            "{error}"
        );
        let error = open(folder(&[(1, &batch(&[9, 10]))]).path()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::CifarLabel {
                    record: 1,
                    label: 10,
                    ..
                }
            ),
            "{error}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// At the border of a record as well, since batches have one size.
        #[test]
        fn every_truncation_is_an_error(cut in 0..2 * RECORD, first: bool, at_record: bool) {
            let whole = batch(&[3, 4]);
            let cut = if at_record { cut / RECORD * RECORD } else { cut };
            let mut batches = [&whole[..cut], &whole[..]];
            if !first {
                batches.reverse();
            }
            prop_assert!(open(folder(&[(1, batches[0]), (2, batches[1])]).path()).is_err());
        }
    }
}
