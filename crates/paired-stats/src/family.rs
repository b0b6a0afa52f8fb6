//! What a declared family, and the looks at it, leave to each of its contrasts.

use crate::error::Error;
use crate::evidence::{Direction, Expectation};
use crate::interval::t_test;
use crate::moments::check_open_unit;
use crate::multiplicity::{ascending, holm};
use crate::sequential::Look;
use crate::sign_flip::SignFlip;

/// One registered contrast of a family.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// What was registered.
    pub expectation: Expectation,
    /// The contrast of each complete seed block, as in [`Evidence`](crate::Evidence).
    pub values: &'a [f64],
    /// The sign-flip test of these values; `None` where there are none.
    pub flip: Option<SignFlip>,
}

/// What the family leaves to one member; both go into its [`Evidence`](crate::Evidence).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// p that the contrast is zero, adjusted by Holm over the members that expect a direction (and
    /// repeated over the looks); 1 without seeds. A member that expects equality has 1 and is not
    /// asked for it.
    pub adjusted_p: f64,
    /// Confidence of the interval that decides, at least 1 − alpha.
    pub confidence: f64,
}

/// Shares `alpha` among the registered contrasts of a study, so that all of its verdicts together
/// are wrong at most that often.
///
/// Two things decide a verdict, and both are shared by Holm's step-down procedure:
///
/// - p that the contrast is zero, by sign flips;
/// - the interval against ±delta. Its level is the step of Holm's procedure at which the contrast
///   stands when all are ordered by the t test of their nearer bound: alpha/m for the clearest of
///   m, alpha/(m − 1) for the next, …, and for all that follow the first that is not clear, its
///   step. At 95 % for each instead, three effects that are just delta would be SUPPORTED in 7 %
///   of studies, and six in 14 %.
///
/// At a planned look each p is repeated ([`Look::repeated_p`]) and each interval taken at the
/// nominal level of the look. There the sign-flip and the t test must both reject; where no number
/// of flips could (8 seeds cannot give p < 0.0078), the t test stands alone.
///
/// # Errors
///
/// A value that is not finite, or an alpha outside (0, 1).
///
/// ```
/// use paired_stats::{Direction, Expectation, Member, share, sign_flip};
///
/// let strong = [1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.0, 1.1];
/// let weak = [0.3, -0.2, 0.1, -0.4, 0.2, 0.0, -0.1, 0.1];
/// let expectation = Expectation { direction: Direction::Higher, delta: 0.1 };
/// let member = |values| -> Result<_, paired_stats::Error> {
///     Ok(Member { expectation, values, flip: Some(sign_flip(values)?) })
/// };
/// let shares = share(&[member(&weak)?, member(&strong)?], 0.05, None)?;
/// assert_eq!(shares[1].adjusted_p, 2.0 / 128.0);
/// assert_eq!((shares[0].confidence, shares[1].confidence), (0.95, 0.975));
/// # Ok::<(), paired_stats::Error>(())
/// ```
pub fn share(
    members: &[Member<'_>],
    alpha: f64,
    look: Option<Look<'_>>,
) -> Result<Vec<Share>, Error> {
    check_open_unit("alpha", alpha)?;
    let directed: Vec<usize> = (0..members.len())
        .filter(|&i| members[i].expectation.direction != Direction::Equal)
        .collect();
    let first_step = alpha / directed.len().max(1) as f64;
    let flips: Vec<f64> = directed
        .iter()
        .map(|&i| p_of_zero(&members[i], first_step, look))
        .collect::<Result<_, _>>()?;
    let mut adjusted = vec![1.0; members.len()];
    for (&i, p) in directed.iter().zip(holm(&flips)) {
        adjusted[i] = p;
    }
    let bounds: Vec<f64> = members
        .iter()
        .map(|member| p_of_nearer_bound(member, look))
        .collect::<Result<_, _>>()?;
    let steps = steps(&bounds, alpha);
    adjusted
        .into_iter()
        .zip(steps)
        .map(|(adjusted_p, step)| {
            let level = look.map_or(Ok(step), |look| look.level(step))?;
            Ok(Share {
                adjusted_p,
                confidence: 1.0 - level,
            })
        })
        .collect()
}

/// p that the contrast is zero, comparable over looks; `alpha` is the least that it is held against.
fn p_of_zero(member: &Member<'_>, alpha: f64, look: Option<Look<'_>>) -> Result<f64, Error> {
    let Some(flip) = member.flip else {
        return Ok(1.0);
    };
    let Some(look) = look else {
        return Ok(flip.p);
    };
    if member.values.len() < 2 {
        return Ok(1.0);
    }
    let by_t = t_test(member.values, 0.0)?;
    let unattainable = alpha < look.repeated_p(flip.floor)?;
    look.repeated_p(if unattainable { by_t } else { by_t.max(flip.p) })
}

/// p that the contrast is the one of −delta and delta that lies nearer, comparable over looks.
fn p_of_nearer_bound(member: &Member<'_>, look: Option<Look<'_>>) -> Result<f64, Error> {
    if member.values.len() < 2 {
        return Ok(1.0);
    }
    let delta = member.expectation.delta;
    let p = t_test(member.values, delta)?.max(t_test(member.values, -delta)?);
    look.map_or(Ok(p), |look| look.repeated_p(p))
}

/// The level at which Holm's procedure tests each of these p: alpha/m for the smallest of m,
/// alpha/(m − 1) for the next, …, and no more once one has failed.
fn steps(p: &[f64], alpha: f64) -> Vec<f64> {
    let mut steps = vec![alpha; p.len()];
    let mut open = p.len();
    for i in ascending(p) {
        let step = alpha / open as f64;
        steps[i] = step;
        if p[i] <= step && 1 < open {
            open -= 1;
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequential::Looks;
    use crate::sign_flip::sign_flip;

    const HIGHER: Expectation = Expectation {
        direction: Direction::Higher,
        delta: 0.5,
    };
    const EQUAL: Expectation = Expectation {
        direction: Direction::Equal,
        delta: 0.5,
    };

    fn around(mean: f64, n: usize) -> Vec<f64> {
        let shape = [-1.2, -0.8, -0.4, -0.1, 0.1, 0.4, 0.8, 1.2];
        (0..n).map(|i| mean + shape[i % 8]).collect()
    }

    fn members<'a>(family: &'a [(Expectation, Vec<f64>)]) -> Vec<Member<'a>> {
        family
            .iter()
            .map(|(expectation, values)| Member {
                expectation: *expectation,
                values,
                flip: sign_flip(values).ok(),
            })
            .collect()
    }

    #[test]
    fn the_clearest_gets_the_smallest_level_and_the_unclear_share_the_rest() {
        let family = [
            (HIGHER, around(0.6, 8)),  // across delta
            (HIGHER, around(9.0, 8)),  // clearest
            (HIGHER, around(-0.4, 8)), // across −delta
            (EQUAL, around(7.0, 8)),
        ];
        let shares = share(&members(&family), 0.06, None).unwrap();
        let levels: Vec<f64> = shares.iter().map(|s| 1.0 - s.confidence).collect();
        for (found, expected) in levels.iter().zip([0.03, 0.015, 0.03, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{levels:?}");
        }
        // Holm over the three that expect a direction.
        let flips: Vec<f64> = family[..3]
            .iter()
            .map(|(_, v)| sign_flip(v).unwrap().p)
            .collect();
        let adjusted: Vec<f64> = shares[..3].iter().map(|s| s.adjusted_p).collect();
        assert_eq!(adjusted, holm(&flips));
        assert_eq!(shares[3].adjusted_p, 1.0);
    }

    #[test]
    fn one_contrast_alone_keeps_everything() {
        let family = [(HIGHER, around(0.6, 8))];
        let shares = share(&members(&family), 0.05, None).unwrap();
        assert_eq!(shares[0].confidence, 0.95);
        assert_eq!(shares[0].adjusted_p, sign_flip(&family[0].1).unwrap().p);
    }

    #[test]
    fn members_without_seeds_wait_at_the_end() {
        let family = [
            (HIGHER, vec![]),
            (HIGHER, around(9.0, 8)),
            (EQUAL, vec![1.0]),
        ];
        let shares = share(&members(&family), 0.06, None).unwrap();
        assert_eq!(shares[0].adjusted_p, 1.0);
        assert!((shares[1].confidence - 0.98).abs() < 1e-12);
        assert!((shares[0].confidence - 0.97).abs() < 1e-12);
        assert!(share(&[], 0.05, None).unwrap().is_empty());
    }

    #[test]
    fn the_first_look_stands_on_t_alone_and_later_ones_on_both() {
        let looks = Looks::wang_tsiatis(&[8, 16, 30], 0.125).unwrap();
        let family = [(HIGHER, around(2.0, 8))];
        let first = share(&members(&family), 0.05, Some(looks.look(0))).unwrap()[0];
        let t = t_test(&family[0].1, 0.0).unwrap();
        assert!(t < 1e-3);
        assert_eq!(first.adjusted_p, looks.look(0).repeated_p(t).unwrap());
        let level = looks.look(0).level(0.05).unwrap();
        assert!((first.confidence - (1.0 - level)).abs() < 1e-12);

        // At 16 seeds one outlier leaves t unclear, and flips clear.
        let mut outlier = around(2.0, 16);
        outlier[3] = 60.0;
        let later = [(HIGHER, outlier)];
        let t = t_test(&later[0].1, 0.0).unwrap();
        assert!(sign_flip(&later[0].1).unwrap().p < t);
        let second = share(&members(&later), 0.05, Some(looks.look(1))).unwrap()[0];
        assert_eq!(second.adjusted_p, looks.look(1).repeated_p(t).unwrap());
    }
}
