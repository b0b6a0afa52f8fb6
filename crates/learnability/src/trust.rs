//! Can the gradient be followed? What a step along it promises, against what it brings (feature `tch`).

use tch::Tensor;

use crate::gradient::{backward, dot, flat};

/// What became of a gradient step of one unit, all others at rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trust {
    /// `ρ = (L(w) − L(w − ηg)) / (η |g|²)`: what the step brought of what it promised.
    ///
    /// *Range*: real; 1 if fully trusted, below 0 if misleading. On a quadratic loss `1 − η gᵀHg / (2|g|²)`. `None` for a
    /// gradient of 0 or a loss that is not finite.
    pub ratio: Option<f64>,
    /// `|g(w) − g(w − ηg)| / |g(w)|`: how little the gradient predicts the next one.
    ///
    /// *Range*: `[0, ∞)`; 0 if fully predictive. On a quadratic loss `η |Hg| / |g|`. `None` as for `ratio`.
    pub change: Option<f64>,
}

/// Steps along the gradient of each unit in turn, looks, and puts the unit back as it was, to the last bit.
///
/// `loss` is called once, and once more for each unit: always the same data. `rate` is `η`.
///
/// *Invariances*: of `ratio` and `change`, the scale of the loss if `η` is divided by it.
/// *Failure modes*: it depends on `η`, so take that of the optimiser, or several. In single precision a loss that changes
/// by less than its rounding gives a `ratio` of noise, and `change` is to be read.
/// *Source*: the ratio is that of trust-region methods (Conn, Gould & Toint 2000); the change is the gradient
/// predictiveness of Santurkar et al. 2018, over the gradient's length.
///
/// # Panics
/// As [`crate::gradient::unit_gradients`].
///
/// ```
/// use learnability::trust::trust;
/// use tch::{Kind, Tensor};
/// let w = Tensor::from_slice(&[1.0_f64, 1.0]).set_requires_grad(true);
/// let curvature = Tensor::from_slice(&[1.0_f64, 3.0]);
/// let loss = || (w.square() * &curvature).sum(Kind::Double) * 0.5;
/// let units = [("w".to_owned(), vec![w.shallow_clone()])];
/// let trust = trust(&loss, &units, 0.1)[0];
/// assert!((trust.ratio.unwrap() - (1.0 - 0.05 * 28.0 / 10.0)).abs() < 1e-12); // g = (1, 3), gᵀHg = 1 + 27
/// assert!((trust.change.unwrap() - 0.1 * (82.0_f64 / 10.0).sqrt()).abs() < 1e-12); // Hg = (1, 9)
/// ```
pub fn trust(loss: &dyn Fn() -> Tensor, units: &[(String, Vec<Tensor>)], rate: f64) -> Vec<Trust> {
    let start = loss();
    let before = start.double_value(&[]);
    let gradients = backward(&start, units);
    units
        .iter()
        .zip(gradients)
        .map(|(unit, gradients)| {
            let parameters = &unit.1;
            let kept: Vec<Tensor> = parameters.iter().map(|p| p.detach().copy()).collect();
            set(parameters, |i, mut parameter| {
                if let Some(gradient) = &gradients[i] {
                    let _ = parameter.g_sub_(&(gradient * rate));
                }
            });
            let stepped = loss();
            let after = stepped.double_value(&[]);
            let next = backward(&stepped, std::slice::from_ref(unit)).remove(0);
            set(parameters, |i, mut parameter| parameter.copy_(&kept[i]));

            let (mut square, mut change) = (0.0, 0.0);
            for (gradient, next) in gradients.iter().zip(&next) {
                let zero = || Tensor::from_slice(&[0.0]);
                let double = |g: &Option<Tensor>| g.as_ref().map_or_else(zero, flat);
                let gradient = double(gradient);
                let difference = &gradient - double(next);
                square += dot(&gradient, &gradient);
                change += dot(&difference, &difference);
            }
            let defined = |x: f64| x.is_finite().then_some(x);
            Trust {
                ratio: defined((before - after) / (rate * square)),
                change: defined((change / square).sqrt()),
            }
        })
        .collect()
}

/// Writes to parameters outside the graph.
fn set(parameters: &[Tensor], write: impl Fn(usize, Tensor)) {
    let _guard = tch::no_grad_guard();
    for (i, parameter) in parameters.iter().enumerate() {
        write(i, parameter.shallow_clone());
    }
}
