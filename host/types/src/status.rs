//! The states of jobs and of execution attempts, by Flink's names.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! named_states {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// All states, in the order of a life.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The state's name in Flink's REST API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

named_states! {
    /// Flink's JobStatus.
    JobStatus {
        /// Accepted; its JobMaster is being set up.
        Initializing = "INITIALIZING",
        /// Set up; waits for slots.
        Created = "CREATED",
        /// Its tasks are deployed or run.
        Running = "RUNNING",
        /// A failure is being cleaned up behind which the job ends.
        Failing = "FAILING",
        /// Ended by a failure.
        Failed = "FAILED",
        /// Its tasks are being cancelled on request.
        Cancelling = "CANCELLING",
        /// Ended on request.
        Canceled = "CANCELED",
        /// Ended with all input processed.
        Finished = "FINISHED",
        /// Waits before its tasks are started again.
        Restarting = "RESTARTING",
        /// Its JobMaster lost leadership.
        Suspended = "SUSPENDED",
        /// A new leader is taking over its tasks.
        Reconciling = "RECONCILING",
    }
}

impl JobStatus {
    /// Whether the job has ended for good.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }
}

named_states! {
    /// Flink's ExecutionState.
    ExecutionState {
        /// Not yet considered for a slot.
        Created = "CREATED",
        /// Waits for its slot.
        Scheduled = "SCHEDULED",
        /// Sent to its TaskManager.
        Deploying = "DEPLOYING",
        /// Connects channels and opens operators.
        Initializing = "INITIALIZING",
        /// Processes records.
        Running = "RUNNING",
        /// Has processed all its input.
        Finished = "FINISHED",
        /// Told to stop.
        Canceling = "CANCELING",
        /// Stopped on request.
        Canceled = "CANCELED",
        /// Stopped by a failure.
        Failed = "FAILED",
        /// Being taken over by a new leader.
        Reconciling = "RECONCILING",
    }
}

impl ExecutionState {
    /// Whether the attempt has ended for good.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }
}
