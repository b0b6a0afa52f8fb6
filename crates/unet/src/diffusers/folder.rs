//! Folders that diffusers wrote or can open.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use resnet_blocks::Params;
use safetensors::tensor::TensorView;
use tch::{Device, Kind, Tensor, nn};

use super::{
    Config, Plan,
    header::{Dtype, Entry, Header},
};
use crate::{Error, UNet};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
/// A configuration is a page of text.
const LONGEST_CONFIG: u64 = 1 << 20;

impl Config {
    /// Reads the `config.json` of a folder.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json); [`Error::Read`].
    pub fn open(dir: &Path) -> Result<Config, Error> {
        let path = dir.join(CONFIG);
        let mut text = String::new();
        let file = File::open(&path).map_err(unreadable(&path))?;
        let length = file.take(LONGEST_CONFIG + 1).read_to_string(&mut text);
        if LONGEST_CONFIG < length.map_err(unreadable(&path))? as u64 {
            return Err(Error::Json {
                reason: format!("it is longer than {LONGEST_CONFIG} bytes"),
            });
        }
        Config::from_json(&text)
    }
}

impl UNet {
    /// Reads the network of a folder that diffusers' `UNet2DModel.save_pretrained` wrote, its variables
    /// created below `path`: they can be trained on.
    ///
    /// The header of the file of weights is checked against its length and against the plan before any
    /// memory is taken for a weight.
    ///
    /// ```no_run
    /// use std::path::Path;
    /// use resnet_blocks::{Mode, Network};
    /// use tch::{Device, Kind, Tensor, nn::VarStore};
    /// use unet::UNet;
    /// # fn main() -> Result<(), unet::Error> {
    /// let store = VarStore::new(Device::Cpu);
    /// let net = UNet::from_diffusers(&store.root(), Path::new("ddpm-cifar10-32"))?;
    /// assert_eq!(net.topology().parameters(), 35_746_307);
    /// let sample = Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu));
    /// let prediction = net.forward(&sample, &Tensor::from(999i64), &mut Mode::Eval);
    /// assert_eq!(prediction.size(), sample.size());
    /// net.to_diffusers(Path::new("copy"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Config::from_json`] and [`Plan::new`]; [`Error::Read`]; [`Error::Safetensors`] for a file that is cut
    /// or lies; [`Error::Tensors`], with all of them, for missing, unexpected and misshapen tensors;
    /// [`Error::NotFinite`]; [`Error::Block`] if a name is taken.
    #[doc(alias = "from_pretrained")]
    pub fn from_diffusers(path: &nn::Path<'_>, dir: &Path) -> Result<UNet, Error> {
        let plan = Plan::new(&Config::open(dir)?)?;
        let file_path = dir.join(WEIGHTS);
        let mut file = File::open(&file_path).map_err(unreadable(&file_path))?;
        let bytes = file.metadata().map_err(unreadable(&file_path))?.len();
        let header = Header::read(&mut BufReader::new(&mut file), bytes)?;
        let entries = header.locate(&plan)?;
        let mut values = HashMap::new();
        let tensors = plan.topology().tensors();
        for ((ours, theirs), entry) in tensors.iter().zip(plan.tensors()).zip(&entries) {
            let value = read(&mut file, entry).map_err(unreadable(&file_path))?;
            if value.isfinite().all().int64_value(&[]) == 0 {
                return Err(Error::NotFinite {
                    name: theirs.name.clone(),
                });
            }
            values.insert(ours.name.clone(), value.view(&ours.dims()[..]));
        }
        let params = Params::with_values(path.clone(), values);
        UNet::build(&params, plan.topology().clone())
    }

    /// Writes a folder that diffusers opens with `UNet2DModel.from_pretrained` and runs to the same numbers;
    /// what it held under the two names is replaced when the new files are whole. The label is diffusers'
    /// timestep, weights are written as f32.
    ///
    /// The network may be read from such a folder or be of our own making, as long as some configuration of
    /// `UNet2DModel` makes it: [`Config::of`].
    ///
    /// # Errors
    /// As [`Config::of`], and [`Error::NotDiffusers`] for a network with an edited skip or with parts of the
    /// caller's own, before anything is written; [`Error::Write`].
    #[doc(alias = "save_pretrained")]
    pub fn to_diffusers(&self, dir: &Path) -> Result<(), Error> {
        self.check_as_planned()?;
        let plan = Plan::new(&Config::of(self.topology())?)?;
        // The plans agree step by step, so their tensors do too, whatever they are called.
        let named: HashMap<_, _> = self.tensors().iter().map(|(name, t)| (name, t)).collect();
        let ours = self.topology().tensors();
        let stored: Vec<Vec<u8>> = ours
            .iter()
            .map(|tensor| {
                let flat = named[&tensor.name]
                    .to_device(Device::Cpu)
                    .to_kind(Kind::Float);
                let numbers = Vec::<f32>::try_from(flat.contiguous().view([-1]));
                let numbers = numbers.expect("weights are f32 vectors");
                numbers.into_iter().flat_map(f32::to_le_bytes).collect()
            })
            .collect();
        let views = plan.tensors().iter().zip(&stored).map(|(tensor, bytes)| {
            let view = TensorView::new(safetensors::Dtype::F32, tensor.shape.clone(), bytes);
            (
                &tensor.name,
                view.expect("as many numbers as the plan says"),
            )
        });
        // What diffusers asks for before it takes a file for weights of torch.
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);

        fs::create_dir_all(dir).map_err(unwritable(dir))?;
        let [weights, config] = [WEIGHTS, CONFIG].map(|name| dir.join(name));
        let [new_weights, new_config] =
            [WEIGHTS, CONFIG].map(|name| dir.join(format!("{name}.new")));
        safetensors::serialize_to_file(views, &Some(format), &new_weights)
            .map_err(unwritable(&weights))?;
        fs::write(&new_config, plan.config().to_json()).map_err(unwritable(&config))?;
        fs::rename(&new_weights, &weights).map_err(unwritable(&weights))?;
        fs::rename(&new_config, &config).map_err(unwritable(&config))
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

fn unwritable<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> Error {
    move |error| Error::Write {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}
