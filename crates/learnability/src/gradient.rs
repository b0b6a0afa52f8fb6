//! Measurements of gradients on a live network (feature `tch`).
//!
//! A *unit* is a name with the parameters that belong to it; cut them from any `VarStore` as the study declares, or by
//! layer with [`crate::unit::units_of`].
//! Nothing here touches the `.grad` of a parameter, so a measurement between two training steps changes neither.
//!
//! ```
//! use learnability::gradient::{Snapshot, unit_gradients};
//! use tch::{Device, Kind, Tensor, nn, nn::OptimizerConfig};
//!
//! let vs = nn::VarStore::new(Device::Cpu);
//! let a = vs.root().var("a", &[2, 2], nn::Init::Const(0.5));
//! let b = vs.root().var("b", &[2, 2], nn::Init::Const(2e9));
//! let units = [("a".to_owned(), vec![a.shallow_clone()]), ("b".to_owned(), vec![b.shallow_clone()])];
//! let loss = || Tensor::ones([1, 2], (Kind::Float, Device::Cpu)).matmul(&a).matmul(&b).mean(Kind::Float);
//!
//! let gradients = unit_gradients(&loss(), &units);
//! assert_eq!((gradients[0].norm, gradients[1].norm), (4e9, 1.0));
//!
//! let before = Snapshot::of(&units);
//! nn::Sgd::default().build(&vs, 1e-3).unwrap().backward_step(&loss());
//! assert_eq!(before.absorbed(&units), [0.0, 1.0]); // too small a step for weights of this size
//! ```

use tch::{Device, Kind, Tensor};

use crate::gram::Gram;
use crate::moments::{GradientMoments, GradientSums};

/// The gradient of the loss with respect to one unit, in single numbers accumulated in `f64`.
///
/// All of them say how large the gradient of *these* data is, and nothing of whether it can be trusted: a gradient that is
/// all noise has a norm too. [`Gram`] tells the two apart.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitGradient {
    /// Name of the unit.
    pub name: String,
    /// `|g|`, Euclidean norm over all parameters of the unit.
    ///
    /// *Range*: `[0, ∞)`; 0 for a unit that the loss does not depend on. NaN or ∞ where training diverged.
    /// *Invariances*: rotation of the parameters of the unit.
    /// *Failure mode*: it grows with the number of parameters; and where the unit grows by `a` and the next shrinks by it,
    /// which changes nothing of the network, it falls by `a`.
    /// *Source*: the quantity in which gradients were seen to vanish, Bengio, Simard & Frasconi 1994.
    pub norm: f64,
    /// `|w|`, Euclidean norm of the parameters.
    ///
    /// *Range*: `[0, ∞)`. *Invariances*: rotation of the parameters of the unit. *Failure mode*: no access by itself: of a
    /// unit before a normalisation the network does not see it at all.
    pub weight_norm: f64,
    /// `|g|² / number of scalars`: comparable between units of different size.
    ///
    /// *Range*: `[0, ∞)`. *Invariances*: rotation of the parameters of the unit; joining equal units.
    /// *Failure mode*: scale, as of [`Self::norm`], by its square; and few scalars that learn are lost among many that do
    /// not. Give the sum beside it.
    /// *Source*: defined here.
    pub mean_square: f64,
    /// `⟨w, g⟩`, the derivative of the loss with respect to the log-scale of the unit.
    ///
    /// *Range*: real. *Invariances*: rescaling between units, rotation of the parameters of the unit.
    /// *Failure mode*: in a network that is homogeneous of degree one in each unit it is the same for all units, whatever
    /// the initialisation: an index of its shares is blind to vanishing gradients.
    /// *Source*: Euler's theorem on homogeneous functions; for networks Du, Hu & Lee 2018.
    pub weight_dot: f64,
}

impl UnitGradient {
    /// `|g| / |w|`, the reciprocal of the trust ratio of LARS.
    ///
    /// *Range*: `[0, ∞)`; `None` for a unit that is 0, or if one of the two is not finite.
    /// *Invariances*: rotation of the parameters of the unit.
    /// *Failure mode*: where a unit grows by `a` and the next shrinks by it, this falls by `a²`. Biases that begin at 0
    /// have none.
    /// *Source*: You, Gitman & Ginsburg 2017.
    pub fn relative(&self) -> Option<f64> {
        let ratio = self.norm / self.weight_norm;
        ratio.is_finite().then_some(ratio)
    }

    /// `|w| |g|`, at least `|⟨w, g⟩|`.
    ///
    /// *Range*: `[0, ∞)`; 0 for a unit that is 0, whatever its gradient.
    /// *Invariances*: rescaling between units, rotation of the parameters of the unit.
    /// *Failure mode*: blind to vanishing, as [`Self::weight_dot`] is; use it with [`crate::index::level_aware`] only.
    /// *Source*: defined here, as the bound of [`Self::weight_dot`] by Cauchy and Schwarz.
    pub fn scale_free(&self) -> f64 {
        self.weight_norm * self.norm
    }
}

/// The gradient of `loss` with respect to every unit, by one backward pass that leaves `.grad` and the graph as they are.
///
/// A parameter that the loss does not depend on has gradient 0.
///
/// # Shapes
/// `loss`: one element. Parameters: any.
///
/// # Panics
/// If `loss` has more than one element or depends on no parameter that requires a gradient; if a unit has no parameters
/// or one that does not require a gradient.
pub fn unit_gradients(loss: &Tensor, units: &[(String, Vec<Tensor>)]) -> Vec<UnitGradient> {
    let gradients = backward(loss, units);
    units
        .iter()
        .zip(&gradients)
        .map(|((name, parameters), gradients)| {
            let mut scalars = 0;
            let (mut gradient_square, mut weight_square, mut weight_dot) = (0.0, 0.0, 0.0);
            for (parameter, gradient) in parameters.iter().zip(gradients) {
                let weight = flat(&parameter.detach());
                scalars += parameter.numel();
                weight_square += dot(&weight, &weight);
                if let Some(gradient) = gradient {
                    let gradient = flat(gradient);
                    gradient_square += dot(&gradient, &gradient);
                    weight_dot += dot(&weight, &gradient);
                }
            }
            UnitGradient {
                name: name.clone(),
                norm: gradient_square.sqrt(),
                weight_norm: weight_square.sqrt(),
                mean_square: gradient_square / scalars as f64,
                weight_dot,
            }
        })
        .collect()
}

/// `log₁₀ (|g_first| / |g_last|)` of the units at these two positions, in decades.
///
/// Negative where the gradient vanishes on its way back to the first unit, positive where it explodes.
///
/// *Range*: real, in decades; `None` if one of the norms is 0 or not finite.
/// *Invariances*: scale of the loss; rescaling between units that are neither of the two.
/// *Failure mode*: two units stand for all: what is between them may be silent unseen. Units of other sizes or scales have
/// other norms without any vanishing, so take two of one shape, away from the ends.
/// *Source*: defined here; vanishing and exploding by depth are those of Bengio, Simard & Frasconi 1994.
///
/// # Panics
/// If a position is not in `gradients`.
pub fn first_to_last(gradients: &[UnitGradient], first: usize, last: usize) -> Option<f64> {
    // A difference of logarithms: the quotient itself could leave the range of f64.
    let decades = gradients[first].norm.log10() - gradients[last].norm.log10();
    decades.is_finite().then_some(decades)
}

/// Unbiased signal and noise of the gradient of every unit, from the losses of micro-batches `0 … micro_batches − 1`.
///
/// What they are, their range and when they mislead is said at [`GradientMoments`].
///
/// `losses(i)` gives the *mean* loss of micro-batch `i`. The micro-batches are to be independent and of equal size. The
/// losses may share one graph, as the single-sample losses of one forward pass do.
/// Beside the gradients of one backward pass, a sum of all gradients in `f64` is held.
///
/// # Shapes
/// Each loss: one element.
///
/// # Panics
/// If `micro_batches < 2`, and as [`unit_gradients`].
///
/// ```
/// use learnability::gradient::unit_moments;
/// use tch::{Kind, Tensor};
///
/// let w = Tensor::from(2.0_f64).set_requires_grad(true);
/// let data = [1.0, 3.0]; // the loss of a micro-batch is x · w, its gradient is x
/// let units = [("w".to_owned(), vec![w.shallow_clone()])];
/// let moments = unit_moments(&mut |i| &w * data[i], 2, &units);
/// assert_eq!((moments[0].signal, moments[0].noise), (3.0, 2.0));
/// ```
pub fn unit_moments(
    losses: &mut dyn FnMut(usize) -> Tensor,
    micro_batches: usize,
    units: &[(String, Vec<Tensor>)],
) -> Vec<GradientMoments> {
    let mut squared_norms = vec![0.0; units.len()];
    let mut sums: Vec<Vec<Tensor>> = units
        .iter()
        .map(|(_, parameters)| {
            let zeros = |p: &Tensor| Tensor::zeros([p.numel() as i64], (Kind::Double, p.device()));
            parameters.iter().map(zeros).collect()
        })
        .collect();
    for i in 0..micro_batches {
        let gradients = backward(&losses(i), units);
        for (unit, gradients) in gradients.iter().enumerate() {
            for (sum, gradient) in sums[unit].iter_mut().zip(gradients) {
                if let Some(gradient) = gradient {
                    let gradient = flat(gradient);
                    squared_norms[unit] += dot(&gradient, &gradient);
                    let _ = sum.g_add_(&gradient);
                }
            }
        }
    }
    squared_norms
        .into_iter()
        .zip(&sums)
        .map(|(squared_norms, sums)| {
            GradientMoments::from_sums(GradientSums {
                squared_norms,
                squared_norm_of_sum: sums.iter().map(|sum| dot(sum, sum)).sum(),
                n: micro_batches,
            })
            .expect("unit_moments: noise needs at least two micro-batches")
        })
        .collect()
}

/// The inner products of the gradients of all pairs of `micro_batches`, for every unit: signal and noise with intervals,
/// the test of silence, conflicts. See [`Gram`].
///
/// As [`unit_moments`], which needs less memory and gives no interval: here the gradients of all micro-batches are held at
/// once, `micro_batches` times the size of the units.
///
/// # Panics
/// If there are no micro-batches, and as [`unit_gradients`].
///
/// ```
/// use learnability::{gradient::unit_grams, interval::Confidence};
/// use tch::Tensor;
///
/// let w = Tensor::from(2.0_f64).set_requires_grad(true);
/// let units = [("w".to_owned(), vec![w.shallow_clone()])];
/// let grams = unit_grams(&mut |i| &w * (1.0 + 0.1 * i as f64), 6, &units);
/// let gsnr = grams[0].gsnr(Confidence::new(0.95)?).unwrap();
/// assert!(gsnr.low < 44.0 && 44.0 < gsnr.high);
/// # Ok::<(), learnability::Error>(())
/// ```
pub fn unit_grams(
    losses: &mut dyn FnMut(usize) -> Tensor,
    micro_batches: usize,
    units: &[(String, Vec<Tensor>)],
) -> Vec<Gram> {
    mean_grams(losses, micro_batches, 1, units)
}

/// The inner products of the mean gradients of groups of micro-batches, for every unit: the first vector is the mean over
/// micro-batches `0 … each − 1`, the next that over the `each` after them.
///
/// As [`unit_grams`], which has one in a group; with more, as many micro-batches fit into less memory: `vectors + 1` times the
/// size of the units.
///
/// # Panics
/// If there are no vectors or no micro-batches, and as [`unit_gradients`].
///
/// ```
/// use learnability::gradient::mean_grams;
/// use tch::Tensor;
///
/// let w = Tensor::from(2.0_f64).set_requires_grad(true);
/// let units = [("w".to_owned(), vec![w.shallow_clone()])];
/// let grams = mean_grams(&mut |i| &w * [1.0, 3.0, 4.0, 6.0][i], 2, 2, &units);
/// assert_eq!((grams[0].get(0, 0), grams[0].get(0, 1)), (4.0, 10.0)); // of the means, 2 and 5
/// ```
pub fn mean_grams(
    losses: &mut dyn FnMut(usize) -> Tensor,
    vectors: usize,
    each: usize,
    units: &[(String, Vec<Tensor>)],
) -> Vec<Gram> {
    assert!(
        vectors != 0 && each != 0,
        "mean_grams: no vectors or no micro-batches"
    );
    let inputs: Vec<&Tensor> = units.iter().flat_map(|(_, p)| p).collect();
    let mut rows: Vec<Vec<Tensor>> = inputs.iter().map(|_| Vec::new()).collect();
    for i in 0..vectors * each {
        let gradients = backward(&losses(i), units).into_iter().flatten();
        for ((rows, gradient), input) in rows.iter_mut().zip(gradients).zip(&inputs) {
            let gradient = gradient.unwrap_or_else(|| input.zeros_like());
            match rows.last_mut().filter(|_| !i.is_multiple_of(each)) {
                Some(sum) => *sum = &*sum + gradient,
                None => rows.push(gradient),
            }
        }
    }
    // Of sums; a mean is a sum over `each`.
    let share = (each as f64).powi(-2);
    let n = vectors as i64;
    let mut rows = rows.into_iter();
    units
        .iter()
        .map(|(_, parameters)| {
            let mut products = Tensor::zeros([n, n], (Kind::Double, Device::Cpu));
            for (parameter, rows) in parameters.iter().zip(rows.by_ref()) {
                // In the shape of the parameter up to here: a call for each gradient would cost more than the products do.
                let rows = Tensor::stack(&rows, 0).reshape([n, parameter.numel() as i64]);
                let rows = rows.to_kind(Kind::Double);
                products += rows.matmul(&rows.tr()).to_device(Device::Cpu);
            }
            let products = (products * share).flatten(0, -1);
            let products = Vec::try_from(products).expect("a vector of f64");
            Gram::new(vectors, products).expect("inner products of all pairs")
        })
        .collect()
}

/// The parameters of all units at one moment, to be compared with those after an optimiser step.
///
/// Holds copies on the CPU in the parameters' own type, so that the comparison is exact in every type.
#[derive(Debug)]
pub struct Snapshot {
    units: Vec<Vec<Tensor>>,
}

impl Snapshot {
    /// Copies the parameters as they are now.
    pub fn of(units: &[(String, Vec<Tensor>)]) -> Self {
        let copy = |p: &Tensor| p.detach().to_device(Device::Cpu).copy();
        Self {
            units: units
                .iter()
                .map(|(_, parameters)| parameters.iter().map(copy).collect())
                .collect(),
        }
    }

    /// Share of the scalars of each unit that are still what they were: the absorbed fraction of the step in between.
    ///
    /// It is [`crate::silence::absorbed_fraction`] in the parameters' own type, with its range, invariances and failure
    /// modes; [`crate::silence::is_silent`] has the threshold.
    ///
    /// # Panics
    /// If `units` differ from those of the snapshot in number or shapes, or if a unit has no scalars.
    pub fn absorbed(&self, units: &[(String, Vec<Tensor>)]) -> Vec<f64> {
        assert_eq!(
            self.units.len(),
            units.len(),
            "Snapshot::absorbed: not the units of the snapshot"
        );
        self.units
            .iter()
            .zip(units)
            .map(|(before, (name, after))| {
                assert_eq!(
                    before.len(),
                    after.len(),
                    "Snapshot::absorbed: parameters of unit {name}"
                );
                let (mut absorbed, mut scalars) = (0, 0);
                for (before, after) in before.iter().zip(after) {
                    assert_eq!(
                        before.size(),
                        after.size(),
                        "Snapshot::absorbed: shape in unit {name}"
                    );
                    let after = after.detach().to_device(Device::Cpu);
                    absorbed += before.eq_tensor(&after).sum(Kind::Int64).int64_value(&[]);
                    scalars += before.numel();
                }
                assert!(
                    scalars != 0,
                    "Snapshot::absorbed: unit {name} has no scalars"
                );
                absorbed as f64 / scalars as f64
            })
            .collect()
    }

    /// `|Δw| / |w|` of each unit over the step in between, what the optimiser made of the gradient: its access.
    ///
    /// *Range*: `[0, ∞]`; NaN for a unit that was 0 and still is.
    /// *Invariances*: joint scale of a unit and its update.
    /// *Failure mode*: per-layer learning rates (LARS, and Adam nearly) make it equal over units whatever the gradients.
    /// *Source*: its equality over layers is what LARS is made for, You, Gitman & Ginsburg 2017.
    ///
    /// # Panics
    /// If `units` differ from those of the snapshot in number or shapes.
    pub fn relative_update(&self, units: &[(String, Vec<Tensor>)]) -> Vec<f64> {
        assert_eq!(
            self.units.len(),
            units.len(),
            "Snapshot::relative_update: not the units of the snapshot"
        );
        self.units
            .iter()
            .zip(units)
            .map(|(before, (_, after))| {
                let (mut moved, mut weight) = (0.0, 0.0);
                for (before, after) in before.iter().zip(after) {
                    let before = flat(before);
                    let after = flat(&after.detach().to_device(Device::Cpu));
                    let change = after - &before;
                    moved += dot(&change, &change);
                    weight += dot(&before, &before);
                }
                (moved / weight).sqrt()
            })
            .collect()
    }
}

/// The gradients of `loss`, in the shape of `units`; `None` for a parameter that the loss does not depend on.
pub(crate) fn backward(loss: &Tensor, units: &[(String, Vec<Tensor>)]) -> Vec<Vec<Option<Tensor>>> {
    assert_eq!(loss.numel(), 1, "the loss has more than one element");
    for (name, parameters) in units {
        assert!(!parameters.is_empty(), "unit {name} has no parameters");
    }
    // Without inputs the engine would add to the `.grad` of every leaf.
    if units.is_empty() {
        return Vec::new();
    }
    let inputs: Vec<&Tensor> = units.iter().flat_map(|(_, p)| p).collect();
    let mut gradients = Tensor::run_backward(&[loss], &inputs, true, false).into_iter();
    units
        .iter()
        .map(|(_, parameters)| {
            gradients
                .by_ref()
                .take(parameters.len())
                .map(|g| g.defined().then_some(g))
                .collect()
        })
        .collect()
}

/// All elements in a row, in `f64`.
pub(crate) fn flat(x: &Tensor) -> Tensor {
    // `flatten` and not `view`: gradients need not be contiguous.
    x.flatten(0, -1).to_kind(Kind::Double)
}

/// `Σ a_i b_i` of two vectors of equal length in `f64`.
pub(crate) fn dot(a: &Tensor, b: &Tensor) -> f64 {
    a.dot(b).double_value(&[])
}
