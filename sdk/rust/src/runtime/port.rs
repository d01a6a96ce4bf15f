//! The way out of a segment: rows are written into a batch, which goes to the host when it is full and at the end of
//! every call.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::current::Label;
use super::receiver::{BoxReceiver, Receiver};
use crate::batch::BatchWriter;
use crate::chunk::Chunk;
use crate::data::Data;
use crate::error::Result;
use crate::format::Encode;
use crate::host::Host;

/// The buffer of one port.
pub(crate) struct PortBuffer {
    pub host: Rc<dyn Host>,
    pub label: Label,
    pub port: u32,
    pub writer: BatchWriter,
    pub is_keyed: bool,
    pub batch_bytes: usize,
    pub record_bytes_max: usize,
}

pub(crate) type PortHandle = Rc<RefCell<PortBuffer>>;

/// Makes the receiver that writes to a port.
pub(crate) type PortFactory<T> = Rc<dyn Fn(PortHandle) -> BoxReceiver<T>>;

impl PortBuffer {
    /// Hands over what is there.
    pub fn emit(&mut self) {
        if !self.writer.is_empty() {
            let batch = self.writer.finish();
            self.host.emit(self.label.node, self.port, batch);
            self.writer.clear();
        }
    }

    /// Writes a row for each record of a chunk. `write` writes what is behind the timestamp.
    #[inline]
    fn rows<T>(&mut self, chunk: &Chunk<T>, mut write: impl FnMut(&T, &mut BatchWriter) -> Result<()>) -> Result<()> {
        if self.writer.is_timestamped() != chunk.is_timed() {
            self.emit();
            self.writer.reset(chunk.is_timed(), self.is_keyed);
        }
        if chunk.is_timed() {
            for (value, at) in chunk.values().iter().zip(chunk.times()) {
                let start = self.writer.begin_timed_row(*at);
                write(value, &mut self.writer).map_err(|error| self.label.error(error))?;
                self.end(start)?;
            }
        } else {
            for value in chunk.values() {
                let start = self.writer.begin_plain_row();
                write(value, &mut self.writer).map_err(|error| self.label.error(error))?;
                self.end(start)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn end(&mut self, start: usize) -> Result<()> {
        let row_bytes = self.writer.payload().len() - start;
        if row_bytes >= self.batch_bytes {
            return self.end_large(start, row_bytes);
        }
        self.writer.end_row();
        if self.writer.size_bytes() >= self.batch_bytes {
            self.emit();
        }
        Ok(())
    }

    /// A row that is larger than a batch travels alone.
    #[cold]
    fn end_large(&mut self, start: usize, row_bytes: usize) -> Result<()> {
        if row_bytes > self.record_bytes_max {
            return Err(self.label.error(format_args!(
                "a record of {row_bytes} bytes is longer than the limit of {} bytes",
                self.record_bytes_max
            )));
        }
        let row = self.writer.cut_row(start);
        self.emit();
        self.writer.paste_row(&row);
        self.emit();
        Ok(())
    }
}

/// Writes records without keys.
struct Plain<T, E> {
    port: PortHandle,
    types: PhantomData<fn(T, E)>,
}

impl<T, E: Encode<T>> Receiver<T> for Plain<T, E> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.write(chunk)?;
        chunk.clear();
        Ok(())
    }

    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()>
    where
        T: Clone,
    {
        self.write(chunk)
    }
}

impl<T, E: Encode<T>> Plain<T, E> {
    fn write(&self, chunk: &Chunk<T>) -> Result<()> {
        self.port.borrow_mut().rows(chunk, |value, writer| E::encode(value, writer.payload()))
    }
}

/// The factory of a port of this format.
pub(crate) fn plain_port<T: 'static, E: Encode<T>>() -> PortFactory<T> {
    Rc::new(|port| Box::new(Plain::<T, E> { port, types: PhantomData }))
}

/// Writes records with their keys.
struct Keyed<F> {
    port: PortHandle,
    write: Rc<F>,
}

impl<T: Data, F: Fn(&T, &mut BatchWriter)> Receiver<T> for Keyed<F> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.push_shared(chunk)?;
        chunk.clear();
        Ok(())
    }

    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()> {
        let port = &mut *self.port.borrow_mut();
        port.label.enter();
        port.rows(chunk, |value, writer| {
            (self.write)(value, writer);
            Ok(())
        })
    }
}

/// The factory of a port whose records carry keys. `write` writes a record's key and payload.
pub(crate) fn keyed_port<T: Data>(write: impl Fn(&T, &mut BatchWriter) + 'static) -> PortFactory<T> {
    let write = Rc::new(write);
    Rc::new(move |port| Box::new(Keyed { port, write: Rc::clone(&write) }))
}
