//! What peers do to the denoised state before they use it.

use crate::compat::Options;
use crate::{Coordinates, Error};

/// A bound on the coordinates of the denoised state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clip {
    /// Each coordinate is clamped to ±bound.
    Bound(f64),
    /// Dynamic thresholding, sample by sample: with s the quantile `ratio` of the coordinates' magnitudes,
    /// at least 1 and at most `most`, each coordinate is clamped to ±s and divided by s.
    ///
    /// For `most` = 1, the default of every class, it is clipping to ±1.
    ///
    /// Saharia et al. 2022, Imagen (<https://arxiv.org/abs/2205.11487>), section 2.3.
    Quantile {
        /// Which quantile, in [0, 1].
        ratio: f64,
        /// The largest s. Below 1 it wins over the least, which is 1.
        most: f64,
    },
}

impl Clip {
    /// Reads `thresholding`, `dynamic_thresholding_ratio` and `sample_max_value`; none without thresholding.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for a ratio outside [0, 1], or a largest value that is not positive.
    pub(crate) fn thresholding(options: &mut Options) -> Result<Option<Clip>, Error> {
        let on = options.flag("thresholding", false)?;
        let ratio = options.number("dynamic_thresholding_ratio", 0.995)?;
        let most = options.number("sample_max_value", 1.0)?;
        if !on {
            return Ok(None);
        }
        for (name, value, good) in [
            (
                "dynamic_thresholding_ratio",
                ratio,
                (0.0..=1.0).contains(&ratio),
            ),
            ("sample_max_value", most, 0.0 < most),
        ] {
            if !good {
                let given = crate::compat::Value::Number(value);
                return Err(options.refused(name, &given, "a ratio in [0, 1], a positive value"));
            }
        }
        Ok(Some(Clip::Quantile { ratio, most }))
    }

    /// Reads the same, and `clip_sample` and `clip_sample_range`, which thresholding overrides.
    ///
    /// # Errors
    /// As [`thresholding`](Clip::thresholding), and [`Error::OptionValue`] for a negative range.
    pub(crate) fn sample(options: &mut Options, default: bool) -> Result<Option<Clip>, Error> {
        let threshold = Clip::thresholding(options)?;
        let clip = Clip::range(options, default)?;
        Ok(threshold.or(clip))
    }

    /// Reads `clip_sample` and `clip_sample_range` alone.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for a negative range.
    pub(crate) fn range(options: &mut Options, default: bool) -> Result<Option<Clip>, Error> {
        let on = options.flag("clip_sample", default)?;
        let bound = options.number("clip_sample_range", 1.0)?;
        if bound < 0.0 {
            let given = crate::compat::Value::Number(bound);
            return Err(options.refused(
                "clip_sample_range",
                &given,
                "a number that is not negative",
            ));
        }
        Ok(on.then_some(Clip::Bound(bound)))
    }

    /// The state, clipped.
    pub(crate) fn apply<X: Coordinates>(self, denoised: &X) -> X {
        match self {
            Clip::Bound(bound) => denoised.apply(|value| value.clamp(-bound, bound)),
            Clip::Quantile { ratio, most } => {
                let samples: Vec<X> = denoised
                    .split()
                    .into_iter()
                    .map(|sample| {
                        let magnitudes = sample.values().into_iter().map(f64::abs).collect();
                        let s = quantile(magnitudes, ratio).max(1.0).min(most);
                        sample.apply(|value| value.clamp(-s, s) / s)
                    })
                    .collect();
                if samples.is_empty() {
                    denoised.clone()
                } else {
                    X::stack(&samples)
                }
            }
        }
    }
}

/// The quantile of these values, linear between the order statistics; 0 of none.
fn quantile(mut values: Vec<f64>, ratio: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return 0.0;
    };
    let position = ratio * last as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    values[below] + position.fract() * (values[above] - values[below])
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn samples_have_their_own_thresholds() {
        let x = array![[0.5, -3.0, 2.0], [0.1, 0.2, -0.3]];
        let clip = Clip::Quantile {
            ratio: 0.75,
            most: 10.0,
        };
        // Of 0.5, 2, 3 the quantile 3/4 lies halfway between 2 and 3; small samples are left alone.
        let expected = array![[0.2, -1.0, 0.8], [0.1, 0.2, -0.3]];
        assert!(
            (clip.apply(&x) - expected)
                .iter()
                .all(|d: &f64| d.abs() < 1e-15)
        );
        let plain = Clip::Quantile {
            ratio: 0.75,
            most: 1.0,
        };
        assert_eq!(plain.apply(&x), Clip::Bound(1.0).apply(&x));
        let empty: Array2<f64> = Array2::zeros((0, 3));
        assert_eq!(clip.apply(&empty), empty);
    }
}
