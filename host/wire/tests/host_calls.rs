//! Properties of what the state and timer functions put into batches, and of the format `fields`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use millrace_wire::{
    BatchBuilder, BatchError, BatchFlags, BatchView, Change, Fields, FieldsError, TimerChange, encode_fields,
    read_changes, read_due_timers, read_keys, read_scan, read_timer_changes, read_values,
};
use proptest::collection::vec;
use proptest::prelude::*;

const PLAIN: BatchFlags = BatchFlags { timestamped: false, keyed: false };
const KEYED: BatchFlags = BatchFlags { timestamped: false, keyed: true };
const TIMER: BatchFlags = BatchFlags { timestamped: true, keyed: true };

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..12)
}

/// A batch of rows with arbitrary payloads.
fn any_batch() -> impl Strategy<Value = BatchView> {
    let flags = (any::<bool>(), any::<bool>());
    (flags, vec((any::<i64>(), bytes(), vec(0u8..4, 0..4)), 0..8)).prop_map(|((timestamped, keyed), rows)| {
        let mut builder = BatchBuilder::new(BatchFlags { timestamped, keyed });
        for (timestamp, key, payload) in &rows {
            builder.push(timestamped.then_some(*timestamp), keyed.then_some(key.as_slice()), payload);
        }
        builder.finish_view()
    })
}

/// The first byte of each payload, if it has one, and what follows it.
fn tags(batch: &BatchView) -> Vec<Option<(u8, usize)>> {
    batch.rows().map(|row| row.payload.split_first().map(|(tag, rest)| (*tag, rest.len()))).collect()
}

proptest! {
    #[test]
    fn values_read_back(values in vec(prop::option::of(bytes()), 0..20)) {
        let mut builder = BatchBuilder::new(PLAIN);
        values.iter().for_each(|value| builder.push_value(value.as_deref()));
        let batch = builder.finish_view();
        let read: Vec<_> = read_values(&batch).unwrap().map(|value| value.unwrap().map(<[u8]>::to_vec)).collect();
        prop_assert_eq!(read, values);
    }

    #[test]
    fn changes_read_back(changes in vec((bytes(), 0u8..4, bytes()), 0..20)) {
        fn change(tag: u8, bytes: &[u8]) -> Change<'_> {
            [Change::Delete, Change::Set(bytes), Change::Append(bytes), Change::DeletePrefix][usize::from(tag)]
        }
        let mut builder = BatchBuilder::new(KEYED);
        changes.iter().for_each(|(key, tag, bytes)| builder.push_change(key, change(*tag, bytes)));
        let batch = builder.finish_view();
        let read: Vec<_> = read_changes(&batch).unwrap().map(Result::unwrap).collect();
        let expected: Vec<_> = changes.iter().map(|(key, tag, bytes)| (&key[..], change(*tag, bytes))).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn timer_changes_read_back(changes in vec((any::<bool>(), any::<i64>(), bytes(), bytes()), 0..20)) {
        let changes: Vec<_> = changes
            .iter()
            .map(|(set, timestamp, key, namespace)| TimerChange { set: *set, timestamp: *timestamp, key, namespace })
            .collect();
        let mut builder = BatchBuilder::new(TIMER);
        changes.iter().for_each(|change| builder.push_timer_change(*change));
        let batch = builder.finish_view();
        prop_assert_eq!(read_timer_changes(&batch).unwrap().map(Result::unwrap).collect::<Vec<_>>(), changes);
    }

    #[test]
    fn every_call_takes_what_its_documentation_says_and_nothing_else(batch in any_batch()) {
        let flags = batch.flags();
        prop_assert_eq!(read_keys(&batch).is_ok(), flags == KEYED);
        prop_assert_eq!(read_changes(&batch).is_ok(), flags == KEYED);
        prop_assert_eq!(read_scan(&batch).is_ok(), flags == KEYED);
        prop_assert_eq!(read_values(&batch).is_ok(), flags == PLAIN);
        prop_assert_eq!(read_timer_changes(&batch).is_ok(), flags == TIMER);
        prop_assert_eq!(read_due_timers(&batch).is_ok(), flags == TIMER);

        let tags = tags(&batch);
        if let Ok(keys) = read_keys(&batch) {
            prop_assert!(keys.zip(&tags).all(|(key, tag)| key.is_ok() == tag.is_none()));
        }
        if let Ok(values) = read_values(&batch) {
            prop_assert!(values.zip(&tags).all(|(value, tag)| value.is_ok() == matches!(tag, Some((0, 0) | (1, _)))));
        }
        if let Ok(changes) = read_changes(&batch) {
            let good = |tag: &Option<(u8, usize)>| matches!(tag, Some((0 | 3, 0) | (1 | 2, _)));
            prop_assert!(changes.zip(&tags).all(|(change, tag)| change.is_ok() == good(tag)));
        }
        if let Ok(changes) = read_timer_changes(&batch) {
            prop_assert!(changes.zip(&tags).all(|(change, tag)| change.is_ok() == matches!(tag, Some((0 | 1, _)))));
        }
    }

    #[test]
    fn fields_read_back(fields in vec(bytes(), 0..20), before in bytes()) {
        let mut out = before.clone();
        encode_fields(fields.iter().map(Vec::as_slice), &mut out).unwrap();
        prop_assert_eq!(&out[..before.len()], &before[..]);
        let record = Fields::parse(&out[before.len()..]).unwrap();
        prop_assert_eq!(record.len(), fields.len());
        prop_assert_eq!(record.is_empty(), fields.is_empty());
        prop_assert!(record.iter().eq(fields.iter().map(Vec::as_slice)));
        for (at, field) in fields.iter().enumerate() {
            prop_assert_eq!(record.get(at), Some(field.as_slice()));
        }
        prop_assert_eq!(record.get(fields.len()), None);
    }

    #[test]
    fn no_bytes_make_fields_panic(count in 0u32..5, table in vec(0u32..12, 0..5), data in vec(any::<u8>(), 0..12), cut in 0usize..4) {
        let mut payload = count.to_le_bytes().to_vec();
        table.iter().for_each(|end| payload.extend(end.to_le_bytes()));
        payload.extend(data);
        payload.truncate(payload.len() - cut);
        if let Ok(record) = Fields::parse(&payload) {
            let mut again = Vec::new();
            encode_fields(record.iter(), &mut again).unwrap();
            prop_assert_eq!(again, payload);
        }
    }
}

#[test]
fn errors_name_call_row_and_payload() {
    let mut builder = BatchBuilder::new(KEYED);
    builder.push_change(b"k", Change::Delete);
    builder.push(None, Some(b"k"), &[0, 7, 7]);
    builder.push(None, Some(b"k"), &[4]);
    builder.push(None, Some(b"k"), &[]);
    let batch = builder.finish_view();
    let errors: Vec<String> =
        read_changes(&batch).unwrap().filter_map(|change| Some(change.err()?.to_string())).collect();
    let takes = "put takes one byte 0 or 3, one byte 1 and a value, or one byte 2 and bytes to append";
    assert_eq!(
        errors,
        [
            format!("row 1: {takes}, and the payload has 2 bytes too many"),
            format!("row 2: {takes}, and the payload begins with 4"),
            format!("row 3: {takes}, and the payload is empty"),
        ]
    );
    let refused = read_timer_changes(&batch).err().unwrap();
    assert_eq!(refused.to_string(), "the batch is KEYED, and set-timers takes one that is TIMESTAMPED and KEYED");
    assert!(matches!(refused, BatchError::Flags { .. }));
}

#[test]
fn fields_errors_name_their_place() {
    assert_eq!(Fields::parse(&[1, 0, 0]), Err(FieldsError::Table { len: 3, fields: 0 }));
    assert_eq!(Fields::parse(&[255; 4]), Err(FieldsError::Table { len: 4, fields: u32::MAX }));
    let data_len = 2;
    assert_eq!(Fields::parse(&[0, 0, 0, 0, 9, 9]), Err(FieldsError::Trailing { end: 0, data_len }));
    let end = Fields::parse(&[1, 0, 0, 0, 3, 0, 0, 0, 9, 9]);
    assert_eq!(end, Err(FieldsError::End { field: 0, start: 0, end: 3, data_len }));
}
