//! The map: marks over all cells at once, and the numbers beside rows and columns.

use learnability::Error;
use learnability::gram::SignFlip;
use learnability::index::{jain, level_aware};
use learnability::interval::{Confidence, Interval};
use learnability::map::{Cell, Column, LearnabilityMap, Mark, Measurement, Objective};

fn measured(gsnr: Option<f64>, p: f64) -> Measurement {
    let confidence = Confidence::new(0.95).unwrap();
    Measurement {
        gsnr: gsnr.map(|estimate| Interval {
            estimate,
            low: estimate - 1.0,
            high: estimate + 1.0,
            confidence,
        }),
        test: SignFlip {
            p,
            floor: 0.001,
            exact: false,
        },
    }
}

fn columns(labels: &[&str]) -> Vec<Column> {
    let column = |label: &&str| Column {
        label: (*label).to_owned(),
        noise_level: label.parse().ok(),
    };
    labels.iter().map(column).collect()
}

fn units(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Three units at two levels; the p-values are those that Benjamini and Hochberg treat otherwise than Bonferroni.
fn example() -> LearnabilityMap {
    LearnabilityMap::new(
        units(&["first", "middle", "last"]),
        columns(&["0.1", "1"]),
        Objective::Own,
        vec![
            measured(Some(-0.2), 0.6),
            measured(Some(0.5), 0.03),
            measured(None, 1.0),
            measured(Some(2.0), 0.02),
            measured(Some(0.25), 0.03),
            measured(Some(8.0), 0.001),
        ],
        0.05,
    )
    .unwrap()
}

#[test]
fn cells_are_judged_together() {
    let map = example();
    let marks: Vec<Mark> = map.rows().flatten().map(|c| c.mark).collect();
    use Mark::{Audible, Silent};
    assert_eq!(marks, [Silent, Audible, Silent, Audible, Audible, Audible]);
    // 6 · 0.03 / 4: the largest p that passes, by the rank it has among six.
    assert!((map.cell(0, 1).p - 0.045).abs() < 1e-15);
    assert!((map.cell(1, 1).p - 0.045).abs() < 1e-15); // 6 · 0.02 / 2 = 0.06, but no smaller p may have a larger one
    assert!((map.cell(2, 1).p - 0.006).abs() < 1e-15);
    let cell: &Cell = map.cell(1, 1);
    assert_eq!(cell.gsnr.unwrap().estimate, 2.0);
    assert_eq!(map.extent(), Some((0.25, 8.0)));
    assert_eq!(map.columns()[1].noise_level, Some(1.0));
    assert_eq!((map.units().len(), map.objective()), (3, Objective::Own));
}

#[test]
fn summaries_take_access_from_audible_cells_only() {
    let map = example();
    let rows = map.by_unit(2.0);
    assert_eq!(rows[0].name, "first");
    assert_eq!((rows[0].median, rows[0].silent_fraction), (Some(0.15), 0.5));
    assert_eq!(rows[0].jain, Some(0.5)); // access 0 and 0.5
    assert_eq!(rows[0].level_aware, level_aware(&[0.0, 0.5], 2.0));
    assert_eq!((rows[1].median, rows[1].silent_fraction), (Some(2.0), 0.5));
    assert_eq!(rows[2].jain, jain(&[0.25, 8.0]));

    let columns = map.by_column(2.0);
    assert_eq!(columns[0].name, "0.1");
    assert_eq!(columns[0].silent_fraction, 2.0 / 3.0);
    assert_eq!(columns[1].median, Some(2.0));
    assert_eq!(columns[1].level_aware, level_aware(&[0.5, 2.0, 8.0], 2.0));
}

#[test]
fn a_map_without_sound_has_no_extent() {
    let map = LearnabilityMap::new(
        units(&["only"]),
        columns(&["own loss"]),
        Objective::Counterfactual,
        vec![measured(Some(3.0), 0.4)],
        0.05,
    )
    .unwrap();
    assert_eq!((map.extent(), map.columns()[0].noise_level), (None, None));
    let row = &map.by_unit(1.0)[0];
    assert_eq!((row.median, row.silent_fraction), (Some(3.0), 1.0));
    assert_eq!((row.jain, row.level_aware), (None, Some(0.0)));
}

/// An estimate below zero is no access, though the test of the same gradients may hear one.
#[test]
fn an_audible_cell_with_a_negative_estimate_has_no_access() {
    let map = LearnabilityMap::new(
        units(&["below", "above"]),
        columns(&["1"]),
        Objective::Own,
        vec![measured(Some(-0.5), 0.001), measured(Some(2.0), 0.001)],
        0.05,
    )
    .unwrap();
    assert_eq!(map.cell(0, 0).mark, Mark::Audible);
    assert_eq!(map.extent(), Some((2.0, 2.0)));
    let column = &map.by_column(2.0)[0];
    assert_eq!(column.jain, jain(&[0.0, 2.0]));
    assert_eq!(column.level_aware, level_aware(&[0.0, 2.0], 2.0));
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    let new = |columns, measurements: Vec<Measurement>, rate| {
        LearnabilityMap::new(
            units(&["a", "b"]),
            columns,
            Objective::Own,
            measurements,
            rate,
        )
        .map(|_| ())
    };
    let one = measured(Some(1.0), 0.01);
    assert_eq!(
        new(columns(&["1"]), vec![one], 0.05)
            .unwrap_err()
            .to_string(),
        "cells of a map: 2 are needed, but there are 1; give one for each"
    );
    assert!(matches!(
        new(vec![], vec![], 0.05),
        Err(Error::TooFew { .. })
    ));
    assert!(matches!(
        new(columns(&["1"]), vec![one; 2], 0.0),
        Err(Error::OutOfRange { .. })
    ));
    // 51 cells at a floor of 0.001: no lone cell could ever be heard.
    let labels = vec!["x"; 26];
    let coarse = new(columns(&labels), vec![one; 52], 0.05).unwrap_err();
    assert_eq!(
        coarse.to_string(),
        "silence marks: a test with p of at least 0.001 cannot single out one of 52 cells at rate 0.05; use more micro-batches and at least 1040 flips"
    );
    assert_eq!(new(columns(&labels[..25]), vec![one; 50], 0.05), Ok(()));
}
