//! The measurements on a live network.

use learnability::{
    gradient::unit_grams,
    interval::{Confidence, Interval},
    map::{Column, LearnabilityMap, Measurement, Objective as Of},
};
use ndarray::{ArrayD, Axis, Slice};
use rand::Rng;
use rand_distr::StandardNormal;
use tch::Kind;
use unet::{SkipEdit, UNet};

use super::{
    Drawing, Increase, Level, Probed, Request, SkipReading,
    data::{Examples, examples, impossible},
    subject::{Net, Subject},
};
use crate::{
    cell,
    error::Error,
    files,
    map::{self, CONFIDENCE, Look, Map, Objective, RATE},
    sample::model::Place,
    stream::{Role, Stream},
};

/// Fewest micro-batches where nobody says how many.
const USUAL: usize = 16;
/// Examples that are shown together where a skip is changed; each sees the skip of its neighbour.
const TOGETHER: usize = 8;

/// A model with its examples, ready to be asked.
#[derive(Debug)]
pub struct Prober {
    subject: Subject,
    examples: Examples,
    noise: ArrayD<f64>,
    micro_batches: usize,
    request: Request,
}

impl Prober {
    /// Reads the model and the data; where there are none, draws samples of the model, and says to `drawing` how
    /// far it is: before the first evaluation, and after each.
    ///
    /// # Errors
    /// [`Error::Impossible`] for arguments that break a rule or do not fit the model; [`Error::Unusable`] for a model that
    /// is not whole; [`Error::Sampler`] for a scheduler; [`Error::Data`] for images; [`Error::Files`] where the report
    /// cannot be written; [`Error::Device`].
    pub fn prepare(request: Request, drawing: &mut dyn FnMut(Drawing)) -> Result<Prober, Error> {
        for (name, value, least) in [
            ("--levels", request.levels, 2),
            ("--micro-batch", request.examples, 1),
            ("--batch", request.batch, 1),
            // One alone has no other whose skip it could be shown.
            ("--skip-examples", request.skip_examples, 2),
            ("--steps", request.steps, 1),
            ("--sample-steps", request.sample_steps, 1),
        ] {
            if value < least {
                let rule = format!("it must be at least {least}");
                return Err(impossible(name, value, &rule));
            }
        }
        let device = cell::device(request.device)?;
        let place = Place::find(&request.model)?;
        let shape = place.shape()?.ok_or_else(|| Error::Unusable {
            path: request.model.clone(),
            reason: "its config.json has no `sample_size`; add it".to_owned(),
        })?;
        let subject = Subject::open(&request, &place, device)?;
        let cells = subject.units.len() * subject.asks.len();
        let enough = map::enough(cells);
        let micro_batches = request.micro_batches.unwrap_or(enough.max(USUAL));
        if !(enough..=1024).contains(&micro_batches) {
            let rule = format!(
                "{enough} to 1024 are needed: the signs of so many micro-batches tell one audible cell from {cells} silent ones"
            );
            return Err(impossible("--micro-batches", micro_batches, &rule));
        }
        let n = micro_batches * request.examples;
        let examples = examples(&request, &place, &shape, n, drawing)?;
        files::create_dir(&request.out)?;
        let stream = Stream::new(request.seed);
        let normal = (0..n as u64).flat_map(|i| {
            let draws = stream.at(Role::Noise, i).sample_iter(StandardNormal);
            draws.take(shape.iter().product())
        });
        let noise = ArrayD::from_shape_vec(examples.x0.raw_dim(), normal.collect());
        Ok(Prober {
            noise: noise.expect("as many as there are"),
            subject,
            examples,
            micro_batches,
            request,
        })
    }

    /// Passes that [`run`](Self::run) makes, forward and back or forward alone.
    pub fn passes(&self) -> u64 {
        let levels = self.subject.asks.len();
        let changed = 1 + 2 * self.skips().len();
        let parts = self.of_skips().div_ceil(TOGETHER);
        (levels * (self.micro_batches + changed * parts)) as u64
    }

    /// Measures; `passed` is called after each pass.
    ///
    /// # Errors
    /// [`Error::Unusable`] where a loss is not finite.
    pub fn run(&self, passed: &mut dyn FnMut()) -> Result<Probed, Error> {
        let (map, losses) = self.map(passed)?;
        let asks = self.subject.asks.iter().zip(&losses).enumerate();
        let level = |(column, (ask, loss)): (usize, (&super::subject::Ask, &f64))| {
            Level::of(
                &map,
                column,
                [ask.at.noise_to_signal(), ask.timestep, *loss],
            )
        };
        Ok(Probed {
            schema: 1,
            model: self.request.model.display().to_string(),
            network: self.subject.words.clone(),
            data: self.examples.words.clone(),
            caveats: self.examples.caveats.clone(),
            micro_batches: self.micro_batches,
            examples: self.request.examples,
            batch: self.request.batch,
            levels: asks.map(level).collect(),
            skips: self.changed_skips(passed)?,
            map,
        })
    }

    /// The map, and the mean loss of each level.
    fn map(&self, passed: &mut dyn FnMut()) -> Result<(Map, Vec<f64>), Error> {
        let Subject { units, asks, .. } = &self.subject;
        let cells = units.len() * asks.len();
        let confidence = Confidence::new(CONFIDENCE).expect("within (0, 1)");
        let mut flips = Stream::new(self.request.seed).at(Role::Probe, 1);
        let mut measured: Vec<Vec<Measurement>> = units.iter().map(|_| Vec::new()).collect();
        let mut losses = Vec::new();
        for ask in asks {
            let mut sum = 0.0;
            let each = self.request.examples;
            let mut loss = |i: usize| {
                let (x0, noise) = self.part(i * each, each);
                let question = self.subject.question(ask, &x0, &noise);
                let loss = self.subject.losses(ask, &question).mean(Kind::Float);
                sum += loss.double_value(&[]);
                passed();
                loss
            };
            let grams = unit_grams(&mut loss, self.micro_batches, units);
            let mean = sum / self.micro_batches as f64;
            if !mean.is_finite() {
                return Err(self.not_finite(ask.timestep));
            }
            losses.push(mean);
            for (row, gram) in measured.iter_mut().zip(&grams) {
                row.push(Measurement::of(
                    gram,
                    confidence,
                    map::flips(cells),
                    &mut flips,
                ));
            }
        }
        let column = |ask: &super::subject::Ask| Column {
            label: format!("timestep {}", ask.timestep),
            noise_level: Some(ask.at.noise_to_signal()),
        };
        let measured = LearnabilityMap::new(
            units.iter().map(|(name, _)| name.clone()).collect(),
            asks.iter().map(column).collect(),
            Of::Own,
            measured.into_iter().flatten().collect(),
            RATE,
        )
        .map_err(|error| impossible("--micro-batches", self.micro_batches, &error.to_string()))?;
        let steps = self.request.batch as f64 / self.request.examples as f64;
        Ok((Map::of(&measured, Look::End, Objective::Own, steps), losses))
    }

    /// What each long skip carries: the loss with it changed, at the same examples.
    fn changed_skips(&self, passed: &mut dyn FnMut()) -> Result<Vec<SkipReading>, Error> {
        let Net::UNet(network) = &self.subject.network else {
            return Ok(Vec::new());
        };
        let _guard = tch::no_grad_guard();
        let whole: Vec<Vec<f64>> = (0..self.subject.asks.len())
            .map(|level| self.losses(network, level, passed))
            .collect();
        let mut readings = Vec::new();
        for skip in self.skips() {
            let mut changed = |edit: SkipEdit| -> Result<Vec<Increase>, Error> {
                let edited = network
                    .edited(&skip.name, edit)
                    .expect("a skip of the plan");
                whole
                    .iter()
                    .enumerate()
                    .map(|(level, whole)| {
                        let losses = self.losses(&edited, level, passed);
                        increase(whole, &losses)
                            .ok_or_else(|| self.not_finite(self.subject.asks[level].timestep))
                    })
                    .collect()
            };
            readings.push(SkipReading {
                name: skip.name.clone(),
                from: skip.from.clone(),
                zero: changed(SkipEdit::Zero)?,
                another: changed(SkipEdit::OfAnother { shift: 1 })?,
            });
        }
        Ok(readings)
    }

    fn losses(&self, network: &UNet, level: usize, passed: &mut dyn FnMut()) -> Vec<f64> {
        let ask = &self.subject.asks[level];
        let n = self.of_skips();
        let parts = (0..n).step_by(TOGETHER).map(|begin| {
            let (x0, noise) = self.part(begin, TOGETHER.min(n - begin));
            let question = self.subject.question(ask, &x0, &noise);
            let losses = self.subject.losses_of(network, ask, &question);
            passed();
            Vec::<f64>::try_from(losses.to_kind(Kind::Double)).expect("one for each example")
        });
        parts.flatten().collect()
    }

    /// Examples that skips are measured on: an even number, so that none is shown alone.
    fn of_skips(&self) -> usize {
        let n = self.micro_batches * self.request.examples;
        n.min(self.request.skip_examples) / 2 * 2
    }

    fn skips(&self) -> &[unet::LongSkipPlan] {
        match &self.subject.network {
            Net::UNet(network) => network.topology().long_skips(),
            Net::Trained(_) => &[],
        }
    }

    fn part(&self, begin: usize, n: usize) -> (ArrayD<f64>, ArrayD<f64>) {
        let of = |all: &ArrayD<f64>| {
            let slice = Slice::from(begin..begin + n);
            all.slice_axis(Axis(0), slice).to_owned()
        };
        (of(&self.examples.x0), of(&self.noise))
    }

    fn not_finite(&self, timestep: f64) -> Error {
        Error::Unusable {
            path: self.request.model.clone(),
            reason: format!(
                "its loss at timestep {timestep} is not finite: look at its weights, or at the scale of the images"
            ),
        }
    }
}

/// The mean difference over the mean loss, with the interval of the paired differences.
fn increase(whole: &[f64], changed: &[f64]) -> Option<Increase> {
    let mean = whole.iter().sum::<f64>() / whole.len() as f64;
    let differences: Vec<f64> = changed.iter().zip(whole).map(|(c, w)| c - w).collect();
    let confidence = Confidence::new(CONFIDENCE).expect("within (0, 1)");
    let interval = Interval::of_mean(&differences, confidence).ok()?;
    let [estimate, low, high] =
        [interval.estimate, interval.low, interval.high].map(|difference| difference / mean);
    estimate.is_finite().then_some(Increase {
        estimate,
        low,
        high,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_increase_is_relative_and_paired() {
        let found = increase(&[1.0, 3.0, 2.0], &[2.0, 4.0, 3.0]).expect("finite");
        // Every example loses 1 of a mean of 2, so there is no doubt at all.
        assert_eq!(
            found,
            Increase {
                estimate: 0.5,
                low: 0.5,
                high: 0.5
            }
        );
        assert!(found.is_carried());
        let mixed = increase(&[1.0, 3.0], &[2.0, 2.0]).expect("finite");
        assert!(mixed.estimate == 0.0 && !mixed.is_carried());
        assert_eq!(increase(&[1.0, 1.0], &[f64::NAN, 1.0]), None);
    }
}
