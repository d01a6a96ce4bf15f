//! Single rules of snapshots: time to live, states that nobody opens, types, segments that are cut early, merges.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_state::{
    KeyedBackend, MERGE_SEGMENTS_MAX, MergeOptions, MergePolicy, Refusal, ScratchOptions, SealedSegment, SegmentChain,
    SegmentInput, StateDescriptor, StateError, StateLimits, Storage, merge, state_key,
};
use millrace_types::{KeyGroupRange, StateKind};
use millrace_wire::Change;

use crate::common::{MAX_PARALLELISM, backend_in, changes_batch, descriptor, scan_all, storages};

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: MAX_PARALLELISM as u16 - 1 };

fn tracked(storage: Storage) -> KeyedBackend {
    let mut backend = backend_in(storage, ALL, MAX_PARALLELISM, StateLimits::default());
    backend.set_tracking(true);
    backend
}

fn input(source: Bytes) -> SegmentInput<Bytes> {
    SegmentInput { source, key_groups: ALL }
}

fn sealed(backend: &mut KeyedBackend) -> Vec<Bytes> {
    let segments = backend.seal(BTreeMap::new()).unwrap().remove("op").unwrap().segments;
    segments.iter().map(|segment| segment.encode().unwrap().0).collect()
}

fn merged(segments: &[Bytes], expired_at: Option<i64>, base: bool) -> Bytes {
    let options = MergeOptions { key_groups: ALL, max_parallelism: MAX_PARALLELISM, expired_at, base };
    let mut out = Vec::new();
    let inputs = segments.iter().cloned().map(input).collect();
    merge(inputs, &options, &mut |chunk| {
        out.extend_from_slice(&chunk);
        Ok(())
    })
    .unwrap();
    out.into()
}

fn types(names: &[&str]) -> BTreeMap<String, String> {
    names.iter().map(|name| ((*name).to_owned(), "u64".to_owned())).collect()
}

fn values(storage: Storage, segments: Vec<Bytes>, state: StateDescriptor) -> Vec<Vec<u8>> {
    let mut backend = tracked(storage);
    let inputs = segments.into_iter().map(input).collect();
    backend.restore("op", &types(&[&state.name]), vec![inputs]).unwrap();
    let id = backend.open_segment([state]).unwrap().resolve(0).unwrap();
    scan_all(&backend, id).into_values().collect()
}

#[test]
fn a_sealed_segment_can_be_sent_to_another_thread() {
    fn sent<T: Send + Sync>() {}
    sent::<SealedSegment>();
}

#[test]
fn merges_drop_what_has_expired() {
    for storage in storages() {
        let state = StateDescriptor { expires: true, ..descriptor("s", "u64") };
        let mut backend = tracked(storage.clone());
        let id = backend.open_segment([state.clone()]).unwrap().resolve(0).unwrap();
        let mut segments = Vec::new();
        for time in [5i64, 10, 11] {
            let key = state_key(b"k", &[time as u8]);
            let value = time.to_le_bytes();
            backend.put(id, &changes_batch([(key.as_slice(), Change::Set(&value))])).unwrap();
            segments.extend(sealed(&mut backend));
        }
        let left = |segments| values(storage.clone(), segments, state.clone());
        let later = vec![11i64.to_le_bytes().to_vec()];
        assert_eq!(left(vec![merged(&segments, Some(10), true)]), later);
        assert_eq!(left(vec![merged(&segments, None, true)]).len(), 3);
        // What lies before the merged changes must not come back.
        let changes = merged(&segments[1..], Some(10), false);
        assert_eq!(left(vec![segments[1].clone(), changes]), later);
    }
}

#[test]
fn a_state_that_nobody_opens_is_carried_on() {
    for storage in storages() {
        let mut backend = tracked(storage.clone());
        let states = backend.open_segment([descriptor("old", "u64"), descriptor("s", "u64")]).unwrap();
        let key = state_key(b"k", &[]);
        for state in 0..2 {
            let changes = changes_batch([(key.as_slice(), Change::Set(b"v"))]);
            backend.put(states.resolve(state).unwrap(), &changes).unwrap();
        }
        let segments = sealed(&mut backend);

        let mut backend = tracked(storage.clone());
        backend.restore("op", &types(&["old", "s"]), vec![segments.into_iter().map(input).collect()]).unwrap();
        backend.open_segment([descriptor("s", "u64")]).unwrap();
        let mut savepoint = backend.seal_base(BTreeMap::new()).unwrap();
        let operator = savepoint.remove("op").unwrap();
        assert_eq!(operator.fingerprints, types(&["old", "s"]));
        let base = operator.segments[0].encode().unwrap().0;

        let mut backend = tracked(storage);
        backend.restore("op", &operator.fingerprints, vec![vec![input(base)]]).unwrap();
        let id = backend.open_segment([descriptor("old", "u64")]).unwrap().resolve(0).unwrap();
        assert_eq!(scan_all(&backend, id).len(), 1);
        let other = backend.open_segment([descriptor("s", "text")]).unwrap_err();
        assert_eq!(
            other.to_string(),
            "the state \"s\" of operator \"op\" holds values of the type \"u64\", and open returned the type \"text\""
        );
    }
}

#[test]
fn a_restored_state_without_a_type_is_refused() {
    let mut backend = tracked(Storage::Hashmap);
    let id = backend.open_segment([descriptor("s", "u64")]).unwrap().resolve(0).unwrap();
    backend.put(id, &changes_batch([(&state_key(b"k", &[])[..], Change::Set(b"v"))])).unwrap();
    let inputs = sealed(&mut backend).into_iter().map(input).collect();
    let refused = tracked(Storage::Hashmap).restore("op", &BTreeMap::new(), vec![inputs]);
    assert!(matches!(refused, Err(StateError::NoFingerprint { name, .. }) if name == "s"));
}

#[test]
fn states_that_are_not_keyed_are_sealed_whole_and_restored() {
    let list = StateDescriptor { kind: StateKind::List, ..descriptor("l", "u64") };
    for storage in storages() {
        let mut backend = tracked(storage.clone());
        let id = backend.open_segment([list.clone()]).unwrap().resolve(0).unwrap();
        let changes = [(state_key(&[], &[0; 4]), b"a"), (state_key(&[], &[0, 0, 0, 1]), b"b")];
        backend.put(id, &changes_batch(changes.iter().map(|(key, value)| (&key[..], Change::Set(*value))))).unwrap();
        for _ in 0..2 {
            let operator = backend.seal(BTreeMap::new()).unwrap().remove("op").unwrap();
            assert!(operator.segments.is_empty(), "it is not keyed state");
            let blob = operator.operator_state.unwrap();
            let earlier = [(0, millrace_state::OperatorState::decode(&blob).unwrap())].into();
            let second = millrace_state::OperatorState::redistribute(&earlier, 1, 1, 2);
            let mut restored = tracked(storage.clone());
            restored.restore_operator_state("op", &operator.fingerprints, &second).unwrap();
            let id = restored.open_segment([list.clone()]).unwrap().resolve(0).unwrap();
            let values: Vec<_> = scan_all(&restored, id).into_iter().map(|((_, key), value)| (key, value)).collect();
            assert_eq!(values, [(state_key(&[], &[0; 4]), b"b".to_vec())]);
        }
    }
}

/// The sub-keys that stand for what segments say, by their handles.
fn chain_of(lens: &[u64]) -> SegmentChain<usize> {
    let mut chain = SegmentChain::new(ALL);
    lens.iter().enumerate().for_each(|(at, bytes)| chain.push(at, *bytes, false));
    chain
}

fn handles(chain: &SegmentChain<usize>) -> Vec<usize> {
    chain.segments().map(|segment| segment.handle).collect()
}

#[test]
fn a_merge_replaces_what_it_was_made_of_and_nothing_else() {
    let policy = MergePolicy { changes_max: 3, small_bytes: 10 };
    assert_eq!(chain_of(&[100, 1, 1, 1]).begin_merge(&policy), None);
    // Many small changes are merged among themselves.
    let mut chain = chain_of(&[100, 1, 1, 1, 1]);
    let ticket = chain.begin_merge(&policy).unwrap();
    assert_eq!((ticket.segments.len(), ticket.base), (4, false));
    assert_eq!(chain.begin_merge(&policy), None, "one at a time");
    chain.push(5, 1, false);
    assert!(chain.end_merge(&ticket, Some((77, 4))));
    assert_eq!(handles(&chain), [0, 77, 5]);
    // Changes that outgrow the base are merged with it.
    chain.push(6, 200, false);
    let ticket = chain.begin_merge(&policy).unwrap();
    assert_eq!((ticket.segments.len(), ticket.base), (4, true));
    assert!(!chain.end_merge(&ticket, None));
    assert_eq!(handles(&chain), [0, 77, 5, 6]);
    // A base makes a merge of what came before void.
    let ticket = chain.begin_merge(&policy).unwrap();
    chain.push(8, 50, true);
    assert!(!chain.end_merge(&ticket, Some((78, 1))));
    assert_eq!(handles(&chain), [8]);
    let mut long = chain_of(&[1; 3 * MERGE_SEGMENTS_MAX]);
    assert_eq!(long.begin_merge(&policy).unwrap().segments.len(), MERGE_SEGMENTS_MAX);
}

#[test]
fn a_scratch_file_does_not_grow_with_changes_of_the_same_keys() {
    let scratch =
        ScratchOptions { folder: std::env::temp_dir(), memory_bytes: 256 * 1024, disk_bytes_max: 16 * 1024 * 1024 };
    let mut backend = backend_in(Storage::Redb(scratch), ALL, MAX_PARALLELISM, StateLimits::default());
    let id = backend.open_segment([descriptor("s", "u64")]).unwrap().resolve(0).unwrap();
    let keys: Vec<_> = (0..1000u32).map(|at| state_key(&at.to_be_bytes(), &[])).collect();
    for round in 0..200u8 {
        let value = [round; 1000];
        for some in keys.chunks(100) {
            let changes = some.iter().map(|key| (key.as_slice(), Change::Set(&value)));
            backend.put(id, &changes_batch(changes)).unwrap();
        }
    }
    let more = vec![0; 1024 * 1024];
    let full = (0..40u32)
        .map(|at| state_key(&[9, at as u8], &[]))
        .find_map(|key| backend.put(id, &changes_batch([(key.as_slice(), Change::Set(&more))])).err());
    assert!(matches!(full, Some(StateError::Scratch(Refusal::DiskTooLarge { .. }))), "{full:?}");
}
