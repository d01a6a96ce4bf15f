//! The backend against a model: a map from (key group, key) to value for each state.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;

use millrace_state::{KeyedBackend, SegmentStates, StateDescriptor, StateId, StateLimits};
use millrace_types::{KeyGroup, KeyGroupRange, key_group_for_key};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView, Change, read_scan, read_values};
use proptest::collection::vec;
use proptest::prelude::*;

const KEYED: BatchFlags = BatchFlags { timestamped: false, keyed: true };
const MAX_PARALLELISM: u32 = 8;

type Model = BTreeMap<(KeyGroup, Vec<u8>), Vec<u8>>;

#[derive(Debug, Clone)]
enum Step {
    Put(u32, Vec<(Vec<u8>, u8, Vec<u8>)>),
    Get(u32, Vec<Vec<u8>>),
    Scan { state: u32, prefix: Vec<u8>, after: Option<Vec<u8>>, bytes_max: u32 },
    Reopen,
}

/// Few keys of few letters: they meet, and are prefixes of each other. Some are long.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => vec(0u8..3, 0..4), 1 => vec(0u8..2, 21..24)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..2, vec((key(), 0u8..3, vec(any::<u8>(), 0..6)), 0..8)).prop_map(|(s, c)| Step::Put(s, c)),
        2 => (0u32..2, vec(key(), 0..8)).prop_map(|(state, keys)| Step::Get(state, keys)),
        3 => (0u32..2, vec(0u8..3, 0..3), prop::option::of(key()), 0u32..120)
            .prop_map(|(state, prefix, after, bytes_max)| Step::Scan { state, prefix, after, bytes_max }),
        1 => Just(Step::Reopen),
    ]
}

fn descriptor(name: &str) -> StateDescriptor {
    StateDescriptor { uid: "count".to_owned(), name: name.to_owned(), fingerprint: "u64".to_owned() }
}

fn open(backend: &mut KeyedBackend) -> SegmentStates {
    backend.open_segment([descriptor("a"), descriptor("b")]).unwrap()
}

fn keys_batch<'a>(keys: impl IntoIterator<Item = &'a Vec<u8>>) -> BatchView {
    let mut builder = BatchBuilder::new(KEYED);
    keys.into_iter().for_each(|key| builder.push(None, Some(key), &[]));
    builder.finish_view()
}

fn place(key: &[u8]) -> (KeyGroup, Vec<u8>) {
    (key_group_for_key(key, MAX_PARALLELISM), key.to_vec())
}

fn apply(model: &mut Model, key: &[u8], tag: u8, bytes: &[u8]) {
    match tag {
        0 => {
            model.remove(&place(key));
        }
        1 => {
            model.insert(place(key), bytes.to_vec());
        }
        _ => model.entry(place(key)).or_default().extend(bytes),
    }
}

fn put(backend: &mut KeyedBackend, id: StateId, changes: &[(Vec<u8>, u8, Vec<u8>)]) {
    let mut builder = BatchBuilder::new(KEYED);
    for (key, tag, bytes) in changes {
        builder.push_change(key, [Change::Delete, Change::Set(bytes), Change::Append(bytes)][usize::from(*tag)]);
    }
    backend.put(id, &builder.finish_view()).unwrap();
}

fn check_scan(backend: &KeyedBackend, id: StateId, model: &Model, prefix: &[u8], after: Option<&[u8]>, bytes_max: u32) {
    let answer = BatchView::parse(backend.scan(id, prefix, after, bytes_max).unwrap()).unwrap();
    let expected: Vec<_> = model
        .iter()
        .filter(|((_, key), _)| key.starts_with(prefix))
        .filter(|(at, _)| after.is_none_or(|after| **at > place(after)))
        .map(|((_, key), value)| (key.as_slice(), value.as_slice()))
        .collect();
    let rows: Vec<_> = read_scan(&answer).unwrap().collect();
    assert_eq!(rows[..], expected[..rows.len()]);
    assert!(rows.len() <= 1 || answer.byte_len() <= bytes_max as usize);
    if let Some((key, value)) = expected.get(rows.len()) {
        assert!(!rows.is_empty(), "at least one row as long as there is one");
        assert!(answer.byte_len() + 8 + key.len() + value.len() > bytes_max as usize, "as much as fits");
    }
}

fn check_total(backend: &KeyedBackend, models: &[Model; 2]) {
    let entries = models.iter().flatten();
    let bytes: u64 = entries.map(|((_, key), value)| (key.len() + value.len()) as u64 + StateLimits::ENTRY_BYTES).sum();
    assert_eq!(backend.total_bytes(), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_backend_is_its_model((subtask, parallelism) in prop_oneof![Just((0, 1)), Just((0, 2)), Just((1, 3))], steps in vec(step(), 1..40)) {
        let range = KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM);
        let mine = |key: &[u8]| range.contains(key_group_for_key(key, MAX_PARALLELISM));
        let mut backend = KeyedBackend::new(range, MAX_PARALLELISM, StateLimits::default());
        let mut segment = open(&mut backend);
        let mut models = [Model::new(), Model::new()];
        for step in steps {
            match step {
                Step::Put(state, mut changes) => {
                    changes.retain(|(key, _, _)| mine(key));
                    put(&mut backend, segment.resolve(state).unwrap(), &changes);
                    for (key, tag, bytes) in &changes {
                        apply(&mut models[state as usize], key, *tag, bytes);
                    }
                }
                Step::Get(state, mut keys) => {
                    keys.retain(|key| mine(key));
                    let answer = backend.get(segment.resolve(state).unwrap(), &keys_batch(&keys)).unwrap();
                    let answer = BatchView::parse(answer).unwrap();
                    let values: Vec<_> = read_values(&answer).unwrap().map(Result::unwrap).collect();
                    let model = &models[state as usize];
                    let expected: Vec<_> = keys.iter().map(|key| model.get(&place(key)).map(Vec::as_slice)).collect();
                    prop_assert_eq!(values, expected);
                }
                Step::Scan { state, prefix, after, bytes_max } => {
                    let after = after.filter(|key| mine(key));
                    let id = segment.resolve(state).unwrap();
                    check_scan(&backend, id, &models[state as usize], &prefix, after.as_deref(), bytes_max);
                }
                Step::Reopen => segment = open(&mut backend),
            }
            check_total(&backend, &models);
        }
    }

    #[test]
    fn scanning_in_steps_sees_everything_once(keys in vec(key(), 0..40), bytes_max in 0u32..100) {
        let range = KeyGroupRange::of_subtask(0, 1, MAX_PARALLELISM);
        let mut backend = KeyedBackend::new(range, MAX_PARALLELISM, StateLimits::default());
        let id = open(&mut backend).resolve(1).unwrap();
        put(&mut backend, id, &keys.iter().map(|key| (key.clone(), 1, key.clone())).collect::<Vec<_>>());

        let mut seen = Vec::new();
        loop {
            let after = seen.last().map(|(_, key): &(KeyGroup, Vec<u8>)| key.as_slice());
            let answer = BatchView::parse(backend.scan(id, &[], after, bytes_max).unwrap()).unwrap();
            if answer.is_empty() {
                break;
            }
            seen.extend(read_scan(&answer).unwrap().map(|(key, _)| place(key)));
        }
        let mut expected: Vec<_> = keys.iter().map(|key| place(key)).collect();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(seen, expected);
    }
}
