//! A made-up summary with everything that a report must be able to show. No number here is a result.

mod effects;
mod textures;

use std::collections::BTreeMap;

use ablation::summary::{
    Arm, Better, Block, Curve, CurvePoint, EffectNumbers, Exhibit, ProbeInfo, Provenance, Role,
    Spread, Stamp, StudySummary, Summary, VerdictRow,
};

use crate::maps;

/// Two studies, points and images, with lost cells, undefined numbers and a verdict of every class.
pub(crate) fn summary() -> Summary {
    Summary {
        schema: 1,
        name: "fixture".into(),
        question: "Do skip connections and diffusion noise do the same thing?".into(),
        stamps: vec![Stamp {
            word: "EXPLORATORY".into(),
            reason: "6 seeds are fewer than the 8 that a verdict needs; read the numbers as sizes, not as answers."
                .into(),
        }],
        studies: vec![mixture(), textures::textures()],
        provenance: Provenance {
            binaries: vec!["3f9a12c07b55".into()],
            devices: vec!["cpu".into()],
            hosts: vec!["2 cores of a machine that does not exist".into()],
            numerics: vec!["f32 (contiguous, 1 thread)".into()],
            libtorch: vec!["2.11.0".into()],
            cell_seconds: 612.4,
            command: "cargo xtask report runs/fixture".into(),
        },
    }
}

/// The same before any cell is finished.
pub(crate) fn interim() -> Summary {
    let mut summary = summary();
    summary.stamps = vec![Stamp {
        word: "INTERIM".into(),
        reason: "0 of 128 cells are finished.".into(),
    }];
    summary.provenance = Provenance::default();
    for study in &mut summary.studies {
        for arm in study.blocks.iter_mut().flat_map(|block| &mut block.arms) {
            (
                arm.finished,
                arm.diverged,
                arm.failed,
                arm.seconds,
                arm.exhibit,
            ) = (0, 0, 0, None, None);
            arm.divergences.clear();
            arm.finished_seeds.clear();
            arm.diverged_seeds.clear();
            arm.diverged_interval = None;
            arm.values.clear();
            arm.curves.clear();
            arm.maps.clear();
        }
        for row in &mut study.verdicts {
            row.numbers = numbers(&[], 0.0);
            (row.adjusted_p, row.confidence, row.settled) = (None, None, false);
            (row.larger, row.larger_low, row.larger_high) = (None, None, None);
            (row.verdict, row.class) = ("NOT TESTED".into(), "not_tested".into());
        }
        study.effects.clear();
        study.depths.clear();
        study.divergences.clear();
        study.ended = false;
        if let Some(looks) = &mut study.looks {
            (looks.taken, looks.ended) = (0, false);
        }
    }
    summary
}

/// Deterministic numbers in (−1, 1) that look random.
fn noise(key: f64) -> f64 {
    ((key * 12.9898 + 4.1).sin() * 43_758.547).fract()
}

fn spread(centre: f64, width: f64, key: f64, seeds: u32) -> Spread {
    let values: Vec<f64> = (0..seeds)
        .map(|s| centre + width * noise(key + f64::from(s)))
        .collect();
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n as f64 - 1.0);
    Spread {
        seeds: (0..seeds).zip(values.iter().map(|x| Some(*x))).collect(),
        n: seeds,
        median: Some(0.5 * (sorted[(n - 1) / 2] + sorted[n / 2])),
        mean: Some(mean),
        sd: Some(variance.sqrt()),
        min: sorted.first().copied(),
        max: sorted.last().copied(),
    }
}

fn undefined(seeds: u32) -> Spread {
    let seeds = (0..seeds).map(|s| (s, None)).collect();
    Spread {
        seeds,
        n: 0,
        median: None,
        mean: None,
        sd: None,
        min: None,
        max: None,
    }
}

fn numbers(centres: &[f64], half: f64) -> EffectNumbers {
    let n = centres.len();
    let mean = (0 < n).then(|| centres.iter().sum::<f64>() / n as f64);
    let end = |sign: f64| mean.filter(|_| 1 < n).map(|m| m + sign * half);
    EffectNumbers {
        seeds: (0..).zip(centres.iter().copied()).collect(),
        n: n as u32,
        incomplete: u32::from(n < 6),
        estimate: mean,
        low: end(-1.0),
        high: end(1.0),
        bootstrap_low: end(-1.1),
        bootstrap_high: end(0.9),
        // No two alike, so that a number in the wrong place is seen.
        p: mean.map(|mean| match mean < -3.5 {
            true => 0.000_4,
            false => (1.0 + (30.0 * noise(mean).abs()).floor()) / 32.0,
        }),
        p_floor: mean.map(|_| 0.031_25),
    }
}

fn around(centre: f64, half: f64, key: f64) -> EffectNumbers {
    let seeds: Vec<f64> = (0..6)
        .map(|s| centre + 1.3 * half * noise(key + 0.37 * f64::from(s)))
        .collect();
    numbers(&seeds, half)
}

fn probe(id: &str, title: &str, better: Better) -> ProbeInfo {
    let meaning =
        format!("Made up for tests: what {title} would measure, and what it is blind to.");
    ProbeInfo {
        id: id.into(),
        title: title.into(),
        meaning,
        better,
    }
}

fn curve(
    x_title: &str,
    y_title: &str,
    log_x: bool,
    points: impl Iterator<Item = (f64, f64, f64)>,
) -> Curve {
    let point = |(x, median, width): (f64, f64, f64)| CurvePoint {
        x,
        label: String::new(),
        n: 6,
        median,
        min: median - width,
        max: median + width,
    };
    Curve {
        x_title: x_title.into(),
        y_title: y_title.into(),
        log_x,
        points: points.map(point).collect(),
    }
}

/// An arm whose quality goes from 0 (bad) to 1 (good).
fn arm(label: &str, skip: &str, noise_level: &str, quality: f64, key: f64) -> Arm {
    let levels = BTreeMap::from([
        ("skip".to_owned(), skip.to_owned()),
        ("noise".to_owned(), noise_level.to_owned()),
    ]);
    let silent = if skip == "on" || label.starts_with("well") {
        0.02
    } else {
        0.45
    };
    let layers = (0..12).map(|l| (f64::from(l + 1), -1.0 - silent * f64::from(11 - l), 0.2));
    let steps = (0..40).map(|s| {
        let level = 0.05 + (1.1 - quality) * (-f64::from(s) / 12.0).exp();
        (f64::from(s) * 15.0, level, 0.1 * level)
    });
    let sigmas = (0..8).map(|s| {
        let level = 1.1 - quality * (0.6 + 0.3 * noise(key + f64::from(s)));
        (0.3 * 2.0_f64.powi(s), level, 0.08)
    });
    let ratio = (0..20).map(|s| {
        let level = 10_f64.powf(-11.0 * silent * (1.0 - f64::from(s) / 20.0));
        (f64::from(s) * 30.0, level, 0.3 * level)
    });
    let curves = BTreeMap::from([
        (
            "gradient_by_layer".to_owned(),
            curve("layer", "gradient norm, log10", false, layers),
        ),
        (
            "loss".to_owned(),
            curve("training step", "loss", false, steps),
        ),
        (
            "score_error_by_sigma".to_owned(),
            curve("noise level sigma", "relative score error", true, sigmas),
        ),
        (
            "gradient_ratio".to_owned(),
            curve("training step", "first / last layer", false, ratio),
        ),
    ]);
    let data: Vec<[f64; 2]> = (0..300).map(|i| cloud(f64::from(i), 0.0)).collect();
    let samples = (0..300)
        .map(|i| cloud(f64::from(i) + 1000.0 * key, 3.0 * (1.0 - quality)))
        .collect();
    Arm {
        levels,
        label: label.into(),
        parameters: 51_234,
        planned: 6,
        finished: 6,
        diverged: 0,
        finished_seeds: (0..6).collect(),
        diverged_seeds: vec![],
        diverged_interval: None,
        divergences: vec![],
        failed: 0,
        seconds: Some(6.5 + quality),
        values: BTreeMap::from([
            (
                "log_energy_distance".to_owned(),
                spread(0.6 - 2.2 * quality, 0.25, key, 6),
            ),
            (
                "score_error".to_owned(),
                spread(1.0 - 0.8 * quality, 0.05, key + 9.0, 6),
            ),
            ("cosine".to_owned(), spread(quality, 0.03, key + 17.0, 6)),
            (
                "silent_layers".to_owned(),
                spread(silent * 12.0, 0.0, key, 6),
            ),
        ]),
        curves,
        exhibit: Some(Exhibit::Points {
            axes: ["x".into(), "y".into()],
            samples,
            data,
            window: [-8.0, 8.0, -8.0, 8.0],
            outside: (40.0 * (1.0 - quality)) as u32,
        }),
        maps: maps::of(noise_level == "on", quality),
    }
}

/// A point of a mixture of two Gaussians, blurred by so much.
fn cloud(i: f64, blur: f64) -> [f64; 2] {
    let centre = if noise(0.7 * i) < 0.6 { 5.0 } else { -5.0 };
    let near = |k: f64| {
        (1.0 + blur) * (noise(k * i + k) + noise(k * i + 2.0 * k) + noise(k * i + 3.0 * k))
    };
    [centre + near(1.3), centre + near(2.9)]
}

fn block(name: &str, role: Role, change: &str, arms: Vec<Arm>) -> Block {
    Block {
        name: name.into(),
        role,
        change: change.into(),
        seeds: 6,
        arms,
    }
}

fn verdict(
    id: &str,
    claim: &str,
    class: &str,
    word: &str,
    numbers: EffectNumbers,
    p: Option<f64>,
) -> VerdictRow {
    VerdictRow {
        id: id.into(),
        claim: claim.into(),
        probe: "log_energy_distance".into(),
        effect: "skip on − off, mean over noise".into(),
        expect: "lower by at least 0.1".into(),
        delta: 0.1,
        verdict: word.into(),
        class: class.into(),
        adjusted_p: p,
        confidence: numbers.low.map(|_| 1.0 - 0.05 / 3.0),
        deciding_low: numbers.low.map(|low| low - 0.05),
        deciding_high: numbers.high.map(|high| high + 0.05),
        larger: numbers.low.map(|low| 0.5 + 0.25 * low),
        larger_low: numbers.low.map(|low| 0.45 + 0.25 * low),
        larger_high: numbers.low.map(|low| 0.62 + 0.25 * low),
        look: None,
        settled: class != "inconclusive" && class != "not_tested",
        numbers,
        remarks: vec![],
    }
}

fn mixture() -> StudySummary {
    let mut plain = arm("plain, noise off", "off", "off", 0.05, 1.0);
    plain.diverged = 1;
    plain.divergences = vec!["seed 3: sampling, step 112".into()];
    plain.finished_seeds = (0..5).collect();
    plain.diverged_seeds = vec![3];
    plain.diverged_interval = Some([0.0051, 0.7164]);
    plain.failed = 1;
    plain.finished = 5;
    let energy = plain
        .values
        .get_mut("log_energy_distance")
        .expect("the fixture has it");
    energy.seeds.insert(3, None);
    energy.n = 5;
    plain.values.insert("cosine".into(), undefined(5));
    let mut reference = arm("exact score, noise off", "on", "off", 0.3, 7.0);
    reference.curves.clear();
    reference.maps.clear();
    reference.parameters = 0;
    let mut reference_on = arm("exact score, noise on", "on", "on", 1.1, 8.0);
    reference_on.curves.clear();
    reference_on.maps.clear();
    reference_on.parameters = 0;
    StudySummary {
        name: "mixture".into(),
        title: "The Song–Ermon mixture in the plane".into(),
        question: "Where two modes lie far apart, does noise reach both, and does a skip help it?".into(),
        setup: vec![
            "Data: two Gaussians in the plane, weights 0.6 & 0.4.".into(),
            "Network: 12 layers of width 64, SiLU (51,234 parameters).".into(),
            "Noise off: sliced score matching; on: denoising score matching, sigma 0.3 to 50.".into(),
        ],
        notes: vec!["With noise off Langevin dynamics starts elsewhere: part of the effect of noise is the start.".into()],
        seeds: 6,
        looks: None,
        ended: true,
        primary: "log_energy_distance".into(),
        probes: vec![
            probe("log_energy_distance", "energy distance, log10", Better::Lower),
            probe("score_error", "relative score error", Better::Lower),
            probe("cosine", "cosine with the exact score", Better::Higher),
            probe("silent_layers", "silent layers at initialisation", Better::Descriptive),
        ],
        blocks: vec![
            block("the 2×2", Role::Main, "", vec![
                plain,
                arm("skip, noise off", "on", "off", 0.12, 2.0),
                arm("plain, noise on", "off", "on", 0.5, 3.0),
                arm("skip, noise on", "on", "on", 1.0, 4.0),
            ]),
            block("half the depth", Role::Depth, "6 layers instead of 12", vec![
                arm("plain, noise off", "off", "off", 0.2, 11.0),
                arm("skip, noise off", "on", "off", 0.22, 12.0),
                arm("plain, noise on", "off", "on", 0.8, 13.0),
                arm("skip, noise on", "on", "on", 1.0, 14.0),
            ]),
            block("well-initialised plain", Role::CounterArm, "orthogonal, layer by layer to unit variance", vec![
                arm("well-initialised plain, noise off", "off", "off", 0.1, 5.0),
                arm("well-initialised plain, noise on", "off", "on", 0.96, 6.0),
            ]),
            block("exact score", Role::Reference, "the samplers with the exact score", vec![reference, reference_on]),
            block("A/A", Role::AA, "other random draws", vec![arm("skip, noise on, again", "on", "on", 0.99, 9.0)]),
        ],
        verdicts: vec![
            verdict("skip", "Skip connections lower the energy distance, on average over noise.", "supported", "SUPPORTED", around(-0.62, 0.21, 0.0), Some(0.0312)),
            verdict("noise", "Noise lowers it more than skips do, with & without them.", "supported_under", "SUPPORTED UNDER skip on", around(-1.42, 0.24, 1.0), Some(0.0469)),
            verdict("same", "A skip over the well-initialised plain network gains nothing.", "refuted", "REFUTED (reversed)", around(0.16, 0.08, 6.0), Some(0.0313)),
            verdict("depth", "The gain of the skip grows with depth.", "inconclusive", "INCONCLUSIVE (about 14 seeds needed)", around(-0.1, 0.3, 3.0), Some(0.41)),
            verdict("aa", "Two runs of one arm do not differ.", "invalid", "INVALID", numbers(&[0.013], 0.0), None),
            verdict("late", "Twice the steps remove the difference.", "not_tested", "NOT TESTED", numbers(&[], 0.0), None),
        ],
        effects: effects::effects("the 2×2"),
        depths: effects::depths(),
        divergences: effects::divergences(),
    }
}
