//! What can go wrong with state, and what to do about it.

use std::fmt::Write;

use millrace_types::{Failure, FailureKind, KeyGroup, KeyGroupRange, format_bytes};
use millrace_wire::BatchError;

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
                Self::UnknownState { .. } | Self::Refused { .. } => (FailureKind::Contract, SDK),
            };
        };
        match cause {
            Refusal::Batch(_) => (FailureKind::Contract, SDK),
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
