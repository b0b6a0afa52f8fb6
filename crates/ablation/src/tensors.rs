//! Tensors in safetensors files: weights of cells, noise that is given, samples.

use std::collections::{BTreeMap, HashMap};

use ndarray::{ArrayD, ArrayViewD, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor};

/// The bytes of a file of these tensors, in f32; equal tensors give equal bytes.
pub(crate) fn to_bytes(tensors: &[(String, Tensor)]) -> Vec<u8> {
    let stored: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float);
            let numbers: Vec<f32> = Vec::try_from(flat.contiguous().view([-1])).expect("a list");
            let shape = tensor.size().iter().map(|&side| side as usize).collect();
            let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            (name.as_str(), shape, bytes)
        })
        .collect();
    let views = stored.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (*name, view.expect("as many numbers as the shape says"))
    });
    // What Python's readers ask for before they take a file for weights.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, &Some(format)).expect("plain data")
}

/// The tensors of a file by name, on the CPU and in the precision that they are stored in.
///
/// # Errors
/// In words: what is no safetensors file, or lies about its sizes, and tensors that hold no decimal numbers.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("it is not a whole safetensors file ({error})"))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        let dtype = view.dtype();
        if !matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64) {
            return Err(format!(
                "`{name}` is stored as {dtype:?}; store F32, F64, F16 or BF16"
            ));
        }
        let tensor = Tensor::try_from(view).map_err(|error| format!("`{name}`: {error}"))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The numbers in f32 on a device.
pub(crate) fn single(x: ArrayViewD<'_, f64>, device: Device) -> Tensor {
    let size: Vec<i64> = x.shape().iter().map(|&side| side as i64).collect();
    let numbers: Vec<f32> = x.iter().map(|&number| number as f32).collect();
    Tensor::from_slice(&numbers)
        .view(&size[..])
        .to_device(device)
}

/// The numbers in f64.
pub(crate) fn array(tensor: &Tensor) -> ArrayD<f64> {
    let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
    let flat = tensor
        .to_device(Device::Cpu)
        .to_kind(Kind::Double)
        .contiguous();
    let numbers = Vec::try_from(flat.view([-1])).expect("a list");
    ArrayD::from_shape_vec(IxDyn(&shape), numbers).expect("as many numbers as the shape says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let tensors = [
            (
                "b".to_owned(),
                Tensor::from_slice(&[1.5f32, -0.0, 1e-45]).view([3, 1]),
            ),
            (
                "a".to_owned(),
                Tensor::from_slice(&[2.0f32]).view([] as [i64; 0]),
            ),
        ];
        let bytes = to_bytes(&tensors);
        assert_eq!(bytes, to_bytes(&tensors));
        let read = from_bytes(&bytes).expect("it is whole");
        assert_eq!(read.len(), 2);
        for (name, tensor) in &tensors {
            assert_eq!((read[name].size(), &read[name]), (tensor.size(), tensor));
        }
    }

    #[test]
    fn files_that_lie_are_refused() {
        let bytes = to_bytes(&[("a".to_owned(), Tensor::from_slice(&[1.0f32, 2.0]))]);
        for length in 0..bytes.len() {
            assert!(from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains("[2]"), "{text}");
        let lie = bytes
            .iter()
            .map(|byte| if *byte == b'2' { b'9' } else { *byte });
        assert!(from_bytes(&lie.collect::<Vec<u8>>()).is_err());
        let words = safetensors::serialize(
            [(
                "a",
                TensorView::new(Dtype::I64, vec![1], &[0; 8]).expect("one word"),
            )],
            &None,
        );
        let said = from_bytes(&words.expect("plain data")).expect_err("no decimal numbers");
        assert!(said.contains("`a` is stored as I64"), "{said}");
    }
}
