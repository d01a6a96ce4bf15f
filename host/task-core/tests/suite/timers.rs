//! Timers against a model: a list of them.

use std::collections::BTreeSet;

use millrace_task_core::{Clock, TIMER_CHUNK_BYTES_MAX, Timer, TimerChange, TimerError, TimerLimits, TimerService};
use millrace_types::{EventTime, Failure, FailureKind, NodeId};
use proptest::collection::vec;
use proptest::prelude::*;

const CLOCKS: [Clock; 2] = [Clock::EventTime, Clock::ProcessingTime];

type Key = (u32, usize, EventTime, Vec<u8>, Vec<u8>);

#[derive(Debug, Clone)]
enum Step {
    Set(Key),
    Delete(Key),
    Due { node: u32, clock: usize, upto: EventTime, count_max: usize },
    Close(u32),
    Take,
}

fn key() -> impl Strategy<Value = Key> {
    (0u32..2, 0usize..2, -3i64..6, vec(0u8..2, 0..3), vec(0u8..2, 0..2))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => key().prop_map(Step::Set),
        4 => key().prop_map(Step::Delete),
        4 => (0u32..2, 0usize..2, -4i64..8, 0usize..5)
            .prop_map(|(node, clock, upto, count_max)| Step::Due { node, clock, upto, count_max }),
        1 => (0u32..2).prop_map(Step::Close),
        3 => Just(Step::Take),
    ]
}

fn set(service: &mut TimerService, (node, clock, timestamp, key, namespace): &Key) {
    service.set(NodeId(*node), CLOCKS[*clock], *timestamp, key, namespace).unwrap();
}

fn flat(timer: &Timer) -> (EventTime, Vec<u8>, Vec<u8>) {
    (timer.timestamp, timer.key.to_vec(), timer.namespace.to_vec())
}

fn stored_key(node: NodeId, clock: Clock, timer: &Timer) -> Key {
    let (timestamp, key, namespace) = flat(timer);
    (node.0, usize::from(clock == Clock::ProcessingTime), timestamp, key, namespace)
}

fn check_due(service: &mut TimerService, model: &mut Vec<Key>, node: u32, clock: usize, upto: EventTime, max: usize) {
    let mut due: Vec<Key> =
        model.iter().filter(|timer| timer.0 == node && timer.1 == clock && timer.2 <= upto).cloned().collect();
    due.sort();
    due.truncate(max.max(1));
    let chunk = service.due(NodeId(node), CLOCKS[clock], upto, max);
    let expected: Vec<_> = due.iter().map(|timer| (timer.2, timer.3.clone(), timer.4.clone())).collect();
    assert_eq!(chunk.iter().map(flat).collect::<Vec<_>>(), expected);
    model.retain(|timer| !due.contains(timer));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn timers_are_their_model(steps in vec(step(), 0..60)) {
        let mut service = TimerService::new(TimerLimits::default());
        service.set_tracking(true);
        // What base and changes come to.
        let mut stored: BTreeSet<Key> = BTreeSet::new();
        let mut model: Vec<Key> = Vec::new();
        let mut closed = Vec::new();
        for step in steps {
            match step {
                Step::Set(key) => {
                    set(&mut service, &key);
                    if !closed.contains(&key.0) && !model.contains(&key) {
                        model.push(key);
                    }
                }
                Step::Delete(key) => {
                    service.delete(NodeId(key.0), CLOCKS[key.1], key.2, &key.3, &key.4);
                    model.retain(|timer| *timer != key);
                }
                Step::Due { node, clock, upto, count_max } => {
                    check_due(&mut service, &mut model, node, clock, upto, count_max);
                }
                Step::Close(node) => {
                    service.close(NodeId(node));
                    closed.push(node);
                    model.retain(|timer| timer.0 != node);
                }
                Step::Take => {
                    for change in service.take_changes() {
                        let key = stored_key(change.node, change.clock, &change.timer);
                        // Nothing is told that is known.
                        let news = if change.set { stored.insert(key) } else { stored.remove(&key) };
                        prop_assert!(news);
                    }
                    prop_assert_eq!(&stored, &model.iter().cloned().collect::<BTreeSet<_>>());
                    let all = service.iter().map(|(node, clock, timer)| stored_key(node, clock, timer));
                    prop_assert!(all.eq(stored.iter().cloned()));
                    prop_assert!(service.take_changes().is_empty());
                }
            }
            prop_assert_eq!(service.len(), model.len());
            prop_assert_eq!(service.is_empty(), model.is_empty());
            let next = model.iter().filter(|timer| timer.1 == 1).map(|timer| (timer.2, timer.0)).min();
            prop_assert_eq!(service.next_processing_time(), next.map(|(time, node)| (NodeId(node), time)));
        }
    }
}

#[test]
fn restored_timers_are_no_change_and_fire() {
    let mut service = TimerService::new(TimerLimits::default());
    let node = NodeId(0);
    service.set(node, Clock::EventTime, 1, b"k", b"").unwrap();
    assert!(service.take_changes().is_empty(), "not tracked");
    service.set_tracking(true);
    let timer = Timer { timestamp: 2, key: Box::from(*b"k"), namespace: Box::from(*b"") };
    service.restore(node, Clock::EventTime, timer.clone()).unwrap();
    assert!(service.take_changes().is_empty());
    assert_eq!(service.due(node, Clock::EventTime, 2, 10).len(), 2);
    let gone = service.take_changes();
    assert_eq!(gone.len(), 2);
    assert_eq!(gone[1], TimerChange { node, clock: Clock::EventTime, timer, set: false });
    service.set(node, Clock::EventTime, 3, b"k", b"").unwrap();
    service.set_tracking(false);
    assert!(service.take_changes().is_empty());
}

#[test]
fn changes_between_chunks_count_for_the_next_chunk() {
    let mut service = TimerService::new(TimerLimits::default());
    let node = NodeId(0);
    for timestamp in [3, 1, 2, 9] {
        service.set(node, Clock::EventTime, timestamp, b"k", b"").unwrap();
    }
    let times = |chunk: Vec<Timer>| chunk.iter().map(|timer| timer.timestamp).collect::<Vec<_>>();
    assert_eq!(times(service.due(node, Clock::EventTime, 5, 1)), [1]);
    service.delete(node, Clock::EventTime, 2, b"k", b"");
    // Due already, and once more although it has fired: a timer that fired is no longer set.
    service.set(node, Clock::EventTime, 0, b"k", b"").unwrap();
    service.set(node, Clock::EventTime, 1, b"k", b"").unwrap();
    assert_eq!(times(service.due(node, Clock::EventTime, 5, 10)), [0, 1, 3]);
    assert!(service.due(node, Clock::EventTime, 5, 10).is_empty());
    assert_eq!(service.len(), 1);
}

#[test]
fn chunks_of_long_keys_are_short() {
    let mut service = TimerService::new(TimerLimits::default());
    let key = vec![0; TIMER_CHUNK_BYTES_MAX / 2];
    for timestamp in 0..5 {
        service.set(NodeId(0), Clock::EventTime, timestamp, &key, b"").unwrap();
    }
    let mut chunk = || service.due(NodeId(0), Clock::EventTime, 100, usize::MAX).len();
    assert_eq!([chunk(), chunk(), chunk(), chunk()], [2, 2, 1, 0]);
}

#[test]
fn timers_have_limits() {
    let node = NodeId(3);
    let mut few = TimerService::new(TimerLimits { count_max: 2, ..TimerLimits::default() });
    for timestamp in [1, 1, 2, 2] {
        few.set(node, Clock::EventTime, timestamp, b"k", b"").unwrap();
    }
    let refused = few.set(node, Clock::ProcessingTime, 1, b"k", b"").unwrap_err();
    assert_eq!(refused, TimerError::TooMany { node, max: 2 });
    assert_eq!(Failure::from(refused).kind, FailureKind::Memory);

    let mut small = TimerService::new(TimerLimits { bytes_max: 1000, ..TimerLimits::default() });
    small.set(node, Clock::EventTime, 1, &[0; 800], b"").unwrap();
    small.delete(node, Clock::EventTime, 1, &[0; 800], b"");
    small.set(node, Clock::EventTime, 1, &[0; 400], &[0; 400]).unwrap();
    let refused = small.set(node, Clock::EventTime, 2, &[0; 400], b"").unwrap_err();
    assert_eq!(refused, TimerError::TooLarge { node, max: 1000 });
}
