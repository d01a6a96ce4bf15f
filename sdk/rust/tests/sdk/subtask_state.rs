//! Functions without keys that have state, and what a test of keyed state by a model does not reach.

use millrace::prelude::*;
use millrace::testing::{OperatorHarness, PipelineOptions, run_pipeline};

/// Numbers the records of a subtask.
struct Numbered;

impl ProcessFunction<String> for Numbered {
    type Output = String;
    type States = OperatorListState<u64>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.operator_list("next")
    }

    fn process(&self, next: &Self::States, line: String, ctx: &mut ProcessContext<String>) -> Result<()> {
        let number: u64 = next.with(|counts| counts.iter().sum())?;
        next.update(vec![number + 1])?;
        ctx.collect(format!("{number} {line}"));
        Ok(())
    }
}

/// Lets through what begins with a broadcast letter.
struct Begins;

impl BroadcastProcessFunction<String, String> for Begins {
    type Output = String;
    type States = BroadcastState<String, ()>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.broadcast("letters")
    }

    fn process_element(&self, letters: &Self::States, line: String, ctx: &mut ProcessContext<String>) -> Result<()> {
        if letters.contains(&line[..1].to_owned())? {
            ctx.collect(line);
        }
        Ok(())
    }

    fn process_broadcast(&self, letters: &Self::States, letter: String, _: &mut ProcessContext<String>) -> Result<()> {
        letters.put(letter, ())
    }
}

#[test]
fn a_subtask_counts_on_in_another_instance() {
    let mut harness = OperatorHarness::new(|lines: Stream<String>| lines.process_function(Numbered)).unwrap();
    for (n, line) in ["a", "b", "c"].into_iter().enumerate() {
        harness.push(line.to_owned()).unwrap();
        harness.discard_instance().unwrap();
        assert_eq!(harness.take_outputs().unwrap(), [format!("{n} {line}")]);
    }
}

#[test]
fn every_subtask_knows_what_was_broadcast() {
    for (parallelism, seed) in [(1, 1), (3, 2), (4, 42)] {
        let options = PipelineOptions::new()
            .parallelism(parallelism)
            .lines("letters", ["a", "c"])
            .lines("lines", ["at", "be", "cat", "dog", "and", "bat", "cup"])
            .discard_instances(seed);
        let build = |env: &Environment, _: &Args| {
            let letters = env.from_source(FileSource::lines(["letters"]), "letters");
            let lines = env.from_source(FileSource::lines(["lines"]), "lines");
            let kept = lines.connect_broadcast(&letters).process(Begins);
            kept.sink_to(FileSink::lines("out"), "rows");
            Ok(())
        };
        let output = run_pipeline(build, &options).unwrap();
        assert_eq!(output.sorted_lines("rows").unwrap(), ["and", "at", "cat", "cup"]);
    }
}

struct Keyed;

impl ProcessFunction<u8> for Keyed {
    type Output = u8;
    type States = ValueState<u8>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.value("count")
    }

    fn process(&self, _: &Self::States, value: u8, ctx: &mut ProcessContext<u8>) -> Result<()> {
        ctx.collect(value);
        Ok(())
    }
}

#[test]
fn keyed_state_needs_keys() {
    let error = OperatorHarness::new(|rows: Stream<u8>| rows.process_function(Keyed)).err().unwrap().to_string();
    assert!(error.contains("'count' is keyed, but the operator is not"), "{error}");
}

/// Sets, then looks twice.
struct Visible;

type Looked = (Option<u8>, Option<u8>, Vec<u8>, Vec<(u8, u8)>);

impl KeyedProcessFunction<u8, u8> for Visible {
    type Output = Looked;
    type States = (ValueState<u8>, ListState<u8>, MapState<u8, u8>);

    fn open(&self, states: &mut States) -> Result<Self::States> {
        let ttl = StateTtlConfig::new(10).state_visibility(StateVisibility::ReturnExpiredIfNotCleanedUp);
        let value = states.with_ttl(ttl).value("value")?;
        Ok((value, states.with_ttl(ttl).list("list")?, states.with_ttl(ttl).map("map")?))
    }

    fn process(&self, (value, list, map): &Self::States, n: u8, ctx: &mut KeyedContext<u8, Looked>) -> Result<()> {
        if n == 0 {
            ctx.collect((value.get(), value.get(), list.get()?, map.entries()?));
        } else {
            value.set(n);
            list.add(n);
            map.put(&n, n);
        }
        Ok(())
    }
}

#[test]
fn what_is_expired_may_be_seen_once_until_the_host_drops_it() {
    let mut harness = OperatorHarness::new(|rows: Stream<u8>| rows.key_by(|_| 0u8).process(Visible)).unwrap();
    harness.push(1).unwrap();
    harness.set_processing_time(9).unwrap();
    harness.push(2).unwrap();
    harness.set_processing_time(20).unwrap();
    harness.push(0).unwrap();
    harness.push(0).unwrap();
    let seen: Looked = (Some(2), None, vec![1, 2], vec![(1, 1), (2, 2)]);
    assert_eq!(harness.take_outputs().unwrap(), [seen, (None, None, Vec::new(), Vec::new())]);
    harness.push(3).unwrap();
    harness.set_processing_time(30).unwrap();
    harness.discard_instance().unwrap();
    harness.push(0).unwrap();
    assert_eq!(harness.take_outputs().unwrap(), [(None, None, Vec::new(), Vec::new())]);
}

/// Adds to a list and never looks at it.
struct AddOnly;

impl KeyedProcessFunction<u8, u64> for AddOnly {
    type Output = u64;
    type States = ListState<u64>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.list("list")
    }

    fn process(&self, list: &Self::States, n: u64, ctx: &mut KeyedContext<u8, u64>) -> Result<()> {
        if n == u64::MAX {
            list.get()?.into_iter().for_each(|n| ctx.collect(n));
        } else {
            list.add(n);
        }
        Ok(())
    }
}

#[test]
fn adding_to_a_list_reads_nothing() {
    let add = |rows: Stream<u64>| rows.key_by(|n| (*n % 5) as u8).process(AddOnly);
    let mut harness = OperatorHarness::with_cache(100, add).unwrap();
    for n in 0..200 {
        harness.push(n).unwrap();
        if n % 7 == 0 {
            harness.discard_instance().unwrap();
        }
    }
    assert_eq!(harness.state_reads(), 0);
    harness.push(u64::MAX).unwrap();
    assert_eq!(harness.take_outputs().unwrap(), (0..200).filter(|n| n % 5 == 0).collect::<Vec<u64>>());
    assert_eq!(harness.state_reads(), 1);
}
