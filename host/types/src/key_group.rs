//! Key groups: the unit in which keyed state is spread over subtasks and moved between them.
//!
//! Source of the rules: Flink's `KeyGroupRangeAssignment`; only the hash differs (`xxh3_64` of the key's bytes, the
//! function that the guest contract states).

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The largest max parallelism: Flink's `UPPER_BOUND_MAX_PARALLELISM`.
pub const MAX_PARALLELISM_LIMIT: u32 = 1 << 15;

/// The smallest max parallelism that is derived: Flink's `DEFAULT_LOWER_BOUND_MAX_PARALLELISM`.
pub const MIN_DEFAULT_MAX_PARALLELISM: u32 = 1 << 7;

/// A key group, from 0 to max parallelism - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyGroup(pub u16);

/// The key group of a key.
// Every record of a keyed edge passes here: it is inlined, and divides only where it must. A max parallelism that is derived
// is a power of two.
#[inline]
pub fn key_group_for_key(key: &[u8], max_parallelism: u32) -> KeyGroup {
    debug_assert!((1..=MAX_PARALLELISM_LIMIT).contains(&max_parallelism));
    let (hash, groups) = (xxh3_64(key), u64::from(max_parallelism));
    KeyGroup(if groups.is_power_of_two() { hash & (groups - 1) } else { hash % groups } as u16)
}

/// The max parallelism of a vertex that states none: one and a half times its parallelism, rounded up to a power of
/// two, within 128 and 32768.
pub fn default_max_parallelism(parallelism: u32) -> u32 {
    let scaled = parallelism.saturating_add(parallelism / 2).min(MAX_PARALLELISM_LIMIT);
    scaled.next_power_of_two().clamp(MIN_DEFAULT_MAX_PARALLELISM, MAX_PARALLELISM_LIMIT)
}

/// The key groups of one subtask: `start..=end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGroupRange {
    /// The first key group.
    pub start: u16,
    /// The last key group.
    pub end: u16,
}

impl KeyGroupRange {
    /// The key groups of a subtask. Every group belongs to exactly one subtask; `parallelism` must not exceed
    /// `max_parallelism`.
    pub fn of_subtask(subtask: u32, parallelism: u32, max_parallelism: u32) -> Self {
        debug_assert!(subtask < parallelism && parallelism <= max_parallelism);
        let start = (subtask * max_parallelism).div_ceil(parallelism);
        let end = ((subtask + 1) * max_parallelism - 1) / parallelism;
        Self { start: start as u16, end: end as u16 }
    }

    /// Whether the range has the key group.
    pub fn contains(&self, group: KeyGroup) -> bool {
        (self.start..=self.end).contains(&group.0)
    }

    /// The subtask that a key group belongs to.
    #[inline]
    pub fn subtask_of(group: KeyGroup, parallelism: u32, max_parallelism: u32) -> u32 {
        let share = u32::from(group.0) * parallelism;
        // As in `key_group_for_key`.
        if max_parallelism.is_power_of_two() {
            share >> max_parallelism.trailing_zeros()
        } else {
            share / max_parallelism
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_group_belongs_to_the_one_subtask_that_claims_it(
            (max, parallelism) in (1u32..=MAX_PARALLELISM_LIMIT).prop_flat_map(|max| (Just(max), 1..=max.min(300)))
        ) {
            let mut next = 0u32;
            for subtask in 0..parallelism {
                let range = KeyGroupRange::of_subtask(subtask, parallelism, max);
                prop_assert_eq!(u32::from(range.start), next);
                for group in [range.start, range.end] {
                    prop_assert_eq!(KeyGroupRange::subtask_of(KeyGroup(group), parallelism, max), subtask);
                }
                next = u32::from(range.end) + 1;
            }
            prop_assert_eq!(next, max);
        }
    }

    #[test]
    fn max_parallelism_is_derived_as_flink_derives_it() {
        for (parallelism, expected) in [(1, 128), (85, 128), (86, 256), (128, 256), (1000, 2048), (30_000, 32_768)] {
            assert_eq!(default_max_parallelism(parallelism), expected, "{parallelism}");
        }
    }
}
