//! What a seal gives: immutable pictures that are encoded elsewhere while the backend goes on.
//!
//! Invariant: nothing here refers to the live state in a way that later changes could be seen or held up.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use millrace_types::KeyGroupRange;

use crate::segment::{
    SEGMENT_CHUNK_BYTES, Section, SegmentError, SegmentFault, SegmentSink, SegmentState, SegmentSummary, SegmentWriter,
    Stamp, TIMERS,
};
use crate::store::arena::Arena;
use crate::store::buffer::{Buffer, split_place};
use crate::store::scratch::Picture;
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
pub(crate) enum Body {
    /// By state number and key group, in order.
    Copied(Vec<(Section, Arena)>),
    /// Of some tables, which the states are positions of.
    Buffered { buffer: Arc<Buffer>, tables: Vec<usize> },
    /// All of some tables, which the states are positions of; in a file of so many bytes.
    Stored { picture: Arc<Picture>, tables: Vec<usize>, bytes: u64 },
    /// Encoded already, in a file without a name.
    Written { file: File, summary: SegmentSummary },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Copied(_) => "Copied",
            Self::Buffered { .. } => "Buffered",
            Self::Stored { .. } => "Stored",
            Self::Written { .. } => "Written",
        })
    }
}

impl Body {
    /// Hands over all entries in order; timers are not among them.
    fn write(&self, writer: &mut SegmentWriter<'_>) -> Result<(), SegmentError> {
        match self {
            Self::Copied(sections) => {
                for (section, arena) in sections {
                    for (key, value) in arena.iter() {
                        writer.push(*section, key, value)?;
                    }
                }
            }
            Self::Buffered { buffer, tables } => {
                for (state, table) in (0u32..).zip(tables) {
                    for (group, key, value) in buffer.table(*table) {
                        writer.push((state, group), key, value)?;
                    }
                }
            }
            Self::Stored { picture, tables, .. } => {
                let failed = |cause: redb::StorageError| {
                    let fault =
                        SegmentFault::Io { call: "reading the scratch file", offset: 0, cause: cause.to_string() };
                    fault.of("that is being written")
                };
                for (state, table) in (0u32..).zip(tables) {
                    let [first, end] = [*table as u32, *table as u32 + 1].map(u32::to_be_bytes);
                    for entry in picture.range::<&[u8]>(&first[..]..&end[..]).map_err(failed)? {
                        let (place, value) = entry.map_err(failed)?;
                        let (group, key) = split_place(place.value());
                        writer.push((state, group), key, Some(value.value()))?;
                    }
                }
            }
            // Is copied as it is.
            Self::Written { .. } => {}
        }
        Ok(())
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
                Body::Buffered { buffer, tables } => {
                    let entries = tables.iter().flat_map(|table| buffer.table(*table));
                    entries.map(|(_, key, value)| (9 + key.len() + value.map_or(0, <[u8]>::len)) as u64).sum::<u64>()
                }
                Body::Stored { bytes, .. } => *bytes,
                Body::Written { summary, .. } => summary.bytes,
            }
    }

    /// Encodes it into chunks. May take long: not for a task's thread.
    pub fn write(&self, sink: &mut SegmentSink<'_>) -> Result<SegmentSummary, SegmentError> {
        let mut sink = |chunk| sink(chunk);
        if let Body::Written { file, summary } = &self.body {
            copy_file(file, summary.bytes, &mut sink)?;
            return Ok(*summary);
        }
        let mut writer = SegmentWriter::new(self.stamp.clone(), &mut sink);
        self.body.write(&mut writer)?;
        for ((group, timer), set) in &self.timers {
            writer.push((TIMERS, *group), timer, set.then_some(&[]))?;
        }
        writer.finish()
    }

    /// The same segment in a file without a name in a folder, rather than in memory.
    pub(crate) fn cut(self, folder: &Path) -> Result<Self, SegmentError> {
        let failed = |error| SegmentFault::io("creating a scratch file", 0, &error).of("that is being written");
        let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
        let summary = self.write(&mut |chunk| file.write_all(&chunk))?;
        Ok(Self { body: Body::Written { file, summary }, timers: BTreeMap::new(), ..self })
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

/// Hands over a file chunk by chunk.
fn copy_file(file: &File, len: u64, sink: &mut SegmentSink<'_>) -> Result<(), SegmentError> {
    let mut offset = 0;
    while offset < len {
        let count = (len - offset).min(SEGMENT_CHUNK_BYTES as u64);
        let mut chunk = vec![0; count as usize];
        let copied = file.read_exact_at(&mut chunk, offset).and_then(|()| sink(chunk.into()));
        copied.map_err(|error| SegmentFault::io("copying", offset, &error).of("that is being written"))?;
        offset += count;
    }
    Ok(())
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
