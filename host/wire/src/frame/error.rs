//! What can be wrong with a frame by itself.

use crate::frame::header::FrameKind;

/// Why some bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that does not exist.
    #[error("a frame has the kind {kind}, which does not exist")]
    UnknownKind {
        /// The first byte.
        kind: u8,
    },
    /// A flag that does not exist, or not at this kind, or bytes that should be zero.
    #[error("a frame of the kind {kind:?} has the flags {flags:#04x} and {zeros:#06x} where zero belongs")]
    UnknownFlags {
        /// The kind.
        kind: FrameKind,
        /// The flags.
        flags: u8,
        /// What should be zero.
        zeros: u16,
    },
    /// A length that the kind does not have.
    #[error("a frame of the kind {kind:?} has {len} bytes; it takes {}", kind.lengths())]
    Length {
        /// The kind.
        kind: FrameKind,
        /// The length of its body, in bytes.
        len: u32,
    },
    /// A reason or a folder is not UTF-8.
    #[error("the reason of a refusal, or the folder of a barrier, is not UTF-8")]
    Text,
    /// A number in the body that stands for nothing.
    #[error("the body of a frame of the kind {kind:?} has a value that does not exist")]
    Value {
        /// The kind.
        kind: FrameKind,
    },
}
