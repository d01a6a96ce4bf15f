//! From what becomes of a job to spans. Pure.

use millrace_job_core::{CheckpointStatus, CheckpointView, JobView};
use millrace_types::{CheckpointId, JobId, JobStatus, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// Something of a job's that began and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub job: JobId,
    pub id: u64,
    /// None: the job's life.
    pub parent: Option<u64>,
    pub name: String,
    pub began: Timestamp,
    pub ended: Timestamp,
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attribute {
    Text(String),
    Number(u64),
}

/// The number of a span of a job.
fn span_id(job: JobId, of: &str, number: u64) -> u64 {
    // Zero means that there is none.
    xxh3_64(format!("{job} {of} {number}").as_bytes()).max(1)
}

/// Sees a job through its life.
#[derive(Debug)]
pub(crate) struct Observer {
    job: JobId,
    status: JobStatus,
    since: Timestamp,
    /// All checkpoints up to this one were told, and of later ones these.
    told_upto: Option<CheckpointId>,
    told: Vec<CheckpointId>,
    ended: bool,
}

impl Observer {
    /// Begins with a job as it is: what has ended already is not told.
    pub(crate) fn new(view: &JobView) -> Self {
        let mut observer = Self {
            job: view.job,
            status: view.status,
            since: entered(view, view.status),
            told_upto: None,
            told: Vec::new(),
            ended: false,
        };
        let over = view.checkpoints.history.iter().filter(|checkpoint| is_over(checkpoint));
        observer.told.extend(over.map(|checkpoint| checkpoint.id));
        observer
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What has ended since the last time.
    pub(crate) fn see(&mut self, view: &JobView) -> Vec<Span> {
        let mut spans = self.checkpoints(view);
        if view.status == self.status {
            return spans;
        }
        let at = entered(view, view.status);
        spans.push(Span {
            job: self.job,
            id: span_id(self.job, self.status.as_str(), self.since.0),
            parent: Some(span_id(self.job, "job", 0)),
            name: format!("Job {}", self.status),
            began: self.since,
            ended: at,
            attributes: self.named(view),
            failure: None,
        });
        (self.status, self.since) = (view.status, at);
        if view.status.is_terminal() {
            self.ended = true;
            spans.push(self.life(view, at));
        }
        spans
    }

    fn named(&self, view: &JobView) -> Vec<(&'static str, Attribute)> {
        vec![("jobId", Attribute::Text(self.job.to_string())), ("jobName", Attribute::Text(view.name.clone()))]
    }

    fn life(&self, view: &JobView, ended: Timestamp) -> Span {
        let mut attributes = self.named(view);
        attributes.push(("jobStatus", Attribute::Text(view.status.to_string())));
        attributes.push(("restarts", Attribute::Number(u64::from(view.restarts))));
        let failure = view.exceptions.entries.first().map(|entry| entry.failure.message.clone());
        Span {
            job: self.job,
            id: span_id(self.job, "job", 0),
            parent: None,
            name: "Job".to_owned(),
            began: view.started_at().unwrap_or(self.since),
            ended,
            attributes,
            failure: failure.filter(|_| view.status == JobStatus::Failed),
        }
    }

    fn checkpoints(&mut self, view: &JobView) -> Vec<Span> {
        let mut spans = Vec::new();
        for checkpoint in view.checkpoints.history.iter().rev() {
            let is_told =
                self.told_upto.is_some_and(|upto| checkpoint.id <= upto) || self.told.contains(&checkpoint.id);
            if is_over(checkpoint) && !is_told {
                self.told.push(checkpoint.id);
                spans.push(self.checkpoint(checkpoint));
            }
        }
        // What is no longer shown is not seen again.
        if let Some(oldest) = view.checkpoints.history.iter().map(|checkpoint| checkpoint.id).min() {
            let gone = self.told.iter().copied().filter(|told| *told < oldest).max();
            self.told_upto = self.told_upto.max(gone);
            self.told.retain(|told| *told >= oldest);
        }
        spans
    }

    fn checkpoint(&self, checkpoint: &CheckpointView) -> Span {
        let status = match checkpoint.status {
            CheckpointStatus::Completed => "COMPLETED",
            CheckpointStatus::InProgress | CheckpointStatus::Failed => "FAILED",
        };
        let ended = Timestamp(checkpoint.triggered_at.0 + checkpoint.duration_ms(checkpoint.triggered_at));
        let attributes = vec![
            ("jobId", Attribute::Text(self.job.to_string())),
            ("checkpointId", Attribute::Number(checkpoint.id.0)),
            ("checkpointStatus", Attribute::Text(status.to_owned())),
            ("checkpointedSize", Attribute::Number(checkpoint.figures.checkpointed_bytes)),
            ("fullSize", Attribute::Number(checkpoint.figures.state_bytes)),
            ("subtasks", Attribute::Number(u64::from(checkpoint.subtasks))),
            ("alignmentMs", Attribute::Number(checkpoint.figures.alignment_ms)),
        ];
        Span {
            job: self.job,
            id: span_id(self.job, "checkpoint", checkpoint.id.0),
            parent: Some(span_id(self.job, "job", 0)),
            name: "Checkpoint".to_owned(),
            began: checkpoint.triggered_at,
            ended,
            attributes,
            failure: checkpoint.failure.as_deref().map(str::to_owned),
        }
    }
}

fn is_over(checkpoint: &CheckpointView) -> bool {
    checkpoint.status != CheckpointStatus::InProgress
}

/// When a job entered a status that it is in.
fn entered(view: &JobView, status: JobStatus) -> Timestamp {
    view.timestamps.get(&status).copied().or(view.started_at()).unwrap_or_default()
}
