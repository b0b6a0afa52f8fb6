//! Flow matching: known answers and couplings.

use super::*;
use noise_schedule::Rates;
use score_objective::Interpolant;
use score_objective::coupling::{Marginals, Sinkhorn};
use score_objective::torch::{
    entropically_paired, flow_matching_loss, interpolant_loss, optimally_paired,
};

#[test]
fn the_target_of_a_straight_path_is_noise_less_data() {
    let x0 = tensor(&[1.0, -2.0, 0.5, 4.0], &[2, 1, 2]);
    let noise = tensor(&[0.3, 0.1, -0.7, 2.0], &[2, 1, 2]);
    let levels = kernels(&[(0.75, 0.25), (0.0, 1.0)]);
    let rates = [Rates {
        alpha: -1.0,
        sigma: 1.0,
    }; 2];
    let zero = |x: &Tensor| x.zeros_like();
    let loss = flow_matching_loss(&zero, &x0, &noise, &levels, &rates);
    // (0.3 − 1)² + (0.1 + 2)², (−0.7 − 0.5)² + (2 − 4)².
    assert!(distance(&loss, &tensor(&[4.9, 5.44], &[2])) < 1e-14);
    // The network sees x.
    let point = |x: &Tensor| x.shallow_clone();
    let loss = flow_matching_loss(&point, &x0, &noise, &levels, &rates);
    // 0.825 + 0.7, −1.475 − 2.1; −0.7 + 1.2, 2 + 2.
    let expected = [1.525_f64.powi(2) + 3.575_f64.powi(2), 0.25 + 16.0];
    assert!(distance(&loss, &tensor(&expected, &[2])) < 1e-13);
    // The same as an interpolant whose source is the noise.
    let path: Vec<_> = levels
        .iter()
        .map(|&k| Interpolant::affine(k, rates[0]).unwrap())
        .collect();
    let same = interpolant_loss(&point, &x0, &noise, &x0, &path);
    assert!(distance(&loss, &same) < 1e-14);
}

#[test]
fn a_bridge_adds_its_noise_to_point_and_velocity() {
    let (x0, x1, z) = (
        tensor(&[1.0], &[1, 1]),
        tensor(&[-1.0], &[1, 1]),
        tensor(&[2.0], &[1, 1]),
    );
    let path = [Interpolant::bridge(0.2, 0.5).unwrap()];
    // x = 0.8 − 0.2 + 0.5 · 0.4 · 2, u = −2 + 0.5 · 0.6/0.8 · 2.
    let loss = |u: f64| {
        let velocity = |x: &Tensor| {
            assert!((x.double_value(&[0, 0]) - 1.0).abs() < 1e-15);
            x * 0.0 + u
        };
        interpolant_loss(&velocity, &x0, &x1, &z, &path).double_value(&[0])
    };
    assert!(loss(-1.25) < 1e-28);
    assert!((loss(0.0) - 1.5625).abs() < 1e-14);
}

#[test]
fn pairs_are_a_permutation_and_the_cheapest() {
    let mut rng = ChaCha8Rng::seed_from_u64(41);
    let (x0, noise) = (normal(&mut rng, &[5, 2, 2]), normal(&mut rng, &[5, 2, 2]));
    let cost = |order: &[i64]| {
        number(
            &(&x0 - noise.index_select(0, &Tensor::from_slice(order)))
                .square()
                .sum(Kind::Double),
        )
    };
    let paired = optimally_paired(&x0, &noise);
    let reached = number(&(&x0 - &paired).square().sum(Kind::Double));
    let mut orders = vec![vec![]];
    for row in 0..5_i64 {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<i64>| {
                (0..=order.len()).map(move |place| {
                    let mut longer = order.clone();
                    longer.insert(place, row);
                    longer
                })
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    let best = orders
        .iter()
        .map(|order| cost(order))
        .fold(f64::INFINITY, f64::min);
    assert!((reached - best).abs() < 1e-12);
    assert!(best < cost(&[0, 1, 2, 3, 4]));
    let sorted = |x: &Tensor| x.reshape([-1]).sort(0, false).0;
    assert_eq!(sorted(&paired), sorted(&noise));
}

#[test]
fn entropic_pairs_are_the_optimal_ones_where_it_is_cold() {
    let mut rng = ChaCha8Rng::seed_from_u64(42);
    let (x0, noise) = (normal(&mut rng, &[4, 3]), normal(&mut rng, &[4, 3]));
    let pairs = |regularisation: f64, uniforms: &[f64; 4]| {
        let problem = Sinkhorn::new(regularisation, Marginals::Exact, 1e-3, 100_000).unwrap();
        entropically_paired(&x0, &noise, &problem, uniforms).unwrap()
    };
    assert_eq!(pairs(0.05, &[0.5; 4]), optimally_paired(&x0, &noise));
    // Hot: the uniform number is the row.
    assert_eq!(pairs(1e6, &[0.1, 0.3, 0.6, 0.9]), noise);
    let never = Sinkhorn::new(0.05, Marginals::Exact, 1e-12, 1).unwrap();
    assert!(entropically_paired(&x0, &noise, &never, &[0.5; 4]).is_err());
}

#[test]
#[should_panic(expected = "the velocity is not finite")]
fn infinite_rates_are_refused() {
    let x = Tensor::ones([1, 2], (Kind::Double, tch::Device::Cpu));
    let rates = [Rates {
        alpha: 0.0,
        sigma: f64::INFINITY,
    }];
    let _ = flow_matching_loss(&|x| x.zeros_like(), &x, &x, &[Kernel::CLEAN], &rates);
}
