//! The table within its store, against a plain map.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::batch::{BatchReader, BatchWriter};
use crate::state::registry::States;
use crate::state::store::KeyedStore;
use crate::testing::host::ToyHost;

/// Short sub-keys and long ones.
fn namespace(n: u8) -> Vec<u8> {
    vec![n; if n.is_multiple_of(4) { 40 } else { 3 }]
}

type Table = NamespacedTable<Vec<u8>, u32>;

#[derive(Clone, Debug)]
enum Action {
    Add(u8, u32),
    Set(u8, u32),
    Take(u8),
    Remove(u8),
    Clear,
    Look(u8),
    LookAtAll,
    IsEmpty,
}

#[derive(Clone, Debug)]
enum Command {
    Batch(Vec<(u64, Action)>),
    Flush,
    Reopen,
}

fn open(host: &Rc<ToyHost>, budget_bytes: usize) -> (KeyedStore<u64>, Rc<RefCell<Table>>) {
    let backing = Backing::new(Rc::clone(host) as Rc<dyn crate::host::Host>);
    let mut states = States::new(backing, 0, Some(u64::describe));
    let table = states.namespaced("entries", "test").unwrap();
    (KeyedStore::new(states, budget_bytes), table)
}

/// Does what a row says, to the table and to the model.
fn act(table: &mut Table, slot: u32, wanted: Option<u32>, action: &Action, of_key: &mut BTreeMap<Vec<u8>, u32>) {
    match action {
        Action::Add(n, by) => {
            // Its row was wanted ahead, as windows are.
            let value = table.value_mut(wanted.unwrap());
            *value = Some(value.unwrap_or(0).wrapping_add(*by));
            let sum = of_key.entry(namespace(*n)).or_default();
            *sum = sum.wrapping_add(*by);
            assert_eq!(table.value(wanted.unwrap()).as_ref(), Some(&*sum));
        }
        Action::Set(n, value) => {
            table.set(slot, &namespace(*n), *value);
            of_key.insert(namespace(*n), *value);
        }
        Action::Take(n) => {
            let entry = table.entry(slot, &namespace(*n)).unwrap();
            assert_eq!(table.take(entry), of_key.remove(&namespace(*n)));
        }
        Action::Remove(n) => {
            table.remove(slot, &namespace(*n));
            of_key.remove(&namespace(*n));
        }
        Action::Clear => {
            table.clear(slot);
            of_key.clear();
        }
        Action::Look(n) => {
            let entry = table.entry(slot, &namespace(*n)).unwrap();
            assert_eq!(table.value(entry).as_ref(), of_key.get(&namespace(*n)));
        }
        Action::LookAtAll => {
            let found = table.entries_of(slot).unwrap().into_iter();
            let found: BTreeMap<Vec<u8>, u32> = found.map(|(n, entry)| (n, table.value(entry).unwrap())).collect();
            assert_eq!(&found, of_key);
        }
        Action::IsEmpty => assert_eq!(table.is_empty(slot).unwrap(), of_key.is_empty()),
    }
}

fn run(commands: &[Command], budget_bytes: usize) -> u64 {
    let host = Rc::new(ToyHost::new(128));
    let mut model: BTreeMap<u64, BTreeMap<Vec<u8>, u32>> = BTreeMap::new();
    let (mut store, mut table) = open(&host, budget_bytes);
    for command in commands {
        match command {
            Command::Flush => store.flush(),
            Command::Reopen => {
                store.flush();
                (store, table) = open(&host, budget_bytes);
            }
            Command::Batch(rows) => {
                let mut batch = BatchWriter::new(false, true);
                rows.iter().for_each(|(key, _)| batch.row(0, &key.to_le_bytes(), &[]));
                store.prepare(&BatchReader::new(batch.finish()).unwrap()).unwrap();
                let mut wanted = Vec::new();
                for ((_, action), slot) in rows.iter().zip(store.rows()) {
                    let Action::Add(n, _) = action else {
                        wanted.push(None);
                        continue;
                    };
                    wanted.push(Some(table.borrow_mut().want(*slot, &namespace(*n))));
                }
                table.borrow_mut().fetch().unwrap();
                for (row, (key, action)) in rows.iter().enumerate() {
                    let slot = store.select(row);
                    act(&mut table.borrow_mut(), slot, wanted[row], action, model.entry(*key).or_default());
                }
                store.end_call();
            }
        }
        assert_eq!(host.fault(), None);
    }
    store.flush();
    let held = host.entries(0);
    let expected = model.iter().flat_map(|(key, entries)| {
        entries.iter().map(|(n, value)| {
            let state_key = [&8u32.to_le_bytes(), &key.to_le_bytes()[..], &n.to_bytes()].concat();
            (state_key, value.to_bytes())
        })
    });
    assert_eq!(held, expected.collect());
    host.gets()
}

fn action() -> impl Strategy<Value = Action> {
    let n = || 0u8..9;
    prop_oneof![
        4 => (n(), any::<u32>()).prop_map(|(n, by)| Action::Add(n, by)),
        3 => (n(), any::<u32>()).prop_map(|(n, value)| Action::Set(n, value)),
        2 => n().prop_map(Action::Take),
        2 => n().prop_map(Action::Remove),
        1 => Just(Action::Clear),
        2 => n().prop_map(Action::Look),
        2 => Just(Action::LookAtAll),
        1 => Just(Action::IsEmpty),
    ]
}

fn commands(keys: u64) -> impl Strategy<Value = Vec<Command>> {
    let command = prop_oneof![
        6 => prop::collection::vec((0..keys, action()), 1..20).prop_map(Command::Batch),
        1 => Just(Command::Flush),
        1 => Just(Command::Reopen),
    ];
    prop::collection::vec(command, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn entries_are_what_a_map_would_hold(
        commands in commands(6),
        budget_bytes in prop_oneof![0usize..6000, Just(1usize << 20)],
    ) {
        run(&commands, budget_bytes);
    }

    #[test]
    fn many_keys_in_a_tiny_cache(commands in commands(1000), budget_bytes in 0usize..4000) {
        run(&commands, budget_bytes);
    }
}

#[test]
fn a_batch_reads_what_it_misses_at_once_and_a_complete_cache_reads_nothing() {
    let adds = |keys: std::ops::Range<u64>| Command::Batch(keys.map(|key| (key, Action::Add(1, 1))).collect());
    let commands = [adds(0..100), adds(50..150), Command::Reopen, adds(0..200)];
    assert_eq!(run(&commands, 1 << 20), 0);
    let commands: Vec<Command> = (0..20).map(|round| adds(round * 100..round * 100 + 100)).collect();
    let reads = run(&commands, 20_000);
    assert!((1..=20).contains(&reads), "{reads} reads for 20 batches");
}

#[test]
fn keys_whose_entries_are_gone_are_forgotten() {
    let host = Rc::new(ToyHost::new(128));
    let (mut store, table) = open(&host, 1 << 20);
    for round in 0..50u64 {
        let mut batch = BatchWriter::new(false, true);
        batch.row(0, &round.to_le_bytes(), &[]);
        let batch = BatchReader::new(batch.finish()).unwrap();
        store.prepare(&batch).unwrap();
        let slot = store.select(0);
        table.borrow_mut().set(slot, &namespace(1), 7);
        store.end_call();
        if round % 2 == 0 {
            store.flush();
        }
        store.prepare(&batch).unwrap();
        let slot = store.select(0);
        table.borrow_mut().remove(slot, &namespace(1));
        store.end_call();
    }
    store.flush();
    store.end_call();
    assert_eq!((table.borrow().weight(), table.borrow().dirty_weight(), store.len()), (0, 0, 0));
}
