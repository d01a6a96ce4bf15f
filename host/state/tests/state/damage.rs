//! Segments that were damaged on their way.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_state::{MergeOptions, SegmentInput, StateLimits, StateTimer, TimerClock, TimerUpdate, merge, state_key};
use millrace_types::KeyGroupRange;
use millrace_wire::Change;
use proptest::prelude::*;

use crate::common::{MAX_PARALLELISM, backend, changes_batch, descriptor};

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: MAX_PARALLELISM as u16 - 1 };

/// A segment with entries of two states and a timer.
fn segment(entries: u32, value: usize) -> Bytes {
    let mut backend = backend(ALL, MAX_PARALLELISM, StateLimits::default());
    backend.set_tracking(true);
    let states = backend.open_segment([descriptor("a", "u64"), descriptor("b", "u64")]).unwrap();
    for state in 0..2 {
        let keys: Vec<_> = (0..entries).map(|at| state_key(&at.to_be_bytes(), &[])).collect();
        let value = vec![7; value];
        let changes = keys.iter().map(|key| (key.as_slice(), Change::Set(&value)));
        backend.put(states.resolve(state).unwrap(), &changes_batch(changes)).unwrap();
    }
    let timer = StateTimer { clock: TimerClock::EventTime, timestamp: -5, key: (*b"k").into(), namespace: [].into() };
    let timers = BTreeMap::from([("op".to_owned(), vec![TimerUpdate { timer, set: true }])]);
    let mut sealed = backend.seal(timers).unwrap();
    let segments = sealed.remove("op").unwrap().segments;
    let (bytes, summary) = segments[0].encode().unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(summary.checksum, xxhash_rust::xxh3::xxh3_64(&bytes));
    assert_eq!(summary.entries, u64::from(2 * entries + 1));
    bytes
}

fn restore(bytes: Bytes) -> Result<usize, String> {
    let mut backend = backend(ALL, MAX_PARALLELISM, StateLimits::default());
    let fingerprints = ["a", "b"].map(|name| (name.to_owned(), "u64".to_owned()));
    let input = SegmentInput { source: bytes, key_groups: ALL };
    let timers = backend.restore("op", &BTreeMap::from(fingerprints), vec![vec![input]]);
    timers.map(|timers| timers.len()).map_err(|error| error.to_string())
}

fn merged(bytes: Bytes) -> Result<Vec<u8>, String> {
    let input = SegmentInput { source: bytes, key_groups: ALL };
    let options = MergeOptions { key_groups: ALL, max_parallelism: MAX_PARALLELISM, expired_at: None, base: false };
    let mut out = Vec::new();
    let result = merge(vec![input], &options, &mut |chunk| {
        out.extend_from_slice(&chunk);
        Ok(())
    });
    result.map(|_| out).map_err(|error| error.to_string())
}

#[test]
fn a_merge_of_one_segment_is_that_segment() {
    for (entries, value) in [(0, 0), (30, 10), (200, 3000)] {
        let bytes = segment(entries, value);
        assert_eq!(merged(bytes.clone()).unwrap(), bytes);
        assert_eq!(restore(bytes), Ok(1));
    }
}

#[test]
fn errors_say_what_is_damaged_and_where() {
    let bytes = segment(30, 10);
    let damaged = |at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        restore(bytes.into()).unwrap_err()
    };
    let block = damaged(20);
    assert!(
        block.starts_with("operator \"op\": the state segment within the metadata: the block at offset 12 is damaged")
    );
    assert!(damaged(0).contains("its header at offset 0 does not begin"));
    assert!(damaged(8).contains("it has the version 0"));
    assert!(damaged(bytes.len() - 1).contains("its trailer at offset"));
    assert!(damaged(bytes.len() - 40).contains("the footer at offset"));
    assert!(restore(bytes.slice(..40)).unwrap_err().contains("it is cut off: it has 40 bytes"));
}

proptest! {
    #[test]
    fn no_damage_goes_unseen(entries in 0u32..40, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let bytes = segment(entries, 5);
        let at = at.index(bytes.len());
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << bit;
        prop_assert!(restore(flipped.clone().into()).is_err());
        prop_assert!(merged(flipped.into()).is_err());
        prop_assert!(restore(bytes.slice(..at)).is_err());
    }

    #[test]
    fn whatever_the_bytes_are_reading_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(restore(bytes.into()).is_err());
    }
}
