//! What a seal gives: immutable pictures that are encoded elsewhere while the backend goes on.
//!
//! Invariant: nothing here refers to the live state in a way that later changes could be seen or held up.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use millrace_types::KeyGroupRange;

use crate::segment::{Section, SegmentError, SegmentSink, SegmentState, SegmentSummary, SegmentWriter, Stamp, TIMERS};
use crate::store::arena::Arena;
use crate::timer::TimerUpdate;

/// What all operators of a backend had at a barrier, by uid.
pub type Sealed = BTreeMap<String, SealedOperator>;

/// What an operator had at a barrier.
#[derive(Debug)]
pub struct SealedOperator {
    /// What changed since the last seal, in order; behind the segments of earlier seals they give the operator's keyed
    /// state and timers. If one is a base, it comes first, and nothing before it counts any more. None: nothing changed.
    pub segments: Vec<SealedSegment>,
    /// The fingerprints of all its states, by name.
    pub fingerprints: BTreeMap<String, String>,
    /// Its states that are not keyed, whole: [`crate::OperatorState`] encoded. `None`: it has none.
    pub operator_state: Option<Bytes>,
}

/// Entries that are to become a segment.
#[derive(Debug)]
pub(crate) enum Body {
    /// By state number and key group, in order.
    Copied(Vec<(Section, Arena)>),
}

impl Body {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Copied(sections) => sections.is_empty(),
        }
    }
}

/// A segment that is yet to be encoded. It can be sent to another thread.
#[derive(Debug)]
pub struct SealedSegment {
    pub(crate) stamp: Stamp,
    pub(crate) key_groups: KeyGroupRange,
    pub(crate) body: Body,
    /// By key group and encoded timer; whether it is set.
    pub(crate) timers: BTreeMap<(u16, Vec<u8>), bool>,
}

impl SealedSegment {
    /// Whether it is all of the operator's keyed state and timers, rather than what has changed.
    pub fn is_base(&self) -> bool {
        self.stamp.base
    }

    /// The key groups of the subtask.
    pub fn key_groups(&self) -> KeyGroupRange {
        self.key_groups
    }

    /// About how long it will be, in bytes: enough to decide whether it may stay in memory.
    pub fn estimated_bytes(&self) -> u64 {
        let timers = self.timers.keys().map(|(_, timer)| 9 + timer.len() as u64).sum::<u64>();
        timers
            + match &self.body {
                Body::Copied(sections) => sections.iter().map(|(_, arena)| arena.encoded_bytes()).sum::<u64>(),
            }
    }

    /// Encodes it into chunks. May take long: not for a task's thread.
    pub fn write(&self, sink: &mut SegmentSink<'_>) -> Result<SegmentSummary, SegmentError> {
        let mut sink = |chunk| sink(chunk);
        let mut writer = SegmentWriter::new(self.stamp.clone(), &mut sink);
        match &self.body {
            Body::Copied(sections) => {
                for (section, arena) in sections {
                    for (key, value) in arena.iter() {
                        writer.push(*section, key, value)?;
                    }
                }
            }
        }
        for ((group, timer), set) in &self.timers {
            writer.push((TIMERS, *group), timer, set.then_some(&[]))?;
        }
        writer.finish()
    }

    /// Encodes it into memory: for segments that [`Self::estimated_bytes`] says are small.
    pub fn encode(&self) -> Result<(Bytes, SegmentSummary), SegmentError> {
        let mut bytes = BytesMut::new();
        let summary = self.write(&mut |chunk| {
            bytes.extend_from_slice(&chunk);
            Ok(())
        })?;
        Ok((bytes.freeze(), summary))
    }
}

/// The timers of a segment; the later of two changes of one timer counts.
pub(crate) fn timer_rows(timers: Vec<TimerUpdate>, stamp: &Stamp) -> BTreeMap<(u16, Vec<u8>), bool> {
    let rows = timers.into_iter().map(|TimerUpdate { timer, set }| {
        let group = timer.group(stamp.max_parallelism);
        ((group.0, timer.encode()), set)
    });
    rows.filter(|(_, set)| *set || !stamp.base).collect()
}

/// The states of a segment by name, and the tables that they are in.
pub(crate) struct Layout {
    pub(crate) states: Vec<SegmentState>,
    pub(crate) tables: Vec<usize>,
}
