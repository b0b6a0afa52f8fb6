//! Halving and doubling of images.

use tch::Tensor;

use crate::{Block, Border, Mode, Resample};

impl Resample {
    /// The image of half or double the side.
    ///
    /// # Shapes
    /// x: `[B, C, H, W]`; result: `[B, C, H', W']` as [`Resample::output`] says.
    ///
    /// # Panics
    /// If x is no batch of images.
    pub fn apply(self, x: &Tensor) -> Tensor {
        let (_, channels, height, width) = x.size4().expect("an image has four dimensions");
        // The outer product of (1, 3, 3, 1) / 8 with itself, times `gain`, for each channel by itself.
        let filter = |gain: f64| {
            let row = Tensor::from_slice(&[1f64, 3.0, 3.0, 1.0]) / 8.0;
            let square = row.outer(&row) * gain;
            let square = square.to_kind(x.kind()).to_device(x.device());
            square.expand([channels, 1, 4, 4], false)
        };
        let none = None::<&Tensor>;
        match self {
            Resample::HalveMean => x.avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None),
            Resample::DoubleNearest => {
                x.upsample_nearest2d([2 * height, 2 * width], Some(2.0), Some(2.0))
            }
            Resample::HalveFir(border) => {
                // An odd side has one window more, which ends one pixel further out.
                let (right, below) = (1 + width % 2, 1 + height % 2);
                let around = [1, right, 1, below];
                let x = match border {
                    Border::Zeros => x.constant_pad_nd(around),
                    Border::Mirror => mirrored(x, around),
                    Border::Ring => x.constant_pad_nd([0, width % 2, 0, height % 2]),
                };
                x.conv2d(&filter(1.0), none, [2, 2], [0, 0], [1, 1], channels)
            }
            // A convolution's transpose puts the zeros between the pixels.
            Resample::DoubleFir(Border::Zeros | Border::Ring) => {
                x.conv_transpose2d(&filter(4.0), none, [2, 2], [1, 1], [0, 0], channels, [1, 1])
            }
            Resample::DoubleFir(Border::Mirror) => {
                let x = mirrored(x, [1; 4]);
                x.conv_transpose2d(&filter(4.0), none, [2, 2], [3, 3], [0, 0], channels, [1, 1])
            }
        }
    }
}

/// x with so many mirrored pixels to the left, to the right, above and below; of a side of one pixel all are
/// that pixel.
fn mirrored(x: &Tensor, [left, right, above, below]: [i64; 4]) -> Tensor {
    let (_, _, height, width) = x.size4().expect("an image has four dimensions");
    let along = |x: &Tensor, side: i64, around: [i64; 4]| {
        if 1 < side {
            x.reflection_pad2d(around)
        } else {
            x.replication_pad2d(around)
        }
    };
    along(
        &along(x, width, [left, right, 0, 0]),
        height,
        [0, 0, above, below],
    )
}

impl Block for Resample {
    fn forward(&self, x: &Tensor, _embedding: &Tensor, _mode: &mut Mode) -> Tensor {
        self.apply(x)
    }
}
