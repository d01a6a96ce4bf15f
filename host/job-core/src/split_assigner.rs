//! Hands the splits of a source to its readers, one at a time, in order.
//!
//! A region's restart makes a new assigner, from a checkpoint if there is one. Invariant: a split is handed out once, and
//! the assigner knows to which attempt, in which order, and whether it was read to its end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use millrace_protocol::{ReaderPresence, ReaderSnapshot, SplitId, split_digest};
use millrace_types::{AttemptId, Failure, FailureKind};
use serde::{Deserialize, Serialize};

use crate::checkpoints::{SourceState, SplitState};

/// The most splits of a source.
pub const SPLITS_MAX: usize = 1_000_000;

/// The longest split, in bytes.
pub const SPLIT_BYTES_MAX: usize = 64 * 1024;

/// The splits of a source together, in bytes.
pub const SPLITS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handout {
    /// The splits: at most one, or what earlier readers held.
    pub splits: Vec<(SplitId, Vec<u8>, Bytes)>,
    /// Whether there are no more for anybody.
    pub no_more: bool,
    /// How many of the splits that the reader says it finished were not its own.
    pub unknown: usize,
}

/// How far the splits of a source are. Readers report the end of a split when they ask for the next one, so the last
/// ones may never count as finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SplitProgress {
    /// Splits that wait for a reader.
    pub waiting: u32,
    /// Splits that were given to a reader.
    pub assigned: u32,
    /// Those of them that were read to their end.
    pub finished: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Split {
    split: Bytes,
    /// Where the reader that gets it goes on.
    offset: Bytes,
    /// Who has it.
    to: Option<AttemptId>,
    finished: bool,
}

/// The splits of one source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SplitAssigner {
    splits: BTreeMap<SplitId, Split>,
    waiting: VecDeque<SplitId>,
    /// What earlier readers held, dealt out to the subtasks: each gets its part with its first request.
    dealt: BTreeMap<u32, Vec<SplitId>>,
    /// What each reader was given, in order.
    given: BTreeMap<AttemptId, Vec<SplitId>>,
    assigned: u32,
    finished: u32,
    /// Splits that were read to their end before the checkpoint that this begins with.
    finished_before: u32,
}

impl SplitAssigner {
    /// An assigner of these splits, in this order.
    ///
    /// # Errors
    /// There are more or longer splits than the limits allow.
    pub fn new(splits: Vec<Vec<u8>>) -> Result<Self, Failure> {
        let too_much = |message: String| {
            let failure = Failure::new(FailureKind::InvalidApplication, message);
            Err(failure.with_remedy("let the source make fewer or smaller splits, or read fewer files"))
        };
        if splits.len() > SPLITS_MAX {
            return too_much(format!("the source has {} splits and may have {SPLITS_MAX}", splits.len()));
        }
        if let Some(long) = splits.iter().map(Vec::len).find(|&length| length > SPLIT_BYTES_MAX) {
            return too_much(format!("a split has {long} bytes and may have {SPLIT_BYTES_MAX}"));
        }
        let bytes: usize = splits.iter().map(Vec::len).sum();
        if bytes > SPLITS_BYTES_MAX {
            return too_much(format!("the source's splits have {bytes} bytes and may have {SPLITS_BYTES_MAX}"));
        }
        let mut assigner = Self::default();
        for (number, split) in splits.into_iter().enumerate() {
            let split = Split { split: split.into(), offset: Bytes::new(), to: None, finished: false };
            assigner.splits.insert(SplitId(number as u32), split);
        }
        assigner.waiting = assigner.splits.keys().copied().collect();
        Ok(assigner)
    }

    /// An assigner that goes on from a checkpoint: what readers held is dealt out among the subtasks that read on.
    pub fn restore(state: &SourceState, readers: &[u32]) -> Self {
        let mut assigner = Self { finished_before: state.finished, ..Self::default() };
        let mut turn = readers.iter().cycle();
        for SplitState { id, split, offset, held } in &state.splits {
            let restored = Split { split: split.clone(), offset: offset.clone(), to: None, finished: false };
            assigner.splits.insert(*id, restored);
            match held.then(|| turn.next()).flatten() {
                Some(reader) => assigner.dealt.entry(*reader).or_default().push(*id),
                None => assigner.waiting.push_back(*id),
            }
        }
        assigner
    }

    /// The splits as readers of an earlier leader have them. With `restored` these are those of the newest checkpoint, which
    /// lacks splits that were read to their end before; otherwise all there are, in their order.
    ///
    /// # Errors
    /// It cannot be that what the readers say and these splits agree, or splits are left that no reader would ask for.
    pub fn adopt(mut self, readers: &BTreeMap<AttemptId, &ReaderPresence>, restored: bool) -> Result<Self, String> {
        for (attempt, reader) in readers {
            let finished: BTreeSet<_> = reader.finished.iter().collect();
            for (id, digest) in &reader.received {
                let Some(split) = self.splits.get_mut(id) else {
                    // It was read to its end in front of the checkpoint.
                    if restored {
                        continue;
                    }
                    return Err(format!("a reader has split {}, which there is not", id.0));
                };
                if split_digest(&split.split) != *digest {
                    return Err(format!("a reader has another split {} than there is now", id.0));
                }
                if split.to.replace(*attempt).is_some() {
                    return Err(format!("two readers have split {}", id.0));
                }
                split.finished = finished.contains(id);
                self.assigned += 1;
                self.finished += u32::from(split.finished);
            }
            self.given.insert(*attempt, reader.received.iter().map(|(id, _)| *id).collect());
        }
        let waits = |(id, split): (&SplitId, &Split)| split.to.is_none().then_some(*id);
        self.waiting = self.splits.iter().filter_map(waits).collect();
        self.dealt.clear();
        if !self.waiting.is_empty() && readers.values().all(|reader| reader.no_more) {
            return Err(format!("{} splits are left, and the readers were told that none are", self.waiting.len()));
        }
        Ok(self)
    }

    /// Notes what a reader has finished and gives it its part of what others held, or else the next split.
    pub fn request(&mut self, attempt: AttemptId, finished: &[SplitId]) -> Handout {
        let mut unknown = 0;
        for id in finished {
            match self.splits.get_mut(id).filter(|split| split.to == Some(attempt)) {
                Some(split) if split.finished => {}
                Some(split) => {
                    split.finished = true;
                    self.finished += 1;
                }
                None => unknown += 1,
            }
        }
        let dealt = self.dealt.remove(&attempt.subtask);
        let ids = dealt.unwrap_or_else(|| self.waiting.pop_front().into_iter().collect());
        let given = self.given.entry(attempt).or_default();
        let mut splits = Vec::new();
        for id in ids {
            let Some(split) = self.splits.get_mut(&id) else { continue };
            split.to = Some(attempt);
            self.assigned += 1;
            given.push(id);
            splits.push((id, split.split.to_vec(), split.offset.clone()));
        }
        Handout { splits, no_more: self.waiting.is_empty(), unknown }
    }

    /// How far the splits are.
    pub fn progress(&self) -> SplitProgress {
        SplitProgress {
            waiting: self.splits.len() as u32 - self.assigned,
            assigned: self.assigned + self.finished_before,
            finished: self.finished + self.finished_before,
        }
    }

    /// Checks what a reader says of its splits.
    ///
    /// # Errors
    /// It cannot be true.
    pub fn check(&self, attempt: AttemptId, reader: &ReaderSnapshot) -> Result<(), String> {
        let given = self.given.get(&attempt).map_or(&[][..], Vec::as_slice);
        let received = usize::try_from(reader.received).ok().and_then(|count| given.get(..count));
        let Some(received) = received else {
            return Err(format!("its reader received {} splits and was given {}", reader.received, given.len()));
        };
        let received: BTreeSet<_> = received.iter().collect();
        let mut held = BTreeSet::new();
        match reader.held.iter().find(|held_one| !received.contains(&held_one.id) || !held.insert(held_one.id)) {
            Some(wrong) => Err(format!("its reader holds split {}, which it did not receive", wrong.id.0)),
            None => Ok(()),
        }
    }

    /// What a checkpoint keeps of the splits: all but those that were read to their end, by what the readers said at their
    /// barriers. Subtasks that had finished before have read all theirs.
    pub fn state(&self, readers: &BTreeMap<u32, ReaderSnapshot>, finished: &BTreeSet<u32>) -> SourceState {
        let mut done: BTreeSet<SplitId> = BTreeSet::new();
        let mut held: BTreeMap<SplitId, &Bytes> = BTreeMap::new();
        for (attempt, given) in &self.given {
            let reader = readers.get(&attempt.subtask);
            let received = match reader {
                _ if finished.contains(&attempt.subtask) => given.len(),
                Some(reader) => (reader.received as usize).min(given.len()),
                None => 0,
            };
            done.extend(&given[..received]);
            held.extend(reader.into_iter().flat_map(|reader| &reader.held).map(|split| (split.id, &split.offset)));
        }
        let left = self.splits.iter().filter(|(id, _)| !done.contains(*id) || held.contains_key(*id));
        let splits: Vec<_> = left
            .map(|(id, split)| SplitState {
                id: *id,
                split: split.split.clone(),
                offset: held.get(id).map_or_else(|| split.offset.clone(), |offset| (*offset).clone()),
                held: held.contains_key(id),
            })
            .collect();
        SourceState { finished: self.finished_before + (self.splits.len() - splits.len()) as u32, splits }
    }
}
