//! What a network is shown: training images in an order that is drawn anew for each pass, cut and reflected at random, and
//! images as they are.

use rand::{Rng, seq::SliceRandom};

use super::Classification;
use crate::{
    data::Images,
    stream::{Role, Stream},
};

/// The images of a cell, the mean of those that are trained on subtracted from each pixel.
pub(super) struct Pictures<'a> {
    images: &'a Images,
    labels: &'a [u8],
    /// Those that are trained on come first.
    train: usize,
    mean: Vec<f32>,
}

/// Images, `[channel, row, column]` one after the other, and the classes that they are of.
#[derive(Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) x: Vec<f32>,
    pub(super) labels: Vec<i64>,
}

/// Where an image is cut from the one with a border around it, and whether it is reflected then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Row of its first one, in the image with a border.
    pub(super) row: usize,
    /// Column of its first one.
    pub(super) column: usize,
    /// From left to right.
    pub(super) flipped: bool,
}

impl<'a> Pictures<'a> {
    /// # Panics
    ///
    /// If there are no labels, or not more images than are kept back: the plan looked.
    pub(super) fn new(images: &'a Images, held_out: usize) -> Pictures<'a> {
        let train = images.len() - held_out;
        let size: usize = images.shape().iter().product();
        let mut sums = vec![0_u64; size];
        for image in images.pixels().chunks_exact(size).take(train) {
            for (sum, pixel) in sums.iter_mut().zip(image) {
                *sum += u64::from(*pixel);
            }
        }
        let mean = |sum: u64| (sum as f64 / train as f64) as f32;
        Pictures {
            images,
            labels: images.labels().expect("the plan saw labels"),
            train,
            mean: sums.into_iter().map(mean).collect(),
        }
    }

    /// The training images, by their numbers.
    pub(super) fn train(&self) -> std::ops::Range<usize> {
        0..self.train
    }

    /// Those that were kept back.
    pub(super) fn held_out(&self) -> std::ops::Range<usize> {
        self.train..self.images.len()
    }

    /// Images as they are.
    pub(super) fn as_they_are(&self, numbers: std::ops::Range<usize>) -> Batch {
        let whole = Cut {
            row: 0,
            column: 0,
            flipped: false,
        };
        self.batch(numbers.map(|number| (number, whole)), 0)
    }

    /// Images, each cut from itself with a border of `padding` pixels of the mean image.
    pub(super) fn batch(
        &self,
        cuts: impl IntoIterator<Item = (usize, Cut)>,
        padding: usize,
    ) -> Batch {
        let [channels, height, width] = self.images.shape();
        let area = height * width;
        let mut batch = Batch {
            x: Vec::new(),
            labels: Vec::new(),
        };
        for (number, cut) in cuts {
            batch.labels.push(i64::from(self.labels[number]));
            let image = &self.images.pixels()[number * channels * area..][..channels * area];
            batch.x.reserve(image.len());
            for channel in 0..channels {
                for row in cut.row..cut.row + height {
                    let begin = batch.x.len();
                    for column in cut.column..cut.column + width {
                        let place = [row, column].map(|at| at.wrapping_sub(padding));
                        batch.x.push(match place {
                            [row, column] if row < height && column < width => {
                                let place = channel * area + row * width + column;
                                (f32::from(image[place]) - self.mean[place]) / 127.5
                            }
                            _ => 0.0,
                        });
                    }
                    if cut.flipped {
                        batch.x[begin..].reverse();
                    }
                }
            }
        }
        batch
    }
}

/// The order in which training images are passed, one permutation after the other.
pub(super) struct Order {
    pass: u64,
    numbers: Vec<usize>,
}

impl Order {
    pub(super) fn new() -> Order {
        Order {
            pass: u64::MAX,
            numbers: Vec::new(),
        }
    }

    /// The image at this place of all passes over so many.
    fn at(&mut self, place: u64, count: usize, stream: &Stream) -> usize {
        let pass = place / count as u64;
        if self.pass != pass {
            self.pass = pass;
            self.numbers = (0..count).collect();
            self.numbers.shuffle(&mut stream.at(Role::Data, pass));
        }
        self.numbers[(place % count as u64) as usize]
    }

    /// The images of a step, and where they are cut.
    pub(super) fn step(
        &mut self,
        experiment: &Classification,
        step: u64,
        count: usize,
        stream: &Stream,
    ) -> Vec<(usize, Cut)> {
        let mut rng = stream.at(Role::Nuisance, step);
        let first = step * experiment.batch as u64;
        (first..first + experiment.batch as u64)
            .map(|place| {
                let [row, column] =
                    [(); 2].map(|()| rng.random_range(0..=2 * experiment.padding as u64) as usize);
                let reflected = rng.random::<bool>();
                let cut = Cut {
                    row,
                    column,
                    flipped: experiment.flips && reflected,
                };
                (self.at(place, count, stream), cut)
            })
            .collect()
    }
}
