//! The splits of one source subtask: which to read next, when to ask for more, when all is read. Pure.
//!
//! Invariants:
//! - At most one request is under way, and none while there is a split to read: what this subtask leaves, others get.
//! - A split is read by one reader at a time, on from the offset that was returned last, until it is finished; a split
//!   that is idle, or has had its turn, lets the others go first.

use std::collections::VecDeque;

use bytes::Bytes;
use millrace_protocol::{ReaderSnapshot, SplitId, SplitPosition};

/// How often a split of a native source with more to read is read before another one that is ready has its turn. Long:
/// a reader keeps one split open at a time, and a compressed file is read from its beginning each time that it is opened.
const POLLS_PER_TURN_NATIVE: u32 = 1024;

/// The same for a source in a guest, which keeps nothing open. Each turn costs a call of every operator that generates
/// watermarks; what one split is read ahead of the others waits in the state of the operators behind it.
const POLLS_PER_TURN_GUEST: u32 = 16;

/// An empty answer to a request is not repeated sooner, in milliseconds.
pub(crate) const REQUEST_PAUSE_MS: u64 = 100;

/// The longest time that a split may be idle before it is read again, in milliseconds.
const IDLE_MS_MAX: u64 = 60_000;

/// A split and how far it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    pub id: SplitId,
    pub bytes: Bytes,
    pub offset: Bytes,
    ready_at_ms: u64,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read from [`SplitQueue::front`].
    Read,
    /// Ask for splits, and say which were finished.
    Request(Vec<SplitId>),
    /// Nothing before this time, in milliseconds, or before splits come.
    Wait(Option<u64>),
    /// What could be read is ahead of others, and is to wait for them. Other splits may be read from this time on, in
    /// milliseconds.
    HeldBack(Option<u64>),
    /// All is read.
    Done,
}

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadStatus {
    More,
    IdleMs(u32),
    Finished,
}

/// The splits of a source subtask. Times are milliseconds of any clock that never goes back.
#[derive(Debug)]
pub(crate) struct SplitQueue {
    active: VecDeque<Split>,
    finished: Vec<SplitId>,
    /// How many splits came, in all.
    received: u64,
    requested: bool,
    no_more: bool,
    request_not_before_ms: u64,
    polls_in_turn: u32,
    polls_per_turn: u32,
}

impl SplitQueue {
    /// The queue of a source without splits; whether the source runs in a guest.
    pub(crate) fn new(in_guest: bool) -> Self {
        Self {
            active: VecDeque::new(),
            finished: Vec::new(),
            received: 0,
            requested: false,
            no_more: false,
            request_not_before_ms: 0,
            polls_in_turn: 0,
            polls_per_turn: if in_guest { POLLS_PER_TURN_GUEST } else { POLLS_PER_TURN_NATIVE },
        }
    }

    /// What to do now. Splits of which `is_ahead` holds are not read.
    pub(crate) fn next_step(&mut self, now_ms: u64, is_ahead: impl Fn(SplitId) -> bool) -> Step {
        let is_ready = |split: &Split| split.ready_at_ms <= now_ms;
        if let Some(next) = self.active.iter().position(|split| is_ready(split) && !is_ahead(split.id)) {
            if next > 0 {
                self.active.rotate_left(next);
                self.polls_in_turn = 0;
            }
            return Step::Read;
        }
        let later = self.active.iter().filter(|split| !is_ready(split)).map(|split| split.ready_at_ms).min();
        if self.active.iter().any(is_ready) {
            return Step::HeldBack(later);
        }
        if let Some(ready_at_ms) = later {
            return Step::Wait(Some(ready_at_ms));
        }
        if self.no_more {
            return Step::Done;
        }
        if self.requested {
            return Step::Wait(None);
        }
        if self.request_not_before_ms > now_ms {
            return Step::Wait(Some(self.request_not_before_ms));
        }
        self.requested = true;
        Step::Request(std::mem::take(&mut self.finished))
    }

    /// The split to read.
    pub(crate) fn front(&self) -> Option<&Split> {
        self.active.front()
    }

    /// The split at the front was read.
    pub(crate) fn read(&mut self, offset: Bytes, status: ReadStatus, now_ms: u64) {
        self.polls_in_turn += 1;
        let turn_is_over = self.polls_in_turn >= self.polls_per_turn;
        let Some(split) = self.active.front_mut() else {
            return;
        };
        split.offset = offset;
        match status {
            ReadStatus::More if !turn_is_over => return,
            ReadStatus::More => self.active.rotate_left(1),
            ReadStatus::IdleMs(ms) => {
                split.ready_at_ms = now_ms + u64::from(ms).clamp(1, IDLE_MS_MAX);
                self.active.rotate_left(1);
            }
            ReadStatus::Finished => {
                self.finished.extend(self.active.pop_front().map(|split| split.id));
            }
        }
        self.polls_in_turn = 0;
    }

    /// Splits have come, as an answer or unasked.
    pub(crate) fn assign(&mut self, splits: Vec<(SplitId, Vec<u8>, Bytes)>, no_more: bool, now_ms: u64) {
        self.requested = false;
        self.no_more |= no_more;
        if splits.is_empty() {
            self.request_not_before_ms = now_ms + REQUEST_PAUSE_MS;
        }
        for (id, bytes, offset) in splits {
            let split = Split { id, bytes: Bytes::from(bytes), offset, ready_at_ms: now_ms };
            self.active.push_back(split);
            self.received += 1;
        }
    }

    /// Where the reader is, for a checkpoint.
    pub(crate) fn snapshot(&self) -> ReaderSnapshot {
        let held = self.active.iter().map(|split| SplitPosition { id: split.id, offset: split.offset.clone() });
        ReaderSnapshot { received: self.received, held: held.collect() }
    }

    /// The source is to end as if all was read. Returns the splits that are given up.
    pub(crate) fn drain(&mut self) -> Vec<SplitId> {
        self.no_more = true;
        self.active.drain(..).map(|split| split.id).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOBODY: fn(SplitId) -> bool = |_| false;

    fn split(id: u32) -> (SplitId, Vec<u8>, Bytes) {
        (SplitId(id), vec![id as u8], Bytes::new())
    }

    fn front(queue: &SplitQueue) -> u32 {
        queue.front().unwrap().id.0
    }

    #[test]
    fn asks_once_reads_to_the_end_reports_and_asks_again() {
        let mut queue = SplitQueue::new(true);
        assert_eq!(queue.next_step(0, NOBODY), Step::Request(vec![]));
        assert_eq!(queue.next_step(0, NOBODY), Step::Wait(None), "one request at a time");
        queue.assign(vec![split(7)], false, 0);
        assert_eq!(queue.next_step(0, NOBODY), Step::Read);
        assert!(queue.front().unwrap().offset.is_empty());
        queue.read(Bytes::from_static(b"here"), ReadStatus::More, 0);
        assert_eq!(queue.next_step(0, NOBODY), Step::Read);
        assert_eq!(queue.front().unwrap().offset, "here");
        queue.read(Bytes::new(), ReadStatus::Finished, 0);
        assert_eq!(queue.next_step(0, NOBODY), Step::Request(vec![SplitId(7)]));
        queue.assign(vec![split(8)], true, 0);
        assert_eq!(queue.next_step(0, NOBODY), Step::Read);
        queue.read(Bytes::new(), ReadStatus::Finished, 0);
        assert_eq!(queue.next_step(0, NOBODY), Step::Done);
    }

    #[test]
    fn an_idle_split_lets_others_go_first_and_is_read_when_its_time_comes() {
        let mut queue = SplitQueue::new(true);
        queue.assign(vec![split(1), split(2)], true, 0);
        assert_eq!((queue.next_step(0, NOBODY), front(&queue)), (Step::Read, 1));
        queue.read(Bytes::new(), ReadStatus::IdleMs(10), 0);
        assert_eq!((queue.next_step(0, NOBODY), front(&queue)), (Step::Read, 2));
        queue.read(Bytes::new(), ReadStatus::IdleMs(30), 0);
        assert_eq!(queue.next_step(0, NOBODY), Step::Wait(Some(10)));
        assert_eq!((queue.next_step(10, NOBODY), front(&queue)), (Step::Read, 1));
        queue.read(Bytes::new(), ReadStatus::Finished, 10);
        assert_eq!(queue.next_step(10, NOBODY), Step::Wait(Some(30)), "not done while a split is idle");
        assert_eq!((queue.next_step(30, NOBODY), front(&queue)), (Step::Read, 2));
    }

    #[test]
    fn an_empty_answer_is_asked_again_but_not_in_a_hurry() {
        let mut queue = SplitQueue::new(true);
        assert_eq!(queue.next_step(0, NOBODY), Step::Request(vec![]));
        queue.assign(vec![], false, 0);
        assert_eq!(queue.next_step(1, NOBODY), Step::Wait(Some(REQUEST_PAUSE_MS)));
        assert_eq!(queue.next_step(REQUEST_PAUSE_MS, NOBODY), Step::Request(vec![]));
        queue.assign(vec![split(1)], false, REQUEST_PAUSE_MS);
        assert_eq!(queue.next_step(REQUEST_PAUSE_MS, NOBODY), Step::Read);
        queue.read(Bytes::new(), ReadStatus::IdleMs(5_000), 200);
        assert_eq!(queue.next_step(200, NOBODY), Step::Wait(Some(5_200)), "what others could read is left to them");
    }

    #[test]
    fn a_split_that_always_has_more_cannot_starve_the_others() {
        let mut queue = SplitQueue::new(true);
        queue.assign(vec![split(1), split(2)], true, 0);
        let mut seen = Vec::new();
        for _ in 0..2 * POLLS_PER_TURN_GUEST {
            assert_eq!(queue.next_step(0, NOBODY), Step::Read);
            seen.push(front(&queue));
            queue.read(Bytes::new(), ReadStatus::More, 0);
        }
        assert_eq!(seen.iter().filter(|id| **id == 2).count(), POLLS_PER_TURN_GUEST as usize);
    }

    #[test]
    fn a_split_that_is_ahead_waits_and_the_others_are_read() {
        let mut queue = SplitQueue::new(false);
        queue.assign(vec![split(1), split(2), split(3)], true, 0);
        let only = |ahead: u32| move |id: SplitId| id.0 == ahead;
        assert_eq!((queue.next_step(0, only(1)), front(&queue)), (Step::Read, 2));
        queue.read(Bytes::new(), ReadStatus::IdleMs(10), 0);
        assert_eq!((queue.next_step(0, only(1)), front(&queue)), (Step::Read, 3));
        queue.read(Bytes::new(), ReadStatus::Finished, 0);
        assert_eq!(queue.next_step(0, only(1)), Step::HeldBack(Some(10)));
        assert_eq!(queue.next_step(10, |_| true), Step::HeldBack(None));
        assert_eq!((queue.next_step(10, NOBODY), front(&queue)), (Step::Read, 1));
    }
}
