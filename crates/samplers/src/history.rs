//! What a multistep method remembers, and when it no longer applies.

use std::ops::{Deref, DerefMut};

use noise_schedule::Kernel;

use crate::VectorSpace;
use crate::stepper::rescaled;

/// Levels and values there, the latest first, along a stretch of one direction.
#[derive(Clone, Debug)]
pub(crate) struct History<X> {
    values: Vec<(Kernel, X)>,
    /// Where the step before ended, and whether it went towards more noise.
    last: Option<(Kernel, bool)>,
}

impl<X> History<X> {
    /// These values, before the first step of a trajectory.
    pub(crate) fn new(values: Vec<(Kernel, X)>) -> History<X> {
        History { values, last: None }
    }

    /// The levels, the latest first.
    pub(crate) fn levels(&self) -> impl Iterator<Item = Kernel> + '_ {
        self.values.iter().map(|(level, _)| *level)
    }
}

impl<X: VectorSpace> History<X> {
    /// Begins a step, and forgets what came before if the step does not continue it, or turns.
    ///
    /// Returns the state at `to` where the step asks nothing of the model: between levels of one noise-to-signal ratio,
    /// and from clean data, whose score is finite, so that eps = −sigma score is 0.
    pub(crate) fn begin(&mut self, x: &X, from: Kernel, to: Kernel) -> Option<X> {
        if self.last.is_some_and(|(reached, _)| reached != from) {
            self.values.clear();
            self.last = None;
        }
        if let Some(same) = rescaled(x, from, to) {
            self.last = self.last.map(|(_, rose)| (to, rose));
            return Some(same);
        }
        // Multiplied crosswise, so that pure noise needs no exception.
        let rises = from.sigma() * to.alpha() < to.sigma() * from.alpha();
        if self.last.is_some_and(|(_, rose)| rose != rises) {
            self.values.clear();
        }
        self.last = Some((to, rises));
        (from.sigma() == 0.0).then(|| X::axpby(to.alpha() / from.alpha(), x, 0.0, x))
    }
}

impl<X> Deref for History<X> {
    type Target = Vec<(Kernel, X)>;

    fn deref(&self) -> &Vec<(Kernel, X)> {
        &self.values
    }
}

impl<X> DerefMut for History<X> {
    fn deref_mut(&mut self) -> &mut Vec<(Kernel, X)> {
        &mut self.values
    }
}
