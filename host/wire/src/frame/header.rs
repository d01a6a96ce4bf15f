//! The header of a frame.

use std::fmt;

use bytes::BufMut;

use crate::frame::barrier::FIXED_BYTES;
use crate::frame::{
    BARRIER_FRAME_BYTES_MAX, BATCH_FRAME_BYTES_MAX, ChannelName, FRAME_HEADER_BYTES, FrameError, REASON_BYTES_MAX,
};

const EXCLUSIVE: u8 = 1;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The TaskManager that opened it, and sends records.
    Producer,
    /// The TaskManager that takes them.
    Consumer,
}

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// The producer names a channel.
    Open,
    /// Records.
    Batch,
    /// A watermark.
    Watermark,
    /// The producer has sent all.
    End,
    /// The sender's end of the channel is gone.
    Gone,
    /// The consumer is there.
    Opened,
    /// The consumer is not there.
    Refused,
    /// The producer may send more.
    Credit,
    /// A checkpoint's barrier.
    Barrier,
    /// Idle or active.
    Status,
}

/// The lengths of bodies that a kind takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    min: u32,
    max: u32,
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { min, max } if min == max => write!(f, "{min}"),
            Self { min, max } => write!(f, "{min} to {max}"),
        }
    }
}

impl FrameKind {
    const ALL: [Self; 10] = [
        Self::Open,
        Self::Batch,
        Self::Watermark,
        Self::End,
        Self::Gone,
        Self::Opened,
        Self::Refused,
        Self::Credit,
        Self::Barrier,
        Self::Status,
    ];

    const fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Batch => 2,
            Self::Watermark => 3,
            Self::End => 4,
            Self::Gone => 5,
            Self::Opened => 6,
            Self::Refused => 7,
            Self::Credit => 8,
            Self::Barrier => 9,
            Self::Status => 10,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether this end of a connection may send it.
    pub const fn comes_from(self, side: Side) -> bool {
        match self {
            Self::Open | Self::Batch | Self::Watermark | Self::End | Self::Barrier | Self::Status => {
                matches!(side, Side::Producer)
            }
            Self::Opened | Self::Refused | Self::Credit => matches!(side, Side::Consumer),
            Self::Gone => true,
        }
    }

    const fn may_be_exclusive(self) -> bool {
        matches!(self, Self::Batch | Self::Credit)
    }

    pub(crate) const fn lengths(self) -> Lengths {
        let (min, max) = match self {
            Self::Open => (ChannelName::BYTES, ChannelName::BYTES),
            Self::Batch => (crate::HEADER_BYTES as u32, BATCH_FRAME_BYTES_MAX),
            Self::Watermark => (8, 8),
            Self::Credit => (12, 12),
            Self::Barrier => (FIXED_BYTES, BARRIER_FRAME_BYTES_MAX),
            Self::Status => (1, 1),
            Self::End | Self::Gone | Self::Opened => (0, 0),
            Self::Refused => (0, REASON_BYTES_MAX as u32),
        };
        Lengths { min, max }
    }
}

/// A header that was checked: its body may be as long as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The kind.
    pub kind: FrameKind,
    /// The flag EXCLUSIVE.
    pub exclusive: bool,
    /// The length of the body, in bytes.
    pub len: u32,
    /// The channel.
    pub handle: u32,
}

impl FrameHeader {
    /// Checks a header.
    ///
    /// # Errors
    /// If the kind, a flag or the length for the kind does not exist.
    pub fn parse(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, FrameError> {
        let [code, flags, z0, z1, l0, l1, l2, l3, h0, h1, h2, h3] = *bytes;
        let kind = FrameKind::from_code(code).ok_or(FrameError::UnknownKind { kind: code })?;
        let exclusive = flags == EXCLUSIVE && kind.may_be_exclusive();
        let zeros = u16::from_le_bytes([z0, z1]);
        if (flags != 0 && !exclusive) || zeros != 0 {
            return Err(FrameError::UnknownFlags { kind, flags, zeros });
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let Lengths { min, max } = kind.lengths();
        if len < min || len > max {
            return Err(FrameError::Length { kind, len });
        }
        Ok(Self { kind, exclusive, len, handle: u32::from_le_bytes([h0, h1, h2, h3]) })
    }

    pub(crate) fn put(&self, out: &mut impl BufMut) {
        out.put_u8(self.kind.code());
        out.put_u8(if self.exclusive { EXCLUSIVE } else { 0 });
        out.put_u16_le(0);
        out.put_u32_le(self.len);
        out.put_u32_le(self.handle);
    }
}
