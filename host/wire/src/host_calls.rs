//! What the functions of the `host` interface for state and timers put into batches.
//!
//! Every `read_…` function checks the batch's flags first and then each row as it is taken.

use crate::batch::{BatchFlags, BatchView, Row};
use crate::builder::BatchBuilder;
use crate::error::BatchError;

/// One change of a value of keyed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key is absent from now on.
    Delete,
    /// The key has this value.
    Set(&'a [u8]),
    /// The value grows at its end by these bytes; an absent one counts as empty.
    Append(&'a [u8]),
    /// All entries of the key whose sub-keys begin with this one are absent from now on.
    DeletePrefix,
}

/// One timer set or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerChange<'a> {
    /// Whether it is set, or else deleted.
    pub set: bool,
    /// When it is due, in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// The key that it belongs to.
    pub key: &'a [u8],
    /// Tells timers of one key and timestamp apart, such as those of windows.
    pub namespace: &'a [u8],
}

impl BatchBuilder {
    /// Appends a row of a `get` answer or a batch of values; the builder is without flags.
    pub fn push_value(&mut self, value: Option<&[u8]>) {
        self.push_tagged(None, None, u8::from(value.is_some()), value.unwrap_or_default());
    }

    /// Appends a row of a `put` batch; the builder is KEYED.
    pub fn push_change(&mut self, key: &[u8], change: Change<'_>) {
        let (tag, bytes) = match change {
            Change::Delete => (0, &[][..]),
            Change::Set(value) => (1, value),
            Change::Append(bytes) => (2, bytes),
            Change::DeletePrefix => (3, &[][..]),
        };
        self.push_tagged(None, Some(key), tag, bytes);
    }

    /// Appends a row of a `set-timers` batch; the builder is KEYED and TIMESTAMPED.
    pub fn push_timer_change(&mut self, change: TimerChange<'_>) {
        self.push_tagged(Some(change.timestamp), Some(change.key), u8::from(change.set), change.namespace);
    }
}

fn require(batch: &BatchView, call: &'static str, expected: BatchFlags) -> Result<(), BatchError> {
    let found = batch.flags();
    if found == expected { Ok(()) } else { Err(BatchError::Flags { call, expected, found }) }
}

/// Splits a payload into its first byte and the rest.
fn tagged<'a>(
    call: &'static str,
    expected: &'static str,
    row: usize,
    payload: &'a [u8],
    tag_max: u8,
) -> Result<(u8, &'a [u8]), BatchError> {
    match payload.split_first() {
        Some((&tag, rest)) if tag <= tag_max => Ok((tag, rest)),
        Some((tag, _)) => Err(BatchError::Payload { call, row, expected, found: format!("begins with {tag}") }),
        None => Err(BatchError::Payload { call, row, expected, found: "is empty".to_owned() }),
    }
}

/// The rest of a payload whose first byte says that nothing follows.
fn nothing(call: &'static str, expected: &'static str, row: usize, rest: &[u8]) -> Result<(), BatchError> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(BatchError::Payload { call, row, expected, found: format!("has {} bytes too many", rest.len()) })
}

fn key<'a>(row: &Row<'a>) -> &'a [u8] {
    row.key.unwrap_or_default()
}

/// The keys of a `get` call.
pub fn read_keys(batch: &BatchView) -> Result<impl ExactSizeIterator<Item = Result<&[u8], BatchError>>, BatchError> {
    require(batch, "get", BatchFlags::KEYED)?;
    Ok(batch.rows().enumerate().map(|(at, row)| {
        nothing("get", "keys with an empty payload", at, row.payload)?;
        Ok(key(&row))
    }))
}

/// The values of a `get` answer; `None`: the key is absent.
pub fn read_values(
    batch: &BatchView,
) -> Result<impl ExactSizeIterator<Item = Result<Option<&[u8]>, BatchError>>, BatchError> {
    const EXPECTED: &str = "one byte 0, or one byte 1 and the value";
    require(batch, "the answer of get", BatchFlags::PLAIN)?;
    Ok(batch.rows().enumerate().map(|(at, row)| {
        let (tag, value) = tagged("the answer of get", EXPECTED, at, row.payload, 1)?;
        if tag == 1 {
            return Ok(Some(value));
        }
        nothing("the answer of get", EXPECTED, at, value)?;
        Ok(None)
    }))
}

/// The keys and values of a `scan` answer.
pub fn read_scan(batch: &BatchView) -> Result<impl ExactSizeIterator<Item = (&[u8], &[u8])>, BatchError> {
    require(batch, "the answer of scan", BatchFlags::KEYED)?;
    Ok(batch.rows().map(|row| (key(&row), row.payload)))
}

/// The changes of a `put` call, in order.
pub fn read_changes(
    batch: &BatchView,
) -> Result<impl ExactSizeIterator<Item = Result<(&[u8], Change<'_>), BatchError>>, BatchError> {
    const EXPECTED: &str = "one byte 0 or 3, one byte 1 and a value, or one byte 2 and bytes to append";
    require(batch, "put", BatchFlags::KEYED)?;
    Ok(batch.rows().enumerate().map(|(at, row)| {
        let change = match tagged("put", EXPECTED, at, row.payload, 3)? {
            (1, value) => Change::Set(value),
            (2, bytes) => Change::Append(bytes),
            (tag, rest) => {
                nothing("put", EXPECTED, at, rest)?;
                if tag == 0 { Change::Delete } else { Change::DeletePrefix }
            }
        };
        Ok((key(&row), change))
    }))
}

/// The changes of a `set-timers` call, in order.
pub fn read_timer_changes(
    batch: &BatchView,
) -> Result<impl ExactSizeIterator<Item = Result<TimerChange<'_>, BatchError>>, BatchError> {
    const EXPECTED: &str = "one byte 1 (set) or 0 (delete) and the namespace";
    require(batch, "set-timers", BatchFlags::TIMER)?;
    Ok(batch.rows().enumerate().map(|(at, row)| {
        let (tag, namespace) = tagged("set-timers", EXPECTED, at, row.payload, 1)?;
        Ok(TimerChange { set: tag == 1, timestamp: row.timestamp.unwrap_or_default(), key: key(&row), namespace })
    }))
}

/// The timers of a `timers` call as (timestamp, key, namespace).
pub fn read_due_timers(batch: &BatchView) -> Result<impl ExactSizeIterator<Item = (i64, &[u8], &[u8])>, BatchError> {
    require(batch, "timers", BatchFlags::TIMER)?;
    Ok(batch.rows().map(|row| (row.timestamp.unwrap_or_default(), key(&row), row.payload)))
}
