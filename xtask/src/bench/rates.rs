//! What the machine can do at the moment, and what follows for a work: its floor.

use std::fmt;

use crate::bench::partner::{Arithmetic, Ready};

/// What the machine can do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rates {
    /// Operations per second of matrix products in f32.
    single: f64,
    /// In f64.
    double: f64,
    /// In bf16.
    half: f64,
    /// Bytes that a copy touches, from few to many, and those that it reads and writes per second.
    copies: Vec<[f64; 2]>,
}

impl Rates {
    /// What the row `machine` has answered.
    pub(crate) fn of(ready: &Ready) -> Self {
        let rate = |place: usize| ready.answer.get(place).copied().unwrap_or(f64::NAN);
        let copies = ready.answer.get(3..).unwrap_or_default();
        Self {
            single: rate(0),
            double: rate(1),
            half: rate(2),
            copies: copies.as_chunks().0.to_vec(),
        }
    }

    /// The faster of two looks, number by number: a machine that drifts has been so fast at least once.
    pub(crate) fn or_faster(&self, other: &Self) -> Self {
        let copies = self.copies.iter().zip(&other.copies);
        Self {
            single: self.single.max(other.single),
            double: self.double.max(other.double),
            half: self.half.max(other.half),
            copies: copies
                .map(|(own, other)| [own[0], own[1].max(other[1])])
                .collect(),
        }
    }

    /// Seconds that the work needs at least: its operations over the rate of products, or its bytes over the rate of a copy
    /// within as much memory, whichever is longer; nothing where it has stated no cost.
    pub(crate) fn floor(&self, ready: &Ready) -> Option<f64> {
        let rate = match ready.arithmetic {
            // Numbers that have fewer digits can be multiplied as numbers that have more.
            Arithmetic::Half => self.half.max(self.single).max(self.double),
            Arithmetic::Single => self.single.max(self.double),
            Arithmetic::Double => self.double,
        };
        let floor = (ready.operations / rate).max(ready.bytes / self.copied(ready.memory));
        (0.0 < floor).then_some(floor)
    }

    /// Bytes per second of a copy that touches no more than this: the rate of the next smaller copy, or of a larger one that
    /// was faster.
    fn copied(&self, memory: f64) -> f64 {
        let next = (self.copies.iter()).rposition(|[touched, _]| *touched <= memory);
        let from = &self.copies[next.unwrap_or(0)..];
        from.iter().map(|[_, rate]| *rate).fold(0.0, f64::max)
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [single, double, half] = [self.single, self.double, self.half].map(|rate| rate * 1e-9);
        write!(
            out,
            "Gflop/s of products: {single:.0} in f32, {double:.0} in f64, {half:.0} in bf16\nGB/s of copies:"
        )?;
        // The first, the last and the one between of 2^16, 2^17, … 2^28.
        let mut before = "";
        for [touched, rate] in self.copies.iter().step_by(6) {
            let megabytes = touched / f64::from(1 << 20);
            write!(out, "{before} {:.0} within {megabytes} MiB", rate * 1e-9)?;
            before = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        Rates::of(&ready(&[
            100.0, 50.0, 200.0, 64.0, 40.0, 128.0, 10.0, 256.0, 20.0, 512.0, 5.0,
        ]))
    }

    fn ready(answer: &[f64]) -> Ready {
        Ready {
            unit: "step".to_owned(),
            answer: answer.to_vec(),
            operations: 0.0,
            bytes: 0.0,
            memory: 0.0,
            arithmetic: Arithmetic::Single,
            libtorch: None,
        }
    }

    #[test]
    fn the_longer_of_operations_and_bytes_is_the_floor() {
        let rates = rates();
        let mut work = ready(&[]);
        assert_eq!(rates.floor(&work), None);
        (work.operations, work.bytes, work.memory) = (200.0, 5.0, 5.0);
        for (arithmetic, floor) in [
            (Arithmetic::Half, 1.0),
            (Arithmetic::Single, 2.0),
            (Arithmetic::Double, 4.0),
        ] {
            work.arithmetic = arithmetic;
            assert_eq!(rates.floor(&work), Some(floor));
        }
        work.bytes = 400.0;
        assert_eq!(rates.floor(&work), Some(10.0));
    }

    #[test]
    fn bytes_are_copied_within_the_memory_that_they_are_in() {
        for (memory, rate) in [
            (1.0, 40.0),
            (127.0, 40.0),
            // The copy within 128 was disturbed: the one within 256 was faster.
            (128.0, 20.0),
            (511.0, 20.0),
            (1e9, 5.0),
        ] {
            assert_eq!(rates().copied(memory), rate, "{memory}");
        }
    }

    #[test]
    fn of_two_looks_the_faster_counts() {
        let slower = Rates {
            single: 90.0,
            half: 300.0,
            copies: vec![[64.0, 30.0], [128.0, 30.0], [256.0, 20.0], [512.0, 6.0]],
            ..rates()
        };
        let both = rates().or_faster(&slower);
        assert_eq!((both.single, both.half), (100.0, 300.0));
        assert_eq!(both.copies[0], [64.0, 40.0]);
        assert_eq!(both.copies[3], [512.0, 6.0]);
    }

    #[test]
    fn a_machine_that_drifts_makes_no_line_longer_than_a_terminal() {
        let copies = (16..=28).map(|power| [f64::from(1 << power), 123.4e9]);
        let rates = Rates {
            single: 1234e9,
            double: 999e9,
            half: 2345e9,
            copies: copies.collect(),
        };
        let text = format!("2 threads: {rates}");
        assert!(text.contains("123 within 256 MiB"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
}
