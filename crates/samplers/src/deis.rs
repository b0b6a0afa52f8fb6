//! DEIS: the noise as a polynomial, in ln(sigma/alpha) or in the time of a schedule.

use noise_schedule::{Kernel, NoiseSchedule};

use crate::adams::lagrange_moments;
use crate::dpm_solver::Integrand;
use crate::exponential_adams::ExponentialAdams;
use crate::history::History;
use crate::starter::{Start, start};
use crate::stepper::{far_apart, renoised};
use crate::{Denoiser, Error, NoiseSource, Stepper, VectorSpace};

/// DEIS of the Adams–Bashforth kind in log-rho: the polynomial in ln ρ, ρ = sigma/alpha, through the last values of
/// eps = (x − alpha D)/sigma, integrated exactly:
///
/// x_to/alpha_to = x/alpha + Σ_j eps_j ∫ ℓ_j(ln ρ) dρ, integrated from ρ_from to ρ_to.
///
/// In ρ itself it is [`AdamsBashforth`](crate::AdamsBashforth), and in the time of a schedule [`DeisInTime`].
/// It is UniP with [`Integrand::Noise`] and the exact weight of a sole difference: the two papers reach one family.
///
/// Order 1 to 4, one evaluation per step; [`Start::Full`] spends one and then two more on each first step at orders 3 and 4.
/// A step to sigma = 0 or from alpha = 0 is DDIM's;
/// one that does not continue the step before it, or turns from less noise to more or back, forgets what came before.
/// It does not look past two levels that are closer in ln(alpha/sigma) than a thousandth of the step.
///
/// Zhang & Chen 2022 (<https://arxiv.org/abs/2204.13902>); in log-rho as in diffusers.
///
/// ```
/// use ndarray::{Array1, array};
/// use noise_schedule::{Grid, Kernel};
/// use samplers::{Deis, Silent, sample};
/// let mut model = |x: &Array1<f64>, k: Kernel| x / (1.0 + k.sigma().powi(2));
/// let grid = Grid::karras(0.002, 80.0, 7.0, 20)?.then_clean();
/// let x = sample(&grid, Deis::new(3)?, &mut model, &mut Silent, array![80.0]);
/// assert!((x[0] - 1.0).abs() < 0.05);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "DEISMultistepScheduler")]
#[doc(alias = "rho-AB")]
#[derive(Clone, Debug)]
pub struct Deis<X>(ExponentialAdams<X>);

impl<X: VectorSpace> Deis<X> {
    /// The method of this order at the start of a trajectory, with [`Start::Full`].
    ///
    /// # Errors
    /// [`Error::Order`] unless `order` is 1, 2, 3 or 4.
    pub fn new(order: u32) -> Result<Deis<X>, Error> {
        check_order(order)?;
        Ok(Deis(ExponentialAdams::new(Integrand::Noise, order, None)))
    }

    /// The method with this start.
    pub fn with_start(mut self, start: Start) -> Deis<X> {
        self.0.start = start;
        self
    }

    /// The method with these levels and values of eps before its first step, newest first.
    /// More than order − 1 are not looked at.
    pub fn with_history(mut self, history: Vec<(Kernel, X)>) -> Deis<X> {
        self.0.history = History::new(history);
        self
    }
}

impl<X: VectorSpace> Stepper<X> for Deis<X> {
    fn order(&self) -> u32 {
        self.0.predictor
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        self.0.step(0.0, model, noise, x, from, to)
    }
}

/// DEIS of the Adams–Bashforth kind in time: as [`Deis`], with a polynomial in the time t of a schedule,
///
/// x_to/alpha_to = x/alpha + Σ_j eps_j ∫ ℓ_j(t) dρ, ρ = sigma/alpha.
///
/// The integrals are Gauss's with 16 points in ln ρ, which is exact to rounding for steps as samplers take them.
/// The levels walked must be those of the schedule, but for their scale.
///
/// Order 1 to 4, one evaluation per step; starts and ends as [`Deis`].
///
/// Zhang & Chen 2022 (<https://arxiv.org/abs/2204.13902>), tAB-DEIS.
#[doc(alias = "tAB-DEIS")]
#[derive(Clone, Debug)]
pub struct DeisInTime<S, X> {
    schedule: S,
    order: u32,
    start: Start,
    /// Levels and values of eps, the latest first.
    history: History<X>,
}

impl<S: NoiseSchedule, X> DeisInTime<S, X> {
    /// The method of this order at the start of a trajectory, with [`Start::Full`].
    ///
    /// # Errors
    /// [`Error::Order`] unless `order` is 1, 2, 3 or 4.
    pub fn new(schedule: S, order: u32) -> Result<DeisInTime<S, X>, Error> {
        check_order(order)?;
        Ok(DeisInTime {
            schedule,
            order,
            start: Start::Full,
            history: History::new(Vec::new()),
        })
    }

    /// The method with this start.
    pub fn with_start(self, start: Start) -> DeisInTime<S, X> {
        DeisInTime { start, ..self }
    }

    /// The method with these levels and values of eps before its first step, newest first.
    /// More than order − 1 are not looked at.
    pub fn with_history(self, history: Vec<(Kernel, X)>) -> DeisInTime<S, X> {
        DeisInTime {
            history: History::new(history),
            ..self
        }
    }

    /// The weights of eps at the levels of the history, without alpha_to.
    fn weights(&self, from: Kernel, to: Kernel) -> Vec<f64> {
        let time = |at: Kernel| self.schedule.time_at(at.log_snr());
        let (first, length) = (time(from), time(to) - time(from));
        let place = |t: f64| (t - first) / length;
        let places: Vec<f64> = self
            .history
            .iter()
            .map(|(level, _)| place(time(*level)))
            .collect();
        let (middle, half) = (
            0.5 * (from.log_snr() + to.log_snr()),
            0.5 * (to.log_snr() - from.log_snr()),
        );
        // dρ = −ρ/2 d ln SNR.
        let nodes = GAUSS
            .iter()
            .flat_map(|&(node, weight)| [(node, weight), (-node, weight)]);
        let mut moments = vec![0.0; places.len()];
        for (node, weight) in nodes {
            let log_snr = middle + half * node;
            let share = -0.5 * half * weight * (-0.5 * log_snr).exp();
            let at = place(self.schedule.time_at(log_snr));
            for (power, moment) in moments.iter_mut().enumerate() {
                *moment += share * at.powi(power as i32);
            }
        }
        lagrange_moments(&places, &moments)
    }
}

impl<S: NoiseSchedule, X: VectorSpace> Stepper<X> for DeisInTime<S, X> {
    fn order(&self) -> u32 {
        self.order
    }

    fn step(
        &mut self,
        model: &mut dyn Denoiser<X>,
        _noise: &mut dyn NoiseSource<X>,
        x: &X,
        from: Kernel,
        to: Kernel,
    ) -> X {
        if let Some(state) = self.history.begin(x, from, to) {
            return state;
        }
        if to.sigma() == 0.0 || from.alpha() == 0.0 || to.alpha() == 0.0 {
            self.history.clear();
            return renoised(x, &model.denoise(x, from), from, to.alpha(), to.sigma());
        }
        self.history.truncate(self.order as usize - 1);
        let value = |denoised: &X| Integrand::Noise.value(x, denoised, from);
        if let Some(order) = self.start.single_step(self.order, self.history.len()) {
            let (state, denoised) = start(order, model, x, from, to);
            self.history.insert(0, (from, value(&denoised)));
            return state;
        }
        let denoised = model.denoise(x, from);
        self.history.insert(0, (from, value(&denoised)));
        let far = far_apart(self.history.levels(), to);
        self.history.truncate(far);
        let times: Vec<f64> = [to]
            .into_iter()
            .chain(self.history.levels())
            .map(|level| self.schedule.time_at(level.log_snr()))
            .collect();
        if times.windows(2).any(|pair| pair[0] == pair[1]) {
            // Beyond the ends of the schedule, or so close that rounding leaves one time.
            self.history.truncate(1);
            return renoised(x, &denoised, from, to.alpha(), to.sigma());
        }
        let weights = self
            .weights(from, to)
            .into_iter()
            .map(|weight| to.alpha() * weight);
        let mut terms = vec![(to.alpha() / from.alpha(), x)];
        terms.extend(weights.zip(self.history.iter().map(|(_, value)| value)));
        X::combine(&terms)
    }
}

fn check_order(order: u32) -> Result<(), Error> {
    if (1..=4).contains(&order) {
        return Ok(());
    }
    Err(Error::Order {
        method: "DEIS",
        order,
        most: 4,
    })
}

/// The positive nodes of Gauss's rule with 16 points on [−1, 1], and their weights.
const GAUSS: [(f64, f64); 8] = [
    (0.095_012_509_837_637_44, 0.189_450_610_455_068_64),
    (0.281_603_550_779_258_9, 0.182_603_415_044_923_64),
    (0.458_016_777_657_227_37, 0.169_156_519_395_002_65),
    (0.617_876_244_402_643_8, 0.149_595_988_816_576_7),
    (0.755_404_408_355_003, 0.124_628_971_255_534_07),
    (0.865_631_202_387_831_8, 0.095_158_511_682_492_6),
    (0.944_575_023_073_232_6, 0.062_253_523_938_647_456),
    (0.989_400_934_991_649_9, 0.027_152_459_411_754_176),
];
