//! The reference results of other toolkits, all of them.

use std::path::{Path, PathBuf};

use ablation::conform;

/// The cases shared with other implementations, and ours, each beside the script that made it.
#[test]
fn every_case_conforms() {
    let golden: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/conformance");
    let (mut tried, mut failed) = (0, Vec::new());
    conform::run(&[golden], &mut |case| {
        tried += 1;
        if !case.passed() {
            failed.push(case.line());
        }
    });
    assert!(
        failed.is_empty(),
        "{} of {tried}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(35 <= tried, "only {tried} cases were found");
}

#[test]
fn what_is_not_a_case_file_is_said() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, message) in [
        ("Cargo.toml", "not a conformance file"),
        ("nowhere.json", "cannot be read"),
    ] {
        let mut lines = Vec::new();
        conform::run(&[here.join(path)], &mut |case| lines.push(case.line()));
        assert!(lines.len() == 1 && lines[0].contains(message), "{lines:?}");
    }
}

/// A network that is written and read again gives its own answers; one weight elsewhere, and it fails.
#[cfg(feature = "tch")]
#[test]
fn networks_are_compared_with_their_answers() {
    use resnet_blocks::{Mode, Network, Params};
    use tch::{Device, Kind, Tensor, nn::VarStore};
    use unet::{
        UNet,
        diffusers::{Config, Plan},
    };

    let config = r#"{"_class_name": "UNet2DModel", "in_channels": 1, "out_channels": 1,
        "block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4,
        "down_block_types": ["DownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "UpBlock2D"]}"#;
    let config = Config::from_json(config).unwrap();
    let waves =
        |count: usize| -> Vec<f32> { (0..count).map(|i| (i as f32 * 0.7).sin() / 4.0).collect() };
    let topology = Plan::new(&config).unwrap().topology().clone();
    let values = topology.tensors().into_iter().map(|planned| {
        let value = Tensor::from_slice(&waves(planned.numbers())).reshape(planned.dims());
        (planned.name, value)
    });
    let store = VarStore::new(Device::Cpu);
    let params = Params::with_values(store.root(), values.collect());
    let network = UNet::build(&params, topology).unwrap();
    let folder = tempfile::tempdir().unwrap();
    network.to_diffusers(folder.path()).unwrap();
    let sample = Tensor::from_slice(&waves(2 * 64)).reshape([2, 1, 8, 8]);
    let timestep = Tensor::from_slice(&[3_i64, 700]);
    let output = network
        .forward(&sample, &timestep, &mut Mode::Eval)
        .detach();
    let verdict = |output: &Tensor| {
        let tensors = [
            ("sample", &sample),
            ("timestep", &timestep),
            ("output", output),
        ];
        Tensor::write_safetensors(&tensors, folder.path().join("io.safetensors")).unwrap();
        let mut tried = Vec::new();
        conform::run(&[folder.path().to_path_buf()], &mut |case| tried.push(case));
        assert_eq!(tried.len(), 1);
        tried.remove(0)
    };
    let own = verdict(&output);
    assert!(own.passed(), "{}", own.line());
    let other = verdict(&(&output + Tensor::full([2, 1, 8, 8], 0.1, (Kind::Float, Device::Cpu))));
    assert!(!other.passed(), "{}", other.line());
}
