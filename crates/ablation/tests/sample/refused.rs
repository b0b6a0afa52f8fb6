//! What is refused, and that nothing is written then.

use std::{fs, path::Path};

use ablation::{
    config::Device,
    sample::{Request, Sampler},
};
use tch::{Kind, Tensor};
use tempfile::tempdir;

use crate::{
    common::{refusal, run},
    golden, request, tensors,
};

type Named = Vec<(String, Tensor)>;

/// Why a request is refused; nothing is left in the folder of `out` but what was there.
fn refused(request: &Request) -> String {
    let folder = request.out.parent().expect("a folder");
    let files = || fs::read_dir(folder).map_or(0, Iterator::count);
    let before = files();
    let Err(error) = Sampler::prepare(request) else {
        panic!("was not refused: {request:?}");
    };
    assert_eq!(files(), before, "{error}");
    error.to_string()
}

/// A request that is refused once something in it is changed.
fn changed(folder: &Path, change: impl FnOnce(&mut Request)) -> String {
    let mut request = Request {
        out: folder.join("a.png"),
        ..request(&golden("pipeline"))
    };
    change(&mut request);
    refused(&request)
}

#[test]
fn the_program_says_it_in_one_line() {
    let folder = tempdir().expect("a temporary folder");
    let model = golden("pipeline");
    let arguments = ["sample", "--model", &model, "--out", "a.png", "--n", "0"];
    let line = refusal(&run(folder.path(), &arguments), 2);
    assert_eq!(line, "ablate: sample: --n = 0, but it must be at least 1");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn arguments_are_checked_before_anything_is_drawn() {
    let folder = tempdir().expect("a temporary folder");
    let folder = folder.path();
    let option = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let named = |name: &str| Some(name.to_owned());
    let inside = folder.to_str().expect("text");
    for (said, line) in [
        ("--n = 0", changed(folder, |r| r.samples = Some(0))),
        ("--steps = 0", changed(folder, |r| r.steps = Some(0))),
        ("DDPMScheduler", changed(folder, |r| r.steps = Some(2000))),
        (
            "DDPMScheduler.step: unknown option `eta`",
            changed(folder, |r| r.options = option("eta", "1")),
        ),
        (
            "did you mean DDIMScheduler?",
            changed(folder, |r| r.scheduler = named("DDIMSheduler")),
        ),
        (
            "DDPMScheduler, ",
            changed(folder, |r| r.scheduler = named("nowhere")),
        ),
        (
            "holds no scheduler_config.json",
            changed(folder, |r| r.scheduler = named(inside)),
        ),
        (
            "takes no classes",
            changed(folder, |r| r.classes = vec![1.0]),
        ),
        (
            "none.safetensors does not exist",
            changed(folder, |r| r.noise = Some("none.safetensors".into())),
        ),
        (
            "must end in .png",
            changed(folder, |r| r.out = folder.join("a.jpg")),
        ),
        (
            "must end in .png",
            changed(folder, |r| r.out = folder.join("grid")),
        ),
        (
            "does not exist; create it first",
            changed(folder, |r| r.out = folder.join("absent/a.png")),
        ),
    ] {
        assert!(line.contains(said), "{said}: {line}");
    }
    let eta = |scheduler: &str, name: &str, value: &str| {
        changed(folder, |r| {
            r.scheduler = named(scheduler);
            r.options = option(name, value);
        })
    };
    assert!(eta("DDIMScheduler", "eta", "x").contains("eta"));
    assert!(eta("DDIMScheduler", "eta", "7").starts_with("DDIMScheduler: "));
    assert!(eta("EulerDiscreteScheduler", "s_chrn", "1").contains("unknown option `s_chrn`"));
    fs::create_dir(folder.join("a.png")).expect("a folder");
    assert!(changed(folder, |_| {}).contains("a.png"));
    if !tch::Cuda::is_available() {
        fs::remove_dir(folder.join("a.png")).expect("a folder");
        assert!(changed(folder, |r| r.device = Device::Cuda).contains("`cuda` is not available"));
    }
}

#[test]
fn noise_must_fit() {
    let folder = tempdir().expect("a temporary folder");
    let path = folder.path().join("noise.safetensors");
    let steps = |steps: usize| {
        changed(folder.path(), |request| {
            request.steps = Some(steps);
            request.noise = Some(path.clone());
        })
    };
    let with = |change: &dyn Fn(&mut Named)| {
        let noise = tensors(Path::new(&golden("noise.safetensors")));
        let mut noise = ["initial", "steps"]
            .map(|name| (name.to_owned(), noise[name].shallow_clone()))
            .into();
        change(&mut noise);
        let whole: Vec<_> = noise
            .into_iter()
            .map(|(name, tensor)| (name, tensor.contiguous()))
            .collect();
        Tensor::write_safetensors(&whole, &path).expect("a file");
        steps(6)
    };
    fs::write(&path, "").expect("a file");
    for (line, said) in [
        (
            with(&|noise| noise[0].0 = "start".to_owned()),
            "no tensor `initial`",
        ),
        (
            with(&|noise| noise[1].0 = "stpes".to_owned()),
            "`stpes` is unexpected",
        ),
        (
            with(&|noise| noise[0].1 = noise[0].1.narrow(3, 0, 7)),
            "[3, 8, 8]",
        ),
        (
            with(&|noise| noise[1].1 = noise[1].1.narrow(0, 0, 4)),
            "no draw for call 4",
        ),
        (
            with(&|noise| noise[1].1 = noise[1].1.narrow(1, 0, 3)),
            "`steps` is [6, 3, 3, 8, 8]",
        ),
        (
            with(&|noise| noise[0].1 = noise[0].1.to_kind(Kind::Int64)),
            "stored as I64",
        ),
        (with(&|noise| noise[0].1 = &noise[0].1 / 0.0), "not finite"),
        (
            with(&|noise| noise.push(("step_0".to_owned(), noise[0].1.shallow_clone()))),
            "`step_0` is in `steps` too",
        ),
    ] {
        assert!(line.contains(said), "{line}");
    }
    let whole = fs::read(golden("noise.safetensors")).expect("a file");
    fs::write(&path, &whole).expect("a file");
    assert!(steps(9).contains("no draw for call 6"));
    let line = changed(folder.path(), |request| {
        request.steps = Some(6);
        request.noise = Some(path.clone());
        request.samples = Some(3);
    });
    assert!(line.contains("the noise file is for 4 samples"), "{line}");
    fs::write(&path, &whole[..whole.len() - 4]).expect("a file");
    assert!(steps(6).contains("not a whole safetensors file"));
}

#[test]
fn a_model_must_be_whole() {
    let folder = tempdir().expect("a temporary folder");
    let place = folder.path().join("model");
    fs::create_dir(&place).expect("a folder");
    let put = |name: &str, text: &str| {
        fs::create_dir_all(place.join(name).parent().expect("a folder")).expect("a folder");
        fs::write(place.join(name), text).expect("a file");
    };
    let read = |name: &str| fs::read(golden(&format!("pipeline/{name}"))).expect("a file");
    let text = |name: &str| String::from_utf8(read(name)).expect("text");
    let said = || changed(folder.path(), |request| request.model = place.clone());
    assert!(changed(folder.path(), |r| r.model = "nowhere".into()).contains("not a folder"));
    assert!(said().contains("it holds no model"));
    put("unet/config.json", &text("unet/config.json"));
    assert!(said().contains("name a scheduler with --scheduler"));
    put("scheduler/scheduler_config.json", "{}");
    assert!(said().contains("no `_class_name`"));
    put(
        "scheduler/scheduler_config.json",
        "{\"_class_name\": \"FooScheduler\"}",
    );
    assert!(said().contains("FooScheduler"));
    put(
        "scheduler/scheduler_config.json",
        &text("scheduler/scheduler_config.json"),
    );
    assert!(said().contains("diffusion_pytorch_model.safetensors"));
    let weights = read("unet/diffusion_pytorch_model.safetensors");
    let file = place.join("unet/diffusion_pytorch_model.safetensors");
    fs::write(&file, &weights[..weights.len() - 4]).expect("a file");
    assert!(said().contains("whole and true safetensors"));
    fs::write(&file, &weights).expect("a file");
    let config = text("unet/config.json");
    put(
        "unet/config.json",
        &config.replace("\"out_channels\": 3", "\"out_channels\": 6"),
    );
    assert!(said().contains("learned variance"));
    put(
        "unet/config.json",
        &config.replace("\"sample_size\": 8", "\"sample_size\": null"),
    );
    assert!(said().contains("`sample_size`"));
    put("unet/config.json", &config);
    let index =
        text("model_index.json").replace("\n}", ",\n\"vqvae\": [\"diffusers\", \"VQModel\"]}");
    put("model_index.json", &index);
    assert!(said().contains("this pipeline needs vqvae too"));
    put(
        "model_index.json",
        &index.replace("[\"diffusers\", \"VQModel\"]", "[null, null]"),
    );
    let good = Request {
        model: place,
        out: folder.path().join("a.png"),
        ..request(&golden("pipeline"))
    };
    assert!(Sampler::prepare(&good).is_ok());
}
