//! Where gradient descent with weight decay leaves a chain of matrices, to first order in the decay.

use nalgebra::DMatrix;
use ndarray::Array2;

/// Steps of conjugate gradients; well conditioned chains take a dozen.
const MOST_STEPS: usize = 1000;

/// E = P − T for ‖P − T‖² + ½ λ Σ ‖w_l‖², P = W_L … W_1, where the product stands still.
///
/// Descent moves P by Σ A_l Ẇ_l B_l with A_l = W_L … W_(l+1) and B_l = W_(l−1) … W_1, so that it stands where
///
/// ```text
/// Σ A_l A_lᵀ E B_lᵀ B_l = −½ λ Σ A_l w_l B_l
/// ```
///
/// which is solved by conjugate gradients. The single matrices drift on, along what P does not see, in times of 1/λ, and
/// E follows: what is left is of the order of λ, relative.
/// None where E is no small part of P's least singular value: there the chain is on its way to another place, such as 0.
pub(super) fn held_back(
    matrices: &[Array2<f64>],
    pulled: &[Array2<f64>],
    decay: f64,
) -> Option<Array2<f64>> {
    let n = matrices[0].nrows();
    let mut below = vec![Array2::eye(n)];
    for w in matrices {
        below.push(w.dot(&below[below.len() - 1]));
    }
    let product = below.pop()?;
    let mut above = vec![Array2::eye(n)];
    for w in matrices.iter().skip(1).rev() {
        above.push(above[above.len() - 1].dot(w));
    }
    above.reverse();
    let sides = || above.iter().zip(&below);
    let weigh = |e: &Array2<f64>| {
        sides().fold(Array2::zeros((n, n)), |sum: Array2<f64>, (a, b)| {
            sum + a.dot(&a.t().dot(e).dot(&b.t())).dot(b)
        })
    };
    let pull = sides().zip(pulled);
    let mut left = pull.fold(Array2::zeros((n, n)), |sum: Array2<f64>, ((a, b), w)| {
        sum - a.dot(w).dot(b) * (0.5 * decay)
    });
    let square = |of: &Array2<f64>| of.iter().map(|v| v * v).sum::<f64>();
    let wanted = 1e-24 * square(&left);
    let mut found = Array2::zeros((n, n));
    let mut direction = left.clone();
    let mut size = square(&left);
    for _ in 0..MOST_STEPS {
        if size <= wanted {
            break;
        }
        let moved = weigh(&direction);
        let step = size / (&direction * &moved).sum();
        found.scaled_add(step, &direction);
        left.scaled_add(-step, &moved);
        let next = square(&left);
        direction = &left + &(direction * (next / size));
        size = next;
    }
    // It did not get there: the matrices are no numbers, or all but singular.
    if size.is_nan() || wanted < size {
        return None;
    }
    let singular = DMatrix::from_fn(n, n, |i, j| product[[i, j]]).singular_values();
    (square(&found).sqrt() < 0.3 * singular.min()).then_some(found)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn one_number_per_layer_has_its_closed_form() {
        // L a^(2L − 2) E = −½ λ L a^(L − 1) w.
        let (a, decay) = (0.8_f64, 1e-3);
        let matrices = vec![array![[a]]; 5];
        let of = |w: f64| held_back(&matrices, &vec![array![[w]]; 5], decay).unwrap()[[0, 0]];
        assert!((of(a) / (-0.5 * decay * a.powi(-3)) - 1.0).abs() < 1e-12);
        assert!((of(a - 1.0) / (0.5 * decay * 0.2 * a.powi(-4)) - 1.0).abs() < 1e-12);
        assert!(held_back(&matrices, &matrices, 1.0).is_none());
    }

    #[test]
    fn to_leading_order_it_is_half_the_decay() {
        // W = I + small: E = −½ λ I, and of residual chains −½ λ (T − I)/L.
        let v = array![[0.0, 1e-4], [2e-4, -1e-4]];
        let near = vec![Array2::eye(2) + &v; 4];
        let plain = held_back(&near, &near, 0.1).unwrap();
        let residual = held_back(&near, &vec![v.clone(); 4], 0.1).unwrap();
        let off = |found: Array2<f64>, wanted: Array2<f64>| {
            (found - wanted)
                .iter()
                .fold(0.0, |m: f64, d| m.max(d.abs()))
        };
        assert!(off(plain, Array2::eye(2) * -0.05) < 1e-4);
        assert!(off(residual, v * -0.05) < 1e-7);
    }
}
