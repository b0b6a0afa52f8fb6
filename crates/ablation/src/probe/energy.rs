//! Energy distance between two samples.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// One side of many energy distances: its own mean pair distance is computed once.
#[derive(Clone, Debug)]
pub struct Reference {
    points: Array2<f64>,
    within: f64,
}

impl Reference {
    /// Takes the points to compare with, one a row.
    pub fn new(points: Array2<f64>) -> Reference {
        let within = mean_distance(points.view(), points.view());
        Reference { points, within }
    }

    /// 2 E|X − Y| − E|X − X′| − E|Y − Y′| (Székely & Rizzo 2013, V-statistic): ≥ 0, and 0 only for equal samples.
    ///
    /// *Range*: `[0, ∞)`; NaN for samples that are not finite.
    /// *Invariances*: rotation and shift of both; where both grow by `a`, it does.
    /// *Misleading*: as a V-statistic it counts each point with itself, so of finite samples of one law it is above 0, by
    /// about E|X − X′| (1/n + 1/m): compare it with that of fresh data. In many dimensions it sees location and total spread
    /// rather than shape.
    ///
    /// # Shapes
    ///
    /// `samples`: \[n, d\] with the `d` of the reference.
    pub fn energy_distance(&self, samples: ArrayView2<'_, f64>) -> f64 {
        if samples.iter().any(|v| !v.is_finite()) {
            return f64::NAN;
        }
        let between = mean_distance(samples, self.points.view());
        (2.0 * between - mean_distance(samples, samples) - self.within).max(0.0)
    }
}

/// Mean Euclidean distance over all pairs.
fn mean_distance(x: ArrayView2<'_, f64>, y: ArrayView2<'_, f64>) -> f64 {
    let squares =
        |a: ArrayView2<'_, f64>| -> Array1<f64> { a.map_axis(Axis(1), |row| row.dot(&row)) };
    let (xx, yy) = (squares(x), squares(y));
    let products = x.dot(&y.t());
    let mut sum = 0.0;
    for (row, x2) in products.outer_iter().zip(xx.iter()) {
        sum += row
            .iter()
            .zip(yy.iter())
            .map(|(xy, y2)| (x2 + y2 - 2.0 * xy).max(0.0).sqrt())
            .sum::<f64>();
    }
    sum / (x.nrows() * y.nrows()) as f64
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn known_answers() {
        // Two points at distance 5 from a reference of one point: 2·5 − 0 − 0.
        let reference = Reference::new(array![[0.0, 0.0]]);
        assert!((reference.energy_distance(array![[3.0, 4.0]].view()) - 10.0).abs() < 1e-12);
        // Samples {0, 2} against {1}: 2·1 − (0 + 2 + 2 + 0)/4 = 1.
        assert!(
            (Reference::new(array![[1.0]]).energy_distance(array![[0.0], [2.0]].view()) - 1.0)
                .abs()
                < 1e-12
        );
        let same = array![[0.3, 1.0], [2.0, -1.0], [0.5, 0.5]];
        assert!(Reference::new(same.clone()).energy_distance(same.view()) < 1e-12);
    }

    #[test]
    fn of_two_normals_matches_the_closed_form() {
        // Quantiles stand in for draws: 2[2/√π e^{−m²/4} + m erf(m/2)] − 4/√π.
        use statrs_free_normal_quantile as quantile;
        let n = 2000;
        let grid: Vec<f64> = (0..n)
            .map(|i| quantile((i as f64 + 0.5) / n as f64))
            .collect();
        let x = Array2::from_shape_vec((n, 1), grid).expect("shape");
        let reference = Reference::new(x.clone());
        for (m, wanted) in [(0.5, 0.139_596_3), (1.0, 0.541_806_6), (2.0, 1.944_259_8)] {
            let found = reference.energy_distance((&x + m).view());
            assert!((found - wanted).abs() < 2e-3, "{m}: {found}");
        }
    }

    /// The normal quantile by bisection on the error function's series: enough for a test.
    fn statrs_free_normal_quantile(p: f64) -> f64 {
        let cdf = |x: f64| {
            let steps = 400;
            let h = x / f64::from(steps);
            let pdf = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
            // Simpson's rule from 0 to x.
            let mut sum = pdf(0.0) + pdf(x);
            for i in 1..steps {
                sum += pdf(h * f64::from(i)) * if i % 2 == 1 { 4.0 } else { 2.0 };
            }
            0.5 + sum * h / 3.0
        };
        let (mut low, mut high) = (-6.0, 6.0);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if cdf(middle) < p {
                low = middle
            } else {
                high = middle
            }
        }
        0.5 * (low + high)
    }
}
