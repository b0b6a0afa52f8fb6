//! `sample_dpm_fast` and `sample_dpm_adaptive`: DPM-Solver, singlestep, between two noise levels.

use noise_schedule::Kernel;
use noise_schedule::single::linspace;

use super::Range;
use super::euler::prepared;
use crate::compat::recipe::{Stage, Step};
use crate::compat::sigma_space::ancestral_bounded;
use crate::compat::single::{exp, exp_m1, ln};
use crate::compat::{Options, Value};
use crate::{Coordinates, Denoiser, Error, NoiseSource, Prepared};

/// `sample_dpm_fast`, with `eta` and `s_noise`: so many evaluations in even steps of −ln sigma, of third order as long as they last.
pub(super) fn fast<X: Coordinates + 'static>(
    range: &Range,
    kwargs: &mut Options,
) -> Result<Prepared<X>, Error> {
    let [count] = range.args[..] else {
        return Err(Error::MissingOption {
            owner: kwargs.owner().to_string(),
            name: "n".to_string(),
        });
    };
    if !(1.0 <= count && count.fract() == 0.0 && count <= 1e6) {
        return Err(kwargs.refused(
            "n",
            &Value::Number(count),
            "a whole number of evaluations, at least 1",
        ));
    }
    let renewal = Renewal::read(kwargs)?;
    let (whole, rest) = (count as usize / 3, count as usize % 3);
    let orders: Vec<usize> = match rest {
        0 => [vec![3; whole - 1], vec![2, 1]].concat(),
        _ => [vec![3; whole], vec![rest]].concat(),
    };
    let times = linspace(
        -ln(range.sigma_max as f32),
        -ln(range.sigma_min as f32),
        whole + 2,
    );
    let end = times[whole + 1];
    let steps: Result<Vec<Step>, Error> = orders
        .into_iter()
        .zip(times.windows(2))
        .map(|(order, pair)| {
            let (lower, up) = renewal.split(pair[0], pair[1], end);
            let mut stages = stages(order, pair[0], lower)?;
            stages[order - 1].after = up;
            Ok((exploding(pair[1])?, stages))
        })
        .collect();
    Ok(Prepared {
        sigmas: Vec::new(),
        ..prepared(kwargs, &[range.sigma_max], 1, steps?)?
    })
}

/// The noise that a step renews: `eta` and `s_noise`.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    eta: f64,
    scale: f64,
}

impl Renewal {
    fn read(kwargs: &mut Options) -> Result<Renewal, Error> {
        Ok(Renewal {
            eta: kwargs.number("eta", 0.0)?,
            scale: kwargs.number("s_noise", 1.0)?,
        })
    }

    /// The time that a step from `t` to `next` comes down to, `end` at most, and the noise added there.
    fn split(self, t: f32, next: f32, end: f32) -> (f32, f64) {
        if self.eta == 0.0 {
            return (next, 0.0);
        }
        let (down, _) = ancestral_bounded(exp(-t), exp(-next), self.eta);
        let lower = (-ln(down)).min(end);
        let (above, below) = (exp(-next), exp(-lower));
        (
            lower,
            f64::from((above * above - below * below).sqrt()) * self.scale,
        )
    }
}

/// The stages of a step of this order with the noise as integrand, between two values of t = −ln sigma.
fn stages(order: usize, t: f32, end: f32) -> Result<Vec<Stage>, Error> {
    let (sigma, to) = (exp(-t), exp(-end));
    let h = end - t;
    let rise = to * exp_m1(h);
    let mut first = flow(sigma, -rise)?;
    if order == 1 {
        return Ok(vec![first]);
    }
    let (r1, r2) = if order == 2 {
        (0.5, 1.0)
    } else {
        (1.0_f32 / 3.0, 2.0_f32 / 3.0)
    };
    let near = exp(-(t + r1 * h));
    first.weights = vec![f64::from(-near * exp_m1(r1 * h))];
    let mut second = flow(near, 0.0)?;
    if order == 2 {
        second.weights = midpoint(to, h, 0.5);
        return Ok(vec![first, second]);
    }
    let far = exp(-(t + r2 * h));
    let slope = f64::from(far * 2.0 * (exp_m1(r2 * h) / (r2 * h) - 1.0));
    second.weights = vec![-slope, slope - f64::from(far * exp_m1(r2 * h))];
    let mut third = flow(far, 0.0)?;
    let slope = f64::from(to / r2 * (exp_m1(h) / h - 1.0));
    third.weights = vec![-slope, 0.0, slope - f64::from(rise)];
    Ok(vec![first, second, third])
}

/// The weights of second order for a stage at this fraction of the step, newest first.
fn midpoint(to: f32, h: f32, r: f32) -> Vec<f64> {
    let (rise, slope) = (
        f64::from(to * exp_m1(h)),
        f64::from(to / (2.0 * r) * exp_m1(h)),
    );
    vec![-slope, slope - rise]
}

fn flow(sigma: f32, weight: f32) -> Result<Stage, Error> {
    Stage::flow(f64::from(sigma), f64::from(weight))
}

fn exploding(t: f32) -> Result<Kernel, Error> {
    Ok(Kernel::variance_exploding(f64::from(exp(-t)))?)
}

/// `sample_dpm_adaptive`: orders 1 and 2, or 2 and 3, side by side, with a controller of the step size.
///
/// The error is one number for the whole batch, so that a sample depends on its mates;
/// with noise, the path depends on where steps were refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adaptive {
    start: f32,
    end: f32,
    order: usize,
    rtol: f32,
    atol: f32,
    h: f64,
    /// Exponents of the last three inverse errors, newest first.
    exponents: [f64; 3],
    accept_safety: f64,
    renewal: Renewal,
}

impl Adaptive {
    /// Reads `order`, `rtol`, `atol`, `h_init`, `pcoeff`, `icoeff`, `dcoeff`, `accept_safety`, `eta` and `s_noise`;
    /// `return_info` makes no difference.
    pub(super) fn read(range: &Range, kwargs: &mut Options) -> Result<Adaptive, Error> {
        if let Some(&extra) = range.args.first() {
            return Err(kwargs.refused("args", &Value::Number(extra), "absent"));
        }
        kwargs.flag("return_info", false)?;
        let order = kwargs.number("order", 3.0)?;
        if order != 2.0 && order != 3.0 {
            return Err(kwargs.refused("order", &Value::Number(order), "2 or 3"));
        }
        let [p, i, d] = [("pcoeff", 0.0), ("icoeff", 1.0), ("dcoeff", 0.0)];
        let (p, i, d) = (
            kwargs.number(p.0, p.1)?,
            kwargs.number(i.0, i.1)?,
            kwargs.number(d.0, d.1)?,
        );
        let rtol = kwargs.number("rtol", 0.05)? as f32;
        let atol = kwargs.number("atol", 0.0078)? as f32;
        let h = kwargs.number("h_init", 0.05)?.abs();
        let accept_safety = kwargs.number("accept_safety", 0.81)?;
        let renewal = Renewal::read(kwargs)?;
        let controlled = if renewal.eta == 0.0 { order } else { 1.5 };
        Ok(Adaptive {
            start: -ln(range.sigma_max as f32),
            end: -ln(range.sigma_min as f32),
            order: order as usize,
            rtol,
            atol,
            h,
            exponents: [
                (p + i + d) / controlled,
                -(p + 2.0 * d) / controlled,
                d / controlled,
            ],
            accept_safety,
            renewal,
        })
    }

    /// The result, from the state at the first level.
    ///
    /// # Errors
    /// [`Error::Contradiction`] if the steps do not get to the end, because they shrink to nothing or are not numbers.
    pub(super) fn run<X: Coordinates>(
        self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: X,
    ) -> Result<X, Error> {
        let (mut t, mut h, mut x) = (self.start, self.h, x);
        let mut previous = x.clone();
        let mut inverse_errors: Option<[f64; 3]> = None;
        let mut tries = 0;
        while t < self.end - 1e-5 {
            let next = self.end.min(t + h as f32);
            tries += 1;
            if !h.is_finite() || next <= t || 100_000 < tries {
                return Err(Error::Contradiction {
                    owner: "sample_dpm_adaptive".to_string(),
                    rule: "the steps must get from sigma_max to sigma_min; raise rtol or atol",
                    given: format!("a step of length {h} in −ln sigma, at sigma = {}", exp(-t)),
                });
            }
            let (lower, up) = self.renewal.split(t, next, self.end);
            let (low, high) = self.pair(model, &x, t, lower)?;
            let error = self.error(&low, &high, &previous);
            let inverse = 1.0 / (error + 1e-8);
            let errors = inverse_errors.get_or_insert([inverse; 3]);
            errors[0] = inverse;
            let product: f64 = errors
                .iter()
                .zip(self.exponents)
                .map(|(error, power)| error.powf(power))
                .product();
            let factor = 1.0 + (product - 1.0).atan();
            if self.accept_safety <= factor {
                *errors = [errors[0], errors[0], errors[1]];
                previous = low;
                x = high;
                if up != 0.0 {
                    let fresh = noise.between(&x, exploding(t)?, exploding(next)?);
                    x = X::axpby(1.0, &x, up, &fresh);
                }
                t = next;
            }
            h *= factor;
        }
        Ok(x)
    }

    /// The results of the lower and of the higher order.
    fn pair<X: Coordinates>(
        &self,
        model: &mut dyn Denoiser<X>,
        x: &X,
        t: f32,
        end: f32,
    ) -> Result<(X, X), Error> {
        let stages = stages(self.order, t, end)?;
        let mut slopes: Vec<X> = Vec::new();
        let (mut low, mut current) = (x.clone(), x.clone());
        for (index, stage) in stages.iter().enumerate() {
            let denoised = model.denoise(&current, stage.at);
            let (a, b) = stage.slope;
            slopes.insert(0, X::axpby(a, &current, b, &denoised));
            let to = exp(-end);
            let combined = |weights: &[f64]| {
                let terms = weights.iter().copied().zip(&slopes);
                X::combine(&[(1.0, x)].into_iter().chain(terms).collect::<Vec<_>>())
            };
            if self.order == 2 && index == 0 {
                low = combined(&[f64::from(-to * exp_m1(end - t))]);
            } else if self.order == 3 && index == 1 {
                low = combined(&midpoint(to, end - t, 1.0 / 3.0));
            }
            current = combined(&stage.weights);
        }
        Ok((low, current))
    }

    /// The root of the mean square of (low − high)/max(atol, rtol max(|low|, |previous|)).
    fn error<X: Coordinates>(&self, low: &X, high: &X, previous: &X) -> f64 {
        let (rtol, atol) = (f64::from(self.rtol), f64::from(self.atol));
        let (low, high, previous) = (low.values(), high.values(), previous.values());
        let squares = low
            .iter()
            .zip(&high)
            .zip(&previous)
            .map(|((low, high), previous)| {
                ((low - high) / atol.max(rtol * low.abs().max(previous.abs()))).powi(2)
            });
        (squares.sum::<f64>() / low.len() as f64).sqrt()
    }
}
