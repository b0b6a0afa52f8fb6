//! Dropped labels, self-conditioning and offset noise.

use super::*;
use score_objective::OffsetNoise;
use score_objective::torch::{denoise, drop_labels, offset_noise, self_condition};

#[test]
fn labels_are_dropped_below_the_probability() {
    let labels = Tensor::from_slice(&[1_i64, 2, 3, 4]);
    let uniforms = [0.0, 0.25, 0.5, 0.75];
    let dropped = |probability| {
        let kept = drop_labels(&labels, 10, probability, &uniforms).unwrap();
        Vec::<i64>::try_from(kept).unwrap()
    };
    assert_eq!(dropped(0.0), [1, 2, 3, 4]);
    assert_eq!(dropped(0.3), [10, 10, 3, 4]);
    assert_eq!(dropped(0.5), [10, 10, 3, 4]);
    assert_eq!(dropped(1.0), [10; 4]);
    assert_eq!(Vec::<i64>::try_from(&labels).unwrap(), [1, 2, 3, 4]);
    assert!(drop_labels(&labels, 10, 1.5, &uniforms).is_err());
    assert!(drop_labels(&labels, 10, f64::NAN, &uniforms).is_err());
}

#[test]
fn a_row_that_is_conditioned_sees_its_first_estimate() {
    let mut rng = ChaCha8Rng::seed_from_u64(61);
    let x = normal(&mut rng, &[3, 2, 2]);
    let w = Tensor::from(1.5_f64).set_requires_grad(true);
    let conditioned =
        |x: &Tensor, label: &Tensor, previous: &Tensor| net(x, label) * &w + previous * 0.3 + 0.1;
    let row = Edm::new(0.5).unwrap();
    let uniforms = [0.1, 0.9, 0.4];
    let previous = self_condition(&conditioned, &row, &x, &levels(), 0.5, &uniforms).unwrap();
    assert!(!previous.requires_grad());
    let first = denoise(&|x, label| net(x, label) * &w + 0.1, &row, &x, &levels());
    for (i, given) in [true, false, true].into_iter().enumerate() {
        let expected = if given {
            first.get(i as i64)
        } else {
            x.get(i as i64).zeros_like()
        };
        assert!(distance(&previous.get(i as i64), &expected.detach()) < 1e-14);
    }
    assert!((&w * 2.0).requires_grad());
}

#[test]
fn an_estimate_that_is_not_finite_stays_out_of_other_rows() {
    let x = Tensor::ones([3, 1], (Kind::Double, tch::Device::Cpu));
    let broken = |x: &Tensor, _: &Tensor, _: &Tensor| x * f64::NAN;
    let none = self_condition(&broken, &Edm::unit(), &x, &levels(), 0.0, &[0.5; 3]).unwrap();
    assert_eq!(number(&none.abs().max()), 0.0);
}

#[test]
fn an_offset_is_shared_by_a_channel() {
    let noise = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[2, 2, 2]);
    let offsets = tensor(&[1.0, -1.0, 0.0, 10.0], &[2, 2]);
    let moved = offset_noise(OffsetNoise::new(0.1).unwrap(), &noise, &offsets);
    let expected = [1.1, 2.1, 2.9, 3.9, 5.0, 6.0, 8.0, 9.0];
    assert!(distance(&moved, &tensor(&expected, &[2, 2, 2])) < 1e-15);
}
