//! Tables in single precision against those of diffusers.
//!
//! The numbers come from `golden/single.py`, which says why some are compared by their bits and others by a tolerance.

use noise_schedule::BetaSchedule;
use noise_schedule::single::Table;

/// The bits of all values, so that a line of the golden file speaks for a whole table.
fn checksum(values: &[f32]) -> u64 {
    values.iter().fold(0, |sum: u64, value| {
        sum.wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(u64::from(value.to_bits()))
    })
}

#[test]
fn tables_are_those_of_diffusers() {
    let mut lines = 0;
    for line in include_str!("golden/single.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [
            name,
            start,
            end,
            levels,
            rescale,
            quantity,
            sum,
            values @ ..,
        ] = words.as_slice()
        else {
            panic!("a line has seven words and values: {line}");
        };
        let (start, end) = (start.parse().unwrap(), end.parse().unwrap());
        let schedule = match *name {
            "linear" => BetaSchedule::Linear { start, end },
            "scaled_linear" => BetaSchedule::ScaledLinear { start, end },
            "squaredcos_cap_v2" => BetaSchedule::nichol2021_cosine(),
            "exp" => BetaSchedule::Exponential { rate: 12.0 },
            "laplace" => BetaSchedule::LaplaceRoot,
            "sigmoid" => BetaSchedule::Logistic { start, end },
            _ => panic!("{name} is no schedule of the golden file"),
        };
        let levels = levels.parse().unwrap();
        let table = Table::new(schedule, levels).unwrap();
        let table = match *rescale {
            "none" => table,
            "zero" => table.zero_terminal_snr().unwrap(),
            "floor" => table.zero_terminal_snr().unwrap().floored(),
            _ => panic!("{rescale} is no rescaling of the golden file"),
        };
        let found = match *quantity {
            "betas" => table.betas(),
            "alpha_bars" => table.alpha_bars(),
            "sigmas" => &table.sigmas(),
            _ => panic!("{quantity} is no quantity of the golden file"),
        };
        if *sum != "-" {
            assert_eq!(format!("{:016x}", checksum(found)), *sum, "{line}");
        }
        assert_eq!(values.len(), (levels - 1).div_ceil(97));
        for (&found, value) in found.iter().rev().skip(1).step_by(97).zip(values) {
            let expected: f64 = value.parse().unwrap();
            let error = (f64::from(found) - expected).abs();
            let allowed = match (*rescale, *quantity) {
                // One unit in the last place of a root or an exponential.
                ("none", _) => 1.5e-7 * expected,
                // beta = 1 - ratio, where the ratio is off by a few units in the last place of 1.
                (_, "betas") => 6e-7 + 1e-5 * expected,
                // Near pure noise √alpha_bar is a difference of almost equal roots.
                _ => 5e-5 * expected,
            };
            assert!(error <= allowed, "{found} is not {expected} in {line}");
        }
        lines += 1;
    }
    assert_eq!(lines, 3 * 210);
}
