//! Consistency and progressive distillation against the exact flow of a Gaussian.

use super::*;
use score_objective::Consistency;
use score_objective::torch::{
    OdeStep, PseudoHuber, Squared, consistency_distillation_loss, consistency_training_loss,
    denoise, denoising_loss, diffuse, progressive_distillation,
};

/// The denoiser of data N(0, s²): α s²/(α² s² + σ²) x.
fn ideal(s: f64) -> impl Fn(&Tensor, &[Kernel]) -> Tensor {
    move |x, levels| {
        let shares = levels
            .iter()
            .map(|k| k.alpha() * s * s / ((k.alpha() * s).powi(2) + k.sigma().powi(2)));
        x * Tensor::from_slice(&shares.collect::<Vec<_>>()).unsqueeze(1)
    }
}

/// The exact map along the probability-flow ODE of that data to the level without noise: s x/√(α² s² + σ²).
fn flow_to_data(s: f64) -> impl Fn(&Tensor, &[Kernel]) -> Tensor {
    move |x, levels| {
        let shares = levels.iter().map(|k| s / (k.alpha() * s).hypot(k.sigma()));
        x * Tensor::from_slice(&shares.collect::<Vec<_>>()).unsqueeze(1)
    }
}

#[test]
fn consistency_training_compares_two_points_of_one_noise() {
    let x0 = tensor(&[1.0, -0.5], &[2, 1]);
    let noise = tensor(&[0.4, 2.0], &[2, 1]);
    let noisier = kernels(&[(1.0, 2.0), (0.6, 0.8)]);
    let cleaner = kernels(&[(1.0, 1.0), (0.8, 0.6)]);
    let student = |x: &Tensor, _: &[Kernel]| x * 3.0;
    let target = |x: &Tensor, _: &[Kernel]| x * 1.0;
    let loss = |penalty: &dyn score_objective::torch::Penalty| {
        consistency_training_loss(penalty, &student, &target, &x0, &noise, &noisier, &cleaner)
    };
    // 3 (1 + 0.8) − (1 + 0.4); 3 (−0.3 + 1.6) − (−0.4 + 1.2).
    assert!(distance(&loss(&Squared), &tensor(&[16.0, 9.61], &[2])) < 1e-13);
    let huber = PseudoHuber::new(3.0).unwrap();
    assert!((loss(&huber).double_value(&[0]) - 2.0).abs() < 1e-13);
}

#[test]
fn the_target_has_no_graph_and_the_student_has() {
    let x = Tensor::ones([1, 1], (Kind::Double, tch::Device::Cpu));
    let w = Tensor::from(2.0_f64).set_requires_grad(true);
    let net = |x: &Tensor, _: &[Kernel]| x * &w;
    let (noisier, cleaner) = (kernels(&[(1.0, 2.0)]), kernels(&[(1.0, 1.0)]));
    let loss = consistency_training_loss(&Squared, &net, &net, &x, &x, &noisier, &cleaner);
    let slope = Tensor::run_backward(&[&loss], &[&w], false, false);
    // (3 w − 2 w⁻)² at w = w⁻ = 2: slope 2 · 2 · 3, not 2 · 2 · 1.
    assert_eq!(number(&slope[0]), 12.0);
    let teacher = |x: &Tensor, _: &[Kernel]| x * &w;
    for step in [OdeStep::Euler, OdeStep::Heun] {
        let loss = consistency_distillation_loss(
            &Squared, step, &net, &net, &teacher, &x, &x, &noisier, &cleaner,
        );
        let half = loss.sqrt();
        let slope = Tensor::run_backward(&[&half], &[&w], false, false);
        assert!((number(&slope[0]).abs() - 3.0).abs() < 1e-12);
    }
    assert!((&w * 2.0).requires_grad());
}

#[test]
fn training_is_distillation_from_a_teacher_that_knows_the_data() {
    let mut rng = ChaCha8Rng::seed_from_u64(51);
    let (x0, noise) = (normal(&mut rng, &[3, 2]), normal(&mut rng, &[3, 2]));
    let noisier = levels();
    let cleaner = kernels(&[(1.0, 0.0), (0.8, 0.6), (0.2, 1.0)]);
    let f = |x: &Tensor, k: &[Kernel]| x.tanh() + k[0].sigma();
    let knows = |_: &Tensor, _: &[Kernel]| x0.shallow_clone();
    let training = consistency_training_loss(&Squared, &f, &f, &x0, &noise, &noisier, &cleaner);
    for step in [OdeStep::Euler, OdeStep::Heun] {
        let distillation = consistency_distillation_loss(
            &Squared, step, &f, &f, &knows, &x0, &noise, &noisier, &cleaner,
        );
        assert!(distance(&training, &distillation) < 1e-12, "{step:?}");
    }
}

#[test]
fn a_heun_step_in_sigma_is_the_one_that_is_usually_written() {
    // α = 1: d = (x − D)/σ, x + ½ (σ′ − σ)(d + d′).
    let x = tensor(&[1.7], &[1, 1]);
    let (noisier, cleaner) = (kernels(&[(1.0, 2.0)]), kernels(&[(1.0, 0.5)]));
    let denoiser = |x: &Tensor, k: &[Kernel]| (x * k[0].sigma()).sin();
    let zero = x.zeros_like();
    let nothing = |x: &Tensor, _: &[Kernel]| x.zeros_like();
    let reached = consistency_distillation_loss(
        &Squared,
        OdeStep::Heun,
        &nothing,
        &|x, _| x.shallow_clone(),
        &denoiser,
        &x,
        &zero,
        &noisier,
        &cleaner,
    );
    let first = (1.7 - 3.4_f64.sin()) / 2.0;
    let middle = 1.7 - 1.5 * first;
    let second = (middle - (0.5 * middle).sin()) / 0.5;
    let expected = 1.7 - 0.75 * (first + second);
    assert!((reached.double_value(&[0]).sqrt() - expected.abs()).abs() < 1e-13);
}

#[test]
fn the_exact_flow_is_consistent_to_the_order_of_the_step() {
    // Loss² of the exact consistency function under an exact teacher: local errors of order 2 and 3 in the step.
    let x0 = tensor(&[0.8], &[1, 1]);
    let noise = tensor(&[-1.1], &[1, 1]);
    let (f, teacher) = (flow_to_data(0.7), ideal(0.7));
    let at = |angle: f64| [Kernel::new(1.3 * angle.cos(), angle.sin()).unwrap()];
    for (step, order) in [(OdeStep::Euler, 2.0), (OdeStep::Heun, 3.0)] {
        let error = |h: f64| {
            let loss = consistency_distillation_loss(
                &Squared,
                step,
                &f,
                &f,
                &teacher,
                &x0,
                &noise,
                &at(0.8),
                &at(0.8 - h),
            );
            loss.double_value(&[0]).sqrt()
        };
        let slope = (error(0.02) / error(0.01)).log2();
        assert!((slope - order).abs() < 0.1, "{step:?}: {slope}");
    }
}

#[test]
#[should_panic(expected = "more noise")]
fn levels_in_the_wrong_order_are_refused() {
    let x = Tensor::ones([1, 1], (Kind::Double, tch::Device::Cpu));
    let f = |x: &Tensor, _: &[Kernel]| x.shallow_clone();
    let (a, b) = (kernels(&[(1.0, 1.0)]), kernels(&[(1.0, 2.0)]));
    let _ = consistency_training_loss(&Squared, &f, &f, &x, &x, &a, &b);
}

#[test]
fn a_student_of_the_progressive_target_takes_two_steps_at_once() {
    let mut rng = ChaCha8Rng::seed_from_u64(52);
    let x = normal(&mut rng, &[2, 3]);
    let start = kernels(&[(0.6, 0.8), (0.0, 1.0)]);
    let middle = kernels(&[(0.8, 0.6), (0.3, 0.9)]);
    let end = kernels(&[(0.95, 0.3), (1.0, 0.0)]);
    let teacher = |x: &Tensor, k: &[Kernel]| (x * 1.2).tanh() * (k[0].sigma() + k[1].alpha());
    let target = progressive_distillation(&teacher, &x, &start, &middle, &end);
    let step = |x: &Tensor, d: &Tensor, from: &[Kernel], to: &[Kernel]| {
        let rows = (0..2).map(|i| {
            let (j, ratio) = (i as i64, to[i].sigma() / from[i].sigma());
            x.get(j) * ratio + d.get(j) * (to[i].alpha() - from[i].alpha() * ratio)
        });
        Tensor::stack(&rows.collect::<Vec<_>>(), 0)
    };
    let between = step(&x, &teacher(&x, &start), &start, &middle);
    let twice = step(&between, &teacher(&between, &middle), &middle, &end);
    assert!(distance(&step(&x, &target, &start, &end), &twice) < 1e-13);
}

#[test]
fn the_progressive_target_trains_through_the_denoising_loss() {
    let x = tensor(&[0.4, -1.0], &[1, 2]);
    let target = tensor(&[0.2, 0.9], &[1, 2]);
    let k = Kernel::new(0.6, 0.8).unwrap();
    let noise = (&x - &target * 0.6) / 0.8;
    assert!(distance(&diffuse(&target, &noise, &[k]), &x) < 1e-15);
    let answer = |x: &Tensor, _: &Tensor| x.zeros_like();
    let weight = |k: Kernel| k.snr().max(1.0);
    let loss = denoising_loss(
        &answer,
        &CleanSample::unit(),
        &weight,
        &target,
        &noise,
        &[k],
    );
    assert!((loss.double_value(&[0]) - 0.85).abs() < 1e-14);
}

#[test]
fn a_network_is_a_consistency_function_with_the_identity_at_the_least_level() {
    let mut rng = ChaCha8Rng::seed_from_u64(53);
    let (x0, noise) = (normal(&mut rng, &[2, 3]), normal(&mut rng, &[2, 3]));
    let row = Consistency::song2023();
    let f = |x: &Tensor, k: &[Kernel]| denoise(&net, &row, x, k);
    let least = kernels(&[(1.0, 0.002), (1.0, 0.002)]);
    let x = diffuse(&x0, &noise, &least);
    assert!(distance(&f(&x, &least), &x) < 1e-15);
    // One step above it, training asks for the point below.
    let above = kernels(&[(1.0, 0.01), (1.0, 0.02)]);
    let loss = consistency_training_loss(&Squared, &f, &f, &x0, &noise, &above, &least);
    let error = f(&diffuse(&x0, &noise, &above), &above) - x;
    assert!(distance(&loss, &sums(&error.square())) < 1e-15);
}
