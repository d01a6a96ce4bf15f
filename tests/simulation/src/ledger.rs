//! What must never happen, whichever process it happens in: facts of all lives together.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::{AttemptId, CheckpointId, JobId, VertexId};

/// Facts that outlive every process.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Checkpoints and stop-savepoints whose pointer has been in the metadata store.
    durable: BTreeSet<(JobId, CheckpointId)>,
    /// The highest id that any leader has used.
    highest_checkpoint: BTreeMap<JobId, CheckpointId>,
    /// The highest attempt of each subtask that was deployed.
    deployed: BTreeMap<(JobId, VertexId, u32), u32>,
    /// With how many subtasks each attempt of a vertex was deployed.
    parallelism: BTreeMap<(JobId, VertexId, u32), u32>,
    /// Acknowledgements that the present JobMaster was handed.
    acknowledged: BTreeMap<CheckpointId, BTreeSet<AttemptId>>,
    /// A fault has damaged a checkpoint: the job may go back to an earlier one, or fail.
    pub(crate) damaged: bool,
    /// Where the savepoints are that jobs are to stop behind, once their pointers are durable.
    stops: BTreeMap<(JobId, CheckpointId), Box<str>>,
    /// The attempts that have stopped behind one.
    stopped: BTreeMap<AttemptId, CheckpointId>,
}

impl Ledger {
    pub(crate) fn new_leader(&mut self) {
        self.acknowledged.clear();
    }

    pub(crate) fn pointer_stored(&mut self, job: JobId, checkpoint: CheckpointId) {
        self.durable.insert((job, checkpoint));
    }

    pub(crate) fn stop_stored(&mut self, job: JobId, savepoint: CheckpointId, location: &str) {
        self.stops.insert((job, savepoint), location.into());
    }

    pub(crate) fn stopped(&mut self, attempt: AttemptId, savepoint: CheckpointId) {
        self.stopped.insert(attempt, savepoint);
    }

    /// The savepoint that the present attempts of a job have stopped behind, if they have.
    pub(crate) fn stop_of(&self, job: JobId, is_present: impl Fn(&AttemptId) -> bool) -> Option<Box<str>> {
        let mut of_job = self.stopped.iter().filter(|(attempt, _)| attempt.job == job && is_present(attempt));
        of_job.find_map(|(_, savepoint)| self.stops.get(&(job, *savepoint)).cloned())
    }

    /// With how many subtasks an attempt of a vertex was deployed, if it was.
    pub(crate) fn parallelism_of(&self, job: JobId, vertex: VertexId, attempt: u32) -> Option<u32> {
        self.parallelism.get(&(job, vertex, attempt)).copied()
    }

    /// Whether an attempt was ever deployed.
    pub(crate) fn was_deployed(&self, attempt: AttemptId) -> bool {
        let highest = self.deployed.get(&(attempt.job, attempt.vertex, attempt.subtask));
        highest.is_some_and(|highest| *highest >= attempt.attempt)
    }

    /// A sink commits on the word that a checkpoint is complete, or restores it.
    pub(crate) fn check_commit(&self, job: JobId, checkpoint: CheckpointId) {
        assert!(
            self.durable.contains(&(job, checkpoint)),
            "a sink commits for checkpoint {checkpoint}, whose pointer is not durable"
        );
    }

    /// A JobMaster begins a checkpoint under an id that it has not used before.
    pub(crate) fn check_new_checkpoint(&mut self, job: JobId, checkpoint: CheckpointId) {
        let highest = self.highest_checkpoint.insert(job, checkpoint);
        assert!(highest < Some(checkpoint), "checkpoint {checkpoint} follows {highest:?}");
    }

    pub(crate) fn check_deployment(&mut self, attempt: AttemptId, parallelism: u32) {
        let number = (attempt.job, attempt.vertex, attempt.attempt);
        let known = *self.parallelism.entry(number).or_insert(parallelism);
        assert_eq!(known, parallelism, "{attempt:?} has two parallelisms");
        let subtask = (attempt.job, attempt.vertex, attempt.subtask);
        let before = self.deployed.insert(subtask, attempt.attempt);
        assert!(before < Some(attempt.attempt), "{attempt:?} is deployed behind attempt {before:?}");
    }

    pub(crate) fn acknowledged(&mut self, checkpoint: CheckpointId, attempt: AttemptId) {
        self.acknowledged.entry(checkpoint).or_default().insert(attempt);
    }

    pub(crate) fn has_acknowledged(&self, checkpoint: CheckpointId, attempt: &AttemptId) -> bool {
        self.acknowledged.get(&checkpoint).is_some_and(|attempts| attempts.contains(attempt))
    }
}
