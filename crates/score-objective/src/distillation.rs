//! Progressive distillation: two steps of a teacher as the target of one step of a student.

use noise_schedule::Kernel;

use crate::Error;

/// (a, b) of the target x̃₀ = a · D(x_t) + b · D(x_{t′}) for one step from `start` to `end` that equals two deterministic
/// steps over `middle`: a + b = 1.
///
/// With ρ = α/σ at the three levels, a = (ρ′ − ρ)/(ρ″ − ρ): the noisy point itself cancels.
/// This is the target of Salimans and Ho 2022 (algorithm 2), x̃₀ = (x″ − (σ″/σ) x)/(α″ − (σ″/σ) α) with DDIM steps
/// x → x′ → x″, without its differences of near-equal terms.
/// At σ″ = 0 the target is D(x_{t′}).
///
/// # Errors
/// [`Error::NoiseMustFall`] unless σ/α falls strictly at both steps.
///
/// ```
/// use noise_schedule::Kernel;
/// use score_objective::progressive_shares;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let [start, middle, end] = [4.0, 2.0, 1.0].map(|sigma| Kernel::variance_exploding(sigma).unwrap());
/// let (first, second) = progressive_shares(start, middle, end)?;
/// assert!((first - 1.0 / 3.0).abs() < 1e-15);
/// assert!((second - 2.0 / 3.0).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "progressive distillation")]
pub fn progressive_shares(start: Kernel, middle: Kernel, end: Kernel) -> Result<(f64, f64), Error> {
    for (from, to) in [(start, middle), (middle, end)] {
        if from.noise_to_signal() <= to.noise_to_signal() {
            return Err(Error::NoiseMustFall {
                from: from.noise_to_signal(),
                to: to.noise_to_signal(),
            });
        }
    }
    let [first, second, third] = [start, middle, end].map(|k| k.alpha() / k.sigma());
    // At a clean end `third` is infinite and the share zero.
    let share = (second - first) / (third - first);
    Ok((share, 1.0 - share))
}
