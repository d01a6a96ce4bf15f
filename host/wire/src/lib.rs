//! The codecs: batches, the one byte layout that crosses every boundary, as `sdk/wit/millrace.wit` documents it; and the
//! frames in which they travel between TaskManagers.
//!
//! Invariants:
//! - A [`BatchView`] exists only of bytes that were checked from the first to the last, once, by
//!   [`BatchView::parse`]; whoever holds one reads rows without checks that could fail.
//! - Nothing here panics because of the bytes that it reads.
//! - What [`BatchBuilder`] writes, [`BatchView::parse`] takes.
//!
//! The layers of a batch: batches of rows ([`BatchView`], [`BatchBuilder`]), what the host's functions for state and timers
//! put into rows ([`Change`], [`TimerChange`]), and the payload format `fields` ([`Fields`]). A connection between two
//! TaskManagers begins with a [`Hello`] and consists of [`Frame`]s.

mod batch;
mod builder;
mod error;
mod fields;
mod frame;
mod hello;
mod host_calls;
mod text;

pub use batch::{BatchFlags, BatchView, HEADER_BYTES, Row, Rows};
pub use builder::BatchBuilder;
pub use error::BatchError;
pub use fields::{Fields, FieldsError, encode_fields};
pub use frame::{
    BARRIER_FRAME_BYTES_MAX, BATCH_FRAME_BYTES_MAX, ChannelName, FRAME_HEADER_BYTES, Frame, FrameError, FrameHeader,
    FrameKind, REASON_BYTES_MAX, Side,
};
pub use hello::{
    DATA_PLANE_VERSION, HELLO_HEAD_BYTES, Hello, HelloError, HelloHead, HelloReply, ID_BYTES_MAX, ReplyHead,
};
pub use host_calls::{
    Change, TimerChange, read_changes, read_due_timers, read_keys, read_scan, read_timer_changes, read_values,
};
