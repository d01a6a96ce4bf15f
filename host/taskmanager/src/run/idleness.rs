//! Which operators that generate watermarks are idle: they have not called `emit-watermark` for as long as the graph says.

use std::time::Duration;

use millrace_graph::StreamNode;
use millrace_task_core::Input;
use millrace_types::NodeId;
use tokio::time::Instant;

#[derive(Debug)]
struct Generator {
    node: NodeId,
    timeout: Duration,
    /// When it becomes idle; none: it is.
    idle_at: Option<Instant>,
}

/// The operators of a chain that may become idle.
#[derive(Debug, Default)]
pub(crate) struct Idleness {
    generators: Vec<Generator>,
}

impl Idleness {
    /// All are active at first.
    pub(crate) fn new(nodes: &[(NodeId, StreamNode)], now: Instant) -> Self {
        let generators = nodes.iter().filter_map(|(id, node)| {
            let timeout = Duration::from_millis(node.idle_timeout_ms.filter(|_| node.generates_watermarks)?.max(1));
            Some(Generator { node: *id, timeout, idle_at: Some(now + timeout) })
        });
        Self { generators: generators.collect() }
    }

    /// Whether no operator ever becomes idle.
    pub(crate) fn is_empty(&self) -> bool {
        self.generators.is_empty()
    }

    /// An operator has called `emit-watermark`. Returns what the chain has to learn.
    pub(crate) fn emitted(&mut self, node: NodeId, now: Instant) -> Option<Input> {
        let generator = self.generators.iter_mut().find(|generator| generator.node == node)?;
        let was_idle = generator.idle_at.replace(now + generator.timeout).is_none();
        was_idle.then_some(Input::NodeActive { node })
    }

    /// When the next one becomes idle.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.generators.iter().filter_map(|generator| generator.idle_at).min()
    }

    /// An operator that is idle from now on, if there is one.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Input> {
        let is_due = |generator: &&mut Generator| generator.idle_at.is_some_and(|at| at <= now);
        let generator = self.generators.iter_mut().find(is_due)?;
        generator.idle_at = None;
        Some(Input::NodeIdle { node: generator.node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_graph::{Chaining, GuestCode, NodeKind};

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_for_long_enough_is_idle_until_the_next_word() {
        let code = GuestCode { component: None, function: String::new(), config: String::new() };
        let node = |idle_timeout_ms| StreamNode {
            uid: "a".to_owned(),
            name: "a".to_owned(),
            kind: NodeKind::Operator(code.clone()),
            parallelism: None,
            max_parallelism: None,
            slot_sharing_group: None,
            chaining: Chaining::Always,
            generates_watermarks: true,
            idle_timeout_ms,
            alignment: None,
        };
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let mut idleness = Idleness::new(&[(NodeId(1), node(Some(100))), (NodeId(2), node(None))], began);
        assert_eq!(idleness.next_deadline(), Some(began + ms(100)));
        assert_eq!(idleness.emitted(NodeId(1), began + ms(50)), None);
        assert_eq!(idleness.due(began + ms(149)), None);
        assert_eq!(idleness.due(began + ms(150)), Some(Input::NodeIdle { node: NodeId(1) }));
        assert_eq!((idleness.due(began + ms(999)), idleness.next_deadline()), (None, None));
        assert_eq!(idleness.emitted(NodeId(1), began + ms(999)), Some(Input::NodeActive { node: NodeId(1) }));
        assert_eq!(idleness.emitted(NodeId(2), began), None);
    }
}
