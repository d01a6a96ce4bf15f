//! The writing end of an exchange: spreads records over channels and regroups them into batches worth sending.
//!
//! Invariants:
//! - Taking something in ([`OutputEdgeWriter::push_batch`] and its like) never waits; sending
//!   ([`OutputEdgeWriter::drain`]) waits and is cancel-safe: what was not sent stays, in order, for the next call.
//! - The rows of a channel keep the order in which they were pushed, and a watermark stays behind all rows that were
//!   pushed before it.
//! - No row waits longer than the buffer timeout, if [`OutputEdgeWriter::flush_due`] is called when
//!   [`OutputEdgeWriter::next_flush_deadline`] says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use millrace_graph::Partitioning;
use millrace_types::{Barrier, CheckpointId, EventTime};
use millrace_wire::{BATCH_FRAME_BYTES_MAX, BatchBuilder, BatchFlags, BatchView};
use rand::rngs::StdRng;
use tokio::time::Instant;

use crate::budget::BufferBudget;
use crate::capture::InFlight;
use crate::channel::{ChannelSender, Credit};
use crate::error::{ChannelClosed, WriteError};
use crate::item::Item;
use crate::selector::{KeyShare, Selector};

/// So many batches are worth waking a consumer for: waking a thread costs about as much as handling a batch does.
const BATCHES_TOGETHER: usize = 4;

/// What an edge's writer needs to know.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// How records are spread.
    pub partitioning: Partitioning,
    /// The consumers' number of subtasks, for hash partitioning.
    pub target_parallelism: u32,
    /// The consumers' number of key groups, for hash partitioning.
    pub target_max_parallelism: u32,
    /// The producer's subtask.
    pub subtask: u32,
    /// How long a partly filled batch waits for more rows. Zero: not at all.
    pub buffer_timeout: Duration,
}

/// Writes one exchange of one subtask.
#[derive(Debug)]
pub struct OutputEdgeWriter {
    selector: Selector,
    channels: Vec<ChannelSender>,
    budget: BufferBudget,
    /// One for each channel where rows are spread by key, else one.
    builders: Vec<BatchBuilder>,
    /// When the oldest row that waits must go.
    flush_at: Option<Instant>,
    buffer_timeout: Duration,
    /// What is to be sent, with the channel's position.
    pending: VecDeque<(usize, Item)>,
    /// What is pending waits for nothing more.
    is_urgent: bool,
    bytes_out: u64,
    batches_out: u64,
    /// The newest barrier that was pushed.
    barrier: Option<CheckpointId>,
}

impl OutputEdgeWriter {
    /// A writer for these channels, which stand in the order of the consuming subtasks. `rng` chooses the targets of
    /// `shuffle`.
    pub fn new(
        options: &EdgeOptions,
        channels: Vec<ChannelSender>,
        budget: BufferBudget,
        rng: StdRng,
    ) -> Result<Self, WriteError> {
        let keys =
            KeyShare { parallelism: options.target_parallelism, max_parallelism: options.target_max_parallelism };
        let selector = Selector::new(options.partitioning, channels.len(), keys, options.subtask, rng)?;
        let builders = if matches!(selector, Selector::ByKey(_)) { channels.len() } else { 1 };
        let builders = (0..builders).map(|_| BatchBuilder::new(BatchFlags::default())).collect();
        Ok(Self {
            selector,
            channels,
            budget,
            builders,
            flush_at: None,
            buffer_timeout: options.buffer_timeout,
            pending: VecDeque::new(),
            is_urgent: false,
            bytes_out: 0,
            batches_out: 0,
            barrier: None,
        })
    }

    /// Takes a batch in. The caller drains when [`Self::is_ready`] says so, before it pushes the next one: so what is
    /// pending stays below a few batches and what one more is spread into.
    pub fn push_batch(&mut self, batch: &BatchView, now: Instant) -> Result<(), WriteError> {
        if batch.is_empty() {
            return Ok(());
        }
        let target_bytes = self.budget.batch_bytes();
        match self.selector {
            Selector::ByKey(keys) => self.push_by_key(keys, batch, target_bytes)?,
            _ => self.push_whole(batch, target_bytes),
        }
        if self.buffer_timeout.is_zero() {
            self.flush();
        } else if self.flush_at.is_none() {
            self.flush_at = Some(now + self.buffer_timeout);
        }
        Ok(())
    }

    /// Whether so much is pending that it should be sent: enough batches, or rows that have waited long enough.
    pub fn is_ready(&self) -> bool {
        self.is_urgent || self.pending.len() >= BATCHES_TOGETHER
    }

    /// Batches that are worth it travel as they are; small ones are joined, and what no frame carries is taken apart.
    fn push_whole(&mut self, batch: &BatchView, target_bytes: usize) {
        if batch.byte_len() > BATCH_FRAME_BYTES_MAX as usize {
            return self.push_in_parts(batch, target_bytes);
        }
        let passes = batch.byte_len() >= target_bytes / 2;
        if passes || self.builders[0].flags() != batch.flags() {
            self.finish_builder(0);
        }
        if passes {
            self.send_batch(batch.clone());
            return;
        }
        if self.builders[0].flags() != batch.flags() {
            self.builders[0] = BatchBuilder::new(batch.flags());
        }
        self.builders[0].append(batch);
        if self.builders[0].byte_len() >= target_bytes {
            self.finish_builder(0);
        }
    }

    /// A guest may emit far more at once than a record may have.
    fn push_in_parts(&mut self, batch: &BatchView, target_bytes: usize) {
        self.finish_builder(0);
        if self.builders[0].flags() != batch.flags() {
            self.builders[0] = BatchBuilder::new(batch.flags());
        }
        for row in batch {
            if row.bytes.len() >= target_bytes {
                self.finish_builder(0);
            }
            self.builders[0].push_encoded(row.bytes);
            if self.builders[0].byte_len() >= target_bytes {
                self.finish_builder(0);
            }
        }
    }

    fn push_by_key(&mut self, keys: KeyShare, batch: &BatchView, target_bytes: usize) -> Result<(), WriteError> {
        if !batch.flags().keyed {
            return Err(WriteError::NoKeys);
        }
        if self.builders[0].flags() != batch.flags() {
            (0..self.builders.len()).for_each(|channel| self.finish_builder(channel));
            self.builders.fill_with(|| BatchBuilder::new(batch.flags()));
        }
        let mut rows = batch.rows();
        loop {
            let encoded = rows.encoded();
            let Some(row) = rows.next() else { return Ok(()) };
            let channel = keys.channel(row.key.unwrap_or_default());
            if row.bytes.len() >= target_bytes {
                // A row that is larger than a batch travels alone.
                self.finish_builder(channel);
            }
            let builder = &mut self.builders[channel];
            builder.push_front(encoded, row.bytes.len());
            if builder.byte_len() >= target_bytes {
                self.finish_builder(channel);
            }
        }
    }

    fn finish_builder(&mut self, builder: usize) {
        if self.builders[builder].is_empty() {
            return;
        }
        let batch = self.builders[builder].finish_view();
        match self.selector {
            Selector::ByKey(_) => self.send_to(builder, Item::Batch(batch)),
            _ => self.send_batch(batch),
        }
    }

    fn send_batch(&mut self, batch: BatchView) {
        match self.selector.next() {
            Some(channel) => self.send_to(channel, Item::Batch(batch)),
            None => self.send_to_all(&Item::Batch(batch)),
        }
    }

    fn send_to_all(&mut self, item: &Item) {
        for channel in 0..self.channels.len() {
            self.send_to(channel, item.clone());
        }
    }

    fn send_to(&mut self, channel: usize, item: Item) {
        self.bytes_out += item.byte_len() as u64;
        self.batches_out += u64::from(matches!(item, Item::Batch(_)));
        self.pending.push_back((channel, item));
    }

    /// Lets all rows go that wait for more.
    pub fn flush(&mut self) {
        (0..self.builders.len()).for_each(|builder| self.finish_builder(builder));
        self.flush_at = None;
        self.is_urgent = !self.pending.is_empty();
    }

    /// Lets rows go if the oldest one has waited for the buffer timeout.
    pub fn flush_due(&mut self, now: Instant) {
        if self.flush_at.is_some_and(|deadline| deadline <= now) {
            self.flush();
        }
    }

    /// When [`Self::flush_due`] has something to do.
    pub fn next_flush_deadline(&self) -> Option<Instant> {
        // What a barrier has overtaken is due at once.
        if self.is_urgent { Some(Instant::now()) } else { self.flush_at }
    }

    /// Takes a watermark in, behind all rows so far. One that directly follows another takes its place, so that any
    /// number of them stays bounded.
    pub fn push_watermark(&mut self, timestamp: EventTime) {
        self.flush();
        self.withdraw_last(|item| matches!(item, Item::Watermark(_)));
        self.send_to_all(&Item::Watermark(timestamp));
    }

    /// Takes in whether records and watermarks are to be expected from here on, behind all rows so far. As with
    /// watermarks, one that directly follows another takes its place.
    pub fn push_status(&mut self, idle: bool) {
        self.flush();
        self.withdraw_last(|item| matches!(item, Item::Status { .. }));
        self.send_to_all(&Item::Status { idle });
    }

    /// Takes a barrier in, behind all that was pushed so far, on every channel.
    pub fn push_barrier(&mut self, barrier: &Arc<Barrier>) {
        self.flush();
        self.barrier = Some(barrier.checkpoint);
        self.send_to_all(&Item::Barrier(Arc::clone(barrier)));
    }

    /// Lets a barrier overtake what is pending, on every channel: it goes at once, behind what was sent, and announces
    /// itself to the gates. Gives the batches that it has overtaken, which are part of the checkpoint and are still sent,
    /// in order. A barrier that was pushed and waits overtakes what is in front of it; on channels where it was sent, and
    /// where [`ChannelSender::try_overtake`] has no place, nothing is overtaken, and it goes in its turn.
    pub fn push_barrier_unaligned(&mut self, barrier: &Arc<Barrier>) -> Result<Vec<InFlight>, ChannelClosed> {
        if self.barrier != Some(barrier.checkpoint) {
            self.push_barrier(barrier);
        }
        let mut overtaken = Vec::new();
        for channel in 0..self.channels.len() {
            let is_it = |(to, item): &(usize, Item)| {
                *to == channel && matches!(item, Item::Barrier(other) if other.checkpoint == barrier.checkpoint)
            };
            let Some(at) = self.pending.iter().position(is_it) else { continue };
            if self.channels[channel].try_overtake(barrier)? {
                let in_front = self.pending.iter().take(at).filter(|(to, _)| *to == channel);
                overtaken.extend(in_front.filter_map(|(_, item)| match item {
                    Item::Batch(batch) => Some(InFlight { channel, batch: batch.clone() }),
                    _ => None,
                }));
                self.pending.remove(at);
            }
        }
        self.is_urgent = !self.pending.is_empty();
        Ok(overtaken)
    }

    /// Takes back what was pushed to all channels last, if it is of this kind and none of it was sent.
    fn withdraw_last(&mut self, is_of_kind: impl Fn(&Item) -> bool) {
        let last = self.pending.iter().rev().take_while(|(_, item)| is_of_kind(item));
        if last.count() >= self.channels.len() {
            let from = self.pending.len() - self.channels.len();
            self.pending.truncate(from);
        }
    }

    /// Takes the end in: nothing may be pushed behind it.
    pub fn push_end(&mut self) {
        self.flush();
        self.send_to_all(&Item::EndOfInput);
    }

    /// Sends what is pending as far as there is credit. Returns whether nothing is left.
    pub fn try_drain(&mut self) -> Result<bool, ChannelClosed> {
        while let Some((channel, item)) = self.pending.front() {
            if *item == Item::EndOfInput {
                let channel = *channel;
                self.pending.pop_front();
                self.channels[channel].end()?;
                continue;
            }
            let Some(credit) = self.channels[*channel].try_reserve(item.byte_len()) else {
                return Ok(false);
            };
            self.send_front(credit)?;
        }
        self.is_urgent = false;
        if self.builders.iter().all(BatchBuilder::is_empty) {
            self.flush_at = None;
        }
        Ok(true)
    }

    /// Sends all that is pending and waits for credit where there is none. Cancel-safe.
    pub async fn drain(&mut self) -> Result<(), ChannelClosed> {
        while !self.try_drain()? {
            if let Some((channel, item)) = self.pending.front() {
                let credit = self.channels[*channel].reserve(item.byte_len()).await;
                self.send_front(credit)?;
            }
        }
        Ok(())
    }

    fn send_front(&mut self, credit: Credit) -> Result<(), ChannelClosed> {
        match self.pending.pop_front() {
            Some((channel, item)) => self.channels[channel].send(credit, item),
            None => Ok(()),
        }
    }

    /// The batches that went to channels, each copy counted.
    pub fn batches_out(&self) -> u64 {
        self.batches_out
    }

    /// What waits to be sent.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The bytes that went to channels, each copy counted.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }
}

#[cfg(test)]
mod tests;
