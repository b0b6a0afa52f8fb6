//! Learned log-variances.

use super::*;
use score_objective::torch::{LevelUncertainty, uncertainty_loss};

#[test]
fn the_best_log_variance_is_that_of_the_error() {
    let loss = tensor(&[12.0, 0.3], &[2]);
    let best = (&loss / 6.0).log();
    let at_best = uncertainty_loss(&loss, 6, &best);
    let expected = &best * 6.0 + 6.0;
    assert!(distance(&at_best, &expected) < 1e-14);
    let leaf = best.copy().set_requires_grad(true);
    let total = uncertainty_loss(&loss, 6, &leaf).sum(Kind::Double);
    let slope = Tensor::run_backward(&[total], &[&leaf], false, false);
    assert!(number(&slope[0].abs().max()) < 1e-14);
    // Without uncertainty it is the loss.
    assert_eq!(uncertainty_loss(&loss, 6, &best.zeros_like()), loss);
    // k-diffusion's form: (mean error · e^-u + u)/2.
    let u = tensor(&[0.4, -1.0], &[2]);
    let karras = ((&loss / 6.0) / u.exp() + &u) * 0.5;
    assert!(distance(&(uncertainty_loss(&loss, 6, &u) / 12.0), &karras) < 1e-15);
}

#[test]
fn a_level_uncertainty_starts_at_zero_and_learns_each_level() {
    let mut rng = ChaCha8Rng::seed_from_u64(71);
    let uncertainty = LevelUncertainty::new(32, &mut rng, tch::Device::Cpu).unwrap();
    let levels = kernels(&[(1.0, 0.01), (0.6, 0.8), (0.0, 1.0), (1.0, 0.0)]);
    let like = Tensor::zeros([4, 1], (Kind::Double, tch::Device::Cpu));
    assert_eq!(
        number(&uncertainty.log_variance(&levels, &like).abs().max()),
        0.0
    );
    let wanted = tensor(&[-3.0, 0.5, 1.0, 2.0], &[4]);
    let loss = wanted.exp() * 6.0;
    let [mut weights] = uncertainty.parameters();
    for _ in 0..800 {
        let u = uncertainty.log_variance(&levels, &like);
        let total = uncertainty_loss(&loss, 6, &u).mean(Kind::Double);
        let slope = Tensor::run_backward(&[total], &[&weights], false, false).swap_remove(0);
        let _guard = tch::no_grad_guard();
        let _ = weights.g_sub_(&(slope * 3e-3));
    }
    let learned = uncertainty.log_variance(&levels, &like).detach();
    assert!(
        distance(&learned, &wanted) < 0.02,
        "{}",
        distance(&learned, &wanted)
    );
    // f32 data has f32 weights.
    let single = like.to_kind(Kind::Float);
    assert_eq!(
        uncertainty.log_variance(&levels, &single).kind(),
        Kind::Float
    );
    // The draws are the rng's.
    let again = LevelUncertainty::new(32, &mut ChaCha8Rng::seed_from_u64(71), tch::Device::Cpu);
    let _guard = tch::no_grad_guard();
    let again = again.unwrap();
    let [mut copied] = again.parameters();
    copied.copy_(&weights);
    assert_eq!(again.log_variance(&levels, &like), learned);
    assert!(LevelUncertainty::new(0, &mut rng, tch::Device::Cpu).is_err());
}

#[test]
fn the_features_of_a_level_are_cosines_of_the_draws() {
    let uncertainty =
        LevelUncertainty::new(4, &mut ChaCha8Rng::seed_from_u64(72), tch::Device::Cpu).unwrap();
    let k = Kernel::new(0.6, 0.8).unwrap();
    let like = Tensor::zeros([1, 1], (Kind::Double, tch::Device::Cpu));
    let [weights] = uncertainty.parameters();
    let u = uncertainty.log_variance(&[k], &like);
    let features = Tensor::run_backward(&[u], &[&weights], false, false).swap_remove(0);
    let mut rng = ChaCha8Rng::seed_from_u64(72);
    let frequencies: Vec<f64> = (0..4).map(|_| rng.sample(StandardNormal)).collect();
    let phases: Vec<f64> = (0..4).map(|_| rng.random()).collect();
    let label = (0.8_f64 / 0.6).ln() / 4.0;
    let expected: Vec<f64> = (0..4)
        .map(|i| {
            2.0_f64.sqrt() * (std::f64::consts::TAU * (frequencies[i] * label + phases[i])).cos()
        })
        .collect();
    assert!(distance(&features, &Tensor::from_slice(&expected)) < 1e-14);
}
