//! What clients asked for and whose outcome they ask for later: savepoints, checkpoints on request, disposals.
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
    /// Nothing of it.
    Failed(Box<Failure>),
}

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Savepoint,
    Checkpoint,
    Disposal,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Savepoint => "savepoint",
            Self::Checkpoint => "checkpoint",
            Self::Disposal => "savepoint disposal",
        }
    }
}

/// Names an operation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationKey {
    pub(crate) tenant: TenantId,
    pub(crate) kind: Kind,
    pub(crate) job: Option<JobId>,
    pub(crate) trigger: TriggerId,
}

#[derive(Debug)]
struct Operation {
    /// By which the JobMaster knows it.
    number: u64,
    outcome: Option<(Timestamp, Outcome)>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    by_key: BTreeMap<OperationKey, Operation>,
}

/// The operations of this process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    state: Arc<Mutex<State>>,
}

impl Operations {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an operation and gives its number; `None`: it has begun already.
    pub(crate) fn begin(&self, key: OperationKey) -> Result<Option<u64>, DispatcherError> {
        let mut state = self.lock();
        if state.by_key.contains_key(&key) {
            return Ok(None);
        }
        let now = clock::now();
        let old = |at: &Timestamp| now.since_ms(*at) >= OUTCOME_KEPT_MS;
        state.by_key.retain(|_, known| !known.outcome.as_ref().is_some_and(|(at, _)| old(at)));
        if state.by_key.len() >= OPERATIONS_MAX {
            return Err(DispatcherError::Unavailable(format!(
                "{OPERATIONS_MAX} savepoints and the like are under way or have ended just now: try again in a while"
            )));
        }
        let number = state.next;
        state.next += 1;
        state.by_key.insert(key, Operation { number, outcome: None });
        Ok(Some(number))
    }

    /// An operation has ended; the first outcome counts.
    pub(crate) fn end(&self, number: u64, outcome: Outcome) {
        let now = clock::now();
        let mut state = self.lock();
        if let Some(operation) = state.by_key.values_mut().find(|operation| operation.number == number) {
            operation.outcome.get_or_insert((now, outcome));
        }
    }

    /// A job is over: what was asked of it and has no outcome will have none.
    pub(crate) fn job_ended(&self, job: JobId) {
        let now = clock::now();
        for (_, operation) in self.lock().by_key.iter_mut().filter(|(key, _)| key.job == Some(job)) {
            let ended = || Failure::new(FailureKind::Internal, format!("the job {job} ended before it was complete"));
            operation.outcome.get_or_insert_with(|| (now, Outcome::Failed(Box::new(ended()))));
        }
    }

    /// How an operation stands; `None`: it goes on.
    pub(crate) fn outcome(&self, key: &OperationKey) -> Result<Option<Outcome>, DispatcherError> {
        let state = self.lock();
        let operation = state.by_key.get(key).ok_or_else(|| {
            let job = key.job.map_or_else(String::new, |job| format!(" for job {job}"));
            DispatcherError::NotFound(format!(
                "There is no {} operation with triggerId={}{job}.",
                key.kind.name(),
                key.trigger
            ))
        })?;
        Ok(operation.outcome.as_ref().map(|(_, outcome)| outcome.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key(kind: Kind, trigger: u8) -> OperationKey {
        let job = Some(JobId::from_bytes([1; 16]));
        OperationKey { tenant: TenantId::default_tenant(), kind, job, trigger: TriggerId::from_bytes([trigger; 16]) }
    }

    #[test]
    fn an_operation_begins_once_and_its_first_outcome_counts() {
        let operations = Operations::default();
        let number = operations.begin(key(Kind::Savepoint, 1)).unwrap().unwrap();
        assert_eq!(operations.begin(key(Kind::Savepoint, 1)).unwrap(), None);
        assert_eq!(operations.outcome(&key(Kind::Savepoint, 1)).unwrap(), None);
        operations.end(number, Outcome::Disposed);
        operations.job_ended(JobId::from_bytes([1; 16]));
        assert_eq!(operations.outcome(&key(Kind::Savepoint, 1)).unwrap(), Some(Outcome::Disposed));
    }

    #[test]
    fn nobody_finds_what_is_not_theirs() {
        let operations = Operations::default();
        operations.begin(key(Kind::Savepoint, 1)).unwrap();
        let others = [
            key(Kind::Checkpoint, 1),
            key(Kind::Savepoint, 2),
            OperationKey { job: None, ..key(Kind::Savepoint, 1) },
            OperationKey { tenant: TenantId::new("other").unwrap(), ..key(Kind::Savepoint, 1) },
        ];
        for other in others {
            let error = operations.outcome(&other).unwrap_err();
            assert!(matches!(&error, DispatcherError::NotFound(text) if text.contains("triggerId")), "{error}");
        }
    }

    #[test]
    fn the_end_of_a_job_ends_what_was_asked_of_it() {
        let operations = Operations::default();
        operations.begin(key(Kind::Savepoint, 1)).unwrap();
        operations.job_ended(JobId::from_bytes([1; 16]));
        let outcome = operations.outcome(&key(Kind::Savepoint, 1)).unwrap();
        assert!(matches!(outcome, Some(Outcome::Failed(failure)) if failure.message.contains("ended before")));
    }
}
