//! The chain of one task: hands records, watermarks, timers and the end of input from operator to operator.
//!
//! Invariants:
//! - What a call emitted has passed down the whole chain before anything else happens ([`Chain::settle`]).
//! - Commands of [`ChainProgress`] are carried out one at a time, each to its end.
//! - Whatever emits while a split is read has been told that it is this split's turn ([`Chain::turn`]).

mod answers;

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_protocol::{SnapshotFigures, SplitId, TaskCounter, TaskGauge};
use millrace_task_core::{ChainProgress, Clock, Command, Input};
use millrace_types::{Barrier, CheckpointId, CrashPoints, EventTime, Failure, FailureKind, MIN_EVENT_TIME, NodeId};
use millrace_wire::BatchView;
use tokio::time::Instant;

use crate::metrics::TaskMetrics;
use crate::run::generators::Generators;
use crate::run::segment::Segment;
use crate::run::shared::{TaskError, wall_clock};
use crate::run::snapshot::{OperatorParts, OvertakenRecords};
use crate::splits::{ReadStatus, Split};

/// The most timers that one call delivers.
const TIMERS_PER_CALL: usize = 1024;

/// A chain at work.
pub(crate) struct Chain {
    segments: Vec<Segment>,
    /// In which segment each operator runs.
    places: BTreeMap<NodeId, usize>,
    progress: ChainProgress,
    generators: Generators,
    /// There are operators that wait for answers from elsewhere.
    is_asynchronous: bool,
    ended: bool,
    metrics: Arc<TaskMetrics>,
    /// A watermark may have passed since they were told.
    watermarks_stirred: bool,
}

impl Chain {
    /// A chain without segments, which are added as they open.
    pub(crate) fn new(
        places: BTreeMap<NodeId, usize>,
        progress: ChainProgress,
        generators: Generators,
        metrics: Arc<TaskMetrics>,
    ) -> Self {
        Self {
            segments: Vec::new(),
            places,
            progress,
            generators,
            is_asynchronous: false,
            ended: false,
            metrics,
            watermarks_stirred: false,
        }
    }

    /// Adds the next segment, in topological order.
    pub(crate) fn push(&mut self, mut segment: Segment) -> Result<(), TaskError> {
        if self.generators.may_idle()
            && let Some(outlet) = segment.outlet()?
        {
            outlet.note_emitters();
        }
        self.is_asynchronous |= matches!(segment, Segment::Async(_));
        self.segments.push(segment);
        Ok(())
    }

    /// The segments, in topological order.
    pub(crate) fn segments_in_order(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.segments.iter_mut()
    }

    /// The watermark that an operator has let pass last.
    pub(crate) fn output_watermark(&self, node: NodeId) -> EventTime {
        self.progress.output_watermark(node).unwrap_or(MIN_EVENT_TIME)
    }

    /// Whether all input was processed.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    fn segment(&mut self, node: NodeId) -> Result<&mut Segment, TaskError> {
        let place = self.places.get(&node).and_then(|place| self.segments.get_mut(*place));
        place.ok_or_else(|| {
            Failure::new(FailureKind::Internal, format!("node {node} is not part of the task that it was sent to"))
                .into()
        })
    }

    /// Input for an operator.
    pub(crate) async fn process(&mut self, node: NodeId, port: u32, batch: &BatchView) -> Result<(), TaskError> {
        self.metrics.operator_in(node, batch.len(), batch.byte_len());
        self.segment(node)?.process(node, port, batch).await?;
        self.settle().await?;
        self.note_watermarks(false)?;
        self.advance().await
    }

    /// Reads from a split of a source.
    pub(crate) async fn read(&mut self, node: NodeId, split: &Split) -> Result<(bytes::Bytes, ReadStatus), TaskError> {
        if self.generators.current() != Some(split.id) {
            self.turn(split.id).await?;
        }
        self.generators.read_begins(Instant::now());
        let polled = self.segment(node)?.read(node, split).await?;
        self.settle().await?;
        // The last word about a split that ends here is its own.
        self.note_watermarks(polled.1 == ReadStatus::Finished)?;
        match polled.1 {
            ReadStatus::More => self.generators.read_ends(Instant::now()),
            ReadStatus::IdleMs(_) => {}
            ReadStatus::Finished => self.note(|generators| generators.remove(split.id, Instant::now()))?,
        }
        self.advance().await?;
        Ok(polled)
    }

    /// The source's records come from another split from here on.
    async fn turn(&mut self, split: SplitId) -> Result<(), TaskError> {
        // What was emitted before is of the split that was read before.
        self.note_watermarks(true)?;
        self.advance().await?;
        for (node, watermark) in self.generators.turn(split) {
            if let Segment::Guest(guest) = self.segment(node)? {
                guest.turn(node, split, watermark).await?;
            }
        }
        self.settle().await
    }

    /// The source's reader has got splits: they hold the watermarks back from here on.
    pub(crate) async fn add_splits(&mut self, splits: impl IntoIterator<Item = SplitId>) -> Result<(), TaskError> {
        for split in splits {
            self.note(|generators| generators.add(split))?;
        }
        self.advance().await
    }

    /// Splits are not read to their end.
    pub(crate) async fn drop_splits(&mut self, splits: impl IntoIterator<Item = SplitId>) -> Result<(), TaskError> {
        self.note_watermarks(true)?;
        for split in splits {
            self.note(|generators| generators.remove(split, Instant::now()))?;
        }
        self.advance().await
    }

    /// The watermark that an operator has emitted for a split.
    pub(crate) fn split_watermark(&self, node: NodeId, split: SplitId) -> EventTime {
        self.generators.of_split(node, split)
    }

    fn note(&mut self, act: impl FnOnce(&mut Generators) -> Vec<Input>) -> Result<(), TaskError> {
        for input in act(&mut self.generators) {
            self.progress.apply(input).map_err(Failure::from)?;
        }
        Ok(())
    }

    /// Something happened to the inputs' watermarks or ends.
    pub(crate) async fn apply(&mut self, input: Input) -> Result<(), TaskError> {
        // What ends here must not overtake what was emitted in front of it.
        self.note_watermarks(true)?;
        self.progress.apply(input).map_err(Failure::from)?;
        self.watermarks_stirred = true;
        self.advance().await
    }

    /// Processes what segments emitted for later ones, the last segment's first: so each batch passes down the whole
    /// chain before the next one, and little is queued.
    async fn settle(&mut self) -> Result<(), TaskError> {
        'next: loop {
            for segment in self.segments.iter_mut().rev() {
                let chained = match segment.outlet()? {
                    Some(outlet) => outlet.pop_chained(),
                    None => None,
                };
                if let Some((target, batch)) = chained {
                    self.metrics.operator_in(target.node, batch.len(), batch.byte_len());
                    self.segments[target.segment].process(target.node, target.port, &batch).await?;
                    continue 'next;
                }
            }
            return Ok(());
        }
    }

    /// Tells the progress which watermarks operators emitted: those that are due, or all.
    fn note_watermarks(&mut self, all: bool) -> Result<(), TaskError> {
        for segment in &mut self.segments {
            let Some(outlet) = segment.outlet()? else { continue };
            if self.generators.may_idle() {
                let now = Instant::now();
                for input in outlet.take_emitters().into_iter().flat_map(|node| self.generators.heard(node, now)) {
                    self.progress.apply(input).map_err(Failure::from)?;
                }
            }
            for (node, watermark) in outlet.take_watermarks(all) {
                self.watermarks_stirred = true;
                for input in self.generators.emitted(node, watermark) {
                    self.progress.apply(input).map_err(Failure::from)?;
                }
            }
        }
        Ok(())
    }

    /// Carries out what follows from what happened.
    async fn advance(&mut self) -> Result<(), TaskError> {
        if self.is_asynchronous {
            self.note_pending()?;
        }
        while let Some(command) = self.progress.next_command() {
            match command {
                Command::FireTimers { node, upto } => self.fire(node, Clock::EventTime, upto).await?,
                Command::DeliverWatermark { node, watermark } => {
                    self.segment(node)?.watermark(node, watermark).await?;
                }
                Command::Finish { node } => self.segment(node)?.finish(node).await?,
                Command::ForwardWatermark { node, watermark } => {
                    if let Some(outlet) = self.segment(node)?.outlet()? {
                        outlet.forward_watermark(node, watermark).await?;
                    }
                }
                Command::ForwardStatus { node, idle } => {
                    if let Some(outlet) = self.segment(node)?.outlet()? {
                        outlet.forward_status(node, idle).await?;
                    }
                }
                // The outputs end when the task does: a task that waits for a last checkpoint sends its barrier on.
                Command::EndOutputs => self.ended = true,
            }
            self.settle().await?;
            self.note_watermarks(false)?;
        }
        if std::mem::take(&mut self.watermarks_stirred) {
            let progress = &self.progress;
            self.metrics.watermarks(|node| (progress.input_watermark(node), progress.output_watermark(node)));
        }
        Ok(())
    }

    /// Fires all timers that are due, also those that are set meanwhile.
    async fn fire(&mut self, node: NodeId, clock: Clock, upto: EventTime) -> Result<(), TaskError> {
        // What fires may be without end, and must not pile up in front of requests.
        self.room().await?;
        while self.fire_chunk(node, clock, upto).await? {
            self.room().await?;
        }
        Ok(())
    }

    /// Fires some of the timers that are due; whether there were any.
    async fn fire_chunk(&mut self, node: NodeId, clock: Clock, upto: EventTime) -> Result<bool, TaskError> {
        let guest = self.segment(node)?.guest()?;
        let due = guest.host()?.timers.due(node, clock, upto, TIMERS_PER_CALL);
        if due.is_empty() {
            return Ok(false);
        }
        self.metrics.add(TaskCounter::FiredTimers, due.len() as u64);
        let guest = self.segment(node)?.guest()?;
        guest.timers(node, clock, &due).await?;
        self.settle().await?;
        Ok(true)
    }

    /// Takes a snapshot of all operators and sends the barrier on, behind all that they emitted before it.
    pub(crate) async fn snapshot(
        &mut self,
        barrier: &Arc<Barrier>,
    ) -> Result<BTreeMap<String, OperatorParts>, TaskError> {
        self.note_watermarks(true)?;
        self.advance().await?;
        // In topological order: what one of them emits is processed by those below before they are asked.
        for at in 0..self.segments.len() {
            if let Segment::Guest(guest) = &mut self.segments[at] {
                guest.pre_barrier().await?;
                self.settle().await?;
            }
        }
        let mut parts = BTreeMap::new();
        for segment in &mut self.segments {
            match segment {
                Segment::Guest(guest) => {
                    guest.flush().await?;
                    guest.host()?.outlet.push_barrier(barrier)?;
                    parts.append(&mut guest.host()?.seal().map_err(|error| TaskError::Failed(error.into()))?);
                }
                Segment::Source(source) => source.outlet.push_barrier(barrier)?,
                Segment::Async(operator) => {
                    operator.outlet.push_barrier(barrier)?;
                    parts.insert(operator.uid.clone(), operator.snapshot()?);
                }
                Segment::Sink(sink) => {
                    let committables = sink.prepare(barrier.checkpoint).await?;
                    parts.insert(sink.uid.clone(), OperatorParts { committables, ..OperatorParts::default() });
                }
            }
        }
        Ok(parts)
    }

    /// Lets a barrier overtake what was emitted and not sent, whether it was pushed already or not. Returns the records
    /// that it has overtaken.
    pub(crate) fn overtake(&mut self, barrier: &Arc<Barrier>) -> Result<Vec<OvertakenRecords>, TaskError> {
        let mut records = Vec::new();
        for segment in &mut self.segments {
            if let Some(outlet) = segment.outlet()? {
                records.append(&mut outlet.overtake(barrier)?);
            }
        }
        Ok(records)
    }

    /// How long the task took to begin a checkpoint.
    pub(crate) fn note_checkpoint(&self, figures: &SnapshotFigures) {
        self.metrics.set(TaskGauge::AlignmentNs, figures.alignment_ms.saturating_mul(1_000_000));
        self.metrics.set(TaskGauge::StartDelayNs, figures.start_delay_ms.saturating_mul(1_000_000));
    }

    /// Whether the task takes input from other tasks from here on. While it does not, nobody is idle for having had none.
    pub(crate) fn takes_input(&mut self, takes: bool) {
        if self.is_asynchronous {
            let now = Instant::now();
            if takes { self.generators.read_begins(now) } else { self.generators.read_ends(now) }
        }
    }

    /// Waits until everything that was emitted, barriers included, has been sent.
    pub(crate) async fn drained(&mut self) -> Result<(), TaskError> {
        for segment in &mut self.segments {
            if let Some(outlet) = segment.outlet()? {
                outlet.drained().await?;
            }
        }
        Ok(())
    }

    /// A checkpoint is complete: what was prepared for it becomes visible.
    pub(crate) async fn commit(
        &mut self,
        completed: CheckpointId,
        crash_points: &CrashPoints,
    ) -> Result<(), TaskError> {
        for segment in &mut self.segments {
            if let Segment::Sink(sink) = segment {
                sink.commit(completed, crash_points).await?;
            }
        }
        Ok(())
    }

    /// Whether there are sinks whose output waits for checkpoints.
    pub(crate) fn ends_by_checkpoint(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Sink(sink) if sink.sink.transactional()))
    }

    /// Ends the sinks that were not ended with their input.
    pub(crate) async fn publish(&mut self) -> Result<(), TaskError> {
        for segment in &mut self.segments {
            if let Segment::Sink(sink) = segment {
                sink.publish().await?;
            }
        }
        Ok(())
    }

    /// Ends a task behind a savepoint that stops the job: nothing more is processed.
    pub(crate) fn stop(&mut self) {
        self.ended = true;
    }

    /// Ends the outputs: nothing is sent behind that.
    pub(crate) async fn end_outputs(&mut self) -> Result<(), TaskError> {
        debug_assert!(self.ended, "the outputs end behind the input");
        for segment in &mut self.segments {
            if let Some(outlet) = segment.outlet()? {
                outlet.end().await?;
            }
        }
        Ok(())
    }

    /// When [`Self::on_time`] has something to do; none: when something else has happened.
    pub(crate) fn next_deadline(&mut self) -> Result<Option<Instant>, TaskError> {
        let mut deadline: Option<Instant> = None;
        let mut timer: Option<EventTime> = None;
        let has_room = self.has_room();
        for segment in &mut self.segments {
            if let Segment::Guest(guest) = segment
                && has_room
            {
                let next = guest.host()?.timers.next_processing_time().map(|(_, at)| at);
                timer = [timer, next].into_iter().flatten().min();
            }
            if let Some(outlet) = segment.outlet()? {
                deadline = [deadline, outlet.next_deadline()].into_iter().flatten().min();
            }
        }
        let timer = timer.map(|at| Instant::now() + wall_clock_until(at));
        Ok([deadline, timer, self.generators.next_deadline()].into_iter().flatten().min())
    }

    /// Sends rows that have waited long enough, and fires the timers that are due by the wall clock.
    pub(crate) async fn on_time(&mut self) -> Result<(), TaskError> {
        let now = Instant::now();
        for segment in &mut self.segments {
            if let Some(outlet) = segment.outlet()? {
                outlet.flush_due(now).await?;
            }
        }
        let now_ms = EventTime::try_from(wall_clock().0).unwrap_or(EventTime::MAX);
        // One chunk: a callback that sets timers of the past again and again must not keep the task from its input.
        if self.has_room()
            && let Some(node) = self.timer_due(now_ms)?
        {
            self.fire_chunk(node, Clock::ProcessingTime, now_ms).await?;
        }
        self.note_watermarks(false)?;
        for input in self.generators.on_time(now) {
            self.progress.apply(input).map_err(Failure::from)?;
        }
        self.advance().await
    }

    /// An operator with a timer that is due by the wall clock.
    fn timer_due(&mut self, now_ms: EventTime) -> Result<Option<NodeId>, TaskError> {
        for segment in &mut self.segments {
            if let Segment::Guest(guest) = segment
                && let Some((node, at)) = guest.host()?.timers.next_processing_time()
                && at <= now_ms
            {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// Removes unfinished output of a task that will not end as it should.
    pub(crate) async fn abort(&mut self) {
        for segment in &mut self.segments {
            segment.abort().await;
        }
    }
}

/// How long it is until the wall clock shows a time.
fn wall_clock_until(at: EventTime) -> std::time::Duration {
    /// A timer that is further away is looked at again meanwhile: the wall clock may be set.
    const LOOK_AGAIN_MS: u64 = 60_000;
    let now = EventTime::try_from(wall_clock().0).unwrap_or(EventTime::MAX);
    let ms = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
    std::time::Duration::from_millis(ms.min(LOOK_AGAIN_MS))
}
