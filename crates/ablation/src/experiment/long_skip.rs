//! Which learning rates does a U-Net stand, by the factor on its long skips?

use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric};
use crate::{
    architecture::Architecture, config::Network, error::Error, exact::place::Place, stream::Stream,
    summary::Better,
};

/// A U-Net that learns to tell noise from waves (side × side, one channel, sums of three cosines of random phases), and the
/// largest learning rate at which it learns anything; in f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongSkipRates {
    /// The network.
    pub network: Network,
    /// Pixels of a side.
    pub side: usize,
    /// Examples in a step.
    pub batch: usize,
    /// Steps of Adam at each rate, which stays as it is.
    pub steps: u64,
    /// The least learning rate that is tried.
    pub least: f64,
    /// The largest learning rate that is tried.
    pub most: f64,
    /// Halvings of the range between them, on a logarithmic scale.
    pub halvings: u32,
}

/// *Ranges*: `stable_rate` between the rates that are tried; `spikes` in `[0, 1]`; `output` real.
/// *Misleading*: at an end of the range `stable_rate` is a bound. To be below the untrained network is little: such a rate
/// need not be a good one; it falls with more steps, and bisection takes it that what is above a rate that fails fails.
/// *Source*: defined here, after the stability that Huang et al. 2023 (ScaleLong) are about.
const METRICS: &[Metric] = &[
    Metric {
        name: "stable_rate",
        unit: "decades",
        meaning: "log10 of the largest learning rate at which the mean loss of the second half of the steps is below that of the untrained network",
        better: Better::Higher,
        worst: None,
    },
    Metric {
        name: "spikes",
        unit: "",
        meaning: "share of losses above the median by more than 8 median deviations, at a fourth of that rate",
        better: Better::Lower,
        worst: Some(1.0),
    },
    Metric {
        name: "output",
        unit: "decades",
        meaning: "log10 of the root mean square of the untrained network's result",
        better: Better::Descriptive,
        worst: None,
    },
];

impl Measurement for LongSkipRates {
    fn check(&self, place: &Place) -> Result<(), Error> {
        place.count("side", self.side, 2, 64)?;
        place.count("batch", self.batch, 1, 10_000)?;
        place.count("steps", self.steps as usize, 4, 1_000_000)?;
        place.count("halvings", self.halvings as usize, 1, 30)?;
        place.positive("least", self.least)?;
        place.positive("most", self.most)?;
        if self.most <= self.least {
            return Err(place.refuse("most", self.most, "it is above `least`: swap them"));
        }
        match Architecture::of(&self.network, &[1, self.side, self.side], &place.0)? {
            Architecture::UNet(_) => Ok(()),
            _ => {
                let rule = "long skips are those of a U-Net: give { kind = \"unet\", … }";
                Err(place.refuse("network", "another kind", rule))
            }
        }
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        true
    }

    fn seconds(&self) -> f64 {
        let shape = [1, self.side, self.side];
        let step = Architecture::of(&self.network, &shape, "").map_or(0.0, |network| {
            3.0 * network.forward_flops(self.batch) / 1e10 + 2e-4 * network.layers() as f64
        });
        f64::from(self.halvings + 1) * self.steps as f64 * step
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        measure(self, stream, found)
    }
}

#[cfg(not(feature = "tch"))]
fn measure(_: &LongSkipRates, _: &Stream, _: &mut Found) -> Result<(), Error> {
    Err(Error::WithoutTorch)
}

#[cfg(feature = "tch")]
use live::measure;

#[cfg(feature = "tch")]
mod live {
    use rand::{Rng, RngCore};
    use rand_distr::StandardNormal;
    use resnet_blocks::{Mode, Network as _, Params};
    use tch::{Device, Kind, Tensor, nn::VarStore};
    use unet::UNet;

    use super::LongSkipRates;
    use crate::{
        architecture::Architecture,
        cell::optimizer::Adam,
        error::Error,
        exact::report::median,
        experiment::Found,
        stream::{Role, Stream},
    };

    pub(super) fn measure(
        this: &LongSkipRates,
        stream: &Stream,
        found: &mut Found,
    ) -> Result<(), Error> {
        let (mut stable, mut unstable) = (this.least.ln(), this.most.ln());
        for _ in 0..this.halvings {
            let middle = 0.5 * (stable + unstable);
            let losses = this.losses(middle.exp(), stream, found);
            let tail = &losses[losses.len() / 2..];
            let after = tail.iter().sum::<f64>() / tail.len() as f64;
            // A comparison with what is not a number is false.
            if after < losses[0] {
                stable = middle;
            } else {
                unstable = middle;
            }
        }
        let rate = (0.5 * (stable + unstable)).exp();
        found.set("stable_rate", rate.log10());
        let losses = this.losses(0.25 * rate, stream, found);
        let middle = median(&losses);
        let off: Vec<f64> = losses.iter().map(|loss| (loss - middle).abs()).collect();
        let bound = middle + 8.0 * median(&off);
        // What has diverged is a spike to its end.
        let spikes = losses
            .iter()
            .filter(|loss| loss.is_nan() || bound < **loss)
            .count();
        found.set("spikes", spikes as f64 / losses.len() as f64);
        Ok(())
    }

    impl LongSkipRates {
        /// The losses of a training, the untrained network's first.
        fn losses(&self, rate: f64, stream: &Stream, found: &mut Found) -> Vec<f64> {
            let shape = [1, self.side, self.side];
            let architecture = Architecture::of(&self.network, &shape, "");
            let Ok(Architecture::UNet(config)) = architecture else {
                unreachable!("it was checked");
            };
            let store = VarStore::new(Device::Cpu);
            let seed = stream.at(Role::Init, 0).next_u64();
            let params = Params::seeded(store.root(), seed);
            let network = UNet::new(&params, &config).expect("it was checked");
            let units = params.units().into_iter();
            let mut parameters: Vec<Tensor> = units.flat_map(|unit| unit.parameters).collect();
            let mut adam = Adam::new(&mut parameters);
            let mut losses = Vec::new();
            for step in 0..self.steps {
                let (x, noise, label) = self.example(stream, step);
                let result = network.forward(&x, &label, &mut Mode::Eval);
                if step == 0 {
                    let square = result.square().mean(Kind::Double).double_value(&[]);
                    found.set("output", 0.5 * square.log10());
                }
                let loss = (result - noise).square().mean(Kind::Float);
                losses.push(loss.double_value(&[]));
                if !losses[losses.len() - 1].is_finite() {
                    // The rest is no better.
                    losses.resize(self.steps as usize, f64::NAN);
                    break;
                }
                let gradients = Tensor::run_backward(&[&loss], &parameters, false, false);
                adam.step(&gradients, rate);
            }
            found.trained(losses.len() as u64);
            losses
        }

        /// Noised waves of unit variance, scaled back to it; the noise; log(sigma)/4 for each.
        fn example(&self, stream: &Stream, step: u64) -> (Tensor, Tensor, Tensor) {
            let mut rng = stream.at(Role::Data, step);
            let mut levels = stream.at(Role::Levels, step);
            let pixels = self.side * self.side;
            let noise: Vec<f64> = stream
                .at(Role::Noise, step)
                .sample_iter(StandardNormal)
                .take(self.batch * pixels)
                .collect();
            let mut x = Vec::with_capacity(self.batch * pixels);
            let mut label = Vec::with_capacity(self.batch);
            for image in 0..self.batch {
                // Log-uniform from 0.1 to 10.
                let sigma = 10.0_f64.powf(2.0 * levels.random::<f64>() - 1.0);
                label.push(sigma.ln() / 4.0);
                let waves: Vec<[f64; 3]> = (0..3)
                    .map(|_| {
                        let turns = |rng: &mut dyn RngCore| f64::from(rng.next_u32() % 4);
                        [turns(&mut rng), turns(&mut rng), rng.random::<f64>()]
                    })
                    .collect();
                for pixel in 0..pixels {
                    let place = [pixel / self.side, pixel % self.side];
                    let place = place.map(|i| i as f64 / self.side as f64);
                    let clean: f64 = waves
                        .iter()
                        .map(|[a, b, phase]| {
                            let turn = a * place[0] + b * place[1] + phase;
                            (std::f64::consts::TAU * turn).cos()
                        })
                        .sum();
                    let clean = clean * (2.0_f64 / 3.0).sqrt();
                    let noised = clean + sigma * noise[image * pixels + pixel];
                    x.push(noised / (1.0 + sigma * sigma).sqrt());
                }
            }
            let size = [self.batch as i64, 1, self.side as i64, self.side as i64];
            let images =
                |values: &[f64]| Tensor::from_slice(values).to_kind(Kind::Float).view(size);
            let label = Tensor::from_slice(&label).to_kind(Kind::Float);
            (images(&x), images(&noise), label)
        }
    }
}

#[cfg(all(test, feature = "tch"))]
mod tests {
    use super::*;
    use crate::experiment::tests::record;

    #[test]
    fn a_rate_that_it_stands_lies_within_the_range() {
        let network = serde_json::json!({
            "kind": "unet", "base": 4, "multipliers": [1, 1], "blocks": 1, "activation": "silu",
            "norm": "none", "short": "inverse_sqrt_depth", "long": { "concat_scaled": 0.5 },
            "init": "le_cun",
        });
        let rates = LongSkipRates {
            network: serde_json::from_value(network).expect("a network"),
            side: 8,
            batch: 8,
            steps: 20,
            least: 1e-5,
            most: 1e3,
            halvings: 6,
        };
        let record = record(rates, 0);
        let rate = record.values["stable_rate"];
        assert!(-4.5 < rate && rate < 2.5, "{rate}");
        assert!(record.values["spikes"] < 0.5);
        assert!(record.values["output"].abs() < 2.0);
    }
}
