//! Which channels a batch of records goes to. Pure.

use millrace_graph::Partitioning;
use millrace_types::{KeyGroupRange, key_group_for_key};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::error::WriteError;

/// How an edge chooses among its channels.
#[derive(Debug)]
pub(crate) enum Selector {
    /// Always this channel.
    One(usize),
    /// All of them.
    All,
    /// One after the other.
    InTurn {
        /// The next one.
        next: usize,
        channels: usize,
    },
    /// Any.
    Random { rng: Box<StdRng>, channels: usize },
    /// Each row by its key: the only one that takes batches apart.
    ByKey(KeyShare),
}

/// How the key groups of the consumers are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyShare {
    pub parallelism: u32,
    pub max_parallelism: u32,
}

impl KeyShare {
    /// The consumer of a key.
    #[inline]
    pub(crate) fn channel(self, key: &[u8]) -> usize {
        let group = key_group_for_key(key, self.max_parallelism);
        KeyGroupRange::subtask_of(group, self.parallelism, self.max_parallelism) as usize
    }
}

impl Selector {
    /// The selector of an edge with so many channels. `subtask` is the producer's: producers that take turns begin
    /// at different channels.
    pub(crate) fn new(
        partitioning: Partitioning,
        channels: usize,
        keys: KeyShare,
        subtask: u32,
        rng: StdRng,
    ) -> Result<Self, WriteError> {
        let refuse = |expected| Err(WriteError::Channels { partitioning, channels, expected });
        if channels == 0 {
            return refuse("at least one");
        }
        Ok(match partitioning {
            Partitioning::Forward if channels != 1 => return refuse("exactly one"),
            Partitioning::Hash if channels != keys.parallelism as usize => return refuse("one for each consumer"),
            Partitioning::Hash if keys.parallelism > keys.max_parallelism => {
                return refuse("no more than there are key groups");
            }
            Partitioning::Broadcast if channels > 1 => Self::All,
            Partitioning::Hash if channels > 1 => Self::ByKey(keys),
            Partitioning::Rebalance | Partitioning::Rescale if channels > 1 => {
                Self::InTurn { next: subtask as usize % channels, channels }
            }
            Partitioning::Shuffle if channels > 1 => Self::Random { rng: Box::new(rng), channels },
            Partitioning::Global
            | Partitioning::Forward
            | Partitioning::Broadcast
            | Partitioning::Hash
            | Partitioning::Rebalance
            | Partitioning::Rescale
            | Partitioning::Shuffle => Self::One(0),
        })
    }

    /// The one channel of the next batch; `None`: all of them. Not asked of an edge by key.
    pub(crate) fn next(&mut self) -> Option<usize> {
        match self {
            Self::One(channel) => Some(*channel),
            Self::InTurn { next, channels } => {
                let chosen = *next;
                *next = (chosen + 1) % *channels;
                Some(chosen)
            }
            Self::Random { rng, channels } => Some(rng.random_range(0..*channels)),
            Self::All | Self::ByKey(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use rand::SeedableRng;

    fn selector(partitioning: Partitioning, channels: usize, subtask: u32) -> Result<Selector, WriteError> {
        let keys = KeyShare { parallelism: channels as u32, max_parallelism: 128 };
        Selector::new(partitioning, channels, keys, subtask, StdRng::seed_from_u64(1))
    }

    fn choices(mut selector: Selector, n: usize) -> Vec<Option<usize>> {
        (0..n).map(|_| selector.next()).collect()
    }

    #[test]
    fn turns_begin_at_the_producers_own_place() {
        for partitioning in [Partitioning::Rebalance, Partitioning::Rescale] {
            let chosen = choices(selector(partitioning, 3, 4).unwrap(), 4);
            assert_eq!(chosen, [Some(1), Some(2), Some(0), Some(1)]);
        }
    }

    #[test]
    fn shuffling_reaches_every_channel_and_is_repeatable() {
        let chosen = choices(selector(Partitioning::Shuffle, 3, 0).unwrap(), 64);
        assert!((0..3).all(|channel| chosen.contains(&Some(channel))));
        assert_eq!(chosen, choices(selector(Partitioning::Shuffle, 3, 0).unwrap(), 64));
    }

    #[test]
    fn global_goes_to_the_first_and_broadcast_to_all() {
        assert_eq!(choices(selector(Partitioning::Global, 3, 2).unwrap(), 2), [Some(0), Some(0)]);
        assert_eq!(choices(selector(Partitioning::Broadcast, 3, 2).unwrap(), 1), [None]);
    }

    #[test]
    fn edges_with_a_wrong_number_of_channels_are_refused() {
        assert!(selector(Partitioning::Forward, 2, 0).is_err());
        assert!(selector(Partitioning::Rebalance, 0, 0).is_err());
        let keys = KeyShare { parallelism: 3, max_parallelism: 128 };
        assert!(Selector::new(Partitioning::Hash, 2, keys, 0, StdRng::seed_from_u64(1)).is_err());
    }
}
