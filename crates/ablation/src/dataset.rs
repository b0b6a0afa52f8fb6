//! The distributions of studies behind one door: draws for training, fresh draws, and the exact score where there is one.

use ndarray::{Array2, ArrayView2};
use rand::{Rng, RngCore};
use score_objective::exact::{ExactScore, GaussianField, GaussianMixture, Sphere};

use crate::{
    config::{CellConfig, Data},
    data::Images,
    stream::{Role, Stream},
};

/// A distribution to learn.
#[derive(Debug)]
pub enum Dataset<'a> {
    /// A mixture of isotropic Gaussians.
    Mixture(GaussianMixture),
    /// A sphere embedded at random.
    Sphere(Sphere),
    /// A mixture of Gaussian random fields.
    Field(GaussianField),
    /// Images from files, the last ones kept back.
    Images {
        /// All images.
        images: &'a Images,
        /// How many are kept back.
        held_out: usize,
    },
}

impl<'a> Dataset<'a> {
    /// The data of a configuration; a sphere's embedding is drawn from the seed's data stream.
    ///
    /// # Panics
    ///
    /// If the configuration names images and none are given, or was not checked.
    pub fn of(config: &CellConfig, images: Option<&'a Images>, stream: &Stream) -> Dataset<'a> {
        match &config.data {
            Data::SongErmon {} => Dataset::Mixture(GaussianMixture::song_ermon()),
            Data::Sphere { intrinsic, ambient, radius } => {
                let mut rng = stream.at(Role::Data, u64::MAX);
                Dataset::Sphere(Sphere::new(*intrinsic, *ambient, *radius, &mut rng).expect("checked by the plan"))
            }
            Data::GaussianField {} => Dataset::Field(GaussianField::grf16()),
            Data::Images { held_out, .. } => {
                Dataset::Images { images: images.expect("the plan opened the images"), held_out: *held_out }
            }
        }
    }

    /// Draws `n` examples to train on, one a row.
    pub fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        match self {
            Dataset::Images { images, held_out } => {
                let train = images.len() - held_out;
                let indices: Vec<usize> = (0..n).map(|_| rng.random_range(0..train)).collect();
                images.batch(&indices).mapv(f64::from)
            }
            _ => self.exact().expect("all but images").draw(n, rng),
        }
    }

    /// Draws two disjoint sets of `n` examples that training never sees.
    pub fn draw_fresh(&self, n: usize, rng: &mut dyn RngCore) -> [Array2<f64>; 2] {
        match self {
            Dataset::Images { images, held_out } => {
                let first = images.len() - held_out;
                let chosen = rand::seq::index::sample(rng, *held_out, 2 * n);
                let indices: Vec<usize> = chosen.iter().map(|index| first + index).collect();
                [&indices[..n], &indices[n..]].map(|half| images.batch(half).mapv(f64::from))
            }
            _ => [self.draw(n, rng), self.draw(n, rng)],
        }
    }

    /// The exact score, where the distribution is known.
    pub fn exact(&self) -> Option<&dyn ExactScore> {
        match self {
            Dataset::Mixture(mixture) => Some(mixture),
            Dataset::Sphere(sphere) => Some(sphere),
            Dataset::Field(field) => Some(field),
            Dataset::Images { .. } => None,
        }
    }

    /// Of each point, the share of each component: responsibilities where the components are far apart, the
    /// nearest template for fields, whose full likelihood is decided by the finest frequencies alone.
    pub fn components(&self, x: ArrayView2<'_, f64>) -> Option<Array2<f64>> {
        match self {
            Dataset::Mixture(mixture) => Some(mixture.responsibilities(x, 0.0)),
            Dataset::Field(field) => {
                let templates = field.means();
                let mut shares = x.dot(&templates.t());
                for mut row in shares.outer_iter_mut() {
                    let scores = row.iter().enumerate();
                    let nearest = scores.max_by(|a, b| a.1.total_cmp(b.1)).expect("a field has components").0;
                    row.fill(0.0);
                    row[nearest] = 1.0;
                }
                Some(shares)
            }
            Dataset::Sphere(_) | Dataset::Images { .. } => None,
        }
    }
}
