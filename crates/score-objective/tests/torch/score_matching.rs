//! Score matching without noise: exact trace, slices and differences.

use super::*;
use score_objective::torch::{
    Directions, annealed_sliced_score_matching, diffuse, divergence, divergence_along,
    finite_difference_score_matching, implicit_score_matching, projected_score_matching, score_of,
    sliced_score_matching,
};

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
fn implicit_score_matching_of_a_linear_score_is_known() {
    // s = -A x + b: |s|²/2 - tr A.
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (a, b) = (normal(&mut rng, &[4, 4]), normal(&mut rng, &[4]));
    let linear = |x: &Tensor| (-x.reshape([-1, 4]).matmul(&a.transpose(0, 1)) + &b).view_as(x);
    for shape in [vec![5, 4], vec![5, 1, 2, 2]] {
        let x = normal(&mut rng, &shape);
        let energy = sums(&linear(&x).reshape([5, 4]).square()) * 0.5;
        let loss = implicit_score_matching(&linear, &x);
        assert!(distance(&loss, &(energy - a.trace())) < 1e-12);
    }
}

#[test]
fn the_trace_is_exact_and_hutchinson_estimates_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let (w, x) = (normal(&mut rng, &[4, 4]), normal(&mut rng, &[3, 1, 2, 2]));
    let field = |x: &Tensor| nonlinear(&w, x);
    let exact = divergence(&field, &x);
    // Over the axes, directions of length √D estimate without error.
    let mut mean = exact.zeros_like();
    let mut differences = exact.zeros_like();
    for axis in 0..4 {
        let unit = x.zeros_like();
        let _ = unit.view([3, 4]).select(1, axis).fill_(1.0);
        mean += divergence_along(&field, &x, &(&unit * 2.0)) * 0.25;
        let h = 1e-5;
        let change = field(&(&x + &unit * h)) - field(&(&x - &unit * h));
        differences += sums(&(change * &unit).view([3, 4])) / (2.0 * h);
    }
    assert!(distance(&mean, &exact) < 1e-13);
    assert!(distance(&differences, &exact) < 1e-9);
    // SSM-VR is ISM with the estimate in place of the trace.
    let v = normal(&mut rng, &[3, 1, 2, 2]);
    let swapped = implicit_score_matching(&field, &x) - exact + divergence_along(&field, &x, &v);
    assert!(distance(&swapped, &sliced_score_matching(&field, &x, &v)) < 1e-13);
}

#[test]
fn a_constant_field_diverges_nowhere() {
    let bias = tensor(&[1.0, 2.0], &[2]).set_requires_grad(true);
    let x = Tensor::ones([3, 2], (Kind::Double, tch::Device::Cpu));
    let constant = |_: &Tensor| bias.expand([3, 2], false);
    assert_eq!(number(&divergence(&constant, &x).abs().max()), 0.0);
    let loss = implicit_score_matching(&constant, &x);
    assert!(distance(&loss, &(x.select(1, 0) * 2.5)) < 1e-15);
}

#[test]
#[should_panic(expected = "score matching needs gradients")]
fn score_matching_under_a_guard_is_refused() {
    let _guard = tch::no_grad_guard();
    let x = Tensor::ones([2, 2], (Kind::Double, tch::Device::Cpu));
    let _ = implicit_score_matching(&|x| x * 2.0, &x);
}

#[test]
fn projecting_the_energy_too_keeps_the_mean_of_sliced_score_matching() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let (w, x) = (normal(&mut rng, &[3, 3]), normal(&mut rng, &[1, 3]));
    let s = |x: &Tensor| nonlinear(&w, x);
    let v = normal(&mut rng, &[1, 3]);
    // Its definition.
    let projected = (s(&x) * &v).sum(Kind::Double).square() * 0.5;
    let loss = projected_score_matching(&s, &x, &v);
    assert!((number(&loss) - number(&(projected + divergence_along(&s, &x, &v)))).abs() < 1e-13);
    // Its mean over directions with E[v v'] = I: the axes times √D.
    let axes = Tensor::eye(3, (Kind::Double, tch::Device::Cpu)) * 3.0_f64.sqrt();
    let x = x.expand([3, 3], false);
    let mean = projected_score_matching(&s, &x, &axes).mean(Kind::Double);
    let exact = implicit_score_matching(&s, &x).mean(Kind::Double);
    assert!((number(&mean) - number(&exact)).abs() < 1e-13);
}

#[test]
fn the_annealed_loss_is_sliced_score_matching_of_noisy_data_by_its_variance() {
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let w = normal(&mut rng, &[4, 4]);
    let s = |x: &Tensor| nonlinear(&w, x);
    let [x0, noise, v] = [0; 3].map(|_| normal(&mut rng, &[3, 4]));
    let loss = annealed_sliced_score_matching(&s, &x0, &noise, &v, &levels());
    let x = diffuse(&x0, &noise, &levels());
    for (row, k) in levels().into_iter().enumerate() {
        let row = row as i64;
        let by_hand = &x0.get(row) * k.alpha() + &noise.get(row) * k.sigma();
        assert!(distance(&x.get(row), &by_hand) < 1e-15);
        let one = |t: &Tensor| t.narrow(0, row, 1);
        let plain = sliced_score_matching(&s, &one(&x), &one(&v)) * k.sigma().powi(2);
        assert!(distance(&plain, &one(&loss)) < 1e-12);
    }
}

#[test]
fn an_energy_has_a_score_that_can_be_matched() {
    // log p = -½ x'P x: score -P x, implicit loss ½|P x|² - tr P with slope 2 in the scale of P at x = 0.
    let mut rng = ChaCha8Rng::seed_from_u64(15);
    let half = normal(&mut rng, &[3, 3]);
    let p = half.matmul(&half.transpose(0, 1));
    let x = normal(&mut rng, &[4, 3]);
    let scale = Tensor::from(1.0_f64).set_requires_grad(true);
    let log_density = |x: &Tensor| sums(&(x.matmul(&p) * x)) * -0.5 * &scale;
    assert!(distance(&score_of(&log_density, &x), &-x.matmul(&p)) < 1e-12);
    let loss = implicit_score_matching(&|x| score_of(&log_density, x), &x);
    let squares = sums(&x.matmul(&p).square());
    assert!(distance(&loss, &(&squares * 0.5 - p.trace())) < 1e-12);
    let slope = Tensor::run_backward(&[loss.sum(Kind::Double)], &[&scale], false, false);
    let expected = squares.sum(Kind::Double) - p.trace() * 4.0;
    assert!((number(&slope[0]) - number(&expected)).abs() < 1e-10);
}

#[test]
fn directions_have_unit_covariance_and_the_variances_of_their_laws() {
    let n = 200_000;
    let normal = normal(&mut ChaCha8Rng::seed_from_u64(16), &[n, 3]);
    let s = tensor(&[1.0, 0.5, -0.3, 0.5, 2.0, 0.2, -0.3, 0.2, -0.5], &[3, 3]);
    let (squares, trace) = (number(&s.square().sum(Kind::Double)), number(&s.trace()));
    let diagonal = number(&s.diagonal(0, 0, 1).square().sum(Kind::Double));
    for (law, variance) in [
        (Directions::Rademacher, 2.0 * (squares - diagonal)),
        (Directions::Gaussian, 2.0 * squares),
        (Directions::Sphere, 1.2 * (squares - trace * trace / 3.0)),
    ] {
        let v = law.of_normal(&normal);
        let covariance = v.transpose(0, 1).matmul(&v) / n as f64;
        let unit = Tensor::eye(3, (Kind::Double, tch::Device::Cpu));
        assert!(distance(&covariance, &unit) < 0.02, "{law:?}");
        let forms = sums(&(v.matmul(&s) * &v));
        assert!(
            (number(&forms.mean(Kind::Double)) - trace).abs() < 0.03,
            "{law:?}"
        );
        let measured = number(&(&forms - trace).square().mean(Kind::Double));
        assert!(
            (measured / variance - 1.0).abs() < 0.03,
            "{law:?}: {measured} {variance}"
        );
    }
    // A draw of exactly zero still has a sign.
    let zero = tensor(&[0.0, -0.0], &[1, 2]);
    let signs = Directions::Rademacher.of_normal(&zero);
    assert_eq!(number(&signs.abs().min()), 1.0);
}
