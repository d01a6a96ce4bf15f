//! Map, filter and flat map.

use std::fmt::Display;
use std::marker::PhantomData;

use crate::collector::Collector;
use crate::error::Result;
use crate::runtime::current::Label;
use crate::runtime::receiver::{BoxReceiver, Receiver};

pub(crate) struct Map<F, U> {
    pub function: F,
    pub label: Label,
    pub output: BoxReceiver<U>,
}

impl<T, U, F: Fn(T) -> U> Receiver<T> for Map<F, U> {
    #[inline]
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        self.label.enter();
        let mapped = (self.function)(value);
        self.output.push(mapped, at)
    }
}

pub(crate) struct TryMap<F, U, E> {
    pub function: F,
    pub label: Label,
    pub output: BoxReceiver<U>,
    pub error: PhantomData<fn() -> E>,
}

impl<T, U, E: Display, F: Fn(T) -> Result<U, E>> Receiver<T> for TryMap<F, U, E> {
    #[inline]
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        self.label.enter();
        match (self.function)(value) {
            Ok(mapped) => self.output.push(mapped, at),
            Err(error) => Err(self.label.error(error)),
        }
    }
}

pub(crate) struct Filter<F, T> {
    pub function: F,
    pub label: Label,
    pub output: BoxReceiver<T>,
}

impl<T, F: Fn(&T) -> bool> Receiver<T> for Filter<F, T> {
    #[inline]
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        self.label.enter();
        if (self.function)(&value) { self.output.push(value, at) } else { Ok(()) }
    }
}

pub(crate) struct FlatMap<F, U> {
    pub function: F,
    pub output: Collector<U>,
}

impl<T, U, F: Fn(T, &mut Collector<U>)> Receiver<T> for FlatMap<F, U> {
    #[inline]
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        self.output.label().enter();
        self.output.at = at;
        (self.function)(value, &mut self.output);
        self.output.check()
    }
}

pub(crate) struct TryFlatMap<F, U, E> {
    pub function: F,
    pub output: Collector<U>,
    pub error: PhantomData<fn() -> E>,
}

impl<T, U, E: Display, F: Fn(T, &mut Collector<U>) -> Result<(), E>> Receiver<T> for TryFlatMap<F, U, E> {
    #[inline]
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        self.output.label().enter();
        self.output.at = at;
        let result = (self.function)(value, &mut self.output);
        self.output.check()?;
        result.map_err(|error| self.output.label().error(error))
    }
}

/// Passes records on as they are: an operator that only gives them another format or a key.
pub(crate) struct Identity<T> {
    pub output: BoxReceiver<T>,
}

impl<T> Receiver<T> for Identity<T> {
    #[inline]
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        self.output.push(value, at)
    }
}
