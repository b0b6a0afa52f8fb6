//! Unbiasedness of the gradient moments, and the cases in which they are not defined.

use learnability::moments::{GradientMoments, GradientSums};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Mean and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn unbiased_over_replicates() {
    let (micro_batches, replicates) = (4, 4000);
    let scales = [0.5, 1.0, 2.0];
    let noise: f64 = scales.iter().map(|s| s * s).sum();
    for mean in [[0.0; 3], [0.3, -0.2, 0.5]] {
        let signal: f64 = mean.iter().map(|m| m * m).sum();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut signals, mut noises, mut naive) = (vec![], vec![], vec![]);
        for _ in 0..replicates {
            let gradients: Vec<Vec<f64>> = (0..micro_batches)
                .map(|_| {
                    mean.iter()
                        .zip(scales)
                        .map(|(m, s)| {
                            let z: f64 = StandardNormal.sample(&mut rng);
                            m + s * z
                        })
                        .collect()
                })
                .collect();
            let moments =
                GradientMoments::from_gradients(gradients.iter().map(Vec::as_slice)).unwrap();
            assert_eq!(moments.n, micro_batches);
            signals.push(moments.signal);
            noises.push(moments.noise);
            // |mean g|² = signal + noise / n, exactly.
            naive.push(moments.signal + moments.noise / micro_batches as f64);
        }
        let (estimate, error) = mean_and_error(&signals);
        assert!(
            (estimate - signal).abs() < 4.0 * error,
            "{estimate} ± {error}"
        );
        let (estimate, error) = mean_and_error(&noises);
        assert!(
            (estimate - noise).abs() < 4.0 * error,
            "{estimate} ± {error}"
        );
        // The same data convict the naive estimate, so the test can tell.
        let (estimate, error) = mean_and_error(&naive);
        assert!(20.0 * error < estimate - signal, "{estimate} ± {error}");
    }
}

#[test]
fn sums_and_gradients_agree() {
    let gradients = [[1.0, 2.0], [0.0, -1.0], [4.0, 0.5]];
    let from_gradients =
        GradientMoments::from_gradients(gradients.iter().map(<[f64; 2]>::as_slice)).unwrap();
    let from_sums = GradientMoments::from_sums(GradientSums {
        squared_norms: 5.0 + 1.0 + 16.25,
        squared_norm_of_sum: 25.0 + 2.25,
        n: 3,
    })
    .unwrap();
    assert_eq!(from_gradients, from_sums);
    // The mean of ⟨g_i, g_j⟩ over pairs.
    assert!((from_sums.signal - (-2.0 + 5.0 - 0.5) / 3.0).abs() < 1e-15);
    let product = from_sums.gsnr().unwrap() * from_sums.noise_scale().unwrap();
    assert!((product - 1.0).abs() < 1e-15);
}

#[test]
fn undefined_ratios_give_none() {
    let one = GradientMoments::from_gradients([&[1.0][..]]);
    assert_eq!(one, None);

    let without_noise = GradientMoments::from_gradients([&[0.1][..]; 3]).unwrap();
    assert!(without_noise.noise < 1e-17);
    let exact = GradientMoments::from_gradients([&[1.0][..]; 3]).unwrap();
    assert_eq!((exact.signal, exact.noise), (1.0, 0.0));
    assert_eq!(exact.gsnr(), None);
    assert_eq!(exact.noise_scale(), Some(0.0));

    let opposed = GradientMoments::from_gradients([&[1.0][..], &[-1.0]]).unwrap();
    assert_eq!((opposed.signal, opposed.noise), (-1.0, 2.0));
    assert_eq!(opposed.gsnr(), Some(-0.5));
    assert_eq!(opposed.noise_scale(), None);

    let silent = GradientMoments::from_gradients([&[0.0][..]; 2]).unwrap();
    assert_eq!((silent.gsnr(), silent.noise_scale()), (None, None));

    let diverged = GradientMoments::from_gradients([&[f64::NAN][..], &[1.0]]).unwrap();
    assert!(diverged.signal.is_nan() && diverged.noise.is_nan());
    assert_eq!((diverged.gsnr(), diverged.noise_scale()), (None, None));
}
