//! The vectors of `sdk/vectors` that every implementation of the contract must pass.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use millrace_types::key_group_for_key;
use millrace_wire::{
    BatchBuilder, BatchError, BatchFlags, BatchView, Change, Fields, TimerChange, encode_fields, read_changes,
    read_due_timers, read_keys, read_scan, read_timer_changes, read_values,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const PLAIN: BatchFlags = BatchFlags { timestamped: false, keyed: false };
const KEYED: BatchFlags = BatchFlags { timestamped: false, keyed: true };
const TIMER: BatchFlags = BatchFlags { timestamped: true, keyed: true };

/// Bytes as the vectors write them: in hexadecimal digits.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Hex(#[serde(with = "hex::serde")] Vec<u8>);

impl Hex {
    fn parse(&self) -> Result<BatchView, BatchError> {
        BatchView::parse(Bytes::from(self.0.clone()))
    }
}

#[derive(Debug, Deserialize)]
struct Invalid {
    reason: String,
    hex: Hex,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sdk/vectors")
}

/// Reads a file of vectors; a missing one fails the test.
fn vectors<T: DeserializeOwned>(file: &str) -> T {
    let path = folder().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_file_of_vectors_has_its_test() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = files.filter(|name| name.ends_with(".json")).collect();
    files.sort();
    assert_eq!(files, ["batches.json", "fields.json", "key_groups.json", "state.json"]);
}

#[derive(Debug, Deserialize)]
struct Batches {
    valid: Vec<Batch>,
    invalid: Vec<Invalid>,
}

#[derive(Debug, Deserialize)]
struct Batch {
    name: String,
    timestamped: bool,
    keyed: bool,
    rows: Vec<Row>,
    hex: Hex,
}

#[derive(Debug, Deserialize)]
struct Row {
    timestamp: Option<String>,
    key: Option<Hex>,
    payload: Hex,
}

#[test]
fn batches() {
    let cases: Batches = vectors("batches.json");
    assert!(!cases.valid.is_empty() && !cases.invalid.is_empty());
    for case in &cases.valid {
        let view = case.hex.parse().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let flags = BatchFlags { timestamped: case.timestamped, keyed: case.keyed };
        assert_eq!(view.flags(), flags, "{}", case.name);
        assert_eq!(view.len(), case.rows.len(), "{}", case.name);
        let mut builder = BatchBuilder::new(flags);
        for (row, expected) in view.rows().zip(&case.rows) {
            let timestamp = expected.timestamp.as_ref().map(|timestamp| timestamp.parse().unwrap());
            let key = expected.key.as_ref().map(|key| key.0.as_slice());
            assert_eq!((row.timestamp, row.key), (timestamp, key), "{}", case.name);
            assert_eq!(row.payload, expected.payload.0, "{}", case.name);
            builder.push(timestamp, key, &expected.payload.0);
        }
        assert_eq!(builder.finish(), case.hex.0, "{}", case.name);
    }
    for case in &cases.invalid {
        assert!(case.hex.parse().is_err(), "{}", case.reason);
    }
}

#[derive(Debug, Deserialize)]
struct Records {
    valid: Vec<Record>,
    invalid: Vec<Invalid>,
}

#[derive(Debug, Deserialize)]
struct Record {
    fields: Vec<Hex>,
    hex: Hex,
}

#[test]
fn fields() {
    let cases: Records = vectors("fields.json");
    assert!(!cases.valid.is_empty() && !cases.invalid.is_empty());
    for case in &cases.valid {
        let fields = || case.fields.iter().map(|field| field.0.as_slice());
        assert!(Fields::parse(&case.hex.0).unwrap().iter().eq(fields()), "{case:?}");
        let mut encoded = Vec::new();
        encode_fields(fields(), &mut encoded).unwrap();
        assert_eq!(encoded, case.hex.0);
    }
    for case in &cases.invalid {
        assert!(Fields::parse(&case.hex.0).is_err(), "{}", case.reason);
    }
}

#[derive(Debug, Deserialize)]
struct KeyGroups {
    keys: Vec<KeyGroupsOfKey>,
}

#[derive(Debug, Deserialize)]
struct KeyGroupsOfKey {
    key: Hex,
    key_groups: BTreeMap<String, u16>,
}

#[test]
fn key_groups() {
    let cases: KeyGroups = vectors("key_groups.json");
    assert!(!cases.keys.is_empty());
    for case in &cases.keys {
        assert!(!case.key_groups.is_empty());
        for (max_parallelism, group) in &case.key_groups {
            let found = key_group_for_key(&case.key.0, max_parallelism.parse().unwrap());
            assert_eq!(found.0, *group, "{:02x?} of {max_parallelism}", case.key.0);
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct State {
    get: Get,
    scan: Scan,
    put: Changes<ValueChange>,
    set_timers: Changes<TimerCase>,
    timers: Due,
}

#[derive(Debug, Deserialize)]
struct Get {
    keys: Vec<Hex>,
    request: Hex,
    values: Vec<Option<Hex>>,
    answer: Hex,
}

#[derive(Debug, Deserialize)]
struct Scan {
    entries: Vec<Entry>,
    answer: Hex,
    end: Hex,
}

#[derive(Debug, Deserialize)]
struct Entry {
    key: Hex,
    value: Hex,
}

#[derive(Debug, Deserialize)]
struct Changes<T> {
    changes: Vec<T>,
    request: Hex,
    invalid: Vec<Invalid>,
}

#[derive(Debug, Deserialize)]
struct ValueChange {
    key: Hex,
    change: String,
    #[serde(default)]
    value: Hex,
}

impl ValueChange {
    fn change(&self) -> Change<'_> {
        match self.change.as_str() {
            "delete" => Change::Delete,
            "set" => Change::Set(&self.value.0),
            "append" => Change::Append(&self.value.0),
            "delete-all" => Change::DeletePrefix,
            other => panic!("no such change: {other}"),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Due {
    due: Vec<TimerCase>,
    request: Hex,
}

#[derive(Debug, Deserialize)]
struct TimerCase {
    timestamp: String,
    key: Hex,
    #[serde(default)]
    change: String,
    namespace: Hex,
}

impl TimerCase {
    fn timestamp(&self) -> i64 {
        self.timestamp.parse().unwrap()
    }

    fn change(&self) -> TimerChange<'_> {
        let set = match self.change.as_str() {
            "set" => true,
            "delete" => false,
            other => panic!("no such change: {other}"),
        };
        TimerChange { set, timestamp: self.timestamp(), key: &self.key.0, namespace: &self.namespace.0 }
    }
}

/// Whether a reader refuses a batch, at its flags or at a row.
fn refuses<T>(read: Result<impl Iterator<Item = Result<T, BatchError>>, BatchError>) -> bool {
    read.map_or(true, |mut rows| rows.any(|row| row.is_err()))
}

#[test]
fn get() {
    let State { get, .. } = vectors("state.json");
    let request = get.request.parse().unwrap();
    assert!(read_keys(&request).unwrap().map(Result::unwrap).eq(get.keys.iter().map(|key| key.0.as_slice())));
    let answer = get.answer.parse().unwrap();
    let values = || get.values.iter().map(|value| value.as_ref().map(|value| value.0.as_slice()));
    assert!(read_values(&answer).unwrap().map(Result::unwrap).eq(values()));
    let mut builder = BatchBuilder::new(PLAIN);
    values().for_each(|value| builder.push_value(value));
    assert_eq!(builder.finish(), get.answer.0);
}

#[test]
fn scan() {
    let State { scan, .. } = vectors("state.json");
    let answer = scan.answer.parse().unwrap();
    let entries = || scan.entries.iter().map(|entry| (entry.key.0.as_slice(), entry.value.0.as_slice()));
    assert!(read_scan(&answer).unwrap().eq(entries()));
    assert!(read_scan(&scan.end.parse().unwrap()).unwrap().next().is_none());
}

#[test]
fn put() {
    let State { put, .. } = vectors("state.json");
    let request = put.request.parse().unwrap();
    let changes = || put.changes.iter().map(|change| (change.key.0.as_slice(), change.change()));
    assert!(read_changes(&request).unwrap().map(Result::unwrap).eq(changes()));
    let mut builder = BatchBuilder::new(KEYED);
    changes().for_each(|(key, change)| builder.push_change(key, change));
    assert_eq!(builder.finish(), put.request.0);
    assert!(!put.invalid.is_empty());
    for case in &put.invalid {
        assert!(refuses(read_changes(&case.hex.parse().unwrap())), "{}", case.reason);
    }
}

#[test]
fn timers() {
    let State { set_timers, timers, .. } = vectors("state.json");
    let request = set_timers.request.parse().unwrap();
    let changes = || set_timers.changes.iter().map(TimerCase::change);
    assert!(read_timer_changes(&request).unwrap().map(Result::unwrap).eq(changes()));
    let mut builder = BatchBuilder::new(TIMER);
    changes().for_each(|change| builder.push_timer_change(change));
    assert_eq!(builder.finish(), set_timers.request.0);
    assert!(!set_timers.invalid.is_empty());
    for case in &set_timers.invalid {
        assert!(refuses(read_timer_changes(&case.hex.parse().unwrap())), "{}", case.reason);
    }

    let due = timers.request.parse().unwrap();
    let expected =
        timers.due.iter().map(|timer| (timer.timestamp(), timer.key.0.as_slice(), timer.namespace.0.as_slice()));
    assert!(read_due_timers(&due).unwrap().eq(expected));
}
