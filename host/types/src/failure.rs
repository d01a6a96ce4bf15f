//! Why a task, a job or a request failed: what an application developer reads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of thing went wrong. The code is stable: people search for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The guest trapped or panicked.
    Trap,
    /// The guest returned an error.
    GuestError,
    /// A call ran longer than its deadline.
    Deadline,
    /// The guest asked for more memory than it may have.
    Memory,
    /// A call emitted more than it may.
    OutputLimit,
    /// The guest broke the contract: a malformed batch, an unknown port, an unknown state.
    Contract,
    /// The builder returned another graph than before.
    NonDeterministicGraph,
    /// The application's graph or configuration is wrong.
    InvalidApplication,
    /// A component cannot be compiled.
    Compile,
    /// A native source or sink failed.
    Connector,
    /// A TaskManager, and with it the task, was lost.
    TaskManagerLost,
    /// No slots could be had.
    NoResources,
    /// A task's part of a checkpoint cannot be read: a file is missing or damaged. Only while the task is restored: the
    /// job then goes back to the checkpoint before.
    StateUnreadable,
    /// A checkpoint or savepoint could not be taken, or too many of them in a row; or one cannot be read just now.
    Checkpoint,
    /// Something that should not happen in Millrace itself.
    Internal,
    /// What bundles are kept in cannot be read just now.
    Storage,
}

impl FailureKind {
    /// The stable code, such as `MR-TRAP`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Trap => "MR-TRAP",
            Self::GuestError => "MR-GUEST-ERROR",
            Self::Deadline => "MR-DEADLINE",
            Self::Memory => "MR-MEMORY",
            Self::OutputLimit => "MR-OUTPUT-LIMIT",
            Self::Contract => "MR-CONTRACT",
            Self::NonDeterministicGraph => "MR-NON-DETERMINISTIC-GRAPH",
            Self::InvalidApplication => "MR-INVALID-APPLICATION",
            Self::Compile => "MR-COMPILE",
            Self::Connector => "MR-CONNECTOR",
            Self::TaskManagerLost => "MR-TASKMANAGER-LOST",
            Self::NoResources => "MR-NO-RESOURCES",
            Self::StateUnreadable => "MR-STATE-UNREADABLE",
            Self::Checkpoint => "MR-CHECKPOINT",
            Self::Internal => "MR-INTERNAL",
            Self::Storage => "MR-STORAGE",
        }
    }

    /// Whether running the same again must fail again, so that no restart strategy is asked: what the application is
    /// itself is wrong. Everything else may have had its cause outside, or in the records of the moment.
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::InvalidApplication | Self::NonDeterministicGraph | Self::Compile)
    }
}

/// A failure with its cause and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of thing went wrong.
    pub kind: FailureKind,
    /// What went wrong, in a sentence.
    pub message: String,
    /// The operator that it happened in, by name.
    pub operator: Option<String>,
    /// The guest's stack, innermost frame first, a line each.
    pub backtrace: Vec<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Failure {
    /// The longest message that is kept, in bytes: a guest writes it.
    pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

    /// The most stack frames that are kept.
    pub const BACKTRACE_FRAMES_MAX: usize = 64;

    /// A failure with a message and nothing else.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > Self::MESSAGE_BYTES_MAX {
            let cut = (0..=Self::MESSAGE_BYTES_MAX).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
            message.truncate(cut);
            message.push('…');
        }
        Self { kind, message, operator: None, backtrace: Vec::new(), remedy: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds the operator's name, unless a better one is there.
    #[must_use]
    pub fn in_operator(mut self, name: &str) -> Self {
        self.operator.get_or_insert_with(|| name.to_owned());
        self
    }

    /// Adds the guest's stack.
    #[must_use]
    pub fn with_backtrace(mut self, mut frames: Vec<String>) -> Self {
        frames.truncate(Self::BACKTRACE_FRAMES_MAX);
        self.backtrace = frames;
        self
    }
}

impl fmt::Display for Failure {
    /// One line of cause, the stack, the remedy: as Flink prints an exception.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.kind.code())?;
        if let Some(operator) = &self.operator {
            write!(f, "operator \"{operator}\": ")?;
        }
        write!(f, "{}", self.message)?;
        for frame in &self.backtrace {
            write!(f, "\n\tat {frame}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\nWhat to do: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
