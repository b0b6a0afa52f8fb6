//! Gradients in the parameters against finite differences: what a loss that takes derivatives must get right.

use super::*;
use noise_schedule::Rates;
use score_objective::torch::{
    Charbonnier, Huber, MonotoneGamma, PseudoHuber, Squared, annealed_sliced_score_matching,
    consistency_training_loss, denoising_loss, denoising_loss_under, diffusion_loss,
    finite_difference_score_matching, flow_matching_loss, implicit_score_matching,
    interpolant_loss, prior_loss, projected_score_matching, reconstruction_loss,
    score_denoising_loss, score_of, sliced_score_matching,
};
use score_objective::{Interpolant, variational::Bins};

#[test]
fn losses_have_the_gradient_of_their_finite_differences() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let w = normal(&mut rng, &[4, 4]) * 0.5;
    let (x, v) = (normal(&mut rng, &[3, 4]), normal(&mut rng, &[3, 4]));
    let k = levels();
    type Loss<'a> = &'a dyn Fn(&Tensor) -> Tensor;
    let rates = [Rates {
        alpha: -1.0,
        sigma: 1.0,
    }; 3];
    let bridge = [Interpolant::bridge(0.3, 0.5).unwrap(); 3];
    let huber = Huber::new(0.4).unwrap();
    let (pseudo, smooth) = (
        PseudoHuber::new(0.3).unwrap(),
        Charbonnier::new(0.3).unwrap(),
    );
    let losses: [(&str, Loss); 13] = [
        ("implicit", &|w| {
            implicit_score_matching(&|x| nonlinear(w, x), &x)
        }),
        ("projected", &|w| {
            projected_score_matching(&|x| nonlinear(w, x), &x, &v)
        }),
        ("energy", &|w| {
            let log_density = |x: &Tensor| sums(&nonlinear(w, x));
            implicit_score_matching(&|x| score_of(&log_density, x), &x)
        }),
        ("annealed", &|w| {
            annealed_sliced_score_matching(&|x| nonlinear(w, x), &x, &v, &v, &k)
        }),
        ("score", &|w| {
            score_denoising_loss(&|x| nonlinear(w, x), &x, &v, &k, 2.0)
        }),
        ("flow", &|w| {
            flow_matching_loss(&|x| nonlinear(w, x), &x, &v, &k, &rates)
        }),
        ("bridge", &|w| {
            interpolant_loss(&|x| nonlinear(w, x), &x, &v, &(&x * &v), &bridge)
        }),
        ("huber", &|w| {
            denoising_loss_under(
                &huber,
                &|x, _| nonlinear(w, x),
                &Edm::unit(),
                &Snr,
                &x,
                &v,
                &k,
            )
        }),
        ("pseudo-huber", &|w| {
            denoising_loss_under(
                &pseudo,
                &|x, _| nonlinear(w, x),
                &Edm::unit(),
                &Snr,
                &x,
                &v,
                &k,
            )
        }),
        ("charbonnier", &|w| {
            denoising_loss_under(
                &smooth,
                &|x, _| nonlinear(w, x),
                &Edm::unit(),
                &Snr,
                &x,
                &v,
                &k,
            )
        }),
        ("sliced", &|w| {
            sliced_score_matching(&|x| nonlinear(w, x), &x, &v)
        }),
        ("finite difference", &|w| {
            finite_difference_score_matching(&|x| nonlinear(w, x), &x, &v, 0.1)
        }),
        ("denoising", &|w| {
            denoising_loss(&|x, _| nonlinear(w, x), &Edm::unit(), &Snr, &x, &v, &k)
        }),
    ];
    for (name, loss) in losses {
        let total = |w: &Tensor| loss(w).mean(Kind::Double);
        let leaf = w.detach().copy().set_requires_grad(true);
        let gradient = Tensor::run_backward(&[total(&leaf)], &[&leaf], false, false).swap_remove(0);
        let direction = normal(&mut rng, &[4, 4]);
        let at = |h: f64| total(&(&w + &direction * h)).double_value(&[]);
        let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
        let along = (gradient * &direction).sum(Kind::Double).double_value(&[]);
        assert!(
            (slope - along).abs() < 1e-7 * (1.0 + slope.abs()),
            "{name}: {along} vs {slope}"
        );
    }
}

#[test]
fn only_the_student_of_consistency_training_has_a_gradient() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let w = normal(&mut rng, &[4, 4]) * 0.5;
    let (x, v) = (normal(&mut rng, &[3, 4]), normal(&mut rng, &[3, 4]));
    let cleaner = kernels(&[(1.0, 0.2), (0.8, 0.6), (0.5, 1.0)]);
    let fixed = |x: &Tensor, _: &[Kernel]| nonlinear(&w, x);
    let loss = |w: &Tensor| {
        let student = |x: &Tensor, _: &[Kernel]| nonlinear(w, x);
        consistency_training_loss(&Squared, &student, &fixed, &x, &v, &levels(), &cleaner)
            .mean(Kind::Double)
    };
    let leaf = w.copy().set_requires_grad(true);
    let gradient = Tensor::run_backward(&[loss(&leaf)], &[&leaf], false, false).swap_remove(0);
    let direction = normal(&mut rng, &[4, 4]);
    let slope = number(&(loss(&(&w + &direction * 1e-5)) - loss(&(&w - &direction * 1e-5)))) / 2e-5;
    let along = number(&(gradient * direction).sum(Kind::Double));
    assert!((slope - along).abs() < 1e-7 * (1.0 + slope.abs()));
}

#[test]
fn the_bound_has_the_gradient_of_its_differences_in_the_schedule() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let gamma = MonotoneGamma::new(-3.0, 2.0, 4, tch::Device::Cpu).unwrap();
    let w = normal(&mut rng, &[4, 4]) * 0.5;
    let x = tensor(&[-1.0, 1.0, 1.0, -1.0], &[1, 4]).repeat([3, 1]);
    let v = normal(&mut rng, &[3, 4]);
    let net = |z: &Tensor, gamma: &Tensor| nonlinear(&w, z) + gamma.unsqueeze(1) * 0.1;
    let bins = Bins::new(-1.0, 1.0, 3).unwrap();
    let bound = || {
        let (at, slope) = gamma.at(&[0.2, 0.5, 0.9]);
        let (ends, _) = gamma.at(&[0.0, 1.0]);
        let loss = diffusion_loss(&net, &x, &v, &at, &slope)
            + prior_loss(&x, &ends.narrow(0, 1, 1))
            + reconstruction_loss(&x, &v, &ends.narrow(0, 0, 1), bins);
        loss.mean(Kind::Double)
    };
    let leaves: Vec<Tensor> = gamma.ends().into_iter().chain(gamma.shape()).collect();
    let slopes = Tensor::run_backward(&[bound()], &leaves, false, false);
    for (leaf, slope) in leaves.into_iter().zip(slopes) {
        let _guard = tch::no_grad_guard();
        let mut leaf = leaf;
        let direction = normal(&mut rng, &leaf.size());
        let _ = leaf.g_add_(&(&direction * 1e-5));
        let high = number(&bound());
        let _ = leaf.g_add_(&(&direction * -2e-5));
        let low = number(&bound());
        let _ = leaf.g_add_(&(&direction * 1e-5));
        let along = number(&(slope * direction).sum(Kind::Double));
        let change = (high - low) / 2e-5;
        assert!(
            (change - along).abs() < 1e-7 * (1.0 + change.abs()),
            "{change} {along}"
        );
    }
}
