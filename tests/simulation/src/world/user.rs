//! What users do: submit the job, ask for checkpoints and savepoints, upgrade it, stop it, run it again at another
//! parallelism.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millrace_job_core::{Input, JobCode, RequestId, StartFrom, StopMode};
use millrace_metadata_core::{BundleRecord, Command, JobCode as RecordedCode, JobSubmission, Response};
use millrace_types::{BlobKey, BlobKind, BundleId, Digest, JobId, LeaderEpoch, Timestamp};

use super::{Job, World, tenant};
use crate::graph;
use crate::rng::Rng;
use crate::scenario::{Scenario, Wish};

fn bundle() -> BundleId {
    BundleId::new(Digest::from_bytes([7; 32]), "simulated.mrb")
}

/// The folder of the savepoint that a request asks for.
pub(crate) fn savepoint_folder(request: u128) -> Box<str> {
    format!("/savepoints/{request}").into()
}

/// The digest that stands for the code of an upgrade.
fn code_of(request: RequestId) -> Digest {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&request.0.to_be_bytes());
    Digest::from_bytes(bytes)
}

/// What an upgrade is to write.
pub(crate) fn recorded_code(request: RequestId) -> RecordedCode {
    RecordedCode {
        bundle: bundle(),
        args: Vec::new(),
        default_parallelism: 1,
        graph_digest: code_of(request),
        stream_graph: Bytes::new(),
        job_graph: Bytes::new(),
    }
}

/// The next job.
pub(crate) fn job(number: u8, scenario: &Scenario, rng: &mut Rng, start_from: Option<StartFrom>) -> Job {
    let graph = Arc::new(graph::job_graph(scenario, rng));
    Job { id: JobId::from_bytes([number + 1; 16]), number, folder: format!("/checkpoints/{number}"), graph, start_from }
}

impl World {
    pub(crate) fn upload_bundle(&mut self) {
        let begun = Command::BeginEpoch;
        let whole = BlobKey { tenant: tenant(), kind: BlobKind::Bundle, digest: bundle().digest() };
        let upload = Command::BeginUpload { tenant: tenant(), blobs: vec![whole] };
        let mut decide = |command| self.metadata.apply(command).unwrap_or_else(|refused| panic!("{refused}")).response;
        decide(begun);
        let Response::Upload(upload) = decide(upload) else { panic!("an upload begins") };
        let bundle = BundleRecord {
            id: bundle(),
            size_bytes: 1,
            uploaded_at: Timestamp(1),
            name: "simulated".to_owned(),
            version: "1".to_owned(),
            entry: None,
            components: BTreeMap::new(),
        };
        decide(Command::AddBundle { tenant: tenant(), upload, bundle });
    }

    pub(crate) fn submit(&mut self) {
        let submission = JobSubmission {
            id: self.job.id,
            name: "simulated".to_owned(),
            bundle: bundle(),
            args: Vec::new(),
            default_parallelism: 1,
            settings: BTreeMap::new(),
            graph_digest: Digest::from_bytes([3; 32]),
            stream_graph: Bytes::new(),
            job_graph: Bytes::new(),
            submitted_at: self.clock(),
            submitted_in: LeaderEpoch(1),
        };
        let added = self.metadata.apply(Command::AddJob { tenant: tenant(), job: Box::new(submission) });
        assert!(added.is_ok(), "{added:?}");
    }

    pub(crate) fn wish(&mut self, wish: Wish) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let folder = savepoint_folder(self.requests);
        let input = match wish {
            Wish::Checkpoint => Input::CheckpointRequested { request },
            Wish::Savepoint => Input::SavepointRequested { request, folder, stop: None },
            Wish::Upgrade => {
                let code = JobCode {
                    graph: Arc::clone(&self.job.graph),
                    components: BTreeMap::new(),
                    graph_digest: code_of(request),
                    args: Vec::new(),
                    default_parallelism: 1,
                    states: BTreeMap::new(),
                };
                let code = Box::new(code);
                Input::UpgradeRequested { request, code, in_place: true, allow_non_restored_state: false }
            }
            Wish::Rescale => Input::SavepointRequested { request, folder, stop: Some(StopMode { drain: false }) },
            Wish::Drain => {
                self.draining.insert(folder.clone());
                Input::SavepointRequested { request, folder, stop: Some(StopMode { drain: true }) }
            }
        };
        self.tell_job(self.job.id, input);
    }
}
