//! What UniPC and SA-Solver share: a predictor whose result is corrected once the network has seen it, without another call.

use noise_schedule::Kernel;

use super::lambda_space::Grid;
use super::single_levels::Level;
use crate::compat::Options;
use crate::compat::clip::Clip;
use crate::compat::recipe::{Precision, Recipe, Stage, Step};
use crate::dpm_solver::Integrand;
use crate::{Coordinates, Error, Input, Prediction, Prepared};

/// One step, to kept x + Σ weight_k m_k + noise z, with the values m of the integrand, the latest first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    /// Weight of the corrected state that the step starts from.
    pub(super) kept: f64,
    /// Weights of the values before the network sees the result.
    pub(super) predictor: Vec<f64>,
    /// Those afterwards, that of the new value first; none where nothing is corrected.
    pub(super) corrector: Option<Vec<f64>>,
    /// Weight of the noise, which predictor and corrector share.
    pub(super) noise: f64,
}

impl Pair {
    /// What the corrector adds to the predictor's result: the state and the noise cancel.
    fn correction(&self) -> Vec<f64> {
        let Some(corrector) = &self.corrector else {
            return Vec::new();
        };
        let predicted = std::iter::once(0.0).chain(self.predictor.iter().copied());
        let mut correction: Vec<f64> = predicted.map(|weight| -weight).collect();
        correction.resize(correction.len().max(corrector.len()), 0.0);
        for (total, weight) in correction.iter_mut().zip(corrector) {
            *total += weight;
        }
        correction
    }
}

/// How the network's answers become values of the integrand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) integrand: Integrand,
    pub(super) prediction: Prediction,
    pub(super) clip: Option<Clip>,
}

impl Values {
    /// Reads `prediction_type` and thresholding, which does not act on the noise.
    ///
    /// # Errors
    /// [`Error::Contradiction`] for `flow_prediction` where the noise is integrated: the peer fails there.
    pub(super) fn read(options: &mut Options, integrand: Integrand) -> Result<Values, Error> {
        let known = [
            ("epsilon", Prediction::Epsilon),
            ("sample", Prediction::Sample),
            ("v_prediction", Prediction::Velocity),
            ("flow_prediction", Prediction::Flow),
        ];
        let prediction = options.choice("prediction_type", &known, "epsilon")?;
        if prediction == Prediction::Flow && integrand == Integrand::Noise {
            return Err(Error::Contradiction {
                owner: options.owner().to_string(),
                rule: "flow_prediction needs a solver of the data, not of the noise",
                given: "flow_prediction with a solver of the noise".to_string(),
            });
        }
        let clip = Clip::thresholding(options)?;
        let clip = clip.filter(|_| integrand == Integrand::Denoised);
        Ok(Values {
            integrand,
            prediction,
            clip,
        })
    }

    /// The evaluation at this level that remembers the integrand's value and leaves kept x + Σ weight_k m_k.
    pub(super) fn stage(&self, at: Kernel, single: Level, kept: f64, weights: Vec<f64>) -> Stage {
        let value = self.value(at, single);
        let mut stage = match self.integrand {
            Integrand::Denoised => Stage {
                estimate: value,
                ..Stage::explicit(at, (0.0, 1.0), 0.0)
            },
            Integrand::Noise => Stage::explicit(at, value, 0.0),
        };
        stage.clip = self.clip;
        stage.kept = kept;
        stage.weights = weights;
        stage
    }

    /// The value (a, b), a x + b D, that the peer makes of the network's answer.
    ///
    /// It is D or eps but for the rounding of alpha and sigma to `f32`, which large noise-to-signal ratios amplify,
    /// and for two formulas used on levels that they are not for: v is inverted as if alpha² + sigma² were 1,
    /// and a flow's answer as if alpha + sigma were 1 and sigma the noise-to-signal ratio.
    fn value(&self, at: Kernel, single: Level) -> (f64, f64) {
        let (alpha, sigma) = (at.alpha(), at.sigma());
        let (a, s) = (f64::from(single.alpha), f64::from(single.sigma));
        // The answer as x and D: eps, v = alpha eps − sigma D, eps − D.
        let (x, d) = match self.prediction {
            Prediction::Velocity => (alpha / sigma, -(alpha * alpha / sigma + sigma)),
            Prediction::Flow => (sigma.recip(), -(alpha / sigma + 1.0)),
            _ => (sigma.recip(), -alpha / sigma),
        };
        match (self.integrand, self.prediction) {
            (Integrand::Denoised, Prediction::Sample) => (0.0, 1.0),
            (Integrand::Denoised, Prediction::Velocity) => (a - s * x, -s * d),
            (Integrand::Denoised, Prediction::Flow) => {
                let sigma = f64::from(single.raw);
                (1.0 - sigma * x, -sigma * d)
            }
            (Integrand::Denoised, _) => ((1.0 - s * x) / a, -s * d / a),
            (Integrand::Noise, Prediction::Sample) => (s.recip(), -a / s),
            (Integrand::Noise, Prediction::Velocity) => (a * x + s, a * d),
            (Integrand::Noise, _) => (x, d),
        }
    }

    /// The sampler of these steps.
    pub(super) fn prepared<X: Coordinates + 'static>(
        &self,
        grid: &Grid,
        order: u32,
        steps: Vec<Step>,
        owner: &str,
    ) -> Result<Prepared<X>, Error> {
        let recipe = Recipe::new(owner, order, Precision::State, steps)?;
        Ok(Prepared {
            steps: recipe.levels(),
            calls: recipe.calls(&grid.timesteps),
            stepper: Box::new(recipe),
            sigmas: grid.sigmas.iter().copied().map(f64::from).collect(),
            init_noise_sigma: 1.0,
            input: Input::State,
            prediction: self.prediction,
        })
    }

    /// The steps of these pairs: each corrects what the one before predicted, and goes on from there.
    pub(super) fn steps(&self, grid: &Grid, singles: &[Level], pairs: &[Pair]) -> Vec<Step> {
        let corrections = std::iter::once(Vec::new()).chain(pairs.iter().map(Pair::correction));
        let levels = grid.kernels.iter().zip(singles);
        let stages = pairs.iter().zip(corrections).zip(levels).map(
            |((pair, correction), (&at, &single))| {
                let mut weights = pair.predictor.clone();
                weights.resize(weights.len().max(correction.len()), 0.0);
                for (weight, correction) in weights.iter_mut().zip(correction) {
                    *weight += pair.kept * correction;
                }
                let mut stage = self.stage(at, single, pair.kept, weights);
                stage.after = pair.noise;
                vec![stage]
            },
        );
        grid.kernels[1..].iter().copied().zip(stages).collect()
    }
}
