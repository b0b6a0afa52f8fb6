//! Samples as pictures, with diffusers' roundings.

use ndarray::Axis;

use super::Samples;

/// What a number is shown as, before it is clamped to [0, 1], from black to white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// x/2 + 1/2: images in [−1, 1], as in diffusers' pipelines.
    Signed,
    /// x itself: images in [0, 1], as in the pipeline of `ScoreSdeVeScheduler`.
    Unit,
    /// x/4 + 1/2: random fields of unit variance, over ±2 standard deviations.
    Fields,
}

impl Pixels {
    /// The byte of a number: everything in f32, and a half goes to the even byte, as in numpy. What is not a number
    /// is black.
    pub fn byte(self, value: f64) -> u8 {
        let value = value as f32;
        let grey = match self {
            Pixels::Signed => value / 2.0 + 0.5,
            Pixels::Unit => value,
            Pixels::Fields => value / 4.0 + 0.5,
        };
        (grey.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
    }
}

impl Samples {
    /// A grid of the samples, row by row and without gaps, as 8-bit PNG: as wide as high or one row less, and black
    /// where the last row ends early.
    ///
    /// # Panics
    /// Unless the samples are \[n, c, h, w\] with one or three channels.
    pub fn png(&self) -> Vec<u8> {
        let &[n, channels, height, width] = self.values.shape() else {
            panic!("pictures have four dimensions");
        };
        let across = (1..)
            .find(|side| n <= side * side)
            .expect("some square is larger");
        let down = n.div_ceil(across);
        let mut pixels = vec![0; down * height * across * width * channels];
        for (index, image) in self.values.axis_iter(Axis(0)).enumerate() {
            let (top, left) = (index / across * height, index % across * width);
            for (place, &value) in image.indexed_iter() {
                let (channel, row, column) = (place[0], place[1], place[2]);
                let pixel = (top + row) * across * width + left + column;
                pixels[pixel * channels + channel] = self.pixels.byte(value);
            }
        }
        let mut bytes = Vec::new();
        let mut encoder =
            png::Encoder::new(&mut bytes, (across * width) as u32, (down * height) as u32);
        encoder.set_color(match channels {
            1 => png::ColorType::Grayscale,
            3 => png::ColorType::Rgb,
            _ => panic!("a picture has 1 or 3 channels, got {channels}"),
        });
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().expect("memory takes a header");
        writer
            .write_image_data(&pixels)
            .expect("memory takes the pixels");
        writer.finish().expect("memory takes the end");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;

    fn decoded(samples: &Samples) -> (u32, u32, Vec<u8>) {
        let bytes = samples.png();
        let decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        let mut reader = decoder.read_info().expect("a header");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("a picture");
        (info.width, info.height, pixels)
    }

    #[test]
    fn bytes_are_those_of_numpy() {
        // 0.5/255 and 1.5/255 are halves between two bytes; the even one is taken.
        let halves = [0.5, 1.5, 2.5].map(|byte| Pixels::Unit.byte(byte / 255.0));
        assert_eq!(halves, [0, 2, 2]);
        let ends = [-7.0, -1.0, 0.0, 1.0, 7.0, f64::NAN].map(|v| Pixels::Signed.byte(v));
        assert_eq!(ends, [0, 0, 128, 255, 255, 0]);
        assert_eq!(Pixels::Fields.byte(-1.0), 64);
    }

    #[test]
    fn a_grid_is_nearly_square_and_without_gaps() {
        // Sample i is full of i/4, of 2×1 pixels.
        let values = ArrayD::from_shape_fn(IxDyn(&[5, 1, 1, 2]), |at| at[0] as f64 / 4.0);
        let samples = Samples {
            values,
            pixels: Pixels::Unit,
        };
        let (width, height, pixels) = decoded(&samples);
        assert_eq!((width, height), (6, 2));
        assert_eq!(pixels, [0, 0, 64, 64, 128, 128, 191, 191, 255, 255, 0, 0]);
    }

    #[test]
    fn channels_become_colours() {
        let values = ArrayD::from_shape_fn(IxDyn(&[1, 3, 1, 2]), |at| (at[1] + 3 * at[3]) as f64);
        let samples = Samples {
            values: values / 5.0,
            pixels: Pixels::Unit,
        };
        assert_eq!(decoded(&samples), (2, 1, vec![0, 51, 102, 153, 204, 255]));
    }
}
