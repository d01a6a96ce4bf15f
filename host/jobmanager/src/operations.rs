//! What clients asked for and whose outcome they ask for later: savepoints, checkpoints on request, upgrades, disposals.
//!
//! Invariants: an operation is found under its tenant and job alone; asking for one by an id that is known begins
//! nothing; outcomes are kept for a while after they are there, and at most [`OPERATIONS_MAX`] operations at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_types::{Failure, FailureKind, JobId, TenantId, Timestamp, TriggerId};

use crate::clock;
use crate::error::DispatcherError;

/// The most operations that are remembered; more are refused while so many go on.
const OPERATIONS_MAX: usize = 10_000;

/// How long an outcome is kept: Flink's `rest.async.store-duration`.
const OUTCOME_KEPT_MS: u64 = 300_000;

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A savepoint is complete.
    Savepoint {
        /// Its folder.
        location: String,
    },
    /// A checkpoint is complete.
    Checkpoint {
        /// Which one.
        id: u64,
    },
    /// A savepoint is deleted.
    Disposed,
    /// A job runs other code.
    Upgraded {
        /// The checkpoint behind which it does.
        checkpoint: u64,
    },
    /// An upgrade takes a savepoint and a restart, and the job's state allows that. Nothing was changed.
    RestartNeeded {
        /// Why the code cannot be replaced at a barrier.
        reason: String,
    },
    /// Nothing of it.
    Failed(Box<Failure>),
}

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Savepoint,
    Checkpoint,
    Disposal,
    Upgrade,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Savepoint => "savepoint",
            Self::Checkpoint => "checkpoint",
            Self::Disposal => "savepoint disposal",
            Self::Upgrade => "upgrade",
        }
    }
}

/// Names an operation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationKey {
    pub(crate) tenant: TenantId,
    /// Of whom it is asked; `None`: of no job.
    pub(crate) job: Option<JobId>,
    pub(crate) trigger: TriggerId,
}

#[derive(Debug)]
struct Operation {
    kind: Kind,
    outcome: Option<(Timestamp, Outcome)>,
}

type State = BTreeMap<OperationKey, Operation>;

/// The operations of this process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    state: Arc<Mutex<State>>,
}

impl Operations {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an operation; `false`: it has begun already.
    pub(crate) fn begin(&self, key: OperationKey, kind: Kind) -> Result<bool, DispatcherError> {
        let mut operations = self.lock();
        if operations.contains_key(&key) {
            return Ok(false);
        }
        let now = clock::now();
        let old = |at: &Timestamp| now.since_ms(*at) >= OUTCOME_KEPT_MS;
        operations.retain(|_, known| !known.outcome.as_ref().is_some_and(|(at, _)| old(at)));
        if operations.len() >= OPERATIONS_MAX {
            return Err(DispatcherError::Unavailable(format!(
                "{OPERATIONS_MAX} savepoints and the like are under way or have ended just now: try again in a while"
            )));
        }
        operations.insert(key, Operation { kind, outcome: None });
        Ok(true)
    }

    /// An operation has ended; the first outcome counts.
    pub(crate) fn end(&self, key: &OperationKey, outcome: impl FnOnce(Kind) -> Outcome) {
        let now = clock::now();
        if let Some(operation) = self.lock().get_mut(key) {
            let kind = operation.kind;
            operation.outcome.get_or_insert_with(|| (now, outcome(kind)));
        }
    }

    /// A job is over: what was asked of it and has no outcome will have none.
    pub(crate) fn job_ended(&self, job: JobId) {
        let now = clock::now();
        for (_, operation) in self.lock().iter_mut().filter(|(key, _)| key.job == Some(job)) {
            let ended = || Failure::new(FailureKind::Checkpoint, format!("the job {job} ended before it was complete"));
            operation.outcome.get_or_insert_with(|| (now, Outcome::Failed(Box::new(ended()))));
        }
    }

    /// How an operation stands; `None`: it goes on.
    pub(crate) fn outcome(&self, key: &OperationKey, kind: Kind) -> Result<Option<Outcome>, DispatcherError> {
        let operations = self.lock();
        let operation = operations.get(key).filter(|operation| operation.kind == kind).ok_or_else(|| {
            let job = key.job.map_or_else(String::new, |job| format!(" for job {job}"));
            let (name, trigger) = (kind.name(), key.trigger);
            DispatcherError::NotFound(format!("There is no {name} operation with triggerId={trigger}{job}."))
        })?;
        Ok(operation.outcome.as_ref().map(|(_, outcome)| outcome.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key(trigger: u8) -> OperationKey {
        let job = Some(JobId::from_bytes([1; 16]));
        OperationKey { tenant: TenantId::default_tenant(), job, trigger: TriggerId::from_bytes([trigger; 16]) }
    }

    #[test]
    fn an_operation_begins_once_and_its_first_outcome_counts() {
        let operations = Operations::default();
        assert!(operations.begin(key(1), Kind::Savepoint).unwrap());
        assert!(!operations.begin(key(1), Kind::Savepoint).unwrap());
        assert_eq!(operations.outcome(&key(1), Kind::Savepoint).unwrap(), None);
        operations.end(&key(1), |_| Outcome::Disposed);
        operations.job_ended(JobId::from_bytes([1; 16]));
        assert_eq!(operations.outcome(&key(1), Kind::Savepoint).unwrap(), Some(Outcome::Disposed));
    }

    #[test]
    fn nobody_finds_what_is_not_theirs() {
        let operations = Operations::default();
        operations.begin(key(1), Kind::Savepoint).unwrap();
        let others = [
            (key(1), Kind::Checkpoint),
            (key(2), Kind::Savepoint),
            (OperationKey { job: None, ..key(1) }, Kind::Savepoint),
            (OperationKey { tenant: TenantId::new("other").unwrap(), ..key(1) }, Kind::Savepoint),
        ];
        for (other, kind) in others {
            let error = operations.outcome(&other, kind).unwrap_err();
            assert!(matches!(&error, DispatcherError::NotFound(text) if text.contains("triggerId")), "{error}");
        }
    }

    #[test]
    fn the_end_of_a_job_ends_what_was_asked_of_it() {
        let operations = Operations::default();
        operations.begin(key(1), Kind::Savepoint).unwrap();
        operations.job_ended(JobId::from_bytes([1; 16]));
        let outcome = operations.outcome(&key(1), Kind::Savepoint).unwrap();
        assert!(matches!(outcome, Some(Outcome::Failed(failure)) if failure.message.contains("ended before")));
    }
}
