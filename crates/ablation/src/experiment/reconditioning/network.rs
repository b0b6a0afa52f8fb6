//! The two sides in networks of tanh units: what is exact in the linear ones is a prediction here.

use ndarray::{Array2, s};
use rand::Rng;
use rand_distr::StandardNormal;
use score_objective::exact::{ExactScore, Sphere};

use super::{Family, Reconditioning, Timed, ends, orthonormal};
use crate::stream::{Role, Stream};

/// y = W' tanh(h_L), h_0 = W x, h_l = f_l(h_{l−1}) or h_{l−1} + b f_l(h_{l−1}), f_l(h) = V_l tanh(h).
#[derive(Clone)]
struct Network {
    /// W, V_1, …, V_L, W'.
    weights: Vec<Array2<f64>>,
    /// b; `None` without skips.
    branch: Option<f64>,
}

/// What a pass leaves for the way back: what each matrix was given, and tanh' at it.
struct Pass {
    output: Array2<f64>,
    inputs: Vec<Array2<f64>>,
    slopes: Vec<Array2<f64>>,
}

impl Reconditioning {
    pub(super) fn skip_network(&self, stream: &Stream, depths: &[usize], points: usize) -> Family {
        let n = self.width;
        let normal = |role, index, rows, columns: usize| {
            let mut rng = stream.at(role, index);
            Array2::from_shape_simple_fn((rows, columns), || rng.sample(StandardNormal))
        };
        let x: Array2<f64> = normal(Role::Data, 0, points, n);
        let change: Array2<f64> = normal(Role::Data, 1, points, 1);
        let scale = 1.0 / (n as f64).sqrt();
        let (mut all, mut rival) = (Vec::new(), None);
        for &depth in depths {
            let at = |layer: usize| (1000 * depth + layer) as u64;
            let draw = |layer, rows| normal(Role::Init, at(layer), rows, n);
            let square: Vec<Array2<f64>> = (1..=depth).map(|layer| draw(layer, n)).collect();
            let build = |square: Vec<Array2<f64>>, branch| {
                let mut weights = vec![draw(0, n) * scale];
                weights.extend(square);
                weights.push(draw(depth + 1, 1) * scale);
                Network { weights, branch }
            };
            let plain = build(square.iter().map(|v| v * scale).collect(), None);
            let branch = Some(1.0 / (depth as f64).sqrt());
            let residual = build(square.iter().map(|v| v * scale).collect(), branch);
            for network in [plain, residual] {
                all.push(self.train(network, &x, &change));
            }
            let orthogonal = build(square.iter().map(orthonormal).collect(), None);
            let (largest, median) = ends(&orthogonal.tangent_kernel(&x));
            rival = Some((largest / median).log10());
        }
        let last = all.len();
        Family {
            without: all[last - 2],
            with: all[last - 1],
            rival,
            all,
        }
    }

    pub(super) fn noise_network(&self, stream: &Stream, points: usize, levels: &[f64]) -> Family {
        let n = self.width;
        let mut rng = stream.at(Role::Data, u64::MAX);
        let circle = Sphere::new(2, 2, 1.0, &mut rng).expect("a circle in the plane");
        let clean = circle.draw(points, &mut stream.at(Role::Data, 0));
        let mut rng = stream.at(Role::Noise, 0);
        let noise = clean.mapv(|_| rng.sample::<f64, _>(StandardNormal));
        let mut rng = stream.at(Role::Init, 0);
        let mut draw = |rows, columns: usize| {
            let scale = 1.0 / (columns as f64).sqrt();
            Array2::from_shape_simple_fn((rows, columns), || {
                scale * rng.sample::<f64, _>(StandardNormal)
            })
        };
        let network = Network {
            weights: vec![draw(n, 2), draw(n, n), draw(n, n), draw(2, n)],
            branch: Some(1.0 / 2.0_f64.sqrt()),
        };
        let time = |&sigma: &f64| {
            let x = &clean + &(&noise * sigma);
            let target = circle.score(x.view(), sigma) * sigma;
            // Each coordinate of what the network is given has a mean square of 1.
            let input = &x / (0.5 + sigma * sigma).sqrt();
            let change = target - network.pass(&input).output;
            self.train(network.clone(), &input, &change)
        };
        let all: Vec<Timed> = levels.iter().map(time).collect();
        Family {
            without: all[0],
            with: all[all.len() - 1],
            rival: None,
            all,
        }
    }

    /// Gradient descent on ½ ‖y − (y at the start + change)‖².
    fn train(&self, mut network: Network, x: &Array2<f64>, change: &Array2<f64>) -> Timed {
        let (largest, median) = ends(&network.tangent_kernel(x));
        let rate = self.step / largest;
        let target = network.pass(x).output + change;
        let first = change.mapv(|c| c * c).sum();
        let mut steps = None;
        for step in 0..=self.budget {
            let pass = network.pass(x);
            let error = &pass.output - &target;
            let left = error.mapv(|e| e * e).sum() / first;
            if left <= self.threshold {
                steps = Some(step as f64);
                break;
            }
            if !left.is_finite() {
                break;
            }
            let upstream = network.cotangents(&pass, error);
            for ((w, input), upstream) in
                network.weights.iter_mut().zip(&pass.inputs).zip(&upstream)
            {
                w.scaled_add(-rate, &upstream.t().dot(input));
            }
        }
        Timed {
            log_kappa: (largest / median).log10(),
            steps,
        }
    }
}

impl Network {
    fn pass(&self, x: &Array2<f64>) -> Pass {
        let (first, rest) = self.weights.split_first().expect("a read-in");
        let (mut inputs, mut slopes) = (vec![x.clone()], Vec::new());
        let mut h = x.dot(&first.t());
        for (index, w) in rest.iter().enumerate() {
            let active = h.mapv(f64::tanh);
            slopes.push(active.mapv(|a| 1.0 - a * a));
            let branch = active.dot(&w.t());
            inputs.push(active);
            h = match self.branch {
                Some(b) if index + 1 < rest.len() => h + branch * b,
                _ => branch,
            };
        }
        Pass {
            output: h,
            inputs,
            slopes,
        }
    }

    /// Of each matrix, the gradient of what it gives, for that of the output.
    fn cotangents(&self, pass: &Pass, output: Array2<f64>) -> Vec<Array2<f64>> {
        let mut found = Vec::with_capacity(self.weights.len());
        let last = self.weights.len() - 1;
        // Of h: what comes back to it from above.
        let mut above = output;
        for index in (0..=last).rev() {
            let own = match self.branch {
                Some(b) if 0 < index && index < last => &above * b,
                _ => above.clone(),
            };
            if 0 < index {
                let through = own.dot(&self.weights[index]) * &pass.slopes[index - 1];
                above = match self.branch {
                    Some(_) if index < last => above + through,
                    _ => through,
                };
            }
            found.push(own);
        }
        found.reverse();
        found
    }

    /// J Jᵀ of the outputs in all weights, output by output: Σ_l (X_l X_lᵀ) ∘ (Δ_l Δ_lᵀ), since the gradient of a matrix
    /// at a point is an outer product.
    fn tangent_kernel(&self, x: &Array2<f64>) -> Array2<f64> {
        let pass = self.pass(x);
        let (points, outputs) = pass.output.dim();
        let back: Vec<Vec<Array2<f64>>> = (0..outputs)
            .map(|output| {
                let mut unit = Array2::zeros((points, outputs));
                unit.column_mut(output).fill(1.0);
                self.cotangents(&pass, unit)
            })
            .collect();
        let mut kernel = Array2::zeros((points * outputs, points * outputs));
        for (layer, input) in pass.inputs.iter().enumerate() {
            let alike = input.dot(&input.t());
            for a in 0..outputs {
                for b in 0..outputs {
                    let both = back[a][layer].dot(&back[b][layer].t()) * &alike;
                    let rows = a * points..(a + 1) * points;
                    let mut part = kernel.slice_mut(s![rows, b * points..(b + 1) * points]);
                    part += &both;
                }
            }
        }
        kernel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(branch: Option<f64>) -> (Network, Array2<f64>) {
        let mut rng = Stream::new(8).at(Role::Init, 0);
        let mut normal = |rows, columns| {
            Array2::from_shape_simple_fn((rows, columns), || rng.sample(StandardNormal))
        };
        let weights = vec![normal(3, 2), normal(3, 3), normal(3, 3), normal(2, 3)];
        (Network { weights, branch }, normal(4, 2))
    }

    #[test]
    fn gradients_and_the_tangent_kernel_are_those_of_differences() {
        for branch in [None, Some(0.6)] {
            let (network, x) = network(branch);
            let pass = network.pass(&x);
            let weighing =
                Array2::from_shape_fn((4, 2), |(i, j)| (i as f64 - 1.3) * (j as f64 + 0.4));
            let back = network.cotangents(&pass, weighing.clone());
            // Rows: outputs, output by output; columns: all weights.
            let mut jacobian: Vec<Vec<f64>> = vec![Vec::new(); 8];
            for (layer, (back, input)) in back.iter().zip(&pass.inputs).enumerate() {
                let gradient = back.t().dot(input);
                for (index, found) in gradient.indexed_iter() {
                    let at = |step: f64| {
                        let mut network = network.clone();
                        network.weights[layer][index] += step;
                        network.pass(&x).output
                    };
                    let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!(((&slope * &weighing).sum() - found).abs() < 1e-7);
                    for ((i, j), slope) in slope.indexed_iter() {
                        jacobian[j * 4 + i].push(*slope);
                    }
                }
            }
            let kernel = network.tangent_kernel(&x);
            for ((a, b), found) in kernel.indexed_iter() {
                let pairs = jacobian[a].iter().zip(&jacobian[b]);
                let wanted: f64 = pairs.map(|(a, b)| a * b).sum();
                assert!((wanted - found).abs() < 1e-6, "{branch:?} {a} {b}");
            }
        }
    }
}
