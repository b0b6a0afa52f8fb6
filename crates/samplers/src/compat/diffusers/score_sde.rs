//! ScoreSdeVeScheduler: predictor and corrector of the reversed diffusion on a geometric ladder.

use std::sync::Arc;

use noise_schedule::{Kernel, single};

use crate::compat::Options;
use crate::{
    Call, Coordinates, Denoiser, Error, Input, NoiseSource, Prediction, Prepared, Stepper, score,
};

/// ScoreSdeVeScheduler, as its pipeline drives it: at each timestep `correct_steps` calls for the corrector and one for the predictor.
///
/// It is [`PredictorCorrector`](crate::PredictorCorrector) over [`ReverseDiffusion`](crate::ReverseDiffusion) in the main.
/// The network is told the sigma. The result of the last step is without its noise, as the pipeline takes it.
/// Reproduced with it:
/// the length of a corrector's step is made of means of the norms over the batch, so that a sample depends on its mates;
/// the predictor's sigmas are those of another ladder, rounded down, and it ends at sigma 0 whatever `sampling_eps` is.
pub(super) fn exploding<X: Coordinates + 'static>(
    options: &mut Options,
    steps: usize,
    step: &mut Options,
) -> Result<Prepared<X>, Error> {
    // It has no bearing on a run.
    options.count("num_train_timesteps", 1, 2000)?;
    let snr = options.number("snr", 0.15)?;
    let (low, high) = (
        options.number("sigma_min", 0.01)?,
        options.number("sigma_max", 1348.0)?,
    );
    let cut = options.number("sampling_eps", 1e-5)?;
    let corrections = options.count("correct_steps", 0, 1)?;
    step.forget_nulls(&["generator"]);
    super::sigmas::check_range((low, high), options.owner())?;
    if !(0.0..=1.0).contains(&cut) {
        let given = crate::compat::Value::Number(cut);
        return Err(options.refused("sampling_eps", &given, "a time in [0, 1]"));
    }

    let ladder: Vec<f32> = single::linspace(low.ln() as f32, high.ln() as f32, steps)
        .into_iter()
        .map(|log_sigma| f64::from(log_sigma).exp() as f32)
        .collect();
    let mut rungs = Vec::with_capacity(steps);
    let mut calls = Vec::with_capacity(steps * (corrections + 1));
    for t in single::linspace(1.0, cut as f32, steps) {
        let sigma = f64::from((high / low).powf(f64::from(t)) as f32 * low as f32);
        let at = Kernel::variance_exploding(sigma)?;
        calls.extend(vec![
            Call {
                timestep: sigma,
                at
            };
            corrections + 1
        ]);
        let place = (t * (steps - 1) as f32) as usize;
        let below = if place == 0 { 0.0 } else { ladder[place - 1] };
        let diffusion = (ladder[place] * ladder[place] - below * below).sqrt();
        rungs.push(Rung {
            at,
            to: Kernel::variance_exploding(f64::from(below))?,
            squared: f64::from(diffusion * diffusion),
            diffusion: f64::from(diffusion),
        });
    }
    Ok(Prepared {
        steps: rungs.iter().map(|rung| (rung.at, rung.to)).collect(),
        stepper: Box::new(Coupled {
            rungs: rungs.into(),
            corrections,
            snr,
            taken: 0,
        }),
        calls,
        sigmas: Vec::new(),
        init_noise_sigma: high,
        input: Input::State,
        prediction: Prediction::Score,
    })
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
struct Rung {
    at: Kernel,
    to: Kernel,
    /// The scale of the noise and its square, each rounded.
    diffusion: f64,
    squared: f64,
}

#[derive(Clone, Debug)]
struct Coupled {
    rungs: Arc<[Rung]>,
    corrections: usize,
    snr: f64,
    taken: usize,
}

impl<X: Coordinates> Stepper<X> for Coupled {
    fn order(&self) -> u32 {
        1
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        let rung = self.rungs[self.taken];
        self.taken += 1;
        let mut x = x.clone();
        for _ in 0..self.corrections {
            let slope = score(&x, &model.denoise(&x, rung.at), rung.at);
            let fresh = noise.between(&x, from, from);
            let ratio = self.snr * mean_norm(&fresh) / mean_norm(&slope);
            let length = 2.0 * ratio * ratio;
            x = X::combine(&[(1.0, &x), (length, &slope), ((2.0 * length).sqrt(), &fresh)]);
        }
        let slope = score(&x, &model.denoise(&x, rung.at), rung.at);
        let mean = X::axpby(1.0, &x, rung.squared, &slope);
        if self.taken == self.rungs.len() {
            return mean;
        }
        X::axpby(1.0, &mean, rung.diffusion, &noise.between(&x, from, to))
    }
}

/// The mean of the samples' norms.
fn mean_norm<X: Coordinates>(x: &X) -> f64 {
    let norms: Vec<f64> = x
        .split()
        .iter()
        .map(|sample| sample.inner(sample).sqrt())
        .collect();
    norms.iter().sum::<f64>() / norms.len() as f64
}
