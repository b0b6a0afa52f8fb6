//! What can be claimed about depth: numbers, slopes, and what a skip does at one start less what it does at another.

use serde::Deserialize;

use super::{place::Place, propagation::Propagation, report::Found};
use crate::{error::Error, fit::slope};

/// What a claim about depth measures, one number per seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DepthMeasure {
    /// The number of one arm.
    Value {
        /// Of what.
        of: Propagation,
        /// At which depth.
        depth: usize,
        /// The arm.
        arm: String,
    },
    /// The number of `arm` − that of `than`.
    Difference {
        /// Of what.
        of: Propagation,
        /// At which depth.
        depth: usize,
        /// The arm.
        arm: String,
        /// What it is compared with.
        than: String,
    },
    /// The slope over depths, per 100 layers, by least squares.
    Slope {
        /// Of what.
        of: Propagation,
        /// The arm.
        arm: String,
        /// The last depth that counts; all do without it.
        until: Option<usize>,
    },
    /// The slope of `arm` − that of `than`.
    SlopeDifference {
        /// Of what.
        of: Propagation,
        /// The arm.
        arm: String,
        /// What it is compared with.
        than: String,
        /// The last depth that counts; all do without it.
        until: Option<usize>,
    },
    /// Skip × initial values: what the skip does to the slope at the first pair's initial values, less what it does at
    /// the second's; (skip − plain) − (skip − plain).
    Interaction {
        /// Of what.
        of: Propagation,
        /// A plain and a skip arm of one kind of initial values.
        first: [String; 2],
        /// The same of the other.
        second: [String; 2],
        /// The last depth that counts; all do without it.
        until: Option<usize>,
    },
}

impl DepthMeasure {
    pub(super) fn of(&self) -> Propagation {
        match self {
            DepthMeasure::Value { of, .. }
            | DepthMeasure::Difference { of, .. }
            | DepthMeasure::Slope { of, .. }
            | DepthMeasure::SlopeDifference { of, .. }
            | DepthMeasure::Interaction { of, .. } => *of,
        }
    }

    pub(super) fn arms(&self) -> Vec<&str> {
        match self {
            DepthMeasure::Value { arm, .. } | DepthMeasure::Slope { arm, .. } => vec![arm],
            DepthMeasure::Difference { arm, than, .. }
            | DepthMeasure::SlopeDifference { arm, than, .. } => vec![arm, than],
            DepthMeasure::Interaction { first, second, .. } => {
                first.iter().chain(second).map(String::as_str).collect()
            }
        }
    }

    pub(super) fn check(
        &self,
        place: &Place,
        names: &[&str],
        depths: &[usize],
    ) -> Result<(), Error> {
        if let Some(arm) = self.arms().into_iter().find(|arm| !names.contains(arm)) {
            let rule = format!("there is no such arm: name one of {}", names.join(", "));
            return Err(place.refuse("claims.measure", format!("{arm:?}"), &rule));
        }
        match self {
            DepthMeasure::Value { depth, .. } | DepthMeasure::Difference { depth, .. } => {
                if !depths.contains(depth) {
                    let rule = "it is not one of depths: add it there";
                    return Err(place.refuse("claims.measure.depth", depth, rule));
                }
                Ok(())
            }
            DepthMeasure::Slope { until, .. }
            | DepthMeasure::SlopeDifference { until, .. }
            | DepthMeasure::Interaction { until, .. } => {
                let count = counted(depths, *until).len();
                if count < 2 {
                    let rule = "a slope takes two depths: give more";
                    return Err(place.refuse("number of depths", count, rule));
                }
                Ok(())
            }
        }
    }

    /// From the numbers of an arm at a place in the list of depths, one per seed.
    pub(super) fn found(
        &self,
        depths: &[usize],
        numbers: &dyn Fn(&str, usize, Propagation) -> Vec<f64>,
    ) -> Found {
        let of = self.of();
        let at = |arm: &str, depth: usize| {
            let place = depths.iter().position(|d| *d == depth);
            numbers(arm, place.expect("it was checked"), of)
        };
        let slopes = |arm: &str, until: Option<usize>| {
            let places = 0..counted(depths, until).len();
            slopes_of(
                depths,
                &places
                    .map(|place| numbers(arm, place, of))
                    .collect::<Vec<_>>(),
            )
        };
        let minus = |a: Vec<f64>, b: Vec<f64>| -> Vec<f64> {
            a.into_iter().zip(b).map(|(a, b)| a - b).collect()
        };
        let words = of.words();
        let to = |until: Option<usize>| {
            until.map_or_else(String::new, |depth| format!(" up to L = {depth}"))
        };
        match self {
            DepthMeasure::Value { depth, arm, .. } => {
                Found::seeds(format!("{words}, L = {depth}, {arm}"), at(arm, *depth))
            }
            DepthMeasure::Difference {
                depth, arm, than, ..
            } => Found::seeds(
                format!("{words}, L = {depth}, {arm} − {than}"),
                minus(at(arm, *depth), at(than, *depth)),
            ),
            DepthMeasure::Slope { arm, until, .. } => Found::seeds(
                format!("{words} per 100 layers{}, {arm}", to(*until)),
                slopes(arm, *until),
            ),
            DepthMeasure::SlopeDifference {
                arm, than, until, ..
            } => Found::seeds(
                format!("{words} per 100 layers{}, {arm} − {than}", to(*until)),
                minus(slopes(arm, *until), slopes(than, *until)),
            ),
            DepthMeasure::Interaction {
                first,
                second,
                until,
                ..
            } => {
                let effect = |[plain, skip]: &[String; 2]| {
                    minus(slopes(skip, *until), slopes(plain, *until))
                };
                Found::seeds(
                    format!(
                        "{words} per 100 layers{}, skip × initial values: {} − {}",
                        to(*until),
                        first[0],
                        second[0]
                    ),
                    minus(effect(first), effect(second)),
                )
            }
        }
    }
}

/// The depths up to one.
fn counted(depths: &[usize], until: Option<usize>) -> &[usize] {
    let last = until.unwrap_or(usize::MAX);
    &depths[..depths.iter().filter(|depth| **depth <= last).count()]
}

/// Per seed the slope per 100 layers over the first depths, of which there is a list of numbers each.
pub(super) fn slopes_of(depths: &[usize], numbers: &[Vec<f64>]) -> Vec<f64> {
    let seeds = numbers.first().map_or(0, Vec::len);
    let of_seed = |seed: usize| {
        let values = numbers.iter().map(|values| values[seed]);
        let points: Vec<(f64, f64)> = depths.iter().map(|d| *d as f64).zip(values).collect();
        100.0 * slope(&points).unwrap_or(f64::NAN)
    };
    (0..seeds).map(of_seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interaction_is_a_difference_of_differences_of_slopes() {
        // Seed s of arm "pq": slope p + q s per layer, and a bend beyond the third depth.
        let numbers = |arm: &str, place: usize, _: Propagation| -> Vec<f64> {
            let digits: Vec<f64> = arm.bytes().map(|b| f64::from(b - b'0')).collect();
            let depth = [1.0, 3.0, 4.0, 50.0][place];
            let bend = if place == 3 { 1000.0 } else { 0.0 };
            (0..2)
                .map(|s| (digits[0] + digits[1] * f64::from(s)) * depth + bend * digits[0])
                .collect()
        };
        let depths = [1, 3, 4, 50];
        let measure = DepthMeasure::Interaction {
            of: Propagation::Gain,
            first: ["10".to_owned(), "52".to_owned()],
            second: ["30".to_owned(), "41".to_owned()],
            until: Some(49),
        };
        let names = ["10", "52", "30", "41"];
        measure
            .check(&Place(String::new()), &names, &depths)
            .expect("it is sound");
        let found = measure.found(&depths, &numbers);
        // (5 + 2 s − 1) − (4 + s − 3) = 3 + s.
        for (value, wanted) in found.values.iter().zip([300.0, 400.0]) {
            assert!((value - wanted).abs() < 1e-9, "{:?}", found.values);
        }
        let short = DepthMeasure::Slope {
            of: Propagation::Gain,
            arm: "10".to_owned(),
            until: Some(2),
        };
        assert!(short.check(&Place(String::new()), &names, &depths).is_err());
    }
}
