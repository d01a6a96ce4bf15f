//! One operator of the host that asks somebody else about each record: its requests, and what it hands on.
//!
//! Invariants:
//! - A row is part of every snapshot from when it comes until its results have been emitted: after a failure it is asked
//!   about again, and nothing of it has passed.
//! - Rows do not wait in the operator while the task takes more input: the chain asks [`AsyncSegment::has_room`] first.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use bytes::Bytes;
use millrace_connectors::{AsyncEvent, AsyncRequests, AsyncRow, ConnectorError};
use millrace_protocol::TaskDeployment;
use millrace_state::{OperatorState, SubtaskState};
use millrace_types::{BATCH_BYTES, EventTime, Failure, FailureKind, NodeId, StateKind};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};

use crate::run::outlet::Outlet;
use crate::run::restore;
use crate::run::segment::{NATIVE_PORT, connector_failed};
use crate::run::shared::TaskError;
use crate::run::snapshot::OperatorParts;

/// The list state of the rows that were not handed on.
const STATE: &str = "requests";

/// What its elements are: rows in the encoding of the connectors.
const FINGERPRINT: &str = "millrace-async-row-1";

/// An operator at work.
pub(crate) struct AsyncSegment {
    pub node: NodeId,
    pub uid: String,
    pub name: String,
    pub requests: AsyncRequests,
    pub outlet: Outlet,
    /// Whether the chain's progress knows that there is something to hand on.
    pub known_pending: bool,
}

/// What an operator handed on.
#[derive(Debug, Default)]
pub(crate) struct HandedOn {
    pub rows: bool,
    /// It came behind the rows.
    pub watermark: Option<EventTime>,
}

impl AsyncSegment {
    fn failed(&self, error: ConnectorError) -> TaskError {
        connector_failed(&self.name, error)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.requests.has_room()
    }

    /// Whether there is anything that was not handed on.
    pub(crate) fn is_pending(&self) -> bool {
        !self.requests.is_idle()
    }

    /// Asks about the rows of a batch, as soon as there is room for each.
    pub(crate) fn process(&mut self, batch: &BatchView) {
        for row in batch.rows() {
            let payload = batch.as_bytes().slice_ref(row.payload);
            self.requests.offer(AsyncRow { timestamp: row.timestamp, payload });
        }
    }

    /// Takes a watermark, which is handed on behind all rows so far.
    pub(crate) fn watermark(&mut self, watermark: EventTime) {
        self.requests.watermark(watermark);
        // The chain's progress has told it, and takes it for pending without a further word.
        self.known_pending = true;
    }

    /// Waits until there is something to hand on.
    pub(crate) fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.requests.poll_ready(cx)
    }

    /// Emits what is there, about a batch of it, up to the next watermark.
    pub(crate) async fn hand_on(&mut self) -> Result<HandedOn, TaskError> {
        let mut handed = HandedOn::default();
        let mut rows = BatchBuilder::new(BatchFlags::default());
        while rows.byte_len() < BATCH_BYTES as usize {
            match self.requests.take().map_err(|error| self.failed(error))? {
                None => break,
                Some(AsyncEvent::Watermark(at)) => {
                    handed.watermark = Some(at);
                    break;
                }
                Some(AsyncEvent::Results { timestamp, records }) => {
                    // A row without records is handed on as well.
                    handed.rows = true;
                    let flags = BatchFlags { timestamped: timestamp.is_some(), keyed: false };
                    if rows.flags() != flags {
                        self.emit(&mut rows).await?;
                        rows = BatchBuilder::new(flags);
                    }
                    records.iter().for_each(|record| rows.push(timestamp, None, record));
                }
            }
        }
        self.emit(&mut rows).await?;
        Ok(handed)
    }

    async fn emit(&mut self, rows: &mut BatchBuilder) -> Result<(), TaskError> {
        if rows.is_empty() { Ok(()) } else { self.outlet.emit(self.node, NATIVE_PORT, rows.finish_view()).await }
    }

    /// What it has at a barrier: all that was emitted has passed down the chain.
    pub(crate) fn snapshot(&self) -> Result<OperatorParts, TaskError> {
        let rows = self.requests.snapshot().map_err(|error| self.failed(error))?;
        if rows.is_empty() {
            return Ok(OperatorParts::default());
        }
        let entries = (0u32..).zip(rows).map(|(at, row)| (at.to_be_bytes().to_vec(), row.to_vec())).collect();
        let state = SubtaskState { kind: StateKind::List, expires: false, entries };
        let states = OperatorState { states: BTreeMap::from([(STATE.to_owned(), state)]) };
        Ok(OperatorParts {
            operator_state: Some(states.encode()),
            fingerprints: BTreeMap::from([(STATE.to_owned(), FINGERPRINT.to_owned())]),
            ..OperatorParts::default()
        })
    }
}

/// The rows that a subtask begins with: its share of those that a checkpoint has.
pub(crate) async fn restored_rows(task: &TaskDeployment, uid: &str) -> Result<Vec<Bytes>, Failure> {
    let Some(restored) = restore::operator_state(task, uid).await? else { return Ok(Vec::new()) };
    let stated = restored.fingerprints.get(STATE).map(String::as_str);
    match (stated, restored.state.states.into_iter().next()) {
        (_, None) => Ok(Vec::new()),
        (Some(FINGERPRINT), Some((name, state))) if name == STATE => {
            Ok(state.entries.into_values().map(Bytes::from).collect())
        }
        (_, Some((name, _))) => {
            let message = format!("the operator \"{uid}\" cannot take over the state \"{name}\", which is not its own");
            let remedy = "give the operator another uid, and run the job with --allow-non-restored-state";
            Err(Failure::new(FailureKind::InvalidApplication, message).with_remedy(remedy))
        }
    }
}
