//! Step sizes that follow the error, for each sample on its own.

mod control;
mod pair;

pub use control::{Control, Controller};
pub use pair::Pair;

use noise_schedule::Kernel;

use crate::starter::intermediate;
use crate::{Coordinates, Denoiser, Error, VectorSpace};
use pair::Attempt;

/// The probability flow between two levels with step sizes that keep the error of each step within a tolerance.
///
/// Every sample has step sizes of its own, so that its result never depends on its mates;
/// the samples that are still on their way share each evaluation, by [`Denoiser::denoise_each`].
///
/// Lengths of steps, places and tolerances are those of y = x/alpha as a function of λ = ln(alpha/sigma).
/// The levels of the stages are on a variance-preserving or variance-exploding schedule, or a flow's, if both ends are.
/// Either end may be the noisier one.
///
/// ```
/// use ndarray::{Array2, array};
/// use noise_schedule::Kernel;
/// use samplers::{Adaptive, Control, Pair};
/// let mut model = |x: &Array2<f64>, k: Kernel| x * (k.alpha() / (k.alpha().powi(2) + k.sigma().powi(2)));
/// let adaptive = Adaptive::new(Pair::DormandPrince, Control::song2021(10_000))?;
/// let (from, to) = (Kernel::variance_exploding(80.0)?, Kernel::variance_exploding(0.01)?);
/// let found = adaptive.run(&mut model, &array![[80.0], [-40.0]], from, to)?;
/// assert!((found.x[[0, 0]] - 1.0).abs() < 1e-3);
/// # Ok::<(), samplers::Error>(())
/// ```
#[doc(alias = "get_ode_sampler")]
#[doc(alias = "sample_dpm_adaptive")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    pair: Pair,
    control: Control,
}

/// Where an adaptive method arrived, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapted<X> {
    /// The state at the last level.
    pub x: X,
    /// The evaluations of each sample.
    pub evaluations: Vec<usize>,
    /// The attempts of each sample that were rejected.
    pub rejected: Vec<usize>,
}

impl Adaptive {
    /// The pair under this control.
    ///
    /// # Errors
    /// [`Error::Control`] unless tolerances, steps and the sum P + I + D are positive and finite;
    /// [`Error::Accept`] if `accept` is above 1.
    pub fn new(pair: Pair, control: Control) -> Result<Adaptive, Error> {
        control.check()?;
        Ok(Adaptive { pair, control })
    }

    /// The state at the level `to`, from the state `x` at the level `from`. The last step ends at `to` exactly.
    ///
    /// # Shapes
    /// The result has the shape of `x`; samples lie along the leading axis.
    ///
    /// # Errors
    /// [`Error::OpenEnd`] if either level has alpha = 0 or sigma = 0, which no λ describes.
    /// [`Error::LeastStep`] or [`Error::Budget`] for the first sample that needs shorter steps, or more evaluations, than the control allows.
    pub fn run<X: Coordinates>(
        &self,
        model: &mut dyn Denoiser<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> Result<Adapted<X>, Error> {
        let span = Span::new(from, to)?;
        let mut field = |parts: &[X], places: &[f64]| {
            let levels: Vec<Kernel> = places.iter().map(|&place| span.level(place)).collect();
            let scaled: Vec<X> = parts
                .iter()
                .zip(&levels)
                .map(|(y, level)| X::axpby(level.alpha(), y, 0.0, y))
                .collect();
            let denoised = model.denoise_each(&X::stack(&scaled), &levels).split();
            let values = parts.iter().zip(&denoised).zip(places);
            values
                .map(|((y, denoised), &place)| self.pair.value(place, y, denoised))
                .collect()
        };
        let y = X::axpby(from.alpha().recip(), x, 0.0, x);
        let found = integrate(
            self.pair,
            &self.control,
            &mut field,
            &X::values,
            y.split(),
            &span,
        )?;
        let y = X::stack(&found.x);
        Ok(Adapted {
            x: X::axpby(to.alpha(), &y, 0.0, &y),
            evaluations: found.evaluations,
            rejected: found.rejected,
        })
    }
}

/// The way between two levels, by λ.
pub(crate) struct Span {
    from: Kernel,
    to: Kernel,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl Span {
    pub(crate) fn new(from: Kernel, to: Kernel) -> Result<Span, Error> {
        let (start, end) = (0.5 * from.log_snr(), 0.5 * to.log_snr());
        for (level, place) in [(from, start), (to, end)] {
            if !place.is_finite() {
                let (alpha, sigma) = (level.alpha(), level.sigma());
                return Err(Error::OpenEnd { alpha, sigma });
            }
        }
        Ok(Span {
            from,
            to,
            start,
            end,
        })
    }

    /// The level at this λ; the ends are the levels given.
    pub(crate) fn level(&self, place: f64) -> Kernel {
        if place == self.start {
            self.from
        } else if place == self.end {
            self.to
        } else {
            let fraction = (place - self.start) / (self.end - self.start);
            intermediate(self.from, self.to, fraction)
        }
    }
}

/// One sample on its way.
struct Way<X> {
    y: X,
    /// The less accurate result of the last accepted step.
    low: X,
    place: f64,
    step: f64,
    /// 1/E of the last two accepted steps, newest first; none before the first attempt.
    before: Option<[f64; 2]>,
    /// The value at y, once known.
    value: Option<X>,
    evaluations: usize,
    rejected: usize,
}

/// What a pair integrates, of samples at their places.
type Field<'a, X> = dyn FnMut(&[X], &[f64]) -> Vec<X> + 'a;

/// The states of samples at the end of the span, by a pair.
///
/// `coordinates` are those that the tolerances are about.
pub(crate) fn integrate<X: VectorSpace>(
    pair: Pair,
    control: &Control,
    field: &mut Field<X>,
    coordinates: &dyn Fn(&X) -> Vec<f64>,
    samples: Vec<X>,
    span: &Span,
) -> Result<Adapted<Vec<X>>, Error> {
    let mut ways: Vec<Way<X>> = samples
        .into_iter()
        .map(|y| Way {
            low: y.clone(),
            y,
            place: span.start,
            step: control.first_step,
            before: None,
            value: None,
            evaluations: 0,
            rejected: 0,
        })
        .collect();
    let on_their_way = |ways: &[Way<X>]| -> Vec<usize> {
        (0..ways.len())
            .filter(|&i| ways[i].place != span.end)
            .collect()
    };
    loop {
        let open = on_their_way(&ways);
        if open.is_empty() {
            break;
        }
        let asking: Vec<usize> = open
            .iter()
            .copied()
            .filter(|&i| ways[i].value.is_none())
            .collect();
        if !asking.is_empty() {
            let states: Vec<X> = asking.iter().map(|&i| ways[i].y.clone()).collect();
            let places: Vec<f64> = asking.iter().map(|&i| ways[i].place).collect();
            for (&i, value) in asking.iter().zip(field(&states, &places)) {
                ways[i].value = Some(value);
                ways[i].evaluations += 1;
            }
        }
        let mut targets = Vec::with_capacity(open.len());
        let mut attempts: Vec<Attempt> = Vec::with_capacity(open.len());
        let mut values: Vec<Vec<X>> = Vec::with_capacity(open.len());
        for &i in &open {
            let way = &mut ways[i];
            let target = next(way, control, span, i)?;
            let attempt = pair.attempt(way.place, target);
            way.evaluations += attempt.stages.len();
            if control.budget < way.evaluations {
                return Err(Error::Budget {
                    sample: i,
                    budget: control.budget,
                    log_ratio: way.place,
                });
            }
            targets.push(target);
            attempts.push(attempt);
            values.push(way.value.iter().cloned().collect());
        }
        for stage in 0..attempts[0].stages.len() {
            let places: Vec<f64> = attempts.iter().map(|a| a.stages[stage].0).collect();
            let states: Vec<X> = (0..open.len())
                .map(|k| attempts[k].stages[stage].1.of(&ways[open[k]].y, &values[k]))
                .collect();
            for (known, value) in values.iter_mut().zip(field(&states, &places)) {
                known.push(value);
            }
        }
        for (k, &i) in open.iter().enumerate() {
            let way = &mut ways[i];
            let high = attempts[k].high.of(&way.y, &values[k]);
            let low = attempts[k].low.of(&way.y, &values[k]);
            let error = control.error([&high, &low, &way.low].map(coordinates));
            let inverse = (error + 1e-8).recip();
            let before = *way.before.get_or_insert([inverse; 2]);
            let factor = control.controller.factor(inverse, before, pair.exponent());
            // The least factor also where a state is not finite.
            let factor = if factor.is_finite() {
                factor
            } else {
                1.0 + (-1.0_f64).atan()
            };
            way.step *= factor;
            if control.controller.accept <= factor {
                way.before = Some([inverse, before[0]]);
                (way.y, way.low, way.place) = (high, low, targets[k]);
                way.value = values[k].pop().filter(|_| pair.first_is_last());
            } else {
                way.rejected += 1;
            }
        }
    }
    Ok(Adapted {
        evaluations: ways.iter().map(|way| way.evaluations).collect(),
        rejected: ways.iter().map(|way| way.rejected).collect(),
        x: ways.into_iter().map(|way| way.y).collect(),
    })
}

/// The end of the next step: that of the span if it is within reach.
fn next<X>(way: &Way<X>, control: &Control, span: &Span, sample: usize) -> Result<f64, Error> {
    let left = span.end - way.place;
    // A remainder that rounding left is taken along.
    if left.abs() <= way.step * (1.0 + 1e-9) {
        return Ok(span.end);
    }
    if way.step < control.least_step {
        return Err(Error::LeastStep {
            sample,
            step: way.step,
            least: control.least_step,
            log_ratio: way.place,
        });
    }
    Ok(way.place + way.step * left.signum())
}
