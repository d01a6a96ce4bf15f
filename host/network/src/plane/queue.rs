//! Frames on their way to a connection's writer.
//!
//! Invariant: putting a frame in never waits. What bounds the queue is what its frames hold: a batch or a watermark
//! holds a [`Credit`] of its channel, and of a channel's other frames there are few at any time. What a peer can call
//! forth without limit, answers that it does not read, is limited by whoever reads from it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millrace_wire::Frame;
use tokio::sync::Notify;

use crate::channel::Credit;

/// The most frames that are written at once.
const ROUND_FRAMES_MAX: usize = 64;

/// Beyond so many bytes of batches no further frame joins a round, so that their buffers are free again soon.
const ROUND_BYTES: usize = 512 * 1024;

/// A frame, and the right to the memory that it takes until it is written.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub frame: Frame,
    _credit: Option<Credit>,
}

#[derive(Debug, Default)]
pub(crate) struct FrameQueue {
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Outbound>,
    closed: bool,
}

impl FrameQueue {
    /// Takes a frame in; drops it if the queue is closed.
    pub(crate) fn push(&self, frame: Frame, credit: Option<Credit>) {
        {
            let mut state = self.lock();
            if state.closed {
                return;
            }
            state.frames.push_back(Outbound { frame, _credit: credit });
        }
        self.ready.notify_one();
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().frames.len()
    }

    /// What is in it is the last.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// Nothing more is written, not even what is in it.
    pub(crate) fn abandon(&self) {
        let frames = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.frames)
        };
        drop(frames);
        self.ready.notify_one();
    }

    /// Waits for frames and takes as many as are to be written at once. Returns whether there will ever be more.
    pub(crate) async fn next_round(&self, round: &mut Vec<Outbound>) -> bool {
        loop {
            {
                let mut state = self.lock();
                let mut bytes = 0;
                while round.len() < ROUND_FRAMES_MAX && bytes < ROUND_BYTES {
                    let Some(outbound) = state.frames.pop_front() else { break };
                    if let Frame::Batch { batch, .. } = &outbound.frame {
                        bytes += batch.len();
                    }
                    round.push(outbound);
                }
                if !round.is_empty() {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            self.ready.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
