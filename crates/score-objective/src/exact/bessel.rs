//! Averages over a sphere: ratios and logarithms of modified Bessel functions, at any argument.

/// The average of exp(k y₁) over y uniform on the unit sphere S^{d−1}, by its logarithm and derivative.
///
/// With ν = d/2 − 1 it is Γ(ν+1) (2/k)^ν I_ν(k), and its logarithmic derivative is A_d(k) = I_{ν+1}(k)/I_ν(k), the mean
/// resultant length of the von Mises-Fisher distribution.
/// Accurate to about 1e-12 for k from 0 to 1e8 and d from 2 to thousands.
#[derive(Debug, Clone, Copy)]
pub(super) struct SphereAverage {
    order: f64,
    ln_gamma: f64,
}

impl SphereAverage {
    /// For S^{d−1}, 2 ≤ d.
    pub(super) fn new(d: usize) -> SphereAverage {
        SphereAverage {
            order: d as f64 / 2.0 - 1.0,
            ln_gamma: ln_gamma_half(d),
        }
    }

    /// A_d(k)/k, which is 1/d at k = 0.
    pub(super) fn resultant_over(self, k: f64) -> f64 {
        if hankel_converges(self.order + 1.0, k) {
            return hankel_sum(self.order + 1.0, k) / hankel_sum(self.order, k) / k;
        }
        // Backwards through g_m = I_{m+1}/(k I_m), g_{m-1} = 1/(2m + k² g_m): stable, without a division by k.
        // An error at the top shrinks by (k g_m)² per step, to nothing over these many steps.
        let steps = 20 + (6.1 * k.sqrt()) as usize;
        let top = self.order + steps as f64;
        let start = 1.0 / (top + 1.0 + (top + 1.0).hypot(k));
        (1..=steps).rev().fold(start, |g, step| {
            1.0 / (2.0 * (self.order + step as f64) + k * k * g)
        })
    }

    /// 1 − A_d(k), which keeps its digits where A_d is close to 1.
    pub(super) fn resultant_complement(self, k: f64) -> f64 {
        if hankel_converges(self.order + 1.0, k) {
            // S_ν − S_{ν+1}, term by term: the leading ones, both 1, cancel exactly.
            let (mut term, mut above, mut difference) = (1.0_f64, 1.0_f64, 0.0_f64);
            let square = 4.0 * self.order * self.order;
            let square_above = 4.0 * (self.order + 1.0).powi(2);
            let mut j = 1.0_f64;
            while 1e-18 * difference.abs() < term.abs().max(above.abs()) && j < 64.0 {
                let odd = (2.0 * j - 1.0).powi(2);
                let scale = 1.0 / (8.0 * j * k);
                (term, above) = (
                    term * (odd - square) * scale,
                    above * (odd - square_above) * scale,
                );
                difference += term - above;
                j += 1.0;
            }
            return difference / hankel_sum(self.order, k);
        }
        1.0 - k * self.resultant_over(k)
    }

    /// A_d'(k) = 1 − A_d(k)² − (d − 1) A_d(k)/k, the variance of y₁; 1/d at k = 0.
    pub(super) fn resultant_slope(self, k: f64) -> f64 {
        let above = SphereAverage {
            order: self.order + 1.0,
            ..self
        };
        let over = self.resultant_over(k);
        if hankel_converges(self.order + 2.0, k) {
            // The terms of the definition cancel to the order of k⁻²; here only to that of k⁻¹.
            let complements = above.resultant_complement(k) - self.resultant_complement(k);
            return k * over * (1.0 / k - complements);
        }
        1.0 - (k * over).powi(2) - (2.0 * self.order + 1.0) * over
    }

    /// log of the average of exp(k y₁), less k: never positive, never overflows.
    pub(super) fn ln_average_scaled(self, k: f64) -> f64 {
        if hankel_converges(self.order, k) {
            return self.ln_gamma + self.order * (2.0 / k).ln()
                - 0.5 * (std::f64::consts::TAU * k).ln()
                + hankel_sum(self.order, k).ln();
        }
        // Σ (k²/4)^j / (j! (ν+1)_j): all terms positive, rescaled before they overflow.
        const RESCALE: f64 = 1e280;
        let quarter = k * k / 4.0;
        let (mut term, mut sum, mut ln_scale, mut j) = (1.0, 1.0, 0.0, 1.0);
        loop {
            let ratio = quarter / (j * (self.order + j));
            term *= ratio;
            sum += term;
            if ratio < 0.5 && term < 1e-18 * sum {
                return ln_scale + sum.ln() - k;
            }
            if RESCALE < sum {
                term /= RESCALE;
                sum /= RESCALE;
                ln_scale += RESCALE.ln();
            }
            j += 1.0;
        }
    }
}

/// Whether [`hankel_sum`] reaches rounding error: its terms fall from the first and their minimum is below e^{−2k}.
fn hankel_converges(order: f64, k: f64) -> bool {
    f64::max(30.0, 2.0 * order * order) < k
}

/// S with I_ν(k) = e^k S/√(2πk): Hankel's expansion for large arguments (Abramowitz and Stegun 9.7.1).
fn hankel_sum(order: f64, k: f64) -> f64 {
    let (mut term, mut sum, mut j) = (1.0_f64, 1.0_f64, 1.0_f64);
    while 1e-18 < term.abs() && j < 64.0 {
        term *= ((2.0 * j - 1.0).powi(2) - 4.0 * order * order) / (8.0 * j * k);
        sum += term;
        j += 1.0;
    }
    sum
}

/// ln Γ(d/2).
fn ln_gamma_half(d: usize) -> f64 {
    let (start, base) = if d.is_multiple_of(2) {
        (2, 0.0)
    } else {
        (1, 0.5 * std::f64::consts::PI.ln())
    };
    base + (start..d)
        .step_by(2)
        .map(|i| (i as f64 / 2.0).ln())
        .sum::<f64>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// (d, k, A_d(k), log average − k), from mpmath's besseli with 40 digits.
    const KNOWN: &[(usize, f64, f64, f64)] = &[
        (2, 1e-06, 4.999999999999375e-07, -9.9999975e-07),
        (2, 0.5, 0.24249961258080194, -0.4384502808145187),
        (2, 3.0, 0.8099852939565045, -1.414692378186579),
        (2, 29.0, 0.9826045649212051, -2.5981989628497697),
        (2, 31.0, 0.9837364720129979, -2.6318325376335863),
        (2, 10000.0, 0.999949998749875, -5.524096218567699),
        (2, 100000000.0, 0.999999995, -10.129278903930855),
        (3, 0.5, 0.16395341373865285, -0.4586751453870819),
        (3, 31.0, 0.967741935483871, -4.127134385045092),
        (3, 100000000.0, 0.99999999, -19.11382792451231),
        (7, 3.0, 0.3787387133043769, -2.397049696843255),
        (7, 250.0, 0.9880481919906725, -14.561503732462908),
        (7, 100000000.0, 0.9999999700000003, -53.247139241314834),
        (16, 29.0, 0.7709474321108767, -13.647564095758586),
        (16, 250.0, 0.9703914921821669, -29.050393164014864),
        (16, 10000.0, 0.9992502437743489, -56.62173731982915),
        (16, 100000000.0, 0.9999999250000025, -125.69685273161238),
        (512, 3.0, 0.005859174630721089, -2.9912110877803717),
        (512, 250.0, 0.4074465725138327, -194.59791704288213),
        (512, 10000.0, 0.9747751034105684, -1018.9474952958244),
        (512, 300000.0, 0.9991486945830833, -1884.8105771840465),
        (512, 100000000.0, 0.9999974450032513, -3368.938561575599),
    ];

    #[test]
    fn known_values() {
        for &(d, k, resultant, ln_average) in KNOWN {
            let average = SphereAverage::new(d);
            let a = average.resultant_over(k) * k;
            assert!(
                (a / resultant - 1.0).abs() < 1e-13,
                "A_{d}({k}): {a} vs {resultant}"
            );
            let l = average.ln_average_scaled(k);
            // Small arguments: the sum is 1 + O(k²), so only the absolute error can be small.
            let tolerance = 2e-13 * (1.0 + ln_average.abs().max(k.min(1e3)));
            assert!(
                (l - ln_average).abs() < tolerance,
                "L_{d}({k}): {l} vs {ln_average}"
            );
        }
    }

    /// (d, k, 1 − A_d(k), A_d'(k)), from mpmath with 60 digits.
    const COMPLEMENTS: &[(usize, f64, f64, f64)] = &[
        (2, 0.5, 0.757500387419198, 0.4561947127365571),
        (2, 31.0, 0.016263527987002126, 0.0005291190503558034),
        (2, 1e4, 5.000125012501954e-05, 5.0002500375078146e-09),
        (2, 1e8, 5.0000000125e-09, 5.0000000250000004e-17),
        (3, 31.0, 0.03225806451612903, 0.001040582726326743),
        (3, 1e8, 1e-8, 1e-16),
        (7, 250.0, 0.011951808009327483, 4.761369618699915e-05),
        (7, 1e8, 2.99999997e-08, 2.9999999399999993e-16),
        (16, 29.0, 0.22905256788912332, 0.006874143760846903),
        (16, 250.0, 0.02960850781783307, 0.0001168623695374438),
        (16, 1e4, 0.0007497562256510619, 7.495124269792588e-08),
        (512, 250.0, 0.5925534274861672, 0.0011664963284560112),
        (512, 3e5, 0.0008513054169166386, 2.836480553643132e-09),
        (512, 1e8, 2.5549967487624675e-06, 2.5549934975249027e-14),
    ];

    #[test]
    fn what_is_left_of_one_keeps_its_digits() {
        for &(d, k, complement, slope) in COMPLEMENTS {
            let average = SphereAverage::new(d);
            let found = average.resultant_complement(k);
            assert!(
                (found / complement - 1.0).abs() < 1e-12,
                "1 - A_{d}({k}): {found}"
            );
            // It is a difference of numbers of order 1/k.
            let found = average.resultant_slope(k);
            let tolerance = 1e-12 * slope + 2e-14 * complement;
            assert!(
                (found - slope).abs() < tolerance,
                "A_{d}'({k}): {found} vs {slope}"
            );
        }
    }

    #[test]
    fn limits_at_zero() {
        let average = SphereAverage::new(6);
        assert!((average.resultant_over(0.0) - 1.0 / 6.0).abs() < 1e-16);
        assert_eq!(average.ln_average_scaled(0.0), 0.0);
        assert_eq!(average.resultant_complement(0.0), 1.0);
        assert!((average.resultant_slope(0.0) - 1.0 / 6.0).abs() < 1e-15);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_derivative_of_the_logarithm_is_the_ratio(d in 2_usize..40, ln_k in -3.0..7.0_f64) {
            let (average, k) = (SphereAverage::new(d), ln_k.exp());
            let h = 1e-4 * k;
            let slope = (average.ln_average_scaled(k + h) - average.ln_average_scaled(k - h))
                / (2.0 * h) + 1.0;
            prop_assert!((slope - average.resultant_over(k) * k).abs() < 1e-7);
        }

        #[test]
        fn neighbouring_orders_satisfy_the_recurrence(d in 2_usize..200, ln_k in -20.0..18.0_f64) {
            // I_{m-1} - I_{m+1} = (2m/k) I_m, divided by I_{m-1}, with m = d/2.
            let k = ln_k.exp();
            let g = SphereAverage::new(d).resultant_over(k);
            let next = SphereAverage::new(d + 2).resultant_over(k);
            prop_assert!((g * (d as f64 + k * k * next) - 1.0).abs() < 1e-12);
        }
    }
}
