//! `ablate probe` from end to end, on a tiny folder of diffusers and on a cell.
#![cfg(feature = "tch")]

mod common;

use std::{fs, path::Path};

use common::{ablate, refusal, run, stdout};
use serde_json::Value;
use tempfile::tempdir;

fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sample");
    folder.join(name).to_str().expect("text").to_owned()
}

/// A folder of so many noisy images of 8 × 8 pixels.
fn images(folder: &Path, name: &str, count: u8, colours: png::ColorType) -> String {
    let folder = folder.join(name);
    fs::create_dir(&folder).expect("a folder");
    for index in 0..count {
        let file = fs::File::create(folder.join(format!("{index}.png"))).expect("a file");
        let mut encoder = png::Encoder::new(file, 8, 8);
        encoder.set_color(colours);
        let numbers = 64 * colours.samples();
        let pixel = |at: usize| (at * 37 + usize::from(index) * 101 + at * at) as u8;
        let pixels: Vec<u8> = (0..numbers).map(pixel).collect();
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&pixels).expect("pixels");
    }
    folder.to_str().expect("text").to_owned()
}

fn json(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("probe/probe.json")).expect("it was written");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_folder_of_diffusers_and_images_become_a_report() {
    let folder = tempdir().expect("a temporary folder");
    let (folder, model) = (folder.path(), golden("pipeline"));
    let data = images(folder, "rgb", 70, png::ColorType::Rgb);
    let arguments = [
        "probe", "--model", &model, "--data", &data, "--levels", "3", "--steps", "10",
    ];
    let output = run(folder, &arguments);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", common::stderr(&output));
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let found = json(folder);
    let levels = found["levels"].as_array().expect("levels");
    let units = found["map"]["units"].as_array().expect("units").len();
    let cells = found["map"]["cells"].as_array().expect("cells");
    assert_eq!((levels.len(), cells.len()), (3, 3 * units));
    let sigma = |level: &Value| level["sigma"].as_f64().expect("a number");
    assert!(
        levels
            .windows(2)
            .all(|pair| sigma(&pair[0]) < sigma(&pair[1]))
    );
    // DDPM's βs: the first timestep has σ/α = √(β/(1 − β)), β = 1e-4.
    let first = (1e-4f64 / (1.0 - 1e-4)).sqrt();
    // The table of β is in single precision there.
    assert!(
        (sigma(&levels[0]) / first - 1.0).abs() < 1e-3,
        "{first}: {}",
        levels[0]
    );
    // Two levels of two blocks at each side: four long skips.
    let skips = found["skips"].as_array().expect("skips");
    assert_eq!(skips.len(), 4);
    assert!(
        skips
            .iter()
            .all(|skip| skip["zero"].as_array().expect("levels").len() == 3)
    );
    let html = fs::read_to_string(folder.join("probe/probe.html")).expect("a page");
    let silent = cells.iter().filter(|cell| cell["silent"] == true).count();
    assert!(
        html.matches("data-unit=").count() == cells.len()
            && html.matches("data-skip=").count() == 24
    );
    assert!(silent < cells.len(), "an untrained network hears something");
    for word in ["<script", "<link", "@import", "url(", "src=", "NaN"] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(
        fs::read_to_string(folder.join("probe/probe.md"))
            .expect("text")
            .contains("### What the skips carry")
    );
    // The same request gives the same bytes.
    let again = run(folder, &[&arguments[..], &["--out", "again"]].concat());
    assert!(again.status.success());
    let bytes = |at: &str| fs::read(folder.join(at)).expect("a file");
    assert_eq!(bytes("probe/probe.json"), bytes("again/probe.json"));
}

#[test]
fn without_data_the_model_draws_its_own_and_says_so() {
    let folder = tempdir().expect("a temporary folder");
    let (folder, model) = (folder.path(), golden("pipeline"));
    let arguments = [
        "probe",
        "--model",
        &model,
        "--levels",
        "2",
        "--steps",
        "3",
        "--sample-steps",
        "4",
        "--micro-batch",
        "1",
        "--units",
        "layers",
    ];
    let output = run(folder, &arguments);
    assert!(output.status.success(), "{}", common::stderr(&output));
    let words: Vec<String> = stdout(&output)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let text = words.join(" ");
    assert!(
        text.contains("samples that the model drew itself in 4 steps"),
        "{text}"
    );
    let said = common::stderr(&output);
    assert!(said.contains("in 4 steps (--sample-steps)"), "{said}");
    assert!(
        text.contains("what it gets wrong about real data"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_probed_is_refused_with_a_remedy() {
    let folder = tempdir().expect("a temporary folder");
    let (folder, model) = (folder.path(), golden("pipeline"));
    let grey = images(folder, "grey", 3, png::ColorType::Grayscale);
    let few = images(folder, "few", 3, png::ColorType::Rgb);
    for (said, more) in [
        (
            "nowhere cannot be used: it is not a folder",
            vec!["--model", "nowhere"],
        ),
        (
            "convert the images to that number of channels",
            vec!["--model", &model, "--data", &grey],
        ),
        (
            "it holds 3 images and",
            vec!["--model", &model, "--data", &few],
        ),
        (
            "there is no such folder",
            vec!["--model", &model, "--data", "./absent"],
        ),
        (
            "--micro-batches = 4, but",
            vec!["--model", &model, "--data", &few, "--micro-batches", "4"],
        ),
        (
            "--levels = 1, but it must be at least 2",
            vec!["--model", &model, "--levels", "1"],
        ),
        ("takes no classes", vec!["--model", &model, "--class", "3"]),
        ("it holds no model", vec!["--model", &grey]),
    ] {
        let line = refusal(&run(folder, &[&["probe"], &more[..]].concat()), 2);
        assert!(line.contains(said), "{said}: {line}");
        assert!(!folder.join("probe").exists(), "{said}: nothing is written");
    }
}

#[test]
fn a_pipeline_of_latents_is_refused() {
    let folder = tempdir().expect("a temporary folder");
    let folder = folder.path();
    let model = folder.join("latent");
    fs::create_dir_all(model.join("unet")).expect("a folder");
    let index = r#"{"unet": ["diffusers", "UNet2DModel"], "vae": ["diffusers", "AutoencoderKL"]}"#;
    fs::write(model.join("model_index.json"), index).expect("a file");
    let line = refusal(&run(folder, &["probe", "--model", "latent"]), 2);
    assert!(line.contains("this pipeline needs vae too"), "{line}");
}

#[test]
fn a_cell_is_probed_on_what_it_learned() {
    let folder = tempdir().expect("a temporary folder");
    let folder = folder.path();
    assert!(
        ablate(folder)
            .args(["ablate", "smoke"])
            .output()
            .expect("it runs")
            .status
            .success()
    );
    let cells = fs::read_dir(folder.join("runs/smoke/cells")).expect("cells");
    let mut probed = 0;
    for cell in cells.flatten() {
        let cell = cell.path().to_str().expect("text").to_owned();
        let output = run(
            folder,
            &[
                "probe",
                "--cell",
                &cell,
                "--levels",
                "2",
                "--micro-batch",
                "2",
            ],
        );
        if output.status.success() {
            let found = json(folder);
            assert!(
                found["data"]
                    .as_str()
                    .expect("text")
                    .contains("that the cell learned")
            );
            assert_eq!(
                found["skips"],
                Value::Array(Vec::new()),
                "an MLP has no long skips"
            );
            probed += 1;
        } else {
            assert!(refusal(&output, 2).contains("the cell learned without noise"));
        }
    }
    assert_eq!(probed, 3, "the two arms with noise, and the A/A arm");
}
