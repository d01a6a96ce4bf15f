//! Two TaskManagers' data planes, and strangers that speak to one.

use std::time::Duration;

use bytes::Bytes;
use millrace_network::{
    BufferBudget, ChannelSender, DataPlane, DataPlaneFigures, DataPlaneOptions, Exchange, Gate, Item,
};
use millrace_protocol::ChannelId;
use millrace_types::{Alignment, Barrier, CheckpointId, JobId, SnapshotKind, TaskManagerId, Timestamp};
use millrace_wire::{
    BatchBuilder, BatchFlags, BatchView, ChannelName, FRAME_HEADER_BYTES, Frame, FrameHeader, HELLO_HEAD_BYTES, Hello,
    HelloReply, ReplyHead,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// Nothing here takes longer, even on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const BUDGET_BYTES: u32 = 8 * 1024 * 1024;

pub fn id(name: &str) -> TaskManagerId {
    TaskManagerId(name.to_owned())
}

pub fn channel(source_subtask: u32, target_subtask: u32) -> ChannelId {
    let job = JobId::from_bytes([1; 16]);
    ChannelId { job, edge: 0, source_subtask, source_attempt: 0, target_subtask, target_attempt: 0 }
}

pub fn name(id: ChannelId) -> ChannelName {
    let ChannelId { job, edge, source_subtask, source_attempt, target_subtask, target_attempt } = id;
    ChannelName { job, edge, source_subtask, source_attempt, target_subtask, target_attempt }
}

/// A checkpoint's barrier.
pub fn barrier(checkpoint: u64) -> Barrier {
    Barrier {
        checkpoint: CheckpointId(checkpoint),
        triggered_at: Timestamp(5),
        kind: SnapshotKind::Checkpoint,
        drain: false,
        alignment: Alignment::Unaligned { timeout_ms: 30_000 },
        folder: Some("/savepoints/s".into()),
    }
}

/// A batch of one row that begins with a number.
pub fn batch(number: u64, payload_bytes: usize) -> BatchView {
    let mut builder = BatchBuilder::new(BatchFlags::default());
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(payload_bytes.max(8), 7);
    builder.push(None, None, &payload);
    builder.finish_view()
}

pub fn number_of(batch: &BatchView) -> u64 {
    u64::from_le_bytes(*batch.row(0).payload.first_chunk().unwrap())
}

/// One TaskManager's part.
pub struct Node {
    pub exchange: Exchange,
    pub plane: DataPlane,
    budget_bytes: usize,
}

impl Node {
    pub fn start(name: &str) -> Self {
        Self::with(name, BUDGET_BYTES, Duration::from_secs(30), |_| ())
    }

    pub fn with(
        name: &str,
        budget_bytes: u32,
        connect_timeout: Duration,
        change: impl FnOnce(&mut DataPlaneOptions),
    ) -> Self {
        let exchange = Exchange::new(BufferBudget::new(budget_bytes), connect_timeout);
        let mut options = DataPlaneOptions::new("127.0.0.1:0");
        change(&mut options);
        let plane = DataPlane::bind(options, id(name), exchange.clone(), &Handle::current()).unwrap();
        Self { exchange, plane, budget_bytes: budget_bytes as usize }
    }

    /// Waits until nothing is left but the counts of what was refused.
    pub async fn is_clean(&self) {
        eventually("nothing is left", || {
            let figures = self.plane.figures();
            let clean = DataPlaneFigures { refused: figures.refused.clone(), ..DataPlaneFigures::default() };
            let budget = self.exchange.budget();
            figures == clean
                && (budget.live_channels(), self.exchange.waiting_channels()) == (0, 0)
                && budget.free_bytes() == self.budget_bytes
        })
        .await;
    }

    pub fn refused(&self, reason: &str) -> u64 {
        self.plane.figures().refused.get(reason).copied().unwrap_or(0)
    }

    pub async fn wait_refused(&self, reason: &str, times: u64) {
        eventually(reason, || self.refused(reason) >= times).await;
        assert_eq!(self.refused(reason), times, "{:?}", self.plane.figures());
    }
}

/// Waits for a condition.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "in vain: {what}");
}

pub async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("an end in time")
}

/// Channels from `from` to one gate at `to`, whose id is `peer`.
pub async fn channels(from: &Node, to: &Node, peer: &str, ids: &[ChannelId]) -> (Vec<ChannelSender>, Gate) {
    let gate = to.exchange.open_gate(ids.to_vec()).unwrap();
    let senders = patiently(from.plane.connect(&id(peer), to.plane.address(), ids)).await.unwrap();
    patiently(gate.connected()).await.unwrap();
    (senders, gate)
}

pub async fn send(sender: &mut ChannelSender, item: Item) {
    let credit = patiently(sender.reserve(item.byte_len())).await;
    sender.send(credit, item).unwrap();
}

/// A stranger's connection.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(address: &str) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// A connection that has shaken hands.
    pub async fn accepted(node: &Node, receiver: &str) -> Self {
        let mut raw = Self::connect(node.plane.address()).await;
        let mut hello = Vec::new();
        Hello { sender: "stranger".to_owned(), receiver: receiver.to_owned() }.encode(&mut hello);
        raw.write(&hello).await;
        assert_eq!(raw.reply().await, HelloReply::Accepted);
        raw
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // The other side may have closed the connection.
        let _ = self.0.write_all(bytes).await;
    }

    pub async fn say(&mut self, frames: &[Frame]) {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        self.write(&bytes).await;
    }

    pub async fn reply(&mut self) -> HelloReply {
        let mut head = [0; HELLO_HEAD_BYTES];
        patiently(self.0.read_exact(&mut head)).await.unwrap();
        let head = ReplyHead::parse(&head).unwrap();
        let mut reason = vec![0; head.body_len()];
        patiently(self.0.read_exact(&mut reason)).await.unwrap();
        HelloReply::from_parts(head, &reason).unwrap()
    }

    pub async fn frame(&mut self) -> Frame {
        let mut head = [0; FRAME_HEADER_BYTES];
        patiently(self.0.read_exact(&mut head)).await.unwrap();
        let header = FrameHeader::parse(&head).unwrap();
        let mut body = vec![0; header.len as usize];
        patiently(self.0.read_exact(&mut body)).await.unwrap();
        Frame::from_parts(header, Bytes::from(body)).unwrap()
    }

    /// Waits until the other side has closed the connection.
    pub async fn closed(&mut self) {
        let mut rest = [0; 1024];
        while !matches!(patiently(self.0.read(&mut rest)).await, Ok(0) | Err(_)) {}
    }
}
