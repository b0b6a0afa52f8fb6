//! Tables in single precision, with the roundings of other toolkits.
//!
//! diffusers builds its tables in `float32`, operation by operation; networks that were trained or judged with them have seen those numbers.
//! [`Table`] makes the same roundings: equally spaced values from both ends with fused multiply-add, products accumulated in `f64` and rounded at each level,
//! everything else rounded after each operation.
//! The betas and alpha-bars have the same bits, but where torch takes a square root or an exponential of a `float32` tensor:
//! its last place depends on the processor there, and ours is the nearest number.
//! It is for reproducing others: [`Discrete`] has the same schedules without the loss of digits
//! (1 − alpha_bar is off by up to 3e-4 of itself at the cleanest level).

use crate::beta::check_betas;
use crate::{BetaSchedule, Discrete, Error, Kernel};

/// The betas and alpha-bars of a discrete schedule in `f32`, from data to noise: what diffusers 0.42 holds as `betas` and `alphas_cumprod`.
///
/// Invariant: as many betas as alpha-bars, at least one; betas in (0, 1], alpha-bars in [0, 1), never rising.
/// Only the last beta may be 1; an alpha-bar is 0 then, and where the product underflows.
///
/// ```
/// use noise_schedule::BetaSchedule;
/// use noise_schedule::single::Table;
/// let table = Table::new(BetaSchedule::ho2020(), 1000)?;
/// assert!((table.sigmas()[999] - 157.407).abs() < 0.001);
/// let zero = table.zero_terminal_snr()?;
/// assert_eq!(zero.kernel(999).alpha(), 0.0);
/// assert!((zero.floored().sigmas()[999] - 4096.0).abs() < 0.001);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "alphas_cumprod")]
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    betas: Vec<f32>,
    alpha_bars: Vec<f32>,
}

impl Table {
    /// The table of a named schedule.
    ///
    /// Linear, scaled-linear and logistic betas are computed in `f32`, all others in `f64` and then rounded, as diffusers does.
    /// Bits agree with diffusers 0.42.1 on torch 2.11.0, but for those of the logistic schedule, which may differ by two units in the last place.
    ///
    /// # Errors
    /// Those of [`BetaSchedule::betas`] and of [`from_betas`](Table::from_betas).
    pub fn new(schedule: BetaSchedule, levels: usize) -> Result<Table, Error> {
        let rounded = |value: f64| value as f32;
        let betas: Vec<f32> = match schedule {
            BetaSchedule::Linear { start, end } => linspace(rounded(start), rounded(end), levels),
            BetaSchedule::ScaledLinear { start, end } => {
                let roots = linspace(rounded(start.sqrt()), rounded(end.sqrt()), levels);
                roots.into_iter().map(|root| root * root).collect()
            }
            BetaSchedule::Logistic { start, end } => linspace(-6.0, 6.0, levels)
                .into_iter()
                .map(|z| {
                    let decay = rounded(f64::from(-z).exp());
                    1.0 / (1.0 + decay) * rounded(end - start) + rounded(start)
                })
                .collect(),
            _ => schedule.betas(levels)?.into_iter().map(rounded).collect(),
        };
        Table::from_betas(betas)
    }

    /// The table of these betas, from data to noise: alpha_bar_i = ∏_{j ≤ i} (1 − beta_j).
    ///
    /// # Errors
    /// [`Error::NoDiscreteLevels`] for none; [`Error::DiscreteBeta`] for one outside (0, 1), but for the last, which may be 1;
    /// [`Error::AlphaBarOrder`] if the first is so small that 1 − beta is 1 in `f32`.
    #[doc(alias = "trained_betas")]
    pub fn from_betas(betas: Vec<f32>) -> Result<Table, Error> {
        check_betas(
            &betas
                .iter()
                .map(|&beta| f64::from(beta))
                .collect::<Vec<_>>(),
        )?;
        let mut product = 1.0;
        let alpha_bars: Vec<f32> = betas
            .iter()
            .map(|beta| {
                product *= f64::from(1.0 - beta);
                product as f32
            })
            .collect();
        if alpha_bars[0] < 1.0 {
            Ok(Table { betas, alpha_bars })
        } else {
            Err(Error::AlphaBarOrder {
                index: 0,
                before: 1.0,
                alpha_bar: f64::from(alpha_bars[0]),
            })
        }
    }

    /// The same schedule, shifted and scaled in √alpha_bar so that the last level is pure noise and the first stays:
    /// √alpha_bar_i ← (√alpha_bar_i − √alpha_bar_N) √alpha_bar_1/(√alpha_bar_1 − √alpha_bar_N).
    ///
    /// Lin et al. 2024 (<https://arxiv.org/abs/2305.08891>), algorithm 1; in `f64` it is [`Discrete::zero_terminal_snr`].
    ///
    /// # Errors
    /// [`Error::TerminalSnr`] unless the last level is noisier than the first;
    /// [`Error::DiscreteBeta`] if two levels coincide after rounding.
    #[doc(alias = "rescale_betas_zero_snr")]
    pub fn zero_terminal_snr(&self) -> Result<Table, Error> {
        let mut roots: Vec<f32> = self.alpha_bars.iter().map(|a| a.sqrt()).collect();
        let (first, last) = (roots[0], roots[roots.len() - 1]);
        if first <= last {
            return Err(Error::TerminalSnr {
                first: f64::from(self.alpha_bars[0]),
                last: f64::from(self.alpha_bars[self.count() - 1]),
            });
        }
        let scale = first / (first - last);
        let mut before = 1.0;
        for root in &mut roots {
            *root = (*root - last) * scale;
        }
        let betas = roots
            .into_iter()
            .map(|root| {
                let alpha_bar = root * root;
                let beta = 1.0 - alpha_bar / before;
                before = alpha_bar;
                beta
            })
            .collect();
        Table::from_betas(betas)
    }

    /// The same table with a last alpha-bar of 2⁻²⁴ where it is smaller, so that the last sigma is 4096 and not infinite.
    ///
    /// diffusers does so after [`zero_terminal_snr`](Table::zero_terminal_snr) in its Euler, DPM-Solver++ and UniPC schedulers.
    /// The betas stay as they were.
    pub fn floored(mut self) -> Table {
        let floor = 2.0_f32.powi(-24);
        let last = self.count() - 1;
        self.alpha_bars[last] = self.alpha_bars[last].max(floor);
        self
    }

    /// N, the number of levels, at least 1: `num_train_timesteps`.
    pub fn count(&self) -> usize {
        self.betas.len()
    }

    /// The betas, from data to noise.
    pub fn betas(&self) -> &[f32] {
        &self.betas
    }

    /// The alpha-bars, from data to noise.
    #[doc(alias = "alphas_cumprod")]
    pub fn alpha_bars(&self) -> &[f32] {
        &self.alpha_bars
    }

    /// The noise-to-signal ratios √((1 − alpha_bar)/alpha_bar), from data to noise; infinite where alpha_bar is 0.
    pub fn sigmas(&self) -> Vec<f32> {
        self.alpha_bars
            .iter()
            .map(|a| ((1.0 - a) / a).sqrt())
            .collect()
    }

    /// The kernel of the level `index`, from 0 to N − 1: alpha = √alpha_bar and sigma = √(1 − alpha_bar), each rounded to `f32`.
    ///
    /// # Panics
    /// If `index` is N or more.
    pub fn kernel(&self, index: usize) -> Kernel {
        let alpha_bar = self.alpha_bars[index];
        Kernel::from_scales(
            f64::from(alpha_bar.sqrt()),
            f64::from((1.0 - alpha_bar).sqrt()),
        )
    }

    /// The schedule in continuous time through these alpha-bars.
    ///
    /// # Errors
    /// Those of [`Discrete::from_alpha_bars`]: rounding may have made two of them equal.
    pub fn discrete(&self) -> Result<Discrete, Error> {
        let alpha_bars: Vec<f64> = self.alpha_bars.iter().map(|&a| f64::from(a)).collect();
        Discrete::from_alpha_bars(&alpha_bars)
    }
}

/// `count` numbers from `start` to `end`, equally spaced, with the roundings of `torch.linspace`:
/// the first half counted from the start, the second from the end.
pub fn linspace(start: f32, end: f32, count: usize) -> Vec<f32> {
    if count == 1 {
        return vec![start];
    }
    let step = (end - start) / (count as f32 - 1.0);
    (0..count)
        .map(|i| {
            if i < count / 2 {
                step.mul_add(i as f32, start)
            } else {
                (-step).mul_add((count - 1 - i) as f32, end)
            }
        })
        .collect()
}
