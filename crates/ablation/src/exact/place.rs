//! Where a value of a study stands, and what is wrong with it.

use std::fmt::Display;

use super::{modes::Variances, study::Level};
use crate::error::Error;

/// Where a value stands, for messages.
pub(crate) struct Place(pub(crate) String);

impl Place {
    pub(crate) fn refuse(&self, name: &str, value: impl Display, rule: &str) -> Error {
        Error::Impossible {
            place: self.0.clone(),
            name: name.to_owned(),
            value: value.to_string(),
            rule: rule.to_owned(),
        }
    }

    pub(crate) fn positive(&self, name: &str, value: f64) -> Result<(), Error> {
        if 0.0 < value && value < f64::INFINITY {
            return self.in_range(name, value);
        }
        Err(self.refuse(
            name,
            value,
            "it must be positive and finite: give a number above zero",
        ))
    }

    pub(crate) fn non_negative(&self, name: &str, value: f64) -> Result<(), Error> {
        if (0.0..f64::INFINITY).contains(&value) {
            return self.in_range(name, value);
        }
        Err(self.refuse(
            name,
            value,
            "it must not be negative, and finite: give zero or more",
        ))
    }

    pub(crate) fn finite(&self, name: &str, value: f64) -> Result<(), Error> {
        if value.is_finite() {
            return self.in_range(name, value);
        }
        Err(self.refuse(name, value, "it must be finite: give a number"))
    }

    /// Zero, or a size whose powers are numbers too.
    fn in_range(&self, name: &str, value: f64) -> Result<(), Error> {
        if value == 0.0 || (1e-60..=1e60).contains(&value.abs()) {
            return Ok(());
        }
        let rule = "its powers leave the range of numbers: give a size between 1e-60 and 1e60, in another unit";
        Err(self.refuse(name, format!("{value:e}"), rule))
    }

    /// A count between `least` and `most`.
    pub(crate) fn count(
        &self,
        name: &str,
        given: usize,
        least: usize,
        most: usize,
    ) -> Result<(), Error> {
        if (least..=most).contains(&given) {
            return Ok(());
        }
        let rule = format!("it must lie in {least}..={most}: choose a number in that range");
        Err(self.refuse(name, given, &rule))
    }

    /// No more than so much work, which is the product of these.
    pub(crate) fn work(&self, product: &str, work: f64, most: f64) -> Result<(), Error> {
        if work <= most {
            return Ok(());
        }
        let rule = format!("{product} above {most:e} takes minutes: make one of them smaller");
        Err(self.refuse("work", format!("{work:e}"), &rule))
    }

    /// Levels in rising order.
    pub(crate) fn levels(&self, levels: &[Level]) -> Result<(), Error> {
        self.count("number of levels", levels.len(), 1, 1000)?;
        for level in levels {
            self.non_negative("levels.sigma", level.sigma)?;
        }
        let falls = levels
            .windows(2)
            .find(|pair| pair[1].sigma <= pair[0].sigma);
        match falls {
            None => Ok(()),
            Some(pair) => {
                let rule = format!(
                    "levels rise, and the one before is {}: sort them",
                    pair[0].sigma
                );
                Err(self.refuse("levels.sigma", pair[1].sigma, &rule))
            }
        }
    }

    /// Weights and variances of components with as many means.
    pub(crate) fn mixture(
        &self,
        weights: &[f64],
        means: usize,
        variances: &Variances,
    ) -> Result<(), Error> {
        self.count("number of weights", weights.len(), 1, 1000)?;
        if weights.len() != means {
            let rule = format!("there are {means} means: give as many weights");
            return Err(self.refuse("number of weights", weights.len(), &rule));
        }
        for &weight in weights {
            self.positive("weights", weight)?;
        }
        match variances {
            Variances::Equal(variance) => self.positive("variance", *variance),
            Variances::Each(list) if list.len() != means => {
                let rule =
                    format!("there are {means} means: give as many variances, or one number");
                Err(self.refuse("number of variances", list.len(), &rule))
            }
            Variances::Each(list) => list.iter().try_for_each(|v| self.positive("variance", *v)),
        }
    }

    pub(crate) fn sentences(&self, about: &[String]) -> Result<(), Error> {
        let known = |word: &str| {
            let number = word.strip_prefix('T').and_then(|n| n.parse::<u8>().ok());
            number.is_some_and(|n| (1..=36).contains(&n))
        };
        match about.iter().find(|word| !known(word)) {
            None => Ok(()),
            Some(word) => {
                let rule = "the sentences of the thesis are T1 to T36: name one of them";
                Err(self.refuse("about", format!("{word:?}"), rule))
            }
        }
    }

    /// Depths from `least` on, in rising order.
    pub(crate) fn depths(&self, depths: &[usize], least: usize) -> Result<(), Error> {
        self.count("number of depths", depths.len(), 1, 100)?;
        for &depth in depths {
            self.count("depths", depth, least, 10_000)?;
        }
        match depths.windows(2).find(|pair| pair[1] <= pair[0]) {
            None => Ok(()),
            Some(pair) => {
                let rule = format!("depths rise, and the one before is {}: sort them", pair[0]);
                Err(self.refuse("depths", pair[1], &rule))
            }
        }
    }

    /// A name that no other has; it joins those that are taken.
    pub(crate) fn distinct<'n>(
        &self,
        name: &str,
        taken: &mut Vec<&'n str>,
        given: &'n str,
    ) -> Result<(), Error> {
        if taken.contains(&given) {
            let rule = "it is taken: give each its own";
            return Err(self.refuse(name, format!("{given:?}"), rule));
        }
        taken.push(given);
        Ok(())
    }
}
