//! Backends, batches and addresses.

use std::collections::BTreeMap;

use millrace_state::{
    BackendOptions, KeyedBackend, StateDescriptor, StateId, StateLimits, Storage, split_state_key, state_key,
};
use millrace_types::{KeyGroup, KeyGroupRange, StateKind, key_group_for_key};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView, Change, read_scan};
use proptest::collection::vec;
use proptest::prelude::*;

pub const KEYED: BatchFlags = BatchFlags { timestamped: false, keyed: true };
pub const MAX_PARALLELISM: u32 = 8;

/// The entries of a state in the order of scans.
pub type Model = BTreeMap<(KeyGroup, Vec<u8>), Vec<u8>>;

/// A change: state key, tag, bytes.
pub type Row = (Vec<u8>, u8, Vec<u8>);

pub fn backend(range: KeyGroupRange, max_parallelism: u32, limits: StateLimits) -> KeyedBackend {
    KeyedBackend::open(BackendOptions { storage: Storage::Hashmap, key_groups: range, max_parallelism, limits })
        .unwrap()
}

pub fn descriptor(name: &str, fingerprint: &str) -> StateDescriptor {
    StateDescriptor {
        uid: "op".to_owned(),
        name: name.to_owned(),
        fingerprint: fingerprint.to_owned(),
        kind: StateKind::Keyed,
        expires: false,
    }
}

/// Few state keys of few letters: they meet, and are prefixes of each other. Some are long.
pub fn any_state_key() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![9 => vec(0u8..3, 0..3), 1 => vec(0u8..2, 17..20)];
    (key, vec(0u8..3, 0..3)).prop_map(|(key, sub)| state_key(&key, &sub))
}

pub fn rows() -> impl Strategy<Value = Vec<Row>> {
    vec((any_state_key(), 0u8..4, vec(any::<u8>(), 0..6)), 0..8)
}

pub fn group(state_key: &[u8]) -> KeyGroup {
    key_group_for_key(split_state_key(state_key).unwrap().0, MAX_PARALLELISM)
}

pub fn place(state_key: &[u8]) -> (KeyGroup, Vec<u8>) {
    (group(state_key), state_key.to_vec())
}

pub fn apply(model: &mut Model, (key, tag, bytes): &Row) {
    match tag {
        0 => {
            model.remove(&place(key));
        }
        1 => {
            model.insert(place(key), bytes.clone());
        }
        2 => model.entry(place(key)).or_default().extend(bytes),
        _ => model.retain(|(_, other), _| !other.starts_with(key)),
    }
}

pub fn keys_batch<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> BatchView {
    let mut builder = BatchBuilder::new(KEYED);
    keys.into_iter().for_each(|key| builder.push(None, Some(key), &[]));
    builder.finish_view()
}

pub fn changes_batch<'a>(changes: impl IntoIterator<Item = (&'a [u8], Change<'a>)>) -> BatchView {
    let mut builder = BatchBuilder::new(KEYED);
    changes.into_iter().for_each(|(key, change)| builder.push_change(key, change));
    builder.finish_view()
}

pub fn put(backend: &mut KeyedBackend, id: StateId, rows: &[Row]) {
    let change = |(_, tag, bytes): &'_ Row| match tag {
        0 => (0, Vec::new()),
        3 => (3, Vec::new()),
        tag => (*tag, bytes.clone()),
    };
    let rows: Vec<_> = rows.iter().map(|row| (&row.0, change(row))).collect();
    let changes = rows.iter().map(|(key, (tag, bytes))| {
        (
            key.as_slice(),
            [Change::Delete, Change::Set(bytes), Change::Append(bytes), Change::DeletePrefix][usize::from(*tag)],
        )
    });
    backend.put(id, &changes_batch(changes)).unwrap();
}

/// All entries of a state.
pub fn scan_all(backend: &KeyedBackend, id: StateId) -> Model {
    let answer = BatchView::parse(backend.scan(id, &[], None, u32::MAX).unwrap()).unwrap();
    read_scan(&answer).unwrap().map(|(key, value)| (place(key), value.to_vec())).collect()
}
