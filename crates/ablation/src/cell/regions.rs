//! The score error by region of the data: where they are dense or thin, and mode by mode.

use ndarray::{Array1, Array2, Axis};

use crate::{probe, record::Record};

/// Parts of equally many points, from the thinnest to the densest.
const DECILES: usize = 10;

/// Enters log₁₀ E|s − s*|²/E|s*|² over the points of each decile of the density, and of each component.
///
/// A point belongs to the component that has the largest share of it; a region without points has no number.
///
/// # Shapes
/// `found`, `wanted`: scores \[n, d\]; `density`: log-density at the n points; `shares`: \[n, components\].
pub(super) fn enter(
    record: &mut Record,
    found: &Array2<f64>,
    wanted: &Array2<f64>,
    density: &Array1<f64>,
    shares: Option<&Array2<f64>>,
) {
    let error = |rows: &[usize]| {
        let [found, wanted] = [found, wanted].map(|scores| scores.select(Axis(0), rows));
        probe::relative_error(found.view(), wanted.view()).log10()
    };
    let n = density.len();
    let mut thin_first: Vec<usize> = (0..n).collect();
    thin_first.sort_by(|a, b| density[*a].total_cmp(&density[*b]));
    let deciles = (0..DECILES).filter_map(|decile| {
        let rows = &thin_first[decile * n / DECILES..(decile + 1) * n / DECILES];
        (!rows.is_empty()).then(|| (decile as f64 + 1.0, String::new(), error(rows)))
    });
    record.curve(
        "score_error_by_density",
        ["decile of density, thinnest first", "score error, log10"],
        false,
        deciles.collect(),
    );
    let Some(shares) = shares else { return };
    let of = modes(shares);
    let modes = (0..shares.ncols()).filter_map(|mode| {
        let rows: Vec<usize> = (0..n).filter(|&row| of[row] == mode).collect();
        (!rows.is_empty()).then(|| (mode as f64 + 1.0, format!("{}", mode + 1), error(&rows)))
    });
    record.curve(
        "score_error_by_mode",
        ["mode", "score error, log10"],
        false,
        modes.collect(),
    );
}

/// The component that has the largest share of each point.
///
/// # Shapes
/// `shares`: \[n, components\], at least one of them.
pub(super) fn modes(shares: &Array2<f64>) -> Vec<usize> {
    let largest = |row: ndarray::ArrayView1<'_, f64>| {
        let numbered = row.iter().enumerate();
        let (place, _) = numbered.max_by(|a, b| a.1.total_cmp(b.1))?;
        Some(place)
    };
    let of = shares.outer_iter().map(largest);
    of.map(|mode| mode.expect("a mixture has components"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{STUDY, plan, record},
        record::Point,
    };

    #[test]
    fn an_error_shows_where_it_is_and_nowhere_else() {
        let (cell, _) = plan(STUDY).expect("the study is sound").cells().remove(0);
        let mut record = record(&cell, 0.0);
        // Twenty points of score (1, 1); every second one in the other component, the density falling.
        let wanted = Array2::ones((20, 2));
        let density = Array1::from_iter((0..20).map(|i| -f64::from(i)));
        let shares = Array2::from_shape_fn((20, 2), |(i, k)| if i % 2 == k { 0.9 } else { 0.1 });
        let mut found = wanted.clone() * 1.1;
        // Point 18 is in the thinnest decile and in component 1.
        found[[18, 0]] = 3.0;
        enter(&mut record, &found, &wanted, &density, Some(&shares));
        let y = |name: &str| -> Vec<f64> {
            record.curves[name]
                .points
                .iter()
                .map(|point: &Point| point.y)
                .collect()
        };
        let small = 0.01_f64.log10();
        let deciles = y("score_error_by_density");
        assert_eq!(deciles.len(), 10);
        // Two points: (4 + 0.01 + 0.02) over 4.
        assert!((deciles[0] - (4.03_f64 / 4.0).log10()).abs() < 1e-12);
        assert!(
            deciles[1..]
                .iter()
                .all(|error| (error - small).abs() < 1e-12)
        );
        let modes = y("score_error_by_mode");
        assert_eq!(modes.len(), 2);
        // Ten points: (4 + 0.01 + 9 · 0.02) over 20.
        assert!((modes[0] - (4.19_f64 / 20.0).log10()).abs() < 1e-12);
        assert!((modes[1] - small).abs() < 1e-12);
    }
}
