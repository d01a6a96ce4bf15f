//! Watermark strategies.

use std::time::Duration;

use millrace::Program;
use millrace::prelude::*;
use millrace::testing::OperatorHarness;

/// Emits the watermark that it sees.
struct Watch;

impl KeyedProcessFunction<u8, i64> for Watch {
    type Output = i64;
    type States = ();

    fn open(&self, _: &mut States) -> Result<()> {
        Ok(())
    }

    fn process(&self, (): &(), _: i64, ctx: &mut KeyedContext<u8, i64>) -> Result<()> {
        let watermark = ctx.current_watermark();
        ctx.collect(watermark);
        Ok(())
    }
}

fn seen(strategy: fn() -> WatermarkStrategy<i64>, batches: &[&[i64]]) -> Vec<i64> {
    let mut harness = OperatorHarness::new(move |times: Stream<i64>| {
        times.assign_timestamps_and_watermarks(strategy()).key_by(|_| 0u8).process(Watch)
    })
    .unwrap();
    let mut seen = Vec::new();
    for batch in batches {
        harness.push_batch(batch.iter().map(|at| (*at, i64::MIN))).unwrap();
        seen.extend(harness.take_outputs().unwrap());
    }
    harness.watermark(i64::MAX).unwrap();
    harness.push(0).unwrap();
    seen.extend(harness.take_outputs().unwrap());
    seen
}

/// At each punctuation, a negative number, the watermark rises to its magnitude.
struct Punctuated;

impl WatermarkGenerator<i64> for Punctuated {
    fn on_event(&mut self, event: &i64, _: i64, output: &mut WatermarkOutput) {
        if *event < 0 {
            output.emit_watermark(-event);
        }
    }

    fn on_periodic_emit(&mut self, _: &mut WatermarkOutput) {}
}

/// The latest timestamp but one.
#[derive(Default)]
struct LastButOne(i64, i64);

impl WatermarkGenerator<i64> for LastButOne {
    fn on_event(&mut self, _: &i64, timestamp_ms: i64, _: &mut WatermarkOutput) {
        *self = Self(self.1, timestamp_ms);
    }

    fn on_periodic_emit(&mut self, output: &mut WatermarkOutput) {
        output.emit_watermark(self.0);
    }
}

#[test]
fn generators() {
    let bounded =
        seen(|| WatermarkStrategy::bounded_out_of_orderness(10, |at| *at), &[&[100, 95], &[200], &[150], &[0]]);
    assert_eq!(bounded, [i64::MIN, i64::MIN, 89, 189, 189, i64::MAX]);
    let monotonous = seen(|| WatermarkStrategy::monotonous(|at| *at), &[&[100], &[101]]);
    assert_eq!(monotonous, [i64::MIN, 99, i64::MAX]);
    let punctuated =
        seen(|| WatermarkStrategy::for_generator(|| Punctuated, |at| at.abs()), &[&[5, -7, 9], &[8], &[1]]);
    assert_eq!(punctuated, [i64::MIN, i64::MIN, i64::MIN, 7, 7, i64::MAX]);
    let periodic = seen(|| WatermarkStrategy::for_generator(LastButOne::default, |at| *at), &[&[5, 6, 7], &[8], &[1]]);
    assert_eq!(periodic, [i64::MIN, i64::MIN, i64::MIN, 6, 7, i64::MAX]);
    let silent = seen(|| WatermarkStrategy::no_watermarks(|at| *at), &[&[5], &[6]]);
    assert_eq!(silent, [i64::MIN, i64::MIN, i64::MAX]);
}

#[test]
fn an_assigner_sees_the_timestamp_that_there_is() {
    let mut harness = OperatorHarness::new(|times: Stream<i64>| {
        let strategy = WatermarkStrategy::monotonous(|at: &i64| *at);
        times.assign_timestamps_and_watermarks(
            strategy.with_timestamp_assigner(|value, at| at.map_or(-1, |at| at + *value)),
        )
    })
    .unwrap();
    harness.push_at(1, 10).unwrap();
    harness.push(1).unwrap();
    assert_eq!(harness.take_outputs_at().unwrap(), [(1, Some(11)), (1, Some(-1))]);
}

#[test]
fn idleness_and_alignment_are_the_hosts_business() {
    let build = |env: &Environment, _: &Args| {
        let strategy = WatermarkStrategy::monotonous(|_: &String| 0)
            .with_idleness(Duration::from_secs(5))
            .with_watermark_alignment("group", Duration::from_secs(20), Duration::from_millis(500));
        let lines = env.from_source(FileSource::lines(["in"]), "lines");
        lines.assign_timestamps_and_watermarks(strategy).sink_to(DiscardSink::new(), "discard");
        Ok(())
    };
    let program = Program::build(build, &[], 1).unwrap();
    let node = program.graph().nodes.iter().find(|node| node.generates_watermarks).unwrap();
    assert_eq!(node.idle_timeout_ms, Some(5000));
    let alignment = node.alignment.clone().unwrap();
    assert_eq!(
        (alignment.group.as_str(), alignment.max_drift_ms, alignment.update_interval_ms),
        ("group", 20_000, 500)
    );
}

/// The watermarks behind records of splits: each is seen behind the records of its step.
fn seen_of_splits(strategy: fn() -> WatermarkStrategy<i64>, discard: bool) -> Vec<i64> {
    let mut harness = OperatorHarness::new(move |times: Stream<i64>| {
        times.assign_timestamps_and_watermarks(strategy()).key_by(|_| 0u8).process(Watch)
    })
    .unwrap();
    harness.turn(7).unwrap();
    harness.turn(3).unwrap();
    for (split, at) in [(7, 1_000), (3, 5), (7, 2_000), (3, 8), (7, 1_500), (3, 6), (3, 30)] {
        if discard {
            harness.discard_instance().unwrap();
        }
        harness.turn(split).unwrap();
        harness.push(at).unwrap();
    }
    harness.end_split(3).unwrap();
    harness.push(0).unwrap();
    harness.take_outputs().unwrap()
}

#[test]
fn each_split_has_a_generator_of_its_own_and_the_least_counts() {
    let expected = [i64::MIN, i64::MIN, 4, 4, 7, 7, 7, 1_999];
    for discard in [false, true] {
        assert_eq!(seen_of_splits(|| WatermarkStrategy::monotonous(|at| *at), discard), expected);
    }
    let last_but_one = seen_of_splits(|| WatermarkStrategy::for_generator(LastButOne::default, |at| *at), false);
    // Of split 3: 0, 5, 8, 8 (which does not fall); of split 7 when the other has ended: 2000.
    assert_eq!(last_but_one, [i64::MIN, i64::MIN, 0, 0, 5, 5, 8, 2_000]);
}

#[test]
fn more_splits_than_generators_are_kept_go_on_from_their_watermarks() {
    let mut harness = OperatorHarness::new(|times: Stream<i64>| {
        times.assign_timestamps_and_watermarks(WatermarkStrategy::monotonous(|at| *at)).key_by(|_| 0u8).process(Watch)
    })
    .unwrap();
    const SPLITS: u32 = 1_000;
    for (round, at) in [100, 50, 200].into_iter().enumerate() {
        for split in 0..SPLITS {
            harness.turn(split).unwrap();
            harness.push(at + i64::from(split)).unwrap();
        }
        harness.push(0).unwrap();
        let least = [99, 99, 199][round];
        assert_eq!(harness.take_outputs().unwrap().pop(), Some(least), "after round {round}");
    }
}

/// A fast split, and a slow one of long ago, in turn: nothing of the slow one is late.
#[test]
fn a_reader_of_two_splits_with_very_different_times_loses_nothing() {
    for discard in [false, true] {
        let mut harness = OperatorHarness::new(|times: Stream<(String, i64)>| {
            let strategy = WatermarkStrategy::bounded_out_of_orderness(0, |(_, at): &(String, i64)| *at);
            times
                .assign_timestamps_and_watermarks(strategy)
                .map(|(split, _)| (split, 1u32))
                .key_by(|(split, _)| split.clone())
                .window(TumblingEventTimeWindows::of(Duration::from_millis(10)))
                .reduce(|a, b| (a.0, a.1 + b.1))
        })
        .unwrap();
        harness.turn(0).unwrap();
        harness.turn(1).unwrap();
        for step in 0..50i64 {
            for (split, name, at) in [(0, "fast", 1_000_000 + step * 1_000), (1, "slow", step)] {
                harness.turn(split).unwrap();
                harness.push((name.to_owned(), at)).unwrap();
                if discard {
                    harness.discard_instance().unwrap();
                }
            }
        }
        let rows = harness.take_outputs().unwrap();
        assert_eq!(rows, vec![("slow".to_owned(), 10); 4], "the windows of the slow split alone are over");
        harness.watermark(i64::MAX).unwrap();
        let rows = harness.take_outputs().unwrap();
        assert_eq!(rows[0], ("slow".to_owned(), 10));
        assert_eq!(rows[1..], vec![("fast".to_owned(), 1); 50]);
    }
}
