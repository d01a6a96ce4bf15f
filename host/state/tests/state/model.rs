//! The backend against a model: a map from (key group, state key) to value for each state.

use millrace_state::{KeyedBackend, SegmentStates, StateId, StateLimits};
use millrace_types::KeyGroupRange;
use millrace_wire::{BatchView, read_scan, read_values};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{
    MAX_PARALLELISM, Model, Row, any_state_key, apply, backend, descriptor, group, keys_batch, place, put, rows,
};

#[derive(Debug, Clone)]
enum Step {
    Put(u32, Vec<Row>),
    Get(u32, Vec<Vec<u8>>),
    Scan { state: u32, prefix: Vec<u8>, after: Option<Vec<u8>>, bytes_max: u32 },
    Reopen,
}

/// All, what belongs to a key and a beginning of a sub-key, or what no SDK asks for.
fn prefix() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => Just(Vec::new()), 3 => any_state_key(), 1 => vec(0u8..3, 0..6)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..2, rows()).prop_map(|(state, rows)| Step::Put(state, rows)),
        2 => (0u32..2, vec(any_state_key(), 0..8)).prop_map(|(state, keys)| Step::Get(state, keys)),
        3 => (0u32..2, prefix(), prop::option::of(any_state_key()), 0u32..120)
            .prop_map(|(state, prefix, after, bytes_max)| Step::Scan { state, prefix, after, bytes_max }),
        1 => Just(Step::Reopen),
    ]
}

fn open(backend: &mut KeyedBackend) -> SegmentStates {
    backend.open_segment([descriptor("a", "u64"), descriptor("b", "u64")]).unwrap()
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
        let mine = |key: &[u8]| range.contains(group(key));
        let mut backend = backend(range, MAX_PARALLELISM, StateLimits::default());
        let mut segment = open(&mut backend);
        let mut models = [Model::new(), Model::new()];
        for step in steps {
            match step {
                Step::Put(state, mut rows) => {
                    rows.retain(|(key, _, _)| mine(key));
                    put(&mut backend, segment.resolve(state).unwrap(), &rows);
                    rows.iter().for_each(|row| apply(&mut models[state as usize], row));
                }
                Step::Get(state, mut keys) => {
                    keys.retain(|key| mine(key));
                    let answer = backend.get(segment.resolve(state).unwrap(), &keys_batch(keys.iter().map(Vec::as_slice))).unwrap();
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
    fn scanning_in_steps_sees_everything_once(keys in vec(any_state_key(), 0..40), bytes_max in 0u32..100) {
        let range = KeyGroupRange::of_subtask(0, 1, MAX_PARALLELISM);
        let mut backend = backend(range, MAX_PARALLELISM, StateLimits::default());
        let id = open(&mut backend).resolve(1).unwrap();
        put(&mut backend, id, &keys.iter().map(|key| (key.clone(), 1, key.clone())).collect::<Vec<_>>());

        let mut seen = Vec::new();
        loop {
            let after = seen.last().map(|(_, key): &(_, Vec<u8>)| key.as_slice());
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
