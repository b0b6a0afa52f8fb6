//! What the network is shown: images of a person, the distribution of a cell, or what the model draws itself.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use rand::seq::index;

use super::{Drawing, Request};
use crate::{
    config::Data,
    data::{self, Images},
    dataset::Dataset,
    error::Error,
    files,
    sample::{self, Pixels, Sampler, model::Place},
    stream::{Role, Stream},
};

/// Examples, and what they are.
#[derive(Debug)]
pub(super) struct Examples {
    /// \[n, …\].
    pub(super) x0: ArrayD<f64>,
    pub(super) words: String,
    pub(super) caveats: Vec<String>,
}

/// The request for samples of the same model.
pub(super) fn sampling(request: &Request) -> sample::Request {
    sample::Request {
        model: request.model.clone(),
        scheduler: request.scheduler.clone(),
        steps: Some(request.steps),
        options: Vec::new(),
        samples: None,
        seed: request.seed,
        noise: None,
        classes: request.class.into_iter().collect(),
        precision: None,
        device: request.device,
        out: request.out.join("samples.safetensors"),
    }
}

/// So many examples.
pub(super) fn examples(
    request: &Request,
    place: &Place,
    shape: &[usize],
    n: usize,
    drawing: &mut dyn FnMut(Drawing),
) -> Result<Examples, Error> {
    let sized = |numbers: Vec<f64>| {
        let size = [&[n], shape].concat();
        ArrayD::from_shape_vec(IxDyn(&size), numbers).expect("as many numbers as the shape says")
    };
    if let Some(given) = &request.data {
        let images = open(given, request)?;
        let numbers = drawn(&images, given, request, place, shape, n)?;
        return Ok(Examples {
            x0: sized(numbers),
            words: format!("{n} images of `{given}`"),
            caveats: vec![
                "Whether the network was trained on these images or on others is not known here: on others its gradients say what it would learn anew.".to_owned(),
            ],
        });
    }
    if let Place::Cell { config, .. } = place
        && !matches!(config.data, Data::Images { .. })
    {
        let stream = Stream::new(request.seed);
        let dataset = Dataset::of(config, None, &stream);
        let x0 = dataset.draw(n, &mut stream.at(Role::Probe, 0));
        return Ok(Examples {
            x0: sized(x0.into_iter().collect()),
            words: format!("{n} fresh draws of the distribution that the cell learned"),
            caveats: Vec::new(),
        });
    }
    files::create_dir(&request.out)?;
    let mut sampler = Sampler::prepare(&sample::Request {
        samples: Some(n),
        steps: Some(request.sample_steps),
        ..sampling(request)
    })?;
    let mut far = Drawing {
        samples: n,
        steps: request.sample_steps,
        done: 0,
        of: sampler.evaluations(),
    };
    drawing(far);
    let samples = sampler.run(&mut || {
        far.done += 1;
        drawing(far);
    });
    let broken = samples.not_finite();
    if 0 < broken {
        return Err(Error::Unusable {
            path: request.model.clone(),
            reason: format!(
                "{broken} of {n} samples that it drew hold numbers that are not finite: give images with --data"
            ),
        });
    }
    Ok(Examples {
        x0: samples.values,
        words: format!("{n} samples that the model drew itself in {} steps", request.sample_steps),
        caveats: vec![
            "No data was given: the loss is that on the model's own samples, so what it gets wrong about real data is invisible, and the gradient says what would make it agree with itself. Signals are weaker than on data. Give images with --data.".to_owned(),
        ],
    })
}

fn open(given: &str, request: &Request) -> Result<Images, Error> {
    let folder = match Path::new(given) {
        folder if folder.is_dir() => folder.to_owned(),
        _ if given.contains(['/', '\\', '.']) => {
            let rule = "there is no such folder: give a folder of images, or the name of a set";
            return Err(impossible("--data", given, rule));
        }
        _ => data::locate(given, None, &request.data_folders)?,
    };
    Ok(Images::open(&folder, data::detect(&folder)?)?)
}

fn drawn(
    images: &Images,
    given: &str,
    request: &Request,
    place: &Place,
    shape: &[usize],
    n: usize,
) -> Result<Vec<f64>, Error> {
    let found = images.shape();
    if found != shape {
        let remedy = match (found[0], shape[0]) {
            (_, 4) if found[0] != 4 => {
                "four channels are those of a latent, which an image has to be encoded into: leave --data out, and the model is asked about its own samples"
            }
            (a, b) if a != b => "convert the images to that number of channels",
            _ => "resize the images",
        };
        let rule = format!(
            "its images are {} and the network takes {} (channels × height × width): {remedy}",
            sides(&found),
            sides(shape)
        );
        return Err(impossible("--data", given, &rule));
    }
    if images.len() < n {
        let rule = format!(
            "it holds {} images and {n} are needed: give more, or a smaller --micro-batch",
            images.len()
        );
        return Err(impossible("--data", given, &rule));
    }
    let mut rng = Stream::new(request.seed).at(Role::Probe, 0);
    let chosen = index::sample(&mut rng, images.len(), n).into_vec();
    let signed = images.batch(&chosen).into_iter().map(f64::from);
    Ok(match place.pixels(request.scheduler.as_deref())? {
        Pixels::Unit => signed.map(|x| 0.5 * x + 0.5).collect(),
        Pixels::Signed | Pixels::Fields => signed.collect(),
    })
}

fn sides(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    sides.join("×")
}

pub(super) fn impossible(name: &str, value: impl ToString, rule: &str) -> Error {
    Error::Impossible {
        place: "probe".to_owned(),
        name: name.to_owned(),
        value: value.to_string(),
        rule: rule.to_owned(),
    }
}
