//! The operators of a chain that generate watermarks, and the split whose records they see.
//!
//! A source's task keeps a watermark for each split that its reader holds ([`SplitWatermarks`]). What other tasks process
//! counts as one split that never ends, and is read while the task takes input.

use millrace_graph::StreamNode;
use millrace_protocol::SplitId;
use millrace_task_core::{Input, SplitProgress, SplitWatermarks};
use millrace_types::{EventTime, MIN_EVENT_TIME, NodeId};
use tokio::time::{Duration, Instant};

/// The one split of a task without a source.
const WHOLE: u32 = 0;

/// The operators of a chain that generate watermarks.
#[derive(Debug)]
pub(crate) struct Generators {
    nodes: Vec<(NodeId, SplitWatermarks)>,
    /// Whether anybody ever becomes idle.
    may_idle: bool,
    /// The split that was read last, and has not ended.
    current: Option<u32>,
    began: Instant,
}

/// What the chain has to learn of an operator.
fn inputs(node: NodeId, progress: SplitProgress) -> impl Iterator<Item = Input> {
    let active = (progress.idle == Some(false)).then_some(Input::NodeActive { node });
    let watermark = progress.watermark.map(|watermark| Input::Emitted { node, watermark });
    let idle = (progress.idle == Some(true)).then_some(Input::NodeIdle { node });
    [active, watermark, idle].into_iter().flatten()
}

impl Generators {
    /// All are active at first.
    pub(crate) fn new(nodes: &[(NodeId, StreamNode)], now: Instant) -> Self {
        let reads_splits = nodes.iter().any(|(_, node)| node.kind.is_source());
        // What is native emits none, whatever the graph says of it.
        let generates = |node: &StreamNode| node.generates_watermarks && node.kind.guest_code().is_some();
        let generators = || nodes.iter().filter(|(_, node)| generates(node));
        let may_idle = generators().any(|(_, node)| node.idle_timeout_ms.is_some());
        let generators = generators().map(|(id, node)| {
            let mut watermarks = SplitWatermarks::new(node.idle_timeout_ms.map(|ms| ms.max(1)), 0);
            if !reads_splits {
                watermarks.add(WHOLE);
                watermarks.read_begins(WHOLE, 0);
            }
            (*id, watermarks)
        });
        Self { nodes: generators.collect(), may_idle, current: (!reads_splits).then_some(WHOLE), began: now }
    }

    /// Whether an operator ever becomes idle.
    pub(crate) fn may_idle(&self) -> bool {
        self.may_idle
    }

    /// The split whose records the operators see.
    pub(crate) fn current(&self) -> Option<SplitId> {
        self.current.map(SplitId)
    }

    /// The records that follow come from this split. Returns what the operators are to be told: how far each has come.
    pub(crate) fn turn(&mut self, split: SplitId) -> Vec<(NodeId, EventTime)> {
        self.current = Some(split.0);
        self.nodes.iter().map(|(node, watermarks)| (*node, watermarks.of_split(split.0))).collect()
    }

    /// The watermark of an operator for a split.
    pub(crate) fn of_split(&self, node: NodeId, split: SplitId) -> EventTime {
        let found = self.nodes.iter().find(|(id, _)| *id == node);
        found.map_or(MIN_EVENT_TIME, |(_, watermarks)| watermarks.of_split(split.0))
    }

    /// The reader has got a split.
    pub(crate) fn add(&mut self, split: SplitId) -> Vec<Input> {
        self.each(|watermarks| watermarks.add(split.0))
    }

    /// A split has ended.
    pub(crate) fn remove(&mut self, split: SplitId, now: Instant) -> Vec<Input> {
        self.current = self.current.filter(|current| *current != split.0);
        let now_ms = self.since_ms(now);
        self.each(|watermarks| watermarks.remove(split.0, now_ms))
    }

    /// The current split is read from here on.
    pub(crate) fn read_begins(&mut self, now: Instant) {
        let now_ms = self.since_ms(now);
        if let Some(current) = self.current.filter(|_| self.may_idle) {
            self.nodes.iter_mut().for_each(|(_, watermarks)| watermarks.read_begins(current, now_ms));
        }
    }

    /// The current split has more, and is not read from here on.
    pub(crate) fn read_ends(&mut self, now: Instant) {
        let now_ms = self.since_ms(now);
        if let Some(current) = self.current.filter(|_| self.may_idle) {
            self.nodes.iter_mut().for_each(|(_, watermarks)| watermarks.read_ends(current, now_ms));
        }
    }

    /// An operator has called `emit-watermark`.
    pub(crate) fn heard(&mut self, node: NodeId, now: Instant) -> Vec<Input> {
        let (current, now_ms) = (self.current, self.since_ms(now));
        let found = self.nodes.iter_mut().find(|(id, _)| *id == node);
        found.map(|(_, watermarks)| inputs(node, watermarks.heard(current, now_ms)).collect()).unwrap_or_default()
    }

    /// An operator has emitted a watermark while the current split was read.
    pub(crate) fn emitted(&mut self, node: NodeId, watermark: EventTime) -> Vec<Input> {
        let current = self.current;
        match self.nodes.iter_mut().find(|(id, _)| *id == node) {
            Some((_, watermarks)) => inputs(node, watermarks.emitted(current, watermark)).collect(),
            // The chain says that it must not.
            None => vec![Input::Emitted { node, watermark }],
        }
    }

    /// When the next one becomes idle.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let next_ms = self.nodes.iter().filter_map(|(_, watermarks)| watermarks.next_deadline_ms()).min();
        Some(self.began + Duration::from_millis(next_ms?))
    }

    /// Time has passed.
    pub(crate) fn on_time(&mut self, now: Instant) -> Vec<Input> {
        let now_ms = self.since_ms(now);
        self.each(|watermarks| watermarks.on_time(now_ms))
    }

    fn each(&mut self, act: impl Fn(&mut SplitWatermarks) -> SplitProgress) -> Vec<Input> {
        self.nodes.iter_mut().flat_map(|(node, watermarks)| inputs(*node, act(watermarks))).collect()
    }

    fn since_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_graph::{GuestCode, NativeConnector, NodeKind};

    fn node(id: u32, source: bool, idle_timeout_ms: Option<u64>) -> (NodeId, StreamNode) {
        let connector = NativeConnector { connector: String::new(), options: String::new() };
        let kind = if source { NodeKind::NativeSource(connector) } else { NodeKind::Operator(GuestCode::default()) };
        let node = StreamNode::new(id.to_string(), kind);
        (NodeId(id), StreamNode { generates_watermarks: !source, idle_timeout_ms, ..node })
    }

    const NONE: Vec<Input> = Vec::new();
    const A: NodeId = NodeId(1);

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_for_long_enough_is_idle_until_the_next_word() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let mut generators = Generators::new(&[node(1, false, Some(100)), node(2, false, None)], began);
        assert_eq!(generators.next_deadline(), Some(began + ms(100)));
        assert_eq!(generators.heard(A, began + ms(50)), NONE);
        assert_eq!(generators.on_time(began + ms(149)), NONE);
        assert_eq!(generators.on_time(began + ms(150)), [Input::NodeIdle { node: A }]);
        assert_eq!((generators.on_time(began + ms(999)), generators.next_deadline()), (NONE, None));
        assert_eq!(generators.heard(A, began + ms(999)), [Input::NodeActive { node: A }]);
        assert_eq!(generators.heard(NodeId(2), began), NONE);
        assert_eq!(generators.emitted(NodeId(2), 7), [Input::Emitted { node: NodeId(2), watermark: 7 }]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_native_operator_that_is_said_to_generate_watermarks_is_not_idle() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let (id, source) = node(1, true, Some(100));
        let sink = match source.kind.clone() {
            NodeKind::NativeSource(connector) => NodeKind::NativeSink(connector),
            other => other,
        };
        let mut generators =
            Generators::new(&[(id, StreamNode { kind: sink, generates_watermarks: true, ..source })], began);
        assert!(!generators.may_idle());
        assert_eq!((generators.next_deadline(), generators.on_time(began + ms(999))), (None, NONE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_emitted_is_of_the_split_that_is_read() {
        let now = Instant::now();
        let mut generators = Generators::new(&[node(0, true, None), node(1, false, Some(100))], now);
        let (slow, fast) = (SplitId(3), SplitId(9));
        assert_eq!((generators.add(slow), generators.add(fast), generators.current()), (NONE, NONE, None));
        assert_eq!(generators.turn(fast), [(A, MIN_EVENT_TIME)]);
        assert_eq!(generators.emitted(A, 1_000), NONE);
        assert_eq!(generators.turn(slow), [(A, MIN_EVENT_TIME)]);
        assert_eq!(generators.emitted(A, 5), [Input::Emitted { node: A, watermark: 5 }]);
        assert_eq!(generators.turn(fast), [(A, 1_000)]);
        assert_eq!((generators.of_split(A, slow), generators.of_split(NodeId(7), slow)), (5, MIN_EVENT_TIME));
        assert_eq!(generators.remove(slow, now), [Input::Emitted { node: A, watermark: 1_000 }]);
        assert_eq!(generators.current(), Some(fast));
        assert_eq!((generators.remove(fast, now), generators.current()), (NONE, None));
        let end = Input::Emitted { node: A, watermark: EventTime::MAX };
        assert_eq!(generators.emitted(A, EventTime::MAX), [end]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_takes_no_input_has_nobody_idle() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let mut generators = Generators::new(&[node(1, false, Some(100))], began);
        generators.read_begins(began + ms(10));
        generators.read_ends(began + ms(60));
        generators.read_ends(began + ms(500));
        assert_eq!((generators.next_deadline(), generators.on_time(began + ms(999))), (None, NONE));
        generators.read_begins(began + ms(1_000));
        assert_eq!(generators.on_time(began + ms(1_039)), NONE);
        assert_eq!(generators.on_time(began + ms(1_040)), [Input::NodeIdle { node: A }]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_time_of_reading_makes_a_split_idle() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let mut generators = Generators::new(&[node(0, true, None), node(1, false, Some(100))], began);
        generators.add(SplitId(0));
        generators.turn(SplitId(0));
        generators.read_begins(began);
        generators.read_ends(began + ms(40));
        assert_eq!(generators.next_deadline(), None);
        generators.read_begins(began + ms(1_000));
        assert_eq!(generators.next_deadline(), Some(began + ms(1_060)));
        assert_eq!(generators.on_time(began + ms(1_060)), [Input::NodeIdle { node: A }]);
    }
}
