//! Consistency training and distillation, and progressive distillation.
//!
//! A consistency function f(x; k) maps every point of an ODE path to its clean end.
//! Write it as [`denoise`](super::denoise) under a preconditioner with skip = 1 and out = 0 at the least level, so that the
//! end maps to itself.

use noise_schedule::Kernel;
use tch::{Tensor, no_grad_guard};

use super::{Penalty, diffuse, mix, same_shape};
use crate::progressive_shares;

/// One step of the probability-flow ODE from a denoiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OdeStep {
    /// First order, one evaluation: (σ′/σ) x + (α′ − α σ′/σ) D(x), a step of DDIM.
    #[doc(alias = "DDIM")]
    Euler,
    /// Second order, two evaluations: the trapezium rule in σ/α. Euler's at σ′ = 0.
    Heun,
}

/// ρ(f(x) − f⁻(x′)) at x = α x₀ + σ ε and x′ = α′ x₀ + σ′ ε with one and the same ε: consistency training
/// (Song et al. 2023, algorithm 3).
///
/// f is the `student` at the `noisier` levels; f⁻, the `target`, is its average over training (Song et al. 2023) or the
/// student itself (Song and Dhariwal 2023) at the `cleaner` ones, and is evaluated without a graph.
/// Multiply the rows by a weight: 1, or 1/(σ − σ′) in the latter.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; levels: B each; both closures keep the shape of their point; returns \[B\].
///
/// # Panics
/// If shapes disagree, and where a cleaner level has more noise than its noisier one.
pub fn consistency_training_loss(
    penalty: &dyn Penalty,
    student: &dyn Fn(&Tensor, &[Kernel]) -> Tensor,
    target: &dyn Fn(&Tensor, &[Kernel]) -> Tensor,
    x0: &Tensor,
    noise: &Tensor,
    noisier: &[Kernel],
    cleaner: &[Kernel],
) -> Tensor {
    check_order(noisier, cleaner);
    let aim = {
        let _guard = no_grad_guard();
        target(&diffuse(x0, noise, cleaner), cleaner)
    };
    penalty.of(&(student(&diffuse(x0, noise, noisier), noisier) - aim))
}

/// ρ(f(x) − f⁻(x′)) at x = α x₀ + σ ε and x′ one ODE step of a teacher from x: consistency distillation
/// (Song et al. 2023, algorithm 2, which takes [`OdeStep::Heun`]).
///
/// `teacher` is a denoiser; it and f⁻ are evaluated without a graph.
/// Otherwise as [`consistency_training_loss`], which is this with [`OdeStep::Euler`] and a teacher that knows x₀.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; levels: B each; the closures keep the shape of their point; returns \[B\].
///
/// # Panics
/// If shapes disagree, where a cleaner level has more noise than its noisier one, at a noisier level with σ = 0, and for
/// [`OdeStep::Heun`] at one with α = 0.
#[expect(
    clippy::too_many_arguments,
    reason = "three networks and a pair of levels"
)]
pub fn consistency_distillation_loss(
    penalty: &dyn Penalty,
    step: OdeStep,
    student: &dyn Fn(&Tensor, &[Kernel]) -> Tensor,
    target: &dyn Fn(&Tensor, &[Kernel]) -> Tensor,
    teacher: &dyn Fn(&Tensor, &[Kernel]) -> Tensor,
    x0: &Tensor,
    noise: &Tensor,
    noisier: &[Kernel],
    cleaner: &[Kernel],
) -> Tensor {
    check_order(noisier, cleaner);
    let x = diffuse(x0, noise, noisier);
    let aim = {
        let _guard = no_grad_guard();
        target(&step.take(teacher, &x, noisier, cleaner), cleaner)
    };
    penalty.of(&(student(&x, noisier) - aim))
}

/// The target x̃₀ of progressive distillation (Salimans and Ho 2022, algorithm 2): what one step from `start` to `end` must
/// denoise to so that it equals two steps of the `teacher` over `middle`.
///
/// The teacher is a denoiser and is evaluated without a graph, at x and at x′ = DDIM(x).
/// Mixed with the coefficients of [`progressive_shares`].
/// To train on it, hand x̃₀ and ε̃ = (x − α x̃₀)/σ as data and noise to [`denoising_loss`](super::denoising_loss): the
/// noisy point is x again; Salimans and Ho weigh by max(snr, 1).
///
/// # Shapes
/// `x`: \[B, …\]; levels: B each; returns the shape of `x`.
///
/// # Panics
/// If shapes disagree, and unless σ/α falls strictly in each row.
pub fn progressive_distillation(
    teacher: &dyn Fn(&Tensor, &[Kernel]) -> Tensor,
    x: &Tensor,
    start: &[Kernel],
    middle: &[Kernel],
    end: &[Kernel],
) -> Tensor {
    let _guard = no_grad_guard();
    let first = teacher(x, start);
    let between = ddim(x, &first, &pairs(start, middle));
    let second = teacher(&between, middle);
    let levels: Vec<_> = pairs(start, middle).into_iter().zip(end).collect();
    let shares = |((start, middle), &end): ((Kernel, Kernel), &Kernel)| {
        progressive_shares(start, middle, end).unwrap_or_else(|error| panic!("{error}"))
    };
    mix(&first, &second, &levels, |l| shares(l).0, |l| shares(l).1)
}

impl OdeStep {
    fn take(
        self,
        denoiser: &dyn Fn(&Tensor, &[Kernel]) -> Tensor,
        x: &Tensor,
        from: &[Kernel],
        to: &[Kernel],
    ) -> Tensor {
        for k in from {
            assert!(0.0 < k.sigma(), "there is no step from sigma = 0");
        }
        let levels = pairs(from, to);
        let first = denoiser(x, from);
        let reached = ddim(x, &first, &levels);
        if self == OdeStep::Euler {
            return reached;
        }
        let second = denoiser(&reached, to);
        same_shape("the denoiser", &second, x);
        // The trapezium adds ½ (σ′ − α′ σ/α) (ε′ − ε), with ε = (x − α D)/σ the slope in σ/α.
        let half = |(from, to): (Kernel, Kernel)| {
            assert!(0.0 < from.alpha(), "Heun's step starts where alpha > 0");
            0.5 * (to.sigma() - to.alpha() * from.noise_to_signal())
        };
        let late = |pair: (Kernel, Kernel)| match pair.1.sigma() {
            0.0 => 0.0,
            sigma => half(pair) / sigma,
        };
        let early = |pair: (Kernel, Kernel)| match pair.1.sigma() {
            0.0 => 0.0,
            _ => -half(pair) / pair.0.sigma(),
        };
        &reached
            + mix(&reached, &second, &levels, late, |p| -p.1.alpha() * late(p))
            + mix(x, &first, &levels, early, |p| -p.0.alpha() * early(p))
    }
}

/// (σ′/σ) x + (α′ − α σ′/σ) D.
fn ddim(x: &Tensor, denoised: &Tensor, levels: &[(Kernel, Kernel)]) -> Tensor {
    same_shape("the denoiser", denoised, x);
    let shrink = |(from, to): (Kernel, Kernel)| to.sigma() / from.sigma();
    mix(x, denoised, levels, shrink, |pair| {
        pair.1.alpha() - pair.0.alpha() * shrink(pair)
    })
}

fn pairs(from: &[Kernel], to: &[Kernel]) -> Vec<(Kernel, Kernel)> {
    assert_eq!(from.len(), to.len(), "there must be one level per row");
    from.iter().copied().zip(to.iter().copied()).collect()
}

fn check_order(noisier: &[Kernel], cleaner: &[Kernel]) {
    for (from, to) in pairs(noisier, cleaner) {
        assert!(
            to.noise_to_signal() <= from.noise_to_signal(),
            "the cleaner level has more noise: sigma/alpha {} after {}",
            to.noise_to_signal(),
            from.noise_to_signal()
        );
    }
}
