//! The frames of the data plane: what two TaskManagers say to each other over one connection. Pure.
//!
//! Invariants:
//! - A header is checked as a whole, the length by the kind, before anybody makes room for what follows it.
//! - Nothing here panics because of the bytes that it reads; what [`Frame::encode`] writes, [`Frame::decode`] takes.
//!
//! The TaskManager that produces records opens the connection with a [`Hello`](crate::Hello) and gets a
//! [`HelloReply`](crate::HelloReply). Frames follow, in both directions, until one of them closes it. All numbers are
//! little-endian. Every frame begins with a header of [`FRAME_HEADER_BYTES`]:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 1 | the kind |
//! | 1 | 1 | flags: EXCLUSIVE (1), at `batch` and `credit` alone |
//! | 2 | 2 | zero |
//! | 4 | 4 | the length of the body, in bytes |
//! | 8 | 4 | the channel's handle |
//!
//! | kind | name | who sends it | body |
//! | --- | --- | --- | --- |
//! | 1 | open | producer | job (16 bytes), edge, source subtask, source attempt, target subtask, target attempt (u32 each) |
//! | 2 | batch | producer | a batch, at most [`BATCH_FRAME_BYTES_MAX`]; EXCLUSIVE: sent under the exclusive right |
//! | 3 | watermark | producer | milliseconds since 1970 (i64) |
//! | 4 | end | producer | nothing |
//! | 5 | gone | either | nothing |
//! | 6 | opened | consumer | nothing |
//! | 7 | refused | consumer | why, as UTF-8, at most [`REASON_BYTES_MAX`] |
//! | 8 | credit | consumer | items, bytes, barriers (u32 each); EXCLUSIVE: the exclusive right too |
//! | 9 | barrier | producer | see below, at most [`BARRIER_FRAME_BYTES_MAX`] |
//! | 10 | status | producer | 1 if the channel is idle from here on, 0 if it is active (1 byte) |
//!
//! The body of a barrier:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | the checkpoint |
//! | 8 | 8 | when it was triggered, in milliseconds since 1970 |
//! | 16 | 8 | the alignment's timeout in milliseconds; 0 unless the alignment is unaligned |
//! | 24 | 1 | 0 checkpoint, 1 savepoint, 2 savepoint behind which the tasks stop |
//! | 25 | 1 | alignment: 0 none, 1 aligned, 2 unaligned |
//! | 26 | 1 | 1 if it has overtaken the producer's unsent batches, else 0 |
//! | 27 | 1 | 1 if a folder follows, else 0 |
//! | 28 | | the folder, as UTF-8, at most `SAVEPOINT_FOLDER_BYTES_MAX` |
//!
//! The producer counts handles up from 0, one for each `open`, and never uses one again on the connection. Each side
//! says one last thing of a handle: the producer `end` or `gone`, the consumer `refused` or `gone`, and nothing of it
//! after that. So each side knows when it may forget a handle, and everything else about one is an error.
//!
//! A batch, a watermark, a status or a barrier needs an item that was granted, save that a barrier that has overtaken
//! needs a granted barrier instead. A batch needs as many granted bytes as its body has, or, of any length, the exclusive
//! right.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use millrace_types::{Barrier, JobId, RECORD_BYTES_MAX};

use crate::text::bounded_text;

mod barrier;
mod error;
mod header;

pub use barrier::BARRIER_FRAME_BYTES_MAX;
pub use error::FrameError;
pub use header::{FrameHeader, FrameKind, Side};

/// The length of a frame's header, in bytes.
pub const FRAME_HEADER_BYTES: usize = 12;

/// The longest batch that a frame carries, in bytes: the longest record, and what may have been joined with it.
pub const BATCH_FRAME_BYTES_MAX: u32 = RECORD_BYTES_MAX + 1024 * 1024;

/// The longest text that says why something was refused, in bytes.
pub const REASON_BYTES_MAX: usize = 512;

/// A channel, as `open` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelName {
    /// The job.
    pub job: JobId,
    /// The exchange: its position in the JobGraph's edges.
    pub edge: u32,
    /// The producing attempt's subtask.
    pub source_subtask: u32,
    /// The producing attempt's number.
    pub source_attempt: u32,
    /// The consuming attempt's subtask.
    pub target_subtask: u32,
    /// The consuming attempt's number.
    pub target_attempt: u32,
}

impl ChannelName {
    const BYTES: u32 = 36;

    fn put(&self, out: &mut impl BufMut) {
        out.put_slice(self.job.as_bytes());
        let numbers = [self.edge, self.source_subtask, self.source_attempt, self.target_subtask, self.target_attempt];
        numbers.into_iter().for_each(|number| out.put_u32_le(number));
    }

    fn get(mut body: &[u8]) -> Option<Self> {
        let job = JobId::from_bytes(*body.first_chunk()?);
        body.advance(16);
        let mut number = || body.try_get_u32_le().ok();
        Some(Self {
            job,
            edge: number()?,
            source_subtask: number()?,
            source_attempt: number()?,
            target_subtask: number()?,
            target_attempt: number()?,
        })
    }
}

/// One thing that is said about a channel. `handle` is the producer's short name of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The producer wants to send through this channel.
    Open {
        /// The handle that it gives the channel.
        handle: u32,
        /// The channel.
        channel: ChannelName,
    },
    /// Records.
    Batch {
        /// The channel.
        handle: u32,
        /// Whether it takes the exclusive right instead of granted bytes.
        exclusive: bool,
        /// The batch, as it is encoded; not checked here.
        batch: Bytes,
    },
    /// No record with a timestamp at or below this one follows.
    Watermark {
        /// The channel.
        handle: u32,
        /// Milliseconds since 1970.
        timestamp: i64,
    },
    /// Nothing follows; the producer's last word.
    End {
        /// The channel.
        handle: u32,
    },
    /// This end is gone; its last word.
    Gone {
        /// The channel.
        handle: u32,
    },
    /// The consumer is there.
    Opened {
        /// The channel.
        handle: u32,
    },
    /// There is no such consumer; the consumer's last word.
    Refused {
        /// The channel.
        handle: u32,
        /// Why, at most [`REASON_BYTES_MAX`] bytes; encoding cuts it off there.
        reason: String,
    },
    /// The producer may send more.
    Credit {
        /// The channel.
        handle: u32,
        /// So many more items.
        items: u32,
        /// So many more bytes of batches.
        bytes: u32,
        /// So many more barriers that overtake.
        barriers: u32,
        /// The exclusive right too.
        exclusive: bool,
    },
    /// Separates the records of a checkpoint from those behind it.
    Barrier {
        /// The channel.
        handle: u32,
        /// Whether it has overtaken what the producer had not sent.
        overtaking: bool,
        /// What it says; its folder is no longer than `SAVEPOINT_FOLDER_BYTES_MAX`.
        barrier: Arc<Barrier>,
    },
    /// Whether records and watermarks are to be expected.
    Status {
        /// The channel.
        handle: u32,
        /// Whether it is idle from here on.
        idle: bool,
    },
}

impl Frame {
    /// Makes a frame of a checked header and a body of the length that the header states. The batch of a `batch` is
    /// the body itself, uncopied.
    ///
    /// # Errors
    /// If the body has another length, a text is none, or a number stands for nothing.
    pub fn from_parts(header: FrameHeader, body: Bytes) -> Result<Self, FrameError> {
        let FrameHeader { kind, exclusive, len, handle } = header;
        let wrong_length = FrameError::Length { kind, len: u32::try_from(body.len()).unwrap_or(u32::MAX) };
        if body.len() != len as usize {
            return Err(wrong_length);
        }
        let frame = match kind {
            FrameKind::Open => ChannelName::get(&body).map(|channel| Self::Open { handle, channel }),
            FrameKind::Batch => Some(Self::Batch { handle, exclusive, batch: body }),
            FrameKind::Watermark => {
                (&*body).try_get_i64_le().ok().map(|timestamp| Self::Watermark { handle, timestamp })
            }
            FrameKind::End => Some(Self::End { handle }),
            FrameKind::Gone => Some(Self::Gone { handle }),
            FrameKind::Opened => Some(Self::Opened { handle }),
            FrameKind::Refused => {
                let reason = std::str::from_utf8(&body).map_err(|_| FrameError::Text)?;
                Some(Self::Refused { handle, reason: reason.to_owned() })
            }
            FrameKind::Credit => {
                let mut body = &*body;
                let mut number = || body.try_get_u32_le().ok();
                let mut three = || Some((number()?, number()?, number()?));
                three().map(|(items, bytes, barriers)| Self::Credit { handle, items, bytes, barriers, exclusive })
            }
            FrameKind::Barrier => {
                let (barrier, overtaking) = barrier::get(&body)?;
                Some(Self::Barrier { handle, overtaking, barrier: Arc::new(barrier) })
            }
            FrameKind::Status => match *body {
                [idle @ (0 | 1)] => Some(Self::Status { handle, idle: idle == 1 }),
                _ => return Err(FrameError::Value { kind }),
            },
        };
        frame.ok_or(wrong_length)
    }

    /// Reads the frame at the beginning of some bytes, and gives what is behind it; `None` if more bytes are needed.
    ///
    /// # Errors
    /// If no bytes that follow could make it a frame.
    pub fn decode(mut bytes: Bytes) -> Result<Option<(Self, Bytes)>, FrameError> {
        let Some(head) = bytes.first_chunk() else {
            return Ok(None);
        };
        let header = FrameHeader::parse(head)?;
        if bytes.len() - FRAME_HEADER_BYTES < header.len as usize {
            return Ok(None);
        }
        bytes.advance(FRAME_HEADER_BYTES);
        let body = bytes.split_to(header.len as usize);
        Ok(Some((Self::from_parts(header, body)?, bytes)))
    }

    /// Writes the frame, without the batch of a `batch`: that is to be written directly behind it.
    pub fn encode_head(&self, out: &mut impl BufMut) {
        let put = |out: &mut _, kind, exclusive, len, handle| FrameHeader { kind, exclusive, len, handle }.put(out);
        match self {
            Self::Open { handle, channel } => {
                put(out, FrameKind::Open, false, ChannelName::BYTES, *handle);
                channel.put(out);
            }
            Self::Batch { handle, exclusive, batch } => {
                let len = u32::try_from(batch.len()).unwrap_or(u32::MAX);
                put(out, FrameKind::Batch, *exclusive, len, *handle);
            }
            Self::Watermark { handle, timestamp } => {
                put(out, FrameKind::Watermark, false, 8, *handle);
                out.put_i64_le(*timestamp);
            }
            Self::End { handle } => put(out, FrameKind::End, false, 0, *handle),
            Self::Gone { handle } => put(out, FrameKind::Gone, false, 0, *handle),
            Self::Opened { handle } => put(out, FrameKind::Opened, false, 0, *handle),
            Self::Refused { handle, reason } => {
                let reason = bounded_text(reason, REASON_BYTES_MAX);
                put(out, FrameKind::Refused, false, reason.len() as u32, *handle);
                out.put_slice(reason.as_bytes());
            }
            Self::Credit { handle, items, bytes, barriers, exclusive } => {
                put(out, FrameKind::Credit, *exclusive, 12, *handle);
                [items, bytes, barriers].into_iter().for_each(|number| out.put_u32_le(*number));
            }
            Self::Barrier { handle, overtaking, barrier } => {
                put(out, FrameKind::Barrier, false, barrier::byte_len(barrier), *handle);
                barrier::put(barrier, *overtaking, out);
            }
            Self::Status { handle, idle } => {
                put(out, FrameKind::Status, false, 1, *handle);
                out.put_u8(u8::from(*idle));
            }
        }
    }

    /// Writes the whole frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        self.encode_head(out);
        if let Self::Batch { batch, .. } = self {
            out.put_slice(batch);
        }
    }
}
