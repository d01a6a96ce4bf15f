//! What flows through the simulated job, and what its state consists of.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_types::{EventTime, KeyGroup, key_group_for_key};

/// The length of an event-time window.
pub(crate) const WINDOW_MS: EventTime = 16;

/// A record of the input. No two are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) source: u8,
    pub(crate) split: u16,
    pub(crate) sequence: u16,
}

impl Record {
    pub(crate) fn key(self, keys: u16) -> u16 {
        (self.split.wrapping_mul(5) + self.sequence) % keys
    }

    /// Splits follow each other in time.
    pub(crate) fn time(self, split_rows: u16) -> EventTime {
        EventTime::from(self.split) * EventTime::from(split_rows) + EventTime::from(self.sequence)
    }

    pub(crate) fn window(self, split_rows: u16) -> i64 {
        self.time(split_rows).div_euclid(WINDOW_MS)
    }
}

/// A row of a channel or of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// As a source reads it.
    Read(Record),
    /// The record is the `count`th of its key.
    Counted { record: Record, key: u16, count: u32 },
    /// A window of a key has ended with so many records, or with so many more that came late.
    Window { key: u16, window: i64, count: u32 },
}

impl Row {
    /// The bytes by which it is partitioned.
    pub(crate) fn key(&self, keys: u16) -> u16 {
        match self {
            Self::Read(record) => record.key(keys),
            Self::Counted { key, .. } | Self::Window { key, .. } => *key,
        }
    }
}

/// The key group of a key.
pub(crate) fn key_group(key: u16, max_parallelism: u32) -> KeyGroup {
    key_group_for_key(&key.to_be_bytes(), max_parallelism)
}

/// What an entry of keyed state is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StateKey {
    /// The number of records of a key.
    Count(u16),
    /// Which record of a split is the next one of a key.
    Next { key: u16, source: u8, split: u16 },
    /// The records of a window that has not ended.
    Window { key: u16, window: i64 },
    /// The timer at the end of a window.
    Timer { key: u16, window: i64 },
}

impl StateKey {
    pub(crate) fn key(&self) -> u16 {
        match self {
            Self::Count(key) | Self::Next { key, .. } | Self::Window { key, .. } | Self::Timer { key, .. } => *key,
        }
    }
}

/// Entries by key; `None`: it was deleted.
pub(crate) type Entries = BTreeMap<StateKey, Option<u32>>;

/// A split as the JobMaster passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) source: u8,
    pub(crate) number: u16,
}

impl Split {
    pub(crate) fn encode(self) -> Vec<u8> {
        let number = self.number.to_be_bytes();
        vec![self.source, number[0], number[1]]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), 3, "a split came back as it was listed");
        Self { source: bytes[0], number: u16::from_be_bytes([bytes[1], bytes[2]]) }
    }
}

/// Where reading goes on in a split.
pub(crate) fn encode_offset(sequence: u16) -> Bytes {
    Bytes::copy_from_slice(&sequence.to_be_bytes())
}

pub(crate) fn decode_offset(offset: &[u8]) -> u16 {
    match offset {
        [] => 0,
        [high, low] => u16::from_be_bytes([*high, *low]),
        other => panic!("an offset of {} bytes", other.len()),
    }
}
