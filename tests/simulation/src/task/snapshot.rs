//! What a task had at a barrier, on its way to be made durable.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_protocol::{ReaderSnapshot, Rerouting};
use millrace_types::Barrier;

use crate::rows::{Entries, Row};

/// One operator's part.
#[derive(Debug, Default)]
pub(crate) struct OperatorParts {
    pub(crate) sealed: Option<Entries>,
    pub(crate) reader: Option<ReaderSnapshot>,
    pub(crate) committables: Vec<Bytes>,
}

/// Rows that the barrier overtook.
#[derive(Debug)]
pub(crate) struct OvertakenRows {
    pub(crate) target_uid: String,
    pub(crate) target_port: u32,
    pub(crate) target_subtask: u32,
    pub(crate) rerouting: Rerouting,
    pub(crate) rows: Vec<Row>,
}

/// A task's part of a checkpoint.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) barrier: Barrier,
    pub(crate) operators: BTreeMap<String, OperatorParts>,
    pub(crate) overtaken: Vec<OvertakenRows>,
}
