//! RePaintScheduler.

use std::sync::Arc;

use noise_schedule::Kernel;
use noise_schedule::compat::diffusers as grids;

use super::t_space::{Levels, kernel};
use super::training::{Defaults, table};
use crate::compat::clip::Clip;
use crate::compat::{Options, Value};
use crate::{
    Call, Coordinates, Denoiser, Error, Input, NoiseSource, Prediction, Prepared, Stepper,
};

/// RePaintScheduler, as its pipeline drives it: `step` towards data, `undo_step` back to noise.
///
/// Its `step` takes `original_image` and `mask`, here as lists of all coordinates, nested or not;
/// and with them `jump_length` and `jump_n_sample` of `set_timesteps`.
/// It is [`Inpainting`](crate::Inpainting) over [`Ancestral`](crate::Ancestral) in the main.
/// Reproduced with it:
/// the known part and the unknown part get the same noise;
/// the noise direction is that of the sample before clipping;
/// at timestep 0 the unknown part gets no noise and the known part none either, for their level is clean.
pub(super) fn repaint<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    let defaults = Defaults {
        known: &["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"],
        ..Defaults::LINEAR
    };
    let table = table(options, defaults)?;
    let eta = options.number("eta", 0.0)? as f32;
    let clip = options
        .flag("clip_sample", true)?
        .then_some(Clip::Bound(1.0));
    let known = coordinates(step, "original_image")?;
    let mask = coordinates(step, "mask")?;
    let jump_length = step.count("jump_length", 1, 10)?;
    let jump_samples = step.count("jump_n_sample", 1, 10)?;
    step.forget_nulls(&["generator"]);
    if known.len() != mask.len() {
        return Err(Error::Contradiction {
            owner: step.owner().to_string(),
            rule: "mask and original_image must have as many coordinates",
            given: format!("{} and {}", mask.len(), known.len()),
        });
    }

    let levels = Levels::new(&table, true, options.owner());
    let timesteps = grids::repaint(table.count(), steps, jump_length, jump_samples)?;
    let stride = (table.count() / steps.min(table.count())) as i64;
    let (mut moves, mut walk, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = i64::MAX;
    for &timestep in &timesteps {
        if timestep < last {
            let (from, to) = (
                levels.alpha_bar(timestep)?,
                levels.next_alpha_bar(timestep - stride)?,
            );
            let at = levels.asked(timestep, Prediction::Epsilon)?.at;
            let std = eta * ((1.0 - to) / (1.0 - from) * (1.0 - from / to)).sqrt();
            let direction = f64::from((1.0 - to - std * std).sqrt());
            let (alpha, sigma) = (f64::from(to.sqrt()), f64::from((1.0 - to).sqrt()));
            let fresh = if 0 < timestep && 0.0 < eta {
                f64::from(std)
            } else {
                0.0
            };
            if !(direction.is_finite() && fresh.is_finite()) {
                let given = Value::Number(f64::from(eta));
                return Err(options.refused(
                    "eta",
                    &given,
                    "in [0, 1]: above, a level would need more noise than it has",
                ));
            }
            calls.push(Call {
                timestep: timestep as f64,
                at,
            });
            walk.push((at, kernel(to)?));
            moves.push(Move::Down {
                at,
                alpha,
                sigma,
                direction,
                fresh,
            });
        } else {
            let betas = (last..last + stride).map(|index| table.betas()[index as usize]);
            let scales = betas.map(|beta| (f64::from((1.0 - beta).sqrt()), f64::from(beta.sqrt())));
            walk.push((
                kernel(levels.next_alpha_bar(last - stride)?)?,
                kernel(levels.alpha_bar(timestep)?)?,
            ));
            moves.push(Move::Up(scales.collect()));
        }
        last = timestep;
    }
    Ok(Prepared {
        steps: walk,
        stepper: Box::new(Repaint {
            moves: moves.into(),
            clip,
            known: known.into(),
            mask: mask.into(),
            taken: 0,
        }),
        calls,
        sigmas: Vec::new(),
        init_noise_sigma: 1.0,
        input: Input::State,
        prediction: Prediction::Epsilon,
    })
}

/// The numbers of one step.
#[derive(Clone, Debug)]
enum Move {
    /// Towards data: the level of the call, the scales of the next level, and those of the noise kept and the noise added.
    Down {
        at: Kernel,
        alpha: f64,
        sigma: f64,
        direction: f64,
        fresh: f64,
    },
    /// Towards noise, level by level: (√(1 − beta), √beta).
    Up(Vec<(f64, f64)>),
}

#[derive(Clone, Debug)]
struct Repaint {
    moves: Arc<[Move]>,
    clip: Option<Clip>,
    known: Arc<[f64]>,
    mask: Arc<[f64]>,
    taken: usize,
}

impl<X: Coordinates> Stepper<X> for Repaint {
    fn order(&self) -> u32 {
        1
    }

    /// # Panics
    /// If the state has another number of coordinates than mask and image.
    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        self.taken += 1;
        let (at, alpha, sigma, direction, fresh) = match &self.moves[self.taken - 1] {
            Move::Up(scales) => {
                return scales.iter().fold(x.clone(), |x, &(kept, added)| {
                    X::axpby(kept, &x, added, &noise.between(&x, from, to))
                });
            }
            &Move::Down {
                at,
                alpha,
                sigma,
                direction,
                fresh,
            } => (at, alpha, sigma, direction, fresh),
        };
        let given = model.denoise(x, at);
        let bounded = self
            .clip
            .map_or_else(|| given.clone(), |clip| clip.apply(&given));
        let drawn = noise.between(x, from, to);
        let unknown = X::combine(&[
            (alpha, &bounded),
            (direction / at.sigma(), x),
            (-direction * at.alpha() / at.sigma(), &given),
            (fresh, &drawn),
        ]);
        let known = X::axpby(alpha, &x.with_values(self.known.to_vec()), sigma, &drawn);
        let pairs = unknown
            .values()
            .into_iter()
            .zip(known.values())
            .zip(self.mask.iter());
        x.with_values(
            pairs
                .map(|((unknown, known), m)| m * known + (1.0 - m) * unknown)
                .collect(),
        )
    }
}

/// All numbers of a nested list, in order.
fn coordinates(step: &mut Options, name: &'static str) -> Result<Vec<f64>, Error> {
    fn flatten(value: &Value, into: &mut Vec<f64>) -> bool {
        match value {
            Value::Number(number) if number.is_finite() => into.push(*number),
            Value::List(list) => return list.iter().all(|value| flatten(value, into)),
            _ => return false,
        }
        true
    }
    let Some(value) = step.take(name) else {
        return Err(Error::MissingOption {
            owner: step.owner().to_string(),
            name: name.to_string(),
        });
    };
    let mut numbers = Vec::new();
    match flatten(&value, &mut numbers) {
        true => Ok(numbers),
        false => Err(step.refused(name, &value, "a list of finite numbers")),
    }
}
