//! What can be wrong with a segment.

use std::io;

/// A segment cannot be read or written: which, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state segment {segment}: {fault}")]
pub struct SegmentError {
    /// The segment's name, such as its path.
    pub segment: String,
    /// What is wrong with it.
    pub fault: SegmentFault,
}

/// What is wrong with a segment. Offsets count from its first byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentFault {
    /// Its storage fails.
    #[error("{call} at offset {offset} failed: {cause}")]
    Io {
        /// What was tried.
        call: &'static str,
        /// Where.
        offset: u64,
        /// Why it failed.
        cause: String,
    },
    /// It is shorter than its parts.
    #[error("it is cut off: it has {len} bytes, and the {part} needs {needed}")]
    Truncated {
        /// The part.
        part: &'static str,
        /// How long the segment would have to be, in bytes.
        needed: u64,
        /// How long it is, in bytes.
        len: u64,
    },
    /// It is something else.
    #[error("its {part} at offset {offset} does not begin as one of a state segment does")]
    Magic {
        /// The part.
        part: &'static str,
        /// Where the part is.
        offset: u64,
    },
    /// It was written by another Millrace.
    #[error("it has the version {found}, and this Millrace reads version {known}")]
    Version {
        /// Its version.
        found: u32,
        /// The version that is known.
        known: u32,
    },
    /// Some bytes are not those that were written.
    #[error("the {part} at offset {offset} is damaged: its checksum is {found:016x} and should be {expected:016x}")]
    Checksum {
        /// The part.
        part: &'static str,
        /// Where it begins.
        offset: u64,
        /// What was recorded.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// Its parts contradict each other.
    #[error("the {part} at offset {offset} is malformed: {reason}")]
    Malformed {
        /// The part.
        part: &'static str,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// It belongs to an operator with another number of key groups.
    #[error("it has {found} key groups, and the operator has {expected}")]
    MaxParallelism {
        /// Its max parallelism.
        found: u32,
        /// The operator's.
        expected: u32,
    },
}

impl SegmentFault {
    pub(crate) fn io(call: &'static str, offset: u64, cause: &io::Error) -> Self {
        Self::Io { call, offset, cause: cause.to_string() }
    }

    /// Says in which segment.
    pub(crate) fn of(self, segment: &str) -> SegmentError {
        SegmentError { segment: segment.to_owned(), fault: self }
    }
}
