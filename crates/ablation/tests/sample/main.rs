//! Samples and exported networks, as a person gets them from the program.
#![cfg(feature = "tch")]

mod cells;
#[path = "../common/mod.rs"]
mod common;
mod refused;

use std::{collections::BTreeMap, fs, path::Path};

use ablation::{
    config,
    sample::{Request, Sampler},
};
use common::{run, stderr, stdout};
use tch::{Kind, Tensor};
use tempfile::tempdir;

/// What diffusers made, and what it sampled: see `pipelines.py` there.
pub(crate) fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sample");
    folder
        .join(name)
        .to_str()
        .expect("a path in text")
        .to_owned()
}

pub(crate) fn tensors(path: &Path) -> BTreeMap<String, Tensor> {
    let read = Tensor::read_safetensors(path).expect("a safetensors file");
    read.into_iter().collect()
}

/// Sixteen samples of a model by its own scheduler; nothing is written.
pub(crate) fn request(model: &str) -> Request {
    Request {
        model: model.into(),
        scheduler: None,
        steps: None,
        options: Vec::new(),
        samples: None,
        seed: 0,
        noise: None,
        classes: Vec::new(),
        precision: None,
        device: config::Device::Cpu,
        out: std::env::temp_dir().join("not-written.safetensors"),
    }
}

/// The numbers of a request.
pub(crate) fn samples(request: &Request) -> Tensor {
    let mut sampler = Sampler::prepare(request).unwrap_or_else(|error| panic!("{error}"));
    let (expected, mut found) = (sampler.evaluations(), 0);
    let samples = sampler.run(&mut || found += 1).values;
    assert_eq!(found, expected, "the bar comes to its end");
    let size: Vec<i64> = samples.shape().iter().map(|&side| side as i64).collect();
    Tensor::from_slice(&samples.into_iter().collect::<Vec<f64>>()).view(&size[..])
}

/// The largest |a − b|/(1 + |b|).
pub(crate) fn error(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    ((a - b).abs() / (b.abs() + 1.0)).max().double_value(&[])
}

fn picture(path: &Path) -> (usize, usize, Vec<u8>) {
    let decoder = png::Decoder::new(std::io::Cursor::new(fs::read(path).expect("a file")));
    let mut reader = decoder.read_info().expect("a picture");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("a picture");
    (info.width as usize, info.height as usize, pixels)
}

/// The request for a case of the golden file.
fn case(name: &str) -> Request {
    let options: &[(&str, &str)] = match name {
        "ddim-eta" => &[("eta", "0.7")],
        "euler-churn" => &[("s_churn", "3"), ("s_noise", "1.01")],
        _ => &[],
    };
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Request {
        scheduler: (name != "ddpm").then(|| golden(&format!("schedulers/{name}"))),
        steps: Some(6),
        options: options.iter().map(owned).collect(),
        noise: Some(golden("noise.safetensors").into()),
        ..request(&golden("pipeline"))
    }
}

#[test]
fn samples_are_those_of_diffusers() {
    let expected = tensors(Path::new(&golden("expected.safetensors")));
    let mut compared = 0;
    for (name, expected) in &expected {
        let Some(name) = name.strip_suffix(".samples") else {
            continue;
        };
        let off = error(&samples(&case(name)), expected);
        assert!(off < 1e-4, "{name} is off by {off:e}");
        compared += 1;
    }
    assert_eq!(compared, 11);
}

#[test]
fn bfloat16_samples_nearly_the_same() {
    let exact = samples(&case("ddim"));
    let near = samples(&Request {
        precision: Some(config::Precision::Bf16),
        ..case("ddim")
    });
    let off = ((&near - &exact).norm() / exact.norm()).double_value(&[]);
    // Weights that were never trained amplify what is rounded.
    assert!(1e-4 < off && off < 0.2, "off by {off}");
}

#[test]
fn pictures_are_those_of_diffusers_pipelines() {
    let expected = tensors(Path::new(&golden("expected.safetensors")));
    let folder = tempdir().expect("a temporary folder");
    for name in ["ddpm", "ddpm-large", "ddim", "ddim-eta"] {
        let (model, noise) = (golden("pipeline"), golden("noise.safetensors"));
        let (scheduler, out) = (golden(&format!("schedulers/{name}")), format!("{name}.png"));
        let mut arguments = vec![
            "sample", "--model", &model, "--steps", "6", "--noise", &noise, "--out", &out,
        ];
        match name {
            "ddpm" => {}
            "ddim-eta" => arguments.extend(["--scheduler", &scheduler, "--eta", "0.7"]),
            _ => arguments.extend(["--scheduler", &scheduler]),
        }
        let output = run(folder.path(), &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).starts_with("4 samples of [3, 8, 8], "));
        let (width, height, pixels) = picture(&folder.path().join(format!("{name}.png")));
        assert_eq!((width, height), (16, 16));
        // Two by two of 8×8 pixels of three colours.
        let grid = Tensor::from_slice(&pixels).view([2, 8, 2, 8, 3]);
        let ours = grid.permute([0, 2, 1, 3, 4]).reshape([4, 8, 8, 3]);
        let off = (ours.to_kind(Kind::Int)
            - expected[&format!("{name}.pixels")].to_kind(Kind::Int))
        .abs();
        let (largest, count) = (off.max().int64_value(&[]), off.count_nonzero(None::<i64>));
        // A value that lies on the boundary of two bytes may be rounded to either.
        let count = count.int64_value(&[]);
        assert!(
            largest <= 1 && count <= 1,
            "{name}: {count} of 768 differ, by up to {largest}"
        );
    }
}

#[test]
fn step_tensors_are_the_rows_of_steps() {
    let folder = tempdir().expect("a temporary folder");
    let noise = tensors(Path::new(&golden("noise.safetensors")));
    let mut parts = vec![("initial".to_owned(), noise["initial"].shallow_clone())];
    // The last step to data draws nothing, and its draw may be left out.
    parts.extend((0..5).map(|i| (format!("step_{i}"), noise["steps"].get(i))));
    let path = folder.path().join("parts.safetensors");
    Tensor::write_safetensors(&parts, &path).expect("a file");
    let parts = Request {
        noise: Some(path),
        ..case("ddpm")
    };
    assert_eq!(samples(&parts), samples(&case("ddpm")));
}

#[test]
fn a_sample_depends_on_the_seed_and_its_number_alone() {
    let draw = |n: usize, seed: u64| {
        samples(&Request {
            steps: Some(4),
            samples: Some(n),
            seed,
            ..request(&golden("pipeline"))
        })
    };
    let (few, more, other) = (draw(2, 7), draw(70, 7), draw(2, 8));
    assert!(error(&few, &more.narrow(0, 0, 2)) < 1e-5);
    assert!(0.1 < error(&few, &other));
    assert!(0.1 < error(&few.get(0), &few.get(1)));
}

#[test]
fn a_class_has_its_own_defaults_and_that_is_said() {
    let (folder, model) = (tempdir().expect("a temporary folder"), golden("pipeline"));
    let arguments = [
        "sample",
        "--model",
        &model,
        "--scheduler",
        "DDIMScheduler",
        "--steps",
        "3",
        "--out",
        "a.png",
    ];
    let output = run(folder.path(), &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("note: DDIMScheduler has its own defaults"));
    let said = "16 samples of [3, 8, 8], DDIMScheduler, 3 steps\nwrote a.png";
    assert!(stdout(&output).contains(said));
    // The file holds the defaults.
    let file = golden("schedulers/ddim/scheduler_config.json");
    let [named, read] = ["DDIMScheduler", &file].map(|scheduler| {
        samples(&Request {
            scheduler: Some(scheduler.to_owned()),
            steps: Some(3),
            ..request(&model)
        })
    });
    assert_eq!(named, read);
}

#[test]
fn the_old_layout_has_the_scheduler_beside_the_network() {
    let folder = tempdir().expect("a temporary folder");
    for (from, to) in [
        ("unet/config.json", "config.json"),
        (
            "unet/diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model.safetensors",
        ),
        ("scheduler/scheduler_config.json", "scheduler_config.json"),
    ] {
        let from = golden(&format!("pipeline/{from}"));
        fs::copy(from, folder.path().join(to)).expect("a copy");
    }
    let (old, new) = (folder.path().to_str().expect("text"), golden("pipeline"));
    let [old, new] = [old, &new].map(|model| {
        samples(&Request {
            steps: Some(2),
            ..request(model)
        })
    });
    assert_eq!(old, new);
}

#[test]
fn classes_reach_their_samples() {
    let folder = tempdir().expect("a temporary folder");
    let config = fs::read_to_string(golden("pipeline/unet/config.json")).expect("a file");
    let config = config.replace("\"num_class_embeds\": null", "\"num_class_embeds\": 3");
    let config = unet::diffusers::Config::from_json(&config).expect("a configuration");
    let plan = unet::diffusers::Plan::new(&config).expect("a network");
    let store = tch::nn::VarStore::new(tch::Device::Cpu);
    let params = resnet_blocks::Params::seeded(store.root(), 0);
    let network = unet::UNet::build(&params, plan.topology().clone()).expect("a network");
    network.to_diffusers(folder.path()).expect("it is written");
    let of = |classes: &[f64], n: Option<usize>| Request {
        scheduler: Some(golden("schedulers/ddim")),
        steps: Some(2),
        samples: n,
        classes: classes.to_vec(),
        ..request(folder.path().to_str().expect("text"))
    };
    let each = samples(&of(&[0.0, 2.0, 1.0], None));
    let all = samples(&of(&[2.0], Some(3)));
    assert_eq!(each.size(), [3, 3, 8, 8]);
    assert!(error(&each.get(1), &all.get(1)) < 1e-5);
    assert!(1e-3 < error(&each.get(0), &all.get(0)));
    assert!(1e-3 < error(&each.get(2), &all.get(2)));
    for (request, said) in [
        (of(&[], None), "takes a class for each sample"),
        (of(&[3.0], None), "knows the classes 0 to 2"),
        (of(&[0.5], None), "knows the classes 0 to 2"),
        (of(&[0.0, 1.0], Some(3)), "there are 2 for 3 samples"),
    ] {
        let error = Sampler::prepare(&request).expect_err("it is refused");
        assert!(error.to_string().contains(said), "{error}");
    }
}
