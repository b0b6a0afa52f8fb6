//! How often each test rejects where nothing is.

use paired_stats::{
    Looks, Method, benjamini_hochberg, bootstrap_t, holm, log_e_value, max_t, mcnemar_exact,
    sign_flip, t_test, tost,
};
use rand::Rng;

use super::looks::{SEEDS, SHAPE, WEIGHT};
use super::study::{Shape, depths, normal};
use super::{Figure, Rule, share, share_of, simulate};

/// 5 % ± 1 %.
const LEVEL: Rule = Rule::Near(0.05, 0.01);

pub(super) fn figures(studies: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    for n in [5, 8, 10, 30] {
        figures.push(share(
            format!("t test, {n} seeds"),
            LEVEL,
            studies,
            100,
            |rng| t_test(&normal(0.0, n, rng), 0.0).unwrap() <= 0.05,
        ));
    }
    // p is a multiple of 2^(1 − n): the level attained is the largest of them up to 5 %.
    for n in [5, 6, 8, 10, 16] {
        let unit = 0.5_f64.powi(n as i32 - 1);
        let attained = (0.05 / unit).floor() * unit;
        for shape in [Shape::Normal, Shape::HeavyTail] {
            figures.push(share(
                format!("sign-flip, {n} seeds, {}", shape.words()),
                Rule::Near(attained, 0.01),
                studies,
                101,
                |rng| sign_flip(&shape.contrasts(n, rng)).unwrap().p <= 0.05,
            ));
        }
    }
    for n in [8, 10, 20] {
        figures.push(share(
            format!("bootstrap-t, {n} seeds"),
            LEVEL,
            studies / 2,
            102,
            |rng| {
                let values = normal(0.0, n, rng);
                let interval = bootstrap_t(&values, 0.95, 999, rng).unwrap();
                debug_assert_eq!(interval.method, Method::BootstrapT);
                !interval.contains(0.0)
            },
        ));
    }
    for n in [8, 20] {
        figures.push(share(
            format!("TOST where the effect is delta, {n} seeds"),
            LEVEL,
            studies,
            103,
            |rng| tost(&normal(2.0, n, rng), 2.0, 0.05).unwrap().equivalent,
        ));
    }
    let looks = Looks::wang_tsiatis(&SEEDS, SHAPE).unwrap();
    let levels = SEEDS.map(|n| {
        let index = SEEDS.iter().position(|m| *m == n).unwrap();
        (n, looks.look(index).level(0.05).unwrap())
    });
    figures.push(share("t test, three looks", LEVEL, studies, 104, |rng| {
        let values = normal(0.0, 30, rng);
        levels
            .iter()
            .any(|(n, level)| t_test(&values[..*n], 0.0).unwrap() <= *level)
    }));
    figures.push(share(
        "t e-process, after each of 2 to 30 seeds",
        Rule::AtMost(0.05),
        studies / 2,
        105,
        |rng| {
            let values = normal(0.0, 30, rng);
            (2..=30).any(|n| 20.0_f64.ln() <= log_e_value(&values[..n], 0.0, WEIGHT).unwrap())
        },
    ));
    figures.push(share(
        "McNemar, 12 pairs that diverge at 30 %",
        Rule::AtMost(0.06),
        studies,
        106,
        |rng| {
            let (mut b, mut c) = (0, 0);
            for _ in 0..12 {
                match (rng.random_bool(0.3), rng.random_bool(0.3)) {
                    (true, false) => b += 1,
                    (false, true) => c += 1,
                    _ => {}
                }
            }
            mcnemar_exact(b, c) <= 0.05
        },
    ));
    figures.extend(families(studies));
    figures
}

/// Families of four contrasts of which none is: how often any is rejected.
fn families(studies: usize) -> Vec<Figure> {
    let any = simulate(studies, 107, |rng| {
        let family = depths(4, 8, rng);
        let flips: Vec<f64> = family.iter().map(|c| sign_flip(c).unwrap().p).collect();
        let by_t: Vec<f64> = family.iter().map(|c| t_test(c, 0.0).unwrap()).collect();
        let rejects = |p: &[f64]| p.iter().any(|p| *p <= 0.05);
        [
            rejects(&max_t(&family).unwrap().adjusted_p),
            rejects(&holm(&flips)),
            rejects(&holm(&by_t)),
            rejects(&benjamini_hochberg(&by_t)),
        ]
    });
    let column = |i: usize| any.iter().map(|hits| hits[i]).collect::<Vec<bool>>();
    vec![
        share_of(
            "any of four depths, max-T, 8 seeds",
            Rule::Near(6.0 / 128.0, 0.01),
            &column(0),
        ),
        share_of(
            "any of four depths, Holm by flips",
            Rule::AtMost(0.06),
            &column(1),
        ),
        share_of(
            "any of four depths, Holm by t",
            Rule::AtMost(0.06),
            &column(2),
        ),
        share_of(
            "any of four depths, Benjamini-Hochberg by t",
            Rule::AtMost(0.06),
            &column(3),
        ),
    ]
}
