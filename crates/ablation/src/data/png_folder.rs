//! A folder of 8-bit PNGs, grey or RGB, all of one size

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, DecodingError, Reader};

use crate::data::{DEFLATE_MAX_RATIO, Error, ImageFormat, Images, Looks, files, name_of};

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Reads all images, in the order of the bytes of their names.
pub(super) fn open(dir: &Path) -> Result<Images, Error> {
    let paths: Vec<_> = files(dir)?
        .into_iter()
        .filter(|path| is_png(path))
        .collect();
    let first = paths.first().ok_or_else(|| Error::Empty {
        dir: dir.to_owned(),
        format: ImageFormat::PngFolder,
    })?;

    // All headers before any pixel: an odd one out is found at once, and memory is taken once.
    let mut first_shape = None;
    for path in &paths {
        let shape = header(path)?.1;
        let first_shape = *first_shape.get_or_insert(shape);
        if shape != first_shape {
            return Err(Error::MixedSizes {
                first: first.clone(),
                first_shape,
                path: path.clone(),
                shape,
            });
        }
    }

    let [channels, height, width] = first_shape.unwrap_or_default();
    let area = height * width;
    let mut pixels = vec![0; paths.len() * channels * area];
    let mut interleaved = vec![0; channels * area];
    for (path, image) in paths.iter().zip(pixels.chunks_exact_mut(channels * area)) {
        decode(path, &mut interleaved)?;
        for (i, pixel) in interleaved.chunks_exact(channels).enumerate() {
            for (channel, &value) in pixel.iter().enumerate() {
                image[channel * area + i] = value;
            }
        }
    }
    Images::new(pixels, [channels, height, width], None)
}

/// Whether a file is named like a PNG.
pub(super) fn is_png(path: &Path) -> bool {
    name_of(path).to_ascii_lowercase().ends_with(".png")
}

/// The reader behind the header, and the image's channels, height and width.
fn header(path: &Path) -> Result<(Reader<BufReader<File>>, [usize; 3]), Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut head = Vec::with_capacity(SIGNATURE.len());
    file.by_ref()
        .take(SIGNATURE.len() as u64)
        .read_to_end(&mut head)
        .map_err(failed)?;
    if !SIGNATURE.starts_with(&head) {
        let (looks, expected) = (Looks::of(&head), SIGNATURE.to_vec());
        return Err(Error::Foreign {
            path: path.to_owned(),
            found: head,
            expected,
            looks,
        });
    }
    file.rewind().map_err(failed)?;
    let reader = Decoder::new(BufReader::new(file))
        .read_info()
        .map_err(|source| damaged(path, source))?;
    let info = reader.info();
    let (channels, color) = match info.color_type {
        ColorType::Grayscale => (1, "grey"),
        ColorType::Rgb => (3, "RGB"),
        ColorType::GrayscaleAlpha => (0, "grey with alpha"),
        ColorType::Rgba => (0, "RGB with alpha"),
        ColorType::Indexed => (0, "a palette"),
    };
    if channels == 0 || info.bit_depth != BitDepth::Eight {
        return Err(Error::PngKind {
            path: path.to_owned(),
            bits: info.bit_depth as u8,
            color,
        });
    }
    let [height, width] = [info.height, info.width].map(u64::from);
    let promised = width
        .saturating_mul(channels)
        .saturating_add(1)
        .saturating_mul(height);
    let at_most = bytes.saturating_mul(DEFLATE_MAX_RATIO);
    if at_most < promised {
        return Err(Error::Implausible {
            path: path.to_owned(),
            bytes,
            promised,
            at_most,
        });
    }
    Ok((reader, [channels as usize, height as usize, width as usize]))
}

fn decode(path: &Path, pixels: &mut [u8]) -> Result<(), Error> {
    let (mut reader, _) = header(path)?;
    reader
        .next_frame(pixels)
        .map_err(|source| damaged(path, source))?;
    // To the last chunk: a file cut behind its pixels is cut all the same.
    reader.finish().map_err(|source| damaged(path, source))
}

fn damaged(path: &Path, source: DecodingError) -> Error {
    Error::PngDamaged {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use png::Encoder;
    use proptest::prelude::*;
    use tempfile::{TempDir, tempdir};

    use super::*;

    fn png(color: ColorType, depth: BitDepth, [width, height]: [u32; 2], pixels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(pixels).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn grey(size: [u32; 2], pixels: &[u8]) -> Vec<u8> {
        png(ColorType::Grayscale, BitDepth::Eight, size, pixels)
    }

    fn rgb(pixels: &[u8; 12]) -> Vec<u8> {
        png(ColorType::Rgb, BitDepth::Eight, [2, 2], pixels)
    }

    fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let dir = tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    #[test]
    fn grey_images_come_in_the_order_of_their_names() {
        let (a, b) = (grey([3, 1], &[1, 2, 3]), grey([3, 1], &[4, 5, 6]));
        let dir = folder(&[("b.png", &b), ("a.PNG", &a), ("notes.txt", b"passed over")]);
        let images = open(dir.path()).unwrap();
        assert_eq!((images.len(), images.shape()), (2, [1, 1, 3]));
        assert_eq!(
            (images.pixels(), images.labels()),
            (&[1, 2, 3, 4, 5, 6][..], None)
        );
    }

    #[test]
    fn colours_become_planes() {
        let images =
            open(folder(&[("a.png", &rgb(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]))]).path())
                .unwrap();
        assert_eq!(images.shape(), [3, 2, 2]);
        assert_eq!(images.pixels(), [1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12]);
    }

    #[test]
    fn one_shape_for_all() {
        let dir = folder(&[
            ("a.png", &grey([2, 1], &[0; 2])),
            ("b.png", &grey([1, 2], &[0; 2])),
        ]);
        let error = open(dir.path()).unwrap_err();
        let Error::MixedSizes {
            first,
            first_shape,
            path,
            shape,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((first, first_shape), (dir.path().join("a.png"), [1, 1, 2]));
        assert_eq!((path, shape), (dir.path().join("b.png"), [1, 2, 1]));
    }

    #[test]
    fn only_eight_bits_of_grey_or_rgb() {
        for (color, depth, bytes) in [
            (ColorType::Rgba, BitDepth::Eight, 4),
            (ColorType::GrayscaleAlpha, BitDepth::Eight, 2),
            (ColorType::Grayscale, BitDepth::Sixteen, 2),
            (ColorType::Grayscale, BitDepth::One, 1),
        ] {
            let dir = folder(&[("a.png", &png(color, depth, [1, 1], &vec![0; bytes]))]);
            let error = open(dir.path()).unwrap_err();
            assert!(
                matches!(&error, Error::PngKind { bits, .. } if *bits == depth as u8),
                "{error}"
            );
        }
    }

    #[test]
    fn foreign_and_damaged_files_are_told_apart() {
        let error = open(folder(&[("a.png", b"<html></html>")]).path()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Foreign {
                    looks: Looks::Html,
                    ..
                }
            ),
            "{error}"
        );
        let mut flipped = rgb(&[9; 12]);
        let at = flipped.len() - 20;
        flipped[at] ^= 1;
        let error = open(folder(&[("a.png", &flipped)]).path()).unwrap_err();
        assert!(matches!(error, Error::PngDamaged { .. }), "{error}");
    }

    #[test]
    fn a_header_that_lies_is_refused_before_memory_is_taken() {
        let honest = grey([1, 1], &[7]);
        let mut lie = Vec::new();
        let mut encoder = Encoder::new(&mut lie, 1 << 20, 1 << 20);
        encoder.set_color(ColorType::Grayscale);
        drop(encoder.write_header().unwrap());
        // The header of an enormous image (signature and IHDR are 33 bytes), then the data of a small one.
        lie.truncate(33);
        lie.extend(&honest[33..]);
        let error = open(folder(&[("a.png", &lie)]).path()).unwrap_err();
        assert!(
            matches!(error, Error::Implausible { promised, .. } if promised == ((1 << 20) + 1) << 20),
            "{error}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_truncation_is_an_error(part in 0.0..1.0_f64, colour: bool) {
            let whole = if colour { rgb(&[9; 12]) } else { grey([3, 2], &[1, 2, 3, 4, 5, 6]) };
            let cut = &whole[..(part * whole.len() as f64) as usize];
            prop_assert!(open(folder(&[("a.png", cut)]).path()).is_err(), "{} of {}", cut.len(), whole.len());
            prop_assert!(open(folder(&[("a.png", &whole)]).path()).is_ok());
        }
    }
}
