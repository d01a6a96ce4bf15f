//! What channels hold in front of a barrier that was overtaken: the in-flight data of an unaligned checkpoint.
//!
//! Invariant: a batch is captured once, when it leaves the gate's queue. From then on it may be given to the task or set
//! aside, which changes nothing about the capture.

use millrace_types::{CheckpointId, format_bytes};
use millrace_wire::BatchView;

use crate::item::Item;

/// A batch that a barrier has overtaken. It shares its bytes with the one that is processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// The channel: its position in the gate, or among the writer's channels.
    pub channel: usize,
    /// The batch.
    pub batch: BatchView,
}

/// Why in-flight data is not complete. The checkpoint cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// A producer took too long to pass the barrier on.
    #[error(
        "checkpoint {checkpoint} has more than {} of in-flight data in one task: a producer took long to pass the \
         barrier on; raise the timeout of aligned checkpoints", format_bytes(*bytes_max as u64)
    )]
    TooLarge {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The limit, in bytes.
        bytes_max: usize,
    },
    /// A channel has brought a newer barrier instead.
    #[error("checkpoint {checkpoint} was given up by a producer, which has passed checkpoint {newer} on instead")]
    Subsumed {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The newer one.
        newer: CheckpointId,
    },
}

/// The capture of one checkpoint in one gate.
#[derive(Debug)]
pub(crate) struct Capture {
    pub checkpoint: CheckpointId,
    /// By channel: its barrier has not come.
    open: Vec<bool>,
    left: usize,
    bytes: usize,
    bytes_max: usize,
    batches: Vec<InFlight>,
    error: Option<CaptureError>,
}

impl Capture {
    pub(crate) fn new(checkpoint: CheckpointId, channels: &[usize], of: usize, bytes_max: usize) -> Self {
        let mut open = vec![false; of];
        channels.iter().for_each(|channel| open[*channel] = true);
        let left = open.iter().filter(|open| **open).count();
        Self { checkpoint, open, left, bytes: 0, bytes_max, batches: Vec::new(), error: None }
    }

    /// Sees an item that leaves the queue. Returns whether it was this checkpoint's barrier, which has done its duty.
    pub(crate) fn see(&mut self, channel: usize, item: &Item) -> bool {
        if !self.open[channel] || self.error.is_some() {
            return matches!(item, Item::Barrier(barrier) if barrier.checkpoint == self.checkpoint);
        }
        match item {
            Item::Batch(batch) => {
                self.bytes += batch.byte_len();
                self.batches.push(InFlight { channel, batch: batch.clone() });
                if self.bytes > self.bytes_max {
                    let (checkpoint, bytes_max) = (self.checkpoint, self.bytes_max);
                    self.fail(CaptureError::TooLarge { checkpoint, bytes_max });
                }
            }
            Item::Barrier(barrier) if barrier.checkpoint > self.checkpoint => {
                self.fail(CaptureError::Subsumed { checkpoint: self.checkpoint, newer: barrier.checkpoint });
            }
            Item::Barrier(barrier) if barrier.checkpoint == self.checkpoint => {
                self.close(channel);
                return true;
            }
            Item::EndOfInput => self.close(channel),
            Item::Barrier(_) | Item::Watermark(_) | Item::Status { .. } | Item::Announced { .. } => {}
        }
        false
    }

    fn close(&mut self, channel: usize) {
        self.open[channel] = false;
        self.left -= 1;
    }

    fn fail(&mut self, error: CaptureError) {
        self.batches = Vec::new();
        self.error = Some(error);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left == 0 || self.error.is_some()
    }

    pub(crate) fn finish(self) -> Result<Vec<InFlight>, CaptureError> {
        self.error.map_or(Ok(self.batches), Err)
    }
}

#[cfg(test)]
mod tests;
