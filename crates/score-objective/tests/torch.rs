//! Losses on tensors against closed forms, finite differences and the formulas they stand for.
#![cfg(feature = "tch")]

use noise_schedule::Kernel;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use score_objective::torch::{
    denoise, denoising_loss, finite_difference_score_matching, score, sliced_score_matching,
};
use score_objective::{
    CleanSample, Edm, EdmWeight, Epsilon, Preconditioner, Snr, Uniform, Velocity, Weighting,
};
use tch::{Kind, Tensor};

fn normal(rng: &mut ChaCha8Rng, shape: &[i64]) -> Tensor {
    let n = shape.iter().product::<i64>();
    let values: Vec<f64> = (0..n).map(|_| rng.sample(StandardNormal)).collect();
    Tensor::from_slice(&values).view(shape)
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

fn levels() -> Vec<Kernel> {
    [(1.0, 0.3), (0.6, 0.8), (0.1, 2.0)]
        .map(|(a, s)| Kernel::new(a, s).unwrap())
        .to_vec()
}

fn rows() -> [(&'static str, Box<dyn Preconditioner>); 4] {
    [
        ("epsilon", Box::new(Epsilon::new(0.5).unwrap())),
        ("clean sample", Box::new(CleanSample::new(0.5).unwrap())),
        ("velocity", Box::new(Velocity::new(0.5).unwrap())),
        ("edm", Box::new(Edm::new(0.5).unwrap())),
    ]
}

/// A network that looks at its label, row by row.
fn net(x: &Tensor, label: &Tensor) -> Tensor {
    assert_eq!(label.size(), [x.size()[0]]);
    let mut shape = vec![1; x.dim()];
    shape[0] = x.size()[0];
    (x * 1.3 + label.view(shape.as_slice())).tanh()
}

/// Per-row reference for a [B, n] view, in plain f64.
fn reference(
    x: &Tensor,
    row: &dyn Preconditioner,
    f: impl Fn(Kernel, f64, f64) -> f64,
) -> Vec<Vec<f64>> {
    let x = Vec::<Vec<f64>>::try_from(x.reshape([x.size()[0], -1])).unwrap();
    x.into_iter()
        .zip(levels())
        .map(|(values, k)| {
            let c = row.at(k);
            let network = |x: f64| (1.3 * c.input * x + c.label).tanh();
            values
                .into_iter()
                .map(|x| f(k, x, c.skip * x + c.out * network(x)))
                .collect()
        })
        .collect()
}

#[test]
fn denoiser_and_score_follow_the_table_for_any_shape() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for shape in [vec![3], vec![3, 4], vec![3, 2, 2, 2]] {
        let x = normal(&mut rng, &shape);
        for (name, row) in rows() {
            let d = denoise(&net, &*row, &x, &levels());
            assert_eq!(d.size(), shape);
            let expected =
                Tensor::from_slice2(&reference(&x, &*row, |_, _, d| d)).view(shape.as_slice());
            assert!(distance(&d, &expected) < 1e-13, "{name}");
            let s = score(&net, &*row, &x, &levels());
            let expected = reference(&x, &*row, |k, x, d| (k.alpha() * d - x) / k.sigma().powi(2));
            let expected = Tensor::from_slice2(&expected).view(shape.as_slice());
            assert!(distance(&s, &expected) < 1e-11, "{name}");
        }
    }
}

#[test]
fn the_kind_of_x_is_kept() {
    let x = Tensor::ones([3, 2], (Kind::Float, tch::Device::Cpu));
    let row = Edm::unit();
    assert_eq!(denoise(&net, &row, &x, &levels()).kind(), Kind::Float);
    assert_eq!(score(&net, &row, &x, &levels()).kind(), Kind::Float);
    let loss = denoising_loss(&net, &row, &Snr, &x, &x, &levels());
    assert_eq!((loss.kind(), loss.size()), (Kind::Float, vec![3]));
}

#[test]
fn scores_in_f32_keep_their_digits_at_low_noise() {
    // A network that answers 1, at sigma = 1e-4: alpha D - x has lost all digits in f32.
    let one = |x: &Tensor, _: &Tensor| x.ones_like();
    let x = Tensor::from_slice(&[3.0_f32, -7.0]).view([2, 1]);
    let k = Kernel::variance_exploding(1e-4).unwrap();
    let s = score(&one, &Epsilon::unit(), &x, &[k, k]);
    assert!(distance(&(s / -1e4), &x.ones_like()) < 1e-6);
}

#[test]
fn the_denoising_loss_is_the_weighted_error_of_the_denoiser() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for shape in [vec![3], vec![3, 4], vec![3, 2, 2, 2]] {
        let (x0, noise) = (normal(&mut rng, &shape), normal(&mut rng, &shape));
        let mut column = vec![1; shape.len()];
        column[0] = 3;
        let per_row = |f: &dyn Fn(Kernel) -> f64| {
            let values: Vec<f64> = levels().into_iter().map(f).collect();
            Tensor::from_slice(&values).view(column.as_slice())
        };
        let x = &x0 * per_row(&|k| k.alpha()) + &noise * per_row(&|k| k.sigma());
        let edm_weight = EdmWeight::new(0.5).unwrap();
        for w in [&Uniform as &dyn Weighting, &Snr, &edm_weight] {
            for (name, row) in rows() {
                let loss = denoising_loss(&net, &*row, w, &x0, &noise, &levels());
                let error = (denoise(&net, &*row, &x, &levels()) - &x0).square();
                let naive = (error * per_row(&|k| w.weight(k)))
                    .reshape([3, -1])
                    .sum_dim_intlist(1, false, Kind::Double);
                let relative = distance(&(&loss / &naive), &naive.ones_like());
                assert!(relative < 1e-10, "{name}: {relative}");
            }
        }
    }
}

#[test]
fn the_noise_itself_has_no_denoising_loss() {
    // In f32 at low noise, where the naive difference would not vanish.
    let noise = normal(&mut ChaCha8Rng::seed_from_u64(3), &[1, 8]).to_kind(Kind::Float);
    let answer = |_: &Tensor, _: &Tensor| noise.shallow_clone();
    let k = Kernel::new(0.7, 1e-5).unwrap();
    let x0 = noise.ones_like() * 3.0;
    let loss = denoising_loss(&answer, &Epsilon::unit(), &Snr, &x0, &noise, &[k]);
    assert!(loss.double_value(&[0]) < 1e-12);
}

#[test]
#[should_panic(expected = "the loss is not defined")]
fn there_is_no_noise_to_predict_without_noise() {
    let x0 = Tensor::ones([1, 2], (Kind::Double, tch::Device::Cpu));
    let _ = denoising_loss(&net, &Epsilon::unit(), &Uniform, &x0, &x0, &[Kernel::CLEAN]);
}

#[test]
fn the_clean_sample_may_be_learned_without_noise() {
    let x0 = Tensor::ones([1, 2], (Kind::Double, tch::Device::Cpu));
    let zero = |x: &Tensor, _: &Tensor| x.zeros_like();
    let loss = denoising_loss(
        &zero,
        &CleanSample::unit(),
        &Uniform,
        &x0,
        &x0,
        &[Kernel::CLEAN],
    );
    assert_eq!(loss.double_value(&[0]), 2.0);
}

#[test]
#[should_panic(expected = "one level per row")]
fn each_row_needs_its_level() {
    let x = Tensor::ones([2, 2], (Kind::Double, tch::Device::Cpu));
    let _ = denoise(&net, &Edm::unit(), &x, &levels());
}

#[test]
fn sliced_score_matching_of_a_linear_score_is_known() {
    // s = -A x: the loss is |A x|²/2 - v'A v; with v over the unit vectors, times d, the trace is exact.
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let a = normal(&mut rng, &[3, 3]);
    let linear = |x: &Tensor| -x.matmul(&a.transpose(0, 1));
    let x = normal(&mut rng, &[1, 3]);
    let v = normal(&mut rng, &[5, 3]);
    let many = x.expand([5, 3], false);
    let energy = linear(&many)
        .square()
        .sum_dim_intlist(1, false, Kind::Double)
        * 0.5;
    let expected = &energy - (v.matmul(&a) * &v).sum_dim_intlist(1, false, Kind::Double);
    assert!(distance(&sliced_score_matching(&linear, &many, &v), &expected) < 1e-12);

    let axes = Tensor::eye(3, (Kind::Double, tch::Device::Cpu));
    let thrice = x.expand([3, 3], false);
    let loss = sliced_score_matching(&linear, &thrice, &axes);
    let energy = linear(&thrice)
        .square()
        .sum_dim_intlist(1, false, Kind::Double)
        * 0.5;
    let trace = (&loss - energy).sum(Kind::Double).double_value(&[]);
    assert!((trace + a.trace().double_value(&[])).abs() < 1e-12);

    // Affine: the finite difference is exact at any step.
    for step in [1e-3, 0.1, 3.0] {
        let shifted = |x: &Tensor| linear(x) + 0.7;
        let fd = finite_difference_score_matching(&shifted, &many, &v, step);
        let exact = sliced_score_matching(&shifted, &many, &v);
        assert!(distance(&fd, &exact) < 1e-9);
    }
}

#[test]
fn a_score_that_ignores_x_has_no_divergence() {
    let x = Tensor::ones([2, 3], (Kind::Double, tch::Device::Cpu));
    let bias = Tensor::from_slice(&[1.0, 2.0, 2.0]).set_requires_grad(true);
    let constant = |_: &Tensor| bias.expand([2, 3], false);
    let loss = sliced_score_matching(&constant, &x, &x);
    assert!(distance(&loss, &(x.select(1, 0) * 4.5)) < 1e-15);
}

/// s(x) = tanh(x W) on images of any shape, from one parameter matrix.
fn nonlinear(w: &Tensor, x: &Tensor) -> Tensor {
    let flat = x.reshape([x.size()[0], -1]);
    flat.matmul(w).tanh().view(x.size().as_slice()) - x * 0.1
}

#[test]
fn finite_differences_approach_the_derivative() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (w, x, v) = (
        normal(&mut rng, &[4, 4]),
        normal(&mut rng, &[6, 1, 2, 2]),
        normal(&mut rng, &[6, 1, 2, 2]),
    );
    let s = |x: &Tensor| nonlinear(&w, x);
    let exact = sliced_score_matching(&s, &x, &v).detach();
    let error = |step: f64| distance(&finite_difference_score_matching(&s, &x, &v, step), &exact);
    assert!(error(1e-3) < 1e-4);
    // Second order: ten times smaller, a hundred times better.
    let ratio = error(1e-2) / error(1e-3);
    assert!((90.0..110.0).contains(&ratio), "{ratio}");
}

#[test]
fn losses_have_the_gradient_of_their_finite_differences() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let w = normal(&mut rng, &[4, 4]) * 0.5;
    let (x, v) = (normal(&mut rng, &[3, 4]), normal(&mut rng, &[3, 4]));
    let k = levels();
    type Loss<'a> = &'a dyn Fn(&Tensor) -> Tensor;
    let losses: [(&str, Loss); 3] = [
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
