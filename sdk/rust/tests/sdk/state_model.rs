//! The state cache against a model: whatever is flushed, evicted, discarded and fired in between, an operator sees the
//! state of its key as if it had never left.

use std::collections::{BTreeMap, BTreeSet};

use millrace::prelude::*;
use millrace::testing::OperatorHarness;
use proptest::prelude::*;

/// How many timers the harness delivers at once.
const TIMER_CHUNK: usize = 3;

/// What a record does to the state of its key.
#[derive(Clone, Debug, Data)]
enum Action {
    /// Appends to the text.
    Append(u8),
    /// Adds to the number.
    Add(i64),
    ClearText,
    TakeNumber,
    SetTimer(i64),
    DeleteTimer(i64),
    /// Only looks.
    Look,
}

/// (key, action).
type Record = (u16, Action);
/// (key, timestamp of a timer or -1, text, number).
type Seen = (u16, i64, Option<Vec<u8>>, Option<i64>);

struct Actor;

fn seen(states: &(ValueState<Vec<u8>>, ValueState<i64>), timer: i64, ctx: &mut KeyedContext<u16, Seen>) {
    let key = *ctx.key();
    ctx.collect((key, timer, states.0.get(), states.1.get()));
}

impl KeyedProcessFunction<u16, Record> for Actor {
    type Output = Seen;
    type States = (ValueState<Vec<u8>>, ValueState<i64>);

    fn open(&self, states: &mut States) -> Result<Self::States> {
        Ok((states.value("text")?, states.value("number")?))
    }

    fn process(&self, states: &Self::States, (_, action): Record, ctx: &mut KeyedContext<u16, Seen>) -> Result<()> {
        let (text, number) = states;
        match action {
            Action::Append(byte) => text.modify(|text| text.get_or_insert_default().push(byte)),
            Action::Add(n) => number.set(number.get().unwrap_or(0).wrapping_add(n)),
            Action::ClearText => text.clear(),
            Action::TakeNumber => drop(number.take()),
            Action::SetTimer(at) => ctx.register_event_time_timer(at),
            Action::DeleteTimer(at) => ctx.delete_event_time_timer(at),
            Action::Look => {}
        }
        seen(states, -1, ctx);
        Ok(())
    }

    fn on_timer(
        &self,
        states: &Self::States,
        _: Clock,
        timestamp: i64,
        ctx: &mut KeyedContext<u16, Seen>,
    ) -> Result<()> {
        let (_, number) = states;
        seen(states, timestamp, ctx);
        number.modify(|number| *number = Some(number.unwrap_or(0).wrapping_add(1)));
        // Timers at multiples of five delete the next one of their key and set one later.
        if timestamp % 5 == 0 {
            ctx.delete_event_time_timer(timestamp + 1);
            ctx.register_event_time_timer(timestamp + 3);
        }
        Ok(())
    }
}

/// The same, plainly.
#[derive(Default)]
struct Model {
    texts: BTreeMap<u16, Vec<u8>>,
    numbers: BTreeMap<u16, i64>,
    timers: BTreeSet<(i64, [u8; 2])>,
    watermark: i64,
}

impl Model {
    fn seen(&self, key: u16, timer: i64) -> Seen {
        (key, timer, self.texts.get(&key).cloned(), self.numbers.get(&key).copied())
    }

    fn process(&mut self, (key, action): &Record) -> Seen {
        match action {
            Action::Append(byte) => self.texts.entry(*key).or_default().push(*byte),
            Action::Add(n) => {
                let number = self.numbers.entry(*key).or_default();
                *number = number.wrapping_add(*n);
            }
            Action::ClearText => drop(self.texts.remove(key)),
            Action::TakeNumber => drop(self.numbers.remove(key)),
            Action::SetTimer(at) => drop(self.timers.insert((*at, key.to_le_bytes()))),
            Action::DeleteTimer(at) => drop(self.timers.remove(&(*at, key.to_le_bytes()))),
            Action::Look => {}
        }
        self.seen(*key, -1)
    }

    fn advance(&mut self, watermark: i64) -> Vec<Seen> {
        let mut fired = Vec::new();
        if watermark <= self.watermark {
            return fired;
        }
        self.watermark = watermark;
        loop {
            // Due timers are delivered in chunks. One that is set meanwhile fires after its chunk, one that is deleted
            // does not.
            let due = self.timers.iter().copied().take_while(|(at, _)| *at <= self.watermark);
            let mut chunk: BTreeSet<(i64, [u8; 2])> = due.take(TIMER_CHUNK).collect();
            if chunk.is_empty() {
                return fired;
            }
            self.timers.retain(|timer| !chunk.contains(timer));
            while let Some((at, bytes)) = chunk.pop_first() {
                let key = u16::from_le_bytes(bytes);
                fired.push(self.seen(key, at));
                let number = self.numbers.entry(key).or_default();
                *number = number.wrapping_add(1);
                if at % 5 == 0 {
                    let _ = chunk.remove(&(at + 1, bytes)) || self.timers.remove(&(at + 1, bytes));
                    let _ = chunk.contains(&(at + 3, bytes)) || self.timers.insert((at + 3, bytes));
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Command {
    Batch(Vec<Record>),
    Watermark(i64),
    Flush,
    Discard,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => any::<u8>().prop_map(Action::Append),
        3 => any::<i64>().prop_map(Action::Add),
        1 => Just(Action::ClearText),
        1 => Just(Action::TakeNumber),
        2 => (0i64..60).prop_map(Action::SetTimer),
        1 => (0i64..60).prop_map(Action::DeleteTimer),
        2 => Just(Action::Look),
    ]
}

fn commands(keys: u16) -> impl Strategy<Value = Vec<Command>> {
    let batch = prop::collection::vec((0..keys, action()), 1..20).prop_map(Command::Batch);
    let command = prop_oneof![
        6 => batch,
        1 => (0i64..70).prop_map(Command::Watermark),
        1 => Just(Command::Flush),
        2 => Just(Command::Discard),
    ];
    prop::collection::vec(command, 1..40)
}

fn run(commands: Vec<Command>, cache_bytes: u32) -> u64 {
    let mut harness =
        OperatorHarness::with_cache(cache_bytes, |rows: Stream<Record>| rows.key_by(|row| row.0).process(Actor))
            .unwrap();
    let mut model = Model { watermark: i64::MIN, ..Model::default() };
    for command in commands {
        let expected = match command {
            Command::Batch(rows) => {
                let expected = rows.iter().map(|row| model.process(row)).collect();
                harness.push_batch(rows.into_iter().map(|row| (row, 0))).unwrap();
                expected
            }
            Command::Watermark(at) => {
                harness.watermark(at).unwrap();
                model.advance(at)
            }
            Command::Flush => {
                harness.flush().unwrap();
                Vec::new()
            }
            Command::Discard => {
                harness.discard_instance().unwrap();
                Vec::new()
            }
        };
        assert_eq!(harness.take_outputs().unwrap(), expected);
    }
    harness.state_reads()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn state_is_what_a_plain_map_would_hold(commands in commands(12), cache_bytes in prop_oneof![0u32..4000, Just(1 << 20)]) {
        run(commands, cache_bytes);
    }

    #[test]
    fn many_keys_in_a_tiny_cache(commands in commands(2000), cache_bytes in 0u32..3000) {
        run(commands, cache_bytes);
    }
}

#[test]
fn a_cache_that_holds_everything_reads_nothing_by_key() {
    let rows = |from: u16| Command::Batch((from..from + 100).map(|key| (key, Action::Add(1))).collect());
    let commands =
        vec![rows(0), Command::Flush, rows(50), Command::Discard, rows(100), rows(300), Command::Discard, rows(0)];
    assert_eq!(run(commands, 1 << 20), 0);
}

#[test]
fn a_cache_that_is_too_small_reads_each_state_once_a_batch() {
    let rows = |from: u16| Command::Batch((from..from + 100).map(|key| (key, Action::Add(1))).collect());
    let commands: Vec<Command> = (0..20).map(|round| rows(round * 100)).chain([rows(0), rows(500)]).collect();
    let reads = run(commands, 20_000);
    assert!((2..=44).contains(&reads), "{reads} reads for 22 batches and 2 states");
}
