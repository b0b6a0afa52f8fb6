//! The numbers of a claim's arms, from the records of their cells.

use super::{
    ClaimArm, FIRST_TUNING_SEED, PlannedClaim, Registered,
    measure::{Numbers, Term},
};
use crate::{frame::Results, plan::Cell, record::Outcome, summary::Better, work::Work};

/// The numbers of a claim's arms.
pub(super) struct Table<'a> {
    pub(super) claim: &'a PlannedClaim,
    pub(super) results: &'a Results,
}

impl Table<'_> {
    fn arm(&self, arm: &str, value: Option<f64>) -> Option<&ClaimArm> {
        let arms = &self.claim.arms;
        arms.iter().find(|own| own.arm == arm && own.value == value)
    }

    /// The numbers of a finding in the seeds in which none of its cells diverged; none where nothing did.
    pub(super) fn calm(&self, registered: &Registered) -> Option<Vec<f64>> {
        let terms = registered.measure.terms().into_iter();
        let cells: Vec<(&str, Option<f64>)> = terms.flat_map(|term| self.cells(term)).collect();
        let diverged = |seed: u32| {
            cells.iter().any(|(arm, value)| {
                let arm = self.arm(arm, *value);
                let record = arm.and_then(|arm| self.results.records.get(&id(arm, seed)));
                record.is_some_and(|(record, _)| matches!(record.outcome, Outcome::Diverged { .. }))
            })
        };
        let (lost, calm): (Vec<u32>, Vec<u32>) =
            (0..self.claim.seeds).partition(|seed| diverged(*seed));
        let numbers = calm.into_iter();
        let numbers = numbers.filter_map(|seed| registered.measure.at(self, seed));
        (!lost.is_empty()).then(|| numbers.collect())
    }

    /// What the tuning seeds say of every value of the grid: the sum of the metric over them, the less the better.
    ///
    /// With a cell missing there is none: another choice would change the numbers later.
    pub(super) fn scores(&self, arm: &str, metric: &str) -> Option<Vec<f64>> {
        let grid = self.claim.grid.as_ref()?;
        let sign = match better(&self.arm(arm, Some(grid.values[0]))?.config, metric) {
            Better::Higher => -1.0,
            Better::Lower | Better::Descriptive => 1.0,
        };
        let seeds = FIRST_TUNING_SEED..FIRST_TUNING_SEED + grid.tuning_seeds;
        let score = |&value: &f64| -> Option<f64> {
            let numbers = seeds.clone();
            let sum: Option<f64> = numbers
                .map(|seed| self.metric(arm, Some(value), metric, seed))
                .sum();
            Some(sign * sum?)
        };
        grid.values.iter().map(score).collect()
    }

    /// The arms, each with its value of the grid, that take a metric's worst value where they diverge.
    fn cells<'t>(&self, term: &'t Term) -> Vec<(&'t str, Option<f64>)> {
        match term {
            Term::Tuned { arm, by, .. } => vec![(arm, self.tuned(arm, by))],
            // Where it diverges is what it measures.
            Term::Usable { .. } => Vec::new(),
            Term::Metric { .. } | Term::Slope { .. } | Term::Trend { .. } => {
                term.arms().into_iter().map(|arm| (arm, None)).collect()
            }
        }
    }
}

impl Numbers for Table<'_> {
    fn metric(&self, arm: &str, value: Option<f64>, metric: &str, seed: u32) -> Option<f64> {
        let id = id(self.arm(arm, value)?, seed);
        let (record, _) = self.results.records.get(&id)?;
        record.values.get(metric).copied()
    }

    fn tuned(&self, arm: &str, metric: &str) -> Option<f64> {
        let scores = self.scores(arm, metric)?;
        let mut best = 0;
        for index in 1..scores.len() {
            if scores[index] < scores[best] {
                best = index;
            }
        }
        Some(self.grid()[best])
    }

    fn grid(&self) -> &[f64] {
        self.claim.grid.as_ref().map_or(&[], |grid| &grid.values)
    }
}

fn better(work: &Work, metric: &str) -> Better {
    let probe = || crate::catalog::probe(metric).map(|probe| probe.better);
    let found = match work {
        Work::Diffusion(_) => probe(),
        Work::Experiment(experiment) => {
            let mut metrics = experiment.metrics().iter();
            metrics.find(|own| own.name == metric).map(|own| own.better)
        }
    };
    found.unwrap_or(Better::Lower)
}

/// The name of a cell.
pub(super) fn id(arm: &ClaimArm, seed: u32) -> String {
    Cell::new(arm.config.clone(), seed).id
}
