//! Map, filter, filter map and flat map.

use std::fmt::Display;
use std::marker::PhantomData;

use crate::chunk::Chunk;
use crate::collector::Collector;
use crate::error::Result;
use crate::runtime::current::Label;
use crate::runtime::receiver::{BoxReceiver, Receiver};

pub(crate) struct Map<F, U> {
    pub function: F,
    pub label: Label,
    pub output: BoxReceiver<U>,
    /// Empty between two chunks.
    pub mapped: Chunk<U>,
}

impl<T, U, F: Fn(T) -> U> Receiver<T> for Map<F, U> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.label.enter();
        self.mapped.map_from(chunk, &self.function);
        self.output.push(&mut self.mapped)
    }

    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()>
    where
        T: Clone,
    {
        self.label.enter();
        self.mapped.filter_map_from(chunk, |value| Some((self.function)(value.clone())));
        self.output.push(&mut self.mapped)
    }
}

pub(crate) struct TryMap<F, U, E> {
    pub function: F,
    pub output: Collector<U>,
    pub error: PhantomData<fn() -> E>,
}

impl<T, U, E: Display, F: Fn(T) -> Result<U, E>> Receiver<T> for TryMap<F, U, E> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.output.each(chunk, |value, output| {
            output.collect((self.function)(value)?);
            Ok::<(), E>(())
        })
    }
}

pub(crate) struct Filter<F, T> {
    pub function: F,
    pub label: Label,
    pub output: BoxReceiver<T>,
    /// What is kept of a chunk that others read too. Empty between two chunks.
    pub kept: Chunk<T>,
}

impl<T, F: Fn(&T) -> bool> Receiver<T> for Filter<F, T> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.label.enter();
        chunk.retain(&self.function);
        if chunk.is_empty() { Ok(()) } else { self.output.push(chunk) }
    }

    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()>
    where
        T: Clone,
    {
        self.label.enter();
        self.kept.filter_map_from(chunk, |value| (self.function)(value).then(|| value.clone()));
        if self.kept.is_empty() { Ok(()) } else { self.output.push(&mut self.kept) }
    }
}

pub(crate) struct FilterMap<F, U> {
    pub function: F,
    pub label: Label,
    pub output: BoxReceiver<U>,
    /// Empty between two chunks.
    pub mapped: Chunk<U>,
}

impl<T: Clone, U, F: Fn(&T) -> Option<U>> Receiver<T> for FilterMap<F, U> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.push_shared(chunk)?;
        chunk.clear();
        Ok(())
    }

    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()> {
        self.label.enter();
        self.mapped.filter_map_from(chunk, &self.function);
        if self.mapped.is_empty() { Ok(()) } else { self.output.push(&mut self.mapped) }
    }
}

pub(crate) struct FlatMap<F, U> {
    pub function: F,
    pub output: Collector<U>,
}

impl<T, U, F: Fn(T, &mut Collector<U>)> Receiver<T> for FlatMap<F, U> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.output.each(chunk, |value, output| {
            (self.function)(value, output);
            Ok::<(), String>(())
        })
    }
}

pub(crate) struct TryFlatMap<F, U, E> {
    pub function: F,
    pub output: Collector<U>,
    pub error: PhantomData<fn() -> E>,
}

impl<T, U, E: Display, F: Fn(T, &mut Collector<U>) -> Result<(), E>> Receiver<T> for TryFlatMap<F, U, E> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.output.each(chunk, |value, output| (self.function)(value, output))
    }
}

/// Passes records on as they are: an operator that only gives them another format or a key.
pub(crate) struct Identity<T> {
    pub output: BoxReceiver<T>,
}

impl<T> Receiver<T> for Identity<T> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.output.push(chunk)
    }
}
