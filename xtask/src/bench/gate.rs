//! What may fail a change: declared by name, and never silently without ground.

use std::fmt;

use clap::ValueEnum;

use crate::bench::blocks::{Blocks, Uncounted};
use crate::bench::counts::{self, Counted};
use crate::bench::judge::{Job, Judged, Verdict};
use crate::bench::{number, words};
use crate::error::Error;

/// The gates that a workflow may declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gate {
    /// Nothing fails: the report is read by people
    None,
    /// A benchmark of more than 3 % more instructions fails, and one whose base alone could be counted; what shared
    /// runners can bear
    Instructions,
    /// A REGRESSION in time fails; for machines of one's own
    Time,
    /// Either fails
    All,
    /// Faster or slower, of more or fewer instructions: all fails; for a revision against itself, of which whatever is
    /// found is a false alarm
    Same,
}

impl Gate {
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn counts(self) -> bool {
        matches!(self, Self::Instructions | Self::All | Self::Same)
    }

    fn times(self) -> bool {
        matches!(self, Self::Time | Self::All | Self::Same)
    }

    /// What the gate finds; an error where it has nothing to look at.
    pub(crate) fn findings(self, blocks: &Blocks, job: &Job) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let blind = |lacks: String| Error::Blind {
            gate: self.name(),
            lacks,
        };
        if self.counts() {
            for (judged, benchmark) in job.benchmarks.iter().zip(&blocks.benchmarks) {
                let fails = match judged.counted {
                    Some(Counted::More) => true,
                    Some(Counted::Slightly | Counted::Less) => self == Self::Same,
                    Some(Counted::Same | Counted::Unsteady) | None => false,
                };
                let what = match (&benchmark.instructions, benchmark.uncounted) {
                    (Some(count), _) if fails => {
                        format!("{:+.1} % instructions", 100.0 * counts::change(count))
                    }
                    // Else whoever is slow enough would pass.
                    (None, Some(Uncounted::Head(why))) => format!(
                        "the base's instructions were counted, and counting the head's {why}"
                    ),
                    _ => continue,
                };
                findings.push(Finding {
                    name: judged.name.clone(),
                    what,
                });
            }
            let steady = |judged: &Judged| {
                (judged.counted).is_some_and(|counted| counted != Counted::Unsteady)
            };
            if findings.is_empty() && !job.benchmarks.iter().any(steady) {
                return Err(blind(format!(
                    "no count of instructions that repeats ({})",
                    words::line(&blocks.setting.counting, 200)
                )));
            }
        }
        if self == Self::Same {
            let left_out = &blocks.left_out;
            for (names, side) in [(&left_out.base_only, "base"), (&left_out.head_only, "head")] {
                findings.extend(names.iter().map(|name| Finding {
                    name: name.clone(),
                    what: format!("only the {side} has it"),
                }));
            }
        }
        if self.times() {
            if job.benchmarks.iter().all(|judged| judged.sees.is_none()) {
                return Err(blind(
                    "no benchmark with enough blocks and A/A blocks".to_owned(),
                ));
            }
            let faster = job.having(Verdict::Improvement);
            let faster = faster.filter(|_| self == Self::Same);
            for judged in job.having(Verdict::Regression).chain(faster) {
                findings.push(Finding {
                    name: judged.name.clone(),
                    what: format!("{} time", number::change(judged.log_ratio)),
                });
            }
        }
        Ok(findings)
    }

    /// Fails where the gate finds something.
    pub(crate) fn pass(self, blocks: &Blocks, job: &Job) -> Result<(), Error> {
        let findings = self.findings(blocks, job)?;
        if findings.is_empty() {
            return Ok(());
        }
        Err(Error::Gate {
            gate: self.name(),
            findings,
        })
    }
}

/// One thing that a gate found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Of which benchmark.
    pub(crate) name: String,
    /// What, in words of ours.
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", words::line(&self.name, 80), self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::blocks::{Instructions, Lost};
    use crate::bench::judge::fixture::{blocks, steady};
    use crate::bench::judge::judge;

    fn counted(head: f64) -> Blocks {
        let mut one = steady("counted", 0.0);
        one.instructions = Some(Instructions {
            base: 1e6,
            again: 1e6,
            head,
        });
        blocks(vec![one, steady("timed", 0.2)])
    }

    #[test]
    fn each_gate_sees_what_it_names() {
        let (more, same) = (counted(1.05e6), counted(1e6));
        let status = |gate: Gate, blocks: &Blocks| match gate.pass(blocks, &judge(blocks)) {
            Ok(()) => 0,
            Err(error) => error.status(),
        };
        assert_eq!(status(Gate::None, &more), 0);
        assert_eq!(status(Gate::Instructions, &more), 1);
        assert_eq!(status(Gate::Instructions, &same), 0);
        assert_eq!(status(Gate::Time, &same), 1);
        assert_eq!(status(Gate::All, &same), 1);
        let quiet = blocks(vec![steady("quiet", 0.0)]);
        assert_eq!(status(Gate::Time, &quiet), 0);
        let message = Gate::All
            .pass(&more, &judge(&more))
            .expect_err("two findings")
            .to_string();
        assert!(
            message.contains("counted: +5.0 % instr") && message.contains("timed: +"),
            "{message}"
        );
    }

    #[test]
    fn a_revision_against_itself_is_neither_better_nor_worse() {
        let fewer = counted(0.98e6);
        let (same, faster) = (judge(&fewer), blocks(vec![steady("faster", -0.2)]));
        assert!(Gate::Instructions.pass(&fewer, &same).is_ok());
        let findings = Gate::Same.findings(&fewer, &same).expect("it has ground");
        assert!(
            findings[0].to_string().starts_with("counted: -2.0 % instr"),
            "{findings:?}"
        );
        let second = findings[1].to_string();
        assert!(second.starts_with("timed: +"), "{findings:?}");
        assert!(Gate::Time.pass(&faster, &judge(&faster)).is_ok());
        let mut counted = counted(1e6);
        counted.benchmarks[1] = steady("faster", -0.2);
        let error = Gate::Same.pass(&counted, &judge(&counted));
        assert_eq!(error.expect_err("it is not the same").status(), 1);
        counted.benchmarks[1] = steady("same", 0.0);
        assert!(Gate::Same.pass(&counted, &judge(&counted)).is_ok());
    }

    #[test]
    fn a_head_that_cannot_be_counted_does_not_pass() {
        let mut slow = counted(1e6);
        slow.benchmarks[1].uncounted = Some(Uncounted::Head(Lost::TooLong));
        for gate in [Gate::Instructions, Gate::All, Gate::Same] {
            let error = gate.pass(&slow, &judge(&slow)).expect_err("it is slow");
            assert_eq!(error.status(), 1);
            let message = error.to_string();
            assert!(
                message.contains("timed: ") && message.contains("too long"),
                "{message}"
            );
        }
        // Nor if nothing else was counted.
        slow.benchmarks.remove(0);
        let error = Gate::Instructions.pass(&slow, &judge(&slow));
        assert_eq!(error.expect_err("it is slow").status(), 1);
        slow.benchmarks[0].uncounted = Some(Uncounted::Base(Lost::TooLong));
        let error = Gate::Instructions.pass(&slow, &judge(&slow));
        assert_eq!(error.expect_err("nothing was counted").status(), 2);
    }

    #[test]
    fn a_revision_against_itself_has_the_same_benchmarks() {
        let mut renamed = counted(1e6);
        renamed.benchmarks[1] = steady("same", 0.0);
        assert!(Gate::Same.pass(&renamed, &judge(&renamed)).is_ok());
        renamed.left_out.base_only.push("old".to_owned());
        let error = Gate::Same.pass(&renamed, &judge(&renamed));
        let message = error.expect_err("it is not the same").to_string();
        assert!(message.contains("old: only the base has it"), "{message}");
        assert!(Gate::Instructions.pass(&renamed, &judge(&renamed)).is_ok());
    }

    #[test]
    fn a_gate_without_ground_does_not_pass() {
        let uncounted = blocks(vec![steady("a", 0.0)]);
        let error = Gate::Instructions
            .pass(&uncounted, &judge(&uncounted))
            .expect_err("nothing was counted");
        assert_eq!(error.status(), 2);
        assert!(error.to_string().contains("not counted"), "{error}");
        let mut floorless = blocks(vec![steady("a", 0.0)]);
        floorless.benchmarks[0].same.clear();
        assert!(Gate::Time.pass(&floorless, &judge(&floorless)).is_err());
        assert!(Gate::None.pass(&floorless, &judge(&floorless)).is_ok());
    }
}
