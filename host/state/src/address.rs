//! Where an entry lives: its state key, taken apart, and the place among the key groups of the subtask.
//!
//! Invariant: the key group follows from the key alone, so all entries of a key are in one place, in the order of their
//! sub-keys.

use std::ops::RangeInclusive;

use millrace_types::{KeyGroup, KeyGroupRange, key_group_for_key};

use crate::error::{Refusal, show_key};

/// The bytes in front of the key.
const LEN_BYTES: usize = 4;

/// The key in a state key, or in the beginning of one; `None`: it is cut off.
fn key_of(state_key: &[u8]) -> Option<&[u8]> {
    let (len, rest) = state_key.split_first_chunk::<LEN_BYTES>()?;
    rest.get(..u32::from_le_bytes(*len) as usize)
}

/// Which entries a state has, and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// A slot for each of the subtask's key groups.
    Keyed { range: KeyGroupRange, max_parallelism: u32 },
    /// One slot; the state keys have no key.
    Subtask,
}

impl Space {
    /// How many slots there are.
    pub(crate) fn slots(self) -> usize {
        match self {
            Self::Keyed { range, .. } => usize::from(range.end.saturating_sub(range.start)) + 1,
            Self::Subtask => 1,
        }
    }

    /// The key group of a slot.
    pub(crate) fn group(self, slot: usize) -> KeyGroup {
        match self {
            // There are not more slots than key groups.
            Self::Keyed { range, .. } => KeyGroup(range.start.saturating_add(slot as u16)),
            Self::Subtask => KeyGroup(0),
        }
    }

    /// The slot of a state key.
    pub(crate) fn slot_of(self, state_key: &[u8]) -> Result<usize, Refusal> {
        let Some(key) = key_of(state_key) else {
            return Err(Refusal::MalformedKey { key: show_key(state_key), len: state_key.len() });
        };
        match self {
            Self::Keyed { range, max_parallelism } => {
                let group = key_group_for_key(key, max_parallelism);
                if range.contains(group) {
                    return Ok(usize::from(group.0 - range.start));
                }
                Err(Refusal::ForeignKey { key: show_key(key), group, range })
            }
            Self::Subtask if key.is_empty() => Ok(0),
            Self::Subtask => Err(Refusal::KeyWithoutKeys { key: show_key(key) }),
        }
    }

    /// The slots that may have state keys which begin with `prefix` and do not lie before `after`.
    pub(crate) fn slots_from(self, prefix: &[u8], after: Option<&[u8]>) -> Result<RangeInclusive<usize>, Refusal> {
        let first = after.map_or(Ok(0), |after| self.slot_of(after))?;
        let last = self.slots() - 1;
        match (key_of(prefix), self) {
            (Some(key), Self::Keyed { range, max_parallelism }) => {
                let group = key_group_for_key(key, max_parallelism);
                if !range.contains(group) {
                    return Ok(RangeInclusive::new(1, 0));
                }
                let only = usize::from(group.0 - range.start);
                Ok(first.max(only)..=only)
            }
            _ => Ok(first..=last),
        }
    }
}

/// A state key: the address of an entry as the guest contract writes it.
pub fn state_key(key: &[u8], sub_key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN_BYTES + key.len() + sub_key.len());
    // A key is part of a record, and those are shorter than 4 GiB.
    bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(sub_key);
    bytes
}

/// The key and the sub-key of a state key; `None`: it is cut off.
pub fn split_state_key(state_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let key = key_of(state_key)?;
    Some((key, state_key.get(LEN_BYTES + key.len()..).unwrap_or_default()))
}
