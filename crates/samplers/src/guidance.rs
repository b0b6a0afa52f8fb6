//! Guidance: denoisers made of denoisers.

use noise_schedule::Kernel;

use crate::{Coordinates, Denoiser, Error, VectorSpace};

/// The weight of guidance, and the levels at which it acts.
///
/// The convention of the codes: weight 1 is no guidance, 0 the guide alone; the w of Ho & Salimans 2022 is one less.
/// Outside the interval, and with weight 1, the guide is not evaluated.
///
/// Kynkäänniemi et al. 2024 (<https://arxiv.org/abs/2404.07724>), for the interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    weight: f64,
    from: f64,
    to: f64,
}

impl Guidance {
    /// Guidance of this weight at every level.
    ///
    /// # Errors
    /// [`Error::GuidanceWeight`] unless the weight is finite.
    pub fn new(weight: f64) -> Result<Guidance, Error> {
        if weight.is_finite() {
            Ok(Guidance {
                weight,
                from: 0.0,
                to: f64::INFINITY,
            })
        } else {
            Err(Error::GuidanceWeight { weight })
        }
    }

    /// The same, at levels whose [`noise_to_signal`](Kernel::noise_to_signal) lies in (from, to] alone.
    ///
    /// # Errors
    /// [`Error::GuidanceInterval`] unless 0 ≤ from < to.
    pub fn within(self, from: f64, to: f64) -> Result<Guidance, Error> {
        if 0.0 <= from && from < to {
            Ok(Guidance { from, to, ..self })
        } else {
            Err(Error::GuidanceInterval { from, to })
        }
    }

    /// The weight at this level: 1 where guidance does not act.
    pub fn weight(&self, at: Kernel) -> f64 {
        let ratio = at.noise_to_signal();
        let acts = self.from < ratio && ratio <= self.to;
        if acts { self.weight } else { 1.0 }
    }
}

/// A denoiser that is led away from another: D = G + w (M − G), M the model's answer and G the guide's.
///
/// With an unconditional guide it is classifier-free guidance,
/// Ho & Salimans 2022 (<https://arxiv.org/abs/2207.12598>), equation 6;
/// with a weaker version of the model it is autoguidance, Karras et al. 2024 (<https://arxiv.org/abs/2406.02507>), equation 3.
/// An evaluation evaluates both, the guide only where the weight is not 1.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::Kernel;
/// use samplers::{Denoiser, Guidance, Guided};
/// let conditional = |_: &Array1<f64>, _: Kernel| array![1.0];
/// let unconditional = |_: &Array1<f64>, _: Kernel| array![0.5];
/// let mut guided = Guided::new(conditional, unconditional, Guidance::new(3.0)?);
/// let at = Kernel::variance_exploding(2.0).expect("positive");
/// assert_eq!(guided.denoise(&array![0.0], at), array![2.0]);
/// # Ok::<(), samplers::Error>(())
/// ```
#[doc(alias = "cfg")]
#[doc(alias = "guidance_scale")]
#[doc(alias = "autoguidance")]
#[derive(Clone, Debug)]
pub struct Guided<M, G> {
    model: M,
    guide: G,
    guidance: Guidance,
}

impl<M, G> Guided<M, G> {
    /// The model, led away from the guide.
    pub fn new(model: M, guide: G, guidance: Guidance) -> Guided<M, G> {
        Guided {
            model,
            guide,
            guidance,
        }
    }
}

impl<X: VectorSpace, M: Denoiser<X>, G: Denoiser<X>> Denoiser<X> for Guided<M, G> {
    fn denoise(&mut self, x: &X, at: Kernel) -> X {
        let weight = self.guidance.weight(at);
        if weight == 1.0 {
            return self.model.denoise(x, at);
        }
        let guide = self.guide.denoise(x, at);
        if weight == 0.0 {
            return guide;
        }
        let model = self.model.denoise(x, at);
        X::axpby(weight, &model, 1.0 - weight, &guide)
    }
}

/// What is done to a guided answer so that a large weight does not saturate it. Each sample on its own.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Tamed {
    /// D is scaled towards the standard deviation of the model's answer, D (φ std(M)/std(D) + 1 − φ), φ in [0, 1].
    ///
    /// Lin et al. 2024 (<https://arxiv.org/abs/2305.08891>), equations 15 and 16, there for the network's answer; 0.7 there.
    #[doc(alias = "guidance_rescale")]
    Rescaled {
        /// φ.
        share: f64,
    },
    /// Adaptive projected guidance without momentum: the difference M − G is shortened to the length `radius`,
    /// and its part along M is multiplied by `parallel`: D = M + (w − 1) (Δ_⊥ + parallel Δ_∥).
    ///
    /// Sadat et al. 2025 (<https://arxiv.org/abs/2410.02416>).
    #[doc(alias = "apg")]
    Projected {
        /// Share of the part along M that is kept, not negative; 1 with an infinite radius is plain guidance.
        parallel: f64,
        /// Largest length of M − G, positive, or infinite.
        radius: f64,
    },
}

impl Tamed {
    fn check(self) -> Result<Tamed, Error> {
        let fine = match self {
            Tamed::Rescaled { share } => (0.0..=1.0).contains(&share),
            Tamed::Projected { parallel, radius } => {
                (0.0..f64::INFINITY).contains(&parallel) && 0.0 < radius
            }
        };
        fine.then_some(self).ok_or(Error::Tamed { tamed: self })
    }
}

/// [`Guided`], with its answers tamed sample by sample.
#[derive(Clone, Debug)]
pub struct TamedGuided<M, G> {
    inner: Guided<M, G>,
    tamed: Tamed,
}

impl<M, G> TamedGuided<M, G> {
    /// The model, led away from the guide, and tamed so.
    ///
    /// # Errors
    /// [`Error::Tamed`] for a share outside [0, 1], a negative or infinite part, or a radius that is not positive.
    pub fn new(
        model: M,
        guide: G,
        guidance: Guidance,
        tamed: Tamed,
    ) -> Result<TamedGuided<M, G>, Error> {
        Ok(TamedGuided {
            inner: Guided::new(model, guide, guidance),
            tamed: tamed.check()?,
        })
    }
}

impl<X: Coordinates, M: Denoiser<X>, G: Denoiser<X>> Denoiser<X> for TamedGuided<M, G> {
    fn denoise(&mut self, x: &X, at: Kernel) -> X {
        let weight = self.inner.guidance.weight(at);
        let model = self.inner.model.denoise(x, at);
        if weight == 1.0 {
            return model;
        }
        let guide = self.inner.guide.denoise(x, at);
        let pairs = model.split().into_iter().zip(guide.split());
        let tamed: Vec<X> = pairs
            .map(|(model, guide)| match self.tamed {
                Tamed::Rescaled { share } => {
                    let guided = X::axpby(weight, &model, 1.0 - weight, &guide);
                    let (ours, theirs) = (deviation(&guided), deviation(&model));
                    // A constant answer has no deviation to adjust.
                    let ratio = if 0.0 < ours { theirs / ours } else { 1.0 };
                    X::axpby(share * ratio + 1.0 - share, &guided, 0.0, &guided)
                }
                Tamed::Projected { parallel, radius } => {
                    let gap = X::axpby(1.0, &model, -1.0, &guide);
                    let length = gap.inner(&gap).sqrt();
                    let shorter = if radius < length {
                        radius / length
                    } else {
                        1.0
                    };
                    let size = model.inner(&model);
                    let along = if 0.0 < size {
                        gap.inner(&model) / size
                    } else {
                        0.0
                    };
                    // The part along M is along·M: its share 1 − parallel goes.
                    let push = (weight - 1.0) * shorter;
                    X::axpby(1.0 - push * (1.0 - parallel) * along, &model, push, &gap)
                }
            })
            .collect();
        X::stack(&tamed)
    }
}

fn deviation<X: Coordinates>(x: &X) -> f64 {
    let values = x.values();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / values.len() as f64).sqrt()
}

/// A denoiser that follows a classifier: D + w (sigma²/alpha) ∇ₓ log p(y | x), which is Tweedie's formula for the
/// score ∇ log p(x) + w ∇ log p(y | x).
///
/// The weight counts from 0 here, which is no guidance; 1 is the posterior of an exact classifier.
/// At alpha = 0 the classifier knows nothing, and D stays.
///
/// Dhariwal & Nichol 2021 (<https://arxiv.org/abs/2105.05233>), section 4.
#[doc(alias = "classifier_guidance")]
#[derive(Clone, Debug)]
pub struct ClassifierGuided<M, C> {
    model: M,
    gradient: C,
    guidance: Guidance,
}

impl<M, C> ClassifierGuided<M, C> {
    /// The model, led by `gradient(x, kernel)` = ∇ₓ log p(y | x) at that level, of the shape of `x`.
    /// Outside the guidance's interval the gradient is not evaluated.
    pub fn new(model: M, gradient: C, guidance: Guidance) -> ClassifierGuided<M, C> {
        ClassifierGuided {
            model,
            gradient,
            guidance,
        }
    }
}

impl<X: VectorSpace, M: Denoiser<X>, C: FnMut(&X, Kernel) -> X> Denoiser<X>
    for ClassifierGuided<M, C>
{
    fn denoise(&mut self, x: &X, at: Kernel) -> X {
        let denoised = self.model.denoise(x, at);
        let ratio = at.noise_to_signal();
        let acts = self.guidance.from < ratio && ratio <= self.guidance.to;
        if !acts || at.alpha() == 0.0 {
            return denoised;
        }
        let gain = self.guidance.weight * at.sigma() * ratio;
        X::axpby(1.0, &denoised, gain, &(self.gradient)(x, at))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::Counted;

    fn normal(mean: f64, std: f64) -> impl FnMut(&Array2<f64>, Kernel) -> Array2<f64> {
        move |x, at| {
            let variance = (at.alpha() * std).powi(2) + at.sigma().powi(2);
            let gain = at.alpha() * std * std / variance;
            x.mapv(|x| mean + gain * (x - at.alpha() * mean))
        }
    }

    fn at(sigma: f64) -> Kernel {
        Kernel::new(0.8, sigma).unwrap()
    }

    #[test]
    fn guidance_extrapolates_the_score() {
        // score = G + w (M − G) of scores, since D is affine in the score with coefficients of the level alone.
        let x = array![[0.3, -1.0], [2.0, 0.1]];
        let mut guided = Guided::new(
            normal(1.0, 0.5),
            normal(0.0, 1.0),
            Guidance::new(2.5).unwrap(),
        );
        let level = at(0.7);
        let found = crate::score(&x, &guided.denoise(&x, level), level);
        let own = crate::score(&x, &normal(1.0, 0.5)(&x, level), level);
        let other = crate::score(&x, &normal(0.0, 1.0)(&x, level), level);
        let expected = &other + &((&own - &other) * 2.5);
        assert!((&found - &expected).iter().all(|d| d.abs() < 1e-12));
    }

    #[test]
    fn the_guide_is_asked_where_it_counts_only() {
        let x = array![[0.3]];
        let guidance = Guidance::new(2.0).unwrap().within(0.5, 1.0).unwrap();
        let mut guided = Guided::new(
            Counted::new(normal(1.0, 0.5)),
            Counted::new(normal(0.0, 1.0)),
            guidance,
        );
        for sigma in [0.1, 0.8, 5.0] {
            guided.denoise(&x, Kernel::variance_exploding(sigma).unwrap());
        }
        assert_eq!(guided.model.evaluations(), 3);
        assert_eq!(guided.guide.evaluations(), 1);
    }

    #[test]
    fn taming_has_its_limits() {
        let x = array![[0.3, -1.0, 0.2], [2.0, 0.1, -0.4]];
        let (guidance, level) = (Guidance::new(4.0).unwrap(), at(0.7));
        let tame = |tamed| {
            TamedGuided::new(normal(1.0, 0.5), normal(0.2, 1.0), guidance, tamed)
                .unwrap()
                .denoise(&x, level)
        };
        let plain = Guided::new(normal(1.0, 0.5), normal(0.2, 1.0), guidance).denoise(&x, level);
        let model = normal(1.0, 0.5)(&x, level);
        let close = |a: &Array2<f64>, b: &Array2<f64>| (a - b).iter().all(|d| d.abs() < 1e-12);
        assert!(close(&tame(Tamed::Rescaled { share: 0.0 }), &plain));
        assert!(close(
            &tame(Tamed::Projected {
                parallel: 1.0,
                radius: f64::INFINITY
            }),
            &plain
        ));
        for (row, own) in tame(Tamed::Rescaled { share: 1.0 })
            .rows()
            .into_iter()
            .zip(model.rows())
        {
            assert!((row.std(0.0) - own.std(0.0)).abs() < 1e-12);
        }
        // Without the part along the model's answer, the push is orthogonal to it.
        let pushed = tame(Tamed::Projected {
            parallel: 0.0,
            radius: 0.1,
        }) - &model;
        for (push, own) in pushed.rows().into_iter().zip(model.rows()) {
            assert!(push.dot(&own).abs() < 1e-12);
            assert!(push.dot(&push).sqrt() <= 3.0 * 0.1 + 1e-12);
        }
    }

    #[test]
    fn a_classifier_of_normals_gives_their_posterior() {
        // Prior N(0, 1); y = x_0 + N(0, r): the posterior is N(y/(1 + r), r/(1 + r)), and the classifier's
        // gradient is the difference of the scores, whatever y is.
        let (y, r): (f64, f64) = (0.9, 0.3);
        let posterior = || normal(y / (1.0 + r), (r / (1.0 + r)).sqrt());
        let gradient = move |x: &Array2<f64>, level: Kernel| {
            crate::score(x, &posterior()(x, level), level)
                - crate::score(x, &normal(0.0, 1.0)(x, level), level)
        };
        let mut guided =
            ClassifierGuided::new(normal(0.0, 1.0), gradient, Guidance::new(1.0).unwrap());
        let x = array![[0.3, -1.0]];
        let found = guided.denoise(&x, at(0.7));
        let expected = posterior()(&x, at(0.7));
        assert!((&found - &expected).iter().all(|d| d.abs() < 1e-12));
        let noise = Kernel::new(0.0, 1.0).unwrap();
        assert!(guided.denoise(&x, noise).iter().all(|d| d.is_finite()));
    }

    #[test]
    fn parameters_are_checked() {
        assert!(Guidance::new(f64::NAN).is_err());
        assert!(Guidance::new(1.0).unwrap().within(2.0, 1.0).is_err());
        let guidance = Guidance::new(2.0).unwrap();
        for tamed in [
            Tamed::Rescaled { share: 1.5 },
            Tamed::Projected {
                parallel: -1.0,
                radius: 1.0,
            },
            Tamed::Projected {
                parallel: 0.0,
                radius: 0.0,
            },
        ] {
            assert!(TamedGuided::new((), (), guidance, tamed).is_err());
        }
    }
}
