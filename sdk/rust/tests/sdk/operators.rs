//! Operators, one at a time.

use millrace::prelude::*;
use millrace::testing::OperatorHarness;

fn harness<I: Data, O: Data>(operators: impl Fn(Stream<I>) -> Stream<O> + 'static) -> OperatorHarness<I, O> {
    OperatorHarness::new(operators).unwrap()
}

#[test]
fn records_go_through_a_chain_with_their_timestamps() {
    let mut harness = harness(|numbers: Stream<i64>| {
        numbers
            .map(|n| n * 3)
            .filter(|n| n % 2 == 0)
            .flat_map(|n, out: &mut Collector<i64>| (0..n.min(2)).for_each(|i| out.collect(n + i)))
            .map(|n| n.to_string())
    });
    for n in 0..4 {
        harness.push_at(n, 1000 + n).unwrap();
    }
    harness.push(4).unwrap();
    let expected = [("6", Some(1002)), ("7", Some(1002)), ("12", None), ("13", None)];
    assert_eq!(harness.take_outputs_at().unwrap(), expected.map(|(text, at)| (text.to_owned(), at)));
}

#[test]
fn fallible_closures_fail_with_the_operators_name() {
    let mut parse = harness(|texts: Stream<String>| texts.try_map(|text| text.parse::<u32>()).name("parse"));
    parse.push("7".into()).unwrap();
    assert_eq!(parse.take_outputs().unwrap(), [7]);
    let error = parse.push("seven".into()).unwrap_err().to_string();
    assert_eq!(error, "operator 'parse': invalid digit found in string");

    // What fails downstream is blamed on the one that failed, and ends the call.
    let mut chain = harness(|numbers: Stream<u32>| {
        numbers
            .flat_map(|n, out: &mut Collector<u32>| (0..n).for_each(|i| out.collect(i)))
            .try_flat_map(|n, out: &mut Collector<u32>| {
                out.collect(n);
                if n == 2 { Err("two") } else { Ok(()) }
            })
            .name("picky")
    });
    assert_eq!(chain.push(9).unwrap_err().to_string(), "operator 'picky': two");
}

#[test]
fn process_sees_timestamps_and_has_side_outputs() {
    let mut harness = harness(|numbers: Stream<i32>| {
        let (odd, unread) = (OutputTag::<String>::new("odd"), OutputTag::<i32>::new("unread"));
        let tag = odd.clone();
        let even = numbers.process(move |n, ctx: &mut ProcessContext<String>| {
            ctx.output(&unread, n);
            if n % 2 == 0 {
                let at = ctx.timestamp().unwrap_or(-1);
                ctx.collect(format!("{n}@{at}"));
            } else {
                ctx.output(&tag, format!("odd {n}"));
            }
            if n == 99 { Err(Error::msg("enough")) } else { Ok(()) }
        });
        even.union(&even.side_output(&odd))
    });
    harness.push_at(1, 10).unwrap();
    harness.push_at(2, 20).unwrap();
    harness.push(4).unwrap();
    assert_eq!(harness.take_outputs().unwrap(), ["odd 1", "2@20", "4@-1"]);
    assert_eq!(harness.push(99).unwrap_err().to_string(), "operator 'Process': enough");
}

#[test]
fn one_output_may_feed_several() {
    let mut harness = harness(|numbers: Stream<u32>| {
        let shared = numbers.map(|n| n + 1);
        shared.map(|n| format!("a{n}")).union(&shared.filter(|n| *n > 2).map(|n| format!("b{n}")))
    });
    harness.push(1).unwrap();
    harness.push(2).unwrap();
    let mut outputs = harness.take_outputs().unwrap();
    outputs.sort_unstable();
    assert_eq!(outputs, ["a2", "a3", "b3"]);
}

#[test]
fn connected_streams_share_an_output() {
    let mut harness = harness(|numbers: Stream<u32>| {
        let (small, large) = (numbers.filter(|n| *n < 10), numbers.filter(|n| *n >= 10).map(|n| n.to_string()));
        let mapped = small.connect(&large).map(|n| format!("small {n}"), |text| format!("large {text}"));
        let flat = small.connect(&large).flat_map(
            |n, out: &mut Collector<String>| (0..n).for_each(|_| out.collect("s".into())),
            |text, out| out.collect(text),
        );
        mapped.union(&flat)
    });
    harness.push(2).unwrap();
    harness.push(30).unwrap();
    let mut outputs = harness.take_outputs().unwrap();
    outputs.sort_unstable();
    assert_eq!(outputs, ["30", "large 30", "s", "s", "small 2"]);
}

#[test]
fn reduce_emits_after_every_record_and_a_window_at_the_end() {
    let pairs = [("a", 1), ("b", 10), ("a", 2), ("a", 4)].map(|(key, n)| (key.to_owned(), n));
    let mut running =
        harness(|pairs: Stream<(String, i64)>| pairs.key_by(|(key, _)| key.clone()).reduce(|a, b| (a.0, a.1 + b.1)));
    let mut at_end = harness(|pairs: Stream<(String, i64)>| {
        pairs.key_by(|(key, _)| key.clone()).window(GlobalWindows::end_of_stream()).reduce(|a, b| (a.0, a.1 + b.1))
    });
    for pair in &pairs {
        running.push(pair.clone()).unwrap();
        at_end.push(pair.clone()).unwrap();
    }
    let values: Vec<i64> = running.take_outputs().unwrap().into_iter().map(|(_, n)| n).collect();
    assert_eq!(values, [1, 10, 3, 7]);
    at_end.watermark(1_000_000).unwrap();
    assert_eq!(at_end.take_outputs().unwrap(), []);
    at_end.discard_instance().unwrap();
    at_end.watermark(i64::MAX).unwrap();
    let mut values = at_end.take_outputs().unwrap();
    values.sort_unstable();
    assert_eq!(values, [("a".to_owned(), 7), ("b".to_owned(), 10)]);
    // State that was empty at the start needs no reads.
    assert_eq!(running.state_reads(), 0);
}

#[test]
fn watermarks_follow_the_timestamps() {
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

    let mut harness = harness(|times: Stream<i64>| {
        let strategy = WatermarkStrategy::bounded_out_of_orderness(10, |time: &i64| *time);
        times.assign_timestamps_and_watermarks(strategy).key_by(|_| 0u8).process(Watch)
    });
    for time in [100, 95, 200, 150] {
        harness.push(time).unwrap();
    }
    harness.discard_instance().unwrap();
    harness.push(150).unwrap();
    // Watermarks from upstream do not count, save for the end.
    harness.watermark(10_000).unwrap();
    harness.push(0).unwrap();
    harness.watermark(i64::MAX).unwrap();
    harness.push(0).unwrap();
    let outputs = harness.take_outputs_at().unwrap();
    let watermarks: Vec<i64> = outputs.iter().map(|(watermark, _)| *watermark).collect();
    assert_eq!(watermarks, [i64::MIN, 89, 89, 189, 189, 189, i64::MAX]);
    assert_eq!(outputs[1].1, Some(95));
}

/// Sets, deletes and fires timers as its records say.
struct Timers;

impl KeyedProcessFunction<String, (String, i64, i64)> for Timers {
    type Output = String;
    type States = ValueState<i64>;

    fn open(&self, states: &mut States) -> Result<ValueState<i64>> {
        states.value("cancels")
    }

    /// (key, set this timer; if it fires, delete that one).
    fn process(
        &self,
        cancels: &ValueState<i64>,
        (_, set, cancel): (String, i64, i64),
        ctx: &mut KeyedContext<String, String>,
    ) -> Result<()> {
        if set < 0 {
            ctx.register_processing_time_timer(-set);
        } else {
            ctx.register_event_time_timer(set);
        }
        if cancel != 0 {
            cancels.set(cancel);
        }
        Ok(())
    }

    fn on_timer(
        &self,
        cancels: &ValueState<i64>,
        clock: Clock,
        timestamp: i64,
        ctx: &mut KeyedContext<String, String>,
    ) -> Result<()> {
        let text = format!("{} {clock:?} {timestamp} {:?}", ctx.key(), ctx.timestamp());
        ctx.collect(text);
        if let Some(cancel) = cancels.take() {
            ctx.delete_event_time_timer(cancel);
            // Sets one that is already due: it fires, too, though after those that were due before.
            ctx.register_event_time_timer(timestamp - 1);
        }
        Ok(())
    }
}

#[test]
fn timers_take_effect_within_the_chunk_that_is_delivered() {
    let mut harness = harness(|rows: Stream<(String, i64, i64)>| rows.key_by(|row| row.0.clone()).process(Timers));
    for (key, set, cancel) in [("a", 10, 12), ("a", 10, 12), ("a", 12, 0), ("a", 13, 0), ("b", 12, 0), ("c", -50, 0)] {
        harness.push((key.to_owned(), set, cancel)).unwrap();
    }
    harness.watermark(9).unwrap();
    assert_eq!(harness.take_outputs().unwrap(), [""; 0]);
    harness.watermark(100).unwrap();
    let mut outputs = harness.take_outputs().unwrap();
    assert_eq!(outputs.remove(0), "a EventTime 10 Some(10)");
    outputs.sort_unstable();
    assert_eq!(outputs, ["a EventTime 13 Some(13)", "a EventTime 9 Some(9)", "b EventTime 12 Some(12)"]);
    harness.set_processing_time(49).unwrap();
    assert_eq!(harness.take_outputs().unwrap(), [""; 0]);
    harness.set_processing_time(50).unwrap();
    assert_eq!(harness.take_outputs().unwrap(), ["c ProcessingTime 50 Some(50)"]);
}

#[test]
fn a_state_is_declared_once() {
    struct Twice;

    impl KeyedProcessFunction<u8, u8> for Twice {
        type Output = u8;
        type States = ();

        fn open(&self, states: &mut States) -> Result<()> {
            states.value::<u8>("x")?;
            states.value::<u16>("x").map(drop)
        }

        fn process(&self, (): &(), _: u8, _: &mut KeyedContext<u8, u8>) -> Result<()> {
            Ok(())
        }
    }

    let error = OperatorHarness::new(|bytes: Stream<u8>| bytes.key_by(|byte| *byte).process(Twice)).err();
    let expected = "operator 'KeyedProcess': state 'x' is declared twice; give each state its own name";
    assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(expected));
}

#[test]
fn keyed_streams_may_be_joined() {
    /// Emits both sides once they are there.
    struct Join;

    impl KeyedCoProcessFunction<u32, (u32, String), (u32, i64)> for Join {
        type Output = (String, i64);
        type States = (ValueState<String>, ValueState<i64>);

        fn open(&self, states: &mut States) -> Result<Self::States> {
            Ok((states.value("name")?, states.value("amount")?))
        }

        fn process1(
            &self,
            (name, amount): &Self::States,
            value: (u32, String),
            ctx: &mut KeyedContext<u32, (String, i64)>,
        ) -> Result<()> {
            if let Some(amount) = amount.get() {
                ctx.collect((value.1.clone(), amount));
            }
            name.set(value.1);
            Ok(())
        }

        fn process2(
            &self,
            (name, amount): &Self::States,
            value: (u32, i64),
            ctx: &mut KeyedContext<u32, (String, i64)>,
        ) -> Result<()> {
            if let Some(name) = name.get() {
                ctx.collect((name, value.1));
            }
            amount.set(value.1);
            Ok(())
        }
    }

    let mut harness = harness(|rows: Stream<(u32, Option<String>, i64)>| {
        let names = rows.flat_map(|row, out: &mut Collector<(u32, String)>| {
            if let Some(name) = row.1 {
                out.collect((row.0, name));
            }
        });
        let amounts = rows.filter(|row| row.1.is_none()).map(|row| (row.0, row.2));
        names.key_by(|row| row.0).connect(&amounts.key_by(|row| row.0)).process(Join)
    });
    for row in [(1, None, 5), (2, Some("two".to_owned()), 0), (1, Some("one".to_owned()), 0), (2, None, 7)] {
        harness.push(row).unwrap();
        harness.discard_instance().unwrap();
    }
    assert_eq!(harness.take_outputs().unwrap(), [("one".to_owned(), 5), ("two".to_owned(), 7)]);
}

#[test]
fn a_record_that_is_too_long_is_refused() {
    let mut harness = harness(|lengths: Stream<u32>| lengths.map(|length| "x".repeat(length as usize)).name("grow"));
    harness.push(1 << 20).unwrap();
    assert_eq!(harness.take_outputs().unwrap()[0].len(), 1 << 20);
    let error = harness.push(17 << 20).unwrap_err().to_string();
    assert_eq!(error, "operator 'grow': a record of 17825796 bytes is longer than the limit of 16777216 bytes");
}
