//! Figures by simulation: what a method does in synthetic studies, beside what it should do.

mod coverage;
mod level;
mod looks;
mod power;
mod procedure;
mod study;

use std::fmt;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// A number found by simulation, and what it has to be.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What was simulated.
    pub(crate) name: String,
    /// Synthetic studies.
    pub(crate) studies: usize,
    /// What came out: a share of studies, or a mean over them.
    pub(crate) found: f64,
    /// Standard error of that.
    pub(crate) error: f64,
    /// What has to come out.
    pub(crate) rule: Rule,
}

/// What has to come out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// This, give or take.
    Near(f64, f64),
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

impl Figure {
    /// Whether the rule is kept, give or take so many standard errors.
    pub(crate) fn passes(&self, errors: f64) -> bool {
        let slack = errors * self.error;
        match self.rule {
            Rule::Near(expected, tolerance) => (self.found - expected).abs() <= tolerance + slack,
            Rule::AtMost(limit) => self.found <= limit + slack,
            Rule::AtLeast(limit) => limit - slack <= self.found,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = match self.rule {
            Rule::Near(expected, tolerance) => format!("{expected:.3} ± {tolerance:.3}"),
            Rule::AtMost(limit) => format!("<= {limit:.3}"),
            Rule::AtLeast(limit) => format!(">= {limit:.3}"),
        };
        let (name, studies, found) = (&self.name, self.studies, self.found);
        write!(f, "  {name:<46}{studies:>6}{wanted:>16}{found:>9.4}")
    }
}

/// A chapter of figures, made from so many studies as its argument says, more or less.
pub(crate) type Chapter = (&'static str, fn(usize) -> Vec<Figure>);

/// All chapters.
pub(crate) const CHAPTERS: [Chapter; 6] = [
    ("true nulls rejected at 5 %", level::figures),
    ("nominal 95 % intervals that cover", coverage::figures),
    (
        "nominal 95 % bootstrap intervals that cover",
        coverage::bootstrap,
    ),
    ("power at 5 %, two-sided", power::figures),
    ("looking more than once", looks::figures),
    (
        "studies with a wrong verdict, whole procedure",
        procedure::figures,
    ),
];

/// Runs `studies` of them, each with a generator of its own, so that threads change nothing.
fn simulate<T: Send>(
    studies: usize,
    seed: u64,
    study: impl Fn(&mut ChaCha8Rng) -> T + Sync,
) -> Vec<T> {
    (0..studies as u64)
        .into_par_iter()
        .map(|index| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(index);
            study(&mut rng)
        })
        .collect()
}

/// The share of studies in which `happens` is true.
fn share(
    name: impl Into<String>,
    rule: Rule,
    studies: usize,
    seed: u64,
    happens: impl Fn(&mut ChaCha8Rng) -> bool + Sync,
) -> Figure {
    let hits = simulate(studies, seed, happens);
    share_of(name, rule, &hits)
}

/// The share of these that are true.
fn share_of(name: impl Into<String>, rule: Rule, hits: &[bool]) -> Figure {
    let studies = hits.len();
    let found = hits.iter().filter(|hit| **hit).count() as f64 / studies as f64;
    Figure {
        name: name.into(),
        studies,
        found,
        // At 0 or 1 the error is that of one study that went the other way.
        error: (found * (1.0 - found) / studies as f64)
            .sqrt()
            .max(1.0 / studies as f64),
        rule,
    }
}

/// The mean of these.
fn mean_of(name: impl Into<String>, rule: Rule, values: &[f64]) -> Figure {
    let n = values.len() as f64;
    let found = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - found).powi(2)).sum();
    Figure {
        name: name.into(),
        studies: values.len(),
        found,
        error: squares.sqrt() / n,
        rule,
    }
}
