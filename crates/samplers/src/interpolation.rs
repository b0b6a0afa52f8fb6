//! Between two samples, by the noise that they come from.

use crate::Coordinates;

/// The point at the fraction t of the great circle from `a` to `b`, each sample on its own:
/// sin((1 − t) ω)/sin ω a + sin(t ω)/sin ω b, where ω is the angle between them.
///
/// Noise of high dimension lies near a sphere, which the straight line between two points leaves: its middle is too short by √2.
/// Independent noise has ω near π/2, so that the result has its norm and is a likely starting point.
/// Where the directions are equal or opposite, to rounding, and where one of them is 0, it is the straight line.
///
/// Data are interpolated by carrying both to noise with [`walk`](crate::walk) along a reversed grid, and the point between them back.
///
/// Shoemake 1985, Animating rotation with quaternion curves; Song, Meng & Ermon 2020 (<https://arxiv.org/abs/2010.02502>), section 5.3.
///
/// # Shapes
/// `a`, `b` and the result have one shape; samples lie along the leading axis.
///
/// ```
/// use ndarray::array;
/// use samplers::slerp;
/// let middle = slerp(&array![[3.0, 0.0]], &array![[0.0, 3.0]], 0.5);
/// assert!((middle[[0, 0]] - 3.0 * 0.5_f64.sqrt()).abs() < 1e-15);
/// ```
pub fn slerp<X: Coordinates>(a: &X, b: &X, t: f64) -> X {
    let between = |(a, b): (&X, &X)| {
        let cosine = a.inner(b) / (a.inner(a) * b.inner(b)).sqrt();
        // NaN where one of them is 0; clamping keeps it.
        let angle = cosine.clamp(-1.0, 1.0).acos();
        let sine = angle.sin();
        if 1e-7 < sine {
            X::axpby(
                ((1.0 - t) * angle).sin() / sine,
                a,
                (t * angle).sin() / sine,
                b,
            )
        } else {
            X::axpby(1.0 - t, a, t, b)
        }
    };
    let (a, b) = (a.split(), b.split());
    let parts: Vec<X> = a.iter().zip(&b).map(between).collect();
    X::stack(&parts)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_keeps_norms_and_ends(
            values in prop::collection::vec(-3.0..3.0_f64, 4), t in 0.0..1.0_f64,
        ) {
            let a = Array2::from_shape_vec((1, 4), values).unwrap();
            let norm = a.inner(&a).sqrt();
            prop_assume!(0.1 < norm);
            // Of the same norm, in another direction.
            let b = a.clone().permuted_axes([1, 0]).to_shape((1, 4)).unwrap().mapv(|v| v.abs() + 0.1);
            let b = &b * (norm / b.inner(&b).sqrt());
            let point = slerp(&a, &b, t);
            prop_assert!((point.inner(&point).sqrt() / norm - 1.0).abs() < 1e-6);
            // The angle to the start is the fraction of the whole.
            let angle = |x: &Array2<f64>| (x.inner(&a) / norm.powi(2)).clamp(-1.0, 1.0).acos();
            prop_assert!((angle(&point) - t * angle(&b)).abs() < 1e-6);
        }
    }

    #[test]
    fn each_sample_has_its_angle() {
        let (a, b) = (
            array![[1.0, 0.0], [2.0, 0.0], [0.0, 0.0]],
            array![[0.0, 1.0], [4.0, 0.0], [1.0, 1.0]],
        );
        let root = 0.5_f64.sqrt();
        let expected = array![[root, root], [3.0, 0.0], [0.5, 0.5]];
        assert!(
            (slerp(&a, &b, 0.5) - expected)
                .iter()
                .all(|d| d.abs() < 1e-15)
        );
    }
}
