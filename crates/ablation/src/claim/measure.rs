//! What is made of the numbers of arms: one number per seed, paired.

use serde::{Deserialize, Serialize};

use crate::fit::slope;

/// One number per seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// `of` − `less`.
    Value {
        /// What is measured.
        of: Term,
        /// A fixed number: what it is held against.
        less: f64,
    },
    /// `of` − `than`.
    Difference {
        /// What is measured.
        of: Term,
        /// What it is compared with.
        than: Term,
    },
    /// ln(`of` / `than`), both positive.
    LogRatio {
        /// What is measured.
        of: Term,
        /// What it is compared with.
        than: Term,
    },
}

/// A number of one seed, from one arm or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Term {
    /// The metric of an arm.
    Metric {
        /// Metric.
        metric: String,
        /// Arm.
        arm: String,
    },
    /// The metric of an arm at the value of the grid where the tuning seeds' mean of `by` is best.
    Tuned {
        /// Metric.
        metric: String,
        /// Arm.
        arm: String,
        /// The metric that chooses the value.
        by: String,
    },
    /// How far the grid is usable: log10 of the ratio of the largest to the smallest value of the longest run of values
    /// at which the metric is below `below`, each counting half a step to both sides; in decades. An arm that has none in
    /// half of the seeds or more has no range: then nothing is concluded.
    Usable {
        /// Metric.
        metric: String,
        /// Arm.
        arm: String,
        /// The bound.
        below: f64,
    },
    /// The least-squares slope of the metric over `x`, arm by arm.
    Slope {
        /// Metric.
        metric: String,
        /// Arms.
        arms: Vec<String>,
        /// Their abscissae.
        x: Vec<f64>,
        /// Which logarithms are taken first.
        logarithms: Logarithms,
    },
    /// How far the metric rises in the order of these arms: Spearman's rank correlation in [−1, 1], whose mean over seeds
    /// is Page's statistic.
    Trend {
        /// Metric.
        metric: String,
        /// Arms in the order in which the metric is to rise.
        arms: Vec<String>,
    },
}

/// Which logarithms a slope takes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Logarithms {
    /// y over x.
    None,
    /// y over ln x.
    X,
    /// ln y over x.
    Y,
    /// ln y over ln x.
    Both,
}

/// Where the numbers of arms come from.
pub trait Numbers {
    /// The metric of the arm (and of the value of its grid) at a seed.
    fn metric(&self, arm: &str, value: Option<f64>, metric: &str, seed: u32) -> Option<f64>;

    /// The value of the grid at which the tuning seeds find the arm's metric best.
    fn tuned(&self, arm: &str, metric: &str) -> Option<f64>;

    /// The values of the grid; none without.
    fn grid(&self) -> &[f64];
}

impl Measure {
    /// Its terms.
    pub fn terms(&self) -> Vec<&Term> {
        match self {
            Measure::Value { of, .. } => vec![of],
            Measure::Difference { of, than } | Measure::LogRatio { of, than } => vec![of, than],
        }
    }

    /// The number of a seed; `None` where one is missing, or has no logarithm.
    pub fn at(&self, numbers: &dyn Numbers, seed: u32) -> Option<f64> {
        let value = match self {
            Measure::Value { of, less } => of.at(numbers, seed)? - less,
            Measure::Difference { of, than } => of.at(numbers, seed)? - than.at(numbers, seed)?,
            Measure::LogRatio { of, than } => {
                (of.at(numbers, seed)? / than.at(numbers, seed)?).ln()
            }
        };
        Some(value).filter(|value| value.is_finite())
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Measure::Value { of, less: 0.0 } => of.words(),
            Measure::Value { of, less } => format!("{} − {less}", of.words()),
            Measure::Difference { of, than } => format!("{} − {}", of.words(), than.words()),
            Measure::LogRatio { of, than } => format!("ln({} / {})", of.words(), than.words()),
        }
    }
}

impl Term {
    /// The metrics that it is made of.
    pub fn metrics(&self) -> Vec<&str> {
        match self {
            Term::Tuned { metric, by, .. } => vec![metric, by],
            Term::Metric { metric, .. }
            | Term::Usable { metric, .. }
            | Term::Slope { metric, .. }
            | Term::Trend { metric, .. } => vec![metric],
        }
    }

    /// The arms that it is made of.
    pub fn arms(&self) -> Vec<&str> {
        match self {
            Term::Metric { arm, .. } | Term::Tuned { arm, .. } | Term::Usable { arm, .. } => {
                vec![arm]
            }
            Term::Slope { arms, .. } | Term::Trend { arms, .. } => {
                arms.iter().map(String::as_str).collect()
            }
        }
    }

    /// Whether it is made of the grid.
    pub fn needs_grid(&self) -> bool {
        matches!(self, Term::Tuned { .. } | Term::Usable { .. })
    }

    /// The number of a seed; `None` where one of its cells is missing.
    pub(super) fn at(&self, numbers: &dyn Numbers, seed: u32) -> Option<f64> {
        match self {
            Term::Metric { metric, arm } => numbers.metric(arm, None, metric, seed),
            Term::Tuned { metric, arm, by } => {
                numbers.metric(arm, Some(numbers.tuned(arm, by)?), metric, seed)
            }
            Term::Usable { metric, arm, below } => {
                let grid = numbers.grid();
                let found: Option<Vec<bool>> = grid
                    .iter()
                    .map(|&value| {
                        let found = numbers.metric(arm, Some(value), metric, seed)?;
                        Some(found < *below)
                    })
                    .collect();
                Some(decades(grid, &found?))
            }
            Term::Slope {
                metric,
                arms,
                x,
                logarithms,
            } => {
                let of_x = matches!(logarithms, Logarithms::X | Logarithms::Both);
                let of_y = matches!(logarithms, Logarithms::Y | Logarithms::Both);
                let points: Option<Vec<(f64, f64)>> = arms
                    .iter()
                    .zip(x)
                    .map(|(arm, &x)| {
                        let y = numbers.metric(arm, None, metric, seed)?;
                        Some((if of_x { x.ln() } else { x }, if of_y { y.ln() } else { y }))
                    })
                    .collect();
                slope(&points?)
            }
            Term::Trend { metric, arms } => {
                let values: Option<Vec<f64>> = arms
                    .iter()
                    .map(|arm| numbers.metric(arm, None, metric, seed))
                    .collect();
                Some(paired_stats::order_agreement(&values?))
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Term::Metric { metric, arm } => format!("{metric} of {arm}"),
            Term::Tuned { metric, arm, .. } => format!("{metric} of {arm}, tuned"),
            Term::Usable { metric, arm, below } => {
                format!("decades of the grid with {metric} < {below} of {arm}")
            }
            Term::Slope {
                metric,
                arms,
                logarithms,
                ..
            } => {
                let y = match logarithms {
                    Logarithms::Y | Logarithms::Both => format!("ln {metric}"),
                    _ => metric.clone(),
                };
                format!("slope of {y} over {}", arms.join(", "))
            }
            Term::Trend { metric, arms } => {
                format!("rank correlation of {metric} with {}", arms.join(" < "))
            }
        }
    }
}

/// The width of the longest run of usable values in decades, each value standing for half a step to both sides.
fn decades(grid: &[f64], usable: &[bool]) -> f64 {
    let log: Vec<f64> = grid.iter().map(|value| value.log10()).collect();
    let last = log.len() - 1;
    let edge = |index: usize, up: bool| match (index, up) {
        (0, false) => log[0] - 0.5 * (log[1] - log[0]),
        (_, false) => 0.5 * (log[index] + log[index - 1]),
        (index, true) if index == last => log[last] + 0.5 * (log[last] - log[last - 1]),
        (_, true) => 0.5 * (log[index] + log[index + 1]),
    };
    let mut widest: f64 = 0.0;
    let mut from = None;
    for (index, usable) in usable.iter().enumerate() {
        if *usable {
            let from = *from.get_or_insert(index);
            widest = widest.max(edge(index, true) - edge(from, false));
        } else {
            from = None;
        }
    }
    widest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Table {
        cells: BTreeMap<(String, String), f64>,
        grid: Vec<f64>,
    }

    impl Numbers for Table {
        fn metric(&self, arm: &str, value: Option<f64>, _: &str, _: u32) -> Option<f64> {
            let value = value.map_or_else(String::new, |value| value.to_string());
            self.cells.get(&(arm.to_owned(), value)).copied()
        }

        fn tuned(&self, _: &str, _: &str) -> Option<f64> {
            Some(self.grid[1])
        }

        fn grid(&self) -> &[f64] {
            &self.grid
        }
    }

    fn table() -> Table {
        let cells = [
            ("a", "", 2.0),
            ("b", "", 8.0),
            ("c", "", 32.0),
            ("a", "0.01", 0.5),
            ("a", "0.1", 0.3),
            ("a", "1", 7.0),
        ];
        Table {
            cells: cells
                .iter()
                .map(|(arm, value, y)| ((arm.to_string(), value.to_string()), *y))
                .collect(),
            grid: vec![0.01, 0.1, 1.0],
        }
    }

    fn metric(arm: &str) -> Term {
        Term::Metric {
            metric: "m".to_owned(),
            arm: arm.to_owned(),
        }
    }

    #[test]
    fn numbers_are_paired_by_seed() {
        let difference = Measure::Difference {
            of: metric("b"),
            than: metric("a"),
        };
        assert_eq!(difference.at(&table(), 0), Some(6.0));
        let ratio = Measure::LogRatio {
            of: metric("b"),
            than: metric("a"),
        };
        assert_eq!(ratio.at(&table(), 0), Some(4.0_f64.ln()));
        let missing = Measure::Value {
            of: metric("z"),
            less: 0.0,
        };
        assert_eq!(missing.at(&table(), 0), None);
    }

    #[test]
    fn slopes_and_trends_follow_the_order_of_arms() {
        let arms = ["a", "b", "c"].map(str::to_owned).to_vec();
        let slope = Measure::Value {
            of: Term::Slope {
                metric: "m".to_owned(),
                arms: arms.clone(),
                x: vec![1.0, 4.0, 16.0],
                logarithms: Logarithms::Both,
            },
            less: 0.0,
        };
        assert!((slope.at(&table(), 0).expect("three arms") - 1.0).abs() < 1e-12);
        let trend = Measure::Value {
            of: Term::Trend {
                metric: "m".to_owned(),
                arms,
            },
            less: 0.0,
        };
        assert_eq!(trend.at(&table(), 0), Some(1.0));
    }

    #[test]
    fn a_grid_is_tuned_and_has_a_usable_part() {
        let tuned = Measure::Value {
            of: Term::Tuned {
                metric: "m".to_owned(),
                arm: "a".to_owned(),
                by: "m".to_owned(),
            },
            less: 0.0,
        };
        assert_eq!(tuned.at(&table(), 0), Some(0.3));
        // Two of three values, a decade each; a gap ends a run.
        let grid = [0.01, 0.1, 1.0];
        for (usable, wanted) in [
            ([true, true, false], 2.0),
            ([true, true, true], 3.0),
            ([true, false, true], 1.0),
            ([false, false, false], 0.0),
        ] {
            assert!((decades(&grid, &usable) - wanted).abs() < 1e-12);
        }
    }
}
