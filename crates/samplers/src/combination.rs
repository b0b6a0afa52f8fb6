//! Linear combinations of states that are worked out when somebody needs their numbers.

use std::borrow::Cow;
use std::rc::Rc;

use noise_schedule::Kernel;

use crate::{Batch, Coordinates, Denoiser, NoiseSource, VectorSpace};

/// A state Σ a_i x_i that is not worked out: a sum of such states sums coefficients, and costs no pass over memory.
///
/// What a fixed-step sampler does to its state is linear, so a whole step comes down to one sum,
/// which [`state`](Combination::state) or [`into_state`](Combination::into_state) makes; what is not linear makes it before.
/// Terms of one array are merged, whoever shares it. A term of weight 0 is left out, whatever its array holds.
///
/// ```
/// use ndarray::array;
/// use samplers::{Combination, VectorSpace};
/// let [x, y] = [array![1.0, 2.0], array![3.0, 6.0]].map(Combination::from);
/// let mean = VectorSpace::axpby(0.5, &x, 0.5, &y);
/// let back = VectorSpace::axpby(2.0, &mean, -1.0, &y);
/// assert_eq!(mean.into_state(), array![2.0, 4.0]);
/// assert_eq!(back.into_state(), array![1.0, 2.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Combination<X> {
    /// At least one, which tells the shape; no two of one array.
    terms: Vec<(f64, Rc<X>)>,
}

/// Terms that a combination has at most: one with more is worked out, so that no sampler hoards arrays.
///
/// A multistep method needs two for each value that it remembers, the answer and the state that it is for.
const MOST: usize = 16;

impl<X> From<X> for Combination<X> {
    fn from(x: X) -> Combination<X> {
        Combination::shared(Rc::new(x))
    }
}

impl<X> Combination<X> {
    /// A state that others may hold too.
    pub(crate) fn shared(x: Rc<X>) -> Combination<X> {
        Combination {
            terms: vec![(1.0, x)],
        }
    }

    /// Any state of the same shape.
    fn like(&self) -> &X {
        &self.terms[0].1
    }

    /// The state, where it is there as it is.
    fn whole(&self) -> Option<&Rc<X>> {
        match &self.terms[..] {
            [(1.0, x)] => Some(x),
            _ => None,
        }
    }

    fn borrowed(&self) -> Vec<(f64, &X)> {
        self.terms.iter().map(|(a, x)| (*a, &**x)).collect()
    }
}

impl<X: VectorSpace> Combination<X> {
    /// The state: nothing is done for a single one of weight 1.
    ///
    /// # Panics
    /// If the terms differ in shape.
    pub fn state(&self) -> Cow<'_, X> {
        match self.whole() {
            Some(x) => Cow::Borrowed(x),
            None => Cow::Owned(X::combine(&self.borrowed())),
        }
    }

    /// The state, in the memory of a term that nobody else holds, if there is one.
    ///
    /// # Panics
    /// If the terms differ in shape.
    pub fn into_state(mut self) -> X {
        if self.whole().is_some() {
            let (_, x) = self.terms.remove(0);
            return Rc::unwrap_or_clone(x);
        }
        for index in 0..self.terms.len() {
            let (a, x) = self.terms.remove(index);
            match Rc::try_unwrap(x) {
                Ok(x) => return X::combine_in(a, x, &self.borrowed()),
                Err(x) => self.terms.insert(index, (a, x)),
            }
        }
        X::combine(&self.borrowed())
    }

    /// The same as a single term of weight 1.
    pub(crate) fn settled(self) -> Combination<X> {
        match self.whole() {
            Some(_) => self,
            None => Combination::from(self.into_state()),
        }
    }
}

impl<X: VectorSpace> VectorSpace for Combination<X> {
    fn axpby(a: f64, x: &Self, b: f64, y: &Self) -> Self {
        Self::combine(&[(a, x), (b, y)])
    }

    fn combine(terms: &[(f64, &Self)]) -> Self {
        let mut sum: Vec<(f64, Rc<X>)> = Vec::new();
        for (weight, part) in terms.iter().filter(|(weight, _)| *weight != 0.0) {
            for (a, x) in &part.terms {
                match sum.iter_mut().find(|(_, known)| Rc::ptr_eq(known, x)) {
                    Some((known, _)) => *known += weight * a,
                    None => sum.push((weight * a, Rc::clone(x))),
                }
            }
        }
        sum.retain(|(a, _)| *a != 0.0);
        if sum.is_empty() {
            let (_, first) = terms.first().expect("combine: at least one term");
            sum.push((0.0, Rc::clone(&first.terms[0].1)));
        }
        let sum = Combination { terms: sum };
        if MOST < sum.terms.len() {
            return sum.settled();
        }
        sum
    }
}

impl<X: Batch> Batch for Combination<X> {
    fn split(&self) -> Vec<Self> {
        let samples = self.state().split();
        samples.into_iter().map(Combination::from).collect()
    }

    fn stack(parts: &[Self]) -> Self {
        let parts: Vec<X> = parts.iter().map(|part| part.state().into_owned()).collect();
        X::stack(&parts).into()
    }
}

impl<X: Coordinates> Coordinates for Combination<X> {
    fn values(&self) -> Vec<f64> {
        self.state().values()
    }

    fn with_values(&self, values: Vec<f64>) -> Self {
        self.like().with_values(values).into()
    }

    fn apply(&self, f: impl Fn(f64) -> f64) -> Self {
        self.state().apply(f).into()
    }

    fn is_single(&self) -> bool {
        self.like().is_single()
    }

    fn inner(&self, other: &Self) -> f64 {
        self.state().inner(&other.state())
    }
}

/// A denoiser or a noise source of states, for a stepper over combinations of them: states are worked out for it.
#[derive(Debug)]
pub struct Lifted<'a, T: ?Sized>(pub &'a mut T);

impl<X: VectorSpace, D: Denoiser<X> + ?Sized> Denoiser<Combination<X>> for Lifted<'_, D> {
    fn denoise(&mut self, x: &Combination<X>, at: Kernel) -> Combination<X> {
        self.0.denoise(&x.state(), at).into()
    }
}

impl<X, N: NoiseSource<X> + ?Sized> NoiseSource<Combination<X>> for Lifted<'_, N> {
    fn between(&mut self, like: &Combination<X>, from: Kernel, to: Kernel) -> Combination<X> {
        self.0.between(like.like(), from, to).into()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    type State = Combination<Array1<f64>>;

    #[test]
    fn terms_of_one_array_are_merged_and_those_that_cancel_are_dropped() {
        let x = State::from(array![1.0, 2.0]);
        let y = State::from(array![5.0, -3.0]);
        let sum = State::combine(&[(2.0, &x), (1.0, &y), (0.5, &x)]);
        let weights: Vec<f64> = sum.terms.iter().map(|(a, _)| *a).collect();
        assert_eq!(weights, [2.5, 1.0]);
        let rest = State::axpby(1.0, &sum, -1.0, &y);
        assert_eq!((rest.terms.len(), rest.terms[0].0), (1, 2.5));
        assert_eq!(Rc::strong_count(&y.terms[0].1), 2, "y and sum hold it");
        // What is left of nothing still has a shape.
        let nothing = State::axpby(1.0, &sum, -1.0, &sum);
        assert_eq!(nothing.into_state(), array![0.0, 0.0]);
    }

    #[test]
    fn a_term_without_weight_counts_for_nothing() {
        let x = State::from(array![1.0, 2.0]);
        let endless = State::axpby(f64::INFINITY, &x, 0.0, &x);
        let wrong = State::from(array![f64::NAN, f64::INFINITY]);
        let sum = State::combine(&[(0.0, &endless), (0.0, &wrong), (3.0, &x)]);
        assert_eq!(sum.into_state(), array![3.0, 6.0]);
        // With weight they count, as they do in an array.
        let sum = State::axpby(1.0, &x, 1.0, &endless).into_state();
        assert!(sum.iter().all(|value| *value == f64::INFINITY));
        let sum = State::axpby(1.0, &endless, -1.0, &endless).into_state();
        assert!(sum.iter().all(|value| value.is_nan()));
    }

    #[test]
    fn a_state_is_made_where_nobody_needs_what_is_there() {
        let (x, y) = (
            State::from(array![1.0, 2.0]),
            State::from(array![5.0, -3.0]),
        );
        let place = y.state().as_ptr();
        let sum = State::axpby(1.0, &x, 1.0, &y);
        drop(y);
        let sum = sum.into_state();
        assert_eq!((sum.as_ptr(), sum), (place, array![6.0, -1.0]));
        let place = x.state().as_ptr();
        let shared = State::axpby(2.0, &x, 0.0, &x);
        assert!(shared.into_state().as_ptr() != place);
        assert_eq!(*x.state(), array![1.0, 2.0]);
        assert_eq!(x.settled().into_state().as_ptr(), place);
    }

    #[test]
    fn arrays_are_not_hoarded() {
        let mut sum = State::from(array![1.0]);
        for count in 1..100 {
            sum = State::axpby(1.0, &sum, 1.0, &array![1.0].into());
            assert!(sum.terms.len() <= MOST);
            assert_eq!(*sum.state(), array![f64::from(count) + 1.0]);
        }
    }
}
