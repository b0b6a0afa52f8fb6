//! The distributions of studies behind one door: draws for training, fresh draws, and the exact score where there is one.

use ndarray::{Array2, ArrayView2};
use rand::{Rng, RngCore};
use rand_distr::StandardNormal;
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
        /// Standard deviation of the noise in every draw.
        noise: f64,
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
            Data::Sphere {
                intrinsic,
                ambient,
                radius,
            } => {
                let mut rng = stream.at(Role::Data, u64::MAX);
                Dataset::Sphere(
                    Sphere::new(*intrinsic, *ambient, *radius, &mut rng)
                        .expect("checked by the plan"),
                )
            }
            Data::GaussianField {} => Dataset::Field(GaussianField::grf16()),
            Data::Images {
                held_out, noise, ..
            } => Dataset::Images {
                images: images.expect("the plan opened the images"),
                held_out: *held_out,
                noise: *noise,
            },
        }
    }

    /// Draws `n` examples to train on, one a row.
    pub fn draw(&self, n: usize, rng: &mut dyn RngCore) -> Array2<f64> {
        match self {
            Dataset::Images {
                images,
                held_out,
                noise,
            } => {
                let train = images.len() - held_out;
                let indices: Vec<usize> = (0..n).map(|_| rng.random_range(0..train)).collect();
                noised(images, &indices, *noise, rng)
            }
            _ => self.exact().expect("all but images").draw(n, rng),
        }
    }

    /// Draws two disjoint sets of `n` examples that training never sees.
    pub fn draw_fresh(&self, n: usize, rng: &mut dyn RngCore) -> [Array2<f64>; 2] {
        match self {
            Dataset::Images {
                images,
                held_out,
                noise,
            } => {
                let first = images.len() - held_out;
                let chosen = rand::seq::index::sample(rng, *held_out, 2 * n);
                let indices: Vec<usize> = chosen.iter().map(|index| first + index).collect();
                [&indices[..n], &indices[n..]].map(|half| noised(images, half, *noise, rng))
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
                    let nearest = scores
                        .max_by(|a, b| a.1.total_cmp(b.1))
                        .expect("a field has components")
                        .0;
                    row.fill(0.0);
                    row[nearest] = 1.0;
                }
                Some(shares)
            }
            Dataset::Sphere(_) | Dataset::Images { .. } => None,
        }
    }
}

/// These images, with noise of this standard deviation; without any, nothing is drawn.
fn noised(images: &Images, indices: &[usize], noise: f64, rng: &mut dyn RngCore) -> Array2<f64> {
    let mut x = images.batch(indices).mapv(f64::from);
    if 0.0 < noise {
        x.mapv_inplace(|x| x + noise * rng.sample::<f64, _>(StandardNormal));
    }
    x
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixture::{STUDY, plan};

    fn config(data: Value) -> CellConfig {
        let plan = plan(STUDY).expect("the study is sound");
        let mut config =
            serde_json::to_value(&plan.studies[0].blocks[0].arms[0].config).expect("plain data");
        config["data"] = data;
        serde_json::from_value(config).expect("a configuration")
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(3)
    }

    #[test]
    fn draws_have_the_shape_of_the_configuration() {
        for data in [
            json!({ "kind": "song_ermon" }),
            json!({ "kind": "sphere", "intrinsic": 3, "ambient": 7, "radius": 2.0 }),
            json!({ "kind": "gaussian_field" }),
        ] {
            let config = config(data);
            let dataset = Dataset::of(&config, None, &Stream::new(1));
            let size: usize = config.shape().iter().product();
            let x = dataset.draw(5, &mut rng());
            assert_eq!(x.dim(), (5, size));
            assert_eq!(
                x,
                dataset.draw(5, &mut rng()),
                "draws are a function of the generator"
            );
            let [fresh, again] = dataset.draw_fresh(4, &mut rng());
            assert_eq!((fresh.dim(), again.dim()), ((4, size), (4, size)));
            assert_ne!(fresh, again);
            assert!(dataset.exact().is_some());
            if let Some(shares) = dataset.components(x.view()) {
                assert_eq!(shares.nrows(), 5);
                assert!(
                    shares
                        .outer_iter()
                        .all(|row| (row.sum() - 1.0).abs() < 1e-12)
                );
            }
        }
    }

    #[test]
    fn a_sphere_lies_where_its_seed_says() {
        let config =
            config(json!({ "kind": "sphere", "intrinsic": 2, "ambient": 6, "radius": 2.0 }));
        let at = |seed| Dataset::of(&config, None, &Stream::new(seed)).draw(3, &mut rng());
        assert_eq!(at(1), at(1));
        assert_ne!(at(1), at(2));
        assert!(
            at(1)
                .outer_iter()
                .all(|x| (x.dot(&x).sqrt() - 2.0).abs() < 1e-9)
        );
    }

    #[test]
    fn noise_in_images_has_its_deviation_and_changes_no_choice_of_them() {
        let images = Images::new((0..10).map(|i| 25 * i).collect(), [1, 1, 1], None).expect("ten");
        let draw = |noise: f64| {
            let data = json!({ "kind": "images", "name": "x", "held_out": 6, "noise": noise, "digest": "d", "shape": [1, 1, 1] });
            let config = config(data);
            let dataset = Dataset::of(&config, Some(&images), &Stream::new(1));
            [
                dataset.draw(5000, &mut rng()),
                dataset.draw_fresh(3, &mut rng())[0].clone(),
            ]
        };
        let ([clean, fresh], [noised, fresh_noised]) = (draw(0.0), draw(0.01));
        let added = &noised - &clean;
        let deviation = added.mapv(|x| x * x).mean().expect("some").sqrt();
        // A standard error is 1 % of it.
        assert!((deviation / 0.01 - 1.0).abs() < 0.04, "{deviation}");
        assert!(
            (fresh_noised - fresh)
                .iter()
                .all(|x| *x != 0.0 && x.abs() < 0.06)
        );
    }

    #[test]
    fn images_kept_back_are_never_trained_on() {
        // Ten images of one pixel, each of its own grey; the last six are kept back.
        let images =
            Images::new((0..10).map(|i| 25 * i).collect(), [1, 1, 1], None).expect("ten images");
        let data = json!({ "kind": "images", "name": "x", "held_out": 6, "digest": "d", "shape": [1, 1, 1] });
        let config = config(data);
        let dataset = Dataset::of(&config, Some(&images), &Stream::new(1));
        let first_fresh = f64::from(images.batch(&[4])[[0, 0]]);
        assert!(
            dataset
                .draw(200, &mut rng())
                .iter()
                .all(|x| *x < first_fresh)
        );
        let [fresh, again] = dataset.draw_fresh(3, &mut rng());
        let mut all: Vec<f64> = fresh.iter().chain(&again).copied().collect();
        all.sort_by(f64::total_cmp);
        assert!(
            all.windows(2).all(|pair| pair[0] < pair[1]),
            "no image twice"
        );
        assert_eq!((all.len(), all[0]), (6, first_fresh));
        assert!(dataset.exact().is_none() && dataset.components(fresh.view()).is_none());
    }
}
