//! How well conditioned is an untrained network? Reported, since what it decides is disputed.

use serde::{Deserialize, Serialize};

use super::{Found, Measurement, Metric, tower::Tower};
use crate::{error::Error, exact::place::Place, stream::Stream, summary::Better};

/// The tangent kernel of a tower on points of a circle, and the largest curvature of its loss there; in f64.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tangent {
    /// The network.
    pub tower: Tower,
    /// Points on the circle of radius √2, evenly spaced from a random angle on.
    pub points: usize,
    /// Steps of Lanczos' method.
    pub lanczos: usize,
}

const fn metric(name: &'static str, meaning: &'static str) -> Metric {
    Metric {
        name,
        unit: "",
        meaning,
        better: Better::Descriptive,
        worst: None,
    }
}

/// *Ranges*: `kappa` and `over_median` in `[0, 18]`; `effective_rank` in `[1, points]`; `curvature` real; `residual` in
/// `[0, ∞)`.
/// *Misleading*: at initial values only, on these points: in a network that learns features the kernel moves. A factor on the
/// output scales `curvature` and not the others. Where `residual` is not small, `curvature` is a lower bound.
/// *Source*: Jacot, Gabriel & Hongler 2018; `learnability::{curvature, spectrum, lanczos}`.
const METRICS: &[Metric] = &[
    metric(
        "kappa",
        "log10 of the condition number of the tangent kernel; 18, which f64 cannot tell from singular, at most",
    ),
    metric(
        "over_median",
        "log10 of its largest over its median eigenvalue; 18 at most",
    ),
    metric(
        "effective_rank",
        "exp of the entropy of its eigenvalues' shares",
    ),
    metric(
        "curvature",
        "log10 of the largest eigenvalue of the Hessian of the mean squared error",
    ),
    metric(
        "residual",
        "norm of what Lanczos' method leaves of that eigenvector, over the eigenvalue",
    ),
];

#[cfg(feature = "tch")]
/// Decades beyond which f64 measures rounding.
const MOST_DECADES: f64 = 18.0;

impl Measurement for Tangent {
    fn check(&self, place: &Place) -> Result<(), Error> {
        self.tower.check(place)?;
        place.count("points", self.points, 2, 1000)?;
        place.count("lanczos", self.lanczos, 1, 1000)
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn needs_torch(&self) -> bool {
        true
    }

    fn seconds(&self) -> f64 {
        let passes = 3 * self.points + 8 * self.lanczos;
        0.1 + passes as f64 * self.tower.seconds(self.points)
    }

    fn run(&self, stream: &Stream, found: &mut Found) -> Result<(), Error> {
        measure(self, stream, found)
    }
}

#[cfg(not(feature = "tch"))]
fn measure(_: &Tangent, _: &Stream, _: &mut Found) -> Result<(), Error> {
    Err(Error::WithoutTorch)
}

#[cfg(feature = "tch")]
fn measure(this: &Tangent, stream: &Stream, found: &mut Found) -> Result<(), Error> {
    use learnability::{
        curvature::{Hessian, tangent_kernel},
        gram::Gram,
        lanczos::Lanczos,
    };
    use rand::{Rng, RngCore};
    use rand_distr::StandardNormal;
    use tch::{Kind, Tensor};

    use super::tower::Drawn;
    use crate::stream::Role;

    let first: f64 = stream.at(Role::Data, 0).random();
    let angles = (0..this.points).map(|i| (i as f64 + first) / this.points as f64);
    let x: Vec<f64> = angles
        .map(|turn| std::f64::consts::TAU * turn)
        .flat_map(|angle| [2.0_f64.sqrt() * angle.cos(), 2.0_f64.sqrt() * angle.sin()])
        .collect();
    let x = Tensor::from_slice(&x).view([this.points as i64, 2]);
    let seed = stream.at(Role::Init, 0).next_u64();
    let drawn = Drawn::new(&this.tower, 1, &x, seed);
    let kernel = Gram::sum(&tangent_kernel(&drawn.forward(&x), &drawn.units));
    if let Ok(spectrum) = kernel.spectrum() {
        let decades = |ratio: Option<f64>| {
            let decades = ratio.map_or(MOST_DECADES, f64::log10);
            // Rounding may leave the least eigenvalue below 0.
            if decades.is_nan() {
                MOST_DECADES
            } else {
                decades.min(MOST_DECADES)
            }
        };
        found.set("kappa", decades(spectrum.condition_number()));
        found.set("over_median", decades(spectrum.largest_over_median()));
        found.set("effective_rank", spectrum.effective_rank().unwrap_or(0.0));
    }
    // The product of the coordinates, which no linear function follows.
    let y = x.select(1, 0) * x.select(1, 1);
    let loss = (drawn.forward(&x).squeeze() - y)
        .square()
        .mean(Kind::Double);
    let hessian = Hessian::new(&loss, &drawn.units);
    let start: Vec<f64> = stream
        .at(Role::Probe, 0)
        .sample_iter(StandardNormal)
        .take(hessian.dimension())
        .collect();
    if let Ok(lanczos) = Lanczos::run(&mut |v| hessian.product(v), &start, this.lanczos) {
        let largest = lanczos.ritz()[0];
        found.set("curvature", largest.value.log10());
        found.set("residual", largest.residual / largest.value);
    }
    Ok(())
}

#[cfg(all(test, feature = "tch"))]
mod tests {
    use super::*;
    use crate::{
        config::{Activation, Init, ShortSkip},
        experiment::tests::record,
    };

    #[test]
    fn a_deep_plain_network_of_pytorchs_weights_has_a_kernel_of_rank_one() {
        let tangent = |init| Tangent {
            tower: Tower {
                width: 16,
                blocks: 16,
                activation: Activation::Relu,
                short: ShortSkip::None,
                init,
                gain: 1.0,
            },
            points: 8,
            lanczos: 8,
        };
        let dead = record(tangent(Init::Pytorch), 0);
        assert!(dead.values["effective_rank"] < 1.01);
        let alive = record(tangent(Init::Orthogonal), 0);
        assert!(alive.values["kappa"] < dead.values["kappa"]);
        assert!(1.1 < alive.values["effective_rank"]);
    }
}
