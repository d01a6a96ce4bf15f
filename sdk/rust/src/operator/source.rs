//! Sources written in the guest.

use std::rc::Rc;

use crate::collector::Collector;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::runtime::instance::{PollStatus, Polled};

/// How a source goes on after a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStatus {
    /// There is more to read at once.
    More,
    /// There is nothing for so many milliseconds.
    Idle {
        /// When to poll again, in milliseconds from now.
        wait_ms: u32,
    },
    /// The split is read to its end.
    Finished,
}

/// A source of records, read in splits: parts that are read one independently of the other.
///
/// The source itself does not change: where to go on reading is the offset, which the host keeps.
///
/// ```
/// use millrace::prelude::*;
///
/// /// The numbers from 0 to `count`, in as many splits as there are subtasks.
/// struct Numbers { count: u64 }
///
/// impl Source for Numbers {
///     type Record = u64;
///     type Split = (u64, u64);
///     type Offset = u64;
///
///     fn splits(&self, parallelism: u32) -> Result<Vec<(u64, u64)>> {
///         let parts = u64::from(parallelism);
///         Ok((0..parts).map(|i| (self.count * i / parts, self.count * (i + 1) / parts)).collect())
///     }
///
///     fn poll(
///         &self, split: &(u64, u64), offset: Option<u64>, out: &mut SourceOutput<u64>,
///     ) -> Result<(u64, SourceStatus)> {
///         let mut next = offset.unwrap_or(split.0);
///         while next < split.1 && !out.is_full() {
///             out.collect(next);
///             next += 1;
///         }
///         Ok((next, if next < split.1 { SourceStatus::More } else { SourceStatus::Finished }))
///     }
/// }
/// ```
pub trait Source: 'static {
    /// What it emits.
    type Record: Data;
    /// What says which part to read.
    type Split: Data;
    /// What says where to go on reading a split.
    type Offset: Data;

    /// The parts to read, for a source of that parallelism. Runs without any I/O, as the builder does.
    fn splits(&self, parallelism: u32) -> Result<Vec<Self::Split>>;

    /// Reads a part of a split, from its beginning or from the offset that the last poll returned, until
    /// `out.is_full()`. Returns where to go on.
    fn poll(
        &self,
        split: &Self::Split,
        offset: Option<Self::Offset>,
        out: &mut SourceOutput<Self::Record>,
    ) -> Result<(Self::Offset, SourceStatus)>;
}

/// Takes the records of a source.
pub struct SourceOutput<T> {
    collector: Collector<T>,
    host: Rc<dyn Host>,
    bytes: usize,
    bytes_max: usize,
}

impl<T: Data> SourceOutput<T> {
    /// Emits a record without a timestamp.
    #[inline]
    pub fn collect(&mut self, value: T) {
        self.bytes += size_of::<T>().max(1);
        self.collector.collect(value);
    }

    /// Emits a record with a timestamp, in milliseconds since 1970.
    #[inline]
    pub fn collect_at(&mut self, value: T, timestamp_ms: i64) {
        self.bytes += size_of::<T>().max(1);
        self.collector.collect_at(value, timestamp_ms);
    }

    /// Counts what emitted records keep on the heap, besides their own size: the text of strings, for example.
    #[inline]
    pub fn add_heap_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.host.now_ms()
    }

    /// Whether enough was emitted for one poll.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }
}

/// A source, whatever its types are.
pub(crate) trait ErasedSource {
    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<u8>>>;
}

/// A source in an instance.
pub(crate) trait PollSource {
    fn poll(&mut self, split: &[u8], offset: &[u8], bytes_max: u32) -> Result<Polled>;
}

impl<S: Source> ErasedSource for S {
    fn splits(&self, parallelism: u32) -> Result<Vec<Vec<u8>>> {
        Ok(Source::splits(self, parallelism)?.iter().map(Data::to_bytes).collect())
    }
}

/// A source with its output.
pub(crate) struct SourceReader<S: Source> {
    pub source: Rc<S>,
    pub output: SourceOutput<S::Record>,
}

impl<S: Source> SourceReader<S> {
    pub fn new(source: Rc<S>, collector: Collector<S::Record>, host: Rc<dyn Host>) -> Self {
        Self { source, output: SourceOutput { collector, host, bytes: 0, bytes_max: 0 } }
    }
}

impl<S: Source> PollSource for SourceReader<S> {
    fn poll(&mut self, split: &[u8], offset: &[u8], bytes_max: u32) -> Result<Polled> {
        let label = self.output.collector.label().clone();
        label.enter();
        let wrong = |what: &str| {
            let label = label.clone();
            let what = what.to_owned();
            move |error| label.error(Error::from(error).context(what))
        };
        let split = S::Split::from_bytes(split).map_err(wrong("its split"))?;
        // An empty offset is the beginning, so a real one begins with a byte of its own.
        let offset = match offset.split_first() {
            None => None,
            Some((_, bytes)) => Some(S::Offset::from_bytes(bytes).map_err(wrong("its offset"))?),
        };
        self.output.bytes = 0;
        self.output.bytes_max = bytes_max as usize;
        let result = self.source.poll(&split, offset, &mut self.output);
        self.output.collector.check()?;
        let (offset, status) = result.map_err(|error| label.error(error))?;
        let mut offset_bytes = vec![1];
        offset.encode(&mut offset_bytes);
        let status = match status {
            SourceStatus::More => PollStatus::More,
            SourceStatus::Idle { wait_ms } => PollStatus::Idle { wait_ms },
            SourceStatus::Finished => PollStatus::Finished,
        };
        Ok(Polled { offset: offset_bytes, status })
    }
}
