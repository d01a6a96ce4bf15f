//! States that are not keyed, and what becomes of them at another parallelism.
//!
//! # Layout
//! Integers are little-endian: "MROS", `u32` version 1, `u32` number of states; for each `u32` length and bytes of the
//! name, one byte for the kind (1 list, 2 union, 3 broadcast), one byte 1 if its values expire, else 0, `u32` number of
//! entries, for each `u32` length and bytes of the sub-key, `u32` length and bytes of the value. At the end the
//! `xxh3_64` of all before.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use millrace_types::StateKind;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 4] = *b"MROS";
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 8;

/// The bytes of operator state are damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operator state is damaged at offset {offset} of {len} bytes: {reason}")]
pub struct OperatorStateError {
    /// Where, from the first byte.
    pub offset: usize,
    /// How many bytes there are.
    pub len: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// A state of a subtask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubtaskState {
    /// What becomes of it at another parallelism.
    pub kind: StateKind,
    /// Whether its values begin with the time from which on they may be dropped.
    pub expires: bool,
    /// Its values by sub-key: positions of lists, `u32` big-endian.
    pub entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The states of an operator's subtask that are not keyed, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorState {
    /// By name.
    pub states: BTreeMap<String, SubtaskState>,
}

impl OperatorState {
    /// The states of one new subtask, from those of the earlier subtasks that had any; there `were` so many in all. With
    /// the parallelism unchanged each subtask keeps its lists and its copy of broadcast states: records that it has yet to
    /// see may be on their way to it. Else the elements are dealt out in runs, the first subtasks getting one more, and
    /// all get the same copy. Unions go to all.
    pub fn redistribute(earlier: &BTreeMap<u32, Self>, were: u32, subtask: u32, parallelism: u32) -> Self {
        let mut states = BTreeMap::new();
        for (name, state) in earlier.values().flat_map(|operator| &operator.states) {
            if states.contains_key(name) {
                continue;
            }
            let all = || {
                let same = earlier.values().filter_map(|operator| operator.states.get(name));
                same.flat_map(|state| state.entries.values())
            };
            let own = earlier.get(&subtask).and_then(|operator| operator.states.get(name));
            let entries = match state.kind {
                StateKind::List if were == parallelism => {
                    number(own.into_iter().flat_map(|state| state.entries.values()))
                }
                StateKind::List => {
                    let (count, parallelism, subtask) = (all().count(), parallelism.max(1) as usize, subtask as usize);
                    let (each, more) = (count / parallelism, count % parallelism);
                    let first = subtask * each + subtask.min(more);
                    number(all().skip(first).take(each + usize::from(subtask < more)))
                }
                StateKind::Union => number(all()),
                StateKind::Broadcast if were == parallelism => own.unwrap_or(state).entries.clone(),
                StateKind::Broadcast | StateKind::Keyed => state.entries.clone(),
            };
            let state = SubtaskState { kind: state.kind, expires: state.expires, entries };
            states.insert(name.clone(), state);
        }
        Self { states }
    }

    /// The states as a blob.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_u32_le(self.states.len() as u32);
        for (name, state) in &self.states {
            put(&mut bytes, name.as_bytes());
            bytes.put_u8(match state.kind {
                StateKind::Keyed => 0,
                StateKind::List => 1,
                StateKind::Union => 2,
                StateKind::Broadcast => 3,
            });
            bytes.put_u8(u8::from(state.expires));
            bytes.put_u32_le(state.entries.len() as u32);
            for (key, value) in &state.entries {
                put(&mut bytes, key);
                put(&mut bytes, value);
            }
        }
        let checksum = xxh3_64(&bytes);
        bytes.put_u64_le(checksum);
        bytes.freeze()
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, OperatorStateError> {
        let fail = |offset, reason| OperatorStateError { offset, len: bytes.len(), reason };
        let end = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(|| fail(bytes.len(), "it is cut off"))?;
        let (body, checksum) = bytes.split_at(end);
        if xxh3_64(body).to_le_bytes() != checksum {
            return Err(fail(end, "its checksum is another one"));
        }
        let mut reader = Reader { body, at: 0 };
        let read = reader.read();
        let malformed = |reason| OperatorStateError { offset: reader.at, len: bytes.len(), reason };
        let state = read.ok_or_else(|| malformed("it is malformed"))?;
        if reader.at == end { Ok(state) } else { Err(malformed("it has bytes too many")) }
    }
}

/// Numbers elements from 0.
fn number<'a>(values: impl Iterator<Item = &'a Vec<u8>>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    (0u32..).zip(values).map(|(at, value)| (at.to_be_bytes().to_vec(), value.clone())).collect()
}

fn put(bytes: &mut BytesMut, part: &[u8]) {
    bytes.put_u32_le(part.len() as u32);
    bytes.put_slice(part);
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Option<OperatorState> {
        if self.take(4)? != MAGIC || self.u32()? != VERSION {
            return None;
        }
        let mut states = BTreeMap::new();
        for _ in 0..self.u32()? {
            let name = String::from_utf8(self.part()?.to_vec()).ok()?;
            let kind = match self.take(1)? {
                [1] => StateKind::List,
                [2] => StateKind::Union,
                [3] => StateKind::Broadcast,
                _ => return None,
            };
            let expires = self.take(1)? == [1];
            let mut entries = BTreeMap::new();
            for _ in 0..self.u32()? {
                let key = self.part()?.to_vec();
                entries.insert(key, self.part()?.to_vec());
            }
            states.insert(name, SubtaskState { kind, expires, entries });
        }
        Some(OperatorState { states })
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.body.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }
}
