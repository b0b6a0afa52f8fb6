//! Grids and spacings in the rounding of other toolkits, against those toolkits.
//!
//! The numbers come from `golden/grids.py`.

use std::collections::BTreeMap;

use noise_schedule::compat::{diffusers, edm, guided_diffusion, k_diffusion, lucidrains};
use noise_schedule::single::Table;
use noise_schedule::{BetaSchedule, Spacing, spacing};

/// Each line of the golden file: its words, and what stands after the equals sign.
fn lines() -> impl Iterator<Item = (Vec<&'static str>, &'static str)> {
    include_str!("golden/grids.txt").lines().map(|line| {
        let (words, values) = line.split_once(" = ").expect("a line has values");
        (words.split(' ').collect(), values)
    })
}

fn number(word: &str) -> f64 {
    word.parse().unwrap()
}

fn count(word: &str) -> usize {
    word.parse().unwrap()
}

fn numbers(values: &str) -> Vec<f64> {
    values.split_whitespace().map(number).collect()
}

fn spacing_of(word: &str, offset: usize) -> Spacing {
    match word {
        "linspace" => Spacing::Linspace,
        "leading" => Spacing::Leading { offset },
        "trailing" => Spacing::Trailing,
        _ => panic!("{word} is no spacing"),
    }
}

fn floats(timesteps: Vec<i64>) -> Vec<f64> {
    timesteps.into_iter().map(|t| t as f64).collect()
}

fn singles(sigmas: &[f64]) -> Vec<f64> {
    sigmas
        .iter()
        .map(|&sigma| f64::from(sigma as f32))
        .collect()
}

/// The largest |found − expected| / |expected|, infinite for different lengths.
fn difference(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0, |worst: f64, (&f, &e)| {
        worst.max((f - e).abs() / e.abs().max(1e-30))
    })
}

#[test]
fn families_agree_for_every_number_of_steps() {
    let mut families = 0;
    for (words, values) in lines() {
        let [family, spacing, offset, train] = words[..] else {
            continue;
        };
        if !family.ends_with("_space") {
            continue;
        }
        let (spacing, train) = (spacing_of(spacing, count(offset)), count(train));
        let (mut sum, mut wrong) = (0_u64, Vec::new());
        for steps in (1..110)
            .chain((110..=train).step_by(13))
            .filter(|s| *s <= train)
        {
            let timesteps = match family {
                "t_space" => floats(diffusers::t_space(spacing, train, steps)),
                "lambda_space" => floats(diffusers::lambda_space(spacing, train, train, steps)),
                _ => singles(&diffusers::sigma_space(spacing, train, steps)),
            };
            for timestep in &timesteps {
                sum = sum
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(timestep.to_bits() >> 29);
            }
            if timesteps.len() != steps {
                wrong.push(format!(" {steps}"));
            }
        }
        assert_eq!(format!("{sum:016x}{}", wrong.concat()), values, "{words:?}");
        families += 1;
    }
    assert_eq!(families, 36);
}

#[test]
fn trailing_is_too_long_for_62_numbers_of_steps_and_ours_never() {
    let too_long = |steps: &usize| {
        let theirs = diffusers::t_space(Spacing::Trailing, 1000, *steps);
        let ours = Spacing::Trailing.timesteps(1000, *steps).unwrap();
        assert_eq!(ours.len(), *steps);
        let ours: Vec<i64> = ours.into_iter().map(|t| t as i64).collect();
        // Theirs is ours and, it may be, −1; a half may round to the other side.
        let close = ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1);
        assert!(close, "{steps}");
        theirs.last() == Some(&-1)
    };
    let wrong: Vec<usize> = (1..=1000).filter(too_long).collect();
    assert_eq!(wrong.len(), 62);
    assert_eq!(wrong[..8], [61, 103, 121, 122, 201, 206, 217, 223]);
}

#[test]
fn whole_schedulers_agree() {
    let mut schedulers = 0;
    for (words, values) in lines() {
        let ["scheduler", class, options @ .., steps] = &words[..] else {
            continue;
        };
        let options: BTreeMap<&str, &str> =
            options.iter().filter_map(|o| o.split_once(':')).collect();
        let (sigmas, timesteps) = values.split_once(" / ").unwrap();
        let (sigmas, timesteps) = (numbers(sigmas), numbers(timesteps));
        let (found, times) = scheduler(class, &options, count(steps));
        let off = difference(&found, &sigmas[..sigmas.len() - 1]);
        assert!(off < 1e-6, "{words:?}: sigmas are off by {off}");
        if !times.is_empty() {
            let off = difference(&times, &timesteps);
            assert!(off < 1e-6, "{words:?}: timesteps are off by {off}");
        }
        schedulers += 1;
    }
    assert_eq!(schedulers, 140);
}

/// The sigmas before the final one, and the timesteps where the class has them from a table.
fn scheduler(class: &str, options: &BTreeMap<&str, &str>, steps: usize) -> (Vec<f64>, Vec<f64>) {
    if class.starts_with("EDM") {
        let sigmas = match options["sigma_schedule"] {
            "karras" => diffusers::edm_karras(0.002, 80.0, 7.0, steps),
            _ => diffusers::edm_exponential(0.002, 80.0, steps),
        };
        return (sigmas.into_iter().map(f64::from).collect(), vec![]);
    }
    let euler = class.starts_with("Euler");
    let schedule = match options["beta_schedule"] {
        "linear" => BetaSchedule::ho2020(),
        "scaled_linear" => BetaSchedule::ScaledLinear {
            start: number(options["beta_start"]),
            end: number(options["beta_end"]),
        },
        _ => BetaSchedule::nichol2021_cosine(),
    };
    let cosine = options["beta_schedule"] == "squaredcos_cap_v2";
    let table = Table::new(schedule, 1000).unwrap().sigmas();
    let logs = diffusers::log_sigmas(&table);
    let spaced = if euler {
        singles(&diffusers::sigma_space(Spacing::Linspace, 1000, steps))
    } else {
        floats(diffusers::lambda_space(
            Spacing::Linspace,
            1000,
            1000,
            steps,
        ))
    };
    let has = |name: &str| options.contains_key(name);
    let interpolated = || -> Vec<f64> {
        let at = |&t: &f64| diffusers::interpolate(t, &table);
        spaced.iter().map(at).collect()
    };
    if has("use_flow_sigmas") {
        let sigmas = diffusers::flow_from_alpha(1000, number(options["flow_shift"]), steps);
        let times = sigmas
            .iter()
            .map(|sigma| (sigma * 1000.0).trunc())
            .collect();
        return (singles(&sigmas), times);
    }
    if has("interpolation_type") {
        let sigmas = diffusers::log_linear(table[0], table[999], steps);
        return (sigmas.into_iter().map(f64::from).collect(), spaced);
    }
    let (low, high) = if euler {
        let sigmas = interpolated();
        (sigmas[steps - 1], sigmas[0])
    } else {
        (f64::from(table[0]), f64::from(table[999]))
    };
    let sigmas = if has("use_karras_sigmas") {
        diffusers::karras(low, high, 7.0, steps)
    } else if has("use_exponential_sigmas") {
        diffusers::exponential(low, high, steps)
    } else if has("use_beta_sigmas") {
        diffusers::beta(low, high, steps)
    } else if has("use_lu_lambdas") {
        diffusers::lu(logs[0], logs[999], steps)
    } else {
        return (singles(&interpolated()), spaced);
    };
    let rounded = (has("use_karras_sigmas") || has("use_lu_lambdas")) && !cosine;
    let times = sigmas.iter().map(|&sigma| {
        let timestep = diffusers::timestep_of(sigma, &logs);
        match (euler, rounded) {
            (true, _) => f64::from(timestep as f32),
            (false, true) => timestep.round_ties_even(),
            // The cast to integers truncates.
            (false, false) => timestep.trunc(),
        }
    });
    (singles(&sigmas), times.collect())
}

#[test]
fn grids_and_walks_agree() {
    let mut compared = 0;
    for (words, values) in lines() {
        let arguments: Vec<f64> = words[1..].iter().filter_map(|w| w.parse().ok()).collect();
        let whole = |i: usize| arguments[i] as usize;
        let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect();
        let a = &arguments;
        let (found, tolerance): (Vec<f64>, f64) = match words[0] {
            "log" => {
                let sigmas: Vec<f32> = a.iter().map(|&sigma| sigma as f32).collect();
                // To the last bit.
                (wide(diffusers::log_sigmas(&sigmas)), 0.0)
            }
            "lcm" => (
                floats(diffusers::lcm(whole(0), whole(1), whole(2), a[3]).unwrap()),
                0.0,
            ),
            "repaint" => (
                floats(diffusers::repaint(whole(0), whole(1), whole(2), whole(3)).unwrap()),
                0.0,
            ),
            "flow_match" => {
                let sigmas = diffusers::flow_match(whole(0), a[1], whole(2));
                let shifted = sigmas.iter().map(|&s| diffusers::flow_shift(s, a[1]));
                (shifted.chain([0.0]).collect(), 1e-7)
            }
            "k_karras" => (wide(k_diffusion::karras(whole(0), a[1], a[2], a[3])), 1e-6),
            "k_exponential" => (wide(k_diffusion::exponential(whole(0), a[1], a[2])), 1e-6),
            "k_polyexponential" => (
                wide(k_diffusion::polyexponential(whole(0), a[1], a[2], a[3])),
                1e-6,
            ),
            "k_vp" => (wide(k_diffusion::vp(whole(0), a[1], a[2], a[3])), 1e-5),
            _ => continue,
        };
        let off = difference(&found, &numbers(values));
        assert!(off <= tolerance, "{words:?}: off by {off}");
        compared += 1;
    }
    assert_eq!(compared, 48);
}

#[test]
fn edm_iddpm_levels() {
    // Computed by EDM's own loop; torch's float32 sine differs from ours in the last place,
    // which shows in the cleanest levels, where neighbouring alpha_bars are all but equal.
    let levels = edm::iddpm_levels(0.001, 0.008, 1000);
    for (index, expected) in [
        (0, 20291.162),
        (1, 641.662_13),
        (4, 160.413_596),
        (500, 1.012_389_18),
        (1000, 0.0),
    ] {
        let off = (levels[index] - expected).abs() / (1.0 + expected);
        assert!(off < 1e-6, "{index}: {}", levels[index]);
    }
    let subset = edm::iddpm_subset(&levels, 0.002, 81.0, 18);
    assert_eq!(subset.len(), 18);
    assert_eq!(edm::iddpm_subset(&levels, 0.002, 81.0, 1)[0], subset[0]);
    assert!(edm::iddpm_subset(&levels, 1e6, 1e7, 3).is_empty());
}

#[test]
fn guided_diffusion_and_lucidrains() {
    // A stride of 998/61 … summed in floating point, against the exact one: at most a half falls otherwise.
    for counts in [vec![250], vec![10, 15, 20], vec![62, 269], vec![1]] {
        let theirs = guided_diffusion::sections(1000, &counts).unwrap();
        let ours = spacing::sections(1000, &counts).unwrap();
        assert_eq!(theirs.len(), ours.len());
        assert!(theirs.iter().zip(&ours).all(|(a, b)| a.abs_diff(*b) <= 1));
    }
    assert_eq!(lucidrains::times(1000, 4), [999, 749, 499, 249, -1]);
    assert_eq!(lucidrains::times(10, 3), [9, 5, 2, -1]);
}
