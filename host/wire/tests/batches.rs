//! Properties of batches: what is written is read, and no bytes make a reader panic.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use bytes::Bytes;
use millrace_wire::{BatchBuilder, BatchError, BatchFlags, BatchView, HEADER_BYTES, Row};
use proptest::collection::vec;
use proptest::prelude::*;

type OwnedRow = (i64, Vec<u8>, Vec<u8>);

fn flags() -> impl Strategy<Value = BatchFlags> {
    (any::<bool>(), any::<bool>()).prop_map(|(timestamped, keyed)| BatchFlags { timestamped, keyed })
}

fn owned_rows() -> impl Strategy<Value = Vec<OwnedRow>> {
    vec((any::<i64>(), vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..40)), 0..30)
}

fn push(builder: &mut BatchBuilder, (timestamp, key, payload): &OwnedRow) {
    let flags = builder.flags();
    builder.push(flags.timestamped.then_some(*timestamp), flags.keyed.then_some(key.as_slice()), payload);
}

fn build(flags: BatchFlags, rows: &[OwnedRow]) -> Bytes {
    let mut builder = BatchBuilder::new(flags);
    rows.iter().for_each(|row| push(&mut builder, row));
    builder.finish()
}

/// The layout once more, written down naively from its description.
fn reference(flags: BatchFlags, rows: &[OwnedRow]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut index = Vec::new();
    for (timestamp, key, payload) in rows {
        if flags.timestamped {
            body.extend(timestamp.to_le_bytes());
        }
        if flags.keyed {
            body.extend((key.len() as u32).to_le_bytes());
            body.extend(key);
        }
        body.extend(payload);
        index.extend((16 + body.len() as u32).to_le_bytes());
    }
    let bits = u32::from(flags.timestamped) + 2 * u32::from(flags.keyed);
    let mut batch = b"MRB1".to_vec();
    for word in [bits, rows.len() as u32, 16 + body.len() as u32] {
        batch.extend(word.to_le_bytes());
    }
    batch.extend(body);
    batch.extend(index);
    batch
}

/// Everything that reads a batch agrees with everything else.
fn check_readers_agree(view: &BatchView) {
    let rows: Vec<Row<'_>> = view.rows().collect();
    assert_eq!(rows.len(), view.len());
    assert_eq!(view.rows().len(), view.len());
    assert_eq!(view.is_empty(), rows.is_empty());
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(view.row(at), *row);
        assert_eq!(row.timestamp.is_some(), view.flags().timestamped);
        assert_eq!(row.key.is_some(), view.flags().keyed);
    }
    let longest = rows.iter().map(|row| row.bytes.len()).max().unwrap_or(0) as u32;
    assert!(view.check_record_limit(longest).is_ok());
    if longest > 0 {
        let refused = view.check_record_limit(longest - 1);
        assert!(matches!(refused, Err(BatchError::RecordTooLong { len, .. }) if len == longest));
    }

    let mut copy = BatchBuilder::new(view.flags());
    rows.iter().for_each(|row| copy.push(row.timestamp, row.key, row.payload));
    assert_eq!(copy.byte_len(), view.byte_len());
    assert_eq!(copy.finish(), view.as_bytes());
    rows.iter().for_each(|row| copy.push_encoded(row.bytes));
    assert_eq!(copy.finish(), view.as_bytes());
}

proptest! {
    #[test]
    fn what_is_built_is_the_documented_layout_and_reads_back(flags in flags(), rows in owned_rows()) {
        let bytes = build(flags, &rows);
        prop_assert_eq!(&bytes[..], &reference(flags, &rows)[..]);
        let view = BatchView::parse(bytes).unwrap();
        prop_assert_eq!(view.flags(), flags);
        prop_assert_eq!(view.len(), rows.len());
        for (row, (timestamp, key, payload)) in view.rows().zip(&rows) {
            prop_assert_eq!(row.timestamp, flags.timestamped.then_some(*timestamp));
            prop_assert_eq!(row.key, flags.keyed.then_some(key.as_slice()));
            prop_assert_eq!(row.payload, payload.as_slice());
        }
        check_readers_agree(&view);
    }

    #[test]
    fn appended_batches_are_their_rows_in_order(flags in flags(), parts in vec(owned_rows(), 0..5), lone in owned_rows()) {
        let mut builder = BatchBuilder::with_capacity(flags, 100);
        lone.iter().for_each(|row| push(&mut builder, row));
        for part in &parts {
            builder.append(&BatchView::parse(build(flags, part)).unwrap());
        }
        let all: Vec<OwnedRow> = lone.iter().chain(parts.iter().flatten()).cloned().collect();
        prop_assert_eq!(builder.rows(), all.len());
        prop_assert_eq!(builder.is_empty(), all.is_empty());
        let expected_len = builder.byte_len();
        let view = builder.finish_view();
        prop_assert_eq!(view.byte_len(), expected_len);
        prop_assert_eq!(&view.as_bytes()[..], &reference(flags, &all)[..]);
        prop_assert_eq!(BatchView::parse(view.as_bytes().clone()).unwrap(), view);
        prop_assert!(builder.is_empty() && builder.byte_len() == HEADER_BYTES);
    }

    #[test]
    fn a_builder_is_as_new_after_each_batch(flags in flags(), first in owned_rows(), second in owned_rows()) {
        let mut builder = BatchBuilder::new(flags);
        first.iter().for_each(|row| push(&mut builder, row));
        builder.finish();
        second.iter().for_each(|row| push(&mut builder, row));
        prop_assert_eq!(builder.finish(), build(flags, &second));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(view) = BatchView::parse(Bytes::from(bytes)) {
            check_readers_agree(&view);
        }
    }

    #[test]
    fn random_bytes_behind_a_good_header_never_panic(
        bits in 0u32..5, rows in 0u32..6, body in vec(any::<u8>(), 0..60), ends in vec(0u32..60, 0..6),
    ) {
        let mut bytes = b"MRB1".to_vec();
        for word in [bits, rows, 16 + body.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&body);
        ends.iter().for_each(|end| bytes.extend((16 + end).to_le_bytes()));
        if let Ok(view) = BatchView::parse(Bytes::from(bytes)) {
            check_readers_agree(&view);
        }
    }

    #[test]
    fn mutated_batches_are_refused_or_read_whole(
        flags in flags(), rows in owned_rows(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        small in any::<bool>(),
    ) {
        let mut bytes = build(flags, &rows).to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            // Small steps hit offsets that are nearly right.
            bytes[at] = if small { bytes[at].wrapping_add(value % 5).wrapping_sub(2) } else { value };
        }
        if let Ok(view) = BatchView::parse(Bytes::from(bytes)) {
            check_readers_agree(&view);
        }
    }

    #[test]
    fn cut_or_lengthened_batches_are_refused(flags in flags(), rows in owned_rows(), cut in any::<prop::sample::Index>()) {
        let bytes = build(flags, &rows);
        let cut = bytes.slice(..cut.index(bytes.len()));
        prop_assert!(BatchView::parse(cut).is_err());
        let mut longer = bytes.to_vec();
        longer.push(0);
        let refused = matches!(BatchView::parse(Bytes::from(longer)), Err(BatchError::Index { .. }));
        prop_assert!(refused);
    }
}

/// A batch of plain rows made by hand.
fn by_hand(bits: u32, rows: u32, index: u32, body: &[u8], ends: &[u32]) -> Result<BatchView, BatchError> {
    let mut bytes = b"MRB1".to_vec();
    for word in [bits, rows, index] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(body);
    ends.iter().for_each(|end| bytes.extend(end.to_le_bytes()));
    BatchView::parse(Bytes::from(bytes))
}

#[test]
fn each_error_names_its_place() {
    assert_eq!(BatchView::parse(Bytes::from_static(b"MRB1")), Err(BatchError::Header { len: 4 }));
    let found = *b"MRB2";
    assert_eq!(
        BatchView::parse(Bytes::from_static(b"MRB2\0\0\0\0\0\0\0\0\x10\0\0\0")),
        Err(BatchError::Magic { found })
    );
    assert_eq!(by_hand(4, 0, 16, &[], &[]), Err(BatchError::UnknownFlags { found: 4 }));
    assert_eq!(by_hand(0, 0, 18, b"ab", &[]), Err(BatchError::Index { len: 18, rows: 0, index: 18 }));
    assert_eq!(by_hand(0, 1, 12, &[], &[]), Err(BatchError::Index { len: 16, rows: 1, index: 12 }));
    let huge = by_hand(0, u32::MAX, u32::MAX, b"ab", &[18]);
    assert_eq!(huge, Err(BatchError::Index { len: 22, rows: u32::MAX, index: u32::MAX }));
    let row_end = |row, start, end, rows_end| Err(BatchError::RowEnd { row, start, end, rows_end });
    assert_eq!(by_hand(0, 2, 18, b"ab", &[18, 17]), row_end(1, 18, 17, 18));
    assert_eq!(by_hand(0, 2, 18, b"ab", &[19, 18]), row_end(0, 16, 19, 18));
    assert_eq!(by_hand(0, 1, 18, b"ab", &[15]), row_end(0, 16, 15, 18));
    assert_eq!(by_hand(0, 2, 18, b"ab", &[16, 17]), Err(BatchError::LastRow { end: 17, index: 18 }));
    let short = BatchError::RowTooShort { row: 0, start: 16, len: 2, needed: 12 };
    assert_eq!(by_hand(3, 1, 18, b"ab", &[18]), Err(short));
    let key = BatchError::Key { row: 0, start: 16, key_len: 2, room: 1 };
    assert_eq!(by_hand(2, 1, 21, &[2, 0, 0, 0, 9], &[21]), Err(key));
    let key = BatchError::Key { row: 0, start: 16, key_len: u32::MAX, room: 0 };
    assert_eq!(by_hand(2, 1, 20, &[255, 255, 255, 255], &[20]), Err(key.clone()));
    assert_eq!(key.to_string(), "row 0 at offset 16 states a key of 4294967295 bytes and has 0 for it");
}

#[test]
fn a_row_may_be_as_short_as_its_flags_allow_and_no_shorter() {
    for (bits, needed) in [(1, 8), (2, 4), (3, 12)] {
        let body = [0; 12];
        assert!(by_hand(bits, 1, 16 + needed, &body[..needed as usize], &[16 + needed]).is_ok());
        let len = needed - 1;
        let short = by_hand(bits, 1, 16 + len, &body[..len as usize], &[16 + len]);
        assert_eq!(short, Err(BatchError::RowTooShort { row: 0, start: 16, len, needed }));
    }
}

#[test]
fn empty_rows_are_rows() {
    let view = by_hand(0, 3, 16, &[], &[16, 16, 16]).unwrap();
    assert_eq!(view.len(), 3);
    assert!(view.rows().all(|row| row.payload.is_empty()));
    check_readers_agree(&view);
}
