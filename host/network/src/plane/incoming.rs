//! The consumers' end of a connection: all channels from one other TaskManager to this one.
//!
//! Invariants:
//! - The reader never waits for anything but the socket: what arrives has its place, or is against the protocol.
//! - A handle is known from the producer's `open` to its last word, and this side says one last word of it too.
//! - Whatever is against the protocol ends the connection; only an `open` that no consumer meets is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_protocol::ChannelId;
use millrace_types::Barrier;
use millrace_wire::{BatchView, ChannelName, Frame, FrameHeader, FrameKind, Side};
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::channel::{ChannelSender, Credit};
use crate::error::Cause;
use crate::item::Item;
use crate::plane::gauge::Counted;
use crate::plane::granting::{Outstanding, keep};
use crate::plane::queue::FrameQueue;
use crate::plane::refusals::{Fault, Refusal};
use crate::plane::shared::{AbortOnDrop, Shared};
use crate::plane::stream::{FrameReader, write_frames};

/// The most channels that producers elsewhere may have to one TaskManager.
const CHANNELS_MAX: usize = 64 * 1024;

/// The most frames that may wait for a peer to read them: several for each channel.
const ANSWERS_MAX: usize = 4 * CHANNELS_MAX;

/// A connection that another TaskManager opened.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: String,
    queue: FrameQueue,
    channels: Mutex<HashMap<u32, Channel>>,
}

#[derive(Debug)]
struct Channel {
    stage: Stage,
    _keeper: Option<AbortOnDrop>,
    _counted: Option<Counted>,
}

#[derive(Debug)]
enum Stage {
    /// The consumer has not come yet.
    Opening,
    Open(Open),
    /// This side has said its last word.
    Closed,
}

/// A channel with both ends.
#[derive(Debug)]
struct Open {
    sender: ChannelSender,
    outstanding: Outstanding,
    /// Told when few granted bytes are left.
    low: Arc<Notify>,
}

fn id_of(name: &ChannelName) -> ChannelId {
    let &ChannelName { job, edge, source_subtask, source_attempt, target_subtask, target_attempt } = name;
    ChannelId { job, edge, source_subtask, source_attempt, target_subtask, target_attempt }
}

fn unknown(handle: u32) -> Fault {
    Fault::refused(Refusal::UnknownHandle, format!("no channel has the handle {handle}"))
}

fn no_credit(what: &str, handle: u32) -> Fault {
    Fault::refused(Refusal::NoCredit, format!("{what} without credit on the channel of handle {handle}"))
}

impl Incoming {
    /// Lives as long as the connection.
    pub(crate) async fn serve(shared: Arc<Shared>, peer: String, mut stream: TcpStream, counted: Counted) {
        let from = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
        let incoming = Arc::new(Self {
            shared: Arc::clone(&shared),
            peer,
            queue: FrameQueue::default(),
            channels: Mutex::default(),
        });
        let (reader, mut writer) = stream.split();
        let outcome = tokio::select! {
            read = incoming.read(reader) => read,
            written = write_frames(&incoming.queue, &mut writer) => written.map_err(Fault::from),
            () = shared.closed() => Err(Fault::other("this TaskManager stops")),
        };
        let reason = match outcome {
            Ok(()) => "the connection was closed".to_owned(),
            Err(fault) => {
                shared.note(&fault, &incoming.peer, &from);
                fault.to_string()
            }
        };
        incoming.queue.abandon();
        let cause = Cause::of(&format!("the connection from TaskManager {} at {from}: {reason}", incoming.peer));
        let channels = std::mem::take(&mut *incoming.lock());
        for channel in channels.into_values() {
            if let Stage::Open(open) = channel.stage {
                open.sender.fail(cause.clone());
            }
        }
        drop(counted);
    }

    async fn read(self: &Arc<Self>, stream: impl AsyncRead + Unpin) -> Result<(), Fault> {
        let mut reader = FrameReader::new(stream, Side::Producer);
        let mut handles = 0..u32::MAX;
        while let Some(header) = reader.header().await? {
            if self.queue.len() > ANSWERS_MAX {
                return Err(Fault::refused(Refusal::UnreadAnswers, "the other side does not read what it is told"));
            }
            if header.kind == FrameKind::Batch {
                self.batch(&mut reader, header).await?;
                continue;
            }
            match reader.frame(header).await? {
                Frame::Open { handle, channel } if handles.next() == Some(handle) => self.open(handle, id_of(&channel)),
                Frame::Open { handle, .. } => {
                    let text = format!("a channel was opened under the handle {handle}, which is not the next one");
                    return Err(Fault::refused(Refusal::HandleOutOfTurn, text));
                }
                Frame::Watermark { handle, timestamp } => self.light(handle, Item::Watermark(timestamp))?,
                Frame::Status { handle, idle } => self.light(handle, Item::Status { idle })?,
                Frame::Barrier { handle, overtaking: false, barrier } => self.light(handle, Item::Barrier(barrier))?,
                Frame::Barrier { handle, overtaking: true, barrier } => self.overtake(handle, barrier)?,
                frame => self.last_word(header.handle, frame == Frame::End { handle: header.handle })?,
            }
        }
        if self.lock().is_empty() {
            return Ok(());
        }
        Err(Fault::other("it was closed by the other side"))
    }

    fn open(self: &Arc<Self>, handle: u32, id: ChannelId) {
        let Some(counted) = self.shared.gauges.channels_in.count_up_to(CHANNELS_MAX) else {
            self.shared.refusals.count(Refusal::TooManyChannels);
            let reason = format!("this TaskManager has {CHANNELS_MAX} channels from others, and takes no more");
            self.lock().insert(handle, Channel { stage: Stage::Closed, _keeper: None, _counted: None });
            return self.queue.push(Frame::Refused { handle, reason }, None);
        };
        // Held until the channel is in the table, which its keeper looks into.
        let mut channels = self.lock();
        let keeper = self.shared.spawn_aborting(keep(Arc::clone(self), handle, id));
        let channel = Channel { stage: Stage::Opening, _keeper: Some(keeper), _counted: Some(counted) };
        channels.insert(handle, channel);
    }

    /// The consumer has come. Returns what is told when granted bytes run low; `None` if the producer has left.
    pub(crate) fn opened(&self, handle: u32, sender: ChannelSender) -> Option<Arc<Notify>> {
        let mut channels = self.lock();
        let channel = channels.get_mut(&handle)?;
        let low = Arc::new(Notify::new());
        let open = Open { sender, outstanding: Outstanding::default(), low: Arc::clone(&low) };
        channel.stage = Stage::Open(open);
        self.queue.push(Frame::Opened { handle }, None);
        Some(low)
    }

    /// Grants what `add` adds to what the channel's producer may use, if that is anything.
    pub(crate) fn grant(&self, handle: u32, add: impl FnOnce(&mut Outstanding) -> Option<Frame>) {
        let mut channels = self.lock();
        if let Some(Channel { stage: Stage::Open(open), .. }) = channels.get_mut(&handle)
            && let Some(frame) = add(&mut open.outstanding)
        {
            self.queue.push(frame, None);
        }
    }

    /// Says this side's last word of a channel, unless the producer has left anyway.
    pub(crate) fn close(&self, handle: u32, last_word: Frame) {
        let mut channels = self.lock();
        if let Some(channel) = channels.get_mut(&handle) {
            channel.stage = Stage::Closed;
            self.queue.push(last_word, None);
        }
    }

    async fn batch<R: AsyncRead + Unpin>(&self, reader: &mut FrameReader<R>, header: FrameHeader) -> Result<(), Fault> {
        let FrameHeader { handle, exclusive, len, .. } = header;
        let Some(credit) = self.use_credit(handle, len, exclusive)? else {
            return reader.skip(header).await;
        };
        let Frame::Batch { batch, .. } = reader.frame(header).await? else {
            return Ok(());
        };
        let batch =
            BatchView::parse(batch).map_err(|error| Fault::refused(Refusal::MalformedBatch, error.to_string()))?;
        self.deliver(handle, credit, Item::Batch(batch));
        Ok(())
    }

    /// Takes an item that needs no bytes.
    fn light(&self, handle: u32, item: Item) -> Result<(), Fault> {
        if let Some(credit) = self.use_credit(handle, 0, false)? {
            self.deliver(handle, credit, item);
        }
        Ok(())
    }

    /// Takes a barrier that has overtaken what its producer had not sent.
    fn overtake(&self, handle: u32, barrier: Arc<Barrier>) -> Result<(), Fault> {
        let mut channels = self.lock();
        match channels.get_mut(&handle).map(|channel| &mut channel.stage) {
            None => return Err(unknown(handle)),
            Some(Stage::Closed) => {}
            Some(Stage::Opening) => return Err(no_credit("a barrier", handle)),
            Some(Stage::Open(Open { outstanding, sender, .. })) => {
                let credit = outstanding.take_barrier().ok_or_else(|| no_credit("a barrier", handle))?;
                sender.overtake(credit, barrier);
            }
        }
        Ok(())
    }

    /// The right under which an item comes; `None` if this side has said its last word, and the item goes nowhere.
    fn use_credit(&self, handle: u32, len: u32, exclusive: bool) -> Result<Option<Credit>, Fault> {
        let mut channels = self.lock();
        match channels.get_mut(&handle).map(|channel| &mut channel.stage) {
            None => Err(unknown(handle)),
            Some(Stage::Closed) => Ok(None),
            Some(Stage::Opening) => Err(no_credit("an item", handle)),
            Some(Stage::Open(Open { outstanding, low, .. })) => {
                let credit = outstanding.take(len, exclusive).ok_or_else(|| no_credit("an item", handle))?;
                if outstanding.is_low() {
                    low.notify_one();
                }
                Ok(Some(credit))
            }
        }
    }

    fn deliver(&self, handle: u32, credit: Credit, item: Item) {
        if let Some(Channel { stage: Stage::Open(open), .. }) = self.lock().get_mut(&handle) {
            // A gate that is gone says so itself.
            let _ = open.sender.send(credit, item);
        }
    }

    fn last_word(&self, handle: u32, is_end: bool) -> Result<(), Fault> {
        let mut channels = self.lock();
        let Some(channel) = channels.remove(&handle) else {
            return Err(unknown(handle));
        };
        match channel.stage {
            Stage::Closed => return Ok(()),
            Stage::Opening if is_end => {
                return Err(Fault::refused(Refusal::NotOpened, "the end of a channel that is not open"));
            }
            Stage::Opening => {}
            Stage::Open(Open { mut sender, .. }) if is_end => {
                // A gate that is gone has no use for it.
                let _ = sender.end();
            }
            Stage::Open(open) => drop(open),
        }
        self.queue.push(Frame::Gone { handle }, None);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Channel>> {
        // Every change is whole before anything can panic.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
