//! The operators of a chain that wait for answers from elsewhere.
//!
//! Invariants:
//! - The task takes input while there is room for requests, and no longer: what waits for room is what a few calls emitted.
//! - Answers are handed on between two calls of the operators, and have passed down the chain when the next thing happens.

use std::task::Poll;

use millrace_task_core::Input;
use millrace_types::{Failure, MAX_EVENT_TIME};

use super::Chain;
use crate::run::asynchronous::{AsyncSegment, HandedOn};
use crate::run::segment::Segment;
use crate::run::shared::TaskError;

impl Chain {
    fn asynchronous_mut(&mut self) -> impl Iterator<Item = &mut AsyncSegment> {
        self.segments.iter_mut().filter_map(|segment| match segment {
            Segment::Async(segment) => Some(segment.as_mut()),
            _ => None,
        })
    }

    fn asynchronous(&self) -> impl Iterator<Item = &AsyncSegment> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Async(segment) => Some(segment.as_ref()),
            _ => None,
        })
    }

    /// Whether input may be taken: no row waits until a request can be made for it.
    pub(crate) fn has_room(&self) -> bool {
        self.asynchronous().all(AsyncSegment::has_room)
    }

    /// Whether something is yet to come of what was taken, without any further input.
    pub(crate) fn awaits_answers(&self) -> bool {
        self.asynchronous().any(AsyncSegment::is_pending)
    }

    /// Waits until there is something to [hand on](Self::hand_on). Cancel-safe.
    pub(crate) async fn answered(&mut self) {
        std::future::poll_fn(|cx| {
            // All are asked, so that each of them wakes the task.
            let mut asked = Poll::Pending;
            for segment in self.asynchronous_mut() {
                if segment.poll_answered(cx).is_ready() {
                    asked = Poll::Ready(());
                }
            }
            asked
        })
        .await;
    }

    /// Hands on the answers that are there, and the watermarks behind them.
    pub(crate) async fn hand_on(&mut self) -> Result<(), TaskError> {
        if !self.is_asynchronous {
            return Ok(());
        }
        while self.hand_on_some().await? {
            self.note_watermarks(false)?;
            self.advance().await?;
        }
        self.advance().await
    }

    /// Waits for the answers to all that came in front of the last watermark, and hands them on. Where that has not come
    /// there is nothing to wait for.
    pub(crate) async fn finish_answers(&mut self) -> Result<(), TaskError> {
        while self.awaits_last_answers() {
            self.answered().await;
            self.hand_on().await?;
        }
        Ok(())
    }

    fn awaits_last_answers(&self) -> bool {
        let has_all = |segment: &AsyncSegment| self.progress.input_watermark(segment.node) == Some(MAX_EVENT_TIME);
        self.asynchronous().any(|segment| segment.is_pending() && has_all(segment))
    }

    /// Waits until there is room for requests. Watermarks that are handed on meanwhile pass later.
    pub(crate) async fn room(&mut self) -> Result<(), TaskError> {
        while !self.has_room() {
            self.answered().await;
            self.hand_on_some().await?;
        }
        Ok(())
    }

    /// Hands on about a batch of each operator. Whether there was anything.
    async fn hand_on_some(&mut self) -> Result<bool, TaskError> {
        let mut any = false;
        for at in 0..self.segments.len() {
            let Segment::Async(segment) = &mut self.segments[at] else { continue };
            let node = segment.node;
            let HandedOn { rows, watermark } = segment.hand_on().await?;
            if rows {
                self.settle().await?;
            }
            if let Some(watermark) = watermark {
                self.watermarks_stirred = true;
                self.progress.apply(Input::Emitted { node, watermark }).map_err(Failure::from)?;
            }
            any |= rows || watermark.is_some();
        }
        Ok(any)
    }

    /// Tells the progress which operators have something to hand on.
    pub(super) fn note_pending(&mut self) -> Result<(), TaskError> {
        for segment in &mut self.segments {
            if let Segment::Async(segment) = segment
                && segment.known_pending != segment.is_pending()
            {
                segment.known_pending = !segment.known_pending;
                let input = Input::Pending { node: segment.node, pending: segment.known_pending };
                self.progress.apply(input).map_err(Failure::from)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
