//! Mixtures on a line: how fast Langevin dynamics forgets where it started, and what a score hears of the weights.

use ndarray::{Array1, Array2, Axis};

use super::rows::check_density;
use super::{ExactScore, GaussianMixture};
use crate::Error;

/// A number computed on a grid, and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refined {
    /// The number.
    pub value: f64,
    /// What the last refinement of the grid moved it by, at least the rounding.
    pub error: f64,
}

/// How many standard deviations beyond the outermost means a grid reaches: the density there is below e^−40.
const REACH: f64 = 9.0;

/// The log-density below which 1/q leaves the range of `f64`.
const DEEPEST: f64 = -700.0;

/// The spectral gap λ₁ of Langevin dynamics in q_σ: the smallest positive λ of (q f′)′ = −λ q f.
///
/// The dynamics dx = ∇ log q dt + √2 dw forgets where it started like e^(−λ₁ t), and no Poincaré constant is below 1/λ₁:
/// Var f ≤ E|∇f|²/λ₁ for all f.
/// For one Gaussian λ₁ is 1/(v + σ²), for any distribution at most 1/Var (take f = x), and between two modes it falls
/// exponentially with the depth of the valley; λ₁ (v + σ²), of one unit with the Gaussian's, tells how much of that the
/// noise has repaired.
/// Range (0, 1/Var\]; invariant to shifts, (v + σ²) times it to the scale of x and σ together.
/// It misleads where the start already has the right weights: the slowest mode may hold nothing.
/// The source of the operator, and of what its gap means: Pavliotis 2014, *Stochastic Processes and Applications*,
/// chapter 4.
///
/// The operator is discretised with the densities of `nodes` and twice as many points and inverted by two cumulative
/// sums of terms of one sign, so a gap of 1e-100 has as many digits as one of 1; the two results are extrapolated.
///
/// ```
/// use ndarray::array;
/// use score_objective::exact::{GaussianMixture, spectral_gap};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let two = GaussianMixture::new(array![0.8, 0.2], array![[-7.07], [7.07]], 1.0)?;
/// let clean = spectral_gap(&two, 0.0, 1000)?;
/// let noised = spectral_gap(&two, 5.0, 1000)?;
/// assert!(1e8 < noised.value / clean.value);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Count`] unless the mixture is one-dimensional and there are 100 nodes or more, and two for each standard
/// deviation of the narrowest mode: a grid that steps over a mode gives the gap of another mixture, and both of its
/// sizes agree on it. [`Error::Outside`] if the density between two modes falls below e^−700 of the largest.
///
/// # Panics
/// If σ is negative or not finite, or if σ = 0 and the mixture has no density.
#[doc(alias = "Poincaré constant")]
#[doc(alias = "relaxation time")]
pub fn spectral_gap(data: &GaussianMixture, sigma: f64, nodes: usize) -> Result<Refined, Error> {
    check(data, sigma)?;
    let (low, high, narrowest) = range(data, sigma);
    let least = ((2.0 * (high - low) / narrowest).ceil() as usize).max(100);
    if nodes < least {
        return Err(Error::Count {
            name: "number of nodes",
            least,
            most: usize::MAX,
            given: nodes,
        });
    }
    let coarse = gap_on_grid(data, sigma, nodes)?;
    let fine = gap_on_grid(data, sigma, 2 * nodes)?;
    // The error falls with the square of the spacing.
    Ok(Refined {
        value: (4.0 * fine - coarse) / 3.0,
        error: ((fine - coarse) / 3.0).abs().max(1e-13 * fine),
    })
}

/// The Fisher divergence E_p ‖∇ log p_σ − ∇ log q_σ‖² on a line: what score matching pays for taking q for p.
///
/// For two mixtures that differ in their weights alone it is what the score tells of the weights: nothing, where the
/// modes are far apart (Wenliang and Kanagawa 2020).
/// Range \[0, ∞), 0 only for p = q; invariant to shifts, σ² times it to the scale of x and σ together; not symmetric.
/// That it is small misleads as likeness: far modes with wrong weights are far in KL and next to nothing here.
/// Mixtures in more dimensions whose means lie on a line have the divergence of their projections to it.
///
/// Trapezoidal rule on a grid that is halved until nothing moves.
///
/// ```
/// use ndarray::array;
/// use score_objective::exact::{GaussianMixture, fisher_divergence};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let at = |mean: f64| GaussianMixture::new(array![1.0], array![[mean]], 1.0);
/// // Two Gaussians of one variance: the square of the distance over the square of the variance.
/// let found = fisher_divergence(&at(0.0)?, &at(3.0)?, 1.0)?;
/// assert!((found.value - 9.0 / 4.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Count`] unless both mixtures are one-dimensional.
///
/// # Panics
/// If σ is negative or not finite, or if σ = 0 and a mixture has no density.
#[doc(alias = "relative Fisher information")]
pub fn fisher_divergence(
    p: &GaussianMixture,
    q: &GaussianMixture,
    sigma: f64,
) -> Result<Refined, Error> {
    // A difference of scores is rounded by what they are, and both are of the order of 1/width.
    let rounding = |value: f64, width: f64| {
        1e-13 * value + 2e-16 * value.sqrt() / width + 1e-31 / (width * width)
    };
    mean_under(p, q, sigma, rounding, |x| {
        let apart = p.score(x.view(), sigma) - q.score(x.view(), sigma);
        apart.mapv_into(|s| s * s).remove_axis(Axis(1))
    })
}

/// The Kullback-Leibler divergence E_p \[log p_σ − log q_σ\] on a line, in nats.
///
/// Range \[0, ∞), 0 only for p = q; invariant to every change of x that both share; not symmetric.
/// It misleads where q all but vanishes on p: a part of no weight for p's samples decides it.
/// Noise lets it fall at half the rate of the [`fisher_divergence`]: d KL/d(σ²) = −½ FD, de Bruijn's identity for two
/// densities (Lyu 2009, theorem 1).
///
/// # Errors
/// [`Error::Count`] unless both mixtures are one-dimensional.
///
/// # Panics
/// If σ is negative or not finite, or if σ = 0 and a mixture has no density.
#[doc(alias = "relative entropy")]
pub fn kl_divergence(
    p: &GaussianMixture,
    q: &GaussianMixture,
    sigma: f64,
) -> Result<Refined, Error> {
    // Logarithms of densities are tens.
    let rounding = |value: f64, _width: f64| 1e-13 * value.abs() + 1e-15;
    mean_under(p, q, sigma, rounding, |x| {
        p.log_density(x.view(), sigma) - q.log_density(x.view(), sigma)
    })
}

/// E_p f by the trapezoidal rule, whose error falls exponentially for what is smooth, until it is the `rounding` of such a
/// value at the width of the narrowest mode.
fn mean_under(
    p: &GaussianMixture,
    q: &GaussianMixture,
    sigma: f64,
    rounding: impl Fn(f64, f64) -> f64,
    f: impl Fn(&Array2<f64>) -> Array1<f64>,
) -> Result<Refined, Error> {
    check(p, sigma)?;
    check(q, sigma)?;
    let (low, high, narrowest) = range(p, sigma);
    let on_grid = |nodes: usize| {
        let x = grid(low, high, nodes);
        let step = (high - low) / nodes as f64;
        let density = p.log_density(x.view(), sigma).mapv_into(f64::exp);
        (f(&x) * density).sum() * step
    };
    let mut nodes = (6.0 * (high - low) / narrowest).ceil() as usize;
    let mut value = on_grid(nodes);
    loop {
        nodes *= 2;
        let finer = on_grid(nodes);
        let moved = (finer - value).abs();
        value = finer;
        let rounding = rounding(value, narrowest);
        if moved <= rounding || (1 << 22) < nodes {
            let error = moved.max(rounding);
            return Ok(Refined { value, error });
        }
    }
}

/// The smallest positive eigenvalue, by inverse iteration.
fn gap_on_grid(data: &GaussianMixture, sigma: f64, nodes: usize) -> Result<f64, Error> {
    let (low, high, _) = range(data, sigma);
    // Even places carry f and the mass q, odd ones the slope of f and the conductance q.
    let points = data.log_density(grid(low, high, 2 * nodes).view(), sigma);
    let largest = points.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = points.iter().copied().fold(f64::INFINITY, f64::min);
    if lowest - largest < DEEPEST {
        return Err(Error::Outside {
            name: "lowest log-density between the modes, relative to the highest",
            least: DEEPEST,
            most: 0.0,
            value: lowest - largest,
        });
    }
    let density: Vec<f64> = points.iter().map(|l| (l - largest).exp()).collect();
    let mass: Vec<f64> = density.iter().step_by(2).copied().collect();
    let conductance: Vec<f64> = density.iter().skip(1).step_by(2).copied().collect();
    let total: f64 = mass.iter().sum();
    let step = (high - low) / nodes as f64;

    let mut f: Vec<f64> = (0..mass.len()).map(|i| i as f64).collect();
    let mut gap = f64::INFINITY;
    for _ in 0..10_000 {
        let mean = mass.iter().zip(&f).map(|(m, f)| m * f).sum::<f64>() / total;
        f.iter_mut().for_each(|f| *f -= mean);
        // −q g′ at the midpoints is the sum of q f on either side: each is summed where f has one sign.
        let turn = f.iter().position(|f| 0.0 < *f).unwrap_or(f.len());
        let mut flux = vec![0.0; conductance.len()];
        let mut left = 0.0;
        for i in 0..turn.min(flux.len()) {
            left -= mass[i] * f[i];
            flux[i] = left;
        }
        let mut right = 0.0;
        for i in (turn..flux.len()).rev() {
            right += mass[i + 1] * f[i + 1];
            flux[i] = right;
        }
        let mut next = vec![0.0; f.len()];
        let mut energy = 0.0;
        for i in 0..flux.len() {
            let slope = flux[i] / conductance[i];
            energy += slope * flux[i];
            next[i + 1] = next[i] + slope;
        }
        // It rises from end to end; over its length nothing overflows.
        let length = next[flux.len()];
        f = next.into_iter().map(|f| f / length).collect();
        let mean = mass.iter().zip(&f).map(|(m, f)| m * f).sum::<f64>() / total;
        let square: f64 = (mass.iter().zip(&f))
            .map(|(m, f)| m * (f - mean).powi(2))
            .sum();
        let found = energy / length / square / length / (step * step);
        if (found - gap).abs() <= 1e-14 * found {
            return Ok(found);
        }
        gap = found;
    }
    Ok(gap)
}

fn check(data: &GaussianMixture, sigma: f64) -> Result<(), Error> {
    check_density(data, sigma);
    if data.dim() != 1 {
        return Err(Error::Count {
            name: "dimension of a mixture on a line",
            least: 1,
            most: 1,
            given: data.dim(),
        });
    }
    Ok(())
}

/// From where to where a grid reaches, and the smallest standard deviation.
fn range(data: &GaussianMixture, sigma: f64) -> (f64, f64, f64) {
    let mut range = (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY);
    for (mean, variance) in data.means().iter().zip(data.variances()) {
        let std = (variance + sigma * sigma).sqrt();
        range.0 = range.0.min(mean - REACH * std);
        range.1 = range.1.max(mean + REACH * std);
        range.2 = range.2.min(std);
    }
    range
}

/// `intervals` + 1 equidistant points: \[intervals + 1, 1\].
fn grid(low: f64, high: f64, intervals: usize) -> Array2<f64> {
    let step = (high - low) / intervals as f64;
    Array2::from_shape_fn((intervals + 1, 1), |(i, _)| low + i as f64 * step)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};

    use super::*;

    fn mixture(weights: &[f64], means: &[f64], variance: f64) -> GaussianMixture {
        let means = Array2::from_shape_vec((means.len(), 1), means.to_vec()).unwrap();
        GaussianMixture::new(Array1::from(weights.to_vec()), means, variance).unwrap()
    }

    fn close(found: f64, wanted: f64, relative: f64) {
        assert!(
            (found - wanted).abs() <= relative * wanted.abs(),
            "{found} is not {wanted}"
        );
    }

    #[test]
    fn what_differs_by_rounding_alone_is_found_to_at_once() {
        // Modes at one place: the densities are the same, whatever the weights.
        let one = |weights: &[f64]| mixture(weights, &[3.0, 3.0], 1.0);
        let (p, q) = (one(&[0.8, 0.2]), one(&[0.5, 0.5]));
        let refined = fisher_divergence(&p, &q, 0.0).unwrap();
        assert!(
            refined.value < 1e-30 && refined.error < 1e-30,
            "{refined:?}"
        );
        assert!(kl_divergence(&p, &q, 0.0).unwrap().value.abs() < 1e-15);
        // Far from the modes two Gaussians of another mean: FD is the square of the distance over that of the variance.
        let far = |weights: &[f64]| mixture(weights, &[7.0, -7.0], 1.0);
        let refined = fisher_divergence(&far(&[0.8, 0.2]), &far(&[0.5, 0.5]), 1e6).unwrap();
        let wanted = 4.2_f64.powi(2) / 1e24;
        assert!(
            (refined.value - wanted).abs() < 1e-9 * wanted,
            "{refined:?}"
        );
        assert!(refined.error < 1e-8 * wanted);
    }

    #[test]
    fn the_gap_of_a_gaussian_is_the_reciprocal_of_its_variance() {
        for (variance, sigma) in [(1.0, 0.0), (0.3, 0.2), (0.0, 4.0)] {
            let gap = spectral_gap(&mixture(&[1.0], &[5.0], variance), sigma, 1000).unwrap();
            close(gap.value, 1.0 / (variance + sigma * sigma), 1e-7);
            assert!((gap.value * (variance + sigma * sigma) - 1.0).abs() < 1e-2 * gap.error + 1e-7);
        }
    }

    /// Eyring and Kramers: with two deep wells, λ₁ = 1/(π₁ π₂ ∫ dx/q), the integral over the valley.
    #[test]
    fn between_deep_wells_the_valley_decides() {
        for (weight, half) in [(0.5, 7.0), (0.8, 9.0), (0.8, 30.0)] {
            let data = mixture(&[weight, 1.0 - weight], &[half, -half], 1.0);
            let gap = spectral_gap(&data, 0.0, 8000).unwrap();
            let n = 100_000;
            let step = half / n as f64;
            let x = Array2::from_shape_fn((n, 1), |(i, _)| -half / 2.0 + i as f64 * step);
            let resistance = data.log_density(x.view(), 0.0).mapv(|l| (-l).exp()).sum() * step;
            let kramers = 1.0 / (weight * (1.0 - weight) * resistance);
            close(gap.value, kramers, 2.0 / (half * half));
        }
    }

    #[test]
    fn the_gap_is_below_the_reciprocal_variance_and_noise_repairs_it() {
        let data = mixture(&[0.6, 0.3, 0.1], &[-4.0, 0.5, 6.0], 0.7);
        let variance = data.covariance()[[0, 0]];
        let mut before = 0.0;
        for sigma in [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0] {
            let gap = spectral_gap(&data, sigma, 2000).unwrap().value;
            assert!(gap < 1.0 / (variance + sigma * sigma));
            let scaled = gap * (0.7 + sigma * sigma);
            assert!(before < scaled && scaled < 1.0);
            before = scaled;
        }
        assert!(0.9 < before);
    }

    #[test]
    fn a_grid_that_steps_over_a_mode_is_refused() {
        // The second mode is a ten-thousandth of a step wide: without it the gap would be 1, and it is 0.023.
        let means = Array2::from_shape_vec((2, 1), vec![0.0, 3.0]).unwrap();
        let widths = Array1::from(vec![1.0, 1e-8]);
        let data = GaussianMixture::with_variances(Array1::ones(2), means, widths).unwrap();
        let least = 360_000;
        assert!(matches!(
            spectral_gap(&data, 0.0, 400),
            Err(Error::Count { name: "number of nodes", least: found, given: 400, .. })
                if found.abs_diff(least) < 10
        ));
        let gap = spectral_gap(&data, 0.0, least + 10).unwrap();
        close(gap.value, 0.023_155_666, 1e-5);
        assert!(spectral_gap(&data, 1.0, 400).is_ok());
    }

    #[test]
    fn what_is_no_line_or_too_deep_is_refused() {
        let plane = GaussianMixture::song_ermon();
        assert!(matches!(
            spectral_gap(&plane, 1.0, 500),
            Err(Error::Count { given: 2, .. })
        ));
        let far = mixture(&[0.5, 0.5], &[-40.0, 40.0], 1.0);
        assert!(matches!(
            spectral_gap(&far, 0.0, 500),
            Err(Error::Outside { .. })
        ));
        assert!(spectral_gap(&far, 40.0, 500).is_ok());
        assert!(fisher_divergence(&plane, &far, 1.0).is_err());
    }

    #[test]
    fn divergences_of_gaussians_have_closed_forms() {
        let (p, q) = (mixture(&[1.0], &[1.0], 0.5), mixture(&[1.0], &[-1.5], 2.0));
        let sigma = 0.6_f64;
        let (v, w) = (0.5 + sigma * sigma, 2.0 + sigma * sigma);
        // s_p − s_q = (1/w − 1/v) y + 2.5/w, with y ~ N(0, v).
        let fisher = (1.0 / w - 1.0 / v).powi(2) * v + (2.5 / w).powi(2);
        let kl = 0.5 * (v / w - 1.0 + (w / v).ln() + 2.5 * 2.5 / w);
        close(
            fisher_divergence(&p, &q, sigma).unwrap().value,
            fisher,
            1e-11,
        );
        close(kl_divergence(&p, &q, sigma).unwrap().value, kl, 1e-11);
    }

    #[test]
    fn noise_lets_the_kl_divergence_fall_at_half_the_fisher_divergence() {
        let (p, q) = (
            mixture(&[0.8, 0.2], &[3.0, -3.0], 1.0),
            mixture(&[0.4, 0.6], &[3.0, -3.0], 1.0),
        );
        for variance in [0.25_f64, 1.0, 9.0] {
            let step = 1e-3 * variance;
            let kl = |v: f64| kl_divergence(&p, &q, v.sqrt()).unwrap().value;
            let slope = (kl(variance + step) - kl(variance - step)) / (2.0 * step);
            let fisher = fisher_divergence(&p, &q, variance.sqrt()).unwrap().value;
            close(-2.0 * slope, fisher, 1e-5);
        }
    }
}
