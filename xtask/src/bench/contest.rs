//! Which work is compared with whom, by how much ours is to be ahead, and what a contest found.

use serde::{Deserialize, Serialize};

use crate::bench::judge::median;

/// One work that both sides do.
#[derive(Debug)]
pub(crate) struct Contest {
    /// Its row of `ablate bench-work` and of `peers/work.py`.
    pub(crate) row: &'static str,
    /// The work in words.
    pub(crate) work: &'static str,
    /// How ours is run: the words of the table, and the arguments. The first one's answers are those that all others are
    /// compared with, the rest of ours within [`SINGLE`].
    pub(crate) ours: &'static [(&'static str, &'static [&'static str])],
    /// The others: how they are run, and how far their answers may lie from ours.
    pub(crate) others: &'static [(&'static str, f64)],
    /// What is claimed.
    pub(crate) claims: Vec<Claim>,
}

/// Ours against the best of some.
#[derive(Debug)]
pub(crate) struct Claim {
    /// What the claim is about, where the work alone does not say it.
    pub(crate) about: &'static str,
    /// Which of ours, by its words.
    pub(crate) ours: &'static str,
    /// Which of the others; the fastest counts.
    pub(crate) others: &'static [&'static str],
    /// Their seconds over ours must be at least this; absent where it is told and not claimed.
    pub(crate) goal: Option<f64>,
    /// What to reach for.
    pub(crate) reach: Option<f64>,
}

/// Answers in single precision, computed in another order and trained three steps.
pub(crate) const SINGLE: f64 = 2e-3;

/// Answers with eight bits.
const BF16: f64 = 0.06;

/// The first argument list is that of a single piece of work on all threads.
const ONE: (&str, &[&str]) = ("f32", &[]);

/// The same in bfloat16.
const ROUNDED: (&str, &[&str]) = ("bf16", &["--precision", "bf16"]);

/// Every contest, in the order of the table.
pub(crate) fn contests() -> Vec<Contest> {
    vec![
        Contest {
            row: "unet",
            work: "U-Net training step, 32×32, channels 32-64-64, batch 64",
            ours: &[ONE, ROUNDED],
            others: &[
                ("eager", SINGLE),
                ("compile", SINGLE),
                ("eager+bf16", BF16),
                ("compile+bf16", BF16),
            ],
            claims: vec![
                claim("bf16", "bf16", &["eager+bf16"], 1.3, 2.0),
                claim("bf16", "bf16", &["compile+bf16"], 1.2, 1.8),
                claim("bf16", "bf16", &["eager"], 2.5, 4.0),
                claim("strict f32", "f32", &["eager"], 1.0, 1.2),
                claim("strict f32", "f32", &["compile"], 0.95, 1.1),
            ],
        },
        Contest {
            row: "unet-attention",
            work: "the same with attention",
            ours: &[ONE, ROUNDED],
            others: &[("eager+bf16", BF16)],
            claims: vec![claim("bf16", "bf16", &["eager+bf16"], 1.2, 1.5)],
        },
        mlp(
            "mlp4",
            "residual-MLP step, width 128, batch 512, 4 hidden layers",
        ),
        mlp(
            "mlp16",
            "residual-MLP step, width 128, batch 512, 16 hidden layers",
        ),
        Contest {
            row: "grid",
            work: "grid of 2×2×4 cells, 8 hidden layers, 500 steps, wall time",
            ours: &[("2 workers", &[])],
            others: &[("loop", SINGLE), ("pool", SINGLE)],
            claims: vec![
                claim("", "2 workers", &["loop"], 2.5, 5.0),
                claim("", "2 workers", &["pool"], 1.7, 4.0),
            ],
        },
        Contest {
            row: "sampling",
            work: "sampling, 64 images, 20 steps",
            ours: &[ONE, ROUNDED],
            others: &[("eager", 0.01), ("eager+bf16", 0.3), ("compile+bf16", 0.3)],
            claims: vec![
                claim("bf16", "bf16", &["eager+bf16"], 1.3, 2.0),
                claim("bf16", "bf16", &["compile+bf16"], 1.0, 1.0),
                told("strict f32", "f32", &["eager"]),
            ],
        },
        solver(
            "solver-ddim",
            "a solver's own cost per step, 64×1×32×32: DDIM",
        ),
        solver(
            "solver-dpm",
            "a solver's own cost per step, 64×1×32×32: DPM-Solver++(2M)",
        ),
        score(
            "score2d",
            "exact mixture score, 2-D, 40 components, 10⁶ points",
            6.0,
            6.0,
        ),
        score(
            "score64d",
            "exact mixture score, 64-D, 1024 components, 10⁵ points",
            1.8,
            2.5,
        ),
        Contest {
            row: START,
            work: "start to the first finished U-Net training step",
            ours: &[ONE],
            others: &[("compile", SINGLE)],
            claims: vec![claim(
                "its compiler's cache warm",
                "f32",
                &["compile"],
                10.0,
                10.0,
            )],
        },
    ]
}

/// The one row that is started anew for each pass, and timed until it is ready.
pub(crate) const START: &str = "start";

fn mlp(row: &'static str, work: &'static str) -> Contest {
    Contest {
        row,
        work,
        ours: &[("one cell", &[]), ("two cells", &["--spread", "two"])],
        others: &[("eager", SINGLE), ("compile", SINGLE)],
        claims: vec![
            claim("one cell", "one cell", &["compile"], 1.1, 1.1),
            claim(
                "two cells at once, per step",
                "two cells",
                &["compile"],
                1.4,
                3.0,
            ),
            told("one cell", "one cell", &["eager"]),
        ],
    }
}

fn solver(row: &'static str, work: &'static str) -> Contest {
    Contest {
        row,
        work,
        ours: &[ONE],
        others: &[("scheduler", 1e-4)],
        claims: vec![claim("", "f32", &["scheduler"], 10.0, 10.0)],
    }
}

fn score(row: &'static str, work: &'static str, goal: f64, reach: f64) -> Contest {
    Contest {
        row,
        work,
        ours: &[("f64", &[]), ("f32", &["--numbers", "f32"])],
        others: &[
            ("numpy", SINGLE),
            ("eager", SINGLE),
            ("compile", SINGLE),
            ("numpy+f64", 1e-9),
            ("compile+f64", 1e-9),
        ],
        claims: vec![
            claim("", "f32", &["numpy", "eager", "compile"], goal, reach),
            told("both f64", "f64", &["numpy+f64", "compile+f64"]),
        ],
    }
}

const fn claim(
    about: &'static str,
    ours: &'static str,
    others: &'static [&'static str],
    goal: f64,
    reach: f64,
) -> Claim {
    Claim {
        about,
        ours,
        others,
        goal: Some(goal),
        reach: Some(reach),
    }
}

const fn told(about: &'static str, ours: &'static str, others: &'static [&'static str]) -> Claim {
    Claim {
        about,
        ours,
        others,
        goal: None,
        reach: None,
    }
}

/// What one side took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Times {
    /// How it is run.
    pub(crate) how: String,
    /// The libtorch that it ran with, and for which instructions that picked its kernels.
    pub(crate) libtorch: Option<String>,
    /// Seconds of a unit, pass by pass.
    pub(crate) passes: Vec<f64>,
    /// How far its answers lie from the first of ours, over the largest of them; absent where that is no number.
    pub(crate) apart: Option<f64>,
    /// Whether that is as near as it must be.
    pub(crate) agrees: bool,
}

impl Times {
    fn median(&self) -> f64 {
        median(self.passes.clone()).unwrap_or(f64::NAN)
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The work, and what the claim is about.
    pub(crate) work: String,
    /// Which of ours.
    pub(crate) ours: String,
    /// Which of the others was fastest.
    pub(crate) other: String,
    /// Median seconds: ours, theirs.
    pub(crate) medians: [f64; 2],
    /// Their median over ours.
    pub(crate) ratio: f64,
    /// Least and largest of the passes' own ratios.
    pub(crate) spread: [f64; 2],
    /// What was claimed.
    pub(crate) goal: Option<f64>,
    /// What to reach for.
    pub(crate) reach: Option<f64>,
    /// Whether both compute what the first of ours does.
    pub(crate) agrees: bool,
}

impl Line {
    /// Whether the claim holds; nothing where none was made.
    pub(crate) fn holds(&self) -> Option<bool> {
        Some(self.agrees && self.goal? <= self.ratio)
    }
}

/// The lines of a contest, of what its sides took.
pub(crate) fn lines(contest: &Contest, ours: &[Times], others: &[Times]) -> Vec<Line> {
    let named = |times: &'_ [Times], how: &str| times.iter().position(|one| one.how == how);
    let mut lines = Vec::new();
    for claim in &contest.claims {
        let Some(mine) = named(ours, claim.ours).map(|place| &ours[place]) else {
            continue;
        };
        let rivals = claim.others.iter().filter_map(|how| named(others, how));
        let fastest = rivals
            .map(|place| &others[place])
            .min_by(|a, b| a.median().total_cmp(&b.median()));
        let Some(theirs) = fastest else { continue };
        let ratios = theirs.passes.iter().zip(&mine.passes).map(|(t, m)| t / m);
        let spread = ratios.fold([f64::INFINITY, 0.0], |[low, high]: [f64; 2], ratio| {
            [low.min(ratio), high.max(ratio)]
        });
        let medians = [mine.median(), theirs.median()];
        let about = if claim.about.is_empty() {
            contest.work.to_owned()
        } else {
            format!("{}: {}", contest.work, claim.about)
        };
        lines.push(Line {
            work: about,
            ours: mine.how.clone(),
            other: theirs.how.clone(),
            medians,
            ratio: medians[1] / medians[0],
            spread,
            goal: claim.goal,
            reach: claim.reach,
            agrees: mine.agrees && theirs.agrees,
        });
    }
    lines
}

/// How far two answers lie apart, over the largest number of the first; infinite where they cannot be compared.
pub(crate) fn apart(ours: &[f64], theirs: &[f64]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let largest = ours.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    let most = differences.fold(
        0.0,
        |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) },
    );
    if largest == 0.0 { most } else { most / largest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(how: &str, passes: &[f64]) -> Times {
        Times {
            how: how.to_owned(),
            libtorch: None,
            passes: passes.to_vec(),
            apart: None,
            agrees: true,
        }
    }

    #[test]
    fn every_claim_names_sides_that_there_are() {
        for contest in contests() {
            for claim in &contest.claims {
                assert!(contest.ours.iter().any(|(how, _)| *how == claim.ours));
                for other in claim.others {
                    let known = contest.others.iter().any(|(how, _)| how == other);
                    assert!(known, "{}: {other}", contest.row);
                }
            }
        }
    }

    #[test]
    fn the_fastest_of_the_others_counts() {
        let contest = &contests()[8];
        let ours = [times("f32", &[1.0, 1.0, 1.2])];
        let others = [
            times("numpy", &[9.0, 9.0, 9.0]),
            times("eager", &[8.0, 7.0, 6.0]),
            times("compile", &[8.0, 8.0, 8.0]),
        ];
        let lines = lines(contest, &ours, &others);
        assert_eq!(lines.len(), 1, "the f64 sides did not run");
        assert_eq!(lines[0].other, "eager");
        assert!((lines[0].ratio - 7.0).abs() < 1e-12);
        assert_eq!(lines[0].spread, [5.0, 8.0]);
        assert_eq!(lines[0].holds(), Some(true));
    }

    #[test]
    fn a_side_that_computes_something_else_wins_nothing() {
        let mut other = times("scheduler", &[100.0]);
        other.agrees = false;
        let mut ours = times("f32", &[1.0]);
        let of = |ours: &Times, other: &Times| {
            let (ours, other) = (std::slice::from_ref(ours), std::slice::from_ref(other));
            lines(&contests()[6], ours, other)[0].holds()
        };
        assert_eq!(of(&ours, &other), Some(false));
        other.agrees = true;
        assert_eq!(of(&ours, &other), Some(true));
        ours.agrees = false;
        assert_eq!(of(&ours, &other), Some(false));
    }

    #[test]
    fn answers_are_compared_by_the_largest_of_them() {
        assert_eq!(apart(&[2.0, -4.0], &[2.0, -3.0]), 0.25);
        assert_eq!(apart(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(apart(&[1.0], &[f64::NAN]), f64::INFINITY);
        assert_eq!(apart(&[], &[]), 0.0);
    }
}
