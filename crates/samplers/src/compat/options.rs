//! Named options as other toolkits write them, read so that nothing is ignored.

use std::collections::BTreeMap;

use crate::Error;

/// The value of an option, as JSON and Python have them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null` or `None`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
}

/// Named options that are taken one by one, by their reader; what is left at the end is refused.
///
/// ```
/// use samplers::compat::{Options, Value};
/// let mut options = Options::new("an example", [("rho".to_string(), Value::Number(7.0))]);
/// assert_eq!(options.number("rho", 5.0)?, 7.0);
/// assert_eq!(options.number("sigma_max", 80.0)?, 80.0); // absent: the default
/// options.finish()?;
/// # Ok::<(), samplers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    owner: String,
    left: BTreeMap<String, Value>,
}

impl Options {
    /// The options of this owner, whom messages name.
    pub fn new(owner: &str, options: impl IntoIterator<Item = (String, Value)>) -> Options {
        Options {
            owner: owner.to_string(),
            left: options.into_iter().collect(),
        }
    }

    /// Whose options these are.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Takes the option out; absent is `None`, and so is null unless the reader tells them apart.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    /// A finite number; absent gives the default.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for anything else.
    pub fn number(&mut self, name: &str, default: f64) -> Result<f64, Error> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Number(number)) if number.is_finite() => Ok(number),
            Some(other) => Err(self.refused(name, &other, "a finite number")),
        }
    }

    /// A finite number that has no default.
    ///
    /// # Errors
    /// [`Error::MissingOption`] if it is absent, [`Error::OptionValue`] for anything else.
    pub fn required(&mut self, name: &str) -> Result<f64, Error> {
        match self.take(name) {
            None => Err(Error::MissingOption {
                owner: self.owner.clone(),
                name: name.to_string(),
            }),
            Some(Value::Number(number)) if number.is_finite() => Ok(number),
            Some(other) => Err(self.refused(name, &other, "a finite number")),
        }
    }

    /// A finite number; absent and null are `None`.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for anything else.
    pub fn maybe_number(&mut self, name: &str) -> Result<Option<f64>, Error> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) if number.is_finite() => Ok(Some(number)),
            Some(other) => Err(self.refused(name, &other, "a finite number or null")),
        }
    }

    /// The upper end of a range, a number or infinite; absent and null are infinite.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for anything else.
    pub fn upper_end(&mut self, name: &str) -> Result<f64, Error> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(f64::INFINITY),
            Some(Value::Number(number)) if !number.is_nan() => Ok(number),
            Some(other) => Err(self.refused(name, &other, "a number, infinity or null")),
        }
    }

    /// A count ≥ `least`; absent gives the default.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for anything else.
    pub fn count(&mut self, name: &str, least: usize, default: usize) -> Result<usize, Error> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Number(number))
                if number.fract() == 0.0 && least as f64 <= number && number <= 1e9 =>
            {
                Ok(number as usize)
            }
            Some(other) => {
                Err(self.refused(name, &other, &format!("a whole number, at least {least}")))
            }
        }
    }

    /// True or false; absent gives the default.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for anything else.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool, Error> {
        match self.take(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.refused(name, &other, "true or false")),
        }
    }

    /// One of the named choices; absent gives the choice named `default`.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for anything else.
    ///
    /// # Panics
    /// If `default` is not one of the choices.
    pub fn choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
        default: &str,
    ) -> Result<T, Error> {
        let given = self
            .take(name)
            .unwrap_or_else(|| Value::Text(default.to_string()));
        let found = match &given {
            Value::Text(text) => choices.iter().find(|(choice, _)| choice == text),
            _ => None,
        };
        match found {
            Some(&(_, chosen)) => Ok(chosen),
            None => {
                let names: Vec<&str> = choices.iter().map(|&(choice, _)| choice).collect();
                assert!(names.contains(&default), "default of `{name}` is a choice");
                Err(self.refused(name, &given, &format!("one of {}", names.join(", "))))
            }
        }
    }

    /// A list of finite numbers; absent and null are `None`.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for anything else.
    pub fn numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>, Error> {
        let list = match self.take(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::List(list)) => list,
            Some(other) => return Err(self.refused(name, &other, "a list of numbers or null")),
        };
        let numbers: Option<Vec<f64>> = list
            .iter()
            .map(|value| match *value {
                Value::Number(number) if number.is_finite() => Some(number),
                _ => None,
            })
            .collect();
        numbers
            .map(Some)
            .ok_or_else(|| self.refused(name, &Value::List(list), "a list of finite numbers"))
    }

    /// Drops these options, which have no effect on their owner, whatever their values.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        self.left.retain(|name, _| !names.contains(&name.as_str()));
    }

    /// Makes null the same as absent for these options.
    pub(crate) fn forget_nulls(&mut self, names: &[&str]) {
        self.left
            .retain(|name, value| *value != Value::Null || !names.contains(&name.as_str()));
    }

    /// The end of reading: an option that nobody took is one that its owner does not have.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], with the first of them.
    pub fn finish(self) -> Result<(), Error> {
        match self.left.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::UnknownOption {
                owner: self.owner,
                name,
            }),
        }
    }

    /// The error for a value that the option may not have.
    pub(crate) fn refused(&self, name: &str, given: &Value, expected: &str) -> Error {
        Error::OptionValue {
            owner: self.owner.clone(),
            name: name.to_string(),
            expected: expected.to_string(),
            given: format!("{given:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, Value)]) -> Options {
        Options::new(
            "test",
            pairs.iter().map(|(k, v)| (k.to_string(), v.clone())),
        )
    }

    #[test]
    fn what_nobody_took_is_refused() {
        let options = options(&[("typo", Value::Null)]);
        let error = options.finish().unwrap_err();
        assert_eq!(
            error.to_string(),
            "test: unknown option `typo`; check its spelling against the peer's documentation, or remove it"
        );
    }

    #[test]
    fn values_are_checked() {
        let mut given = options(&[
            ("number", Value::Text("1".into())),
            ("count", Value::Number(1.5)),
            ("flag", Value::Number(1.0)),
            ("choice", Value::Text("no".into())),
            ("infinite", Value::Number(f64::INFINITY)),
        ]);
        assert!(given.number("number", 0.0).is_err());
        assert!(given.count("count", 0, 1).is_err());
        assert!(given.flag("flag", false).is_err());
        let error = given
            .choice("choice", &[("a", 1), ("b", 2)], "a")
            .unwrap_err();
        assert!(error.to_string().contains("one of a, b"), "{error}");
        assert!(given.number("infinite", 0.0).is_err());
        assert_eq!(given.choice("absent", &[("a", 1), ("b", 2)], "b"), Ok(2));
        given.finish().unwrap();
    }
}
