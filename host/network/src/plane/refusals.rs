//! What other TaskManagers, or strangers, were refused, and how often.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use millrace_wire::{FrameError, HelloError};

/// Why something from outside is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    NotMillrace,
    OtherVersion,
    MalformedHandshake,
    OtherTaskManager,
    HandshakeTimeout,
    TooManyConnections,
    UnknownKind,
    UnknownFlags,
    WrongLength,
    MalformedText,
    MalformedValue,
    CutOff,
    WrongDirection,
    UnknownHandle,
    HandleOutOfTurn,
    NotOpened,
    NoCredit,
    TooMuchCredit,
    MalformedBatch,
    SaidTwice,
    UnreadAnswers,
    TooManyChannels,
    StaleChannel,
    DuplicateChannel,
}

impl Refusal {
    /// The reason's name in figures and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotMillrace => "not-millrace",
            Self::OtherVersion => "other-version",
            Self::MalformedHandshake => "malformed-handshake",
            Self::OtherTaskManager => "other-task-manager",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::TooManyConnections => "too-many-connections",
            Self::UnknownKind => "unknown-kind",
            Self::UnknownFlags => "unknown-flags",
            Self::WrongLength => "wrong-length",
            Self::MalformedText => "malformed-text",
            Self::MalformedValue => "malformed-value",
            Self::CutOff => "cut-off",
            Self::WrongDirection => "wrong-direction",
            Self::UnknownHandle => "unknown-handle",
            Self::HandleOutOfTurn => "handle-out-of-turn",
            Self::NotOpened => "not-opened",
            Self::NoCredit => "no-credit",
            Self::TooMuchCredit => "too-much-credit",
            Self::MalformedBatch => "malformed-batch",
            Self::SaidTwice => "said-twice",
            Self::UnreadAnswers => "unread-answers",
            Self::TooManyChannels => "too-many-channels",
            Self::StaleChannel => "stale-channel",
            Self::DuplicateChannel => "duplicate-channel",
        }
    }
}

impl From<&FrameError> for Refusal {
    fn from(error: &FrameError) -> Self {
        match error {
            FrameError::UnknownKind { .. } => Self::UnknownKind,
            FrameError::UnknownFlags { .. } => Self::UnknownFlags,
            FrameError::Length { .. } => Self::WrongLength,
            FrameError::Text => Self::MalformedText,
            FrameError::Value { .. } => Self::MalformedValue,
        }
    }
}

impl From<&HelloError> for Refusal {
    fn from(error: &HelloError) -> Self {
        match error {
            HelloError::Magic { .. } => Self::NotMillrace,
            HelloError::Version { .. } => Self::OtherVersion,
            HelloError::Malformed { .. } => Self::MalformedHandshake,
        }
    }
}

/// Counts what was refused. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<BTreeMap<Refusal, u64>>>);

impl Refusals {
    pub(crate) fn count(&self, reason: Refusal) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    pub(crate) fn by_name(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
    }
}

/// Why a connection ends before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The other side did what it may not.
    #[error("{text}")]
    Refused {
        /// The reason that is counted.
        refusal: Refusal,
        /// What was wrong.
        text: String,
    },
    /// The system says that it is over.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Fault {
    pub(crate) fn refused(refusal: Refusal, text: impl Into<String>) -> Self {
        Self::Refused { refusal, text: text.into() }
    }

    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::refused(Refusal::from(&error), error.to_string())
    }
}

impl From<HelloError> for Fault {
    fn from(error: HelloError) -> Self {
        Self::refused(Refusal::from(&error), error.to_string())
    }
}
