//! The log-density of data under a model, by the probability flow.

mod dequantised;
mod derivatives;

pub use dequantised::Dequantised;
pub use derivatives::{CentralDifferences, Derivatives, rademacher};

use std::f64::consts::PI;

use noise_schedule::{Grid, Kernel};

use crate::adaptive::{Pair, Span, integrate};
use crate::runge_kutta::Tableau;
use crate::{Control, Coordinates, Error, VectorSpace};

/// How the density changes along the probability flow, by the trace of the denoiser's Jacobian:
///
/// ln p_from(x) = ln p_to(x_to) + d ln(sigma_to/sigma_from) − ∫ tr(∂D/∂y) dλ,   y = x/alpha, λ = ln(alpha/sigma) from that of `to` to that of `from`,
///
/// for x at the level `from`, carried by the flow dy/dλ = D − y to x_to at a noisier level, where the density is known;
/// d is the number of coordinates of a sample.
/// This is the instantaneous change of variables with the divergence of the linear part done exactly.
/// The result is the density of data with the noise of `from`, which must have some: for clean data, take a small sigma.
///
/// Song et al. 2021 (<https://arxiv.org/abs/2011.13456>), section 4.3; Grathwohl et al. 2019 (<https://arxiv.org/abs/1810.01367>).
///
/// ```
/// use ndarray::{Array2, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{CentralDifferences, Likelihood, Prior, Tableau};
/// // Data N(0, 1), with noise of 0.01: N(0, 1.0001).
/// let model = |x: &Array2<f64>, k: Kernel| x * (k.alpha() / (k.alpha().powi(2) + k.sigma().powi(2)));
/// let grid = Grid::geometric(100.0, 0.01, 100)?;
/// let change = Likelihood::exact().along(
///     &grid, &Tableau::classical(), &mut CentralDifferences::new(model, 1e-3)?, &array![[0.5]])?;
/// let exact = -0.5 * (0.25 / 1.0001 + (2.0 * std::f64::consts::PI * 1.0001_f64).ln());
/// assert!((change.log_density(Prior::new(1.0)?)[0] - exact).abs() < 1e-4);
/// # Ok::<(), samplers::Error>(())
/// ```
#[doc(alias = "log_likelihood")]
#[doc(alias = "nll")]
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood<X> {
    /// Each of the shape of the states; none for the exact trace.
    probes: Vec<X>,
}

/// A state carried to a noisier level, and what became of its density.
#[derive(Clone, Debug, PartialEq)]
pub struct DensityChange<X> {
    /// The state at the noisier level: the latent code.
    pub x: X,
    /// The noisier level.
    pub at: Kernel,
    /// ln p_from − ln p_to of each sample, in nats.
    pub nats: Vec<f64>,
    /// The standard error of `nats` that the probes leave, of each sample;
    /// none for the exact trace, and for a single probe, which cannot tell.
    /// The error of the integration is not in it.
    pub standard_error: Option<Vec<f64>>,
}

impl<X: Coordinates> DensityChange<X> {
    /// ln p_from of each sample, in nats, if the noisier level has the density of `prior`.
    pub fn log_density(&self, prior: Prior) -> Vec<f64> {
        let variance = (self.at.alpha() * prior.std).powi(2) + self.at.sigma().powi(2);
        let own = self.x.split().into_iter().map(|x| {
            let coordinates = x.values().len() as f64;
            -0.5 * (x.inner(&x) / variance + coordinates * (2.0 * PI * variance).ln())
        });
        own.zip(&self.nats)
            .map(|(own, change)| own + change)
            .collect()
    }
}

/// What is taken for the density at the noisiest level: N(0, (alpha² std² + sigma²) I), exact for data N(0, std² I).
///
/// With std = 0 it is N(0, sigma² I), the choice of score_sde for variance exploding; with std = 1 it is N(0, I) wherever alpha² + sigma² = 1.
/// Where another density is known, add it to [`DensityChange::nats`].
#[doc(alias = "prior_logp")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    std: f64,
}

impl Prior {
    /// That of data of this standard deviation, which may be 0.
    ///
    /// # Errors
    /// [`Error::Spread`] unless it is finite and not negative.
    pub fn new(std: f64) -> Result<Prior, Error> {
        if 0.0 <= std && std.is_finite() {
            Ok(Prior { std })
        } else {
            Err(Error::Spread {
                name: "prior: std",
                value: std,
            })
        }
    }
}

impl<X: Coordinates> Likelihood<X> {
    /// By the exact trace, from one derivative along each of the d coordinates.
    pub fn exact() -> Likelihood<X> {
        Likelihood { probes: Vec::new() }
    }

    /// By Hutchinson's estimate, the mean of vᵀ (∂D/∂y) v over these probes, which must have independent entries of mean 0 and variance 1:
    /// [`rademacher`], or the normals of a [`NoiseSource`](crate::NoiseSource).
    ///
    /// A probe serves the whole way, so that the estimates of the probes are independent, unbiased, and have a standard error.
    ///
    /// Hutchinson 1989, A stochastic estimator of the trace of the influence matrix.
    ///
    /// # Shapes
    /// Each probe has the shape of the states.
    ///
    /// # Errors
    /// [`Error::NoProbes`] without any.
    #[doc(alias = "skilling")]
    pub fn hutchinson(probes: Vec<X>) -> Result<Likelihood<X>, Error> {
        if probes.is_empty() {
            Err(Error::NoProbes)
        } else {
            Ok(Likelihood { probes })
        }
    }

    /// The change for states at the last level of a grid, carried to its first, by a Runge–Kutta method in λ.
    ///
    /// As many evaluations per step of the grid as the method has stages; its order is that of the result.
    ///
    /// # Errors
    /// [`Error::OpenEnd`] if a level has alpha = 0 or sigma = 0.
    pub fn along(
        &self,
        grid: &Grid,
        tableau: &Tableau,
        model: &mut dyn Derivatives<X>,
        x: &X,
    ) -> Result<DensityChange<X>, Error> {
        let levels = grid.levels();
        let (from, to) = (levels[levels.len() - 1], levels[0]);
        let mut states = self.start(x, from);
        for pair in levels.windows(2).rev() {
            let span = Span::new(pair[1], pair[0])?;
            let h = span.end - span.start;
            let mut slopes: Vec<Vec<Augmented<X>>> = Vec::new();
            let moved = |weights: &[f64], slopes: &[Vec<Augmented<X>>]| -> Vec<Augmented<X>> {
                let state = |(i, start)| {
                    let added = weights
                        .iter()
                        .zip(slopes)
                        .map(|(w, slopes)| (h * w, &slopes[i]));
                    let terms: Vec<_> = [(1.0, start)].into_iter().chain(added).collect();
                    VectorSpace::combine(&terms)
                };
                states.iter().enumerate().map(state).collect()
            };
            let later = tableau
                .stages
                .iter()
                .map(|(fraction, weights)| (*fraction, &weights[..]));
            for (fraction, weights) in [(0.0, &[][..])].into_iter().chain(later) {
                let place = if fraction == 1.0 {
                    span.end
                } else {
                    span.start + fraction * h
                };
                let inner = moved(weights, &slopes);
                let levels = vec![span.level(place); inner.len()];
                let values = self.field(model, &inner, &levels);
                slopes.push(values);
            }
            states = moved(&tableau.weights, &slopes);
        }
        Ok(self.end(&states, from, to))
    }

    /// The change for states at the level `from`, carried to the noisier level `to` by [`Pair::DormandPrince`] with step sizes of their own.
    ///
    /// The integral of the trace, of each probe, counts as a coordinate.
    ///
    /// # Errors
    /// As [`Adaptive::new`](crate::Adaptive::new) and [`Adaptive::run`](crate::Adaptive::run).
    pub fn adaptive(
        &self,
        control: &Control,
        model: &mut dyn Derivatives<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> Result<DensityChange<X>, Error> {
        control.check()?;
        let span = Span::new(from, to)?;
        let mut field = |parts: &[Augmented<X>], places: &[f64]| {
            let levels: Vec<Kernel> = places.iter().map(|&place| span.level(place)).collect();
            self.field(model, parts, &levels)
        };
        let coordinates = |part: &Augmented<X>| [part.y.values(), part.traces.clone()].concat();
        let start = self.start(x, from);
        let found = integrate(
            Pair::DormandPrince,
            control,
            &mut field,
            &coordinates,
            start,
            &span,
        )?;
        Ok(self.end(&found.x, from, to))
    }

    fn start(&self, x: &X, from: Kernel) -> Vec<Augmented<X>> {
        let parts = x.split().into_iter().enumerate();
        parts
            .map(|(sample, x)| Augmented {
                sample,
                y: X::axpby(from.alpha().recip(), &x, 0.0, &x),
                traces: vec![0.0; self.probes.len().max(1)],
            })
            .collect()
    }

    /// d/dλ of states and of the integrals of their traces.
    fn field(
        &self,
        model: &mut dyn Derivatives<X>,
        parts: &[Augmented<X>],
        levels: &[Kernel],
    ) -> Vec<Augmented<X>> {
        let scaled: Vec<X> = parts
            .iter()
            .zip(levels)
            .map(|(part, level)| X::axpby(level.alpha(), &part.y, 0.0, &part.y))
            .collect();
        let directions = self.directions(parts);
        let (denoised, derivatives) = model.derivatives(&X::stack(&scaled), &directions, levels);
        let mut slopes: Vec<Augmented<X>> = parts
            .iter()
            .zip(denoised.split())
            .map(|(part, denoised)| Augmented {
                sample: part.sample,
                y: X::axpby(1.0, &denoised, -1.0, &part.y),
                traces: vec![0.0; part.traces.len()],
            })
            .collect();
        for (which, (direction, derivative)) in directions.iter().zip(&derivatives).enumerate() {
            let products = direction.split().into_iter().zip(derivative.split());
            for ((slope, (v, jv)), level) in slopes.iter_mut().zip(products).zip(levels) {
                // The coordinates of the exact trace add up; each probe is an estimate of its own.
                let place = which.min(slope.traces.len() - 1);
                slope.traces[place] += level.alpha() * v.inner(&jv);
            }
        }
        slopes
    }

    /// The probes of these samples, or the coordinate axes.
    fn directions(&self, parts: &[Augmented<X>]) -> Vec<X> {
        let stacked = |direction: &dyn Fn(&Augmented<X>) -> X| {
            X::stack(&parts.iter().map(direction).collect::<Vec<X>>())
        };
        if self.probes.is_empty() {
            let coordinates = parts[0].y.values().len();
            let axis = |k: usize| {
                let mut unit = vec![0.0; coordinates];
                unit[k] = 1.0;
                stacked(&|part| part.y.with_values(unit.clone()))
            };
            (0..coordinates).map(axis).collect()
        } else {
            let split = self.probes.iter().map(X::split);
            split
                .map(|probe| stacked(&|part| probe[part.sample].clone()))
                .collect()
        }
    }

    fn end(&self, parts: &[Augmented<X>], from: Kernel, to: Kernel) -> DensityChange<X> {
        let growth = (to.sigma() / from.sigma()).ln();
        let states: Vec<X> = parts.iter().map(|part| part.y.clone()).collect();
        let y = X::stack(&states);
        let nats = parts.iter().map(|part| {
            let coordinates = part.y.values().len() as f64;
            coordinates * growth + mean(&part.traces)
        });
        let standard_error = (1 < self.probes.len()).then(|| {
            parts
                .iter()
                .map(|part| standard_error(&part.traces))
                .collect()
        });
        DensityChange {
            x: X::axpby(to.alpha(), &y, 0.0, &y),
            at: to,
            nats: nats.collect(),
            standard_error,
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn standard_error(values: &[f64]) -> f64 {
    let (mean, count) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count - 1.0) / count).sqrt()
}

/// A sample with the integrals of its traces up to here, one per probe.
#[derive(Clone)]
struct Augmented<X> {
    sample: usize,
    y: X,
    traces: Vec<f64>,
}

impl<X: VectorSpace> VectorSpace for Augmented<X> {
    fn axpby(a: f64, x: &Self, b: f64, y: &Self) -> Self {
        Self::combine(&[(a, x), (b, y)])
    }

    fn combine(terms: &[(f64, &Self)]) -> Self {
        let states: Vec<(f64, &X)> = terms.iter().map(|(a, term)| (*a, &term.y)).collect();
        let first = terms[0].1;
        let trace = |i: usize| terms.iter().map(|(a, term)| a * term.traces[i]).sum();
        Augmented {
            sample: first.sample,
            y: X::combine(&states),
            traces: (0..first.traces.len()).map(trace).collect(),
        }
    }
}
