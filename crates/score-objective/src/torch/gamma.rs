//! Variational diffusion models: a learned noise schedule and the loss that trains it (Kingma et al. 2021).

use tch::{Device, Kind, Tensor};

use super::{column, row_dot, row_sum, same_shape};
use crate::{Error, variational::Bins};

/// γ(t) = γ₀ + (γ₁ − γ₀) · (g(t) − g(0))/(g(1) − g(0)), the negative log-SNR as a learned increasing function of t in
/// \[0, 1\].
///
/// g(t) = a t + Σ cⱼ sigmoid(wⱼ (t − bⱼ)) with a, c and w positive by a softplus: monotone whatever the parameters are
/// (Kingma et al. 2021, whose second layer has offsets where this has centres).
/// The kernel is variance-preserving, α² = sigmoid(−γ) and σ² = sigmoid(γ).
/// Initial values are constants: unit slope and evenly spread centres, so that γ is nearly linear.
/// Parameters are `f64`, whatever the network is.
///
/// # Training it
///
/// The mean of [`diffusion_loss`] with γ′ depends on γ at the ends only, for a network that is right, so the two groups of parameters
/// want different gradients:
/// [`ends`](MonotoneGamma::ends) that of the mean loss, with [`prior_loss`] and [`reconstruction_loss`], as the network does;
/// [`shape`](MonotoneGamma::shape) that of its variance.
/// The gradient of the squared loss is unbiased for the variance's, since the squared mean does not depend on the shape.
/// Where rows are independent take the mean of the squares; where times are stratified or antithetic over a batch, square
/// the mean of the batch, which is what has the variance.
///
/// ```
/// use score_objective::torch::{MonotoneGamma, diffusion_loss};
/// use tch::{Device, Kind, Tensor};
///
/// # fn main() -> Result<(), score_objective::Error> {
/// let gamma = MonotoneGamma::new(-5.0, 5.0, 8, Device::Cpu)?;
/// let x0 = Tensor::from_slice(&[0.5, -0.5]).view([2, 1]);
/// let noise = Tensor::from_slice(&[1.0, -0.2]).view([2, 1]);
/// let net = |z: &Tensor, gamma: &Tensor| z * gamma.sigmoid().sqrt().unsqueeze(1);
///
/// let (at, slope) = gamma.at(&[0.25, 0.75]); // antithetic
/// let loss = diffusion_loss(&net, &x0, &noise, &at, &slope).mean(Kind::Double);
/// let of_ends = Tensor::run_backward(&[&loss], &gamma.ends(), true, false);
/// let of_shape = Tensor::run_backward(&[&loss.square()], &gamma.shape(), false, false);
/// assert_eq!((of_ends.len(), of_shape.len()), (2, 4));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "learned noise schedule")]
#[doc(alias = "VDM")]
#[derive(Debug)]
pub struct MonotoneGamma {
    start: Tensor,
    log_range: Tensor,
    line: Tensor,
    heights: Tensor,
    widths: Tensor,
    centres: Tensor,
}

impl MonotoneGamma {
    /// γ from `start` at t = 0 to `end` at t = 1 (−13.3 and 5 in the paper), with `hidden` sigmoids (1024 there).
    ///
    /// # Errors
    /// [`Error::NotFinite`] if an end is not finite, [`Error::NotPositive`] unless `start` < `end`, [`Error::Count`] without
    /// sigmoids.
    pub fn new(
        start: f64,
        end: f64,
        hidden: usize,
        device: Device,
    ) -> Result<MonotoneGamma, Error> {
        for (name, value) in [("start", start), ("end", end)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { name, value });
            }
        }
        let range = Error::positive("end - start", end - start)?;
        if hidden == 0 {
            return Err(Error::Count {
                name: "hidden",
                least: 1,
                most: usize::MAX,
                given: 0,
            });
        }
        let n = hidden as f64;
        let leaf = |values: Vec<f64>| {
            Tensor::from_slice(&values)
                .to_device(device)
                .set_requires_grad(true)
        };
        // The inverse of the softplus that makes them positive.
        let raw = |positive: f64| positive.exp_m1().ln();
        Ok(MonotoneGamma {
            start: leaf(vec![start]),
            log_range: leaf(vec![range.ln()]),
            line: leaf(vec![raw(1.0)]),
            heights: leaf(vec![raw(1.0 / n); hidden]),
            widths: leaf(vec![raw(4.0); hidden]),
            centres: leaf((0..hidden).map(|j| (j as f64 + 0.5) / n).collect()),
        })
    }

    /// The leaves that set γ₀ and ln(γ₁ − γ₀).
    pub fn ends(&self) -> [Tensor; 2] {
        [&self.start, &self.log_range].map(Tensor::shallow_clone)
    }

    /// The leaves that set the shape between the ends: a, c, w (before the softplus) and b.
    pub fn shape(&self) -> [Tensor; 4] {
        [&self.line, &self.heights, &self.widths, &self.centres].map(Tensor::shallow_clone)
    }

    /// (γ(t), γ′(t)) at the times, both differentiable in the parameters: \[B\], `f64`.
    ///
    /// # Panics
    /// If a time lies outside \[0, 1\].
    pub fn at(&self, times: &[f64]) -> (Tensor, Tensor) {
        for t in times {
            assert!((0.0..=1.0).contains(t), "time must lie in [0, 1], not {t}");
        }
        let device = self.start.device();
        // The ends of time ride along, to be normalised by.
        let times = [times, &[0.0, 1.0]].concat();
        let t = Tensor::from_slice(&times).to_device(device).unsqueeze(1);
        let [line, heights, widths] =
            [&self.line, &self.heights, &self.widths].map(|raw| -(-raw).log_sigmoid());
        let steps = ((&t - &self.centres) * &widths).sigmoid();
        let height =
            (&steps * &heights).sum_dim_intlist(1, false, Kind::Double) + t.squeeze_dim(1) * &line;
        let slope =
            ((&steps - steps.square()) * heights * widths).sum_dim_intlist(1, false, Kind::Double)
                + line;
        let rows = times.len() as i64 - 2;
        let low = height.get(rows);
        let scale = self.log_range.exp() / (height.get(rows + 1) - &low);
        (
            (height.narrow(0, 0, rows) - low) * &scale + &self.start,
            slope.narrow(0, 0, rows) * scale,
        )
    }
}

/// ½ · slope · ‖ε − ε̂(z; γ)‖² at z = α x₀ + σ ε: the diffusion part of the bound, in nats (Kingma et al. 2021).
///
/// `slope` is γ′(t) in continuous time, of [`MonotoneGamma::at`], or [`discrete_slope`].
/// With times uniform in \[0, 1\] its mean is the term of the bound, without another weight.
/// Differentiable in the network and in γ: the noisy point is part of the graph.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `gamma`, `slope`: \[B\]; `net`: (z \[B, …\], γ \[B\]) → ε̂ \[B, …\]; returns \[B\].
///
/// # Panics
/// If shapes disagree.
pub fn diffusion_loss(
    net: &dyn Fn(&Tensor, &Tensor) -> Tensor,
    x0: &Tensor,
    noise: &Tensor,
    gamma: &Tensor,
    slope: &Tensor,
) -> Tensor {
    same_shape("the noise", noise, x0);
    assert_eq!(
        gamma.size(),
        [x0.size()[0]],
        "there must be one gamma per row"
    );
    assert_eq!(
        slope.size(),
        gamma.size(),
        "there must be one slope per row"
    );
    let like = |values: Tensor| column(&values.to_kind(x0.kind()), x0);
    // √sigmoid by its logarithm: neither scale loses digits where the other is close to 1.
    let alpha = like(((-gamma).log_sigmoid() * 0.5).exp());
    let sigma = like((gamma.log_sigmoid() * 0.5).exp());
    let error = net(&(x0 * alpha + noise * sigma), &gamma.to_kind(x0.kind())) - noise;
    row_dot(&error, &error) * (slope * 0.5).to_kind(x0.kind())
}

/// T · expm1(γ(t) − γ(s)) for T `steps` and s = t − 1/T: the slope of [`diffusion_loss`] in discrete time.
///
/// Tends to γ′(t) as T → ∞.
///
/// # Shapes
/// `earlier`, `later`: \[B\], γ(s) and γ(t); returns \[B\].
pub fn discrete_slope(earlier: &Tensor, later: &Tensor, steps: usize) -> Tensor {
    (later - earlier).expm1() * steps as f64
}

/// KL(q(z₁ given x₀) ‖ N(0, I)) = ½ Σ (α₁² x₀² + σ₁² − 1 − ln σ₁²), in nats.
///
/// # Shapes
/// `x0`: \[B, …\]; `gamma`: γ(1), \[B\] or \[1\]; returns \[B\].
pub fn prior_loss(x0: &Tensor, gamma: &Tensor) -> Tensor {
    let gamma = column(gamma, x0);
    let constant = -gamma.log_sigmoid() - (-&gamma).sigmoid();
    let signal = (-gamma).sigmoid().to_kind(x0.kind());
    row_sum(&((x0.square() * signal + constant.to_kind(x0.kind())) * 0.5))
}

/// −ln p(x₀ given z₀) = ln Σₖ exp(−½ dₖ²) + ½ ε² summed over coordinates, with dₖ = (x₀ − vₖ) e^{−γ₀/2} + ε: the reconstruction
/// of discrete data, in nats (Kingma et al. 2021).
///
/// p is proportional to q(z₀ given v) over the K values of `bins`; x₀ must be among them.
/// [`Bins::categorical_log_likelihood`] is the same for one coordinate.
///
/// # Shapes
/// `x0`, `noise`: \[B, …\]; `gamma`: γ(0), \[B\] or \[1\]; returns \[B\]; needs memory for \[B, …, K\].
///
/// # Panics
/// If shapes disagree.
pub fn reconstruction_loss(x0: &Tensor, noise: &Tensor, gamma: &Tensor, bins: Bins) -> Tensor {
    same_shape("the noise", noise, x0);
    let values: Vec<f64> = (0..bins.count()).map(|index| bins.value(index)).collect();
    let values = Tensor::from_slice(&values)
        .to_kind(x0.kind())
        .to_device(x0.device());
    let precision = (gamma * -0.5).exp().to_kind(x0.kind());
    let away = (x0.unsqueeze(-1) - values) * column(&precision, x0).unsqueeze(-1);
    let exponents = (away + noise.unsqueeze(-1)).square() * -0.5;
    row_sum(&(exponents.logsumexp([-1], false) + noise.square() * 0.5))
}
