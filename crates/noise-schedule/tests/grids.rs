//! The laws of grids, spacings and paths, and their known values.

use proptest::prelude::*;

use noise_schedule::{
    AlignYourSteps, Cosine, Discrete, Error, FlowShift, Grid, Kernel, NoiseSchedule, Path,
    Rectified, Restart, Spacing, VpLinear, spacing,
};

fn sigmas(grid: &Grid) -> Vec<f64> {
    grid.levels().iter().map(|level| level.sigma()).collect()
}

fn ratios(grid: &Grid) -> Vec<f64> {
    let ratio = |level: &Kernel| level.noise_to_signal();
    grid.levels().iter().map(ratio).collect()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance * e.abs(), "{f} is not {e}");
    }
}

#[test]
fn karras_18_is_the_grid_of_edm() {
    let grid = Grid::karras(0.002, 80.0, 7.0, 18).unwrap();
    let expected = [
        80.0,
        57.586,
        40.7856,
        28.3746,
        19.3525,
        12.9101,
        8.40094,
        5.31519,
        3.25682,
        1.92334,
        1.08817,
        0.585_348,
        0.296_442,
        0.139_516,
        0.059_947_3,
        0.022_934_5,
        0.007_528_02,
        0.002,
    ];
    assert_close(&sigmas(&grid), &expected, 1e-5);
}

#[test]
fn vp_is_the_column_of_edm() {
    // The defaults of the VP column: with beta_d = 19.9 and beta_min = 0.1.
    let grid = Grid::vp(0.010_485_992_786_702_987, 152.166_970_284_3, 1e-3, 5).unwrap();
    let expected = [
        152.166_970,
        17.049_122_6,
        3.422_244_76,
        0.957_526_482,
        0.010_485_992_8,
    ];
    assert_close(&sigmas(&grid), &expected, 1e-8);
    let by_time = Grid::uniform_time(&VpLinear::new(0.1, 20.0).unwrap(), 1.0, 1e-3, 4).unwrap();
    assert_close(&sigmas(&grid), &ratios(&by_time), 1e-9);
    // A beta_min that is slightly negative is no harm: the rate is positive from eps on.
    let grid = Grid::vp(0.002, 80.0, 1e-3, 5).unwrap();
    let expected = [80.0, 11.734_257_4, 2.823_688_82, 0.856_462_485, 0.002];
    assert_close(&sigmas(&grid), &expected, 1e-8);
    assert!(matches!(
        Grid::vp(10.0, 11.0, 1e-3, 5),
        Err(Error::VpRates { .. })
    ));
}

#[test]
fn iddpm_levels_in_forty_digits() {
    let grid = Grid::iddpm(0.001, 0.008, 1000).unwrap();
    let all = sigmas(&grid);
    for (index, expected) in [
        (0, 20_291.169_610_021_51),
        (1, 641.662_345_118_256_4),
        (100, 6.364_591_868_537_916),
        (500, 1.012_389_563_948_004_2),
        (900, 0.169_435_641_994_972_24),
        (999, 0.006_425_412_771_127_171),
    ] {
        assert!(
            (all[index] / expected - 1.0).abs() < 1e-12,
            "{index}: {}",
            all[index]
        );
    }
    assert_eq!(all[1000], 0.0);
    let grid = grid.within(0.002, 81.0).unwrap();
    let subset = sigmas(&grid.subset(18).unwrap());
    assert_eq!((subset[0], subset[17]), (sigmas(&grid)[0], all[999]));
    for (c1, c2, steps) in [
        (0.0, 0.008, 9),
        (1.1, 0.008, 9),
        (0.1, f64::NAN, 9),
        (0.1, 0.0, 0),
    ] {
        assert!(Grid::iddpm(c1, c2, steps).is_err());
    }
}

#[test]
fn beta_quantiles_in_forty_digits() {
    // One level in five stands at the quantile 1 − i/4.
    let grid = Grid::beta_sigma(1e-300, 1.0, 0.6, 0.6, 5).unwrap();
    let quarter = 0.175_680_378_652_695;
    assert_close(
        &sigmas(&grid)[..4],
        &[1.0, 1.0 - quarter, 0.5, quarter],
        1e-13,
    );
    let grid = Grid::beta_time(&Rectified, 1.0, 0.0, 0.6, 0.6, 10).unwrap();
    assert!((grid.levels()[9].sigma() / 0.039_584_405_588_780_85 - 1.0).abs() < 1e-13);
    let grid = Grid::beta_sigma(1e-300, 1.0, 2.0, 5.0, 6).unwrap();
    assert!((grid.levels()[1].sigma() / 0.422_447_524_846_272_1 - 1.0).abs() < 1e-13);
    assert!(Grid::beta_sigma(1.0, 2.0, 0.0, 1.0, 3).is_err());
    assert!(Grid::beta_time(&Rectified, 1.0, 0.0, 1.0, f64::NAN, 3).is_err());
}

#[test]
fn quadratic_times_are_squares() {
    let grid = Grid::power_time(&Rectified, 1.0, 0.0, 2.0, 4).unwrap();
    assert_close(&sigmas(&grid), &[1.0, 0.5625, 0.25, 0.0625, 0.0], 1e-14);
    let linear = Grid::uniform_time(&Rectified, 0.9, 0.1, 7).unwrap();
    let power = Grid::power_time(&Rectified, 0.9, 0.1, 1.0, 7).unwrap();
    assert_close(&sigmas(&power), &sigmas(&linear), 1e-14);
    assert!(Grid::power_time(&Rectified, 1.0, 0.0, 0.0, 3).is_err());
}

#[test]
fn poly_exponential_has_its_power() {
    let grid = Grid::poly_exponential(0.1, 10.0, 2.0, 3).unwrap();
    // Half-way, a quarter of ln 100 above ln 0.1.
    assert_close(
        &sigmas(&grid),
        &[10.0, 0.1 * 100.0_f64.powf(0.25), 0.1],
        1e-14,
    );
    assert!(Grid::poly_exponential(0.1, 10.0, f64::INFINITY, 3).is_err());
}

#[test]
fn what_a_grid_ends_with() {
    let grid = Grid::sigmas(&[3.0, 1.0]).unwrap();
    let level = Kernel::variance_exploding(0.5).unwrap();
    assert_eq!(grid.clone().then(level).unwrap().levels()[2], level);
    assert_eq!(
        grid.clone().then(Kernel::CLEAN).unwrap(),
        grid.clone().then_clean()
    );
    assert!(grid.then(Kernel::variance_exploding(1.5).unwrap()).is_err());
    assert!(Grid::sigmas(&[1.0, f64::NAN]).is_err());
    assert!(Grid::sigmas(&[-1.0]).is_err());
    assert_eq!(Grid::sigmas(&[]), Err(Error::NoLevels));
}

#[test]
fn clipping_keeps_the_levels_inside() {
    // DPM-Solver's bound on the half log-SNR.
    let high = 5.1_f64.exp();
    let all = Spacing::Trailing.timesteps(1000, 1000).unwrap();
    let cosine = Discrete::from_betas(
        &noise_schedule::BetaSchedule::nichol2021_cosine()
            .betas(1000)
            .unwrap(),
    )
    .unwrap();
    let grid = Grid::discrete(&cosine, &all).unwrap();
    let clipped = grid.clone().within(0.0, high).unwrap();
    assert!(clipped.levels()[0].log_snr() >= -10.2);
    assert!(clipped.levels().len() < 1000 && 990 < clipped.levels().len());
    assert_eq!(grid.within(1e9, 1e10), Err(Error::NoLevels));
    assert!(Grid::discrete(&cosine, &[1000]).is_err());
    assert!(Grid::discrete(&cosine, &[5, 6]).is_err());
}

#[test]
fn the_nearest_level() {
    let grid = Grid::sigmas(&[4.0, 2.0, 2.0, 1.0, 0.0]).unwrap();
    for (ratio, expected) in [
        (9.0, 0),
        (3.0, 0),
        (2.9, 1),
        (2.0, 1),
        (1.2, 3),
        (0.5, 3),
        (0.4, 4),
        (0.0, 4),
    ] {
        assert_eq!(grid.nearest(ratio), expected, "{ratio}");
    }
    let grid = Grid::uniform_time(&Cosine::nichol2021(), 1.0, 0.0, 4).unwrap();
    assert_eq!(grid.nearest(f64::INFINITY), 0);
    assert_eq!(grid.nearest(1e9), 1);
}

#[test]
fn pure_noise_has_no_variance_exploding_level() {
    let grid = Grid::uniform_time(&Rectified, 1.0, 0.0, 4).unwrap();
    assert!(matches!(
        grid.clone().variance_exploding(),
        Err(Error::KernelScales { .. })
    ));
    assert_eq!(grid.variance_preserving().levels()[0].alpha(), 0.0);
}

/// A grid of each kind that has `levels` levels from `low` to `high`, or n = `levels` − 1 steps.
fn grids(low: f64, high: f64, shape: f64, levels: usize) -> Vec<Result<Grid, Error>> {
    let schedule = VpLinear::song2021();
    let shift = FlowShift::new(shape).unwrap();
    let mut grids = vec![
        Grid::karras(low, high, shape, levels),
        Grid::geometric(high, low, levels),
        Grid::poly_exponential(low, high, shape, levels),
        Grid::beta_sigma(low, high, shape, 0.6, levels),
        Grid::flow(shift, 1.0, low / high, levels),
        Grid::align_your_steps(AlignYourSteps::StableDiffusion, levels),
        Grid::iddpm(0.001, 0.008, 100).unwrap().subset(levels),
    ];
    if 1 < levels {
        grids.extend([
            Grid::power_time(&schedule, 1.0, 1e-3, shape, levels - 1),
            Grid::beta_time(&schedule, 1.0, 1e-3, shape, 0.6, levels - 1),
            Grid::uniform_log_snr(&schedule, 1.0, 1e-3, levels - 1),
            Grid::vp(0.01, 100.0 + high, 1e-3, levels),
        ]);
    }
    grids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn grids_fall_and_have_their_levels(
        low in 1e-4..1.0, high in 1.0..1e3, shape in 0.2..9.0, levels in 1usize..70,
    ) {
        for grid in grids(low, high, shape, levels) {
            let grid = grid.unwrap();
            prop_assert_eq!(grid.levels().len(), levels);
            for (from, to) in grid.steps() {
                prop_assert!(to.noise_to_signal() <= from.noise_to_signal());
            }
            let steps = grid.clone().then_clean().steps().len();
            let ends_clean = grid.levels().last() == Some(&Kernel::CLEAN);
            prop_assert_eq!(steps, if ends_clean { levels - 1 } else { levels });
        }
    }

    #[test]
    fn grids_hit_their_ends(low in 1e-4..1.0, high in 1.0..1e3, shape in 0.2..9.0, levels in 2usize..70) {
        for grid in [
            Grid::karras(low, high, shape, levels),
            Grid::geometric(high, low, levels),
            Grid::poly_exponential(low, high, shape, levels),
            Grid::beta_sigma(low, high, shape, 0.6, levels),
            Grid::vp(low / 100.0, high * 10.0, 1e-3, levels).or(Grid::geometric(high * 10.0, low / 100.0, levels)),
        ] {
            let sigmas = sigmas(&grid.unwrap());
            prop_assert!(sigmas[0] == high || sigmas[0] == high * 10.0);
            prop_assert!(sigmas[levels - 1] == low || sigmas[levels - 1] == low / 100.0);
        }
        let schedule = VpLinear::song2021();
        for grid in [
            Grid::power_time(&schedule, 0.9, low * 0.1, shape, levels),
            Grid::beta_time(&schedule, 0.9, low * 0.1, shape, 0.6, levels),
        ] {
            let grid = grid.unwrap();
            prop_assert_eq!(grid.levels()[0], schedule.kernel(0.9));
            prop_assert_eq!(grid.levels()[levels], schedule.kernel(low * 0.1));
        }
    }

    #[test]
    fn beta_quantiles_are_symmetric(levels in 2usize..60, shape in 0.2..5.0) {
        // With equal shapes, Q(p) + Q(1 − p) = 1.
        let grid = Grid::beta_time(&Rectified, 1.0, 0.0, shape, shape, levels).unwrap();
        let times = sigmas(&grid);
        for (a, b) in times.iter().zip(times.iter().rev()) {
            prop_assert!((a + b - 1.0).abs() < 1e-13);
        }
    }

    #[test]
    fn other_scales_keep_the_ratios(low in 1e-4..1.0, high in 1.0..1e3, levels in 1usize..50) {
        let grid = Grid::karras(low, high, 7.0, levels).unwrap().then_clean();
        let preserving = grid.clone().variance_preserving();
        for (a, b) in grid.levels().iter().zip(preserving.levels()) {
            prop_assert!((b.alpha().hypot(b.sigma()) - 1.0).abs() < 1e-15);
            prop_assert!((a.noise_to_signal() - b.noise_to_signal()).abs() <= 1e-14 * a.noise_to_signal());
        }
        let back = preserving.variance_exploding().unwrap();
        for (a, b) in grid.levels().iter().zip(back.levels()) {
            prop_assert!((a.sigma() - b.sigma()).abs() <= 1e-14 * a.sigma());
        }
    }

    #[test]
    fn stretched_grids_end_where_they_should(shift in 0.3..8.0, terminal in 0.0..0.9, levels in 2usize..40) {
        let grid = Grid::flow(FlowShift::new(shift).unwrap(), 1.0, 0.01, levels).unwrap();
        let grid = grid.stretched_to(terminal).unwrap();
        prop_assert_eq!(grid.levels()[0].sigma(), 1.0);
        prop_assert!((grid.levels()[levels - 1].sigma() - terminal).abs() < 1e-14);
    }

    #[test]
    fn spacings_fall_inside_and_have_their_number(train in 1usize..3000, share in 0.0..1.0) {
        let steps = 1 + (share * (train - 1) as f64) as usize;
        for spacing in [Spacing::Linspace, Spacing::Leading { offset: 0 }, Spacing::Trailing] {
            let timesteps = spacing.timesteps(train, steps).unwrap();
            prop_assert_eq!(timesteps.len(), steps);
            prop_assert!(timesteps[0] < train);
            prop_assert!(timesteps.windows(2).all(|pair| pair[1] < pair[0]));
        }
        let linspace = Spacing::Linspace.timesteps(train, steps).unwrap();
        prop_assert_eq!(linspace[0], train - 1);
        prop_assert!(steps == 1 || linspace[steps - 1] == 0);
        prop_assert_eq!(Spacing::Trailing.timesteps(train, steps).unwrap()[0], train - 1);
    }

    #[test]
    fn sections_fall_and_have_their_counts(train in 1usize..2000, shares in prop::collection::vec(0.0..1.0, 1..6)) {
        let length = train / shares.len();
        prop_assume!(0 < length);
        let counts: Vec<usize> = shares.iter().map(|share| 1 + (share * (length - 1) as f64) as usize).collect();
        let timesteps = spacing::sections(train, &counts).unwrap();
        prop_assert_eq!(timesteps.len(), counts.iter().sum::<usize>());
        prop_assert!(timesteps[0] < train && timesteps.windows(2).all(|pair| pair[1] < pair[0]));
    }

    #[test]
    fn strides_are_constant_or_refused(train in 1usize..2000, steps in 1usize..2000) {
        prop_assume!(steps <= train);
        match spacing::ddim_stride(train, steps) {
            Ok(timesteps) => {
                prop_assert_eq!(timesteps.len(), steps);
                prop_assert!(timesteps[0] < train && timesteps[steps - 1] == 0);
                let stride = timesteps.windows(2).map(|pair| pair[0] - pair[1]);
                prop_assert!(stride.clone().all(|s| Some(s) == stride.clone().next()));
                // One more stride would leave the levels.
                let stride = if steps == 1 { train } else { timesteps[0] - timesteps[1] };
                prop_assert!(train <= timesteps[0] + stride);
            }
            Err(error) => {
                prop_assert_eq!(error, Error::NoStride { steps, train });
                prop_assert!((1..=train).all(|stride| train.div_ceil(stride) != steps));
            }
        }
    }

    #[test]
    fn repaint_visits_every_level_and_moves_as_it_may(
        steps in 1usize..60, length in 1usize..12, samples in 1usize..5,
    ) {
        let grid = Grid::geometric(100.0, 0.1, steps).unwrap().then_clean();
        let path = Path::repaint(&grid, length, samples).unwrap();
        let index = |level: Kernel| grid.levels().iter().position(|&other| other == level).unwrap();
        prop_assert!(path.steps().all(|(from, to)| index(from).abs_diff(index(to)) == 1));
        prop_assert_eq!(path.levels()[0], grid.levels()[0]);
        prop_assert_eq!(path.levels().last(), grid.levels().last());
        // Each jump is `length` steps up and as many down again.
        let jumps = (0..steps).step_by(length).filter(|at| at + length < steps).count();
        prop_assert_eq!(path.steps().len(), steps + jumps * (samples - 1) * 2 * length);
    }

    #[test]
    fn restarts_end_on_the_grid(low in 0.02..5.0, levels in 2usize..12, repeats in 0usize..4) {
        let grid = Grid::karras(0.01, 10.0, 7.0, 20).unwrap().then_clean();
        let restart = Restart::karras(&grid, low, 20.0, 7.0, levels, repeats).unwrap();
        let path = Path::restart(&grid, &[restart]).unwrap();
        prop_assert_eq!(path.steps().len(), 20 + repeats * levels);
        let rises = path.steps().filter(|(from, to)| from.noise_to_signal() < to.noise_to_signal());
        prop_assert_eq!(rises.count(), repeats);
        let end = grid.levels()[grid.nearest(low)];
        let visits = path.levels().iter().filter(|&&level| level == end).count();
        prop_assert_eq!(visits, 1 + repeats);
    }

    #[test]
    fn reversing_twice_is_nothing(levels in prop::collection::vec(0.0..9.0_f64, 1..20)) {
        let levels: Vec<Kernel> = levels.into_iter().map(|s| Kernel::variance_exploding(s).unwrap()).collect();
        let path = Path::new(levels).unwrap();
        prop_assert_eq!(path.steps().len(), path.levels().len() - 1);
        let reversed = path.clone().reversed();
        let mut back: Vec<_> = reversed.steps().map(|(from, to)| (to, from)).collect();
        back.reverse();
        prop_assert_eq!(path.steps().collect::<Vec<_>>(), back);
        prop_assert_eq!(reversed.reversed(), path);
    }
}
