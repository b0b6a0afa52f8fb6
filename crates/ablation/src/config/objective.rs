//! What a network is trained to do, what it predicts, and how much each noise level counts.

use score_objective::{
    CleanSample, Edm, EdmWeight, Epsilon, MinSnr, Preconditioner, Snr, Uniform, Velocity,
};
use serde::{Deserialize, Serialize};

/// The training objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Objective {
    /// Sliced score matching, variance-reduced, on clean data (Song et al. 2019): noise off.
    Sliced {},
    /// The same with the directional derivative as a difference of two passes (Pang et al. 2020): noise off.
    SlicedDifferences {
        /// Length of the difference, in units of the data.
        step: f64,
    },
    /// Denoising score matching over log-uniform levels (Vincent 2011, Song & Ermon 2019): noise on.
    Denoising {
        /// What the network predicts. Without it, the noise.
        #[serde(default, skip_serializing_if = "Target::is_usual")]
        target: Target,
        /// How the levels weigh. Without it, sigma² on the score, which is uniform on the noise.
        #[serde(default, skip_serializing_if = "Weighting::is_usual")]
        weighting: Weighting,
    },
}

impl Objective {
    /// In words, for the set-up lines of a report, on data of this scale; of a weighting only where it is not the usual one.
    pub fn words(self, data_std: f64) -> String {
        match self {
            Objective::Sliced {} => "sliced score matching (double backward)".to_owned(),
            Objective::SlicedDifferences { step } => {
                format!("sliced score matching (differences of {step})")
            }
            Objective::Denoising { target, weighting } => {
                let mut words = format!("denoising score matching{}", target.told());
                if !weighting.is_usual() {
                    words += &format!(" with weight {}", weighting.words(data_std));
                }
                words
            }
        }
    }

    /// Whether the network is trained on noised data.
    pub fn uses_noise(self) -> bool {
        self.weighting().is_some()
    }

    /// How its noise levels weigh; `None` where it has none.
    pub fn weighting(self) -> Option<Weighting> {
        match self {
            Objective::Denoising { weighting, .. } => Some(weighting),
            Objective::Sliced {} | Objective::SlicedDifferences { .. } => None,
        }
    }

    /// What the network predicts: the noise, or −σ times the score, where nothing else is said.
    pub fn target(self) -> Target {
        match self {
            Objective::Denoising { target, .. } => target,
            Objective::Sliced {} | Objective::SlicedDifferences { .. } => Target::default(),
        }
    }
}

/// What a network predicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The clean sample.
    X0,
    /// The noise.
    #[default]
    Eps,
    /// The velocity of a variance-preserving path.
    V,
    /// EDM's F.
    Edm,
}

impl Target {
    fn is_usual(&self) -> bool {
        *self == Target::default()
    }

    /// How a denoiser is made of the prediction, for data of this scale.
    ///
    /// # Panics
    ///
    /// Unless `data_std` is positive and finite.
    pub fn row(self, data_std: f64) -> Box<dyn Preconditioner> {
        let checked = "it was checked";
        match self {
            Target::X0 => Box::new(CleanSample::new(data_std).expect(checked)),
            Target::Eps => Box::new(Epsilon::new(data_std).expect(checked)),
            Target::V => Box::new(Velocity::new(data_std).expect(checked)),
            Target::Edm => Box::new(Edm::new(data_std).expect(checked)),
        }
    }

    /// What is added to an objective's words where it is not the usual one.
    pub fn told(self) -> String {
        if self.is_usual() {
            return String::new();
        }
        format!(" by predicting {}", self.words())
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Target::X0 => "the clean sample",
            Target::Eps => "the noise",
            Target::V => "v",
            Target::Edm => "EDM's F",
        }
    }
}

/// The weight of a squared error of the denoiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// 1/σ²: uniform on the noise.
    #[default]
    Eps,
    /// 1: uniform on the clean sample.
    X0,
    /// min(1/σ², γ) (Hang et al. 2023, γ = 5).
    MinSnr(f64),
    /// 1/σ² + 1/data_std²: uniform on EDM's F.
    Edm,
}

impl Weighting {
    fn is_usual(&self) -> bool {
        *self == Weighting::default()
    }

    /// The weight as a function of the level, for data of this scale.
    ///
    /// # Panics
    ///
    /// Unless γ and `data_std` are positive and finite.
    pub fn rule(self, data_std: f64) -> Box<dyn score_objective::Weighting> {
        let checked = "it was checked";
        match self {
            Weighting::Eps => Box::new(Snr),
            Weighting::X0 => Box::new(Uniform),
            Weighting::MinSnr(gamma) => Box::new(MinSnr::new(gamma).expect(checked)),
            Weighting::Edm => Box::new(EdmWeight::new(data_std).expect(checked)),
        }
    }

    /// As a weight on the squared error of the score, which is σ⁴ times that of the denoiser; for the set-up lines of a
    /// report.
    pub fn words(self, data_std: f64) -> String {
        match self {
            Weighting::Eps => "sigma²".to_owned(),
            Weighting::X0 => "sigma⁴".to_owned(),
            Weighting::MinSnr(gamma) => format!("min(sigma², {gamma}·sigma⁴)"),
            Weighting::Edm => format!("sigma² + sigma⁴/{data_std}²"),
        }
    }
}

#[cfg(test)]
mod tests {
    use noise_schedule::Kernel;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_usual_weighting_is_not_written() {
        let read = |text: serde_json::Value| -> Objective {
            serde_json::from_value(text).expect("an objective")
        };
        let usual = read(json!({ "kind": "denoising" }));
        assert_eq!(usual.weighting(), Some(Weighting::Eps));
        // As every cell was named before there was a choice.
        for text in [
            json!({ "kind": "denoising" }),
            json!({ "kind": "denoising", "weighting": "eps" }),
        ] {
            let written = serde_json::to_string(&read(text)).expect("plain data");
            assert_eq!(written, r#"{"kind":"denoising"}"#);
        }
        for weighting in [json!("x0"), json!("edm"), json!({ "min_snr": 5.0 })] {
            let text = json!({ "kind": "denoising", "weighting": weighting });
            assert_eq!(
                serde_json::to_value(read(text.clone())).expect("plain data"),
                text
            );
        }
    }

    #[test]
    fn the_usual_target_is_not_written() {
        let read = |text: serde_json::Value| -> Objective {
            serde_json::from_value(text).expect("an objective")
        };
        let usual = read(json!({ "kind": "denoising", "target": "eps" }));
        let written = serde_json::to_string(&usual).expect("plain data");
        assert_eq!(written, r#"{"kind":"denoising"}"#);
        assert_eq!(usual.words(1.0), "denoising score matching");
        for (target, words) in [("x0", "the clean sample"), ("v", "v"), ("edm", "EDM's F")] {
            let text = json!({ "kind": "denoising", "target": target });
            let objective = read(text.clone());
            assert_eq!(serde_json::to_value(objective).expect("plain data"), text);
            assert!(objective.words(1.0).ends_with(words));
        }
    }

    /// σ = 0.25 and data of scale 2; on the score it is σ⁴ times as much.
    #[test]
    fn weights_are_what_their_words_say() {
        let at = Kernel::variance_exploding(0.25).expect("a level");
        for (weighting, weight, words) in [
            (Weighting::Eps, 16.0, "sigma²"),
            (Weighting::X0, 1.0, "sigma⁴"),
            (Weighting::MinSnr(5.0), 5.0, "min(sigma², 5·sigma⁴)"),
            (Weighting::MinSnr(50.0), 16.0, "min(sigma², 50·sigma⁴)"),
            (Weighting::Edm, 16.25, "sigma² + sigma⁴/2²"),
        ] {
            assert_eq!(weighting.rule(2.0).weight(at), weight, "{weighting:?}");
            assert_eq!(weighting.words(2.0), words);
        }
    }
}
