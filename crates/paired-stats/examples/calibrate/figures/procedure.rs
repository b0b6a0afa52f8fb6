//! The whole procedure, from contrasts to verdicts: how often a study says something that is wrong.

use paired_stats::{
    Direction, Evidence, Expectation, Look, Looks, Member, Refutation, TwoByTwo, Verdict, decide,
    share, sign_flip,
};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::looks::{SEEDS, SHAPE};
use super::{Figure, Rule, share_of, simulate};

/// The family-wise level, and what the issue lets a simulation add to it.
const WRONG: Rule = Rule::AtMost(0.06);

/// The largest metric that a run can have; a diverged one takes it.
const WORST: f64 = 4.0;

/// A registered contrast and the truth about it, in standard deviations of the contrast where nothing diverges; a
/// diverged run counts with its worst value.
#[derive(Clone, Copy, Debug)]
struct Claim {
    expectation: Expectation,
    truth: f64,
}

/// A synthetic study: claims on skip, noise and interaction, probe after probe.
#[derive(Clone, Debug)]
struct Study {
    claims: Vec<Claim>,
    /// Share of runs that diverge in each arm: without both, with the second factor, with the first, with both.
    diverge: [f64; 4],
}

/// The contrasts of each claim, one per seed, and the seeds in which nothing diverged.
struct Seeds {
    columns: Vec<Vec<f64>>,
    calm: Vec<bool>,
}

fn claim(direction: Direction, delta: f64, truth: f64) -> Claim {
    Claim {
        expectation: Expectation { direction, delta },
        truth,
    }
}

impl Study {
    fn of(claims: Vec<Claim>) -> Self {
        Self {
            claims,
            diverge: [0.0; 4],
        }
    }

    /// The same with runs that diverge.
    fn diverging(self, diverge: [f64; 4]) -> Self {
        Self { diverge, ..self }
    }

    /// Skip, noise and half of the interaction: each with standard deviation 1 where nothing diverges.
    fn contrasts([y00, y01, y10, y11]: [f64; 4]) -> [f64; 3] {
        let effects = TwoByTwo { y00, y01, y10, y11 }.effects();
        [effects.skip, effects.noise, 0.5 * effects.interaction]
    }

    /// What divergence alone makes of each contrast.
    fn shift(&self) -> [f64; 3] {
        Self::contrasts(self.diverge.map(|share| share * WORST))
    }

    /// 2×2 after 2×2; the three contrasts of a probe share its cells, and the probes share a part.
    fn draw(&self, n: usize, rng: &mut ChaCha8Rng) -> Seeds {
        let mut columns = vec![Vec::with_capacity(n); self.claims.len()];
        let mut calm = Vec::with_capacity(n);
        let shift = self.shift();
        for _ in 0..n {
            let shared: [f64; 4] = std::array::from_fn(|_| rng.sample(StandardNormal));
            let mut diverged = false;
            for probe in 0..self.claims.len().div_ceil(3) {
                let runs = std::array::from_fn(|arm| {
                    let own: f64 = rng.sample(StandardNormal);
                    let run = (0.3 * shared[arm] + own) / 1.09_f64.sqrt();
                    let diverges = rng.random_bool(self.diverge[arm]);
                    diverged |= diverges;
                    if diverges { WORST } else { run }
                });
                for (i, value) in Self::contrasts(runs).into_iter().enumerate() {
                    if let Some(claim) = self.claims.get(3 * probe + i) {
                        columns[3 * probe + i].push(value - shift[i] + claim.truth);
                    }
                }
            }
            calm.push(!diverged);
        }
        Seeds { columns, calm }
    }

    /// The verdicts on the first `n` seeds.
    fn judge(&self, seeds: &Seeds, n: usize, look: Option<Look<'_>>) -> Vec<Verdict> {
        let members: Vec<Member<'_>> = self
            .claims
            .iter()
            .zip(&seeds.columns)
            .map(|(claim, values)| Member {
                expectation: claim.expectation,
                values: &values[..n],
                flip: sign_flip(&values[..n]).ok(),
            })
            .collect();
        let shares = share(&members, 0.05, look).unwrap();
        members
            .iter()
            .zip(shares)
            .map(|(member, share)| {
                let calm: Vec<f64> = member
                    .values
                    .iter()
                    .zip(&seeds.calm)
                    .filter_map(|(value, calm)| calm.then_some(*value))
                    .collect();
                let evidence = Evidence {
                    values: member.values,
                    adjusted_p: share.adjusted_p,
                    alpha: 0.05,
                    confidence: share.confidence,
                    validity: vec![],
                    planned_seeds: n,
                    minimum_seeds: 8,
                    sensitivity: (calm.len() < n).then_some(&calm),
                    condition: None,
                };
                decide(&member.expectation, &evidence)
            })
            .collect()
    }

    /// The verdicts that the study ends with: at `n` seeds, or each at the first look that decides it.
    fn end(&self, plan: &Plan, rng: &mut ChaCha8Rng) -> Vec<Verdict> {
        match plan {
            Plan::Once(n) => self.judge(&self.draw(*n, rng), *n, None),
            Plan::Looks(looks) => {
                let seeds = self.draw(looks.seeds()[looks.seeds().len() - 1], rng);
                let open = |v: &Verdict| matches!(v, Verdict::Inconclusive { .. });
                let mut verdicts: Vec<Verdict> = Vec::new();
                for index in 0..looks.seeds().len() {
                    let look = looks.look(index);
                    let mut found = self.judge(&seeds, look.seeds(), Some(look));
                    // What an earlier look decided stays decided.
                    for (found, before) in found.iter_mut().zip(&verdicts) {
                        if !open(before) {
                            found.clone_from(before);
                        }
                    }
                    verdicts = found;
                    if !verdicts.iter().any(open) {
                        break;
                    }
                }
                verdicts
            }
        }
    }
}

/// When a study is looked at.
enum Plan {
    Once(usize),
    Looks(Looks),
}

/// Whether a verdict says what is not so.
fn wrong(claim: &Claim, verdict: &Verdict) -> bool {
    let Expectation { direction, delta } = claim.expectation;
    let truth = match direction {
        Direction::Lower => -claim.truth,
        Direction::Higher | Direction::Equal => claim.truth,
    };
    let inside = truth.abs() < delta;
    match (verdict, direction) {
        (Verdict::Supported | Verdict::SupportedUnder { .. }, Direction::Equal) => !inside,
        (Verdict::Supported | Verdict::SupportedUnder { .. }, _) => truth <= delta,
        (Verdict::Refuted(Refutation::Different), _) => inside,
        (Verdict::Refuted(Refutation::Reversed), _) => -delta <= truth,
        (Verdict::Refuted(Refutation::Negligible), _) => !inside,
        (Verdict::Refuted(Refutation::TooSmall), _) => delta < truth,
        _ => false,
    }
}

pub(super) fn figures(studies: usize) -> Vec<Figure> {
    use Direction::{Equal, Higher, Lower};
    // Just beyond and just short of a bound.
    let (beyond, short) = (1.0 + 1e-9, 1.0 - 1e-9);
    let thrice = |claim: Claim| Study::of(vec![claim; 3]);
    let six = |claim: Claim| Study::of(vec![claim; 6]);
    let scenes = [
        ("no effect, delta 0", thrice(claim(Higher, 0.0, 0.0))),
        ("no effect, delta 1 sd", thrice(claim(Lower, 1.0, 0.0))),
        (
            "three just short of delta",
            thrice(claim(Higher, 1.0, short)),
        ),
        (
            "three just beyond delta",
            thrice(claim(Lower, 1.0, -beyond)),
        ),
        (
            "three just short of -delta",
            thrice(claim(Higher, 1.0, -short)),
        ),
        (
            "three just beyond -delta",
            thrice(claim(Higher, 1.0, -beyond)),
        ),
        ("three not quite equal", thrice(claim(Equal, 1.0, beyond))),
        ("three just equal", thrice(claim(Equal, 1.0, short))),
        ("six just short of delta", six(claim(Higher, 1.0, short))),
        ("six just beyond delta", six(claim(Higher, 1.0, beyond))),
        (
            "strong, just short, just unequal",
            Study::of(vec![
                claim(Higher, 1.0, 4.0),
                claim(Lower, 1.0, -short),
                claim(Equal, 1.0, beyond),
            ]),
        ),
        (
            "no effect, 5 % of runs diverge",
            thrice(claim(Higher, 0.0, 0.0)).diverging([0.05; 4]),
        ),
        (
            "no effect, one arm diverges",
            thrice(claim(Higher, 0.0, 0.0)).diverging([0.3, 0.0, 0.0, 0.0]),
        ),
        (
            "short of delta, one arm diverges",
            thrice(claim(Higher, 1.0, short)).diverging([0.3, 0.0, 0.0, 0.0]),
        ),
        (
            "beyond -delta, one arm diverges",
            thrice(claim(Higher, 1.0, -beyond)).diverging([0.3, 0.0, 0.0, 0.0]),
        ),
        (
            "beyond delta, two arms diverge",
            thrice(claim(Lower, 1.0, -beyond)).diverging([0.2, 0.0, 0.6, 0.0]),
        ),
        (
            "just equal, one arm diverges",
            thrice(claim(Equal, 1.0, short)).diverging([0.3, 0.0, 0.0, 0.0]),
        ),
    ];
    let looks = Looks::wang_tsiatis(&SEEDS, SHAPE).unwrap();
    let plans = [
        ("8 seeds", Plan::Once(8), studies / 5),
        ("16 seeds", Plan::Once(16), studies / 5),
        ("three looks", Plan::Looks(looks), studies / 10),
    ];
    let mut figures = Vec::new();
    for (words, plan, studies) in &plans {
        for (scene, study) in &scenes {
            let found = simulate(*studies, 500, |rng| {
                let verdicts = study.end(plan, rng);
                study.claims.iter().zip(&verdicts).any(|(c, v)| wrong(c, v))
            });
            figures.push(share_of(format!("{scene}, {words}"), WRONG, &found));
        }
    }
    // Runs diverge where the first factor is on, and nothing else happens: with their worst values it is an effect, and
    // the seeds that are left must bear it out before it is one of the factor.
    let mut alone = Study::of(vec![claim(Higher, 0.0, 0.0)]).diverging([0.0, 0.0, 0.3, 0.3]);
    alone.claims[0].truth = alone.shift()[0];
    let found = simulate(studies / 10, 502, |rng| {
        let verdicts = alone.end(&Plan::Once(30), rng);
        matches!(verdicts[0], Verdict::Supported)
    });
    let name = "divergence alone SUPPORTED, 30 seeds";
    figures.push(share_of(name, WRONG, &found));
    // A procedure that never says anything is never wrong.
    for (words, plan, studies) in &plans {
        for (scene, study, power) in [
            (
                "three of 3.5 sd: all SUPPORTED",
                thrice(claim(Higher, 1.0, 3.5)),
                0.9,
            ),
            (
                "three of nothing: all REFUTED",
                thrice(claim(Higher, 2.0, 0.0)),
                0.9,
            ),
        ] {
            let right = simulate(*studies, 501, |rng| {
                let verdicts = study.end(plan, rng);
                let decided = |v: &Verdict| !matches!(v, Verdict::Inconclusive { .. });
                verdicts.iter().all(decided)
                    && !study.claims.iter().zip(&verdicts).any(|(c, v)| wrong(c, v))
            });
            figures.push(share_of(
                format!("{scene}, {words}"),
                Rule::AtLeast(power),
                &right,
            ));
        }
    }
    figures
}
