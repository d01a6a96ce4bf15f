//! The producers' end of a connection: all channels from this TaskManager to one other.
//!
//! Invariants:
//! - A channel is forgotten when both sides have said their last word of it, and the connection is closed when its
//!   last channel is forgotten.
//! - When the connection ends, in whatever way, every channel on it is closed with the cause, and nothing is queued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_protocol::ChannelId;
use millrace_types::{Barrier, TaskManagerId};
use millrace_wire::{BATCH_FRAME_BYTES_MAX, ChannelName, Frame, FrameHeader, Side};
use tokio::io::AsyncRead;
use tokio::sync::oneshot;

use crate::channel::{ChannelSender, Credit, Credits};
use crate::error::{Cause, ExchangeError};
use crate::item::Item;
use crate::plane::dial::dial;
use crate::plane::gauge::{Counted, Watched};
use crate::plane::grants::{Granted, Grants};
use crate::plane::queue::FrameQueue;
use crate::plane::refusals::{Fault, Refusal};
use crate::plane::shared::Shared;
use crate::plane::stream::{FrameReader, write_frames};

/// Completes when the consumer is there, or will not come.
pub(crate) type Opened = oneshot::Receiver<Result<(), ExchangeError>>;

/// A connection that this TaskManager opened.
#[derive(Debug)]
pub(crate) struct Outgoing {
    shared: Arc<Shared>,
    pub(crate) peer: TaskManagerId,
    pub(crate) address: String,
    queue: FrameQueue,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    channels: HashMap<u32, Channel>,
    next_handle: u32,
    /// No channel joins any more.
    closed: bool,
}

#[derive(Debug)]
struct Channel {
    id: ChannelId,
    grants: Arc<Grants>,
    opening: Option<oneshot::Sender<Result<(), ExchangeError>>>,
    /// This side has said its last word of it.
    we_are_done: Option<Watched>,
    they_are_done: bool,
    _counted: Counted,
}

/// A channel's way to its connection.
#[derive(Debug)]
pub(crate) struct RemoteLink {
    handle: u32,
    grants: Arc<Grants>,
    connection: Arc<Outgoing>,
}

impl RemoteLink {
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<Option<Granted>> {
        match self.grants.closed() {
            // Sending says so.
            Some(_) => Some(None),
            None => self.grants.try_reserve(bytes).map(Some),
        }
    }

    /// Waits for the consumer's right; nothing, if the consumer is gone. Cancel-safe.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<Granted> {
        self.grants.reserve(bytes).await
    }

    /// Queues an item. Never waits.
    pub(crate) fn send(&self, item: Item, credit: Option<Credit>) -> Result<(), Cause> {
        let handle = self.handle;
        // Asked before anything is said: the consumer answers an end by closing the channel, perhaps at once.
        let closed = self.grants.closed().cloned();
        if item == Item::EndOfInput {
            self.connection.say_last(handle, Frame::End { handle });
        }
        if let Some(cause) = closed {
            return Err(cause);
        }
        if item.byte_len() > BATCH_FRAME_BYTES_MAX as usize {
            let len = item.byte_len();
            let cause = Cause::of(&format!("a batch of {len} bytes; a frame carries {BATCH_FRAME_BYTES_MAX}"));
            self.grants.close(cause.clone());
            return Err(cause);
        }
        let mut credit = credit;
        let exclusive = credit.as_mut().and_then(|credit| credit.granted.take()).is_some_and(Granted::spend);
        match item {
            Item::EndOfInput | Item::Announced { .. } => {}
            Item::Watermark(timestamp) => self.connection.queue.push(Frame::Watermark { handle, timestamp }, credit),
            Item::Status { idle } => self.connection.queue.push(Frame::Status { handle, idle }, credit),
            Item::Barrier(barrier) => {
                self.connection.queue.push(Frame::Barrier { handle, overtaking: false, barrier }, credit);
            }
            Item::Batch(batch) => {
                let batch = batch.into_bytes();
                self.connection.queue.push(Frame::Batch { handle, exclusive, batch }, credit);
            }
        }
        Ok(())
    }

    /// Queues a barrier that overtakes what was not sent, if that was granted. Never waits.
    pub(crate) fn try_overtake(&self, barrier: &Arc<Barrier>) -> Result<bool, Cause> {
        if let Some(cause) = self.grants.closed() {
            return Err(cause.clone());
        }
        let is_granted = self.grants.try_spend_barrier();
        if is_granted {
            let frame = Frame::Barrier { handle: self.handle, overtaking: true, barrier: Arc::clone(barrier) };
            self.connection.queue.push(frame, None);
        }
        Ok(is_granted)
    }

    /// The producer is gone before its end.
    pub(crate) fn gone(&self) {
        self.connection.say_last(self.handle, Frame::Gone { handle: self.handle });
    }
}

fn name_of(id: &ChannelId) -> ChannelName {
    let &ChannelId { job, edge, source_subtask, source_attempt, target_subtask, target_attempt } = id;
    ChannelName { job, edge, source_subtask, source_attempt, target_subtask, target_attempt }
}

impl Outgoing {
    pub(crate) fn new(shared: Arc<Shared>, peer: TaskManagerId, address: String) -> Self {
        Self { shared, peer, address, queue: FrameQueue::default(), state: Mutex::default() }
    }

    /// Opens channels; `None` if the connection is about to end, and takes no more.
    pub(crate) fn open(self: &Arc<Self>, ids: &[ChannelId]) -> Option<Vec<(ChannelSender, Opened)>> {
        let mut state = self.lock();
        let behind = u32::try_from(ids.len()).ok().and_then(|count| state.next_handle.checked_add(count));
        let first = state.next_handle;
        if state.closed {
            return None;
        }
        state.next_handle = behind?;
        let opening = (first..).zip(ids).map(|(handle, id)| {
            let (promise, opened) = oneshot::channel();
            let grants = Arc::new(Grants::new());
            let channel = Channel {
                id: *id,
                grants: Arc::clone(&grants),
                opening: Some(promise),
                we_are_done: None,
                they_are_done: false,
                _counted: self.shared.gauges.channels_out.count(),
            };
            state.channels.insert(handle, channel);
            self.queue.push(Frame::Open { handle, channel: name_of(id) }, None);
            let link = RemoteLink { handle, grants, connection: Arc::clone(self) };
            (ChannelSender::remote(*id, Credits::new(self.shared.exchange.budget()), link), opened)
        });
        Some(opening.collect())
    }

    /// Lives as long as it has channels.
    pub(crate) async fn run(self: Arc<Self>) {
        let outcome = tokio::select! {
            outcome = self.live() => outcome,
            () = self.shared.closed() => Err(Fault::other("this TaskManager stops")),
        };
        let reason = match outcome {
            Ok(()) => "the connection was closed".to_owned(),
            Err(fault) => {
                self.shared.note(&fault, &self.peer.0, &self.address);
                fault.to_string()
            }
        };
        self.fail(&reason);
        self.shared.forget(&self);
    }

    async fn live(&self) -> Result<(), Fault> {
        let mut stream = dial(&self.shared.id, &self.peer, &self.address).await?;
        let (reader, mut writer) = stream.split();
        tokio::select! {
            read = self.read(reader) => read,
            written = write_frames(&self.queue, &mut writer) => Ok(written?),
        }
    }

    async fn read(&self, stream: impl AsyncRead + Unpin) -> Result<(), Fault> {
        let mut reader = FrameReader::new(stream, Side::Consumer);
        while let Some(header) = reader.header().await? {
            let frame = reader.frame(header).await?;
            self.take(header, frame)?;
        }
        if self.lock().closed {
            return Ok(());
        }
        Err(Fault::other(format!("TaskManager {} closed the connection", self.peer)))
    }

    fn take(&self, header: FrameHeader, frame: Frame) -> Result<(), Fault> {
        let mut state = self.lock();
        let Some(channel) = state.channels.get_mut(&header.handle) else {
            return Err(Fault::refused(Refusal::UnknownHandle, format!("no channel has the handle {}", header.handle)));
        };
        if channel.they_are_done {
            return Err(Fault::refused(Refusal::SaidTwice, "something follows the last word of a channel"));
        }
        match frame {
            Frame::Opened { .. } => match channel.opening.take() {
                // Whoever waited may have left.
                Some(opening) => drop(opening.send(Ok(()))),
                None => return Err(Fault::refused(Refusal::SaidTwice, "a channel was opened twice")),
            },
            Frame::Credit { items, bytes, barriers, exclusive, .. } => {
                if channel.opening.is_some() {
                    return Err(Fault::refused(Refusal::NotOpened, "credit for a channel that is not open"));
                }
                if !channel.grants.add(items, bytes, barriers, exclusive) {
                    return Err(Fault::refused(Refusal::TooMuchCredit, "more credit than a channel can have"));
                }
            }
            Frame::Refused { reason, .. } => {
                let (id, peer) = (channel.id, self.peer.clone());
                let Some(opening) = channel.opening.take() else {
                    return Err(Fault::refused(Refusal::SaidTwice, "a channel was refused after it was opened"));
                };
                channel.grants.close(Cause::of(&reason));
                // Whoever waited may have left.
                let _ = opening.send(Err(ExchangeError::Refused { channel: id, peer, reason }));
                channel.they_are_done = true;
            }
            Frame::Gone { .. } => {
                channel.grants.close(Cause::default());
                if let Some(opening) = channel.opening.take() {
                    let _ = opening.send(Err(self.unreachable(channel.id, &Cause::default().to_string())));
                }
                channel.they_are_done = true;
            }
            Frame::Open { .. }
            | Frame::Batch { .. }
            | Frame::Watermark { .. }
            | Frame::Barrier { .. }
            | Frame::Status { .. }
            | Frame::End { .. } => {}
        }
        self.forget_if_done(&mut state, header.handle);
        Ok(())
    }

    fn say_last(&self, handle: u32, frame: Frame) {
        let mut state = self.lock();
        if let Some(channel) = state.channels.get_mut(&handle)
            && channel.we_are_done.is_none()
        {
            channel.we_are_done = Some(self.shared.ending.count());
            self.queue.push(frame, None);
            self.forget_if_done(&mut state, handle);
        }
    }

    fn forget_if_done(&self, state: &mut State, handle: u32) {
        if state.channels.get(&handle).is_some_and(|channel| channel.we_are_done.is_some() && channel.they_are_done) {
            state.channels.remove(&handle);
        }
        if state.channels.is_empty() {
            state.closed = true;
            self.queue.close();
        }
    }

    fn unreachable(&self, channel: ChannelId, reason: &str) -> ExchangeError {
        let (peer, address) = (self.peer.clone(), self.address.clone());
        ExchangeError::Unreachable { channel, peer, address, reason: reason.to_owned() }
    }

    fn fail(&self, reason: &str) {
        let channels = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.channels)
        };
        let cause = Cause::of(&format!("the connection to TaskManager {} at {}: {reason}", self.peer, self.address));
        for channel in channels.into_values() {
            channel.grants.close(cause.clone());
            if let Some(opening) = channel.opening {
                let _ = opening.send(Err(self.unreachable(channel.id, reason)));
            }
        }
        self.queue.abandon();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
