//! Joins by window and by interval, by the rules of Flink's tests of them.

use std::time::Duration;

use millrace::prelude::*;
use millrace::testing::OperatorHarness;

/// Whether it is of the first stream, its key, its number.
type Record = (bool, u8, i64);
/// Key, number.
type Keyed = Stream<(u8, i64)>;

fn split(records: &Stream<Record>) -> (Keyed, Keyed) {
    let of = |is_first: bool| records.filter(move |record| record.0 == is_first).map(|record| (record.1, record.2));
    (of(true), of(false))
}

fn push(harness: &mut OperatorHarness<Record, String>, is_first: bool, at: i64) {
    harness.push_at((is_first, 1, at), at).unwrap();
}

fn sorted(harness: &mut OperatorHarness<Record, String>) -> Vec<String> {
    let mut outputs = harness.take_outputs().unwrap();
    outputs.sort_unstable();
    outputs
}

#[test]
fn a_window_join_gives_each_pair() {
    let mut harness = OperatorHarness::new(|records: Stream<Record>| {
        let (first, second) = split(&records);
        let windows = first.join(&second).where_(|record| record.0).equal_to(|record| record.0);
        windows
            .window(TumblingEventTimeWindows::of(Duration::from_millis(10)))
            .apply(|one, other| format!("{}:{}-{}", one.0, one.1, other.1))
    })
    .unwrap();
    for (is_first, key, at) in [(true, 1, 1), (true, 1, 2), (false, 1, 3), (false, 1, 9), (false, 1, 10), (false, 2, 4)]
    {
        harness.push_at((is_first, key, at), at).unwrap();
    }
    harness.discard_instance().unwrap();
    harness.watermark(9).unwrap();
    assert_eq!(sorted(&mut harness), ["1:1-3", "1:1-9", "1:2-3", "1:2-9"]);
    harness.watermark(19).unwrap();
    assert_eq!(sorted(&mut harness), [""; 0]);
    assert_eq!(harness.kept().unwrap(), (0, 0));
}

#[test]
fn a_co_group_gives_what_there_is() {
    let mut harness = OperatorHarness::new(|records: Stream<Record>| {
        let (first, second) = split(&records);
        let windows = first.co_group(&second).where_(|record| record.0).equal_to(|record| record.0);
        let windows = windows.window(EventTimeSessionWindows::with_gap(Duration::from_millis(10)));
        windows.apply(|first, second, out: &mut Collector<String>| {
            let numbers = |records: Vec<(u8, i64)>| records.iter().map(|record| record.1).collect::<Vec<_>>();
            out.collect(format!("{:?} {:?}", numbers(first), numbers(second)));
        })
    })
    .unwrap();
    for (is_first, key, at) in [(true, 1, 1), (false, 1, 10), (true, 1, 19), (false, 2, 4)] {
        harness.push_at((is_first, key, at), at).unwrap();
    }
    harness.watermark(100).unwrap();
    assert_eq!(sorted(&mut harness), ["[1, 19] [10]", "[] [4]"]);
    assert_eq!(harness.kept().unwrap(), (0, 0));
}

fn interval(lower: i64, upper: i64, is_exclusive: bool) -> OperatorHarness<Record, String> {
    OperatorHarness::new(move |records: Stream<Record>| {
        let (first, second) = split(&records);
        let (late_first, late_second) = (OutputTag::new("late-first"), OutputTag::new("late-second"));
        let (first, second) = (first.key_by(|record| record.0), second.key_by(|record| record.0));
        let mut join = first.interval_join(&second).between(lower, upper);
        if is_exclusive {
            join = join.lower_bound_exclusive().upper_bound_exclusive();
        }
        let join = join.side_output_left_late_data(&late_first).side_output_right_late_data(&late_second);
        let pairs = join.process(|one, other, ctx: &mut KeyedContext<u8, String>| {
            let at = ctx.timestamp().unwrap_or(-1);
            ctx.collect(format!("{}-{}@{at}", one.1, other.1));
            Ok(())
        });
        let late = |tag: &OutputTag<(u8, i64)>| pairs.side_output(tag).map(|record| format!("late {}", record.1));
        pairs.union(&late(&late_first)).union(&late(&late_second))
    })
    .unwrap()
}

/// The pairs of all numbers from 1 to 4 of either stream, whichever comes first.
fn pairs(lower: i64, upper: i64, is_exclusive: bool) -> Vec<String> {
    let mut found = Vec::new();
    for is_first_first in [true, false] {
        let mut harness = interval(lower, upper, is_exclusive);
        for is_first in [is_first_first, !is_first_first] {
            (1..=4).for_each(|at| push(&mut harness, is_first, at));
            harness.discard_instance().unwrap();
        }
        found.push(sorted(&mut harness));
        harness.watermark(i64::MAX - 1).unwrap();
        assert_eq!(harness.kept().unwrap(), (0, 0));
    }
    assert_eq!(found[0], found[1]);
    found.remove(0)
}

#[test]
fn interval_bounds() {
    // Both negative, inclusive.
    assert_eq!(pairs(-2, -1, false), ["2-1@2", "3-1@3", "3-2@3", "4-2@4", "4-3@4"]);
    // Around the record.
    let around = ["1-1@1", "1-2@2", "2-1@2", "2-2@2", "2-3@3", "3-2@3", "3-3@3", "3-4@4", "4-3@4", "4-4@4"];
    assert_eq!(pairs(-1, 1, false), around);
    // Both positive.
    assert_eq!(pairs(1, 2, false), ["1-2@2", "1-3@3", "2-3@3", "2-4@4", "3-4@4"]);
    // Exclusive ones.
    assert_eq!(pairs(-3, -1, true), ["3-1@3", "4-2@4"]);
    assert_eq!(pairs(-1, 1, true), ["1-1@1", "2-2@2", "3-3@3", "4-4@4"]);
    assert_eq!(pairs(1, 3, true), ["1-3@3", "2-4@4"]);
}

#[test]
fn records_are_kept_until_no_partner_can_follow() {
    let mut harness = interval(-1, 2, false);
    push(&mut harness, true, 10);
    push(&mut harness, false, 10);
    assert_eq!(sorted(&mut harness), ["10-10@10"]);
    // The second stream's record may still meet one of the first at 11, the first stream's one of the second at 12.
    harness.watermark(10).unwrap();
    assert_eq!(harness.kept().unwrap(), (2, 2));
    harness.watermark(11).unwrap();
    assert_eq!(harness.kept().unwrap(), (1, 1));
    harness.watermark(12).unwrap();
    assert_eq!(harness.kept().unwrap(), (0, 0));
}

#[test]
fn late_records_are_not_joined() {
    let mut harness = interval(-10, 10, false);
    push(&mut harness, true, 5);
    harness.watermark(6).unwrap();
    push(&mut harness, false, 5);
    push(&mut harness, true, 4);
    assert_eq!(sorted(&mut harness), ["late 4", "late 5"]);
    push(&mut harness, false, 6);
    assert_eq!(sorted(&mut harness), ["5-6@6"]);
}

#[test]
fn bounds_that_are_upside_down_are_refused() {
    let error = OperatorHarness::new(|records: Stream<Record>| {
        let (first, second) = split(&records);
        let (first, second) = (first.key_by(|record| record.0), second.key_by(|record| record.0));
        first.interval_join(&second).between(1, 0).process(|_, _, _: &mut KeyedContext<u8, String>| Ok(()))
    })
    .err();
    assert!(error.unwrap().to_string().contains("the lower bound 1 ms is above the upper bound 0 ms"));
}
