//! Draws: from a file, or from one stream per sample.

use std::{collections::BTreeMap, path::Path};

use ndarray::IxDyn;
use noise_schedule::Kernel;
use rand_chacha::ChaCha8Rng;
use samplers::{NoiseSource, PerSample};
use tch::Tensor;

use super::State;
use crate::{
    error::Error,
    files,
    stream::{Role, Stream},
    tensors,
};

/// Where the draws of the steps come from.
#[derive(Debug)]
pub(super) enum Noise {
    Given(BTreeMap<usize, Tensor>),
    Drawn(PerSample<ChaCha8Rng>),
}

/// A file of draws.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) initial: State,
    /// By the number of the network's call.
    steps: BTreeMap<usize, Tensor>,
}

impl Noise {
    /// The source, and the standard normal start.
    pub(super) fn begin(
        given: Option<Given>,
        seed: u64,
        n: usize,
        shape: &[usize],
    ) -> (Noise, State) {
        match given {
            Some(given) => (Noise::Given(given.steps), given.initial),
            None => {
                let stream = Stream::new(seed);
                let mut source = PerSample::new((0..n as u64).map(|i| stream.at(Role::Sample, i)));
                let whole: Vec<usize> = [n].iter().chain(shape).copied().collect();
                let like = State::zeros(IxDyn(&whole));
                let initial = source.between(&like, Kernel::CLEAN, Kernel::CLEAN);
                (Noise::Drawn(source), initial)
            }
        }
    }

    /// What is drawn after the network's call of this number.
    pub(super) fn draw(&mut self, call: usize, like: &State, from: Kernel, to: Kernel) -> State {
        match self {
            Noise::Given(steps) => tensors::array(&steps[&call]),
            Noise::Drawn(source) => source.between(like, from, to),
        }
    }
}

impl Given {
    /// Reads a file, which must have what is drawn after each of the calls `draws`, for samples of this shape.
    pub(super) fn read(
        path: &Path,
        shape: Option<&[usize]>,
        draws: &[usize],
    ) -> Result<Given, Error> {
        let file = tensors::from_bytes(&files::read(path)?);
        file.and_then(|file| Given::of(file, shape, draws))
            .map_err(|reason| Error::Unusable {
                path: path.to_owned(),
                reason,
            })
    }

    fn of(
        mut file: BTreeMap<String, Tensor>,
        shape: Option<&[usize]>,
        draws: &[usize],
    ) -> Result<Given, String> {
        if draws.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("this scheduler draws more than once after one call of the network, which the file has no place for; leave --noise out".to_owned());
        }
        let initial = file.remove("initial");
        let initial = initial.ok_or("it has no tensor `initial`, the start of each sample")?;
        let size = initial.size();
        let rest: Vec<usize> = size.iter().skip(1).map(|&side| side as usize).collect();
        if let Some(shape) = shape
            && rest != shape
        {
            return Err(format!(
                "`initial` is {size:?}, but the model's samples are {shape:?}: give [n, {}]",
                shape
                    .iter()
                    .map(usize::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        if rest.len() != 3 && shape.is_none() {
            return Err(format!("`initial` is {size:?}; give [n, c, h, w]"));
        }
        if size[0] == 0 {
            return Err("`initial` is of no sample".to_owned());
        }
        let mut steps = BTreeMap::new();
        if let Some(all) = file.remove("steps") {
            if all.size().get(1..) != Some(&size[..]) {
                return Err(format!(
                    "`steps` is {:?}, but `initial` is {size:?}: give one axis more in front",
                    all.size()
                ));
            }
            steps.extend((0..all.size()[0]).map(|i| (i as usize, all.get(i))));
        }
        for (name, tensor) in file {
            let number = name.strip_prefix("step_").and_then(|n| n.parse().ok());
            let Some(number) = number else {
                return Err(format!(
                    "`{name}` is unexpected; it may hold `initial`, and `steps` or `step_0`, `step_1`, …"
                ));
            };
            if tensor.size() != size {
                return Err(format!(
                    "`{name}` is {:?}, but `initial` is {size:?}",
                    tensor.size()
                ));
            }
            if steps.insert(number, tensor).is_some() {
                return Err(format!("`{name}` is in `steps` too; give one of the two"));
            }
        }
        if let Some(missing) = draws.iter().find(|call| !steps.contains_key(call)) {
            return Err(format!(
                "this sampler draws after {} calls of the network, up to call {}, but the file has no draw for call {missing}",
                draws.len(),
                draws.last().unwrap_or(missing),
            ));
        }
        let all = steps
            .iter()
            .map(|(number, t)| (format!("the draw of call {number}"), t));
        for (name, tensor) in all.chain([("`initial`".to_owned(), &initial)]) {
            if tensor.isfinite().all().int64_value(&[]) == 0 {
                return Err(format!("{name} holds a number that is not finite"));
            }
        }
        Ok(Given {
            initial: tensors::array(&initial),
            steps,
        })
    }

    pub(super) fn samples(&self) -> usize {
        self.initial.shape()[0]
    }
}
