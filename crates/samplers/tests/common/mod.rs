//! Exact denoisers, and the steppers under test.
#![allow(dead_code, reason = "each test file uses its own part")]

use ndarray::Array1;
use noise_schedule::Kernel;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use samplers::{
    Ancestral, Ddim, Deis, DpmSolverMultistep, Heun, Integrand, PerSample, SaSolver, Stepper, Tau,
    UniPc,
};

/// A mixture of normals on the line, all with one standard deviation.
pub(crate) struct Mixture {
    pub(crate) weights: Vec<f64>,
    pub(crate) means: Vec<f64>,
    pub(crate) std: f64,
}

impl Mixture {
    /// Two modes, unequal, that share some ground.
    pub(crate) fn two_modes() -> Mixture {
        Mixture {
            weights: vec![0.7, 0.3],
            means: vec![1.0, -1.5],
            std: 0.5,
        }
    }

    /// E[x_0 | x_t = x]: the responsibilities weigh the conditional means of the components.
    pub(crate) fn denoise(&self, x: f64, at: Kernel) -> f64 {
        let (alpha, sigma) = (at.alpha(), at.sigma());
        let variance = (alpha * self.std).powi(2) + sigma.powi(2);
        let log = |k: usize| {
            self.weights[k].ln() - (x - alpha * self.means[k]).powi(2) / (2.0 * variance)
        };
        let top = (0..self.means.len())
            .map(log)
            .fold(f64::NEG_INFINITY, f64::max);
        let (mut total, mut sum) = (0.0, 0.0);
        for (k, mean) in self.means.iter().enumerate() {
            let responsibility = (log(k) - top).exp();
            let gain = alpha * self.std * self.std / variance;
            total += responsibility;
            sum += responsibility * (mean + gain * (x - alpha * mean));
        }
        sum / total
    }

    /// The same for every entry of an array.
    pub(crate) fn model(&self) -> impl FnMut(&Array1<f64>, Kernel) -> Array1<f64> + '_ {
        |x, at| x.mapv(|x| self.denoise(x, at))
    }
}

/// A stepper at the start of a trajectory, with its name.
pub(crate) type Named = (&'static str, Box<dyn Stepper<Array1<f64>>>);

/// Every stepper.
pub(crate) fn steppers() -> Vec<Named> {
    vec![
        ("Ddim", Box::new(Ddim)),
        ("Heun", Box::new(Heun)),
        (
            "DpmSolver++(2M)",
            Box::new(DpmSolverMultistep::new(Integrand::Denoised, 2).unwrap()),
        ),
        ("Ancestral 0", Box::new(Ancestral::new(0.0).unwrap())),
        ("Ancestral 1", Box::new(Ancestral::new(1.0).unwrap())),
        (
            "UniPC-2",
            Box::new(UniPc::new(Integrand::Denoised, 2).unwrap()),
        ),
        ("DEIS-2", Box::new(Deis::new(2).unwrap())),
        (
            "SA-Solver",
            Box::new(
                SaSolver::new(Integrand::Denoised, 2, Tau::constant(1.0).unwrap())
                    .unwrap()
                    .with_corrector(3)
                    .unwrap(),
            ),
        ),
    ]
}

/// One stream per sample, named by the seed and the sample.
pub(crate) fn streams(seed: u64, samples: std::ops::Range<u64>) -> PerSample<ChaCha8Rng> {
    PerSample::new(samples.map(|sample| {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        stream.set_stream(sample);
        stream
    }))
}
