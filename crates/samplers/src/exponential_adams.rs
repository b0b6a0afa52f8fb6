//! Exponential Adams methods, predicting and correcting, which UniPC, DEIS and SA-Solver are cases of.

use noise_schedule::Kernel;

use crate::adams::lagrange_moments;
use crate::dpm_solver::{Exponential, Integrand, half_log_snr};
use crate::history::History;
use crate::phi::phi;
use crate::starter::{Start, start};
use crate::stepper::{far_apart, renoised};
use crate::{Denoiser, NoiseSource, VectorSpace};

/// How UniPC weighs a difference of two values of its integrand, where it is the only one: in the predictor of order 2,
/// and in the corrector of order 1.
///
/// Where there are more, B(h) cancels, and the weights are those of the exact integral of the polynomial.
/// All three keep the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoleDifference {
    /// ½ B(h) with B(h) = h.
    #[doc(alias = "bh1")]
    Bh1,
    /// ½ B(h) with B(h) = e^h − 1, and 1 − e^(−h) for [`Integrand::Denoised`].
    #[doc(alias = "bh2")]
    Bh2,
    /// The exact integral of the line through the two values.
    Exact,
}

/// The exponential Adams–Bashforth formula through `predictor` values of the integrand, the latest at the start of the step,
/// and the exponential Adams–Moulton formula through `corrector` values, the latest at its end, where they are asked for.
///
/// The value at the end is the one found at the predicted state: one evaluation per step serves both.
/// A step thus begins with the correction of the state that the step before has predicted.
#[derive(Clone, Debug)]
pub(crate) struct ExponentialAdams<X> {
    pub(crate) integrand: Integrand,
    pub(crate) predictor: u32,
    pub(crate) corrector: Option<u32>,
    pub(crate) sole: SoleDifference,
    pub(crate) start: Start,
    /// Levels and values of the integrand, the latest first.
    pub(crate) history: History<X>,
    /// What the corrector adds to the state that was predicted: weights of the value there, and of those remembered.
    correction: Vec<f64>,
}

impl<X: VectorSpace> ExponentialAdams<X> {
    pub(crate) fn new(
        integrand: Integrand,
        predictor: u32,
        corrector: Option<u32>,
    ) -> ExponentialAdams<X> {
        ExponentialAdams {
            integrand,
            predictor,
            corrector,
            sole: SoleDifference::Exact,
            start: Start::Full,
            history: History::new(Vec::new()),
            correction: Vec::new(),
        }
    }

    /// The order of the method without noise, if it remembers so many values or more.
    pub(crate) fn order(&self, remembered: usize) -> u32 {
        let known = remembered as u32 + 1;
        let predictor = self.predictor.min(known);
        match self.corrector {
            None => predictor,
            // The corrector sees a value at a state that is off by O(h^(predictor + 1)), and multiplies it by h.
            Some(corrector) => corrector.min(known + 1).min(predictor + 1),
        }
    }

    /// The step; η = 0 is the probability flow, η = 1 the reversed diffusion.
    pub(crate) fn step(
        &mut self,
        eta: f64,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        let done = self.history.begin(x, from, to);
        if self.history.is_empty() {
            self.correction.clear();
        }
        if done.is_some() && 0.0 < from.alpha() {
            let scale = to.alpha() / from.alpha();
            self.correction
                .iter_mut()
                .for_each(|weight| *weight *= scale);
        }
        if let Some(state) = done {
            return state;
        }
        let rises = from.sigma() * to.alpha() < to.sigma() * from.alpha();
        let eta = if rises { 0.0 } else { eta };
        if to.sigma() == 0.0 || from.alpha() == 0.0 || to.alpha() == 0.0 {
            // No polynomial in λ reaches an infinite one.
            let denoised = model.denoise(x, from);
            self.history.clear();
            self.correction.clear();
            if eta == 0.0 || to.sigma() == 0.0 {
                return renoised(x, &denoised, from, to.alpha(), to.sigma());
            }
            let fresh = noise.between(x, from, to);
            return X::axpby(to.alpha(), &denoised, to.sigma(), &fresh);
        }
        // The correction takes the predictor's weights away, which reach one level further back than the next predictor's.
        let longest = self.corrector.map_or(self.predictor - 1, |corrector| {
            self.predictor.max(corrector - 1)
        });
        self.history.truncate(longest as usize);
        let order = self.order(self.predictor as usize).min(4);
        if self.start == Start::Full && eta == 0.0 && self.order(self.history.len()) + 1 < order {
            let (state, denoised) = start(order - 1, model, x, from, to);
            self.history
                .insert(0, (from, self.integrand.value(x, &denoised, from)));
            self.correction.clear();
            return state;
        }
        let value = self.integrand.value(x, &model.denoise(x, from), from);
        self.history.insert(0, (from, value));
        let step = Exponential::new(self.integrand, eta, from, to);
        let far = far_apart(self.history.levels(), to);
        let most = far.min(self.predictor as usize);
        let predictor = self.weights(eta, from, to, None, most);
        let mut weights = predictor.clone();
        weights.resize(weights.len().max(self.correction.len()), 0.0);
        for (weight, correction) in weights.iter_mut().zip(&self.correction) {
            *weight += step.state * correction;
        }
        self.correction = match self.corrector {
            None => Vec::new(),
            Some(corrector) => {
                let most = (far + 1).min(corrector as usize);
                let mut correction = self.weights(eta, from, to, Some(to), most);
                correction.resize(correction.len().max(predictor.len() + 1), 0.0);
                for (weight, predicted) in correction[1..].iter_mut().zip(&predictor) {
                    *weight -= predicted;
                }
                correction
            }
        };
        let fresh = (0.0 < step.noise).then(|| noise.between(x, from, to));
        let values = self.history.iter().map(|(_, value)| value);
        let mut terms = vec![(step.state, x)];
        terms.extend(weights.into_iter().zip(values));
        terms.extend(fresh.iter().map(|fresh| (step.noise, fresh)));
        X::combine(&terms)
    }

    /// The weights of the integrand's values at `ahead`, if given, and at the levels of the history, in all at most so many.
    fn weights(
        &self,
        eta: f64,
        from: Kernel,
        to: Kernel,
        ahead: Option<Kernel>,
        most: usize,
    ) -> Vec<f64> {
        let h = half_log_snr(to) - half_log_snr(from);
        let levels = ahead.into_iter().chain(self.history.levels());
        let places: Vec<f64> = levels
            .take(most)
            .map(|level| (half_log_snr(level) - half_log_snr(from)) / h)
            .collect();
        let (scale, argument) = match self.integrand {
            Integrand::Denoised => (to.alpha() * (1.0 + eta) * h, -(1.0 + eta) * h),
            Integrand::Noise => (-to.sigma() * (1.0 + eta) * h, h),
        };
        // The integrals of the powers of (λ − λ_from)/h against the exact decay.
        let mut factorial = 1.0;
        let mut moments: Vec<f64> = (0..places.len() as u32)
            .map(|power| {
                factorial *= f64::from(power.max(1));
                scale * factorial * phi(power + 1, argument)
            })
            .collect();
        if let [value, slope] = moments.as_mut_slice() {
            match self.sole {
                SoleDifference::Bh1 => *slope = 0.5 * scale,
                SoleDifference::Bh2 => *slope = 0.5 * *value,
                SoleDifference::Exact => {}
            }
        }
        lagrange_moments(&places, &moments)
    }
}
