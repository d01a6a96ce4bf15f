//! The batch codec: the one byte layout that crosses every boundary, as `sdk/wit/millrace.wit` documents it.
//!
//! Invariants:
//! - A [`BatchView`] exists only of bytes that were checked from the first to the last, once, by
//!   [`BatchView::parse`]; whoever holds one reads rows without checks that could fail.
//! - Nothing here panics because of the bytes that it reads.
//! - What [`BatchBuilder`] writes, [`BatchView::parse`] takes.
//!
//! Three layers: batches of rows ([`BatchView`], [`BatchBuilder`]), what the host's functions for state and timers
//! put into rows ([`Change`], [`TimerChange`]), and the payload format `fields` ([`Fields`]).

mod batch;
mod builder;
mod error;
mod fields;
mod host_calls;

pub use batch::{BatchFlags, BatchView, HEADER_BYTES, Row, Rows};
pub use builder::BatchBuilder;
pub use error::BatchError;
pub use fields::{Fields, FieldsError, encode_fields};
pub use host_calls::{
    Change, TimerChange, read_changes, read_due_timers, read_keys, read_scan, read_timer_changes, read_values,
};
