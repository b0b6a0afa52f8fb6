//! The tables: the built-in studies and every probe with what its number means.
//!
//! | probes | range | when they mislead |
//! |---|---|---|
//! | energy distance, band power error, distance to the manifold | decades; at most that of the do-nothing sample, which a diverged cell takes | the smaller they are the more they are of the finite sample: read the floor of fresh data beside them; the energy distance hardly sees shape in many dimensions, band powers see no phases, and a point on the manifold may be in the wrong place on it |
//! | error of mode weights | `[0, 1]`, 1 for a diverged cell | what lies between modes has shares too |
//! | score errors | decades; 0 for a network that answers nothing | arms aim at different scores on data, so compare within a noise setting; points with large scores decide |
//! | cosine with the score | `[−1, 1]` | blind to length |
//! | gradient first/last | decades, real | two layers stand for all; Adam equalises it in training |
//! | silent layers | `[0, 1]` | Adam divides the size of gradients out, so an update that is not absorbed need not follow a signal |
//! | silent units, GSNR and fairness of the map | `[0, 1]`, real, `[0, 1]` | near a minimum there is little signal left; about so many micro-batches; Λ rises with units that are easily heard, and counts a unit that is just not audible as nothing |
//! | agreement and conflict of noise levels | real, about `[−1, 1]` | where training has come to rest the gradients of the levels cancel, whatever the weights, so look while it learns; undefined where a level has no signal that so many micro-batches hear; the most conflicting of many pairs is low by chance |
//! | gradient noise scale | decades | of this network at this step; levels are drawn in strata, so that it depends a little on the size of a micro-batch |
//! | norm of features | decades | the read-out normalises, so that a norm may grow without any effect on the result |
//! | training loss, denoising error | real, decades | of unlike objectives they are not comparable |
//!
//! Formulas and sources are where the numbers are made: [`crate::probe`], `learnability::{gradient, silence, index, map}`.

use crate::summary::{Better, ProbeInfo};

/// A study, or a folder of studies, that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// The name that `ablate NAME` takes.
    pub name: &'static str,
    /// Its files: name and text.
    pub files: &'static [(&'static str, &'static str)],
}

/// The built-in studies.
pub const STUDIES: &[BuiltIn] = &[
    BuiltIn {
        name: "default",
        files: &[
            (
                "folder.toml",
                include_str!("../studies/default/folder.toml"),
            ),
            (
                "circle.toml",
                include_str!("../studies/default/circle.toml"),
            ),
            (
                "fields.toml",
                include_str!("../studies/default/fields.toml"),
            ),
            (
                "mixture.toml",
                include_str!("../studies/default/mixture.toml"),
            ),
        ],
    },
    BuiltIn {
        name: "fashion-mnist",
        files: &[(
            "fashion-mnist.toml",
            include_str!("../studies/fashion-mnist.toml"),
        )],
    },
    BuiltIn {
        name: "smoke",
        files: &[("smoke.toml", include_str!("../studies/smoke.toml"))],
    },
];

/// The built-in study of the exact layer: name and text.
pub const EXACT: (&str, &str) = ("exact.toml", include_str!("../studies/exact.toml"));

/// The text of a built-in claim, by its name.
macro_rules! claims {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../studies/claims/", $name, ".toml")))),*]
    };
}

/// The built-in claims: name and text, in the order of their table.
pub const CLAIMS: &[(&str, &str)] = claims![
    "1a-off",
    "1a-crit",
    "1a-branch",
    "1b",
    "1b-density",
    "2a-exist",
    "2a-learn",
    "2a-lr",
    "2a-shat",
    "2b",
    "2b-floor",
    "2b-images",
    "3a",
    "3a-paths",
    "3b",
    "3b-smooth",
    "3c",
    "4-t1",
    "4-t2",
    "4-t3",
    "4-t4",
    "4-noise",
    "4-data",
    "5a",
    "5c",
    "5d",
    "6-exist",
    "6-share",
    "6-band",
    "6-band-unet",
    "6-modes",
    "6-mode-time",
    "6-weights",
    "7a",
    "7b",
    "7b-law",
    "7b-edm",
    "7b-patch",
    "7c",
    "7c-steps",
    "7d",
    "7e",
    "7e-target",
    "one-principle",
    "g1",
    "g2",
    "g3",
    "g4",
    "g5",
    "g6",
];

/// The built-in study of published numbers: name and text.
pub const PUBLISHED: (&str, &str) = ("published.toml", include_str!("../studies/published.toml"));

/// A row of the table of probes: identifier, heading, which way is better, meaning.
type Row = (&'static str, &'static str, Better, &'static str);

/// Every probe.
pub const PROBES: &[Row] = &[
    (
        "log_energy_distance",
        "energy distance, log10",
        Better::Lower,
        "log10 of the energy distance between the samples and fresh data, at equal score evaluations; plain Langevin where noise is off, annealed Langevin where it is on; never above the energy distance of the do-nothing sample (the start of plain Langevin, the same for all arms), which a diverged cell takes",
    ),
    (
        "log_energy_distance_ode",
        "energy distance (ODE), log10",
        Better::Lower,
        "the same for samples of the probability-flow ODE, which only the noise-on arms have and which spends fewer evaluations",
    ),
    (
        "log_energy_distance_cap",
        "energy distance of doing nothing, log10",
        Better::Descriptive,
        "log10 of the energy distance between the do-nothing sample and fresh data: the cap",
    ),
    (
        "log_energy_distance_floor",
        "energy distance of fresh data, log10",
        Better::Descriptive,
        "log10 of the energy distance between as many fresh data points and the fresh data: what a perfect sampler reaches",
    ),
    (
        "log_band_power_error",
        "band power error, log10",
        Better::Lower,
        "log10 of the root-mean-square over radial frequency bands of log10(power of the samples / power of the data); never above that of the do-nothing sample; sees the spectrum that the energy distance is blind to",
    ),
    (
        "log_band_power_error_cap",
        "band power error of doing nothing, log10",
        Better::Descriptive,
        "the band power error of the do-nothing sample: the cap",
    ),
    (
        "log_band_power_error_floor",
        "band power error of fresh data, log10",
        Better::Descriptive,
        "the band power error of as many fresh data points: what a perfect sampler reaches",
    ),
    (
        "log_band_power_error_ode",
        "band power error (ODE), log10",
        Better::Lower,
        "the same for samples of the probability-flow ODE",
    ),
    (
        "weight_error",
        "error of mode weights",
        Better::Lower,
        "total variation between the shares of the components (of the templates, for fields) among the samples and among fresh data; 0 is perfect; a diverged cell takes 1, the largest value",
    ),
    (
        "weight_error_floor",
        "error of mode weights of fresh data",
        Better::Descriptive,
        "the same for as many fresh data points: what a perfect sampler reaches",
    ),
    (
        "weight_error_ode",
        "error of mode weights (ODE)",
        Better::Lower,
        "the same for samples of the probability-flow ODE",
    ),
    (
        "log_distance",
        "distance to the manifold, log10",
        Better::Lower,
        "log10 of the root-mean-square distance of the samples to the manifold; never above that of the do-nothing sample",
    ),
    (
        "log_distance_cap",
        "distance of doing nothing, log10",
        Better::Descriptive,
        "the distance of the do-nothing sample: the cap",
    ),
    (
        "log_distance_ode",
        "distance to the manifold (ODE), log10",
        Better::Lower,
        "the same for samples of the probability-flow ODE",
    ),
    (
        "log_score_error_on_data",
        "score error on data, log10",
        Better::Lower,
        "log10 of E|s − s*|²/E|s*|², each arm against what it aims at: the clean score at clean data where noise is off, the score at the smallest level at data noised to it where noise is on; the data points are shared by all arms; 0 is a network that answers nothing",
    ),
    (
        "log_score_error_reference",
        "score error for reference, log10",
        Better::Descriptive,
        "for a noise-off arm on a manifold, whose clean score does not exist: its error against the score at the smallest level; no arm aims at it",
    ),
    (
        "log_score_error_off_data",
        "score error off data, log10",
        Better::Lower,
        "the same at points drawn wide of the data, which all arms share",
    ),
    (
        "score_cosine",
        "cosine with the exact score",
        Better::Higher,
        "mean cosine between the network's score and the exact one at the smallest noise level, at points of the noised data; blind to length",
    ),
    (
        "gradient_ratio_init",
        "gradient first/last layer at initialisation, log10",
        Better::Higher,
        "log10 of the gradient norm of the first square layer over that of the last, of the arm's own loss, before training",
    ),
    (
        "gradient_ratio_end",
        "gradient first/last layer after training, log10",
        Better::Descriptive,
        "the same after the last step; Adam equalises it, so it does not separate arms",
    ),
    (
        "silent_fraction_init",
        "silent layers at initialisation",
        Better::Lower,
        "share of layers of which Adam's first step changes less than one weight in a hundred (absorbed by rounding)",
    ),
    (
        "silent_fraction_training",
        "silent layers along training",
        Better::Lower,
        "the same, mean over the steps at which it was measured after the first",
    ),
    (
        "map_silent_fraction",
        "units whose gradient is silent after training",
        Better::Lower,
        "share of the rows of the learnability map whose mean gradient of the arm's own objective cannot be told from zero after the last step; about the examples that were measured, not about all there are",
    ),
    (
        "map_log_gsnr",
        "gradient signal to noise after training, log10",
        Better::Descriptive,
        "median over the rows of the map that are heard of log10 GSNR of one training step's gradient of the arm's own objective; 0 is as much signal as noise; near a minimum there is little signal left, so low is not bad in itself",
    ),
    (
        "map_fairness",
        "level-aware fairness of the gradient after training",
        Better::Descriptive,
        "Λ of the GSNR over the rows of the map with the reference 1, as much signal as noise in one training step: 1 if every unit is at it or above, ε if all are equally at ε, (k/n)² if k of n are",
    ),
    (
        "map_fairness_floor",
        "level-aware fairness of the gradient over all of training",
        Better::Descriptive,
        "the same with the reference 1/steps, as much signal as noise in all training steps together: a unit below it would not be heard by averaging over the whole training",
    ),
    (
        "map_log_noise_scale",
        "gradient noise scale along training, log10",
        Better::Descriptive,
        "log10 of the examples whose mean gradient of the arm's own objective, of the whole network, has as much signal as noise, mean over the looks of probes.map.agreement; where noise is on, and a signal is found at each look",
    ),
    (
        "map_level_agreement",
        "agreement of noise levels along training",
        Better::Higher,
        "mean over pairs of noise levels, and over the looks of probes.map.agreement, of the cosine of their expected gradients, of the whole network, without the noise that hides it; 1 if every level asks for the same step, 0 if they have nothing to do with each other; where noise is on, and every level has a signal at each look; where training has come to rest the levels' gradients cancel, whatever the weights",
    ),
    (
        "map_level_confusion",
        "worst conflict of noise levels along training",
        Better::Higher,
        "the least of these cosines, mean over the looks: below 0 there are two levels of which a step for one harms the other",
    ),
    (
        "log_feature_norm",
        "norm of the features after training, log10",
        Better::Descriptive,
        "log10 of the root of the mean over images of the squared norm of all tokens behind the last block, noised as in training; of transformers",
    ),
    (
        "training_loss",
        "training loss, last quarter",
        Better::Descriptive,
        "mean of the arm's own objective over the last quarter of training; comparable within a noise level only; on a manifold the noise-off objective has no minimum",
    ),
    (
        "loss_decline",
        "decline of the training loss without noise",
        Better::Descriptive,
        "fall of the mean training loss from the second to the third quarter of training, as a share of the former's size, where the objective has no noise; the last quarter stands still by its learning rate",
    ),
    (
        "loss_oscillation",
        "oscillation of the training loss without noise",
        Better::Descriptive,
        "standard deviation of the training loss, in means over a sixtieth of the training, within the third quarter, over the size of its mean, where the objective has no noise",
    ),
    (
        "log_denoising_error",
        "denoising error, log10",
        Better::Lower,
        "log10 of E|D(x) − x0|²/E|x0 − mean|² on fresh data at the smallest noise level, the one that all arms have",
    ),
];

/// The description of a probe.
pub fn probe(id: &str) -> Option<ProbeInfo> {
    PROBES
        .iter()
        .find(|row| row.0 == id)
        .map(|&(id, title, better, meaning)| ProbeInfo {
            id: id.to_owned(),
            title: title.to_owned(),
            meaning: meaning.to_owned(),
            better,
        })
}
