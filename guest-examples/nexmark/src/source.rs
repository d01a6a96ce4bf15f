//! A source of generated records: as many as can be taken, or so many a second.
//!
//! Invariant: at parallelism p subtask s generates the records s, s + p, s + 2p and so on, so event time advances in all
//! subtasks together, and all of them generate the same records whatever p is.

use millrace::prelude::*;

/// How long a subtask waits that is ahead of its rate.
const WAIT_MS: u32 = 1;

/// Makes records.
pub trait Generate: 'static {
    /// What it makes.
    type Record: Data;

    /// The record of an index, and what it keeps on the heap, in bytes.
    fn record(&self, index: u64) -> (Self::Record, usize);
}

/// A source of what `generate` makes.
pub struct Generated<G> {
    /// Makes the records.
    pub generate: G,
    /// How many there are; `None`: no end.
    pub records: Option<u64>,
    /// How many there are in a second, in all subtasks together; `None`: as many as can be taken. With a rate, a
    /// record's timestamp is the moment at which it was due.
    pub rate: Option<u64>,
}

/// Where a subtask is.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Position {
    /// The next record.
    next: u64,
    /// When it began, in milliseconds since 1970; only with a rate.
    began_ms: i64,
}

impl<G: Generate> Source for Generated<G> {
    type Record = G::Record;
    /// The subtask and the parallelism.
    type Split = (u32, u32);
    type Offset = Position;

    fn splits(&self, parallelism: u32) -> Result<Vec<(u32, u32)>> {
        Ok((0..parallelism).map(|subtask| (subtask, parallelism)).collect())
    }

    fn poll(
        &self,
        (subtask, parallelism): &(u32, u32),
        offset: Option<Position>,
        out: &mut SourceOutput<G::Record>,
    ) -> Result<(Position, SourceStatus)> {
        let end = self.records.unwrap_or(u64::MAX);
        let step = u64::from(*parallelism);
        match self.rate {
            None => {
                let mut next = offset.map_or(u64::from(*subtask), |position| position.next);
                while next < end && !out.is_full() {
                    let (record, heap_bytes) = self.generate.record(next);
                    out.add_heap_bytes(heap_bytes);
                    out.collect(record);
                    next += step;
                }
                let status = if next < end { SourceStatus::More } else { SourceStatus::Finished };
                Ok((Position { next, began_ms: 0 }, status))
            }
            Some(rate) => {
                let now_ms = out.processing_time();
                let first = || Position { next: u64::from(*subtask), began_ms: now_ms };
                let Position { mut next, began_ms } = offset.unwrap_or_else(first);
                let due_ms = |index: u64| began_ms + (u128::from(index) * 1000 / u128::from(rate)) as i64;
                while next < end && due_ms(next) <= now_ms && !out.is_full() {
                    let (record, heap_bytes) = self.generate.record(next);
                    out.add_heap_bytes(heap_bytes);
                    out.collect_at(record, due_ms(next));
                    next += step;
                }
                let status = match () {
                    () if next >= end => SourceStatus::Finished,
                    () if due_ms(next) <= now_ms => SourceStatus::More,
                    () => SourceStatus::Idle { wait_ms: WAIT_MS },
                };
                Ok((Position { next, began_ms }, status))
            }
        }
    }
}
