//! The two sides in linear models.

use nalgebra::DMatrix;
use ndarray::{Array2, linalg::kron};
use rand::Rng;
use rand_distr::StandardNormal;

use super::{Family, Reconditioning, Timed, ends, orthonormal};
use crate::stream::{Role, Stream};

impl Reconditioning {
    /// Without and with at the largest depth, log10 κ of the rival there, and every problem.
    pub(super) fn skip(&self, stream: &Stream, depths: &[usize]) -> Family {
        let n = self.width;
        let scale = 1.0 / (n as f64).sqrt();
        let normal = |role, index| {
            let mut rng = stream.at(role, index);
            Array2::from_shape_simple_fn((n, n), || scale * rng.sample::<f64, _>(StandardNormal))
        };
        let change = normal(Role::Data, 0);
        let mut all = Vec::new();
        let mut rival = 0.0;
        for &depth in depths {
            let drawn: Vec<Array2<f64>> = (0..depth)
                .map(|layer| normal(Role::Init, (1000 * depth + layer) as u64))
                .collect();
            let branch = 1.0 / (depth as f64).sqrt();
            let residual = drawn.iter().map(|v| v * branch + Array2::<f64>::eye(n));
            let chains = [drawn.clone(), residual.collect()];
            all.extend(chains.map(|chain| self.time(chain, &change)));
            let orthogonal: Vec<Array2<f64>> = drawn.iter().map(orthonormal).collect();
            let (largest, median) = gauss_newton(&orthogonal);
            rival = (largest / median).log10();
        }
        let last = all.len();
        Family {
            without: all[last - 2],
            with: all[last - 1],
            rival: Some(rival),
            all,
        }
    }

    /// Gradient descent on ½ ‖W_L … W_1 − (P + change)‖², P the product at the start.
    fn time(&self, mut chain: Vec<Array2<f64>>, change: &Array2<f64>) -> Timed {
        let (largest, median) = gauss_newton(&chain);
        let rate = self.step / largest;
        let target = below(&chain).pop().expect("a chain has matrices") + change;
        let first = square(change);
        let mut steps = None;
        for step in 0..=self.budget {
            let mut inputs = below(&chain);
            let error = inputs.pop().expect("a chain has matrices") - &target;
            let left = square(&error) / first;
            if left <= self.threshold {
                steps = Some(step as f64);
                break;
            }
            if !left.is_finite() {
                break;
            }
            let mut cotangent = error;
            for (w, input) in chain.iter_mut().zip(&inputs).rev() {
                let gradient = cotangent.dot(&input.t());
                cotangent = w.t().dot(&cotangent);
                w.scaled_add(-rate, &gradient);
            }
        }
        Timed {
            log_kappa: (largest / median).log10(),
            steps,
        }
    }

    /// The first and the last level, log10 κ of the rival of the last, and every problem.
    pub(super) fn noise(
        &self,
        stream: &Stream,
        intrinsic: usize,
        points: usize,
        levels: &[f64],
    ) -> Family {
        let n = self.width;
        let mut rng = stream.at(Role::Data, 0);
        let draw = |rows, rng: &mut rand_chacha::ChaCha8Rng| {
            Array2::from_shape_simple_fn((rows, n), || rng.sample::<f64, _>(StandardNormal))
        };
        let frame = orthonormal(&draw(n, &mut rng));
        let mut latent = draw(points, &mut rng);
        latent
            .columns_mut()
            .into_iter()
            .skip(intrinsic)
            .for_each(|mut column| column.fill(0.0));
        let x = latent.dot(&frame.t());
        let covariance = x.t().dot(&x) / points as f64;
        let noised = |sigma: f64| &covariance + &(Array2::<f64>::eye(n) * (sigma * sigma));
        let time = |&sigma: &f64| {
            let matrix = noised(sigma);
            let (largest, median) = ends(&matrix);
            let rate = self.step / largest;
            let inverse = DMatrix::from_fn(n, n, |i, j| matrix[[i, j]])
                .cholesky()
                .expect("σ² is positive")
                .inverse();
            // The excess of W is ½ tr E H Eᵀ, with E = W − σ H⁻¹ and W = 0 at the start.
            let mut error = Array2::from_shape_fn((n, n), |(i, j)| -sigma * inverse[(i, j)]);
            let excess = |error: &Array2<f64>| (error * &error.dot(&matrix)).sum();
            let first = excess(&error);
            let steps = (0..=self.budget).find(|_| {
                let pull = error.dot(&matrix);
                let reached = (&error * &pull).sum() <= self.threshold * first;
                error.scaled_add(-rate, &pull);
                reached
            });
            Timed {
                log_kappa: (largest / median).log10(),
                steps: steps.map(|step| step as f64),
            }
        };
        let all: Vec<Timed> = levels.iter().map(time).collect();
        // ½ tr A (S + σ² I) Aᵀ − tr A: the implicit loss with weight decay has the matrix of the noised data.
        let (largest, median) = ends(&noised(levels[levels.len() - 1]));
        let rival = (largest / median).log10();
        Family {
            without: all[0],
            with: all[all.len() - 1],
            rival: Some(rival),
            all,
        }
    }
}

/// The largest and the median eigenvalue of Σ_l (B_l B_lᵀ) ⊗ (A_lᵀ A_l), the Gauss-Newton matrix of the product.
pub(super) fn gauss_newton(chain: &[Array2<f64>]) -> (f64, f64) {
    let n = chain[0].nrows();
    let inputs = below(chain);
    let mut above = Array2::<f64>::eye(n);
    let mut matrix = Array2::<f64>::zeros((n * n, n * n));
    for (w, input) in chain.iter().zip(&inputs).rev() {
        matrix += &kron(&above.dot(&above.t()), &input.t().dot(input));
        above = above.dot(w);
    }
    ends(&matrix)
}

/// I, W_1, W_2 W_1, …: what each matrix is given, and the product at the end.
pub(super) fn below(chain: &[Array2<f64>]) -> Vec<Array2<f64>> {
    let mut products = vec![Array2::eye(chain[0].nrows())];
    for w in chain {
        products.push(w.dot(&products[products.len() - 1]));
    }
    products
}

fn square(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|v| v * v).sum()
}
