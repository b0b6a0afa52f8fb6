//! Folders that diffusers wrote or can open.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

use tch::{Device, Kind, Tensor};

use super::{
    Config, Plan, UNet2D,
    header::{Dtype, Entry, Header},
};
use crate::Error;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
/// A configuration is a page of text.
const LONGEST_CONFIG: u64 = 1 << 20;

impl UNet2D {
    /// Reads the network of a folder, its weights as f32 on the device.
    ///
    /// The header of the file of weights is checked against its length and against the plan before any
    /// memory is taken for a weight.
    ///
    /// # Errors
    /// As [`Config::from_json`] and [`Plan::new`]; [`Error::Read`]; [`Error::Safetensors`] for a file that is cut
    /// or lies; [`Error::Tensors`], with all of them, for missing, unexpected and misshapen tensors;
    /// [`Error::NotFinite`].
    #[doc(alias = "from_pretrained")]
    pub fn open(dir: &Path, device: Device) -> Result<UNet2D, Error> {
        let path = dir.join(CONFIG);
        let mut text = String::new();
        let file = File::open(&path).map_err(unreadable(&path))?;
        let length = file.take(LONGEST_CONFIG + 1).read_to_string(&mut text);
        if LONGEST_CONFIG < length.map_err(unreadable(&path))? as u64 {
            return Err(Error::Json {
                reason: format!("it is longer than {LONGEST_CONFIG} bytes"),
            });
        }
        let plan = Plan::new(&Config::from_json(&text)?)?;

        let path = dir.join(WEIGHTS);
        let mut file = File::open(&path).map_err(unreadable(&path))?;
        let bytes = file.metadata().map_err(unreadable(&path))?.len();
        let header = Header::read(&mut BufReader::new(&mut file), bytes)?;
        let entries = header.locate(&plan)?;
        let mut weights = Vec::with_capacity(entries.len());
        for (planned, entry) in plan.tensors().iter().zip(&entries) {
            let weight = read(&mut file, entry).map_err(unreadable(&path))?;
            if weight.isfinite().all().int64_value(&[]) == 0 {
                return Err(Error::NotFinite {
                    name: planned.name.clone(),
                });
            }
            weights.push(weight.view(&planned.dims()[..]).to_device(device));
        }
        Ok(UNet2D::with_weights(plan, weights))
    }

    /// Writes a folder that diffusers opens with `UNet2DModel.from_pretrained`; what it held is replaced.
    ///
    /// # Errors
    /// [`Error::Write`].
    #[doc(alias = "save_pretrained")]
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(unwritable(dir))?;
        let path = dir.join(WEIGHTS);
        File::create(&path)
            .and_then(|file| self.write_weights(BufWriter::new(file)))
            .map_err(unwritable(&path))?;
        let path = dir.join(CONFIG);
        fs::write(&path, self.plan().config().to_json()).map_err(unwritable(&path))
    }

    fn write_weights(&self, mut file: impl Write) -> std::io::Result<()> {
        let mut header = serde_json::Map::new();
        header.insert(
            "__metadata__".to_owned(),
            serde_json::json!({"format": "pt"}),
        );
        let mut end = 0;
        for (planned, weight) in self.weights() {
            let begin = end;
            end += 4 * weight.numel();
            header.insert(
                planned.name.clone(),
                serde_json::json!({"dtype": "F32", "shape": planned.shape, "data_offsets": [begin, end]}),
            );
        }
        let mut header = serde_json::Value::Object(header).to_string();
        while !header.len().is_multiple_of(8) {
            header.push(' '); // values begin at a multiple of their size
        }
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for (_, weight) in self.weights() {
            let flat = weight.to_device(Device::Cpu).contiguous().view([-1]);
            let numbers = Vec::<f32>::try_from(flat).expect("weights are f32 vectors");
            for number in numbers {
                file.write_all(&number.to_le_bytes())?;
            }
        }
        file.flush()
    }
}

/// A vector of f32 on the CPU.
fn read(file: &mut File, entry: &Entry) -> std::io::Result<Tensor> {
    let mut bytes = vec![0; entry.bytes];
    file.seek(SeekFrom::Start(entry.begin))?;
    file.read_exact(&mut bytes)?;
    let kind = match entry.dtype {
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
    };
    let count = (entry.bytes / kind.elt_size_in_bytes()) as i64;
    Ok(Tensor::from_data_size(&bytes, &[count], kind).to_kind(Kind::Float))
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Read {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Write {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}
