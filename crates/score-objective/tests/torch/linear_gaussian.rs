//! The linear Gaussian model, where every objective has the same minimiser, and quadrature, where objectives differ by a
//! constant.

use super::*;
use noise_schedule::{Cosine, NoiseSchedule, Rates};
use score_objective::torch::{
    denoise, diffuse, finite_difference_score_matching, flow_matching_loss,
    implicit_score_matching, interpolant_loss, projected_score_matching, score_denoising_loss,
    sliced_score_matching,
};
use score_objective::{Direction, Interpolant, PathVelocity, torch::denoising_loss};

/// Points with mean zero and covariance I: ±√n along each axis of ℝⁿ, [2n, n].
fn sigma_points(n: i64) -> Tensor {
    let axes = Tensor::eye(n, (Kind::Double, tch::Device::Cpu)) * (n as f64).sqrt();
    Tensor::cat(&[&axes, &-&axes], 0)
}

/// Data and noise with the covariance blocks (S, 0; 0, I), and S: two dimensions.
fn data() -> (Tensor, Tensor, Tensor) {
    let root = tensor(&[0.9, 0.0, -0.5, 0.4], &[2, 2]);
    let points = sigma_points(4);
    let x0 = points.narrow(1, 0, 2).matmul(&root.transpose(0, 1));
    (
        x0,
        points.narrow(1, 2, 2),
        root.matmul(&root.transpose(0, 1)),
    )
}

fn gradient(w: &Tensor, loss: &dyn Fn(&Tensor) -> Tensor) -> f64 {
    let leaf = w.detach().copy().set_requires_grad(true);
    let total = loss(&leaf).mean(Kind::Double);
    number(
        &Tensor::run_backward(&[total], &[&leaf], false, false)[0]
            .abs()
            .max(),
    )
}

#[test]
fn all_objectives_have_the_same_minimiser() {
    let (x0, noise, covariance) = data();
    let k = Kernel::new(0.8, 0.5).unwrap();
    let eye = Tensor::eye(2, (Kind::Double, tch::Device::Cpu));
    let noisy = &covariance * k.alpha().powi(2) + &eye * k.sigma().powi(2);
    let precision = noisy.inverse();
    let levels = [k; 8];
    let x = diffuse(&x0, &noise, &levels);

    // Scores s = x W with W = -(α² S + σ² I)⁻¹. Along each of two directions of length √2, the identity has no error.
    let many = Tensor::cat(&[&x, &x], 0);
    let directions = (&eye * 2.0_f64.sqrt()).repeat_interleave_self_int(8, 0, None);
    type Loss<'a> = &'a dyn Fn(&Tensor) -> Tensor;
    let scores: [(&str, Loss); 6] = [
        ("denoising", &|w| {
            score_denoising_loss(&|x| x.matmul(w), &x0, &noise, &levels, 0.0)
        }),
        ("implicit", &|w| {
            implicit_score_matching(&|x| x.matmul(w), &x)
        }),
        ("sliced", &|w| {
            sliced_score_matching(&|x| x.matmul(w), &many, &directions)
        }),
        ("projected", &|w| {
            projected_score_matching(&|x| x.matmul(w), &many, &directions)
        }),
        ("differences", &|w| {
            finite_difference_score_matching(&|x| x.matmul(w), &many, &directions, 0.3)
        }),
        ("energy", &|w| {
            let log_density = |x: &Tensor| sums(&(x.matmul(w) * x)) * 0.5;
            let s = |x: &Tensor| score_objective::torch::score_of(&log_density, x);
            implicit_score_matching(&s, &x)
        }),
    ];
    for (name, loss) in scores {
        let at_best = gradient(&-&precision, loss);
        assert!(at_best < 1e-12, "{name}: {at_best}");
        assert!(1e-2 < gradient(&(&precision * -1.1), loss), "{name}");
    }

    // The denoiser D = x W with W = α S (α² S + σ² I)⁻¹ (symmetric factors that commute).
    let best = precision.matmul(&covariance) * k.alpha();
    let of_denoiser: Loss = &|w| {
        let clean = CleanSample::unit();
        let input = clean.at(k).input;
        denoising_loss(
            &|x, _| x.matmul(w) / input,
            &clean,
            &Snr,
            &x0,
            &noise,
            &levels,
        )
    };
    assert!(gradient(&best, of_denoiser) < 1e-12);
    assert!(1e-2 < gradient(&(&best * 1.1), of_denoiser));

    // The velocity u = x W with W = (α α′ S + σ σ′ I)(α² S + σ² I)⁻¹, and the same along a path to another source.
    let rates = Rates {
        alpha: -0.7,
        sigma: 1.3,
    };
    let cross = &covariance * (k.alpha() * rates.alpha) + &eye * (k.sigma() * rates.sigma);
    let best = precision.matmul(&cross);
    let of_velocity: Loss =
        &|w| flow_matching_loss(&|x| x.matmul(w), &x0, &noise, &levels, &[rates; 8]);
    let path = [Interpolant::affine(k, rates).unwrap(); 8];
    let of_path: Loss =
        &|w| interpolant_loss(&|x| x.matmul(w), &x0, &noise, &noise.zeros_like(), &path);
    for loss in [of_velocity, of_path] {
        assert!(gradient(&best, loss) < 1e-12);
        assert!(1e-2 < gradient(&(&best * 1.1), loss));
    }
}

#[test]
fn the_floor_of_score_matching_is_half_the_fisher_information() {
    let (x, _, covariance) = data();
    let precision = covariance.inverse();
    let s = |x: &Tensor| -x.matmul(&precision);
    let information = number(&precision.trace());
    let floor = number(&implicit_score_matching(&s, &x).mean(Kind::Double));
    assert!(
        (floor + 0.5 * information).abs() < 1e-12,
        "{floor} {information}"
    );
    // Denoising has the irreducible ½ (D/σ² − J) on top of ½ E|s − s*|²; here for the noisy law.
    let (x0, noise, _) = data();
    let k = Kernel::new(0.8, 0.5).unwrap();
    let eye = Tensor::eye(2, (Kind::Double, tch::Device::Cpu));
    let noisy = (covariance * 0.64 + eye * 0.25).inverse();
    let loss = score_denoising_loss(&|x| -x.matmul(&noisy), &x0, &noise, &[k; 8], 0.0);
    let expected = 0.5 * (2.0 / 0.25 - number(&noisy.trace()));
    assert!((number(&loss.mean(Kind::Double)) - expected).abs() < 1e-12);
}

#[test]
fn denoising_less_implicit_is_a_constant() {
    // Linear: exactly ½ D/σ² for every parameter.
    let (x0, noise, _) = data();
    let k = Kernel::new(0.8, 0.5).unwrap();
    let x = diffuse(&x0, &noise, &[k; 8]);
    let mut rng = ChaCha8Rng::seed_from_u64(31);
    for _ in 0..3 {
        let w = normal(&mut rng, &[2, 2]);
        let s = |x: &Tensor| x.matmul(&w);
        let denoising = score_denoising_loss(&s, &x0, &noise, &[k; 8], 0.0).mean(Kind::Double);
        let implicit = implicit_score_matching(&s, &x).mean(Kind::Double);
        assert!((number(&(denoising - implicit)) - 1.0 / 0.25).abs() < 1e-12);
    }
    // Nonlinear, in one dimension: the noise by the trapezium rule, which is exact to rounding on the normal density.
    let grid: Vec<f64> = (-800..=800).map(|i| i as f64 * 0.0125).collect();
    let n = grid.len() as i64;
    let noise = tensor(&grid, &[n, 1]);
    let density = (noise.square() * -0.5).exp().squeeze() * (0.0125 / std::f64::consts::TAU.sqrt());
    let x0 = noise.ones_like() * 0.7;
    for (w, b) in [(1.3, 0.2), (-0.4, 1.0), (3.0, 0.0)] {
        let s = |x: &Tensor| (x * w + b).tanh() - x * 0.2;
        for k in kernels(&[(1.0, 0.3), (0.6, 0.8)]) {
            let levels = vec![k; n as usize];
            let x = diffuse(&x0, &noise, &levels);
            let denoising = score_denoising_loss(&s, &x0, &noise, &levels, 0.0);
            let gap = (denoising - implicit_score_matching(&s, &x)) * &density;
            let expected = 0.5 / k.sigma().powi(2);
            let gap = number(&gap.sum(Kind::Double));
            assert!((gap / expected - 1.0).abs() < 1e-10, "{gap} {expected}");
        }
    }
}

#[test]
fn flow_matching_is_denoising_under_another_weight() {
    let mut rng = ChaCha8Rng::seed_from_u64(32);
    let (x0, noise) = (normal(&mut rng, &[3, 4]), normal(&mut rng, &[3, 4]));
    let levels = levels();
    let rates: Vec<Rates> = [(-1.0, 1.0), (-0.3, 2.0), (0.0, 4.0)]
        .map(|(alpha, sigma)| Rates { alpha, sigma })
        .to_vec();
    let row = Edm::new(0.5).unwrap();
    let growth = |i: usize| rates[i].sigma / levels[i].sigma();
    let share = |i: usize| rates[i].alpha - levels[i].alpha() * growth(i);
    let by_row = |f: &dyn Fn(usize) -> f64| tensor(&[f(0), f(1), f(2)], &[3, 1]);
    let velocity =
        |x: &Tensor| x * by_row(&growth) + denoise(&net, &row, x, &levels) * by_row(&share);
    let flow = flow_matching_loss(&velocity, &x0, &noise, &levels, &rates);
    let denoising = denoising_loss(&net, &row, &Uniform, &x0, &noise, &levels);
    let expected = denoising * by_row(&share).squeeze().square();
    assert!(distance(&(&flow / expected), &flow.ones_like()) < 1e-10);
}

#[test]
fn flow_matching_is_a_path_velocity_weighed_uniformly() {
    let mut rng = ChaCha8Rng::seed_from_u64(33);
    let (x0, noise) = (normal(&mut rng, &[3, 4]), normal(&mut rng, &[3, 4]));
    let schedule = Cosine::nichol2021();
    let times = [0.2, 0.5, 0.9];
    let levels = times.map(|t| schedule.kernel(t));
    let rates = times.map(|t| schedule.rates(t));
    let row = PathVelocity::new(schedule, Direction::ToNoise);
    let labels = Tensor::from_slice(&times);
    let flow = flow_matching_loss(&|x| net(x, &labels), &x0, &noise, &levels, &rates);
    let uniform = |k: Kernel| row.at(k).out.powi(-2);
    let same = denoising_loss(&net, &row, &uniform, &x0, &noise, &levels);
    assert!(distance(&(&flow / same), &flow.ones_like()) < 1e-9);
}
