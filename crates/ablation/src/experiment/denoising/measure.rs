//! What is measured of a network that denoises.

use crate::{experiment::Metric, summary::Better};

/// log10 of the relative squared error that knowing nothing has.
const NOTHING: Option<f64> = Some(0.0);

/// A power that is off by more decades counts as this.
pub(super) const FURTHEST: f64 = 3.0;

const LOST: Option<f64> = Some(FURTHEST);

const fn metric(
    name: &'static str,
    unit: &'static str,
    better: Better,
    worst: Option<f64>,
    meaning: &'static str,
) -> Metric {
    Metric {
        name,
        unit,
        meaning,
        better,
        worst,
    }
}

/// *Ranges*: errors in decades in `(−∞, 0]`, 0 what knowing nothing has, and so for what is worse; relative errors in the box
/// in `[0, ∞)`; shares in `[0, 1]`; `steps_to_threshold` up to all steps; `reached` 0 or 1; `band_slope` real.
/// *Misleading*: errors are means over q_σ, and say little of where q_σ is small: the quintiles and the box do. A geometric
/// mean over levels hides one bad level behind good ones, and levels are weighed as the study lists them. Steps to the
/// threshold are a bound where it was not reached: read `reached` first. Bands that were not learned are left out of
/// `band_slope`. Shares of a box depend on the box.
/// *Source*: defined here; the box after Song & Ermon 2019, figure 2, band times after Wang & Pehlevan 2025.
pub(super) const METRICS: &[Metric] = &[
    metric(
        "error",
        "decades",
        Better::Lower,
        NOTHING,
        "log10 of the relative squared error of the score, geometric mean over the measured levels, at the end",
    ),
    metric(
        "error_smallest",
        "decades",
        Better::Lower,
        NOTHING,
        "the same at the smallest measured level alone",
    ),
    metric(
        "steps_to_threshold",
        "steps",
        Better::Lower,
        None,
        "steps until the error is at the threshold, interpolated; all steps where it never was",
    ),
    metric(
        "reached",
        "",
        Better::Higher,
        Some(0.0),
        "1 if the threshold was reached",
    ),
    metric(
        "top_error",
        "decades",
        Better::Lower,
        NOTHING,
        "log10 of the relative squared error of the score in the finest octave, at the smallest measured level",
    ),
    metric(
        "coarse_error",
        "decades",
        Better::Lower,
        NOTHING,
        "log10 of the relative squared error of the score below the finest octave, at the largest measured level",
    ),
    metric(
        "sampled_few",
        "decades",
        Better::Lower,
        LOST,
        "size of log10 of the power of the finest octave of samples, over that of samples by the exact score from the same noise in as many steps, at the first number of steps",
    ),
    metric(
        "sampled_many",
        "decades",
        Better::Lower,
        LOST,
        "the same at the last number of steps",
    ),
    metric(
        "sampled_drift",
        "decades",
        Better::Lower,
        LOST,
        "the second less the first",
    ),
    metric(
        "band_slope",
        "",
        Better::Descriptive,
        None,
        "slope of log10 time over log10 power of the bands whose gain came within a tenth of the best",
    ),
    metric(
        "bands_learned",
        "",
        Better::Higher,
        Some(0.0),
        "share of the bands whose gain came within a tenth of the best",
    ),
    metric(
        "audible",
        "",
        Better::Higher,
        Some(0.0),
        "share of the box where the score is found at one measured level at least",
    ),
    metric(
        "audible_smallest",
        "",
        Better::Higher,
        Some(0.0),
        "share of the box where the score is found at the smallest measured level",
    ),
    metric(
        "error_on_data",
        "",
        Better::Lower,
        Some(1.0),
        "relative error of the score on q_σ at the smallest measured level",
    ),
    metric(
        "error_in_box",
        "",
        Better::Lower,
        Some(1.0),
        "relative error of the score, uniform on the box, at the smallest measured level",
    ),
    metric(
        "quintile_1",
        "",
        Better::Lower,
        Some(1.0),
        "relative error of the score in the fifth of the box with the lowest density",
    ),
    metric(
        "quintile_2",
        "",
        Better::Lower,
        Some(1.0),
        "the same in the second fifth",
    ),
    metric(
        "quintile_3",
        "",
        Better::Lower,
        Some(1.0),
        "the same in the third fifth",
    ),
    metric(
        "quintile_4",
        "",
        Better::Lower,
        Some(1.0),
        "the same in the fourth fifth",
    ),
    metric(
        "quintile_5",
        "",
        Better::Lower,
        Some(1.0),
        "the same in the fifth of the box with the highest density",
    ),
    metric(
        "parameters",
        "",
        Better::Descriptive,
        None,
        "trained numbers of the network",
    ),
];
