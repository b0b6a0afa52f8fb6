//! The 2×2 of skip and noise at one seed, as contrasts: one number per seed each.

/// One seed's metric in the four cells; the first index is the skip, the second the noise.
///
/// Orient the metric and declare its scale (raw, or logarithm) beforehand: an interaction can
/// appear or vanish with the scale.
///
/// ```
/// use paired_stats::TwoByTwo;
///
/// // The skip gains 3, the noise gains 2, and together they gain only 4: they overlap by 1.
/// let effects = TwoByTwo { y00: 0.0, y01: 2.0, y10: 3.0, y11: 4.0 }.effects();
/// assert_eq!(effects.interaction, -1.0);
/// assert_eq!(effects.skip, 2.5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoByTwo {
    /// Without skip, without noise.
    pub y00: f64,
    /// Without skip, with noise.
    pub y01: f64,
    /// With skip, without noise.
    pub y10: f64,
    /// With skip, with noise.
    pub y11: f64,
}

/// The contrasts of one [`TwoByTwo`], in the unit of the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effects {
    /// Main effect of the skip, ½\[(y11 − y01) + (y10 − y00)\].
    pub skip: f64,
    /// Main effect of the noise, ½\[(y11 − y10) + (y01 − y00)\].
    pub noise: f64,
    /// Interaction, (y11 − y01) − (y10 − y00): what the skip gains more with noise than without.
    pub interaction: f64,
    /// Simple effect y10 − y00.
    pub skip_without_noise: f64,
    /// Simple effect y11 − y01.
    pub skip_with_noise: f64,
    /// Simple effect y01 − y00.
    pub noise_without_skip: f64,
    /// Simple effect y11 − y10.
    pub noise_with_skip: f64,
}

impl TwoByTwo {
    /// All contrasts of this seed.
    ///
    /// Over seeds, t² of a main effect or of the interaction is the F (1 and n − 1 degrees of
    /// freedom) of the repeated-measures analysis of variance, with no assumption of sphericity.
    ///
    /// The interaction has twice the standard deviation of a main effect when the four cells have
    /// equal variances and correlations, and needs about four times the seeds: plan on it.
    pub fn effects(&self) -> Effects {
        let skip_without_noise = self.y10 - self.y00;
        let skip_with_noise = self.y11 - self.y01;
        let noise_without_skip = self.y01 - self.y00;
        let noise_with_skip = self.y11 - self.y10;
        Effects {
            skip: 0.5 * (skip_with_noise + skip_without_noise),
            noise: 0.5 * (noise_with_skip + noise_without_skip),
            interaction: skip_with_noise - skip_without_noise,
            skip_without_noise,
            skip_with_noise,
            noise_without_skip,
            noise_with_skip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::paired_t;

    /// A mean over the cells of one seed that `keep` selects (by skip and noise).
    fn cell_mean(row: &[[f64; 2]; 2], keep: impl Fn(usize, usize) -> bool) -> f64 {
        let kept: Vec<f64> = (0..4)
            .filter(|c| keep(c / 2, c % 2))
            .map(|c| row[c / 2][c % 2])
            .collect();
        kept.iter().sum::<f64>() / kept.len() as f64
    }

    /// F of a within-subject 2×2 analysis of variance, from its sums of squares.
    ///
    /// Every sum runs over all cells of all seeds; `term(row)` is the deviation that the effect
    /// explains in each cell: for one row its own, over the rows their mean.
    fn anova_f(rows: &[[[f64; 2]; 2]], term: impl Fn(&[[f64; 2]; 2], usize, usize) -> f64) -> f64 {
        let n = rows.len() as f64;
        let (mut effect, mut error) = (0.0, 0.0);
        for k in 0..2 {
            for j in 0..2 {
                let mean = rows.iter().map(|row| term(row, k, j)).sum::<f64>() / n;
                for row in rows {
                    effect += mean * mean;
                    error += (term(row, k, j) - mean).powi(2);
                }
            }
        }
        effect / (error / (n - 1.0))
    }

    #[test]
    fn squared_t_is_the_f_of_the_repeated_measures_anova() {
        let rows = [
            [[1.0, 2.5], [3.0, 3.25]],
            [[0.5, 2.0], [2.0, 4.0]],
            [[1.5, 1.75], [3.5, 3.0]],
            [[0.0, 2.25], [1.0, 2.75]],
            [[2.0, 2.5], [2.5, 4.5]],
        ];
        let effects: Vec<Effects> = rows
            .iter()
            .map(|[[y00, y01], [y10, y11]]| {
                TwoByTwo {
                    y00: *y00,
                    y01: *y01,
                    y10: *y10,
                    y11: *y11,
                }
                .effects()
            })
            .collect();
        let squared_t = |values: Vec<f64>| {
            let interval = paired_t(&values, 0.95).unwrap();
            (interval.estimate / interval.standard_error).powi(2)
        };

        let all = |row: &[[f64; 2]; 2]| cell_mean(row, |_, _| true);
        let skip =
            |row: &[[f64; 2]; 2], k: usize, _: usize| cell_mean(row, |a, _| a == k) - all(row);
        let noise =
            |row: &[[f64; 2]; 2], _: usize, j: usize| cell_mean(row, |_, b| b == j) - all(row);
        let interaction = |row: &[[f64; 2]; 2], k: usize, j: usize| {
            row[k][j] - all(row) - skip(row, k, j) - noise(row, k, j)
        };

        for (found, expected) in [
            (
                squared_t(effects.iter().map(|e| e.skip).collect()),
                anova_f(&rows, skip),
            ),
            (
                squared_t(effects.iter().map(|e| e.noise).collect()),
                anova_f(&rows, noise),
            ),
            (
                squared_t(effects.iter().map(|e| e.interaction).collect()),
                anova_f(&rows, interaction),
            ),
        ] {
            assert!(
                (found / expected - 1.0).abs() < 1e-12,
                "t² = {found}, F = {expected}"
            );
        }
    }

    #[test]
    fn simple_effects_add_up() {
        let e = TwoByTwo {
            y00: 1.0,
            y01: 4.0,
            y10: 2.0,
            y11: 16.0,
        }
        .effects();
        assert_eq!((e.skip_without_noise, e.skip_with_noise), (1.0, 12.0));
        assert_eq!((e.noise_without_skip, e.noise_with_skip), (3.0, 14.0));
        assert_eq!((e.skip, e.noise, e.interaction), (6.5, 8.5, 11.0));
        assert_eq!(e.noise_with_skip - e.noise_without_skip, e.interaction);
    }
}
