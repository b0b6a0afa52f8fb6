//! Networks as denoisers and scores, for any shape and kind.

use super::*;
use score_objective::torch::{denoise, denoising_loss, score};

#[test]
fn denoiser_and_score_follow_the_table_for_any_shape() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for shape in [vec![3], vec![3, 4], vec![3, 2, 2, 2]] {
        let x = normal(&mut rng, &shape);
        for (name, row) in rows() {
            let d = denoise(&net, &*row, &x, &levels());
            assert_eq!(d.size(), shape);
            let expected =
                Tensor::from_slice2(&reference(&x, &*row, |_, _, d| d)).view(shape.as_slice());
            assert!(distance(&d, &expected) < 1e-13, "{name}");
            let s = score(&net, &*row, &x, &levels());
            let expected = reference(&x, &*row, |k, x, d| (k.alpha() * d - x) / k.sigma().powi(2));
            let expected = Tensor::from_slice2(&expected).view(shape.as_slice());
            assert!(distance(&s, &expected) < 1e-11, "{name}");
        }
    }
}

#[test]
fn the_kind_of_x_is_kept() {
    let x = Tensor::ones([3, 2], (Kind::Float, tch::Device::Cpu));
    let row = Edm::unit();
    assert_eq!(denoise(&net, &row, &x, &levels()).kind(), Kind::Float);
    assert_eq!(score(&net, &row, &x, &levels()).kind(), Kind::Float);
    let loss = denoising_loss(&net, &row, &Snr, &x, &x, &levels());
    assert_eq!((loss.kind(), loss.size()), (Kind::Float, vec![3]));
}

#[test]
fn scores_in_f32_keep_their_digits_at_low_noise() {
    // A network that answers 1, at sigma = 1e-4: alpha D - x has lost all digits in f32.
    let one = |x: &Tensor, _: &Tensor| x.ones_like();
    let x = Tensor::from_slice(&[3.0_f32, -7.0]).view([2, 1]);
    let k = Kernel::variance_exploding(1e-4).unwrap();
    let s = score(&one, &Epsilon::unit(), &x, &[k, k]);
    assert!(distance(&(s / -1e4), &x.ones_like()) < 1e-6);
}

#[test]
#[should_panic(expected = "one level per row")]
fn each_row_needs_its_level() {
    let x = Tensor::ones([2, 2], (Kind::Double, tch::Device::Cpu));
    let _ = denoise(&net, &Edm::unit(), &x, &levels());
}
