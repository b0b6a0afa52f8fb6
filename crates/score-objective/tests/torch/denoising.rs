//! Denoising score matching: its weights, its penalties, and its form in terms of the score.

use std::cell::RefCell;

use super::*;
use ndarray::Array2;
use score_objective::torch::{
    Absolute, Charbonnier, Huber, Penalty, PseudoHuber, Squared, denoise, denoising_loss,
    denoising_loss_under, diffuse, score, score_denoising_loss,
};
use score_objective::{DenoisingBatch, EdmVelocity, KarrasVe, MinSnr, Score};

#[test]
fn the_denoising_loss_is_the_weighted_error_of_the_denoiser() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for shape in [vec![3], vec![3, 4], vec![3, 2, 2, 2]] {
        let (x0, noise) = (normal(&mut rng, &shape), normal(&mut rng, &shape));
        let mut column = vec![1; shape.len()];
        column[0] = 3;
        let per_row = |f: &dyn Fn(Kernel) -> f64| {
            let values: Vec<f64> = levels().into_iter().map(f).collect();
            Tensor::from_slice(&values).view(column.as_slice())
        };
        let x = &x0 * per_row(&|k| k.alpha()) + &noise * per_row(&|k| k.sigma());
        let edm_weight = EdmWeight::new(0.5).unwrap();
        for w in [&Uniform as &dyn Weighting, &Snr, &edm_weight] {
            for (name, row) in rows() {
                let loss = denoising_loss(&net, &*row, w, &x0, &noise, &levels());
                let error = (denoise(&net, &*row, &x, &levels()) - &x0).square();
                let naive = (error * per_row(&|k| w.weight(k)))
                    .reshape([3, -1])
                    .sum_dim_intlist(1, false, Kind::Double);
                let relative = distance(&(&loss / &naive), &naive.ones_like());
                assert!(relative < 1e-10, "{name}: {relative}");
            }
        }
    }
}

#[test]
fn a_batch_without_a_graph_has_the_bits_of_one_with_a_graph() {
    const EXAMPLES: usize = 37;
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut rows = Vec::from(rows());
    rows.push(("score", Box::new(Score::new(0.5).unwrap())));
    rows.push(("edm velocity", Box::new(EdmVelocity::new(0.5).unwrap())));
    rows.push(("karras ve", Box::new(KarrasVe)));
    let (edm, min) = (EdmWeight::new(0.5).unwrap(), MinSnr::new(5.0).unwrap());
    let weights: [&dyn Weighting; 4] = [&Uniform, &Snr, &edm, &min];
    for columns in [1, 2, 3, 4, 9, 64] {
        let mut draw =
            || Array2::from_shape_simple_fn((EXAMPLES, columns), || rng.sample(StandardNormal));
        let (x0, noise, answer): (Array2<f64>, Array2<f64>, Array2<f64>) = (draw(), draw(), draw());
        let levels: Vec<Kernel> = (0..EXAMPLES)
            .map(|_| {
                Kernel::new(rng.random_range(0.05..1.5), rng.random_range(0.01..20.0)).unwrap()
            })
            .collect();
        let single = |x: &Array2<f64>| -> Vec<f32> { x.iter().map(|&v| v as f32).collect() };
        let tensor = |x: &Array2<f64>| {
            Tensor::from_slice(&single(x)).view([EXAMPLES as i64, columns as i64])
        };
        let numbers = |x: &Tensor| Vec::<f32>::try_from(x.contiguous().view([-1])).unwrap();
        for ((name, row), w) in rows.iter().flat_map(|row| weights.map(|w| (row, w))) {
            let leaf = tensor(&answer).set_requires_grad(true);
            let asked = RefCell::new((Vec::new(), Vec::new()));
            let net = |x: &Tensor, label: &Tensor| {
                asked.replace((numbers(x), numbers(label)));
                leaf.shallow_clone()
            };
            let losses = denoising_loss(&net, &**row, w, &tensor(&x0), &tensor(&noise), &levels);
            let gradient =
                Tensor::run_backward(&[losses.mean(Kind::Float)], &[&leaf], false, false);
            let batch = DenoisingBatch::new(&**row, w, x0.view(), noise.view(), &levels);
            let answer = single(&answer);
            let mut slope = vec![0.0; answer.len()];
            // In two parts, as a network may take them.
            let (first, rest) = slope.split_at_mut(2 * columns);
            batch.gradient(0, &answer[..2 * columns], first);
            batch.gradient(2, &answer[2 * columns..], rest);
            let (input, label) = asked.into_inner();
            assert_eq!(batch.input(), input, "{name}: input");
            assert_eq!(batch.label(), label, "{name}: label");
            assert_eq!(slope, numbers(&gradient[0]), "{name}, {columns}: gradient");
            for (ours, theirs) in batch.losses(&answer).into_iter().zip(numbers(&losses)) {
                // Torch adds up the numbers of a longer row in another order.
                let allowed = if columns <= 4 { 0.0 } else { 1e-6 * theirs };
                assert!(
                    (ours - theirs).abs() <= allowed,
                    "{name}, {columns}: {ours} and {theirs}"
                );
            }
        }
    }
}

#[test]
fn the_noise_itself_has_no_denoising_loss() {
    // In f32 at low noise, where the naive difference would not vanish.
    let noise = normal(&mut ChaCha8Rng::seed_from_u64(3), &[1, 8]).to_kind(Kind::Float);
    let answer = |_: &Tensor, _: &Tensor| noise.shallow_clone();
    let k = Kernel::new(0.7, 1e-5).unwrap();
    let x0 = noise.ones_like() * 3.0;
    let loss = denoising_loss(&answer, &Epsilon::unit(), &Snr, &x0, &noise, &[k]);
    assert!(loss.double_value(&[0]) < 1e-12);
}

#[test]
#[should_panic(expected = "the loss is not defined")]
fn there_is_no_noise_to_predict_without_noise() {
    let x0 = Tensor::ones([1, 2], (Kind::Double, tch::Device::Cpu));
    let _ = denoising_loss(&net, &Epsilon::unit(), &Snr, &x0, &x0, &[Kernel::CLEAN]);
}

#[test]
fn without_noise_a_denoiser_that_knows_x_has_no_loss() {
    let x0 = Tensor::ones([1, 2], (Kind::Double, tch::Device::Cpu));
    for (name, row) in rows() {
        let loss = denoising_loss(&net, &*row, &Uniform, &x0, &x0, &[Kernel::CLEAN]);
        let error = (denoise(&net, &*row, &x0, &[Kernel::CLEAN]) - &x0).square();
        assert_eq!(
            loss.double_value(&[0]),
            number(&error.sum(Kind::Double)),
            "{name}"
        );
    }
}

#[test]
fn the_clean_sample_may_be_learned_without_noise() {
    let x0 = Tensor::ones([1, 2], (Kind::Double, tch::Device::Cpu));
    let zero = |x: &Tensor, _: &Tensor| x.zeros_like();
    let loss = denoising_loss(
        &zero,
        &CleanSample::unit(),
        &Uniform,
        &x0,
        &x0,
        &[Kernel::CLEAN],
    );
    assert_eq!(loss.double_value(&[0]), 2.0);
}

#[test]
fn penalties_are_their_formulas() {
    let residual = tensor(&[0.3, -0.4, 3.0, 4.0], &[2, 2]);
    for (penalty, expected) in [
        (&Squared as &dyn Penalty, [0.25, 25.0]),
        (&Absolute, [0.7, 7.0]),
        (&Huber::new(1.0).unwrap(), [0.25, 5.0 + 7.0]),
        (
            &PseudoHuber::new(1.2).unwrap(),
            [0.1, 26.44_f64.sqrt() - 1.2],
        ),
        (
            &Charbonnier::new(0.4).unwrap(),
            [
                0.5 + 0.32_f64.sqrt() - 0.8,
                9.16_f64.sqrt() + 16.16_f64.sqrt() - 0.8,
            ],
        ),
    ] {
        assert!(distance(&penalty.of(&residual), &tensor(&expected, &[2])) < 1e-14);
        let image = residual.view([2, 1, 2, 1]);
        assert!(distance(&penalty.of(&image), &tensor(&expected, &[2])) < 1e-14);
    }
    let torch = residual.huber_loss(&residual.zeros_like(), tch::Reduction::None, 0.35);
    let ours = Huber::new(0.35).unwrap().of(&residual);
    assert!(distance(&ours, &(sums(&torch) * 2.0)) < 1e-14);
    // 0.00054 √(3·32·32).
    let c = 0.00054 * 3072.0_f64.sqrt();
    assert_eq!(PseudoHuber::song2023(3072), PseudoHuber::new(c).unwrap());
    assert!(Huber::new(0.0).is_err() && Charbonnier::new(f64::NAN).is_err());
    assert!(PseudoHuber::new(-1.0).is_err());
}

#[test]
fn pseudo_huber_keeps_its_digits_at_small_residuals() {
    // In f32 the definition gives zero: c² + d² = c².
    let residual = Tensor::from_slice(&[1e-6_f32]).view([1, 1]);
    let loss = PseudoHuber::new(0.03)
        .unwrap()
        .of(&residual)
        .double_value(&[0]);
    assert!((loss / (1e-12 / 0.06) - 1.0).abs() < 1e-6, "{loss}");
}

#[test]
fn penalties_act_in_the_unit_in_which_the_weight_is_uniform() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    let (x0, noise) = (normal(&mut rng, &[3, 4]), normal(&mut rng, &[3, 4]));
    let edm_weight = EdmWeight::new(0.5).unwrap();
    for (name, row) in rows() {
        let squared = denoising_loss_under(&Squared, &net, &*row, &Snr, &x0, &noise, &levels());
        let plain = denoising_loss(&net, &*row, &Snr, &x0, &noise, &levels());
        assert!(
            distance(&(&squared / plain), &squared.ones_like()) < 1e-12,
            "{name}"
        );
    }
    // What a network answers, whatever it is asked.
    let answer = normal(&mut rng, &[3, 4]);
    let fixed = |_: &Tensor, _: &Tensor| answer.shallow_clone();
    let loss = |row: &dyn Preconditioner, w: &dyn Weighting| {
        denoising_loss_under(&Absolute, &fixed, row, w, &x0, &noise, &levels())
    };
    let of_noise = Absolute.of(&(&answer - &noise));
    assert!(distance(&loss(&Epsilon::new(0.5).unwrap(), &Snr), &of_noise) < 1e-13);
    let of_data = Absolute.of(&(&answer - &x0));
    assert!(distance(&loss(&CleanSample::new(0.5).unwrap(), &Uniform), &of_data) < 1e-13);
    let edm = Edm::new(0.5).unwrap();
    let x = diffuse(&x0, &noise, &levels());
    let mut of_f = Vec::new();
    for (row, k) in levels().into_iter().enumerate() {
        let (row, c) = (row as i64, edm.at(k));
        let target = (x0.get(row) - x.get(row) * c.skip) / c.out;
        of_f.push(number(&(answer.get(row) - target).abs().sum(Kind::Double)));
    }
    assert!(distance(&loss(&edm, &edm_weight), &Tensor::from_slice(&of_f)) < 1e-12);
}

#[test]
fn the_loss_of_the_score_is_half_the_loss_of_the_noise() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let (x0, noise) = (normal(&mut rng, &[3, 4]), normal(&mut rng, &[3, 4]));
    for (name, row) in rows() {
        let s = |x: &Tensor| score(&net, &*row, x, &levels());
        // Power 2: ½‖ε̂ − ε‖², which is SNR weight on the clean sample.
        let ladder = score_denoising_loss(&s, &x0, &noise, &levels(), 2.0);
        let simple = denoising_loss(&net, &*row, &Snr, &x0, &noise, &levels()) * 0.5;
        assert!(
            distance(&(&ladder / simple), &ladder.ones_like()) < 1e-10,
            "{name}"
        );
        // Any power, by the definition.
        let x = diffuse(&x0, &noise, &levels());
        for power in [0.0, 1.0, 3.5] {
            let loss = score_denoising_loss(&s, &x0, &noise, &levels(), power);
            for (i, k) in levels().into_iter().enumerate() {
                let error = s(&x).get(i as i64) + noise.get(i as i64) / k.sigma();
                let half = number(&error.square().sum(Kind::Double)) * 0.5;
                let expected = half * k.sigma().powf(power);
                let relative = loss.double_value(&[i as i64]) / expected - 1.0;
                assert!(relative.abs() < 1e-10, "{name}, {power}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "no score to denoise")]
fn there_is_no_score_without_noise() {
    let x0 = Tensor::ones([1, 2], (Kind::Double, tch::Device::Cpu));
    let _ = score_denoising_loss(&|x| -x, &x0, &x0, &[Kernel::CLEAN], 2.0);
}
