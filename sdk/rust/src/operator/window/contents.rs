//! What a window keeps of its records.

use std::marker::PhantomData;

use crate::data::Data;
use crate::operator::aggregate::AggregateFunction;

/// What a window keeps of its records.
pub(crate) trait Contents<T>: 'static {
    /// What is kept; none if the window has no records.
    type Kept: Data;

    /// Takes in a record.
    fn add(&self, kept: &mut Option<Self::Kept>, value: T);

    /// What both windows, or panes, have.
    fn merge(&self, one: Self::Kept, other: Self::Kept) -> Self::Kept;
}

/// The records, reduced to one.
pub(crate) struct Reduced<F>(pub F);

impl<T: Data, F: Fn(T, T) -> T + 'static> Contents<T> for Reduced<F> {
    type Kept = T;

    #[inline]
    fn add(&self, kept: &mut Option<T>, value: T) {
        *kept = Some(match kept.take() {
            Some(so_far) => (self.0)(so_far, value),
            None => value,
        });
    }

    fn merge(&self, one: T, other: T) -> T {
        (self.0)(one, other)
    }
}

/// An accumulator.
pub(crate) struct Aggregated<F>(pub std::rc::Rc<F>);

impl<T, F: AggregateFunction<T>> Contents<T> for Aggregated<F> {
    type Kept = F::Accumulator;

    #[inline]
    fn add(&self, kept: &mut Option<F::Accumulator>, value: T) {
        self.0.add(kept.get_or_insert_with(|| self.0.create()), value);
    }

    fn merge(&self, mut one: F::Accumulator, other: F::Accumulator) -> F::Accumulator {
        self.0.merge(&mut one, other);
        one
    }
}

/// All records, in the order of their arrival.
pub(crate) struct Collected;

impl<T: Data> Contents<T> for Collected {
    type Kept = Vec<T>;

    fn add(&self, kept: &mut Option<Vec<T>>, value: T) {
        kept.get_or_insert_default().push(value);
    }

    fn merge(&self, mut one: Vec<T>, other: Vec<T>) -> Vec<T> {
        one.extend(other);
        one
    }
}

/// A record of either of two streams: Flink's `TaggedUnion`.
#[derive(Clone, Debug)]
pub enum Either<A, B> {
    /// Of the first one.
    First(A),
    /// Of the second one.
    Second(B),
}

/// All records of two streams, apart.
pub(crate) struct CollectedApart<A, B>(pub PhantomData<fn(A, B)>);

impl<A: Data, B: Data> Contents<Either<A, B>> for CollectedApart<A, B> {
    type Kept = (Vec<A>, Vec<B>);

    fn add(&self, kept: &mut Option<(Vec<A>, Vec<B>)>, value: Either<A, B>) {
        let (first, second) = kept.get_or_insert_default();
        match value {
            Either::First(value) => first.push(value),
            Either::Second(value) => second.push(value),
        }
    }

    fn merge(&self, mut one: (Vec<A>, Vec<B>), other: (Vec<A>, Vec<B>)) -> (Vec<A>, Vec<B>) {
        one.0.extend(other.0);
        one.1.extend(other.1);
        one
    }
}
