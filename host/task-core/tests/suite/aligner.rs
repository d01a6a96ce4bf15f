//! When a snapshot is taken: Flink's cases by hand, then every order of several channels.

use std::sync::Arc;

use millrace_task_core::{AlignerCommand, BarrierAligner, CHECKPOINTS_TRACKED_MAX};
use millrace_types::{Alignment, Barrier, CheckpointId, SnapshotKind, Timestamp};
use proptest::prelude::*;

const UNALIGNED: Alignment = Alignment::Unaligned { timeout_ms: 10 };

fn barrier(checkpoint: u64, alignment: Alignment) -> Arc<Barrier> {
    // Each is triggered 100 ms behind the last one.
    let triggered_at = Timestamp(checkpoint * 100);
    let kind = SnapshotKind::Checkpoint;
    Arc::new(Barrier {
        checkpoint: CheckpointId(checkpoint),
        triggered_at,
        kind,
        drain: false,
        alignment,
        folder: None,
    })
}

fn short(command: &AlignerCommand) -> String {
    match command {
        AlignerCommand::Block { channel } => format!("block {channel}"),
        AlignerCommand::UnblockAll => "unblock".to_owned(),
        AlignerCommand::TakeSnapshot { barrier, unaligned: false, .. } => format!("take {}", barrier.checkpoint),
        AlignerCommand::TakeSnapshot { barrier, in_flight, .. } => {
            format!("overtake {} {in_flight:?}", barrier.checkpoint)
        }
        AlignerCommand::Decline { checkpoint, subsumed_by } => format!("decline {checkpoint} for {subsumed_by}"),
    }
}

/// An aligner whose commands are read in short. Time is 0 unless it is told.
struct Told(BarrierAligner, Alignment);

impl Told {
    fn new(channels: usize, alignment: Alignment) -> Self {
        Self(BarrierAligner::new(channels), alignment)
    }

    fn tell(&mut self, event: impl FnOnce(&mut BarrierAligner, &mut Vec<AlignerCommand>)) -> Vec<String> {
        let mut out = Vec::new();
        event(&mut self.0, &mut out);
        out.iter().map(short).collect()
    }

    fn barrier(&mut self, channel: usize, checkpoint: u64) -> Vec<String> {
        self.barrier_at(channel, checkpoint, 0)
    }

    fn barrier_at(&mut self, channel: usize, checkpoint: u64, now: u64) -> Vec<String> {
        let barrier = barrier(checkpoint, self.1);
        self.tell(|aligner, out| aligner.barrier(channel, &barrier, Timestamp(now), out))
    }

    fn announced(&mut self, checkpoint: u64, overtaking: bool) -> Vec<String> {
        let barrier = barrier(checkpoint, self.1);
        self.tell(|aligner, out| aligner.announced(&barrier, overtaking, Timestamp(0), out))
    }

    fn triggered(&mut self, checkpoint: u64) -> Vec<String> {
        let barrier = barrier(checkpoint, self.1);
        self.tell(|aligner, out| aligner.triggered(&barrier, Timestamp(0), out))
    }

    fn ended(&mut self, channel: usize) -> Vec<String> {
        self.tell(|aligner, out| aligner.ended(channel, Timestamp(0), out))
    }

    fn aborted(&mut self, checkpoint: u64) -> Vec<String> {
        self.tell(|aligner, out| aligner.aborted(CheckpointId(checkpoint), out))
    }

    fn aborted_upto(&mut self, checkpoint: u64) -> Vec<String> {
        self.tell(|aligner, out| aligner.aborted_upto(CheckpointId(checkpoint), out))
    }

    fn at(&mut self, now: u64) -> Vec<String> {
        self.tell(|aligner, out| aligner.on_time(Timestamp(now), out))
    }
}

const NONE: [&str; 0] = [];

#[test]
fn channels_wait_for_the_last_barrier() {
    let mut task = Told::new(3, Alignment::Aligned);
    assert_eq!(task.barrier(1, 1), ["block 1"]);
    assert_eq!(task.barrier(0, 1), ["block 0"]);
    assert_eq!(task.barrier(2, 1), ["take 1", "unblock"]);
    let mut single = Told::new(1, Alignment::Aligned);
    assert_eq!(single.barrier(0, 1), ["take 1", "unblock"]);
    assert_eq!(single.barrier(0, 1), NONE);
    assert_eq!(single.0.stale(), 1);
}

#[test]
fn a_newer_checkpoint_declines_the_one_that_waits() {
    let mut task = Told::new(3, Alignment::Aligned);
    assert_eq!(task.barrier(0, 1), ["block 0"]);
    assert_eq!(task.barrier(1, 3), ["decline 1 for 3", "unblock", "block 1"]);
    // What is late of the old one, and one in between, has no effect and blocks nothing.
    assert_eq!(task.barrier(2, 1), NONE);
    assert_eq!(task.barrier(2, 2), NONE);
    assert_eq!(task.0.stale(), 2);
    assert_eq!(task.barrier(0, 3), ["block 0"]);
    assert_eq!(task.barrier(2, 3), ["take 3", "unblock"]);
}

#[test]
fn an_abort_counts_before_during_and_after() {
    let mut task = Told::new(2, Alignment::Aligned);
    assert_eq!(task.aborted(1), NONE);
    assert_eq!(task.barrier(0, 1), NONE, "before the first barrier");
    assert_eq!(task.barrier(0, 2), ["block 0"]);
    assert_eq!(task.aborted(2), ["unblock"]);
    assert_eq!(task.barrier(1, 2), NONE, "late");
    assert_eq!(task.barrier(0, 3), ["block 0"]);
    assert_eq!(task.aborted(4), NONE, "another one");
    assert_eq!(task.barrier(1, 3), ["take 3", "unblock"]);
    assert_eq!(task.aborted(3), NONE);
    assert_eq!(task.barrier(1, 4), NONE);
    assert_eq!(task.barrier(1, 5), ["block 1"]);
}

#[test]
fn a_new_leader_gives_up_all_that_an_earlier_one_may_have_begun() {
    let mut task = Told::new(2, Alignment::Aligned);
    task.barrier(0, 3);
    assert_eq!(task.aborted_upto(64), ["unblock"]);
    assert_eq!(task.barrier(1, 3), NONE);
    // One that the old leader began and that is still on its way.
    assert_eq!([task.barrier(0, 4), task.barrier(1, 64)], [NONE; 2]);
    assert_eq!(task.triggered(60), NONE);
    assert_eq!(task.barrier(1, 65), ["block 1"]);
    assert_eq!(task.barrier(0, 65), ["take 65", "unblock"]);
    let mut task = Told::new(2, Alignment::None);
    task.barrier(0, 3);
    task.barrier(0, 4);
    assert_eq!(task.aborted_upto(3), NONE, "nothing was blocked");
    assert_eq!(task.barrier(1, 4), ["take 4"]);
}

#[test]
fn an_ended_channel_has_brought_all_barriers() {
    let mut task = Told::new(3, Alignment::Aligned);
    assert_eq!(task.barrier(0, 1), ["block 0"]);
    assert_eq!(task.ended(1), NONE);
    assert_eq!(task.ended(2), ["take 1", "unblock"]);
    assert_eq!(task.barrier(0, 2), ["take 2", "unblock"]);
    assert_eq!(task.ended(0), NONE);
    assert_eq!(task.triggered(3), ["take 3"]);
    assert_eq!(task.triggered(3), NONE);
    assert_eq!(Told::new(0, Alignment::Aligned).triggered(1), ["take 1"], "a source");
}

#[test]
fn a_trigger_that_comes_ahead_of_the_ends_waits_for_them() {
    let mut task = Told::new(2, Alignment::Aligned);
    assert_eq!(task.ended(0), NONE);
    assert_eq!(task.triggered(1), NONE);
    assert_eq!(task.ended(1), ["take 1"]);
}

#[test]
fn at_least_once_nothing_is_blocked_and_several_wait() {
    let mut task = Told::new(2, Alignment::None);
    assert_eq!(task.barrier(0, 1), NONE);
    assert_eq!(task.barrier(0, 2), NONE);
    assert_eq!(task.barrier(1, 1), ["take 1"]);
    assert_eq!(task.barrier(0, 3), NONE);
    assert_eq!(task.barrier(0, 4), NONE);
    // The channel's producer has skipped 2: it is of no use behind 3.
    assert_eq!(task.barrier(1, 3), ["decline 2 for 3", "take 3"]);
    assert_eq!(task.barrier(1, 2), NONE);
    assert_eq!(task.aborted(4), NONE);
    assert_eq!(task.barrier(1, 4), NONE);
    for checkpoint in 10..10 + CHECKPOINTS_TRACKED_MAX as u64 {
        assert_eq!(task.barrier(0, checkpoint), NONE);
    }
    assert_eq!(task.barrier(0, 1000), ["decline 10 for 1000"], "no more are tracked");
}

#[test]
fn an_alignment_that_takes_too_long_overtakes() {
    let mut task = Told::new(3, UNALIGNED);
    assert_eq!(task.barrier(1, 1), ["block 1"]);
    assert_eq!(task.0.next_deadline(), Some(Timestamp(110)));
    assert_eq!(task.at(109), NONE);
    assert_eq!(task.at(110), ["overtake 1 [0, 2]", "unblock"]);
    assert_eq!(task.0.next_deadline(), None);
    assert_eq!(task.barrier(0, 1), NONE);
    // The first barrier comes too late already; the last one in time.
    assert_eq!(task.barrier_at(2, 2, 300), ["overtake 2 [0, 1]", "unblock"]);
    assert_eq!(task.barrier(0, 3), ["block 0"]);
    assert_eq!(task.barrier(1, 3), ["block 1"]);
    assert_eq!(task.barrier_at(2, 3, 309), ["take 3", "unblock"]);
}

#[test]
fn an_announced_barrier_counts_before_it_is_taken() {
    let mut task = Told::new(2, UNALIGNED);
    assert_eq!(task.announced(1, false), NONE);
    assert_eq!(task.0.next_deadline(), Some(Timestamp(110)));
    assert_eq!(task.barrier(0, 1), ["block 0"]);
    assert_eq!(task.announced(1, true), ["overtake 1 [1]", "unblock"]);
    assert_eq!(task.announced(1, true), NONE);
    // A newer one that is announced declines the older one.
    assert_eq!(task.barrier(0, 2), ["block 0"]);
    assert_eq!(task.announced(3, false), ["decline 2 for 3", "unblock"]);
    assert_eq!(task.aborted(3), NONE);
    assert_eq!(task.announced(3, true), NONE);
    assert_eq!(task.ended(0), NONE);
    assert_eq!(task.announced(4, true), ["overtake 4 [1]"]);
    // Savepoints never overtake.
    let savepoint = Barrier { kind: SnapshotKind::Savepoint { stop: false }, ..(*barrier(5, UNALIGNED)).clone() };
    let savepoint = Arc::new(savepoint);
    assert_eq!(task.tell(|aligner, out| aligner.announced(&savepoint, true, Timestamp(9999), out)), NONE);
    let commands = task.tell(|aligner, out| aligner.barrier(1, &savepoint, Timestamp(9999), out));
    assert_eq!(commands, ["take 5", "unblock"]);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Record,
    Barrier(u64),
    End,
}

/// What one channel brings: records, and each barrier unless its producer skips it.
fn channel(skips: bool) -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec((0usize..4, prop::bool::weighted(if skips { 0.8 } else { 1.0 })), 6).prop_map(|parts| {
        let mut sent = Vec::new();
        for ((records, has_barrier), checkpoint) in parts.into_iter().zip(1..) {
            sent.extend(std::iter::repeat_n(Sent::Record, records));
            sent.extend(has_barrier.then_some(Sent::Barrier(checkpoint)));
        }
        sent.push(Sent::End);
        sent
    })
}

/// A task: what it took of each channel, and what it captures.
struct Task {
    aligner: BarrierAligner,
    alignment: Alignment,
    sent: Vec<Vec<Sent>>,
    /// How many of each channel's items were taken.
    taken: Vec<usize>,
    blocked: Vec<bool>,
    /// The last snapshot, what each channel had brought by then, and the channels whose items are captured.
    snapshot: Option<(u64, Vec<usize>, Vec<bool>)>,
    over: Vec<u64>,
    takes: Vec<u64>,
}

impl Task {
    fn new(sent: Vec<Vec<Sent>>, alignment: Alignment) -> Self {
        let channels = sent.len();
        Self {
            aligner: BarrierAligner::new(channels),
            alignment,
            sent,
            taken: vec![0; channels],
            blocked: vec![false; channels],
            snapshot: None,
            over: Vec::new(),
            takes: Vec::new(),
        }
    }

    /// How many items stand in front of a barrier, or of the end of a channel without it.
    fn in_front(&self, channel: usize, checkpoint: u64) -> Option<usize> {
        let sent = &self.sent[channel];
        sent.iter().position(|item| *item == Sent::Barrier(checkpoint)).or_else(|| {
            let skipped = sent.iter().any(|item| matches!(item, Sent::Barrier(other) if *other > checkpoint));
            (!skipped).then_some(sent.len() - 1)
        })
    }

    fn take_from(&mut self, channel: usize, now: Timestamp) {
        let Some(item) = self.sent[channel].get(self.taken[channel]).copied().filter(|_| !self.blocked[channel]) else {
            return;
        };
        if let Some((checkpoint, counted, capturing)) = &mut self.snapshot
            && capturing[channel]
        {
            match item {
                Sent::Record => counted[channel] += 1,
                // An older checkpoint's barrier that is late is no record, and is passed over.
                Sent::Barrier(other) if other < *checkpoint => counted[channel] += 1,
                Sent::Barrier(_) | Sent::End => capturing[channel] = false,
            }
        }
        self.taken[channel] += 1;
        let mut out = Vec::new();
        match item {
            Sent::Record => {}
            Sent::Barrier(id) => self.aligner.barrier(channel, &barrier(id, self.alignment), now, &mut out),
            Sent::End => self.aligner.ended(channel, now, &mut out),
        }
        self.carry_out(out);
    }

    /// The barrier that a channel brings next is announced.
    fn announce(&mut self, channel: usize, overtaking: bool, now: Timestamp) {
        let rest = &self.sent[channel][self.taken[channel]..];
        if let Some(Sent::Barrier(next)) = rest.iter().find(|item| matches!(item, Sent::Barrier(_))).copied() {
            let mut out = Vec::new();
            self.aligner.announced(&barrier(next, self.alignment), overtaking, now, &mut out);
            self.carry_out(out);
        }
    }

    fn abort(&mut self, checkpoint: u64) {
        let mut out = Vec::new();
        self.aligner.aborted(CheckpointId(checkpoint), &mut out);
        self.carry_out(out);
        self.over.push(checkpoint);
    }

    fn carry_out(&mut self, commands: Vec<AlignerCommand>) {
        for command in commands {
            match command {
                AlignerCommand::Block { channel } => self.blocked[channel] = true,
                AlignerCommand::UnblockAll => self.blocked.fill(false),
                AlignerCommand::Decline { checkpoint, .. } => {
                    assert!(!self.over.contains(&checkpoint.0) && !self.takes.contains(&checkpoint.0));
                    self.over.push(checkpoint.0);
                }
                AlignerCommand::TakeSnapshot { barrier, unaligned, in_flight } => {
                    let id = barrier.checkpoint.0;
                    assert!(!self.over.contains(&id), "it is over");
                    assert!(self.takes.last().is_none_or(|last| *last < id), "newer than the last one");
                    assert!(unaligned || in_flight.is_empty());
                    self.takes.push(id);
                    self.snapshot(id, &in_flight);
                }
            }
        }
    }

    fn snapshot(&mut self, id: u64, in_flight: &[usize]) {
        self.settle_snapshot();
        let capturing: Vec<bool> = (0..self.sent.len()).map(|channel| in_flight.contains(&channel)).collect();
        // The barrier, or the end, was taken itself.
        let counted = (0..self.sent.len()).map(|channel| self.taken[channel] - usize::from(!capturing[channel]));
        self.snapshot = Some((id, counted.collect(), capturing));
        self.settle_snapshot();
    }

    /// A snapshot that is complete holds of each channel what stands in front of its barrier.
    fn settle_snapshot(&mut self) {
        if let Some((id, counted, _)) = self.snapshot.take_if(|(_, _, capturing)| !capturing.contains(&true)) {
            for (channel, counted) in counted.into_iter().enumerate() {
                let in_front = self.in_front(channel, id);
                match self.alignment {
                    Alignment::None => assert!(Some(counted) >= in_front),
                    _ => assert!(in_front.is_none_or(|in_front| counted == in_front), "{id} {channel}"),
                }
            }
        }
    }
}

fn tasks(skips: bool) -> impl Strategy<Value = Vec<Vec<Sent>>> {
    (1usize..5).prop_flat_map(move |channels| prop::collection::vec(channel(skips), channels))
}

fn run(task: &mut Task, steps: &[(u8, prop::sample::Index, u8)]) {
    let channels = task.sent.len();
    for (step, at, other) in steps {
        let (channel, now) = (at.index(channels), Timestamp(100));
        match step {
            0..=15 => task.take_from(channel, now),
            16 => task.announce(channel, other % 2 == 0, now),
            17 => task.abort(u64::from(other % 6) + 1),
            _ => {
                let mut out = Vec::new();
                task.aligner.on_time(Timestamp(u64::from(*other) * 4), &mut out);
                task.carry_out(out);
            }
        }
        task.settle_snapshot();
    }
    // Then all the rest, one after the other.
    while task.taken.iter().zip(&task.sent).any(|(taken, sent)| *taken < sent.len()) {
        let before = task.taken.clone();
        (0..channels).for_each(|channel| task.take_from(channel, Timestamp(100)));
        task.settle_snapshot();
        assert_ne!(before, task.taken, "some channel always goes on");
    }
    assert!(task.snapshot.is_none(), "what is captured ends");
    assert!(task.blocked.iter().all(|blocked| !blocked), "nothing stays blocked");
    assert_eq!(task.aligner.next_deadline(), None);
}

fn steps(kinds: u8) -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u8)>> {
    prop::collection::vec((0..kinds, any::<prop::sample::Index>(), any::<u8>()), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever the order, aligned, overtaking or neither: each snapshot holds what stands in front of its barriers.
    #[test]
    fn a_snapshot_holds_what_stands_in_front_of_its_barriers(
        sent in tasks(true), steps in steps(20), alignment in 0usize..3
    ) {
        let alignment = [Alignment::None, Alignment::Aligned, UNALIGNED][alignment];
        let mut task = Task::new(sent, alignment);
        run(&mut task, &steps);
    }

    /// Where nothing is skipped or aborted, every checkpoint is taken.
    #[test]
    fn every_checkpoint_is_taken(sent in tasks(false), steps in steps(16), aligns in any::<bool>()) {
        let alignment = if aligns { Alignment::Aligned } else { Alignment::None };
        let mut task = Task::new(sent, alignment);
        run(&mut task, &steps);
        prop_assert_eq!(task.takes, [1, 2, 3, 4, 5, 6]);
    }
}
