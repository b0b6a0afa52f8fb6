//! What may fail a change: declared by name, and never silently without ground.

use clap::ValueEnum;

use crate::bench::blocks::Blocks;
use crate::bench::counts::{self, Counted};
use crate::bench::judge::{Job, Verdict};
use crate::bench::number;
use crate::error::Error;

/// The gates that a workflow may declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gate {
    /// Nothing fails: the report is read by people
    None,
    /// A benchmark of more than 3 % more instructions fails; what shared runners can bear
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

    /// What the gate finds, one line each; an error where it has nothing to look at.
    pub(crate) fn findings(self, blocks: &Blocks, job: &Job) -> Result<Vec<String>, Error> {
        let mut findings = Vec::new();
        let blind = |lacks: String| Error::Blind {
            gate: self.name(),
            lacks,
        };
        if self.counts() {
            let steady = |counted: &Option<Counted>| {
                counted.is_some_and(|counted| counted != Counted::Unsteady)
            };
            if !job.benchmarks.iter().any(|judged| steady(&judged.counted)) {
                return Err(blind(format!(
                    "no count of instructions that repeats ({})",
                    blocks.setting.counting
                )));
            }
            for (judged, benchmark) in job.benchmarks.iter().zip(&blocks.benchmarks) {
                let fails = match judged.counted {
                    Some(Counted::More) => true,
                    Some(Counted::Slightly | Counted::Less) => self == Self::Same,
                    Some(Counted::Same | Counted::Unsteady) | None => false,
                };
                if let (true, Some(count)) = (fails, &benchmark.instructions) {
                    findings.push(format!(
                        "{}: {:+.1} % instructions",
                        judged.name,
                        100.0 * counts::change(count)
                    ));
                }
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
                let change = number::change(judged.log_ratio);
                findings.push(format!("{}: {change} time", judged.name));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::blocks::Instructions;
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
            findings[0].starts_with("counted: -2.0 % instr"),
            "{findings:?}"
        );
        assert!(findings[1].starts_with("timed: +"), "{findings:?}");
        assert!(Gate::Time.pass(&faster, &judge(&faster)).is_ok());
        let mut counted = counted(1e6);
        counted.benchmarks[1] = steady("faster", -0.2);
        let error = Gate::Same.pass(&counted, &judge(&counted));
        assert_eq!(error.expect_err("it is not the same").status(), 1);
        counted.benchmarks[1] = steady("same", 0.0);
        assert!(Gate::Same.pass(&counted, &judge(&counted)).is_ok());
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
