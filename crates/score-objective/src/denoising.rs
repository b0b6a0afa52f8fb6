//! Denoising score matching as numbers: what each example asks of a network, and its loss by the answer.

use ndarray::ArrayView2;
use noise_schedule::Kernel;

use crate::{Preconditioner, Weighting};

/// What denoising score matching comes to at one level: a weighted squared error of the network's answer,
/// weight · ‖D(x) − x₀‖² = factor · ‖F(input · x, label) − target‖² with x = α x₀ + σ ε (Vincent 2011).
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::{DenoisingTerm, Epsilon, Snr};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let term = DenoisingTerm::at(&Epsilon::unit(), &Snr, Kernel::variance_exploding(3.0)?);
/// assert_eq!(term.target, (0.0, 1.0)); // it predicts the noise,
/// assert!((term.factor - 1.0).abs() < 1e-15); // whose error counts the same at every level
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DenoisingTerm {
    /// Multiplies x before the network sees it.
    pub input: f64,
    /// What the network is told about the level.
    pub label: f64,
    /// (p, q) of target = p · x₀ + q · ε, from [`Preconditioner::target_at`].
    pub target: (f64, f64),
    /// weight · out².
    pub factor: f64,
}

impl DenoisingTerm {
    /// The term of a row of the table of predictions, under a weighting, at the level `k`.
    ///
    /// # Panics
    /// Where weight · out² or the target is not finite: at σ = 0 under a weight that has no bound there, and at α = 0
    /// where the row has none.
    pub fn at(p: &dyn Preconditioner, w: &dyn Weighting, k: Kernel) -> DenoisingTerm {
        let c = p.at(k);
        let target = p.target_at(k);
        // Before any cast: weight and out² may each leave the range of f32 where their product does not.
        let factor = w.weight(k) * c.out.powi(2);
        assert!(
            (factor * (target.0 + target.1)).is_finite(),
            "the loss is not defined at alpha = {}, sigma = {}",
            k.alpha(),
            k.sigma()
        );
        DenoisingTerm {
            input: c.input,
            label: c.label,
            target,
            factor,
        }
    }
}

/// Examples of denoising score matching in single precision, for networks without a graph: what they are asked, and the
/// loss and its gradient by what they answer.
///
/// The same operations in the same order as `torch::denoising_loss` and its gradient, so the same bits, but for the sum of more
/// than four numbers in a loss.
///
/// ```
/// use ndarray::array;
/// use noise_schedule::Kernel;
/// use score_objective::{DenoisingBatch, Epsilon, Snr};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (x0, noise) = (array![[0.5, -0.2]], array![[1.0, -0.3]]);
/// let levels = [Kernel::variance_exploding(2.0)?];
/// let batch = DenoisingBatch::new(&Epsilon::unit(), &Snr, x0.view(), noise.view(), &levels);
/// let answer = [1.0, 0.7]; // the second number is off by 1
/// let mut by_answer = [0.0; 2];
/// batch.gradient(0, &answer, &mut by_answer);
/// assert_eq!((batch.losses(&answer), by_answer), (vec![1.0], [0.0, 2.0]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DenoisingBatch {
    columns: usize,
    input: Vec<f32>,
    label: Vec<f32>,
    target: Vec<f32>,
    factor: Vec<f32>,
}

impl DenoisingBatch {
    /// The examples x = α x₀ + σ ε.
    ///
    /// # Shapes
    /// `x0`, `noise`: \[B, d\]; `levels`: B kernels.
    ///
    /// # Panics
    /// Unless there is one level per row and shapes agree, and as [`DenoisingTerm::at`].
    pub fn new(
        p: &dyn Preconditioner,
        w: &dyn Weighting,
        x0: ArrayView2<'_, f64>,
        noise: ArrayView2<'_, f64>,
        levels: &[Kernel],
    ) -> DenoisingBatch {
        assert_eq!(
            noise.dim(),
            x0.dim(),
            "the noise must have the shape of the data"
        );
        assert_eq!(x0.nrows(), levels.len(), "there must be one level per row");
        let mut batch = DenoisingBatch {
            columns: x0.ncols(),
            input: Vec::with_capacity(x0.len()),
            label: Vec::with_capacity(levels.len()),
            target: Vec::with_capacity(x0.len()),
            factor: Vec::with_capacity(levels.len()),
        };
        for ((x0, noise), &k) in x0.outer_iter().zip(noise.outer_iter()).zip(levels) {
            let term = DenoisingTerm::at(p, w, k);
            let [alpha, sigma, input, clean, noisy] = [
                k.alpha(),
                k.sigma(),
                term.input,
                term.target.0,
                term.target.1,
            ]
            .map(|c| c as f32);
            for (&x0, &noise) in x0.iter().zip(noise) {
                let (x0, noise) = (x0 as f32, noise as f32);
                batch.input.push((x0 * alpha + noise * sigma) * input);
                batch.target.push(x0 * clean + noise * noisy);
            }
            batch.label.push(term.label as f32);
            batch.factor.push(term.factor as f32);
        }
        batch
    }

    /// What the network sees, input · x: \[B, d\], row by row.
    pub fn input(&self) -> &[f32] {
        &self.input
    }

    /// What the network is told about the levels: \[B\].
    pub fn label(&self) -> &[f32] {
        &self.label
    }

    /// factor · ‖F − target‖² of each example.
    ///
    /// # Shapes
    /// `answer`: \[B, d\], row by row; result: \[B\].
    ///
    /// # Panics
    /// If there are other numbers.
    pub fn losses(&self, answer: &[f32]) -> Vec<f32> {
        assert_eq!(
            answer.len(),
            self.target.len(),
            "there must be one answer per number"
        );
        let rows = answer
            .chunks_exact(self.columns)
            .zip(self.target.chunks_exact(self.columns));
        let squares = rows.map(|(answer, target)| {
            let errors = answer.iter().zip(target).map(|(f, target)| f - target);
            errors.map(|error| error * error).sum::<f32>()
        });
        let losses = squares.zip(&self.factor);
        losses.map(|(square, factor)| square * factor).collect()
    }

    /// Of the examples from number `first` on, the gradient of the mean loss by the answer, 2/B · factor · (F − target).
    ///
    /// # Shapes
    /// `answer` and `by_answer`: \[examples, d\], row by row.
    ///
    /// # Panics
    /// If there are fewer examples.
    pub fn gradient(&self, first: usize, answer: &[f32], by_answer: &mut [f32]) {
        let share = 1.0 / self.factor.len() as f32;
        let target = &self.target[first * self.columns..][..answer.len()];
        let numbers = answer.iter().zip(target).zip(by_answer);
        for (place, ((answer, target), by_answer)) in numbers.enumerate() {
            let slope = share * self.factor[first + place / self.columns];
            *by_answer = 2.0 * (slope * (answer - target));
        }
    }
}
