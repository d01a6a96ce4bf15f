//! What the backend refuses, and in which words.

use millrace_state::{KeyedBackend, Refusal, StateDescriptor, StateError, StateId, StateLimits, state_key};
use millrace_types::{Failure, FailureKind, KeyGroupRange, StateKind, key_group_for_key};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView, Change};

use crate::common::{changes_batch, descriptor, keys_batch};

const MAX_PARALLELISM: u32 = 128;

fn backend(parallelism: u32, limits: StateLimits) -> (KeyedBackend, StateId) {
    let range = KeyGroupRange::of_subtask(0, parallelism, MAX_PARALLELISM);
    let mut backend = crate::common::backend(range, MAX_PARALLELISM, limits);
    let id = backend.open_segment([descriptor("s", "u64")]).unwrap().resolve(0).unwrap();
    (backend, id)
}

/// Changes of keys without sub-keys.
fn changes(changes: &[(&[u8], Change<'_>)]) -> BatchView {
    let keys: Vec<_> = changes.iter().map(|(key, _)| state_key(key, &[])).collect();
    changes_batch(keys.iter().zip(changes).map(|(key, (_, change))| (key.as_slice(), *change)))
}

fn keys(keys: &[&[u8]]) -> BatchView {
    let keys: Vec<_> = keys.iter().map(|key| state_key(key, &[])).collect();
    keys_batch(keys.iter().map(Vec::as_slice))
}

fn cause(error: StateError) -> Refusal {
    match error {
        StateError::Refused { cause, .. } => cause,
        other => panic!("{other}"),
    }
}

#[test]
fn keys_of_other_subtasks_are_refused_by_every_call() {
    let (mut backend, id) = backend(2, StateLimits::default());
    let foreign = (0u8..).map(|byte| [byte]).find(|key| key_group_for_key(key, MAX_PARALLELISM).0 >= 64).unwrap();
    let get = backend.get(id, &keys(&[&foreign])).unwrap_err();
    let put = backend.put(id, &changes(&[(&foreign, Change::Delete)])).unwrap_err();
    let scan = backend.scan(id, &[], Some(&state_key(&foreign, &[])), 100).unwrap_err();
    assert!(get == put && put == scan);
    let group = key_group_for_key(&foreign, MAX_PARALLELISM).0;
    let message = format!(
        "state \"s\" of operator \"op\": the key 0x{:02x} is of key group {group}, and this subtask has the key groups \
         0 to 63",
        foreign[0]
    );
    assert_eq!(get.to_string(), message);
    let failure = Failure::from(get);
    assert_eq!(failure.kind, FailureKind::Contract);
    assert!(failure.remedy.is_some());
    assert_eq!(backend.total_bytes(), 0);
}

#[test]
fn states_are_known_by_number_and_keep_their_type() {
    let (mut backend, _) = backend(1, StateLimits { states_max: 2, ..StateLimits::default() });
    let segment = backend.open_segment([descriptor("t", "text"), descriptor("s", "u64")]).unwrap();
    assert_ne!(segment.resolve(0), segment.resolve(1));
    assert_eq!(segment.resolve(2), Err(StateError::UnknownState { state: 2, count: 2 }));
    assert_eq!(segment.resolve(u32::MAX), Err(StateError::UnknownState { state: u32::MAX, count: 2 }));

    let changed = backend.open_segment([descriptor("s", "text")]).unwrap_err();
    assert!(
        matches!(&changed, StateError::Fingerprint { found, requested, .. } if found == "u64" && requested == "text")
    );
    let twice = backend.open_segment([descriptor("s", "u64"), descriptor("s", "u64")]);
    assert!(matches!(twice, Err(StateError::DuplicateState { .. })));
    assert!(matches!(backend.open_segment([descriptor("u", "u64")]), Err(StateError::TooManyStates { max: 2, .. })));
}

#[test]
fn a_reopened_state_has_its_entries() {
    let (mut backend, id) = backend(1, StateLimits::default());
    backend.put(id, &changes(&[(b"k", Change::Set(b"v"))])).unwrap();
    let again = backend.open_segment([descriptor("other", "x"), descriptor("s", "u64")]).unwrap();
    assert_eq!(again.resolve(1), Ok(id));
    let scan = |state| BatchView::parse(backend.scan(state, &[], None, 100).unwrap()).unwrap().len();
    assert_eq!((scan(id), scan(again.resolve(0).unwrap())), (1, 0));
}

#[test]
fn batches_of_other_shapes_are_refused() {
    let (mut backend, id) = backend(1, StateLimits::default());
    let plain = BatchBuilder::new(BatchFlags::default()).finish_view();
    assert!(matches!(cause(backend.get(id, &plain).unwrap_err()), Refusal::Batch(_)));
    assert!(matches!(cause(backend.put(id, &plain).unwrap_err()), Refusal::Batch(_)));
    // Changes are not keys, and keys are not changes.
    let change = changes(&[(b"k", Change::Delete)]);
    assert!(matches!(cause(backend.get(id, &change).unwrap_err()), Refusal::Batch(_)));
    assert!(matches!(cause(backend.put(id, &keys(&[b"k"])).unwrap_err()), Refusal::Batch(_)));
}

#[test]
fn entries_answers_and_all_state_have_limits() {
    let limits = StateLimits { entry_bytes_max: 14, answer_bytes_max: 50, total_bytes_max: 200, states_max: 1 };
    let (mut backend, id) = backend(1, limits);
    backend.put(id, &changes(&[(b"k", Change::Set(&[1; 9])), (b"l", Change::Append(&[1; 9]))])).unwrap();
    let too_long = Refusal::EntryTooLong { key: "0x010000006b".to_owned(), len: 15, max: 14 };
    assert_eq!(cause(backend.put(id, &changes(&[(b"k", Change::Set(&[1; 10]))])).unwrap_err()), too_long);
    assert_eq!(cause(backend.put(id, &changes(&[(b"k", Change::Append(&[1]))])).unwrap_err()), too_long);

    // 16 for the header, 14 for each value.
    assert_eq!(backend.get(id, &keys(&[b"k", b"l"])).unwrap().len(), 44);
    let refused = cause(backend.get(id, &keys(&[b"k", b"l", b"k"])).unwrap_err());
    assert_eq!(refused, Refusal::AnswerTooLong { keys: 3, max: 50 });
    let scanned = BatchView::parse(backend.scan(id, &[], None, u32::MAX).unwrap()).unwrap();
    assert_eq!((scanned.len(), scanned.byte_len()), (1, 38));

    assert_eq!(backend.total_bytes(), 2 * (14 + StateLimits::ENTRY_BYTES));
    let third = changes(&[(b"m", Change::Set(&[]))]);
    let refused = backend.put(id, &third).unwrap_err();
    assert_eq!(cause(refused.clone()), Refusal::TotalTooLarge { max: 200 });
    assert_eq!(Failure::from(refused).kind, FailureKind::Memory);
    backend.put(id, &changes(&[(b"m", Change::Delete), (b"k", Change::Set(&[])), (b"l", Change::Delete)])).unwrap();
    backend.put(id, &third).unwrap();
}

#[test]
fn malformed_state_keys_are_refused_by_every_call() {
    let (mut backend, id) = backend(1, StateLimits::default());
    for bad in [&[][..], &[1, 0, 0], &[2, 0, 0, 0, 7]] {
        let get = backend.get(id, &keys_batch([bad])).unwrap_err();
        let put = backend.put(id, &changes_batch([(bad, Change::DeletePrefix)])).unwrap_err();
        let scan = backend.scan(id, &[], Some(bad), 100).unwrap_err();
        assert!(get == put && put == scan);
        assert!(matches!(cause(get), Refusal::MalformedKey { len, .. } if len == bad.len()));
    }
    let message = cause(backend.get(id, &keys_batch([&[2, 0, 0, 0, 7][..]])).unwrap_err()).to_string();
    assert!(message.starts_with("the state key 0x0200000007 of 5 bytes is malformed: "), "{message}");
}

#[test]
fn states_that_are_not_keyed_have_no_keys_and_keep_their_kind() {
    let (mut backend, _) = backend(1, StateLimits::default());
    let list = StateDescriptor { kind: StateKind::List, ..descriptor("l", "u64") };
    let id = backend.open_segment([list.clone()]).unwrap().resolve(0).unwrap();
    backend.put(id, &changes_batch([(&state_key(&[], &[0; 4])[..], Change::Set(b"v"))])).unwrap();
    let refused = backend.put(id, &changes(&[(b"k", Change::Set(b"v"))])).unwrap_err();
    assert!(matches!(cause(refused), Refusal::KeyWithoutKeys { .. }));

    for other in [StateDescriptor { kind: StateKind::Union, ..list.clone() }, StateDescriptor { expires: true, ..list }]
    {
        let error = backend.open_segment([other]).unwrap_err();
        assert!(matches!(error, StateError::OtherKind { .. }));
        assert_eq!(Failure::from(error).kind, FailureKind::InvalidApplication);
    }
}
