//! What can go wrong, with its cause and its remedy.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use millrace_types::{Failure, FailureKind, NodeId};

use crate::host::HostError;

/// Why a sandbox cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refuses its configuration, or the machine does.
    #[error(
        "the Wasm engine cannot be set up: {0}. It reserves address space for {1} instances; allow the process more \
         (ulimit -v) or lower taskmanager.sandbox.max-instances"
    )]
    Engine(String, u32),
    /// The private cache directory cannot be made.
    #[error("the compile cache in {} cannot be set up: {source}", path.display())]
    CacheDirectory {
        /// The directory that the cache was to be in.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A thread cannot be started.
    #[error("the sandbox's clock thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Why a component is refused or cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// More bytes than a component may have.
    #[error("the component has {bytes} bytes, limit {limit}")]
    TooLarge {
        /// What it has.
        bytes: u64,
        /// What it may have.
        limit: u64,
    },
    /// No Wasm at all.
    #[error("this is not WebAssembly: it does not begin with the bytes 00 61 73 6d")]
    NotWasm,
    /// A module where a component is needed.
    #[error("this is a core module; run `millrace build`, which makes a component of it")]
    CoreModule,
    /// The bytes end too early.
    #[error("the component is truncated: it ends at byte {length}, inside of what begins at or before byte {offset}")]
    Truncated {
        /// How many bytes there are.
        length: usize,
        /// Where reading stopped.
        offset: usize,
    },
    /// Not a valid component.
    #[error("the component is invalid at byte {offset}: {message}")]
    Invalid {
        /// Where.
        offset: usize,
        /// What is wrong.
        message: String,
    },
    /// An import that no guest gets.
    #[error("the component imports `{name}`, which is neither `millrace:app@0.3` nor WASI 0.2")]
    ForeignImport {
        /// The import's name.
        name: String,
    },
    /// An import or export of another version of the contract.
    #[error("the component was built against `{name}`; this Millrace knows millrace:app@0.3")]
    UnknownVersion {
        /// The import's or export's name.
        name: String,
    },
    /// Nothing to run.
    #[error("the component exports no `millrace:app/operator@0.3`: it has neither of the worlds of millrace:app")]
    NoOperator,
    /// The bytes are not those that were asked for.
    #[error("the component's bytes do not have the digest {expected}: they were damaged on their way")]
    DigestMismatch {
        /// The digest that was asked for.
        expected: String,
    },
    /// The compiler refuses it.
    #[error("the component does not compile: {message}")]
    Compile {
        /// What the compiler says.
        message: String,
    },
    /// The compiler needed more than it may have.
    #[error("compiling the component took more than {limit}")]
    CompileLimit {
        /// What there was too much of.
        limit: String,
    },
    /// The compiler cannot be run or its result not be kept.
    #[error("the component could not be compiled for a reason that is not its own: {message}")]
    Compiler {
        /// What the system says.
        message: String,
    },
    /// The component and the contract do not fit.
    #[error("the component does not fit the guest contract: {message}")]
    Link {
        /// What does not fit.
        message: String,
    },
}

impl ComponentError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::CoreModule => "run `millrace build` in the application's folder and upload the bundle that it writes",
            Self::NotWasm | Self::Truncated { .. } | Self::Invalid { .. } | Self::DigestMismatch { .. } => {
                "build the component again and upload it again"
            }
            Self::TooLarge { .. } => "strip debug information and names, or split the application",
            Self::ForeignImport { .. } => {
                "remove what needs this import: a guest has the functions of millrace:app and WASI 0.2 and no others"
            }
            Self::UnknownVersion { .. } | Self::Link { .. } | Self::NoOperator => {
                "build the component with the SDK of this Millrace's version"
            }
            Self::Compile { .. } => "compile for plain WebAssembly, without the feature that the message names",
            Self::CompileLimit { .. } => {
                "make the component's functions smaller, or raise taskmanager.sandbox.compile.*"
            }
            Self::Compiler { .. } => "look at the TaskManager's disk and memory, then try again",
        }
    }
}

impl From<ComponentError> for Failure {
    fn from(error: ComponentError) -> Self {
        let kind = match error {
            ComponentError::Compiler { .. } | ComponentError::DigestMismatch { .. } => FailureKind::Internal,
            ComponentError::Compile { .. } | ComponentError::CompileLimit { .. } => FailureKind::Compile,
            _ => FailureKind::InvalidApplication,
        };
        Failure::new(kind, error.to_string()).with_remedy(error.remedy())
    }
}

/// What kind of thing went wrong in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GuestErrorKind {
    /// It trapped.
    Trap,
    /// It panicked, and said why.
    Panic,
    /// It returned an error.
    Returned,
    /// Its stack overflowed.
    Stack,
    /// A call ran longer than it may.
    Deadline,
    /// A call was blocked longer than it may.
    Blocked,
    /// It was refused memory and could not go on.
    Memory,
    /// A call handed over more than it may.
    OutputLimit,
    /// It broke the contract.
    Contract,
    /// Its graph, splits or state descriptors are more than they may be.
    TooMuch,
    /// Its builder returned another graph than before.
    NonDeterministicGraph,
    /// The host could not do what the guest asked for.
    Host,
    /// The task is being cancelled.
    Cancelled,
    /// There is no room for another instance.
    Capacity,
    /// The instance was thrown away before.
    Discarded,
}

/// A guest's call that failed. The instance is thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestError {
    /// What kind of thing went wrong.
    pub kind: GuestErrorKind,
    /// The export that was called, or `instantiate`.
    pub call: &'static str,
    /// The node that it was called for.
    pub node: Option<NodeId>,
    /// That node's name.
    pub operator: Option<String>,
    /// What went wrong, in a sentence.
    pub message: String,
    /// The guest's stack, innermost frame first.
    pub backtrace: Vec<String>,
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operator {
            Some(operator) => write!(f, "`{}` of operator \"{operator}\": {}", self.call, self.message),
            None => write!(f, "`{}`: {}", self.call, self.message),
        }
    }
}

impl std::error::Error for GuestError {}

impl GuestError {
    /// What to do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self.kind {
            GuestErrorKind::Trap | GuestErrorKind::Panic => {
                "look at the innermost frames of the backtrace; test the operator with the SDK's harness on the same \
                 record"
            }
            GuestErrorKind::Stack => "look for a recursion without end in the frames of the backtrace",
            GuestErrorKind::Deadline => {
                "look for a loop without end; if the work really takes so long, do less in a call or raise \
                 limits.call-deadline in millrace.toml / taskmanager.sandbox.call-deadline"
            }
            GuestErrorKind::Blocked => "do not sleep or poll in an operator; use timers",
            GuestErrorKind::Memory => {
                "keep less in the guest's memory, or raise limits.memory in millrace.toml / taskmanager.sandbox.memory"
            }
            GuestErrorKind::OutputLimit => {
                "emit less for one input, or raise limits.output-per-call in millrace.toml / \
                 taskmanager.sandbox.output-per-call"
            }
            GuestErrorKind::Contract => "build the component with the SDK of this Millrace's version",
            GuestErrorKind::TooMuch => "state fewer or smaller operators, splits or states",
            GuestErrorKind::NonDeterministicGraph => {
                "the builder must state the same graph whenever it is given the same arguments: remove iteration over \
                 hash maps and other chance from it"
            }
            GuestErrorKind::Capacity => "raise taskmanager.sandbox.max-instances or add TaskManagers",
            GuestErrorKind::Returned | GuestErrorKind::Host | GuestErrorKind::Cancelled | GuestErrorKind::Discarded => {
                return None;
            }
        })
    }
}

impl From<GuestError> for Failure {
    fn from(error: GuestError) -> Self {
        let kind = match error.kind {
            GuestErrorKind::Trap | GuestErrorKind::Panic | GuestErrorKind::Stack => FailureKind::Trap,
            GuestErrorKind::Returned => FailureKind::GuestError,
            GuestErrorKind::Deadline | GuestErrorKind::Blocked => FailureKind::Deadline,
            GuestErrorKind::Memory => FailureKind::Memory,
            GuestErrorKind::OutputLimit => FailureKind::OutputLimit,
            GuestErrorKind::Contract => FailureKind::Contract,
            GuestErrorKind::TooMuch => FailureKind::InvalidApplication,
            GuestErrorKind::NonDeterministicGraph => FailureKind::NonDeterministicGraph,
            GuestErrorKind::Capacity => FailureKind::NoResources,
            GuestErrorKind::Host | GuestErrorKind::Cancelled | GuestErrorKind::Discarded => FailureKind::Internal,
        };
        let remedy = error.remedy();
        let mut failure = Failure::new(kind, format!("`{}`: {}", error.call, error.message));
        failure.operator = error.operator;
        failure.remedy = remedy.map(str::to_owned);
        failure.with_backtrace(error.backtrace)
    }
}

/// Why the host stops a guest inside of a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("deadline exceeded: the call ran longer than {} ms", budget.as_millis())]
    Deadline { budget: Duration },
    #[error("the call handed over {bytes} bytes, limit {limit}")]
    Output { bytes: u64, limit: u64 },
    #[error(
        "`{function}` was called while the graph was being built: `build` and `splits` may call nothing of the host \
         but `log` and `report-panic`"
    )]
    NotWhileBuilding { function: &'static str },
    #[error("`{function}` was called in `flush`, where nothing may be emitted; emit in `pre-barrier`")]
    NotWhileFlushing { function: &'static str },
    #[error("`{function}`: {error}")]
    Host { function: &'static str, error: HostError },
}
