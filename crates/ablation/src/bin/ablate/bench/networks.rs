//! The U-Net that is measured, in a folder of diffusers: written by the other side, or by us where there is none.

use std::path::{Path, PathBuf};

use ablation::Error;
use resnet_blocks::Params;
use tch::{Device, nn::VarStore};
use unet::{
    UNet,
    diffusers::{Config, Plan},
};

/// The folder of the network; one of the same shape is drawn and written if it is not there.
pub(super) fn ensure(dir: &Path, attention: bool) -> Result<PathBuf, Error> {
    let folder = dir.join("unet");
    if !folder.join("config.json").is_file() {
        write(&folder, attention).map_err(|error| unusable(&folder, &error))?;
    }
    Ok(folder)
}

/// As an error of the laboratory.
pub(super) fn unusable(folder: &Path, error: &unet::Error) -> Error {
    Error::Unusable {
        path: folder.to_owned(),
        reason: error.to_string(),
    }
}

fn write(folder: &Path, attention: bool) -> Result<(), unet::Error> {
    let deep = if attention { "Attn" } else { "" };
    let config = format!(
        r#"{{"sample_size": 32, "in_channels": 1, "out_channels": 1, "layers_per_block": 2,
            "block_out_channels": [32, 64, 64], "norm_num_groups": 8, "add_attention": {attention},
            "attention_head_dim": 16,
            "down_block_types": ["DownBlock2D", "DownBlock2D", "{deep}DownBlock2D"],
            "up_block_types": ["{deep}UpBlock2D", "UpBlock2D", "UpBlock2D"]}}"#
    );
    let plan = Plan::new(&Config::from_json(&config)?)?;
    let store = VarStore::new(Device::Cpu);
    let params = Params::seeded(store.root(), 0);
    UNet::build(&params, plan.topology().clone())?.to_diffusers(folder)
}
