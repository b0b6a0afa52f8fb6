//! IDX files: MNIST, Fashion-MNIST, KMNIST and EMNIST, plain or gzipped

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::data::{DEFLATE_MAX_RATIO, Error, ImageFormat, Images, Looks, files, name_of};

const IMAGES: &str = "train-images-idx3-ubyte";

/// Reads the images, and the labels next to them where they are there.
pub(super) fn open(dir: &Path) -> Result<Images, Error> {
    let files = files(dir)?;
    let path = choose(dir, &files)?;
    let (sizes, pixels) = read::<3>(path)?;
    let [count, height, width] = sizes;
    let labels_name = stem(path).replace("images-idx3", "labels-idx1");
    let labels = match files.iter().find(|file| stem(file) == labels_name) {
        None => None,
        Some(path) => {
            let ([labels], content) = read::<1>(path)?;
            if labels != count {
                return Err(Error::LabelCount {
                    path: path.clone(),
                    labels,
                    images: count,
                });
            }
            Some(content)
        }
    };
    // The pixels are in memory, so their sizes fit.
    Images::new(pixels, [1, height as usize, width as usize], labels)
}

/// Whether a file is named like training images.
pub(super) fn is_images(path: &Path) -> bool {
    let stem = stem(path);
    stem == IMAGES || (stem.starts_with("emnist-") && stem.ends_with(IMAGES))
}

/// The name without `.gz`.
fn stem(path: &Path) -> &str {
    let name = name_of(path);
    name.strip_suffix(".gz").unwrap_or(name)
}

/// The one file of images; of a plain one and its gzipped twin the plain one, which sorts first.
fn choose<'a>(dir: &Path, files: &'a [PathBuf]) -> Result<&'a Path, Error> {
    let mut candidates: Vec<&Path> = files
        .iter()
        .map(PathBuf::as_path)
        .filter(|path| is_images(path))
        .collect();
    candidates.dedup_by_key(|path| stem(path));
    match candidates[..] {
        [path] => Ok(path),
        [] => Err(Error::Empty {
            dir: dir.to_owned(),
            format: ImageFormat::Idx,
        }),
        _ => Err(Error::Ambiguous {
            dir: dir.to_owned(),
            names: candidates
                .iter()
                .map(|path| name_of(path).to_owned())
                .collect(),
        }),
    }
}

/// Sizes and content of an IDX file of unsigned bytes with `D` dimensions.
///
/// The header is `00 00 08 D`, then `D` sizes of four bytes each, most significant first.
fn read<const D: usize>(path: &Path) -> Result<([u64; D], Vec<u8>), Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut plain = BufReader::new(file);
    // By content, not by name: browsers like to unpack a file and keep its `.gz`.
    let zipped = plain.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
    let mut source: Box<dyn Read> = if zipped {
        Box::new(MultiGzDecoder::new(plain))
    } else {
        Box::new(plain)
    };
    let broken = |decoded: usize, source: io::Error| match zipped {
        true => Error::GzDamaged {
            path: path.to_owned(),
            decoded: decoded as u64,
            source,
        },
        false => Error::Read {
            path: path.to_owned(),
            source,
        },
    };

    let header_bytes = 4 + 4 * D;
    let mut header = Vec::with_capacity(header_bytes);
    let ended = source
        .by_ref()
        .take(header_bytes as u64)
        .read_to_end(&mut header);
    ended.map_err(|source| broken(header.len(), source))?;
    let expected = [0, 0, 8, D as u8];
    if 4 <= header.len() && header[..4] != expected {
        return Err(Error::Foreign {
            path: path.to_owned(),
            found: header[..4].to_vec(),
            expected: expected.to_vec(),
            looks: Looks::of(&header),
        });
    }
    let truncated = |found: usize, promised| Error::Truncated {
        path: path.to_owned(),
        found: found as u64,
        promised,
    };
    if header.len() < header_bytes {
        return Err(truncated(header.len(), header_bytes as u64));
    }

    let sizes: [u64; D] = std::array::from_fn(|i| {
        let at = 4 + 4 * i;
        u64::from(u32::from_be_bytes([
            header[at],
            header[at + 1],
            header[at + 2],
            header[at + 3],
        ]))
    });
    let dimensions = || Error::Dimensions {
        path: path.to_owned(),
        sizes: sizes.to_vec(),
    };
    let content_bytes = sizes
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(size));
    let content_bytes = content_bytes
        .filter(|&product| 0 < product)
        .ok_or_else(dimensions)?;
    let promised = content_bytes
        .checked_add(header_bytes as u64)
        .ok_or_else(dimensions)?;
    if zipped {
        let at_most = bytes.saturating_mul(DEFLATE_MAX_RATIO);
        if at_most < promised {
            return Err(Error::Implausible {
                path: path.to_owned(),
                bytes,
                promised,
                at_most,
            });
        }
    } else if bytes < promised {
        return Err(Error::Truncated {
            path: path.to_owned(),
            found: bytes,
            promised,
        });
    } else if promised < bytes {
        return Err(Error::TooLong {
            path: path.to_owned(),
            promised,
        });
    }

    // What a plain file promises is there; what a gzipped one promises is believed as it arrives.
    let mut content = Vec::with_capacity(if zipped { 0 } else { content_bytes as usize });
    let ended = source
        .by_ref()
        .take(content_bytes)
        .read_to_end(&mut content);
    ended.map_err(|source| broken(header_bytes + content.len(), source))?;
    if (content.len() as u64) < content_bytes {
        return Err(truncated(header_bytes + content.len(), promised));
    }
    // Reading on to the end also makes the decoder check the checksum.
    match source
        .read(&mut [0])
        .map_err(|source| broken(header_bytes + content.len(), source))?
    {
        0 => Ok((sizes, content)),
        _ => Err(Error::TooLong {
            path: path.to_owned(),
            promised,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use tempfile::{TempDir, tempdir};

    use super::*;

    const LABELS: &str = "train-labels-idx1-ubyte";

    fn idx(sizes: &[u32], content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(content);
        bytes
    }

    fn three_images() -> Vec<u8> {
        idx(&[3, 2, 4], &(0..24).collect::<Vec<_>>())
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let dir = tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    fn refusal(name: &str, bytes: &[u8]) -> Error {
        let error = open(folder(&[(name, bytes)]).path()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        error
    }

    #[test]
    fn plain_and_gzipped_are_the_same_set() {
        let labels = idx(&[3], &[7, 8, 9]);
        let plain = open(folder(&[(IMAGES, &three_images()), (LABELS, &labels)]).path()).unwrap();
        assert_eq!((plain.len(), plain.shape()), (3, [1, 2, 4]));
        assert_eq!(plain.pixels(), (0..24).collect::<Vec<_>>());
        assert_eq!(plain.labels(), Some(&[7, 8, 9][..]));
        let (images_gz, labels_gz) = (format!("{IMAGES}.gz"), format!("{LABELS}.gz"));
        let zipped = folder(&[
            (&images_gz, &gz(&three_images())),
            (&labels_gz, &gz(&labels)),
        ]);
        assert_eq!(open(zipped.path()).unwrap(), plain);
        // Unpacked by a browser that kept the name; and the two kinds mixed.
        let mixed = folder(&[(&images_gz, &three_images()), (LABELS, &labels)]);
        assert_eq!(open(mixed.path()).unwrap(), plain);
        let twins = folder(&[
            (IMAGES, &three_images()),
            (&images_gz, b"torn"),
            (LABELS, &labels),
        ]);
        assert_eq!(open(twins.path()).unwrap(), plain);
    }

    #[test]
    fn labels_are_optional_and_belong_to_their_images() {
        let emnist = "emnist-letters-train-images-idx3-ubyte";
        let other = idx(&[2], &[0, 1]);
        let dir = folder(&[(emnist, &three_images()), (LABELS, &other)]);
        assert_eq!(open(dir.path()).unwrap().labels(), None);
        fs::write(
            dir.path().join("emnist-letters-train-labels-idx1-ubyte"),
            other,
        )
        .unwrap();
        assert!(matches!(
            open(dir.path()),
            Err(Error::LabelCount {
                labels: 2,
                images: 3,
                ..
            })
        ));
    }

    #[test]
    fn two_sets_in_one_folder_are_not_guessed_at() {
        let names = [
            "emnist-digits-train-images-idx3-ubyte",
            "emnist-letters-train-images-idx3-ubyte.gz",
        ];
        let dir = folder(&[(names[0], &three_images()), (names[1], &three_images())]);
        assert!(
            matches!(open(dir.path()), Err(Error::Ambiguous { names: found, .. }) if found == names)
        );
    }

    #[test]
    fn a_foreign_file_is_told_by_its_magic_number() {
        for (bytes, looks) in [
            (idx(&[9], &[0; 9]), Looks::IdxLabels),
            (b"\x89PNG\r\n\x1a\n".to_vec(), Looks::Png),
            (b"<!DOCTYPE html>".to_vec(), Looks::Html),
            (gz(b"<!DOCTYPE html>"), Looks::Html),
        ] {
            let error = refusal(IMAGES, &bytes);
            assert!(
                matches!(error, Error::Foreign { looks: found, .. } if found == looks),
                "{error}"
            );
        }
        let message = refusal(IMAGES, &idx(&[9], &[0; 9])).to_string();
        assert!(
            message.contains("[00, 00, 08, 01] where [00, 00, 08, 03] is expected"),
            "{message}"
        );
        assert!(message.contains("looks like labels"), "{message}");
    }

    #[test]
    fn a_header_that_lies_is_refused_before_memory_is_taken() {
        let lie = idx(&[1 << 31, 1 << 15, 1 << 15], &[0; 8]);
        let promised = (1_u64 << 61) + 16;
        assert!(
            matches!(refusal(IMAGES, &lie), Error::Truncated { found: 24, promised: p, .. } if p == promised)
        );
        assert!(
            matches!(refusal(IMAGES, &gz(&lie)), Error::Implausible { promised: p, .. } if p == promised)
        );
        // Possible for the size of the gzip file, and yet not there.
        let short = gz(&idx(&[100, 10, 10], &[0; 9]));
        assert!(matches!(
            refusal(IMAGES, &short),
            Error::Truncated {
                found: 25,
                promised: 10_016,
                ..
            }
        ));
        for sizes in [[0, 2, 4], [3, 0, 4], [3, 2, 0], [u32::MAX; 3]] {
            let error = refusal(IMAGES, &idx(&sizes, &[0; 8]));
            assert!(matches!(error, Error::Dimensions { .. }), "{error}");
        }
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let mut long = three_images();
        long.push(0);
        assert!(matches!(
            refusal(IMAGES, &long),
            Error::TooLong { promised: 40, .. }
        ));
        assert!(matches!(
            refusal(IMAGES, &gz(&long)),
            Error::TooLong { promised: 40, .. }
        ));
    }

    #[test]
    fn a_wrong_checksum_is_damage() {
        let mut zipped = gz(&three_images());
        let at = zipped.len() - 8;
        zipped[at] ^= 1;
        assert!(matches!(
            refusal(IMAGES, &zipped),
            Error::GzDamaged { decoded: 40, .. }
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_truncation_is_an_error(part in 0.0..1.0_f64, zipped: bool, labels: bool) {
            let (name, whole) = if labels { (LABELS, idx(&[3], &[1, 2, 3])) } else { (IMAGES, three_images()) };
            let whole = if zipped { gz(&whole) } else { whole };
            let cut = &whole[..(part * whole.len() as f64) as usize];
            let dir = folder(&[(IMAGES, &three_images())]);
            fs::write(dir.path().join(name), cut).unwrap();
            prop_assert!(open(dir.path()).is_err());
            fs::write(dir.path().join(name), whole).unwrap();
            prop_assert!(open(dir.path()).is_ok());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64), magic: bool) {
            if magic {
                bytes.splice(0..0, [0, 0, 8, 3]);
            }
            let _ = open(folder(&[(IMAGES, &bytes)]).path());
        }
    }
}
