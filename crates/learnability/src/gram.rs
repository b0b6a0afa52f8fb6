//! Inner products of all pairs of `n` gradients: what every reading of their direction and trust is made of.

use rand::RngCore;

use crate::error::{Error, check_at_least, check_finite};
use crate::interval::{Confidence, Interval};
use crate::moments::{GradientMoments, GradientSums};
use crate::spectrum::Spectrum;
use crate::symmetric::eigenvalues;

/// Two entries of a pair differ by rounding up to this share of the largest entry.
const SYMMETRY: f64 = 1e-6;

/// Two sums that differ by less than this share of the largest attainable one are ties.
const TIE: f64 = 1e-12;

/// Patterns of signs that are tried side by side, in registers: one after the other each waits for its own sums.
const PATTERNS: usize = 8;

/// The matrix `K_ij = ⟨g_i, g_j⟩` of `n` vectors.
///
/// With the gradients of `n` micro-batches of one unit, it holds their signal and noise, the interval of their ratio,
/// the test of `E g = 0` and their conflicts. With the gradients of `n` outputs it is the empirical neural tangent
/// kernel. Either way the vectors, which are as long as the unit has parameters, are not needed any more.
///
/// Entries that are not finite are allowed, as a diverged network has them: ratios are then `None`, and `p` is 1.
///
/// ```
/// use learnability::gram::Gram;
/// let gram = Gram::of(&[&[3.0, 0.0], &[1.0, 0.0], &[2.0, 1.0]]);
/// assert_eq!(gram.moments().unwrap().signal, (3.0 + 6.0 + 2.0) / 3.0);
/// assert_eq!(gram.trace(), 9.0 + 1.0 + 5.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    n: usize,
    /// Row by row.
    products: Vec<f64>,
}

/// The outcome of [`Gram::sign_flip`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignFlip {
    /// In `[floor, 1]`.
    pub p: f64,
    /// The smallest `p` that could have come out.
    pub floor: f64,
    /// Whether all flips were listed.
    pub exact: bool,
}

impl Gram {
    /// From the inner products of all pairs, row by row.
    ///
    /// # Errors
    /// No vector, a number of products that is not `n²`, or two entries of one pair that differ by more than rounding.
    pub fn new(n: usize, products: Vec<f64>) -> Result<Self, Error> {
        check_at_least("vectors of a matrix of inner products", 1, n)?;
        if products.len() != n * n {
            return Err(Error::Length {
                what: "inner products of all pairs",
                expected: n * n,
                found: products.len(),
            });
        }
        // Of inner products it is a squared norm, on the diagonal.
        let largest = products.iter().copied().fold(0.0, f64::max);
        for row in 0..n {
            for column in 0..row {
                let difference = products[row * n + column] - products[column * n + row];
                if SYMMETRY * largest < difference.abs() {
                    return Err(Error::Asymmetric {
                        row,
                        column,
                        difference,
                    });
                }
            }
        }
        Ok(Self { n, products })
    }

    /// From the vectors.
    ///
    /// # Shapes
    /// Each vector `[d]`, with the same `d`.
    ///
    /// # Panics
    /// If there are no vectors or they differ in length.
    pub fn of(vectors: &[&[f64]]) -> Self {
        assert!(!vectors.is_empty(), "Gram::of: no vectors");
        let product = |a: &[f64], b: &[f64]| -> f64 {
            assert_eq!(a.len(), b.len(), "Gram::of: vectors differ in length");
            a.iter().zip(b).map(|(x, y)| x * y).sum()
        };
        Self {
            n: vectors.len(),
            products: vectors
                .iter()
                .flat_map(|a| vectors.iter().map(move |b| product(a, b)))
                .collect(),
        }
    }

    /// Number of vectors.
    pub fn n(&self) -> usize {
        self.n
    }

    /// `⟨g_i, g_j⟩`.
    ///
    /// # Panics
    /// If `i` or `j` is not below `n`.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        assert!(
            i < self.n && j < self.n,
            "Gram::get: ({i}, {j}) of {}",
            self.n
        );
        self.products[i * self.n + j]
    }

    /// `Σ |g_i|²`.
    ///
    /// Of a tangent kernel it is the energy `tr J Jᵀ`; times `|w|²` of the unit it does not depend on how scale is
    /// shared between layers.
    ///
    /// *Range*: `[0, ∞)`. *Invariances*: rotation of the vectors, order.
    /// *Failure mode*: a sum: it grows with `n`, and one large vector decides it. Of gradients it holds signal and noise
    /// alike.
    /// *Source*: of the tangent kernel, Jacot, Gabriel & Hongler 2018.
    pub fn trace(&self) -> f64 {
        (0..self.n).map(|i| self.get(i, i)).sum()
    }

    /// The sum of the matrices of several units: that of the unit which holds them all. A large unit outweighs small ones.
    ///
    /// # Panics
    /// If there are none or they differ in size.
    pub fn sum<'a>(grams: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut grams = grams.into_iter();
        let mut total = grams.next().expect("Gram::sum: no matrices").clone();
        for gram in grams {
            assert_eq!(total.n, gram.n, "Gram::sum: matrices differ in size");
            for (a, b) in total.products.iter_mut().zip(&gram.products) {
                *a += b;
            }
        }
        total
    }

    /// Unbiased signal and noise; `None` for a single vector. See [`GradientMoments`].
    pub fn moments(&self) -> Option<GradientMoments> {
        GradientMoments::from_sums(GradientSums {
            squared_norms: self.trace(),
            squared_norm_of_sum: self.products.iter().sum(),
            n: self.n,
        })
    }

    /// The GSNR, [`GradientMoments::gsnr`], with its jackknife interval over micro-batches.
    ///
    /// *Range*: the bounds may be any real numbers, below 0 too; `None` for fewer than 3 vectors, or if the ratio is
    /// undefined with all of them or without one.
    /// *Invariances*: those of [`GradientMoments::gsnr`].
    ///
    /// *Coverage* at nominal 95 %, 8 to 32 micro-batches, simulated: 93 to 99 % for units with many directions of
    /// noise, the excess where there is no signal.
    /// *Failure mode*: for a unit of a single parameter whose signal is small it covers only 82 to 92 %. It is about this
    /// network and these data; seeds vary more.
    /// *Source*: Tukey's jackknife; [`Interval`] says how.
    pub fn gsnr(&self, confidence: Confidence) -> Option<Interval> {
        if self.n < 3 {
            return None;
        }
        let estimate = self.moments()?.gsnr()?;
        let (squares, all) = (self.trace(), self.products.iter().sum::<f64>());
        let without: Option<Vec<f64>> = self
            .products
            .chunks(self.n)
            .enumerate()
            .map(|(i, row)| {
                let square = self.get(i, i);
                GradientMoments::from_sums(GradientSums {
                    squared_norms: squares - square,
                    squared_norm_of_sum: all - 2.0 * row.iter().sum::<f64>() + square,
                    n: self.n - 1,
                })?
                .gsnr()
            })
            .collect();
        Some(Interval::jackknife(estimate, &without?, confidence))
    }

    /// The gradient noise scale, [`GradientMoments::noise_scale`], in micro-batches, with the inverted interval of
    /// [`Self::gsnr`].
    ///
    /// *Range*: bounds in `[0, ∞]`; `None` where the GSNR is, and where no signal was found. `high` is ∞ where the interval
    /// of the GSNR reaches 0: no number of micro-batches is known to be enough.
    /// *Invariances, failure modes*: those of [`Self::gsnr`].
    /// *Source*: McCandlish et al. 2018.
    #[doc(alias = "b_simple")]
    pub fn noise_scale(&self, confidence: Confidence) -> Option<Interval> {
        let gsnr = self.gsnr(confidence)?;
        let bound = |x: f64| if 0.0 < x { x.recip() } else { f64::INFINITY };
        (0.0 < gsnr.estimate).then(|| Interval {
            estimate: bound(gsnr.estimate),
            low: bound(gsnr.high),
            high: bound(gsnr.low),
            confidence,
        })
    }

    /// The sign-flip test of `E g = 0`: does the unit hear anything?
    ///
    /// ```text
    /// T(s) = |Σ s_i g_i|² = sᵀ K s,  s ∈ {−1, 1}ⁿ        p = P(T(s) ≥ T(1)) under random s
    /// ```
    ///
    /// All `2ⁿ⁻¹` flips are listed where that are at most `flips` + 1; else `p = (1 + #hits) / (1 + flips)`.
    ///
    /// *Range*: `[floor, 1]`; `floor` is `2¹⁻ⁿ` or `1 / (1 + flips)`. A unit without any gradient has `p = 1`.
    /// *Invariances*: scale of the unit, of the loss, and any rotation of its parameters.
    /// *Failure modes*: it is exact if micro-batch gradients are symmetric around 0 under the hypothesis, else asymptotic
    /// in `n`. A `p` above a threshold does not show silence, it fails to show sound: with few micro-batches nothing is
    /// ever heard. To single out one unit of `m` at rate `q`, after [`crate::silence::audible`], `floor ≤ q/m` is needed.
    /// *Source*: Fisher 1935; the `1 +` of Phipson & Smyth 2010.
    ///
    /// ```
    /// use learnability::gram::Gram;
    /// use rand::SeedableRng;
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// let agreed = Gram::of(&[&[1.0], &[1.0], &[2.0], &[1.0], &[1.0]]);
    /// assert_eq!(agreed.sign_flip(200, &mut rng).p, 1.0 / 16.0); // of 16 patterns only the one that flips none
    /// ```
    pub fn sign_flip(&self, flips: usize, rng: &mut dyn RngCore) -> SignFlip {
        let n = self.n;
        let [observed] = self.flipped(&vec![[1.0]; n]);
        let reach: f64 = self.products.iter().map(|x| x.abs()).sum();
        let listed = u32::try_from(n - 1)
            .ok()
            .and_then(|n| 1_usize.checked_shl(n))
            .filter(|patterns| *patterns <= flips.saturating_add(1));
        let mut signs = vec![[1.0; PATTERNS]; n];
        let (tried, mut misses) = (listed.unwrap_or(flips), 0);
        for from in (0..tried).step_by(PATTERNS) {
            let some = PATTERNS.min(tried - from);
            for lane in 0..some {
                for signs in signs.chunks_mut(64) {
                    let bits = match listed {
                        // The first sign stays: to flip all is to flip none.
                        Some(_) => ((from + lane) as u64) << 1,
                        None => rng.next_u64(),
                    };
                    for (i, lanes) in signs.iter_mut().enumerate() {
                        lanes[lane] = sign(bits >> i);
                    }
                }
            }
            // Misses are counted and not hits: what is not a number is no evidence.
            let sums = self.flipped(&signs);
            let missed = sums[..some]
                .iter()
                .filter(|sum| **sum < observed - TIE * reach);
            misses += missed.count();
        }
        let of = listed.unwrap_or(1 + flips);
        SignFlip {
            p: (of - misses) as f64 / of as f64,
            floor: 1.0 / of as f64,
            exact: listed.is_some(),
        }
    }

    /// `cos(g_i, g_j)`; `None` if one of them is 0 or not finite.
    ///
    /// With one gradient for each noise level it is the conflict between levels.
    ///
    /// *Range*: `[−1, 1]`. *Invariances*: scale of each vector, rotation of all.
    /// *Failure mode*: of noisy gradients it is pulled towards 0, by a factor of about
    /// `1 / √((1 + 1/GSNR_i)(1 + 1/GSNR_j))`, so with few micro-batches there seems to be no conflict and no agreement;
    /// [`Self::disattenuated_cosine`] is not. In many dimensions unrelated vectors have `±1/√d`.
    /// *Source*: as a measure of conflict between tasks Yu et al. 2020.
    ///
    /// # Panics
    /// If `i` or `j` is not below `n`.
    pub fn cosine(&self, i: usize, j: usize) -> Option<f64> {
        // Two roots, since the product of the squares could leave the range of f64.
        let cosine = self.get(i, j) / self.get(i, i).sqrt() / self.get(j, j).sqrt();
        cosine.is_finite().then_some(cosine.clamp(-1.0, 1.0))
    }

    /// The cosine of the *expected* gradients of two groups of vectors: a conflict without the noise that hides it.
    ///
    /// Vectors `each · i … each · (i + 1) − 1` are independent estimates of one gradient, as those of so many micro-batches
    /// at noise level `i` are.
    ///
    /// ```text
    /// k_ij = mean of ⟨g_a, g_b⟩ over a of group i, b of group j, a ≠ b        E k_ij = ⟨E g_i, E g_j⟩
    /// result = k_ij / √(k_ii k_jj)
    /// ```
    ///
    /// `None` unless both `k_ii` and `k_jj` are positive: no signal was found. No vector meets itself, so what noise adds to a
    /// length, which pulls [`Self::cosine`] to 0, is not in it.
    ///
    /// *Range*: real. It leaves `[−1, 1]` by the scatter of its lengths and is not cut off, which would pull a mean over
    /// repetitions inwards; consistent as the vectors, or the micro-batches in each, grow in number. 1 for `i = j`.
    /// *Invariances*: scale of each group, rotation of all, order within a group.
    /// *Failure modes*: where a signal is about as small as the scatter of `k_ii`, it may be arbitrarily large, and what is
    /// defined is a selection of lucky draws. Two groups that share samples share their noise, which then counts as agreement:
    /// give each its own. With two vectors in a group the squared length scatters √2 times as much as with many, with
    /// four √(4/3) times.
    /// *Source*: the correction for attenuation of Spearman 1904, with products of independent estimates as the reliabilities.
    ///
    /// # Panics
    /// Unless `each` is at least 2 and divides `n`, and if `i` or `j` is not below `n / each`.
    ///
    /// ```
    /// use learnability::gram::Gram;
    /// // E g = (1, 0) and (1, 1), each seen twice with noise of its own.
    /// let gram = Gram::of(&[
    ///     &[1.0, 0.0, 3.0, 0.0, 0.0, 0.0], &[1.0, 0.0, 0.0, 3.0, 0.0, 0.0],
    ///     &[1.0, 1.0, 0.0, 0.0, 3.0, 0.0], &[1.0, 1.0, 0.0, 0.0, 0.0, 3.0],
    /// ]);
    /// assert!((gram.disattenuated_cosine(2, 0, 1).unwrap() - 0.5_f64.sqrt()).abs() < 1e-15);
    /// assert!(gram.cosine(0, 2).unwrap() < 0.1); // of one vector each
    /// ```
    pub fn disattenuated_cosine(&self, each: usize, i: usize, j: usize) -> Option<f64> {
        assert!(
            2 <= each && self.n.is_multiple_of(each),
            "Gram::disattenuated_cosine: {} vectors in groups of {each}",
            self.n
        );
        let group = |i: usize| each * i..each * (i + 1);
        let product = |i: usize, j: usize| {
            let pairs = group(i).flat_map(|a| group(j).map(move |b| (a, b)));
            let others = pairs.filter(|(a, b)| a != b);
            let (sum, count) = others.fold((0.0, 0.0), |(sum, count), (a, b)| {
                (sum + self.get(a, b), count + 1.0)
            });
            sum / count
        };
        // A negative square has no root and a zero one no reciprocal: neither is finite.
        let cosine = product(i, j) / product(i, i).sqrt() / product(j, j).sqrt();
        cosine.is_finite().then_some(cosine)
    }

    /// `mean_{i<j} cos(g_i, g_j)`: of activations, how alike a network has made its inputs.
    ///
    /// *Range*: `[−1/(n−1), 1]`; `None` for a single vector, or if any cosine is undefined.
    /// *Invariances*: scale of each vector, rotation of all, order.
    /// *Failure mode*: two clusters that oppose each other have the mean of unrelated vectors. A component that all
    /// vectors share, such as a mean activation, raises it.
    /// *Source*: the correlation of Poole et al. 2016, averaged over pairs.
    pub fn mean_cosine(&self) -> Option<f64> {
        let cosines = self.cosines()?;
        Some(cosines.iter().sum::<f64>() / cosines.len() as f64)
    }

    /// Gradient confusion `min_{i≠j} cos(g_i, g_j)`: how badly the worst two steps work against each other.
    ///
    /// *Range*: `[−1, 1]`; above 0 if no two conflict. `None` for a single vector, or if any cosine is undefined.
    /// *Invariances*: scale of each vector, rotation of all, order.
    /// *Failure mode*: a minimum over pairs, so it falls as `n` grows; compare it at equal `n`.
    /// *Source*: Sankararaman et al. 2020, there for inner products that are not normalised.
    pub fn confusion(&self) -> Option<f64> {
        self.cosines()?.into_iter().reduce(f64::min)
    }

    /// The eigenvalues, which are those of `Σ g_i g_iᵀ` but for zeros.
    ///
    /// Of a tangent kernel: its condition number and effective rank. The work grows as `n³`; a few hundred are fine.
    ///
    /// *Range*: `n` values of at least 0. *Invariances*: rotation of the vectors, order.
    /// *Failure mode*: what is below about `10⁻¹⁶` of the largest is rounding, and negative ones are set to 0; of products
    /// in single precision below `10⁻⁷`.
    ///
    /// # Errors
    /// An entry that is not finite.
    pub fn spectrum(&self) -> Result<Spectrum, Error> {
        check_finite("matrix of inner products", &self.products)?;
        let mut values = eigenvalues(&self.products, self.n);
        for value in &mut values {
            *value = value.max(0.0); // there are no negative ones but by rounding
        }
        Spectrum::new(values)
    }

    /// Of all pairs; there is at least one.
    fn cosines(&self) -> Option<Vec<f64>> {
        let pairs = (0..self.n).flat_map(|i| (0..i).map(move |j| (i, j)));
        let cosines: Option<Vec<f64>> = pairs.map(|(i, j)| self.cosine(i, j)).collect();
        cosines.filter(|cosines| !cosines.is_empty())
    }

    /// `Σ_{j<i} s_i s_j K_ij`, half of what the signs change of `sᵀ K s`, of several patterns; `signs[i]` has theirs of vector `i`.
    fn flipped<const N: usize>(&self, signs: &[[f64; N]]) -> [f64; N] {
        let mut sums = [0.0; N];
        for (i, row) in self.products.chunks(self.n).enumerate() {
            let mut before = [0.0; N];
            for (x, signs) in row[..i].iter().zip(signs) {
                for (before, sign) in before.iter_mut().zip(signs) {
                    *before += x * sign;
                }
            }
            for ((sum, sign), before) in sums.iter_mut().zip(signs[i]).zip(before) {
                *sum += sign * before;
            }
        }
        sums
    }
}

/// Fills with independent signs, −1 or 1.
pub(crate) fn rademacher(signs: &mut [f64], rng: &mut dyn RngCore) {
    for chunk in signs.chunks_mut(64) {
        let bits = rng.next_u64();
        for (i, one) in chunk.iter_mut().enumerate() {
            *one = sign(bits >> i);
        }
    }
}

/// −1 if the last bit is set, else 1.
fn sign(bits: u64) -> f64 {
    f64::from_bits(1.0_f64.to_bits() | bits << 63)
}
