//! Samples held against fresh data, in numbers and to look at.

use ndarray::{Array2, ArrayView2, s};

use crate::{
    config::CellConfig,
    dataset::Dataset,
    probe::{self, bands::Bands, energy::Reference},
    summary::Exhibit,
};

/// Samples kept to look at.
const EXHIBITED: usize = 256;
/// Images kept to look at.
const EXHIBITED_IMAGES: usize = 16;

/// Fresh data and what samples are held against.
pub(super) struct Judge<'a> {
    dataset: &'a Dataset<'a>,
    pub(super) fresh: Array2<f64>,
    reference: Reference,
    pub(super) bands: Option<Bands>,
    pub(super) power: Option<Vec<f64>>,
    components: Option<Array2<f64>>,
}

/// One batch of samples, judged; logarithms are to base 10.
pub(super) struct Judged {
    pub(super) energy: f64,
    pub(super) bands: Option<f64>,
    pub(super) distance: Option<f64>,
    pub(super) weights: Option<f64>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        config: &CellConfig,
        dataset: &'a Dataset<'a>,
        fresh: Array2<f64>,
    ) -> Judge<'a> {
        let bands = bands(config);
        let power = bands.as_ref().map(|bands| bands.power(fresh.view()));
        let components = dataset.components(fresh.view());
        Judge {
            dataset,
            reference: Reference::new(fresh.clone()),
            fresh,
            bands,
            power,
            components,
        }
    }

    pub(super) fn of(&self, x: ArrayView2<'_, f64>) -> Judged {
        let distance = match self.dataset {
            Dataset::Sphere(sphere) => {
                let distances = sphere.radial_distance(x);
                Some(
                    (distances.mapv(|d| d * d).mean().expect("samples"))
                        .sqrt()
                        .max(f64::MIN_POSITIVE)
                        .log10(),
                )
            }
            _ => None,
        };
        Judged {
            energy: self
                .reference
                .energy_distance(x)
                .max(f64::MIN_POSITIVE)
                .log10(),
            bands: self
                .bands
                .as_ref()
                .zip(self.power.as_ref())
                .map(|(bands, power)| {
                    Bands::log_error(&bands.power(x), power)
                        .max(f64::MIN_POSITIVE)
                        .log10()
                }),
            distance,
            weights: self
                .dataset
                .components(x)
                .zip(self.components.as_ref())
                .map(|(found, wanted)| probe::weight_error(found.view(), wanted.view())),
        }
    }
}

/// Frequency bands, where the data are square images and the study asks for some.
pub(super) fn bands(config: &CellConfig) -> Option<Bands> {
    match config.shape()[..] {
        [channels, side, width] if side == width && 0 < config.probes.bands => {
            Some(Bands::new(channels, side, config.probes.bands))
        }
        _ => None,
    }
}

/// Samples to look at, with fresh data beside them.
pub(super) fn exhibit(
    config: &CellConfig,
    dataset: &Dataset<'_>,
    samples: Option<&Array2<f64>>,
    fresh: &Array2<f64>,
) -> Option<Exhibit> {
    let samples = samples?;
    match config.shape()[..] {
        [1, height, width] => {
            let grey = |x: &Array2<f64>| -> Vec<Vec<u8>> {
                // Images from files live in [−1, 1]; fields are shown over ±2 standard deviations and a bit.
                let reach = if matches!(dataset, Dataset::Images { .. }) {
                    1.0
                } else {
                    2.0
                };
                let byte = |v: f64| ((v / reach * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8;
                x.outer_iter()
                    .take(EXHIBITED_IMAGES)
                    .map(|row| row.iter().map(|&v| byte(v)).collect())
                    .collect()
            };
            Some(Exhibit::Images {
                height: height as u32,
                width: width as u32,
                samples: grey(samples),
                data: grey(fresh),
            })
        }
        [_, _, _] => None,
        _ => {
            let axes = match dataset {
                Dataset::Sphere(_) => ["first direction of the circle's plane", "second direction"],
                _ => ["x", "y"],
            };
            let flatten = |x: ArrayView2<'_, f64>| match dataset {
                Dataset::Sphere(sphere) => sphere.project(x),
                _ => x.slice(s![.., ..2]).to_owned(),
            };
            let (samples, data) = (flatten(samples.view()), flatten(fresh.view()));
            let mut window = [
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::INFINITY,
                f64::NEG_INFINITY,
            ];
            for row in data.outer_iter() {
                for axis in 0..2 {
                    window[2 * axis] = window[2 * axis].min(row[axis]);
                    window[2 * axis + 1] = window[2 * axis + 1].max(row[axis]);
                }
            }
            // Whole tenths, so that the window does not jitter with the seed.
            for axis in 0..2 {
                let margin = 0.35 * (window[2 * axis + 1] - window[2 * axis]);
                window[2 * axis] = ((window[2 * axis] - margin) * 10.0).floor() / 10.0;
                window[2 * axis + 1] = ((window[2 * axis + 1] + margin) * 10.0).ceil() / 10.0;
            }
            let inside = |p: &[f64; 2]| {
                window[0] <= p[0] && p[0] <= window[1] && window[2] <= p[1] && p[1] <= window[3]
            };
            let points = |x: &Array2<f64>| -> Vec<[f64; 2]> {
                let round = |v: f64| (v * 1e3).round() / 1e3;
                x.outer_iter()
                    .take(EXHIBITED)
                    .map(|row| [round(row[0]), round(row[1])])
                    .filter(|p| p.iter().all(|v| v.is_finite()))
                    .collect()
            };
            let all = points(&samples);
            let seen: Vec<[f64; 2]> = all.into_iter().filter(inside).collect();
            let outside = EXHIBITED.min(samples.nrows()) - seen.len();
            Some(Exhibit::Points {
                axes: axes.map(str::to_owned),
                samples: seen,
                data: points(&data),
                window,
                outside: outside as u32,
            })
        }
    }
}
