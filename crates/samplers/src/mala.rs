//! Langevin dynamics whose law is right at every step size.

use noise_schedule::Kernel;
use rand::{Rng, RngCore};

use crate::{Coordinates, NoiseSource, PerSample};

/// Where Metropolis-adjusted dynamics arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjusted<X> {
    /// The state after the last step.
    pub x: X,
    /// The share of proposals that each sample accepted, in [0, 1]; 0.57 is best in high dimensions.
    pub acceptance: Vec<f64>,
}

/// Metropolis-adjusted Langevin dynamics (MALA), `steps` times:
/// propose y = x + (step/2) score(x) + √step z, as [`langevin`](crate::langevin) does, and go there with probability
/// min(1, p(y) q(x | y) / (p(x) q(y | x))), where q(y | x) = N(y; x + (step/2) score(x), step I); else stay.
///
/// The law is right at every step size, where `langevin`'s is right in the limit.
/// `target` gives ln p of each sample, up to a constant, and the score: one evaluation per step, and one at the start.
/// Each sample draws its normals, and then the number that decides, from its own stream, and is accepted on its own.
/// A proposal whose ln p is not a number is rejected.
///
/// Roberts & Tweedie 1996, Exponential convergence of Langevin distributions and their discrete approximations;
/// Roberts & Rosenthal 1998 for the acceptance of 0.574.
///
/// # Shapes
/// The score and the result have the shape of `x`; samples lie along the leading axis, and each has a ln p.
///
/// # Panics
/// If `step` is not positive and finite, or `target` gives another number of ln p than there are samples.
///
/// ```
/// use ndarray::{Array2, Axis};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
/// use samplers::{PerSample, mala};
/// // N(0, 1), with steps for which unadjusted dynamics have a variance of 4/3.
/// let mut target = |x: &Array2<f64>| ((x * x).sum_axis(Axis(1)).mapv(|v| -0.5 * v).to_vec(), -x);
/// let mut noise = PerSample::new((0..1000).map(ChaCha8Rng::seed_from_u64));
/// let found = mala(&mut target, &mut noise, Array2::zeros((1000, 1)), 1.0, 30);
/// assert!((found.x.var(0.0) - 1.0).abs() < 0.15);
/// ```
#[doc(alias = "Metropolis")]
pub fn mala<X: Coordinates, R: RngCore>(
    target: &mut dyn FnMut(&X) -> (Vec<f64>, X),
    noise: &mut PerSample<R>,
    x: X,
    step: f64,
    steps: usize,
) -> Adjusted<X>
where
    PerSample<R>: NoiseSource<X>,
{
    assert!(
        0.0 < step && step.is_finite(),
        "MALA: the step must be positive and finite, got {step}"
    );
    let mut current = evaluated(target, x);
    let mut accepted = vec![0_usize; current.len()];
    for _ in 0..steps {
        let parts: Vec<X> = current.iter().map(|point| point.x.clone()).collect();
        let fresh = noise
            .between(&X::stack(&parts), Kernel::CLEAN, Kernel::CLEAN)
            .split();
        let proposals: Vec<X> = current
            .iter()
            .zip(&fresh)
            .map(|(at, z)| X::combine(&[(1.0, &at.x), (0.5 * step, &at.score), (step.sqrt(), z)]))
            .collect();
        let proposals = evaluated(target, X::stack(&proposals));
        for (i, proposal) in proposals.into_iter().enumerate() {
            let point = &mut current[i];
            // The noise that would lead back, in units of √step.
            let back = X::combine(&[
                (step.sqrt().recip(), &point.x),
                (-step.sqrt().recip(), &proposal.x),
                (-0.5 * step.sqrt(), &proposal.score),
            ]);
            let log_ratio = proposal.log_density - point.log_density
                + 0.5 * (fresh[i].inner(&fresh[i]) - back.inner(&back));
            // Drawn in any case, so that what comes later does not depend on what was accepted.
            let uniform: f64 = noise.streams[i].random();
            if uniform < log_ratio.exp() {
                *point = proposal;
                accepted[i] += 1;
            }
        }
    }
    let parts: Vec<X> = current.into_iter().map(|point| point.x).collect();
    let share = |accepted| accepted as f64 / steps.max(1) as f64;
    Adjusted {
        x: X::stack(&parts),
        acceptance: accepted.into_iter().map(share).collect(),
    }
}

/// One sample, with what is known of the target there.
struct Point<X> {
    x: X,
    log_density: f64,
    score: X,
}

fn evaluated<X: Coordinates>(target: &mut dyn FnMut(&X) -> (Vec<f64>, X), x: X) -> Vec<Point<X>> {
    let (log_densities, score) = target(&x);
    let samples = x.split();
    assert!(
        samples.len() == log_densities.len(),
        "MALA: {} samples need as many ln p, got {}",
        samples.len(),
        log_densities.len()
    );
    let points = samples.into_iter().zip(score.split()).zip(log_densities);
    points
        .map(|((x, score), log_density)| Point {
            x,
            log_density,
            score,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis, array};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::langevin;

    fn streams(samples: std::ops::Range<u64>) -> PerSample<ChaCha8Rng> {
        PerSample::new(samples.map(ChaCha8Rng::seed_from_u64))
    }

    /// N(0, 1) in each coordinate.
    fn normal(x: &Array2<f64>) -> (Vec<f64>, Array2<f64>) {
        (
            (x * x).sum_axis(Axis(1)).mapv(|sum| -0.5 * sum).to_vec(),
            -x,
        )
    }

    #[test]
    fn the_adjustment_removes_the_bias() {
        const SAMPLES: usize = 3000;
        let start = || {
            streams(0..SAMPLES as u64).between(
                &Array2::zeros((SAMPLES, 2)),
                Kernel::CLEAN,
                Kernel::CLEAN,
            )
        };
        let samples = || streams(10_000..10_000 + SAMPLES as u64);
        // From its own law, which one keeps and the other does not: 1/(1 − 1.2/4) = 1.43.
        let adjusted = mala(&mut normal, &mut samples(), start(), 1.2, 25);
        let plain = langevin(&mut |x: &Array2<f64>| -x, &mut samples(), start(), 1.2, 25);
        assert!(
            (adjusted.x.var(0.0) - 1.0).abs() < 0.06,
            "{}",
            adjusted.x.var(0.0)
        );
        assert!(
            (plain.var(0.0) - 1.0 / 0.7).abs() < 0.09,
            "{}",
            plain.var(0.0)
        );
        let mean = adjusted.acceptance.iter().sum::<f64>() / SAMPLES as f64;
        assert!(0.5 < mean && mean < 0.95, "{mean}");
    }

    #[test]
    fn samples_are_accepted_on_their_own() {
        let start = array![[0.3, 2.0], [-4.0, 0.0], [7.0, 1.0]];
        let batch = mala(&mut normal, &mut streams(0..3), start.clone(), 1.5, 40);
        for i in 0..3 {
            let x = start.slice(ndarray::s![i..i + 1, ..]).to_owned();
            let alone = mala(
                &mut normal,
                &mut streams(i as u64..i as u64 + 1),
                x,
                1.5,
                40,
            );
            assert_eq!(batch.x.row(i), alone.x.row(0));
            assert_eq!(batch.acceptance[i], alone.acceptance[0]);
        }
    }

    #[test]
    fn what_is_no_number_is_rejected() {
        // The half line: ln p is NaN on the other side.
        let mut half = |x: &Array2<f64>| {
            (
                x.column(0).mapv(|x| x.ln() - x).to_vec(),
                x.mapv(|x| 1.0 / x - 1.0),
            )
        };
        let found = mala(
            &mut half,
            &mut streams(0..50),
            Array2::from_elem((50, 1), 1.0),
            2.0,
            60,
        );
        assert!(found.x.iter().all(|&x| 0.0 < x));
        assert!(
            found
                .acceptance
                .iter()
                .all(|&share| 0.0 < share && share < 1.0)
        );
    }
}
