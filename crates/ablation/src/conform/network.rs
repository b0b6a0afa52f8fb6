//! Networks of diffusers: their answers in evaluation mode, compared number by number.

use std::path::Path;

use resnet_blocks::Mode;
use tch::{Device, Kind, Tensor, nn::VarStore};
use unet::{Classes, Conditions, UNet};

use super::{Comparison, Outcome};

/// The largest error that conforms: the answers are those of `f32` arithmetic in another order.
const TOLERANCE: f64 = 2e-4;

/// Reads the network and `io.safetensors` beside it, and compares its answer.
pub(super) fn compare(folder: &Path) -> Result<Outcome, String> {
    let path = folder.join("io.safetensors");
    let tensors = Tensor::read_safetensors(&path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let find = |name: &str| {
        let found = tensors.iter().find(|(known, _)| known == name);
        found
            .map(|(_, tensor)| tensor)
            .ok_or_else(|| format!("io.safetensors has no `{name}`"))
    };
    let (sample, timestep, expected) = (find("sample")?, find("timestep")?, find("output")?);
    let classes = tensors
        .iter()
        .find(|(name, _)| name == "class_labels")
        .map(|(_, tensor)| tensor);
    let store = VarStore::new(Device::Cpu);
    let network = UNet::from_diffusers(&store.root(), folder).map_err(|error| error.to_string())?;
    let takes = network.topology().embedding().classes != Classes::None;
    if takes != classes.is_some() {
        return Err(format!(
            "the network takes {} classes, but io.safetensors has {} `class_labels`",
            if takes { "" } else { "no" },
            if takes { "no" } else { "" }
        ));
    }
    if sample.dim() != 4 {
        return Err(format!("`sample` is {:?}, not [n, c, h, w]", sample.size()));
    }
    let conditions = Conditions {
        classes,
        estimate: None,
    };
    let guard = tch::no_grad_guard();
    let output = network.forward_with(sample, timestep, conditions, &mut Mode::Eval);
    drop(guard);
    if output.size() != expected.size() {
        return Err(format!(
            "the output has shape {:?} where {:?} is expected",
            output.size(),
            expected.size()
        ));
    }
    let mut comparison = Comparison::default();
    comparison.numbers("output", numbers(&output)?, numbers(expected)?)?;
    Ok(comparison.within(TOLERANCE))
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>, String> {
    let flat = tensor.to_kind(Kind::Double).flatten(0, -1);
    Vec::try_from(&flat).map_err(|error: tch::TchError| error.to_string())
}
