//! The summary: every number that a report shows, and nothing else.
//!
//! `summary.json` is this type. Terminal, Markdown, HTML and CSV are renderings of it, so that no two of
//! them can disagree. It is made by [`crate::frame`] from records and never reads a study.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::map::ArmMap;

/// One report: a study, or a folder of studies that are reported together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Version of this format.
    pub schema: u32,
    /// Name of the run (`default`, `fashion-mnist`, …).
    pub name: String,
    /// The question that the run answers, one sentence.
    pub question: String,
    /// What the reader must know before any number: `EXPLORATORY`, `INTERIM`, `MIXED BUILDS`, with the reason.
    pub stamps: Vec<Stamp>,
    /// The studies in the order of the folder.
    pub studies: Vec<StudySummary>,
    /// How the numbers came about; the only part that two runs of one study may differ in.
    pub provenance: Provenance,
}

/// A warning on the whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// One or two capital words.
    pub word: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// Where and how the run was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Digests of the programs whose results are in the report.
    pub binaries: Vec<String>,
    /// Device classes (`cpu`, `cuda`).
    pub devices: Vec<String>,
    /// What networks computed with: precision, memory format and threads, in words.
    #[serde(default)]
    pub numerics: Vec<String>,
    /// Hosts, in words (processor, cores).
    pub hosts: Vec<String>,
    /// libtorch's versions, with what decides its last digits.
    pub libtorch: Vec<String>,
    /// Sum of the wall seconds of all finished cells.
    pub cell_seconds: f64,
    /// The command that makes the report again.
    pub command: String,
}

/// One study: a 2×2 and what stands beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudySummary {
    /// Short name (`mixture`).
    pub name: String,
    /// Heading (`The Song–Ermon mixture in the plane`).
    pub title: String,
    /// What this study asks.
    pub question: String,
    /// The set-up in words, one line each: data, network (parameters), objective off and on, samplers, training.
    pub setup: Vec<String>,
    /// Caveats that belong to this study's numbers, one sentence each.
    pub notes: Vec<String>,
    /// Seeds planned for the 2×2; in a sequential run those of the look that the numbers are of.
    pub seeds: u32,
    /// The looks of a sequential run.
    pub looks: Option<LookState>,
    /// Whether all cells have ended that the verdicts rest on; before, there are estimates and no verdict, or those
    /// of the last look.
    pub ended: bool,
    /// Id of the primary probe.
    pub primary: String,
    /// Every probe that occurs, primary first.
    pub probes: Vec<ProbeInfo>,
    /// The 2×2 first, then what stands beside it.
    pub blocks: Vec<Block>,
    /// The registered contrasts with their verdicts, in the order of registration.
    pub verdicts: Vec<VerdictRow>,
    /// Effects of every probe in every full 2×2 block; looked at afterwards, no verdict.
    pub effects: Vec<EffectRow>,
    /// The effects at several depths, where the study has them.
    pub depths: Vec<DepthRow>,
    /// Whether a factor changes how often cells diverge, where some did.
    pub divergences: Vec<DivergenceRow>,
}

/// How far a sequential study has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookState {
    /// Seeds at each look.
    pub seeds: Vec<u32>,
    /// Looks that were taken; numbers and verdicts are of the last one.
    pub taken: u32,
    /// Whether the study has ended: every contrast is decided, or it was the last look.
    pub ended: bool,
    /// The level that all looks share.
    pub alpha: f64,
    /// The part of it that is spent at the end of each look.
    pub spent: Vec<f64>,
    /// The nominal two-sided level of one contrast alone at each look.
    pub levels: Vec<f64>,
}

impl LookState {
    /// Seeds that the study is run to: those of the look that it waits for, or has ended with.
    pub(crate) fn due(&self) -> u32 {
        let look = if self.ended {
            self.taken - 1
        } else {
            self.taken
        };
        self.seeds[look as usize]
    }
}

/// What a probe's numbers mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeInfo {
    /// Identifier (`log_energy_distance`).
    pub id: String,
    /// Heading of a column or an axis, with the unit (`energy distance, log10`).
    pub title: String,
    /// One sentence: definition, cap, what it is blind to.
    pub meaning: String,
    /// `lower`, `higher` or `descriptive`.
    pub better: Better,
}

/// Which way a probe's numbers are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Smaller is better.
    Lower,
    /// Larger is better.
    Higher,
    /// Neither.
    Descriptive,
}

/// A set of arms that differ from the 2×2 in one declared way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// `the 2×2`, `half the depth`, `well-initialised plain`, …
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What was changed against the 2×2, in words; empty for the 2×2.
    pub change: String,
    /// Seeds planned here.
    pub seeds: u32,
    /// The arms: off/off, on/off, off/on, on/on where they exist.
    pub arms: Vec<Arm>,
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The 2×2 that the question is about.
    Main,
    /// The same 2×2 at another depth.
    Depth,
    /// The strongest rival explanation, e.g. a well-initialised plain network.
    CounterArm,
    /// A copy of one arm with other random draws: the noise floor of the study.
    AA,
    /// The same samplers with the exact score: what the samplers alone lose.
    Reference,
}

/// One arm: its seeds' numbers and what is drawn of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Level of each factor (`skip` → `on`, `noise` → `off`).
    pub levels: BTreeMap<String, String>,
    /// `plain, noise off`, `skip, noise on`, `well-initialised plain, noise on`, …
    pub label: String,
    /// Trainable parameters.
    pub parameters: u64,
    /// Cells planned, finished, diverged (a result), failed (no result).
    pub planned: u32,
    /// Cells with a result, the diverged included.
    pub finished: u32,
    /// Cells whose training or sampling diverged.
    pub diverged: u32,
    /// Seeds with a result, rising.
    pub finished_seeds: Vec<u32>,
    /// Seeds among them that diverged.
    pub diverged_seeds: Vec<u32>,
    /// The exact (Clopper-Pearson) 95 % interval of the share of cells that diverge, where one did.
    pub diverged_interval: Option<[f64; 2]>,
    /// Of each diverged cell: the seed, the stage and the step.
    pub divergences: Vec<String>,
    /// Cells without a result because the program failed.
    pub failed: u32,
    /// Median wall seconds of a cell.
    pub seconds: Option<f64>,
    /// Numbers by probe.
    pub values: BTreeMap<String, Spread>,
    /// Curves by name, seeds summarised point by point.
    pub curves: BTreeMap<String, Curve>,
    /// Samples of the first finished seed, to look at.
    pub exhibit: Option<Exhibit>,
    /// Learnability maps over its seeds, where the study asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<ArmMap>,
}

/// One probe's numbers over the seeds of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// One number per seed; `null` where the probe is undefined.
    pub seeds: BTreeMap<u32, Option<f64>>,
    /// Seeds with a number.
    pub n: u32,
    /// Median.
    pub median: Option<f64>,
    /// Mean.
    pub mean: Option<f64>,
    /// Sample standard deviation (n ≥ 2).
    pub sd: Option<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
}

/// A curve summarised over seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// What x is (`training step`, `noise level sigma`, `layer`, `band`).
    pub x_title: String,
    /// What y is, with the unit.
    pub y_title: String,
    /// Whether x is drawn on a logarithmic axis.
    pub log_x: bool,
    /// Points in the order of x.
    pub points: Vec<CurvePoint>,
}

/// One abscissa of a [`Curve`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePoint {
    /// Abscissa.
    pub x: f64,
    /// Label of the abscissa (a layer's name), empty if x speaks for itself.
    pub label: String,
    /// Seeds with a finite number here.
    pub n: u32,
    /// Median over seeds.
    pub median: f64,
    /// Smallest over seeds.
    pub min: f64,
    /// Largest over seeds.
    pub max: f64,
}

/// Samples to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Exhibit {
    /// Points of the plane (data beyond two dimensions are projected; `axes` says onto what).
    Points {
        /// Names of the two axes.
        axes: [String; 2],
        /// Samples.
        samples: Vec<[f64; 2]>,
        /// Fresh data beside them.
        data: Vec<[f64; 2]>,
        /// The same window for every arm: x from, x to, y from, y to.
        window: [f64; 4],
        /// Samples that lie outside the window.
        outside: u32,
    },
    /// Grey images.
    Images {
        /// Height in pixels.
        height: u32,
        /// Width in pixels.
        width: u32,
        /// Each image row by row, 0 (black) to 255 (white), base64-free: small integers.
        samples: Vec<Vec<u8>>,
        /// Fresh data beside them.
        data: Vec<Vec<u8>>,
    },
}

/// A registered contrast with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictRow {
    /// Identifier within the study.
    pub id: String,
    /// The claim as a sentence.
    pub claim: String,
    /// Probe.
    pub probe: String,
    /// The effect in words (`skip on − off, mean over noise`).
    pub effect: String,
    /// `lower`, `higher` or `equal`, and by how much at least.
    pub expect: String,
    /// Smallest effect of interest.
    pub delta: f64,
    /// `SUPPORTED`, `REFUTED (reversed)`, `INCONCLUSIVE (about 14 seeds needed)`, …
    pub verdict: String,
    /// The bare class for colouring: `supported`, `supported_under`, `refuted`, `inconclusive`, `invalid`, `not_tested`.
    pub class: String,
    /// The numbers.
    pub numbers: EffectNumbers,
    /// P value adjusted by Holm over the registered contrasts of the study; none for a claim of equality.
    pub adjusted_p: Option<f64>,
    /// Confidence of the interval that decides: what the other contrasts, and the looks, leave to this one. None
    /// before the study is judged.
    pub confidence: Option<f64>,
    /// The paired t interval that decides.
    pub deciding_low: Option<f64>,
    /// The paired t interval that decides.
    pub deciding_high: Option<f64>,
    /// P(A > B), A − B being the effect: the share of pairs of a seed of A and a seed of B in which A is larger, ties
    /// by half; none for fewer than two seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger: Option<f64>,
    /// Percentile bootstrap interval of it over whole seeds, 95 %; approximate below 20 seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_low: Option<f64>,
    /// Percentile bootstrap interval of it over whole seeds, 95 %; approximate below 20 seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub larger_high: Option<f64>,
    /// The look at which it was judged, from 1; what a look decides stays decided.
    pub look: Option<u32>,
    /// Whether more seeds cannot change the verdict.
    pub settled: bool,
    /// What weakens or qualifies the verdict, one sentence each.
    pub remarks: Vec<String>,
}

/// An effect that was not registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectRow {
    /// Name of the block.
    pub block: String,
    /// Probe.
    pub probe: String,
    /// `skip`, `noise`, `interaction`, `skip_without_noise`, `skip_with_noise`, `noise_without_skip`,
    /// `noise_with_skip`, `skip_over_counter_without_noise`, `skip_over_counter_with_noise`, `a_a`.
    pub effect: String,
    /// The numbers.
    pub numbers: EffectNumbers,
    /// Whether it is one of the registered contrasts.
    pub registered: bool,
    /// p adjusted by Benjamini and Hochberg over the effects of the study that were not registered: of what is called
    /// found at a level, this share is expected to be nothing.
    pub q: Option<f64>,
}

/// An effect on the primary probe at several depths, over the seeds that are complete at all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthRow {
    /// `skip`, `noise` or `interaction`.
    pub effect: String,
    /// Seeds.
    pub n: u32,
    /// Depths, rising.
    pub points: Vec<DepthPoint>,
    /// Change of the effect per doubling of the depth, by least squares in each seed: the mean over seeds.
    pub slope: Option<f64>,
    /// Paired t interval of the slope, 95 %.
    pub slope_low: Option<f64>,
    /// Paired t interval of the slope, 95 %.
    pub slope_high: Option<f64>,
}

/// One depth of a [`DepthRow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthPoint {
    /// Residual blocks (of a level, where a network has levels).
    pub depth: u32,
    /// Name of the block.
    pub block: String,
    /// One effect per seed.
    pub seeds: BTreeMap<u32, f64>,
    /// Mean effect.
    pub estimate: f64,
    /// Band that holds at all depths together with 95 %, by max-T; none for fewer than 6 seeds.
    pub low: Option<f64>,
    /// Band that holds at all depths together with 95 %.
    pub high: Option<f64>,
    /// p adjusted over the depths, by max-T.
    pub adjusted_p: Option<f64>,
}

/// Whether one step of a factor changes how often cells diverge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DivergenceRow {
    /// Name of the block.
    pub block: String,
    /// `skip_without_noise`, `skip_with_noise`, `noise_without_skip` or `noise_with_skip`.
    pub effect: String,
    /// Seeds with a result in both arms.
    pub n: u32,
    /// Seeds that diverged only where the factor is off.
    pub only_off: u32,
    /// Seeds that diverged only where it is on.
    pub only_on: u32,
    /// McNemar's exact two-sided p.
    pub p: f64,
}

/// An estimated effect: one number per seed, and what follows from them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectNumbers {
    /// One effect per complete seed.
    pub seeds: BTreeMap<u32, f64>,
    /// Complete seeds.
    pub n: u32,
    /// Seeds left out because a cell is missing or the probe undefined.
    pub incomplete: u32,
    /// Mean effect.
    pub estimate: Option<f64>,
    /// Paired t interval, 95 %.
    pub low: Option<f64>,
    /// Paired t interval, 95 %.
    pub high: Option<f64>,
    /// Bootstrap-t interval, 95 %, shown beside it.
    pub bootstrap_low: Option<f64>,
    /// Bootstrap-t interval, 95 %.
    pub bootstrap_high: Option<f64>,
    /// Exact sign-flip p.
    pub p: Option<f64>,
    /// Smallest p that n seeds can give.
    pub p_floor: Option<f64>,
}
