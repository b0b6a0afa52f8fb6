//! Networks of diffusers, against diffusers; and what is no such network.
#![cfg(feature = "tch")]

mod common;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use common::{distance, noise, weight};
use resnet_blocks::{Mode, Network, Params};
use tch::{Device, Kind, Tensor, nn::VarStore};
use unet::{
    Conditions, Error, SkipEdit, UNet,
    diffusers::{Config, Plan},
};

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/diffusers");
    folder.join(name)
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    let all = Tensor::read_safetensors(path).expect("a golden");
    all.into_iter().collect()
}

/// The largest |ours - theirs| / (1 + |theirs|).
fn deviation(net: &UNet, io: &HashMap<String, Tensor>) -> f64 {
    let output = run(net, &io["sample"], &io["timestep"], io.get("class_labels"));
    let theirs = &io["output"];
    assert_eq!(output.size(), theirs.size());
    let relative = (output - theirs).abs() / (theirs.abs() + 1.0);
    relative.max().double_value(&[])
}

fn run(net: &UNet, x: &Tensor, timestep: &Tensor, classes: Option<&Tensor>) -> Tensor {
    let conditions = Conditions {
        classes,
        estimate: None,
    };
    net.forward_with(x, timestep, conditions, &mut Mode::Eval)
}

fn plan(name: &str) -> Plan {
    let text = fs::read_to_string(golden(name).join("config.json")).expect("a golden");
    let config = Config::from_json(&text).expect("diffusers wrote it");
    Plan::new(&config).expect("diffusers ran it")
}

fn made(name: &str) -> UNet {
    tch::set_num_threads(1);
    let plan = plan(name);
    let ours = plan.topology().tensors();
    let values = ours.iter().zip(plan.tensors());
    let values = values.map(|(ours, theirs)| (ours.name.clone(), weight(theirs, Kind::Float)));
    let store = VarStore::new(Device::Cpu);
    let params = Params::with_values(store.root(), values.collect());
    UNet::build(&params, plan.topology().clone()).expect("all values are there")
}

fn open(folder: &Path) -> Result<UNet, Error> {
    tch::set_num_threads(1);
    UNet::from_diffusers(&VarStore::new(Device::Cpu).root(), folder)
}

/// An empty folder of this test's own.
fn empty(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("cargo's folder for tests");
    folder
}

#[test]
fn every_kind_of_network_gives_what_diffusers_gives() {
    let folder = golden("");
    let mut cases = 0;
    for entry in fs::read_dir(folder).expect("goldens") {
        let path = entry.expect("goldens").path();
        let io = tensors(&path.join("io.safetensors"));
        let name = path.file_name().expect("a folder").to_string_lossy();
        let net = if path.join("diffusion_pytorch_model.safetensors").exists() {
            open(&path).expect("diffusers wrote it")
        } else {
            made(&name)
        };
        let worst = deviation(&net, &io);
        assert!(worst < 5e-5, "{name}: {worst}"); // 2e-5 where the output is divided by 0.02
        cases += 1;
    }
    assert_eq!(cases, 14);
}

#[test]
fn a_written_folder_is_read_as_it_was() -> Result<(), Error> {
    for name in ["ncsnpp", "learned"] {
        let net = made(name);
        let folder = empty(&format!("written-{name}"));
        net.to_diffusers(&folder)?;
        let again = open(&folder)?;
        assert_eq!(again.topology().steps(), net.topology().steps());
        same_tensors(&net, &again);
    }
    Ok(())
}

#[test]
fn what_is_not_as_planned_is_not_written() -> Result<(), Error> {
    let net = made("learned");
    let first = net.topology().long_skips()[0].name.clone();
    let folder = empty("not-as-planned");
    let error = net.edited(&first, SkipEdit::Zero)?.to_diffusers(&folder);
    assert!(matches!(error, Err(Error::NotDiffusers { place, .. }) if place == first));
    let store = VarStore::new(Device::Cpu);
    let params = Params::seeded(store.root(), 0);
    let topology = plan("learned").topology().clone();
    let own = UNet::assemble(&params, topology, unet::block, unet::skip)?;
    let error = own.to_diffusers(&folder);
    assert!(
        matches!(error, Err(Error::NotDiffusers { .. })),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
    Ok(())
}

fn same_tensors(a: &UNet, b: &UNet) {
    assert_eq!(a.tensors().len(), b.tensors().len());
    for ((name, ours), (again, theirs)) in a.tensors().iter().zip(b.tensors()) {
        assert_eq!(name, again);
        assert_eq!(distance(ours, theirs), 0.0, "{name}");
    }
}

#[test]
fn an_image_does_not_see_its_batch() {
    let net = made("ncsnpp");
    let x = noise(&[3, 3, 16, 8], Kind::Float, 1);
    let timestep = Tensor::from_slice(&[0.1f32, 1.0, 10.0]);
    let together = run(&net, &x, &timestep, None);
    for index in 0..3 {
        let alone = run(
            &net,
            &x.narrow(0, index, 1),
            &timestep.narrow(0, index, 1),
            None,
        );
        let difference = distance(&alone, &together.narrow(0, index, 1));
        assert!(
            difference < 1e-4 * (1.0 + alone.abs().max().double_value(&[])),
            "{difference}"
        );
    }
}

#[test]
fn one_timestep_serves_the_whole_batch_and_any_kind_does() {
    let net = made("attention-conv");
    let x = noise(&[2, 3, 4, 4], Kind::Float, 2);
    let both = run(&net, &x, &Tensor::from_slice(&[7i64, 7]), None);
    for timestep in [
        Tensor::from(7i64),
        Tensor::from(7.0f32),
        Tensor::from_slice(&[7.0f64]),
    ] {
        assert_eq!(distance(&run(&net, &x, &timestep, None), &both), 0.0);
    }
    let network: &dyn Network = &net;
    let label = Tensor::from_slice(&[7.0f32, 7.0]);
    let evaluated = network.forward(&x, &label, &mut Mode::Eval);
    assert_eq!(distance(&evaluated, &both), 0.0);
}

#[test]
fn classes_are_given_exactly_where_they_are_taken() {
    let panics = |name: &str, labels: Option<Tensor>| {
        let net = made(name);
        let (x, t) = (noise(&[1, 3, 4, 4], Kind::Float, 3), Tensor::from(5.0f32));
        let run = || run(&net, &x, &t, labels.as_ref());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
    };
    let label = || Some(Tensor::from_slice(&[3i64]));
    assert!(!panics("labels", label()));
    assert!(panics("labels", None));
    assert!(panics("labels", Some(Tensor::from_slice(&[5i64])))); // rows 0 to 4
    assert!(!panics("attention-conv", None));
    assert!(panics("attention-conv", label()));
}

#[test]
fn odd_sides_run_though_diffusers_cannot() {
    for (name, sides) in [
        ("attention-conv", [5, 4]),
        ("ncsnpp", [7, 9]),
        ("resnet", [5, 3]),
    ] {
        let x = noise(&[1, 3, sides[0], sides[1]], Kind::Float, 4);
        let y = run(&made(name), &x, &Tensor::from(5.0f32), None);
        assert_eq!(y.size(), x.size(), "{name}");
        assert!(y.isfinite().all().int64_value(&[]) == 1, "{name}");
    }
}

/// A folder whose weights are these instead of the network's own.
fn folder_of(name: &str, of: &str, weights: &[(String, Tensor)]) -> PathBuf {
    let folder = empty(name);
    fs::write(folder.join("config.json"), plan(of).config().to_json()).expect("a file");
    let path = folder.join("diffusion_pytorch_model.safetensors");
    Tensor::write_safetensors(weights, path).expect("a file");
    folder
}

/// The tensors of a golden's file.
fn weights(name: &str) -> Vec<(String, Tensor)> {
    let plan = plan(name);
    let named = plan
        .tensors()
        .iter()
        .map(|planned| (planned.name.clone(), weight(planned, Kind::Float)));
    named.collect()
}

#[test]
fn half_precision_is_read_as_its_values_in_f32() -> Result<(), Error> {
    for kind in [Kind::Half, Kind::BFloat16, Kind::Double] {
        let stored: Vec<_> = weights("learned")
            .into_iter()
            .map(|(name, weight)| (name, weight.to_kind(kind)))
            .collect();
        let read = open(&folder_of(&format!("{kind:?}"), "learned", &stored))?;
        for ((_, stored), (_, read)) in stored.iter().zip(read.tensors()) {
            assert_eq!(read.kind(), Kind::Float);
            assert_eq!(distance(&stored.to_kind(Kind::Float), read), 0.0);
        }
    }
    Ok(())
}

#[test]
fn names_and_shapes_of_old_checkpoints_are_read() -> Result<(), Error> {
    let mut old = Vec::new();
    for (name, weight) in weights("attention-conv") {
        let renamed = name
            .replace(".to_q.", ".query.")
            .replace(".to_k.", ".key.")
            .replace(".to_v.", ".value.")
            .replace(".to_out.0.", ".proj_attn.");
        let weight = if renamed != name && weight.dim() == 2 {
            weight.unsqueeze(-1).unsqueeze(-1)
        } else {
            weight
        };
        if name.contains(".downsamplers.0.conv.") {
            let twin = name.replace(".conv.", ".op.");
            old.push((twin, weight.copy()));
        }
        old.push((renamed, weight));
    }
    let read = open(&folder_of("old", "attention-conv", &old))?;
    same_tensors(&made("attention-conv"), &read);
    Ok(())
}

#[test]
fn missing_unexpected_and_misshapen_tensors_are_all_listed() {
    let mut others = weights("attention-conv");
    others.retain(|(name, _)| !name.starts_with("conv_out."));
    others.push(("ema.decay".to_owned(), Tensor::from_slice(&[0.5f32])));
    for (name, weight) in &mut others {
        if name == "conv_in.weight" {
            *weight = weight.transpose(0, 1).contiguous();
        }
    }
    let folder = folder_of("others", "attention-conv", &others);
    let error = open(&folder).expect_err("they are others");
    let Error::Tensors { problems } = error else {
        panic!("{error:?}")
    };
    let expected = [
        "`conv_in.weight` has shape [3, 8, 3, 3] instead of [8, 3, 3, 3]",
        "`conv_out.weight` of shape [3, 8, 3, 3] is missing",
        "`conv_out.bias` of shape [3] is missing",
        "`ema.decay` is unexpected",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn weights_that_are_not_numbers_are_refused() {
    let bad = weights("learned");
    let _ = bad[5].1.get(0).fill_(f64::NAN);
    let error = open(&folder_of("nan", "learned", &bad)).expect_err("one is NaN");
    let name = bad[5].0.clone();
    assert_eq!(error, Error::NotFinite { name });
}

#[test]
fn files_that_are_not_there_or_cut_are_refused() {
    let folder = empty("cut");
    let refused = || open(&folder).expect_err("it is not whole");
    assert!(matches!(refused(), Error::Read { path, .. } if path.ends_with("config.json")));
    let net = made("learned");
    net.to_diffusers(&folder).expect("cargo's folder for tests");
    let path = folder.join("diffusion_pytorch_model.safetensors");
    let whole = fs::read(&path).expect("it was written");
    for length in [0, 7, 8, 9, 1000, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("a file");
        assert!(
            matches!(refused(), Error::Safetensors { .. }),
            "{length} bytes"
        );
    }
    fs::remove_file(&path).expect("a file");
    assert!(matches!(refused(), Error::Read { path, .. } if path.ends_with(".safetensors")));
}
