//! How often each interval holds what it should.

use paired_stats::{
    Error, Interval, Looks, anytime_t, bca, bootstrap_t, clopper_pearson, max_t, paired_t,
    percentile, sd_interval,
};
use rand::Rng;

use super::looks::{SEEDS, SHAPE, WEIGHT};
use super::study::{Shape, depths, normal};
use super::{Figure, Rule, share, share_of, simulate};

/// 95 % ± 1 %.
const COVERAGE: Rule = Rule::Near(0.95, 0.01);

/// Resamples of a bootstrap here; a report takes 10 000.
const RESAMPLES: usize = 999;

/// Coverage of paired t, percentile and BCa intervals, by shape.
///
/// Normal and t3 from 2000 studies; lognormal by another program (NumPy), t from 400 000 studies and the
/// others from 4000.
const TABLE: [(usize, [[f64; 3]; 3]); 6] = [
    (
        3,
        [
            [0.948, 0.748, 0.716],
            [0.961, 0.748, 0.710],
            [0.838, 0.639, 0.619],
        ],
    ),
    (
        5,
        [
            [0.949, 0.839, 0.842],
            [0.962, 0.825, 0.811],
            [0.820, 0.720, 0.739],
        ],
    ),
    (
        8,
        [
            [0.947, 0.884, 0.881],
            [0.964, 0.870, 0.849],
            [0.831, 0.773, 0.799],
        ],
    ),
    (
        10,
        [
            [0.944, 0.905, 0.899],
            [0.959, 0.883, 0.853],
            [0.839, 0.814, 0.837],
        ],
    ),
    (
        20,
        [
            [0.947, 0.925, 0.925],
            [0.958, 0.926, 0.893],
            [0.868, 0.864, 0.878],
        ],
    ),
    (
        30,
        [
            [0.951, 0.936, 0.936],
            [0.956, 0.931, 0.907],
            [0.882, 0.884, 0.900],
        ],
    ),
];

/// Coverage of bootstrap-t intervals, by shape, from the same studies.
const BOOTSTRAP_T: [(usize, [f64; 3]); 4] = [
    (5, [0.951, 0.941, 0.895]),
    (8, [0.951, 0.933, 0.899]),
    (10, [0.955, 0.945, 0.912]),
    (20, [0.956, 0.924, 0.924]),
];

pub(super) fn figures(studies: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    for n in [3, 5, 8, 10, 20, 30] {
        figures.push(share(
            format!("paired t, {n} seeds"),
            COVERAGE,
            studies,
            200,
            |rng| paired_t(&normal(0.7, n, rng), 0.95).unwrap().contains(0.7),
        ));
    }
    for (n, mean) in [(8, 0.7), (10, 0.0), (10, 10.0)] {
        figures.push(share(
            format!("max-T band over four depths, {n} seeds, d = {mean}"),
            COVERAGE,
            studies,
            201,
            |rng| {
                let mut family = depths(4, n, rng);
                family.iter_mut().flatten().for_each(|v| *v += mean);
                let band = max_t(&family).unwrap().intervals(0.95).unwrap();
                band.iter().all(|interval| interval.contains(mean))
            },
        ));
    }
    let looks = Looks::wang_tsiatis(&SEEDS, SHAPE).unwrap();
    let confidences: Vec<(usize, f64)> = (0..SEEDS.len())
        .map(|k| (SEEDS[k], 1.0 - looks.look(k).level(0.05).unwrap()))
        .collect();
    figures.push(share(
        "repeated t at all of three looks",
        COVERAGE,
        studies,
        202,
        |rng| {
            let values = normal(0.7, 30, rng);
            confidences
                .iter()
                .all(|(n, c)| paired_t(&values[..*n], *c).unwrap().contains(0.7))
        },
    ));
    figures.push(share(
        "anytime t at each of 2 to 30 seeds",
        Rule::AtLeast(0.95),
        studies / 2,
        203,
        |rng| {
            let values = normal(0.7, 30, rng);
            (2..=30).all(|n| match anytime_t(&values[..n], 0.95, WEIGHT) {
                Ok(interval) => interval.contains(0.7),
                Err(Error::Unbounded { .. }) => true,
                Err(error) => panic!("{error}"),
            })
        },
    ));
    for n in [4, 10] {
        figures.push(share(
            format!("standard deviation of a pilot of {n}"),
            COVERAGE,
            studies,
            204,
            |rng| {
                let pilot = paired_t(&normal(0.0, n, rng), 0.95).unwrap();
                let sd = pilot.standard_error * (n as f64).sqrt();
                let (low, high) = sd_interval(sd, n, 0.95).unwrap();
                (low..=high).contains(&1.0)
            },
        ));
    }
    figures.push(share(
        "Clopper-Pearson, 10 runs that diverge at 20 %",
        Rule::AtLeast(0.95),
        studies,
        205,
        |rng| {
            let failures = (0..10).filter(|_| rng.random_bool(0.2)).count() as u64;
            let (low, high) = clopper_pearson(failures, 10, 0.95).unwrap();
            (low..=high).contains(&0.2)
        },
    ));
    figures
}

/// The table that the choice of the primary interval rests on.
pub(super) fn bootstrap(studies: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    // A bootstrap is a thousand times dearer than a t interval.
    let studies = studies / 10;
    let holds = |interval: Result<Interval, Error>, mean: f64| match interval {
        Ok(interval) => interval.contains(mean),
        Err(Error::Unbounded { .. }) => true,
        Err(error) => panic!("{error}"),
    };
    for (n, rows) in TABLE {
        for (shape, expected) in Shape::ALL.into_iter().zip(rows) {
            let found = simulate(studies, 210, |rng| {
                let values = shape.contrasts(n, rng);
                let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
                [
                    holds(paired_t(&values, 0.95), shape.mean()),
                    holds(
                        percentile(&values, mean, 0.95, RESAMPLES, rng),
                        shape.mean(),
                    ),
                    holds(bca(&values, mean, 0.95, RESAMPLES, rng), shape.mean()),
                ]
            });
            for (i, method) in ["paired t", "percentile", "BCa"].into_iter().enumerate() {
                let column: Vec<bool> = found.iter().map(|holds| holds[i]).collect();
                figures.push(share_of(
                    format!("{method}, {n} seeds, {}", shape.words()),
                    tabled(expected[i]),
                    &column,
                ));
            }
        }
    }
    for (n, expected) in BOOTSTRAP_T {
        for (shape, expected) in Shape::ALL.into_iter().zip(expected) {
            figures.push(share(
                format!("bootstrap-t, {n} seeds, {}", shape.words()),
                tabled(expected),
                studies,
                211,
                |rng| {
                    let values = shape.contrasts(n, rng);
                    holds(bootstrap_t(&values, 0.95, RESAMPLES, rng), shape.mean())
                },
            ));
        }
    }
    figures
}

/// A share that was tabled from 2000 studies: three of its standard errors, and one point.
fn tabled(expected: f64) -> Rule {
    let error = (expected * (1.0 - expected) / 2000.0).sqrt();
    Rule::Near(expected, 3.0 * error + 0.01)
}
