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

    /// Writes a row for each record of a chunk.
    #[inline]
    fn rows<T>(&mut self, chunk: &Chunk<T>, row: &impl WriteRow<T>) -> Result<()> {
        if self.writer.is_timestamped() != chunk.is_timed() {
            self.emit();
            self.writer.reset(chunk.is_timed(), self.is_keyed);
        }
        if chunk.is_timed() {
            for (value, at) in chunk.values().iter().zip(chunk.times()) {
                let start = self.writer.begin_timed_row(*at);
                row.write(value, &mut self.writer).map_err(|error| self.label.error(error))?;
                self.end(start)?;
            }
        } else {
            for value in chunk.values() {
                let start = self.writer.begin_plain_row();
                row.write(value, &mut self.writer).map_err(|error| self.label.error(error))?;
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

/// How records become rows. A trait and no closure: what several loops call for each record has to say that it is to be
/// inlined into each.
pub(crate) trait WriteRow<T>: 'static {
    /// Writes what stands behind the timestamp.
    fn write(&self, value: &T, writer: &mut BatchWriter) -> Result<()>;
}

/// Writes records in a format, without keys.
struct Formatted<E>(PhantomData<fn(E)>);

impl<T, E: Encode<T> + 'static> WriteRow<T> for Formatted<E> {
    #[inline(always)]
    fn write(&self, value: &T, writer: &mut BatchWriter) -> Result<()> {
        E::encode(value, writer.payload())
    }
}

/// Writes records that are their own keys: they travel once.
pub(crate) struct OwnKeys;

impl<T: Data> WriteRow<T> for OwnKeys {
    #[inline(always)]
    fn write(&self, value: &T, writer: &mut BatchWriter) -> Result<()> {
        writer.key(|out| value.encode(out));
        Ok(())
    }
}

/// Writes records behind the keys that a function takes from them.
pub(crate) struct SelectKeys<F>(pub F);

impl<T: Data, K: Data, F: Fn(&T) -> K + 'static> WriteRow<T> for SelectKeys<F> {
    #[inline(always)]
    fn write(&self, value: &T, writer: &mut BatchWriter) -> Result<()> {
        writer.key(|out| (self.0)(value).encode(out));
        value.encode(writer.payload());
        Ok(())
    }
}

/// Writes records as rows of a port.
struct Rows<W> {
    port: PortHandle,
    row: Rc<W>,
}

impl<T, W: WriteRow<T>> Receiver<T> for Rows<W> {
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

impl<W> Rows<W> {
    #[inline(never)]
    fn write<T>(&self, chunk: &Chunk<T>) -> Result<()>
    where
        W: WriteRow<T>,
    {
        let port = &mut *self.port.borrow_mut();
        // What takes keys from records is the application's.
        port.label.enter();
        port.rows(chunk, &*self.row)
    }
}

fn port<T: 'static>(row: impl WriteRow<T>) -> PortFactory<T> {
    let row = Rc::new(row);
    Rc::new(move |port| Box::new(Rows { port, row: Rc::clone(&row) }))
}

/// The factory of a port of this format.
pub(crate) fn plain_port<T: 'static, E: Encode<T> + 'static>() -> PortFactory<T> {
    port(Formatted::<E>(PhantomData))
}

/// The factory of a port whose records carry keys.
pub(crate) fn keyed_port<T: Data>(row: impl WriteRow<T>) -> PortFactory<T> {
    port(row)
}
