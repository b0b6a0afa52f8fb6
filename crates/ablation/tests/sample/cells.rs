//! Cells of a study that keep their networks: sampled, and handed to diffusers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ablation::{
    record::Record,
    sample::{Request, Sampler},
    trained::Trained,
};
use resnet_blocks::{Mode, Network};
use serde_json::Value;
use tch::{Device, Kind, Tensor, nn::VarStore};
use tempfile::{TempDir, tempdir};
use unet::UNet;

use crate::{
    common::{refusal, run, stderr, stdout},
    error, golden, request, samples, tensors,
};

/// Four cells of DDPM's network on 8×8 pixels. Both levels of `noise` learn with noise: attention has no second
/// derivative in libtorch, which learning without noise takes.
const STUDY: &str = r#"
schema = 1
name = "tiny"
title = "Tiny"
question = "Do networks of a study leave it?"
seeds = 1
primary = "log_energy_distance"

[config]
nuisance = 0
data = { kind = "images", name = "tiny", held_out = 16, digest = "", shape = [0, 0, 0] }
network = { kind = "published", family = "ddpm", width = 32, multipliers = [1, 1], blocks = 1, short = "published", long = "published" }
noise = { sigma_min = 0.1, sigma_max = 10.0, data_std = 0.5 }
objective = { kind = "denoising" }
training = { steps = 4, batch = 4, rate = 1e-2, warmup = 1 }
probes = { fresh = 8, queries = 8, off_data = { gaussian = 1.0 }, levels = [0.1], bands = 2, depths = [] }
numerics = { device = "cpu", threads = 1 }

[config.sampling]
samples = 8
evaluations = 4
langevin = { start = { gaussian = 1.0 }, step = 5e-3 }
annealed = { from = 10.0, levels = 2, epsilon = 0.5 }
ode = { steps = 3 }

[factors.skip]
off = { "network.short" = { other = "none" } }
on = { "network.short" = "published" }

[factors.noise]
off = { "noise.sigma_max" = 12.0 }
on = { "noise.sigma_max" = 10.0 }
"#;

/// Runs the study with so many workers.
fn study(folder: &Path, more: &[&str]) {
    let images = folder.join("tiny");
    if !images.exists() {
        fs::create_dir(&images).expect("a folder");
        fs::write(folder.join("tiny.toml"), STUDY).expect("a file");
        for index in 0..48 {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 8, 8);
            encoder.set_color(png::ColorType::Grayscale);
            let mut writer = encoder.write_header().expect("a header");
            let wave = |pixel: usize| (pixel as f64 * 0.1 * (1.0 + index as f64)).sin();
            let pixels: Vec<u8> = (0..64)
                .map(|pixel| (127.0 + 100.0 * wave(pixel)) as u8)
                .collect();
            writer.write_image_data(&pixels).expect("the pixels");
            drop(writer);
            fs::write(images.join(format!("{index:02}.png")), bytes).expect("a file");
        }
    }
    let arguments = ["ablate", "tiny.toml", "--data", "."];
    let output = run(folder, &[&arguments[..], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
}

/// The cells of a run: folder, record and the name of the weights, if there are any.
fn cells(root: &Path) -> Vec<(PathBuf, Record, Option<PathBuf>)> {
    let folders = fs::read_dir(root.join("cells")).expect("cells");
    let mut cells: Vec<_> = folders
        .map(|folder| {
            let folder = folder.expect("a folder").path();
            let record = fs::read(folder.join("result.json")).expect("a result");
            let files = fs::read_dir(&folder).expect("a folder");
            let mut files = files.map(|file| file.expect("a file").path());
            let weights = files.find(|file| file.extension().is_some_and(|e| e == "safetensors"));
            (
                folder,
                serde_json::from_slice(&record).expect("a record"),
                weights,
            )
        })
        .collect();
    cells.sort_by(|a, b| a.0.cmp(&b.0));
    cells
}

fn has_skips(record: &Record) -> bool {
    let config = serde_json::to_value(&record.cell.config).expect("plain data");
    config["network"]["short"] == "published"
}

fn finished() -> TempDir {
    let folder = tempdir().expect("a temporary folder");
    study(folder.path(), &["--out", "one", "--jobs", "1"]);
    folder
}

/// Numbers are compared as numbers: 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[test]
fn a_trained_network_is_written_for_diffusers() {
    let folder = finished();
    let found = cells(&folder.path().join("one"));
    assert_eq!(found.len(), 4);
    for (index, (cell, record, weights)) in found.iter().enumerate() {
        let (cell, out) = (cell.to_str().expect("text"), format!("out{index}"));
        let output = run(folder.path(), &["export", cell, "--out", &out]);
        if !has_skips(record) {
            let line = refusal(&output, 2);
            assert!(
                line.contains("a `UNet2DModel` can be, but at `encoder0.block0`"),
                "{line}"
            );
            assert!(!folder.path().join(&out).exists());
            continue;
        }
        assert!(output.status.success(), "{}", stderr(&output));
        let said =
            "UNet2DModel, 271649 parameters\nsample = x/√(0.5² + sigma²), timestep = ln(sigma)/4";
        assert!(stdout(&output).contains(said), "{}", stdout(&output));
        let out = folder.path().join(out);
        let json = |path: &Path| -> Value {
            serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
        };
        let ours = json(&out.join("config.json"));
        let theirs = json(Path::new(&golden("exported/config.json")));
        assert!(same(&ours, &theirs), "{ours}\n{theirs}");

        // Read back: every weight is there, and the network denoises as the cell's own does.
        let kept = tensors(weights.as_ref().expect("weights"));
        let written = tensors(&out.join("diffusion_pytorch_model.safetensors"));
        let sum = |tensors: &std::collections::BTreeMap<String, Tensor>| -> f64 {
            let all = tensors
                .values()
                .map(|t| t.square().sum(Kind::Double).double_value(&[]));
            all.sum()
        };
        assert_eq!(kept.len(), written.len());
        assert!((sum(&kept) / sum(&written) - 1.0).abs() < 1e-9);
        let store = VarStore::new(Device::Cpu);
        let network = UNet::from_diffusers(&store.root(), &out).expect("a network");
        let own = Trained::open(Path::new(cell), Device::Cpu).expect("a cell");
        for sigma in [0.1, 1.0, 10.0] {
            let x: Vec<f64> = (0..128).map(|i| sigma * (i as f64 * 0.7).sin()).collect();
            let image = Tensor::from_slice(&x)
                .to_kind(Kind::Float)
                .view([2, 1, 8, 8]);
            let _guard = tch::no_grad_guard();
            let scaled = &image / f64::hypot(0.5, sigma);
            let label = Tensor::from(sigma.ln() / 4.0).to_kind(Kind::Float);
            let eps = network.forward(&scaled, &label, &mut Mode::Eval);
            assert!(
                0.01 < eps.abs().max().double_value(&[]),
                "it answers with something"
            );
            let denoised = image - eps * sigma;
            let x = ndarray::ArrayD::from_shape_vec(vec![2, 1, 8, 8], x).expect("an array");
            let at = noise_schedule::Kernel::variance_exploding(sigma).expect("a level");
            let expected: Vec<f64> = own.denoise(x.view(), at).into_iter().collect();
            let expected = Tensor::from_slice(&expected).view([2, 1, 8, 8]);
            assert!(error(&denoised, &expected) < 1e-5, "sigma = {sigma}");
        }
    }
}

#[test]
fn a_cell_is_sampled_by_its_own_flow_or_by_any_scheduler() {
    let folder = finished();
    let cells = cells(&folder.path().join("one"));
    let own = |n: usize, steps: Option<usize>| Request {
        samples: Some(n),
        steps,
        ..request(cells[0].0.to_str().expect("text"))
    };
    let flow = samples(&own(3, None));
    assert_eq!(flow.size(), [3, 1, 8, 8]);
    assert!(error(&flow, &samples(&own(5, None)).narrow(0, 0, 3)) < 1e-5);
    // The same ordinary differential equation, by many small steps of another method.
    let fine = samples(&own(3, Some(60)));
    let config = cells[0].1.cell.config.diffusion().expect("a network");
    let max = config.noise.sigma_max;
    let sigmas = format!(
        r#"{{"_class_name": "EDMEulerScheduler", "sigma_min": 0.1, "sigma_max": {max}, "sigma_data": 0.5}}"#
    );
    let path = folder.path().join("edm.json");
    fs::write(&path, sigmas).expect("a file");
    let euler = samples(&Request {
        scheduler: Some(path.to_str().expect("text").to_owned()),
        ..own(3, Some(600))
    });
    // Its start has variance sigma_max² + 1, ours sigma_max² + data_std².
    assert!(error(&euler, &fine) < 0.05, "{}", error(&euler, &fine));
    assert!(error(&euler, &fine) < error(&flow, &fine));

    let said = |request: Request| Sampler::prepare(&request).expect_err("refused").to_string();
    let option = said(Request {
        options: vec![("eta".to_owned(), "1".to_owned())],
        ..own(3, None)
    });
    assert!(
        option.contains("the study's own sampler takes none"),
        "{option}"
    );
    let classes = said(Request {
        classes: vec![0.0],
        ..own(3, None)
    });
    assert!(classes.contains("takes no classes"), "{classes}");
}

/// The weights are those after the last step, not those at the start.
#[test]
fn what_is_kept_has_learned() {
    let folder = finished();
    study(folder.path(), &["--out", "longer", "--steps", "60"]);
    let clean: Vec<f64> = (0..64)
        .map(|i| (100.0 / 127.5) * (i as f64 * 0.1).sin())
        .collect();
    let noise = |i: usize| (i as f64 * 12.9898).sin();
    let noised: Vec<f64> = (0..64).map(|i| clean[i] + noise(i)).collect();
    let noised = ndarray::ArrayD::from_shape_vec(vec![1, 1, 8, 8], noised).expect("an array");
    let at = noise_schedule::Kernel::variance_exploding(0.7).expect("a level");
    let errors = |run: &str| -> f64 {
        let all = cells(&folder.path().join(run));
        let errors = all.iter().map(|(cell, ..)| -> f64 {
            let trained = Trained::open(cell, Device::Cpu).expect("a cell");
            let denoised = trained.denoise(noised.view(), at);
            denoised
                .iter()
                .zip(&clean)
                .map(|(d, c)| (d - c).powi(2))
                .sum()
        });
        errors.sum()
    };
    let (short, long) = (errors("one"), errors("longer"));
    assert!(long < 0.8 * short, "{short} before, {long} after");
}

#[test]
fn weights_are_the_same_whatever_the_workers_and_may_be_dropped() {
    let folder = finished();
    study(folder.path(), &["--out", "two", "--jobs", "2"]);
    study(folder.path(), &["--out", "none", "--weights", "drop"]);
    let [one, two, none] = ["one", "two", "none"].map(|run| cells(&folder.path().join(run)));
    for ((one, two), none) in one.iter().zip(&two).zip(&none) {
        let read =
            |path: &Option<PathBuf>| fs::read(path.as_ref().expect("weights")).expect("a file");
        assert_eq!(read(&one.2), read(&two.2));
        assert_eq!(one.1, none.1, "the result is another matter");
        assert_eq!(none.2, None);
    }
    let cell = none[0].0.to_str().expect("text");
    let line = refusal(&run(folder.path(), &["export", cell, "--out", "x"]), 2);
    assert!(line.contains("no weights were kept there"), "{line}");
}

#[test]
fn a_flipped_bit_of_a_network_is_refused_and_mended() {
    let folder = finished();
    let (cell, _, path) = cells(&folder.path().join("one")).swap_remove(0);
    let path = path.expect("weights");
    let whole = fs::read(&path).expect("a file");
    let mut flipped = whole.clone();
    // A bit of a number: the file is a whole safetensors file, and the number finite.
    *flipped.last_mut().expect("numbers") ^= 1;
    let (cell, name) = (
        cell.to_str().expect("text"),
        path.file_name().expect("a name"),
    );
    let is_told = |line: &str| {
        assert!(
            line.contains(name.to_str().expect("text"))
                && line.contains("its bytes are not those of its digest")
                && line.contains("remove result.json beside it"),
            "{line}"
        );
    };
    let out = folder.path().join("samples.safetensors");
    let out = out.to_str().expect("text");
    for damaged in [&whole[..whole.len() - 1], &flipped] {
        fs::write(&path, damaged).expect("a bad disk");
        for line in [
            &["export", cell, "--out", "x"][..],
            &["sample", "--model", cell, "--out", out],
        ] {
            is_told(&refusal(&run(folder.path(), line), 2));
        }
        let verdict = run(folder.path(), &["verify", "one"]);
        assert_eq!(verdict.status.code(), Some(1));
        is_told(stdout(&verdict).lines().next().expect("a finding"));
    }
    fs::remove_file(Path::new(cell).join("result.json")).expect("as it is said");
    study(folder.path(), &["--out", "one"]);
    assert_eq!(fs::read(&path).expect("a file"), whole);
    assert!(run(folder.path(), &["verify", "one"]).status.success());
}

#[test]
fn what_has_no_flow_or_no_weights_says_so() {
    let folder = tempdir().expect("a temporary folder");
    let output = run(folder.path(), &["ablate", "smoke", "--jobs", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (mut sampled, mut without) = (0, 0);
    for (cell, record, _) in cells(&folder.path().join("runs/smoke")) {
        let numbers = Request {
            samples: Some(5),
            ..request(cell.to_str().expect("text"))
        };
        let config = record.cell.config.diffusion().expect("a network");
        if config.objective.uses_noise() {
            assert_eq!(samples(&numbers).size(), [5, 2]);
            let picture = Request {
                out: folder.path().join("a.png"),
                ..numbers
            };
            let points = Sampler::prepare(&picture).expect_err("points are no picture");
            assert!(
                points.to_string().contains("ends in .safetensors"),
                "{points}"
            );
            sampled += 1;
        } else {
            let error = Sampler::prepare(&numbers).expect_err("no flow");
            assert!(
                error.to_string().contains("the cell learned without noise"),
                "{error}"
            );
            without += 1;
        }
        let trained = Trained::open(&cell, Device::Cpu).expect("weights");
        let error = trained
            .export(&folder.path().join("x"))
            .expect_err("no U-Net");
        assert!(error.to_string().contains("is an MLP"), "{error}");
    }
    // The A/A arm has noise too.
    assert_eq!((sampled, without), (3, 2));
}
