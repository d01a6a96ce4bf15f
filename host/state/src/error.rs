//! What can go wrong with state, and what to do about it.

use std::fmt::Write;

use millrace_types::{Failure, FailureKind, KeyGroup, KeyGroupRange, format_bytes};
use millrace_wire::BatchError;

use crate::operator_state::OperatorStateError;
use crate::segment::SegmentError;

/// How many bytes of a key an error shows.
const KEY_BYTES_SHOWN: usize = 32;

/// Why a call for state was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A number that the guest's `open` gave to no state.
    #[error("there is no state {state}: open returned {count} descriptors")]
    UnknownState {
        /// The number.
        state: u32,
        /// How many states there are.
        count: usize,
    },
    /// The operators of the subtask have too many states.
    #[error("the state \"{name}\" of operator \"{uid}\" is one too many: a task may have {max} states")]
    TooManyStates {
        /// The operator's uid.
        uid: String,
        /// The state's name.
        name: String,
        /// The limit.
        max: usize,
    },
    /// Two descriptors of one name.
    #[error("open returned two descriptors of the state \"{name}\" of operator \"{uid}\"")]
    DuplicateState {
        /// The operator's uid.
        uid: String,
        /// The state's name.
        name: String,
    },
    /// The type of a state is another one than that of the values that are there.
    #[error(
        "the state \"{name}\" of operator \"{uid}\" holds values of the type \"{found}\", and open returned the type \
         \"{requested}\""
    )]
    Fingerprint {
        /// The operator's uid.
        uid: String,
        /// The state's name.
        name: String,
        /// The fingerprint of what is stored.
        found: String,
        /// The fingerprint in the new descriptor.
        requested: String,
    },
    /// What kind of state it is has changed.
    #[error("the state \"{name}\" of operator \"{uid}\" was {found}, and open returned one that is {requested}")]
    OtherKind {
        /// The operator's uid.
        uid: String,
        /// The state's name.
        name: String,
        /// What it was.
        found: String,
        /// What the new descriptor says.
        requested: String,
    },
    /// A snapshot has entries of a state and does not say of which type.
    #[error("the snapshot of operator \"{uid}\" has entries of the state \"{name}\" and does not name its type")]
    NoFingerprint {
        /// The operator's uid.
        uid: String,
        /// The state's name.
        name: String,
    },
    /// A segment of a snapshot is damaged or cannot be read, or a new one cannot be written.
    #[error("operator \"{uid}\": {cause}")]
    Segment {
        /// The operator's uid.
        uid: String,
        /// What is wrong.
        cause: SegmentError,
    },
    /// The operator state of a snapshot is damaged.
    #[error("operator \"{uid}\": {cause}")]
    OperatorState {
        /// The operator's uid.
        uid: String,
        /// What is wrong.
        cause: OperatorStateError,
    },
    /// The scratch file fails.
    #[error("{0}")]
    Scratch(Refusal),
    /// A call for one state was refused.
    #[error("state \"{name}\" of operator \"{uid}\": {cause}")]
    Refused {
        /// The operator's uid.
        uid: String,
        /// The state's name.
        name: String,
        /// Why.
        cause: Refusal,
    },
}

/// Why a call for one state was refused. Keys are shown by their first bytes, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The batch is malformed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A state key is shorter than it says.
    #[error(
        "the state key {key} of {len} bytes is malformed: it begins with the length of its key as 4 bytes \
         little-endian, and then has the key and the sub-key"
    )]
    MalformedKey {
        /// The beginning of the state key.
        key: String,
        /// Its length, in bytes.
        len: usize,
    },
    /// A state that is not keyed has no keys.
    #[error("the state is not keyed, and the state key has the key {key}")]
    KeyWithoutKeys {
        /// The beginning of the key.
        key: String,
    },
    /// The key belongs to another subtask.
    #[error(
        "the key {key} is of key group {}, and this subtask has the key groups {} to {}",
        group.0, range.start, range.end
    )]
    ForeignKey {
        /// The beginning of the key.
        key: String,
        /// The key's group.
        group: KeyGroup,
        /// The subtask's key groups.
        range: KeyGroupRange,
    },
    /// An entry would become too long.
    #[error("the key {key} and its value would have {len} bytes; the limit is {max}")]
    EntryTooLong {
        /// The beginning of the key.
        key: String,
        /// The length that key and value would have together, in bytes.
        len: u64,
        /// The limit, in bytes.
        max: u32,
    },
    /// One call asked for too much.
    #[error("the answer to one get of {keys} keys exceeds the limit of {max} bytes")]
    AnswerTooLong {
        /// How many keys were asked for.
        keys: usize,
        /// The limit, in bytes.
        max: u32,
    },
    /// The scratch file fails.
    #[error("{call} the scratch file of the state failed: {cause}")]
    Scratch {
        /// What was tried.
        call: &'static str,
        /// Why it failed.
        cause: String,
    },
    /// The subtask has too much state for its share of the disk.
    #[error("the scratch file of the state exceeds the limit of {}", format_bytes(*max))]
    DiskTooLarge {
        /// The limit, in bytes.
        max: u64,
    },
    /// The subtask has too much state.
    #[error("all state of this subtask would exceed the limit of {}", format_bytes(*max))]
    TotalTooLarge {
        /// The limit, in bytes.
        max: u64,
    },
}

impl StateError {
    /// What kind of failure it is, and what to do about it.
    fn classify(&self) -> (FailureKind, &'static str) {
        const SDK: &str = "This is a fault of the SDK that the component was built with: build it with a current one.";
        const SCRATCH: &str = "See to it that the TaskManager's folder for scratch files is writable and has room.";
        let Self::Refused { cause, .. } = self else {
            return match self {
                Self::Fingerprint { .. } => (
                    FailureKind::InvalidApplication,
                    "Give a state of another type another name, or go back to the type that it had.",
                ),
                Self::DuplicateState { .. } => (FailureKind::InvalidApplication, "Give each state a name of its own."),
                Self::TooManyStates { .. } => {
                    (FailureKind::InvalidApplication, "Use fewer states in a chain of operators.")
                }
                Self::OtherKind { .. } => (
                    FailureKind::InvalidApplication,
                    "Give a state of another kind another name, or go back to the kind that it had.",
                ),
                Self::NoFingerprint { .. } | Self::Segment { .. } | Self::OperatorState { .. } => {
                    (FailureKind::Internal, "Restore an earlier checkpoint, or the savepoint from a copy.")
                }
                Self::Scratch(_) => (FailureKind::Internal, SCRATCH),
                Self::UnknownState { .. } | Self::Refused { .. } => (FailureKind::Contract, SDK),
            };
        };
        match cause {
            Refusal::Batch(_) | Refusal::MalformedKey { .. } | Refusal::KeyWithoutKeys { .. } => {
                (FailureKind::Contract, SDK)
            }
            Refusal::Scratch { .. } => (FailureKind::Internal, SCRATCH),
            Refusal::DiskTooLarge { .. } => (
                FailureKind::Internal,
                "Raise the parallelism, delete state that is not needed any more, or raise the limit on scratch files.",
            ),
            Refusal::ForeignKey { .. } => (
                FailureKind::Contract,
                "Use state only under the key of the record or timer at hand, behind an edge partitioned by that key.",
            ),
            Refusal::EntryTooLong { .. } => {
                (FailureKind::Contract, "Spread the data over more keys, or remove from the value what is not needed.")
            }
            Refusal::AnswerTooLong { .. } => {
                (FailureKind::Contract, "Ask for fewer keys in one call, or keep values shorter.")
            }
            Refusal::TotalTooLarge { .. } => (
                FailureKind::Memory,
                "Raise the parallelism, delete state that is not needed any more, or raise the limit on state.",
            ),
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let (kind, remedy) = error.classify();
        Self::new(kind, error.to_string()).with_remedy(remedy)
    }
}

/// The beginning of a key for people.
pub(crate) fn show_key(key: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in key.iter().take(KEY_BYTES_SHOWN) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if key.len() > KEY_BYTES_SHOWN {
        text.push('…');
    }
    text
}
