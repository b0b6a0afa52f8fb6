//! Which of the T levels of a discrete schedule a sampler visits.

use crate::Error;

/// How `steps` of `train` discrete levels are chosen.
///
/// The levels are counted from 0 (almost clean) to T − 1 (the noisiest), as in [`Discrete::level`](crate::Discrete::level).
/// Lin et al. 2024 (<https://arxiv.org/abs/2305.08891>), table 2, which names them.
///
/// ```
/// use noise_schedule::{Discrete, Grid, Spacing};
/// let timesteps = Spacing::Trailing.timesteps(1000, 5)?;
/// assert_eq!(timesteps, [999, 799, 599, 399, 199]);
/// let grid = Grid::discrete(&Discrete::ho2020(), &timesteps)?.then_clean();
/// assert_eq!(grid.steps().len(), 5);
/// # Ok::<(), noise_schedule::Error>(())
/// ```
#[doc(alias = "timestep_spacing")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Both ends and equal distances between: i (T − 1)/(n − 1), rounded to the nearest integer, halves to even.
    Linspace,
    /// Multiples of ⌊T/n⌋, from 0 up, plus an offset: the noisiest level is left out unless n divides T.
    Leading {
        /// What is added to every timestep: 0, or 1 in Stable Diffusion.
        offset: usize,
    },
    /// From the noisiest level down: i T/n − 1 for i = n … 1, rounded, halves to even.
    Trailing,
}

impl Spacing {
    /// The timesteps, from noise to data: exactly `steps`, strictly falling, all below `train`.
    ///
    /// One step is at T − 1, except for `Leading`, where it is at the offset.
    ///
    /// # Errors
    /// [`Error::NoSteps`] for none; [`Error::TooManySteps`] for more than `train`;
    /// [`Error::TimestepRange`] if an offset puts the first outside.
    pub fn timesteps(self, train: usize, steps: usize) -> Result<Vec<usize>, Error> {
        check_count(steps, train)?;
        Ok(match self {
            Spacing::Linspace if steps == 1 => vec![train - 1],
            Spacing::Linspace => (0..steps)
                .rev()
                .map(|i| rounded_ratio(i, train - 1, steps - 1))
                .collect(),
            Spacing::Leading { offset } => {
                let stride = train / steps;
                let first = ((steps - 1) * stride).saturating_add(offset);
                if train <= first {
                    return Err(Error::TimestepRange {
                        timestep: first,
                        levels: train,
                    });
                }
                (0..steps).rev().map(|i| i * stride + offset).collect()
            }
            Spacing::Trailing => (1..=steps)
                .rev()
                .map(|i| rounded_ratio(i, train, steps) - 1)
                .collect(),
        })
    }
}

/// Timesteps of different density: the levels are cut into as many equal sections as there are counts
/// (the first sections one longer where T does not divide), and section i has `counts[i]` timesteps,
/// equally spaced from its first to its last level, rounded, halves to even. From noise to data; the first count is the cleanest section's.
///
/// The section counts of guided-diffusion (Nichol & Dhariwal 2021, <https://arxiv.org/abs/2102.09672>).
///
/// # Errors
/// [`Error::NoSteps`] for no sections or no timestep; [`Error::TooManySteps`] if a section has more timesteps than levels.
#[doc(alias = "space_timesteps")]
pub fn sections(train: usize, counts: &[usize]) -> Result<Vec<usize>, Error> {
    if counts.iter().all(|&count| count == 0) {
        return Err(Error::NoSteps);
    }
    let (length, longer) = (train / counts.len(), train % counts.len());
    let mut timesteps = Vec::new();
    let mut start = 0;
    for (section, &count) in counts.iter().enumerate() {
        let levels = length + usize::from(section < longer);
        if levels < count {
            return Err(Error::TooManySteps {
                steps: count,
                levels,
            });
        }
        let gaps = count.max(2) - 1;
        timesteps.extend((0..count).map(|i| start + rounded_ratio(i, levels - 1, gaps)));
        start += levels;
    }
    timesteps.reverse();
    Ok(timesteps)
}

/// The multiples of the smallest integer stride that gives exactly `steps` timesteps, from noise to data: "ddimN" of guided-diffusion.
///
/// Unlike [`Spacing::Leading`], it covers all levels up to the last stride; not every number of steps has such a stride.
///
/// # Errors
/// [`Error::NoSteps`] for none; [`Error::TooManySteps`] for more than `train`;
/// [`Error::NoStride`] where no stride gives that many.
pub fn ddim_stride(train: usize, steps: usize) -> Result<Vec<usize>, Error> {
    check_count(steps, train)?;
    // ⌈T/stride⌉ = n is wanted; the smallest such stride is ⌈T/n⌉, if any is.
    let stride = train.div_ceil(steps);
    if train.div_ceil(stride) == steps {
        Ok((0..steps).rev().map(|i| i * stride).collect())
    } else {
        Err(Error::NoStride { steps, train })
    }
}

fn check_count(steps: usize, train: usize) -> Result<(), Error> {
    if steps == 0 {
        Err(Error::NoSteps)
    } else if train < steps {
        Err(Error::TooManySteps {
            steps,
            levels: train,
        })
    } else {
        Ok(())
    }
}

/// a b/denominator, rounded to the nearest integer, halves to even; for a not above the denominator.
pub(crate) fn rounded_ratio(a: usize, b: usize, denominator: usize) -> usize {
    // The product of two counts may exceed their type.
    let (product, divisor) = (a as u128 * b as u128, denominator as u128);
    let (quotient, rest) = ((product / divisor) as usize, product % divisor);
    match (2 * rest).cmp(&divisor) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + quotient % 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_of_a_thousand() {
        // Table 2 of Lin et al., for ten steps.
        let of = |spacing: Spacing| spacing.timesteps(1000, 10).unwrap();
        assert_eq!(
            of(Spacing::Linspace),
            [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
        );
        assert_eq!(
            of(Spacing::Leading { offset: 1 }),
            [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]
        );
        assert_eq!(
            of(Spacing::Trailing),
            [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
        );
    }

    #[test]
    fn halves_go_to_even() {
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(|n| rounded_ratio(1, n, 2)),
            [0, 0, 1, 2, 2, 2]
        );
        assert_eq!(Spacing::Linspace.timesteps(4, 3).unwrap(), [3, 2, 0]);
    }

    #[test]
    fn one_step_is_the_noisiest() {
        for spacing in [Spacing::Linspace, Spacing::Trailing] {
            assert_eq!(spacing.timesteps(1000, 1).unwrap(), [999]);
        }
        assert_eq!(
            Spacing::Leading { offset: 7 }.timesteps(1000, 1).unwrap(),
            [7]
        );
    }

    #[test]
    fn sections_and_strides_of_guided_diffusion() {
        // Its own documentation: 300 levels in sections of 10, 15 and 20.
        let timesteps = sections(300, &[10, 15, 20]).unwrap();
        assert_eq!(timesteps.len(), 45);
        assert_eq!((timesteps[0], timesteps[19], timesteps[44]), (299, 200, 0));
        assert_eq!(sections(5, &[1]).unwrap(), [0]);
        assert_eq!(sections(7, &[2, 2]).unwrap(), [6, 4, 3, 0]);
        assert_eq!(ddim_stride(1000, 4).unwrap(), [750, 500, 250, 0]);
        assert_eq!(ddim_stride(10, 4).unwrap(), [9, 6, 3, 0]);
        assert_eq!(
            ddim_stride(1000, 999),
            Err(Error::NoStride {
                steps: 999,
                train: 1000
            })
        );
    }

    #[test]
    fn arguments_are_checked() {
        let spacing = Spacing::Leading { offset: 1 };
        assert_eq!(spacing.timesteps(10, 0), Err(Error::NoSteps));
        assert!(matches!(
            spacing.timesteps(10, 11),
            Err(Error::TooManySteps { .. })
        ));
        assert_eq!(
            spacing.timesteps(10, 10),
            Err(Error::TimestepRange {
                timestep: 10,
                levels: 10
            })
        );
        let far = Spacing::Leading { offset: usize::MAX };
        assert!(matches!(
            far.timesteps(10, 3),
            Err(Error::TimestepRange { .. })
        ));
        // The largest counts do not overflow.
        let most = usize::MAX;
        assert_eq!(
            Spacing::Linspace.timesteps(most, 3).unwrap(),
            [most - 1, most / 2, 0]
        );
        assert_eq!(sections(10, &[]), Err(Error::NoSteps));
        assert!(sections(10, &[6, 1]).is_err());
        assert_eq!(ddim_stride(10, 0), Err(Error::NoSteps));
    }
}
