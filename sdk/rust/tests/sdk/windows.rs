//! Windows, by the rules of Flink's `WindowOperatorTest`.

use std::time::Duration;

use millrace::prelude::*;
use millrace::testing::OperatorHarness;
use millrace::{DefaultTrigger, WindowedStream};

pub(crate) type Pair = (String, i64);
/// Key, sum, start and end of the window.
pub(crate) type Sum = (String, i64, i64, i64);
pub(crate) type Harness = OperatorHarness<Pair, Sum>;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn pair(key: &str, n: i64) -> Pair {
    (key.to_owned(), n)
}

pub(crate) fn sum(key: &str, sum: i64, start: i64, end: i64) -> Sum {
    (key.to_owned(), sum, start, end)
}

pub(crate) fn add(a: Pair, b: Pair) -> Pair {
    (a.0, a.1 + b.1)
}

#[expect(clippy::ptr_arg, reason = "a window function gets a reference to the key")]
fn with_window(key: &String, window: &TimeWindow, (_, n): Pair, ctx: &mut WindowContext<'_, Sum>) -> Result<()> {
    ctx.collect((key.clone(), n, window.start, window.end));
    Ok(())
}

/// Sums by reducing.
pub(crate) fn reduced<A, R>(
    windows: impl Fn(KeyedStream<String, Pair>) -> WindowedStream<String, Pair, A, R> + 'static,
) -> Harness
where
    A: WindowAssigner<Pair, Window = TimeWindow>,
    R: Trigger<Pair, TimeWindow>,
{
    OperatorHarness::new(move |pairs: Stream<Pair>| {
        windows(pairs.key_by(|pair| pair.0.clone())).reduce_with(add, with_window)
    })
    .unwrap()
}

/// Sums from the list of all records, which takes the general way.
fn listed<A, R>(windows: impl Fn(KeyedStream<String, Pair>) -> WindowedStream<String, Pair, A, R> + 'static) -> Harness
where
    A: WindowAssigner<Pair, Window = TimeWindow>,
    R: Trigger<Pair, TimeWindow>,
{
    OperatorHarness::new(move |pairs: Stream<Pair>| {
        windows(pairs.key_by(|pair| pair.0.clone())).process(|key, window, pairs, ctx| {
            let n = pairs.iter().map(|pair| pair.1).sum();
            with_window(key, window, (String::new(), n), ctx)
        })
    })
    .unwrap()
}

fn push(harness: &mut Harness, key: &str, at: i64) {
    harness.push_at(pair(key, 1), at).unwrap();
}

/// What was emitted, sorted, after checking that each has the latest timestamp of its window.
pub(crate) fn outputs(harness: &mut Harness) -> Vec<Sum> {
    let outputs = harness.take_outputs_at().unwrap();
    let mut sums: Vec<Sum> = outputs
        .into_iter()
        .map(|(sum, at)| {
            assert_eq!(at, Some(sum.3 - 1));
            sum
        })
        .collect();
    sums.sort_by_key(|sum| (sum.3, sum.0.clone(), sum.1));
    sums
}

/// Nothing is left behind.
pub(crate) fn is_empty(harness: &mut Harness) {
    assert_eq!(harness.kept().unwrap(), (0, 0));
}

#[test]
fn sliding_event_time_windows() {
    let windows = || SlidingEventTimeWindows::of(3 * SECOND, SECOND);
    for mut harness in [reduced(move |keyed| keyed.window(windows())), listed(move |keyed| keyed.window(windows()))] {
        for at in [3999, 3000] {
            push(&mut harness, "key2", at);
        }
        for at in [20, 0, 999] {
            push(&mut harness, "key1", at);
        }
        for at in [1998, 1999, 1000] {
            push(&mut harness, "key2", at);
        }
        harness.watermark(999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("key1", 3, -2000, 1000)]);
        harness.watermark(1999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("key1", 3, -1000, 2000), sum("key2", 3, -1000, 2000)]);
        harness.discard_instance().unwrap();
        harness.watermark(2999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("key1", 3, 0, 3000), sum("key2", 3, 0, 3000)]);
        harness.watermark(3999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("key2", 5, 1000, 4000)]);
        harness.watermark(4999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("key2", 2, 2000, 5000)]);
        harness.watermark(5999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("key2", 2, 3000, 6000)]);
        is_empty(&mut harness);
        // Nothing is left that could fire.
        harness.watermark(7999).unwrap();
        assert_eq!(outputs(&mut harness), []);
    }
}

#[test]
fn a_watermark_that_leaps_fires_all_windows_in_order() {
    let mut harness = reduced(|keyed| keyed.window(SlidingEventTimeWindows::of(10 * SECOND, 2 * SECOND)));
    for at in [500, 8500, 30_000] {
        push(&mut harness, "k", at);
    }
    harness.watermark(i64::MAX).unwrap();
    let fired = harness.take_outputs().unwrap();
    let ends: Vec<(i64, i64)> = fired.iter().map(|(_, n, _, end)| (*end / 1000, *n)).collect();
    let expected = [2, 4, 6, 8].map(|end| (end, 1)).into_iter().chain([(10, 2)]);
    let expected = expected.chain([12, 14, 16, 18, 32, 34, 36, 38, 40].map(|end| (end, 1)));
    assert_eq!(ends, expected.collect::<Vec<_>>());
    is_empty(&mut harness);
}

#[test]
fn tumbling_event_time_windows_with_an_offset() {
    let windows = || TumblingEventTimeWindows::of(3 * SECOND).with_offset_ms(500);
    for mut harness in [reduced(move |keyed| keyed.window(windows())), listed(move |keyed| keyed.window(windows()))] {
        for (key, at) in [("a", 499), ("a", 500), ("b", 3499), ("a", 3500)] {
            push(&mut harness, key, at);
        }
        harness.watermark(498).unwrap();
        assert_eq!(outputs(&mut harness), []);
        harness.watermark(499).unwrap();
        assert_eq!(outputs(&mut harness), [sum("a", 1, -2500, 500)]);
        harness.watermark(100_000).unwrap();
        let expected = [sum("a", 1, 500, 3500), sum("b", 1, 500, 3500), sum("a", 1, 3500, 6500)];
        assert_eq!(outputs(&mut harness), expected);
        is_empty(&mut harness);
    }
}

/// Late records are marked in the output: they have no window.
fn with_late<A: WindowAssigner<Pair, Window = TimeWindow>>(
    windows: impl Fn(&KeyedStream<String, Pair>) -> WindowedStream<String, Pair, A, DefaultTrigger> + 'static,
    is_listed: bool,
) -> Harness {
    OperatorHarness::new(move |pairs: Stream<Pair>| {
        let tag = OutputTag::new("late");
        let windowed = windows(&pairs.key_by(|pair| pair.0.clone())).side_output_late_data(&tag);
        let sums = if is_listed {
            windowed.process(|key, window, pairs, ctx| {
                let n = pairs.iter().map(|pair| pair.1).sum();
                with_window(key, window, (String::new(), n), ctx)
            })
        } else {
            windowed.reduce_with(add, with_window)
        };
        let late = sums.side_output(&tag).process(|pair, ctx: &mut ProcessContext<Sum>| {
            let at = ctx.timestamp().unwrap_or(-1);
            ctx.collect_at((pair.0, -pair.1, at, at + 1), at);
            Ok(())
        });
        sums.union(&late)
    })
    .unwrap()
}

#[test]
fn late_records_go_to_the_side_output() {
    for is_listed in [false, true] {
        let mut harness = with_late(|keyed| keyed.window(TumblingEventTimeWindows::of(2 * SECOND)), is_listed);
        push(&mut harness, "k", 500);
        harness.watermark(1500).unwrap();
        push(&mut harness, "k", 300);
        assert_eq!(outputs(&mut harness), []);
        harness.watermark(1999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("k", 2, 0, 2000)]);
        // The window is gone, so both are late: at the watermark, and before it.
        push(&mut harness, "k", 1999);
        push(&mut harness, "k", 10);
        push(&mut harness, "k", 2000);
        assert_eq!(outputs(&mut harness), [sum("k", -1, 10, 11), sum("k", -1, 1999, 2000)]);
        harness.watermark(3999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("k", 1, 2000, 4000)]);
        is_empty(&mut harness);
    }
}

#[test]
fn a_record_is_late_only_if_all_of_its_windows_are_gone() {
    for is_listed in [false, true] {
        let mut harness = with_late(|keyed| keyed.window(SlidingEventTimeWindows::of(3 * SECOND, SECOND)), is_listed);
        harness.watermark(1999).unwrap();
        push(&mut harness, "k", 500);
        harness.watermark(2999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("k", 1, 0, 3000)]);
        push(&mut harness, "k", 500);
        assert_eq!(outputs(&mut harness), [sum("k", -1, 500, 501)]);
        is_empty(&mut harness);
    }
}

#[test]
fn within_the_allowed_lateness_a_window_fires_again() {
    for is_listed in [false, true] {
        let windows = |keyed: &KeyedStream<String, Pair>| {
            keyed.window(TumblingEventTimeWindows::of(2 * SECOND)).allowed_lateness(Duration::from_millis(500))
        };
        let mut harness = with_late(windows, is_listed);
        push(&mut harness, "k", 500);
        harness.watermark(1999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("k", 1, 0, 2000)]);
        harness.discard_instance().unwrap();
        push(&mut harness, "k", 1000);
        assert_eq!(outputs(&mut harness), [sum("k", 2, 0, 2000)]);
        harness.watermark(2498).unwrap();
        push(&mut harness, "k", 1999);
        // A key of which the window has nothing yet.
        push(&mut harness, "other", 1);
        assert_eq!(outputs(&mut harness), [sum("k", 3, 0, 2000), sum("other", 1, 0, 2000)]);
        assert_ne!(harness.kept().unwrap(), (0, 0));
        harness.watermark(2499).unwrap();
        assert_eq!(outputs(&mut harness), []);
        is_empty(&mut harness);
        push(&mut harness, "k", 1999);
        assert_eq!(outputs(&mut harness), [sum("k", -1, 1999, 2000)]);
    }
}

#[test]
fn late_records_of_sliding_windows_fire_those_that_have_fired() {
    for is_listed in [false, true] {
        let windows = |keyed: &KeyedStream<String, Pair>| {
            keyed.window(SlidingEventTimeWindows::of(3 * SECOND, SECOND)).allowed_lateness(SECOND)
        };
        let mut harness = with_late(windows, is_listed);
        push(&mut harness, "k", 2500);
        harness.watermark(3999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("k", 1, 0, 3000), sum("k", 1, 1000, 4000)]);
        // [0, 3000) is gone by now, [1000, 4000) fires again, [2000, 5000) is still to come.
        push(&mut harness, "k", 2100);
        assert_eq!(outputs(&mut harness), [sum("k", 2, 1000, 4000)]);
        harness.watermark(4999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("k", 2, 2000, 5000)]);
        harness.watermark(5998).unwrap();
        assert_ne!(harness.kept().unwrap(), (0, 0));
        harness.watermark(5999).unwrap();
        is_empty(&mut harness);
    }
}

#[test]
fn sessions_merge() {
    let windows = || EventTimeSessionWindows::with_gap(3 * SECOND);
    for mut harness in [reduced(move |keyed| keyed.window(windows())), listed(move |keyed| keyed.window(windows()))] {
        for (key, n, at) in [("key2", 1, 0), ("key2", 2, 1000), ("key2", 3, 2500), ("key1", 1, 10), ("key1", 2, 1000)] {
            harness.push_at(pair(key, n), at).unwrap();
        }
        harness.discard_instance().unwrap();
        for (key, n, at) in
            [("key1", 3, 2500), ("key2", 4, 5501), ("key2", 5, 6000), ("key2", 5, 6000), ("key2", 6, 6050)]
        {
            harness.push_at(pair(key, n), at).unwrap();
        }
        harness.watermark(12_000).unwrap();
        let expected = [sum("key1", 6, 10, 5500), sum("key2", 6, 0, 5500), sum("key2", 20, 5501, 9050)];
        assert_eq!(outputs(&mut harness), expected);
        is_empty(&mut harness);
        // A record that fills the gap between two sessions makes them one.
        for (n, at) in [(10, 15_000), (20, 20_000), (1, 17_500)] {
            harness.push_at(pair("key2", n), at).unwrap();
        }
        harness.watermark(22_999).unwrap();
        assert_eq!(outputs(&mut harness), [sum("key2", 31, 15_000, 23_000)]);
        is_empty(&mut harness);
    }
}

#[test]
fn a_dynamic_gap_is_each_records_own() {
    let mut harness = reduced(|keyed| {
        keyed.window(EventTimeSessionWindows::with_dynamic_gap(|pair: &Pair| Duration::from_millis(pair.1 as u64)))
    });
    for (n, at) in [(5000, 0), (1000, 100), (10, 5200)] {
        harness.push_at(pair("k", n), at).unwrap();
    }
    harness.watermark(10_000).unwrap();
    assert_eq!(outputs(&mut harness), [sum("k", 6000, 0, 5000), sum("k", 10, 5200, 5210)]);
    is_empty(&mut harness);
}

#[test]
fn sessions_with_late_records() {
    let windows = |keyed: &KeyedStream<String, Pair>| {
        keyed.window(EventTimeSessionWindows::with_gap(3 * SECOND)).allowed_lateness(10 * SECOND)
    };
    let mut harness = with_late(windows, false);
    push(&mut harness, "k", 1000);
    harness.watermark(5000).unwrap();
    assert_eq!(outputs(&mut harness), [sum("k", 1, 1000, 4000)]);
    // Extends the session that has fired, but ends at once.
    push(&mut harness, "k", 1500);
    assert_eq!(outputs(&mut harness), [sum("k", 2, 1000, 4500)]);
    // Extends it into the future: it fires when it ends.
    push(&mut harness, "k", 4000);
    assert_eq!(outputs(&mut harness), []);
    harness.watermark(6999).unwrap();
    assert_eq!(outputs(&mut harness), [sum("k", 3, 1000, 7000)]);
    harness.watermark(16_999).unwrap();
    is_empty(&mut harness);
    push(&mut harness, "k", 3000);
    assert_eq!(outputs(&mut harness), [sum("k", -1, 3000, 3001)]);
    is_empty(&mut harness);
}

#[test]
fn the_count_trigger_counts_for_each_window() {
    let mut harness = reduced(|keyed| {
        keyed.window(TumblingEventTimeWindows::of(10 * SECOND)).trigger(PurgingTrigger::of(CountTrigger::of(2)))
    });
    for (key, at) in [("a", 0), ("a", 10_000), ("b", 1)] {
        push(&mut harness, key, at);
    }
    assert_eq!(outputs(&mut harness), []);
    harness.discard_instance().unwrap();
    push(&mut harness, "a", 5);
    assert_eq!(outputs(&mut harness), [sum("a", 2, 0, 10_000)]);
    push(&mut harness, "a", 6);
    assert_eq!(outputs(&mut harness), []);
    push(&mut harness, "a", 7);
    assert_eq!(outputs(&mut harness), [sum("a", 2, 0, 10_000)]);
    // The end of a window alone does not make it fire, but what it has is dropped.
    harness.watermark(19_999).unwrap();
    assert_eq!(outputs(&mut harness), []);
    is_empty(&mut harness);
}

#[test]
fn the_count_of_sessions_that_merge_is_merged() {
    let mut harness =
        reduced(|keyed| keyed.window(EventTimeSessionWindows::with_gap(3 * SECOND)).trigger(CountTrigger::of(4)));
    for at in [0, 1000, 5000] {
        push(&mut harness, "k", at);
    }
    assert_eq!(outputs(&mut harness), []);
    push(&mut harness, "k", 3500);
    assert_eq!(outputs(&mut harness), [sum("k", 4, 0, 8000)]);
    harness.watermark(8000).unwrap();
    is_empty(&mut harness);
}

#[test]
fn the_continuous_trigger_fires_at_intervals_and_at_the_end() {
    let mut harness = reduced(|keyed| {
        keyed.window(TumblingEventTimeWindows::of(10 * SECOND)).trigger(ContinuousEventTimeTrigger::of(3 * SECOND))
    });
    push(&mut harness, "k", 500);
    harness.watermark(2999).unwrap();
    assert_eq!(outputs(&mut harness), []);
    harness.watermark(3000).unwrap();
    assert_eq!(outputs(&mut harness), [sum("k", 1, 0, 10_000)]);
    push(&mut harness, "k", 4000);
    // Two intervals and the end at once: each fires.
    harness.watermark(9999).unwrap();
    assert_eq!(outputs(&mut harness), vec![sum("k", 2, 0, 10_000); 3]);
    is_empty(&mut harness);
}

#[test]
fn processing_time_windows() {
    let mut tumbling = reduced(|keyed| keyed.window(TumblingProcessingTimeWindows::of(3 * SECOND)));
    tumbling.set_processing_time(3).unwrap();
    for _ in 0..2 {
        tumbling.push(pair("k", 1)).unwrap();
    }
    tumbling.set_processing_time(2998).unwrap();
    assert_eq!(outputs(&mut tumbling), []);
    tumbling.discard_instance().unwrap();
    tumbling.set_processing_time(2999).unwrap();
    assert_eq!(outputs(&mut tumbling), [sum("k", 2, 0, 3000)]);
    is_empty(&mut tumbling);

    let mut sliding = reduced(|keyed| keyed.window(SlidingProcessingTimeWindows::of(3 * SECOND, SECOND)));
    sliding.set_processing_time(3).unwrap();
    sliding.push(pair("k", 1)).unwrap();
    sliding.set_processing_time(1000).unwrap();
    sliding.push(pair("k", 1)).unwrap();
    sliding.set_processing_time(5000).unwrap();
    let expected = [sum("k", 1, -2000, 1000), sum("k", 2, -1000, 2000), sum("k", 2, 0, 3000), sum("k", 1, 1000, 4000)];
    assert_eq!(outputs(&mut sliding), expected);
    is_empty(&mut sliding);

    let mut sessions = reduced(|keyed| keyed.window(ProcessingTimeSessionWindows::with_gap(3 * SECOND)));
    for now in [3, 1000, 5000] {
        sessions.set_processing_time(now).unwrap();
        sessions.push(pair("k", 1)).unwrap();
    }
    sessions.set_processing_time(8000).unwrap();
    assert_eq!(outputs(&mut sessions), [sum("k", 2, 3, 4000), sum("k", 1, 5000, 8000)]);
    is_empty(&mut sessions);
}

#[test]
fn global_windows_fire_when_their_trigger_says_so() {
    let mut harness = OperatorHarness::new(|pairs: Stream<Pair>| {
        let windows = pairs.key_by(|pair| pair.0.clone()).window(GlobalWindows::create());
        windows.trigger(PurgingTrigger::of(CountTrigger::of(3))).reduce(add)
    })
    .unwrap();
    for n in 1..=7 {
        harness.push(pair("k", n)).unwrap();
    }
    assert_eq!(harness.take_outputs().unwrap(), [pair("k", 6), pair("k", 15)]);
    // Without a trigger they never do.
    let mut never = OperatorHarness::new(|pairs: Stream<Pair>| {
        pairs.key_by(|pair| pair.0.clone()).window(GlobalWindows::create()).reduce(add)
    })
    .unwrap();
    never.push(pair("k", 1)).unwrap();
    never.watermark(i64::MAX).unwrap();
    assert_eq!(never.take_outputs().unwrap(), []);
    // At the end of the stream, with all records.
    let mut all = OperatorHarness::new(|pairs: Stream<Pair>| {
        let windows = pairs.key_by(|pair| pair.0.clone()).window(GlobalWindows::end_of_stream());
        windows.process(|_, GlobalWindow, pairs, ctx: &mut WindowContext<'_, i64>| {
            ctx.collect(pairs.len() as i64);
            Ok(())
        })
    })
    .unwrap();
    for n in 0..5 {
        all.push(pair("k", n)).unwrap();
    }
    all.watermark(i64::MAX).unwrap();
    assert_eq!((all.take_outputs().unwrap(), all.kept().unwrap()), (vec![5], (0, 0)));
}

#[test]
fn windows_of_all_records() {
    let mut harness = OperatorHarness::new(|pairs: Stream<Pair>| {
        let windows = pairs.window_all(TumblingEventTimeWindows::of(SECOND));
        windows.reduce_with(add, |window: &TimeWindow, (_, n), ctx: &mut WindowContext<'_, (i64, i64)>| {
            ctx.collect((window.end, n));
            Ok(())
        })
    })
    .unwrap();
    for (key, n, at) in [("a", 1, 0), ("b", 2, 500), ("a", 4, 1000)] {
        harness.push_at(pair(key, n), at).unwrap();
    }
    harness.watermark(i64::MAX).unwrap();
    assert_eq!(harness.take_outputs().unwrap(), [(1000, 3), (2000, 4)]);
}

#[test]
fn records_without_timestamps_are_refused() {
    let mut harness = reduced(|keyed| keyed.window(TumblingEventTimeWindows::of(SECOND)));
    let error = harness.push(pair("k", 1)).unwrap_err().to_string();
    assert!(error.contains("'TumblingEventTimeWindows': a record without a timestamp"), "{error}");
    assert!(error.contains("assign_timestamps_and_watermarks"), "{error}");
}
