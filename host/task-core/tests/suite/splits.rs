//! The watermark of an operator with several splits.

use std::collections::BTreeMap;

use millrace_task_core::{SplitProgress, SplitWatermarks};
use millrace_types::{EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME};
use proptest::collection::vec;
use proptest::prelude::*;

const NOTHING: SplitProgress = SplitProgress { watermark: None, idle: None };
const IDLE: SplitProgress = SplitProgress { watermark: None, idle: Some(true) };
const ACTIVE: SplitProgress = SplitProgress { watermark: None, idle: Some(false) };

const TIMEOUT_MS: u64 = 100;

fn advanced(watermark: EventTime) -> SplitProgress {
    SplitProgress { watermark: Some(watermark), ..NOTHING }
}

fn with_splits(splits: &[u32]) -> SplitWatermarks {
    let mut watermarks = SplitWatermarks::new(Some(TIMEOUT_MS), 0);
    for split in splits {
        assert_eq!(watermarks.add(*split), NOTHING);
    }
    watermarks
}

/// Flink's `WatermarkOutputMultiplexerTest`: `singleImmediateWatermark`, `testCombinedWatermarkDoesNotRegress…`.
#[test]
fn one_split_is_the_whole_and_never_goes_back() {
    let mut watermarks = with_splits(&[7]);
    assert_eq!(watermarks.emitted(Some(7), 12), advanced(12));
    assert_eq!(watermarks.emitted(Some(7), 10), NOTHING);
    assert_eq!(watermarks.emitted(Some(7), 12), NOTHING);
    assert_eq!((watermarks.emitted(Some(7), 13), watermarks.of_split(7)), (advanced(13), 13));
}

/// Flink's `multipleImmediateWatermark`, and `whenImmediateOutputBecomesIdleWatermarkAdvances`.
#[test]
fn the_least_split_counts_until_it_is_idle() {
    let mut watermarks = with_splits(&[1, 2, 3]);
    assert_eq!(watermarks.emitted(Some(1), 2), NOTHING);
    assert_eq!(watermarks.emitted(Some(2), 5), NOTHING, "one has said nothing yet");
    assert_eq!(watermarks.emitted(Some(3), 8), advanced(2));
    watermarks.read_begins(1, 0);
    assert_eq!(watermarks.on_time(TIMEOUT_MS - 1), NOTHING);
    assert_eq!((watermarks.next_deadline_ms(), watermarks.on_time(TIMEOUT_MS)), (Some(TIMEOUT_MS), advanced(5)));
    assert_eq!(watermarks.next_deadline_ms(), None, "the others wait to be read");
}

/// Flink's `combinedWatermarkDoesNotRegressWhenIdleOutputRegresses`.
#[test]
fn a_split_that_is_active_again_behind_the_others_takes_nothing_back() {
    let mut watermarks = with_splits(&[1, 2]);
    watermarks.emitted(Some(1), 2);
    assert_eq!(watermarks.emitted(Some(2), 10), advanced(2));
    watermarks.read_begins(1, 0);
    assert_eq!(watermarks.on_time(TIMEOUT_MS), advanced(10));
    assert_eq!(watermarks.heard(Some(1), TIMEOUT_MS), NOTHING);
    assert_eq!(watermarks.emitted(Some(1), 5), NOTHING);
    assert_eq!(watermarks.emitted(Some(2), 20), NOTHING, "held where it is until the other has caught up");
    assert_eq!(watermarks.emitted(Some(1), 15), advanced(15));
}

/// Flink's `testRemoveUnblocksWatermarks` and `testRemoveOfLowestDoesNotImmediatelyAdvanceWatermark`: here it does at once,
/// since nothing is put off.
#[test]
fn a_split_that_ends_holds_nothing_back() {
    let mut watermarks = with_splits(&[1, 2]);
    watermarks.emitted(Some(1), 1);
    assert_eq!(watermarks.emitted(Some(2), 5), advanced(1));
    assert_eq!(watermarks.remove(1, 0), advanced(5));
    assert_eq!(watermarks.remove(1, 0), NOTHING);
}

/// Flink's `testRemoveOfHighestDoesNotRetractWatermark`.
#[test]
fn the_end_of_the_one_ahead_takes_nothing_back() {
    let mut watermarks = with_splits(&[2]);
    assert_eq!(watermarks.emitted(Some(2), 5), advanced(5));
    assert_eq!(watermarks.add(1), NOTHING);
    watermarks.emitted(Some(1), 1);
    assert_eq!(watermarks.remove(2, 0), NOTHING);
    assert_eq!(watermarks.emitted(Some(1), 6), advanced(6));
}

/// Flink's `testNotEmittingIdleAfterAllSplitsRemoved`; without any split for the timeout it is idle here.
#[test]
fn the_end_of_all_splits_is_no_idleness_yet() {
    let mut watermarks = with_splits(&[1]);
    assert_eq!(watermarks.emitted(Some(1), 1), advanced(1));
    assert_eq!(watermarks.remove(1, 50), NOTHING);
    assert_eq!(watermarks.next_deadline_ms(), Some(50 + TIMEOUT_MS));
    assert_eq!(watermarks.on_time(50 + TIMEOUT_MS), IDLE);
    assert_eq!(watermarks.add(2), ACTIVE);
    assert_eq!((watermarks.emitted(Some(2), 1), watermarks.emitted(Some(2), 2)), (NOTHING, advanced(2)));
}

#[test]
fn a_new_split_holds_the_watermark_where_it_is() {
    let mut watermarks = with_splits(&[1]);
    assert_eq!(watermarks.emitted(Some(1), 10), advanced(10));
    assert_eq!(watermarks.add(2), NOTHING);
    assert_eq!(watermarks.emitted(Some(1), 20), NOTHING);
    assert_eq!(watermarks.add(2), NOTHING);
    assert_eq!(watermarks.emitted(Some(2), 15), advanced(15));
}

#[test]
fn all_splits_idle_are_an_idle_operator() {
    let mut watermarks = with_splits(&[1, 2]);
    watermarks.read_begins(1, 0);
    watermarks.read_begins(2, 10);
    assert_eq!(watermarks.on_time(TIMEOUT_MS), NOTHING);
    assert_eq!(watermarks.on_time(10 + TIMEOUT_MS), IDLE);
    assert_eq!(watermarks.on_time(11 + TIMEOUT_MS), NOTHING);
    assert_eq!(watermarks.remove(1, 500), NOTHING);
    assert_eq!(watermarks.remove(2, 500), NOTHING, "it stays idle");
    assert_eq!(watermarks.next_deadline_ms(), None);
    assert_eq!(watermarks.add(3), ACTIVE);
}

#[test]
fn a_split_with_more_that_nobody_reads_is_not_idle() {
    let mut watermarks = with_splits(&[1, 2]);
    watermarks.read_begins(1, 0);
    watermarks.read_ends(1, 60);
    assert_eq!((watermarks.next_deadline_ms(), watermarks.on_time(10_000)), (None, NOTHING));
    watermarks.read_begins(1, 10_000);
    assert_eq!(watermarks.next_deadline_ms(), Some(10_040), "what it was read before counts");
    assert_eq!(watermarks.heard(Some(1), 10_030), NOTHING);
    assert_eq!(watermarks.next_deadline_ms(), Some(10_130));
    // Idle by what it was read: it stays so when its turn is over.
    assert_eq!(watermarks.on_time(10_130), NOTHING);
    watermarks.read_ends(1, 10_131);
    watermarks.read_begins(1, 10_132);
    assert_eq!(watermarks.next_deadline_ms(), None);
}

#[test]
fn what_is_said_behind_the_last_split_counts() {
    let mut watermarks = with_splits(&[1, 2]);
    assert_eq!(watermarks.emitted(Some(9), 50), NOTHING, "others are there");
    assert_eq!(watermarks.emitted(None, 50), NOTHING);
    watermarks.remove(1, 0);
    watermarks.remove(2, 0);
    assert_eq!(watermarks.on_time(TIMEOUT_MS), IDLE);
    assert_eq!(watermarks.heard(None, TIMEOUT_MS), ACTIVE);
    assert_eq!(watermarks.emitted(Some(2), MAX_EVENT_TIME), advanced(MAX_EVENT_TIME));
}

#[test]
fn without_a_timeout_nobody_is_idle() {
    let mut watermarks = SplitWatermarks::new(None, 0);
    assert_eq!(watermarks.next_deadline_ms(), None);
    watermarks.add(1);
    watermarks.read_begins(1, 0);
    watermarks.heard(Some(1), 0);
    assert_eq!((watermarks.next_deadline_ms(), watermarks.on_time(u64::MAX)), (None, NOTHING));
}

/// What happens to an operator, with time passing ahead of each.
#[derive(Debug, Clone, Copy)]
enum Event {
    Add(u32),
    Remove(u32),
    /// Reads a split; whether it is heard of, and whether it has more.
    Read(u32, Option<EventTime>, bool),
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let split = 0u32..4;
    let time = prop_oneof![20 => -5i64..30, 1 => Just(MAX_EVENT_TIME)];
    let event = prop_oneof![
        2 => split.clone().prop_map(Event::Add),
        1 => split.clone().prop_map(Event::Remove),
        8 => (split, prop::option::weighted(0.6, time), any::<bool>())
            .prop_map(|(split, said, more)| Event::Read(split, said, more)),
    ];
    vec((0u64..70, event), 0..80)
}

/// A split of the naive model: how far it is, for how long it was silent, and whether that is counted now.
#[derive(Debug, Clone, Copy)]
struct Known {
    watermark: EventTime,
    silent_ms: u64,
    counts: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The model counts each millisecond and keeps no combined state but the greatest least.
    #[test]
    fn the_watermark_is_the_least_of_the_splits_that_are_not_idle(events in events()) {
        let mut watermarks = SplitWatermarks::new(Some(TIMEOUT_MS), 0);
        let mut model: BTreeMap<u32, Known> = BTreeMap::new();
        let (mut now_ms, mut alone_ms, mut expected, mut idle) = (0, 0, MIN_EVENT_TIME, false);
        let (mut seen, mut seen_idle) = (MIN_EVENT_TIME, false);
        for (pause_ms, event) in events {
            let mut all = Vec::new();
            for _ in 0..pause_ms {
                now_ms += 1;
                alone_ms += 1;
                for known in model.values_mut().filter(|known| known.counts) {
                    known.silent_ms += 1;
                }
                if watermarks.next_deadline_ms().is_some_and(|at_ms| at_ms <= now_ms) {
                    all.push(watermarks.on_time(now_ms));
                }
                let least = model.values().filter(|known| known.silent_ms < TIMEOUT_MS).map(|known| known.watermark).min();
                expected = expected.max(least.unwrap_or(expected));
                idle = least.is_none() && (!model.is_empty() || idle || alone_ms >= TIMEOUT_MS);
            }
            match event {
                Event::Add(split) => {
                    all.push(watermarks.add(split));
                    model.entry(split).or_insert(Known { watermark: MIN_EVENT_TIME, silent_ms: 0, counts: false });
                }
                Event::Remove(split) => {
                    all.push(watermarks.remove(split, now_ms));
                    if model.remove(&split).is_some() && model.is_empty() {
                        alone_ms = 0;
                    }
                }
                Event::Read(split, said, more) => {
                    watermarks.read_begins(split, now_ms);
                    if let Some(known) = model.get_mut(&split) {
                        if let Some(watermark) = said {
                            all.push(watermarks.heard(Some(split), now_ms));
                            all.push(watermarks.emitted(Some(split), watermark));
                            known.silent_ms = 0;
                            known.watermark = known.watermark.max(watermark);
                        }
                        known.counts = !more;
                    }
                    if more {
                        watermarks.read_ends(split, now_ms);
                    }
                }
            }
            let least = model.values().filter(|known| known.silent_ms < TIMEOUT_MS).map(|known| known.watermark).min();
            expected = expected.max(least.unwrap_or(expected));
            idle = least.is_none() && (!model.is_empty() || idle || alone_ms >= TIMEOUT_MS);
            for progress in all {
                prop_assert!(progress.watermark.is_none_or(|watermark| watermark > seen), "it rises");
                prop_assert!(progress.idle.is_none_or(|idle| idle != seen_idle), "only what has changed is told");
                seen = progress.watermark.unwrap_or(seen);
                seen_idle = progress.idle.unwrap_or(seen_idle);
            }
            prop_assert_eq!((seen, seen_idle), (expected, idle));
        }
    }
}
