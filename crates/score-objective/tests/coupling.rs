//! Couplings against all permutations, certificates and closed forms; interpolants against differences.

use ndarray::{Array2, array};
use noise_schedule::{Kernel, Rates};
use proptest::collection::vec;
use proptest::prelude::*;
use score_objective::coupling::{Marginals, Sinkhorn, assignment, squared_distances};
use score_objective::{Error, Interpolant, progressive_shares};

fn matrix(rows: usize, columns: usize, values: &[f64]) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(i, j)| values[i * columns + j])
}

fn total(cost: &Array2<f64>, partner: &[usize]) -> f64 {
    partner.iter().enumerate().map(|(i, &j)| cost[[i, j]]).sum()
}

/// The least cost over all ways to give the rows from `row` on a free column.
fn brute_force(cost: &Array2<f64>, row: usize, taken: &mut Vec<bool>) -> f64 {
    if row == cost.nrows() {
        return 0.0;
    }
    let mut best = f64::INFINITY;
    for column in 0..cost.ncols() {
        if !taken[column] {
            taken[column] = true;
            best = best.min(cost[[row, column]] + brute_force(cost, row + 1, taken));
            taken[column] = false;
        }
    }
    best
}

fn costs() -> impl Strategy<Value = Array2<f64>> {
    // Whole numbers too: ties are where augmenting paths go wrong.
    let cost = prop_oneof![-10.0..10.0, (-3..4_i32).prop_map(f64::from)];
    (1..7_usize, 0..2_usize, vec(cost, 49))
        .prop_map(|(rows, more, values)| matrix(rows, rows + more, &values))
}

proptest! {
    #[test]
    fn the_assignment_is_the_best_of_all(cost in costs()) {
        let partner = assignment(cost.view()).unwrap();
        let mut taken = vec![false; cost.ncols()];
        for &column in &partner {
            prop_assert!(!taken[column], "a column occurs twice in {:?}", partner);
            taken[column] = true;
        }
        let best = brute_force(&cost, 0, &mut vec![false; cost.ncols()]);
        prop_assert!((total(&cost, &partner) - best).abs() < 1e-12);
    }

    #[test]
    fn a_shift_of_rows_and_columns_changes_no_assignment_cost(
        cost in vec(-10.0..10.0, 400),
        rows in vec(-100.0..100.0, 20),
        columns in vec(-100.0..100.0, 20),
    ) {
        let cost = matrix(20, 20, &cost);
        let shifted = Array2::from_shape_fn((20, 20), |(i, j)| cost[[i, j]] + rows[i] + columns[j]);
        let shift: f64 = rows.iter().chain(&columns).sum();
        let (plain, moved) = (assignment(cost.view()).unwrap(), assignment(shifted.view()).unwrap());
        prop_assert!((total(&cost, &plain) + shift - total(&shifted, &moved)).abs() < 1e-9);
        let identity: Vec<usize> = (0..20).collect();
        prop_assert!(total(&cost, &plain) <= total(&cost, &identity) + 1e-12);
    }

    #[test]
    fn a_plan_keeps_its_marginals_and_its_form(
        values in vec(0.0..5.0, 20),
        regularisation in 0.2..5.0,
    ) {
        let cost = matrix(4, 5, &values);
        let plan = Sinkhorn::new(regularisation, Marginals::Exact, 1e-10, 100_000).unwrap();
        let plan = plan.plan(cost.view()).unwrap();
        let mass = plan.mass();
        for row in mass.rows() {
            prop_assert!((row.sum() - 0.25).abs() < 1e-12);
        }
        for column in mass.columns() {
            prop_assert!((column.sum() - 0.2).abs() < 1e-10);
        }
        // Optimal plans are exp of a row's potential, a column's and the cost: every 2 × 2 minor says so.
        let reduced = |i: usize, j: usize| mass[[i, j]].ln() + cost[[i, j]] / regularisation;
        for i in 1..4 {
            for j in 1..5 {
                let minor = reduced(i, j) + reduced(0, 0) - reduced(i, 0) - reduced(0, j);
                prop_assert!(minor.abs() < 1e-9);
            }
        }
    }

    #[test]
    fn relaxed_marginals_pay_for_what_they_miss(
        values in vec(0.0..5.0, 12),
        regularisation in 0.2..3.0,
        penalty in 0.2..3.0,
    ) {
        let cost = matrix(3, 4, &values);
        let marginals = Marginals::Relaxed { penalty };
        let plan = Sinkhorn::new(regularisation, marginals, 1e-12, 100_000).unwrap();
        let plan = plan.plan(cost.view()).unwrap();
        let mass = plan.mass();
        // The derivative of the objective in each entry: C + ε ln(π n m) + ρ ln(n πᵢ) + ρ ln(m πⱼ) = 0.
        for i in 0..3 {
            for j in 0..4 {
                let slope = cost[[i, j]]
                    + regularisation * (12.0 * mass[[i, j]]).ln()
                    + penalty * (3.0 * mass.row(i).sum()).ln()
                    + penalty * (4.0 * mass.column(j).sum()).ln();
                prop_assert!(slope.abs() < 1e-9, "{}", slope);
            }
        }
    }
}

#[test]
fn a_cold_plan_is_the_assignment_and_a_hot_one_is_independent() {
    let cost = array![[1.0, 2.0, 4.0], [2.0, 1.5, 7.0], [0.0, 5.0, 3.5]];
    let plan = |regularisation| {
        let problem = Sinkhorn::new(regularisation, Marginals::Exact, 1e-4, 100_000).unwrap();
        problem.plan(cost.view()).unwrap()
    };
    let partner = assignment(cost.view()).unwrap();
    assert_eq!(partner, [2, 1, 0]);
    let cold = plan(0.05);
    // The next best swaps two pairs for 0.5 more: e^(-0.5/2ε) of their mass.
    for (i, j) in partner.into_iter().enumerate() {
        assert!((cold.mass()[[i, j]] - 1.0 / 3.0).abs() < 3e-3);
    }
    let hot = plan(1e6);
    assert!(
        hot.mass()
            .iter()
            .all(|mass| (mass - 1.0 / 9.0).abs() < 1e-6)
    );
}

#[test]
fn draws_invert_the_distribution_of_the_plan() {
    let cost = array![[0.0, 1.0, 2.0], [2.0, 0.5, 0.0]];
    let problem = Sinkhorn::new(1.0, Marginals::Exact, 1e-12, 10_000).unwrap();
    let plan = problem.plan(cost.view()).unwrap();
    // An even grid of uniform numbers: frequencies are masses to 1/n.
    let n = 3000;
    let mut of_pairs = Array2::<f64>::zeros((2, 3));
    let mut of_partners = Array2::<f64>::zeros((2, 3));
    for k in 0..n {
        let u = (k as f64 + 0.5) / n as f64;
        of_pairs[plan.pairs(&[u])[0]] += 1.0 / n as f64;
        for (row, column) in plan.partners(&[u, u]).into_iter().enumerate() {
            of_partners[[row, column]] += 0.5 / n as f64;
        }
    }
    for counts in [of_pairs, of_partners] {
        let error = (counts - plan.mass())
            .into_iter()
            .fold(0.0, |a: f64, b: f64| a.max(b.abs()));
        assert!(error < 1.0 / n as f64, "{error}");
    }
    assert_eq!(plan.pairs(&[0.0, 1.0_f64.next_down()]), [(0, 0), (1, 2)]);
}

#[test]
fn a_column_without_mass_is_never_drawn() {
    // e^-2000 is zero.
    let cost = array![[2000.0, 0.0, 2000.0], [0.0, 2000.0, 0.0]];
    let problem = Sinkhorn::new(1.0, Marginals::Relaxed { penalty: 1.0 }, 1e-9, 1000).unwrap();
    let plan = problem.plan(cost.view()).unwrap();
    assert_eq!(plan.mass()[[0, 0]], 0.0);
    for u in [0.0, 0.3, 1.0_f64.next_down()] {
        let drawn = plan.partners(&[u, u]);
        assert_eq!(drawn[0], 1);
        assert_ne!(drawn[1], 1);
    }
    // An outlier whose mass underflows still has a nearest partner.
    let cost = array![[0.0, 1.0], [6000.0, 5000.0]];
    let plan = problem.plan(cost.view()).unwrap();
    assert_eq!(plan.mass().row(1).sum(), 0.0);
    assert_eq!(plan.partners(&[0.1, 0.1])[1], 1);
    assert!(plan.pairs(&[0.0, 0.9]).iter().all(|&(row, _)| row == 0));
}

#[test]
fn bad_couplings_are_refused() {
    let wide = array![[1.0], [2.0]];
    assert_eq!(
        assignment(wide.view()),
        Err(Error::TooFewColumns {
            rows: 2,
            columns: 1
        })
    );
    let hole = array![[1.0, f64::NAN], [2.0, 0.0]];
    assert!(matches!(
        assignment(hole.view()),
        Err(Error::NotFinite { .. })
    ));
    assert!(Sinkhorn::new(0.0, Marginals::Exact, 1e-9, 10).is_err());
    assert!(Sinkhorn::new(1.0, Marginals::Exact, 0.0, 10).is_err());
    assert!(Sinkhorn::new(1.0, Marginals::Exact, 1e-9, 0).is_err());
    assert!(Sinkhorn::new(1.0, Marginals::Relaxed { penalty: 0.0 }, 1e-9, 10).is_err());
    let once = Sinkhorn::new(0.01, Marginals::Exact, 1e-12, 1).unwrap();
    let cost = array![[1.0, 2.0], [0.0, 0.5]];
    assert!(matches!(
        once.plan(cost.view()),
        Err(Error::NotConverged { iterations: 1, .. })
    ));
    assert!(matches!(
        once.plan(hole.view()),
        Err(Error::NotFinite { .. })
    ));
    // Finite, but not in units of the regularisation.
    assert!(matches!(
        once.plan(array![[1e307, 1e307], [1e307, 1e307]].view()),
        Err(Error::NotFinite { .. })
    ));
    assert!(once.plan(Array2::zeros((0, 3)).view()).is_err());
    assert_eq!(assignment(Array2::zeros((0, 3)).view()), Ok(vec![]));
}

#[test]
fn distances_are_squared() {
    let (a, b) = (array![[0.0, 0.0], [1.0, 1.0]], array![[3.0, 4.0]]);
    assert_eq!(
        squared_distances(a.view(), b.view()),
        array![[25.0], [13.0]]
    );
}

#[test]
fn the_rates_of_an_interpolant_are_its_derivatives() {
    type Path = fn(f64) -> Result<Interpolant, Error>;
    let paths: [Path; 5] = [
        |t| Interpolant::straight(t, 0.3),
        |t| Interpolant::lipman2022(t, 0.1),
        Interpolant::trigonometric,
        |t| Interpolant::bridge(t, 0.7),
        |t| Interpolant::bridge(t, 0.0),
    ];
    for path in paths {
        for t in [0.1, 0.35, 0.8] {
            let h = 1e-5;
            let (low, high) = (path(t - h).unwrap().at, path(t + h).unwrap().at);
            let rate = path(t).unwrap().rate;
            for (low, high, rate) in [
                (low.data, high.data, rate.data),
                (low.source, high.source, rate.source),
                (low.noise, high.noise, rate.noise),
            ] {
                assert!(((high - low) / (2.0 * h) - rate).abs() < 1e-8);
            }
        }
    }
}

#[test]
fn interpolants_start_at_the_data_and_end_at_the_source() {
    for path in [
        |t| Interpolant::straight(t, 0.0).unwrap().at,
        |t| Interpolant::lipman2022(t, 0.0).unwrap().at,
        |t| Interpolant::trigonometric(t).unwrap().at,
        |t| Interpolant::bridge(t, 0.0).unwrap().at,
    ] {
        let (start, end) = (path(0.0), path(1.0));
        assert_eq!((start.data, start.source, start.noise), (1.0, 0.0, 0.0));
        assert!(end.data.abs() < 1e-15);
        assert_eq!((end.source, end.noise), (1.0, 0.0));
    }
    assert_eq!(Interpolant::lipman2022(0.0, 0.1).unwrap().at.source, 0.1);
    let kernel = Kernel::new(0.6, 0.8).unwrap();
    let rates = Rates {
        alpha: -1.5,
        sigma: 2.0,
    };
    let affine = Interpolant::affine(kernel, rates).unwrap();
    assert_eq!((affine.at.data, affine.at.source), (0.6, 0.8));
    assert_eq!((affine.rate.data, affine.rate.source), (-1.5, 2.0));
}

#[test]
fn the_noise_of_a_bridge_moves_as_its_conditional_flow() {
    // The velocity as it is usually written: (1 − 2t)/(2t(1 − t)) (x − mean) + x₁ − x₀.
    let (x0, x1, z, t) = (0.3, -1.2, 0.8, 0.2);
    let point = Interpolant::bridge(t, 0.5).unwrap();
    let of = |s: score_objective::Shares| s.data * x0 + s.source * x1 + s.noise * z;
    let mean = (1.0 - t) * x0 + t * x1;
    let flow = (1.0 - 2.0 * t) / (2.0 * t * (1.0 - t)) * (of(point.at) - mean) + x1 - x0;
    assert!((of(point.rate) - flow).abs() < 1e-14);
}

#[test]
fn bad_interpolants_are_refused() {
    assert!(Interpolant::straight(1.5, 0.0).is_err());
    assert!(Interpolant::straight(0.5, -0.1).is_err());
    assert!(Interpolant::trigonometric(f64::NAN).is_err());
    assert!(Interpolant::lipman2022(0.5, 1.5).is_err());
    for t in [0.0, 1.0] {
        assert_eq!(Interpolant::bridge(t, 0.1), Err(Error::BridgeEnd { t }));
    }
    let infinite = Rates {
        alpha: 0.0,
        sigma: f64::INFINITY,
    };
    assert!(Interpolant::affine(Kernel::CLEAN, infinite).is_err());
}

proptest! {
    #[test]
    fn one_step_to_the_progressive_target_is_two_steps(
        angles in [0.02..1.5_f64, 0.02..1.5, 0.02..1.5],
        scale in 0.5..2.0,
        (x, first, second) in (-2.0..2.0, -2.0..2.0, -2.0..2.0),
    ) {
        let mut angles = angles;
        angles.sort_by(|a, b| b.total_cmp(a));
        prop_assume!(1e-2 < angles[0] - angles[1] && 1e-2 < angles[1] - angles[2]);
        let [start, middle, end] =
            angles.map(|a| Kernel::new(scale * a.cos(), a.sin()).unwrap());
        let step = |x: f64, denoised: f64, from: Kernel, to: Kernel| {
            to.alpha() * denoised + to.sigma() / from.sigma() * (x - from.alpha() * denoised)
        };
        let twice = step(step(x, first, start, middle), second, middle, end);
        let (a, b) = progressive_shares(start, middle, end).unwrap();
        let once = step(x, a * first + b * second, start, end);
        prop_assert!((once - twice).abs() < 1e-12 * (1.0 + twice.abs()), "{} {}", once, twice);
    }
}

#[test]
fn the_ends_of_progressive_distillation_are_finite() {
    let noise = Kernel::new(0.0, 1.0).unwrap();
    let middle = Kernel::new(0.6, 0.8).unwrap();
    assert_eq!(
        progressive_shares(noise, middle, Kernel::CLEAN),
        Ok((0.0, 1.0))
    );
    let (a, b) = progressive_shares(noise, middle, Kernel::new(0.8, 0.6).unwrap()).unwrap();
    assert!((a - 0.5625).abs() < 1e-15 && (a + b - 1.0).abs() < 1e-15);
    assert!(matches!(
        progressive_shares(middle, middle, Kernel::CLEAN),
        Err(Error::NoiseMustFall { .. })
    ));
    assert!(progressive_shares(noise, Kernel::CLEAN, Kernel::CLEAN).is_err());
}
