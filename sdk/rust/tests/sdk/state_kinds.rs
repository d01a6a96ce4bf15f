//! One operator with every kind of state, against a plain model: whatever is flushed, evicted, discarded and expired in
//! between, the operator sees what it would see if all state had stayed in its memory.

use std::collections::BTreeMap;

use millrace::prelude::*;
use millrace::testing::OperatorHarness;
use proptest::prelude::*;

/// How long the expiring states live, in milliseconds.
const TTL_MS: i64 = 50;

/// What a record does.
#[derive(Clone, Debug, Data)]
enum Action {
    ListAdd(u8),
    ListUpdate(Vec<u8>),
    ListGet,
    MapPut(u8, u32),
    MapModify(u8),
    MapRemove(u8),
    MapGet(u8),
    MapEntries,
    MapIsEmpty,
    MapClear,
    Reduce(u32),
    Aggregate(u32),
    ClearBoth,
    SetExpiring(u32),
    ModifyExpiring(u32),
    LookExpiring,
    AddExpiring(u8),
    LookExpiringList,
    PutExpiring(u8, u32),
    GetExpiring(u8),
    ExpiringEntries,
    PushToSubtask(u32),
    UpdateSubtask(Vec<u32>),
    PushToUnion(u32),
    LookAtSubtask,
    RulePut(u8, u32),
    RuleRemove(u8),
    RuleClear,
    LookAtRules,
}

impl Action {
    fn is_broadcast(&self) -> bool {
        matches!(self, Self::RulePut(..) | Self::RuleRemove(_) | Self::RuleClear)
    }
}

/// (key, action).
type Record = (u16, Action);
/// (key, what was seen).
type Seen = (u16, String);

struct Longest;

impl AggregateFunction<u32> for Longest {
    type Accumulator = (u32, u64);
    type Output = String;

    fn create(&self) -> (u32, u64) {
        (0, 0)
    }

    fn add(&self, (count, sum): &mut (u32, u64), value: u32) {
        *count += 1;
        *sum += u64::from(value);
    }

    fn merge(&self, (count, sum): &mut (u32, u64), other: (u32, u64)) {
        *count += other.0;
        *sum += other.1;
    }

    fn result(&self, (count, sum): (u32, u64)) -> String {
        format!("{count}:{sum}")
    }
}

struct Actor;

struct Handles {
    list: ListState<u8>,
    map: MapState<Vec<u8>, u32>,
    reduced: ReducingState<u32>,
    aggregated: AggregatingState<u32, Longest>,
    expiring: ValueState<u32>,
    expiring_list: ListState<u8>,
    expiring_map: MapState<Vec<u8>, u32>,
    subtask: OperatorListState<u32>,
    union: OperatorListState<u32>,
    rules: BroadcastState<u8, u32>,
}

/// Short keys of maps and long ones.
fn map_key(n: u8) -> Vec<u8> {
    vec![n; if n.is_multiple_of(3) { 30 } else { 2 }]
}

fn shown(seen: impl std::fmt::Debug) -> Result<String> {
    Ok(format!("{seen:?}"))
}

impl Actor {
    fn act(states: &Handles, action: Action) -> Result<String> {
        match action {
            Action::ListAdd(element) => states.list.add(element),
            Action::ListUpdate(elements) => states.list.update(elements),
            Action::ListGet => return shown(states.list.get()?),
            Action::MapPut(key, value) => states.map.put(&map_key(key), value),
            Action::MapModify(key) => {
                states.map.modify(&map_key(key), |value| *value = value.map_or(Some(1), |n| n.checked_add(1)))?;
            }
            Action::MapRemove(key) => states.map.remove(&map_key(key)),
            Action::MapGet(key) => return shown((states.map.get(&map_key(key))?, states.map.contains(&map_key(key))?)),
            Action::MapEntries => {
                let (keys, values) = (states.map.keys()?, states.map.values()?);
                let entries = states.map.entries()?;
                assert!(entries.iter().map(|(key, _)| key).eq(&keys));
                assert!(entries.iter().map(|(_, value)| value).eq(&values));
                return shown(entries);
            }
            Action::MapIsEmpty => return shown(states.map.is_empty()?),
            Action::MapClear => states.map.clear(),
            Action::Reduce(value) => states.reduced.add(value),
            Action::Aggregate(value) => states.aggregated.add(value),
            Action::ClearBoth => {
                let seen = (states.reduced.get(), states.aggregated.get());
                states.reduced.clear();
                states.aggregated.clear();
                return shown(seen);
            }
            Action::SetExpiring(value) => states.expiring.set(value),
            Action::ModifyExpiring(by) => states.expiring.modify(|value| *value = Some(value.unwrap_or(0) ^ by)),
            Action::LookExpiring => return shown((states.expiring.exists(), states.expiring.get())),
            Action::AddExpiring(element) => states.expiring_list.add(element),
            Action::LookExpiringList => return shown(states.expiring_list.get()?),
            Action::PutExpiring(key, value) => states.expiring_map.put(&map_key(key), value),
            Action::GetExpiring(key) => return shown(states.expiring_map.get(&map_key(key))?),
            Action::ExpiringEntries => {
                let is_empty = states.expiring_map.is_empty()?;
                let entries = states.expiring_map.entries()?;
                assert_eq!(is_empty, entries.is_empty());
                return shown(entries);
            }
            Action::PushToSubtask(value) => states.subtask.add(value)?,
            Action::UpdateSubtask(values) => states.subtask.update(values)?,
            Action::PushToUnion(value) => states.union.add(value)?,
            Action::LookAtSubtask => return shown((states.subtask.get()?, states.union.get()?)),
            Action::LookAtRules => {
                assert!(states.rules.put(0, 0).is_err(), "a record cannot change what is broadcast");
                return shown(states.rules.entries()?);
            }
            Action::RulePut(..) | Action::RuleRemove(_) | Action::RuleClear => {}
        }
        Ok(String::new())
    }
}

impl KeyedBroadcastProcessFunction<u16, Record, Record> for Actor {
    type Output = Seen;
    type States = Handles;

    fn open(&self, states: &mut States) -> Result<Handles> {
        let ttl = StateTtlConfig::new(TTL_MS);
        Ok(Handles {
            list: states.list("list")?,
            subtask: states.operator_list("subtask")?,
            map: states.map("map")?,
            reduced: states.reducing("reduced", u32::max)?,
            aggregated: states.aggregating("aggregated", Longest)?,
            expiring: states.with_ttl(ttl.update_type(UpdateType::OnReadAndWrite)).value("expiring")?,
            union: states.union_list("union")?,
            expiring_list: states.with_ttl(ttl).list("expiring-list")?,
            rules: states.broadcast("rules")?,
            expiring_map: states.with_ttl(ttl).map("expiring-map")?,
        })
    }

    fn process_element(
        &self,
        states: &Handles,
        (key, action): Record,
        ctx: &mut KeyedContext<u16, Seen>,
    ) -> Result<()> {
        ctx.collect((key, Self::act(states, action)?));
        Ok(())
    }

    fn process_broadcast(
        &self,
        states: &Handles,
        (_, action): Record,
        _: &mut BroadcastContext<'_, u16, Seen>,
    ) -> Result<()> {
        match action {
            Action::RulePut(key, value) => states.rules.put(key, value),
            Action::RuleRemove(key) => states.rules.remove(&key),
            _ => states.rules.clear(),
        }
    }
}

/// What a key has, plainly.
#[derive(Default)]
struct OfKey {
    list: Vec<u8>,
    map: BTreeMap<Vec<u8>, u32>,
    reduced: Option<u32>,
    aggregated: Option<(u32, u64)>,
    /// With the times when they expire.
    expiring: Option<(u32, i64)>,
    expiring_list: Vec<(u8, i64)>,
    expiring_map: BTreeMap<Vec<u8>, (u32, i64)>,
}

#[derive(Default)]
struct Model {
    keys: BTreeMap<u16, OfKey>,
    subtask: Vec<u32>,
    union: Vec<u32>,
    rules: BTreeMap<u8, u32>,
    now_ms: i64,
}

/// The order of a map's entries: that of the bytes of their keys, in which the length comes first.
fn in_order<V: Clone>(map: &BTreeMap<Vec<u8>, V>) -> Vec<(Vec<u8>, V)> {
    let mut entries: Vec<(Vec<u8>, V)> = map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    entries.sort_by_key(|(key, _)| key.to_bytes());
    entries
}

impl Model {
    fn act(&mut self, key: u16, action: &Action) -> Result<String> {
        let (now, expires) = (self.now_ms, self.now_ms + TTL_MS);
        let of_key = self.keys.entry(key).or_default();
        of_key.expiring = of_key.expiring.filter(|(_, at)| *at > now);
        of_key.expiring_list.retain(|(_, at)| *at > now);
        of_key.expiring_map.retain(|_, (_, at)| *at > now);
        match action.clone() {
            Action::ListAdd(element) => of_key.list.push(element),
            Action::ListUpdate(elements) => of_key.list = elements,
            Action::ListGet => return shown(&of_key.list),
            Action::MapPut(key, value) => drop(of_key.map.insert(map_key(key), value)),
            Action::MapModify(key) => *of_key.map.entry(map_key(key)).or_default() += 1,
            Action::MapRemove(key) => drop(of_key.map.remove(&map_key(key))),
            Action::MapGet(key) => {
                let value = of_key.map.get(&map_key(key));
                return shown((value, value.is_some()));
            }
            Action::MapEntries => return shown(in_order(&of_key.map)),
            Action::MapIsEmpty => return shown(of_key.map.is_empty()),
            Action::MapClear => of_key.map.clear(),
            Action::Reduce(value) => of_key.reduced = of_key.reduced.max(Some(value)),
            Action::Aggregate(value) => {
                let (count, sum) = of_key.aggregated.unwrap_or((0, 0));
                of_key.aggregated = Some((count + 1, sum + u64::from(value)));
            }
            Action::ClearBoth => {
                let aggregated = of_key.aggregated.take().map(|(count, sum)| format!("{count}:{sum}"));
                return shown((of_key.reduced.take(), aggregated));
            }
            Action::SetExpiring(value) => of_key.expiring = Some((value, expires)),
            Action::ModifyExpiring(by) => {
                of_key.expiring = Some((of_key.expiring.map_or(0, |(value, _)| value) ^ by, expires));
            }
            Action::LookExpiring => {
                of_key.expiring = of_key.expiring.map(|(value, _)| (value, expires));
                return shown((of_key.expiring.is_some(), of_key.expiring.map(|(value, _)| value)));
            }
            Action::AddExpiring(element) => of_key.expiring_list.push((element, expires)),
            Action::LookExpiringList => {
                return shown(of_key.expiring_list.iter().map(|(element, _)| *element).collect::<Vec<u8>>());
            }
            Action::PutExpiring(key, value) => drop(of_key.expiring_map.insert(map_key(key), (value, expires))),
            Action::GetExpiring(key) => return shown(of_key.expiring_map.get(&map_key(key)).map(|(value, _)| *value)),
            Action::ExpiringEntries => {
                let entries = in_order(&of_key.expiring_map).into_iter();
                return shown(entries.map(|(key, (value, _))| (key, value)).collect::<Vec<_>>());
            }
            Action::PushToSubtask(value) => self.subtask.push(value),
            Action::UpdateSubtask(values) => self.subtask = values,
            Action::PushToUnion(value) => self.union.push(value),
            Action::LookAtSubtask => return shown((&self.subtask, &self.union)),
            Action::LookAtRules => return shown(self.rules.iter().collect::<Vec<_>>()),
            Action::RulePut(key, value) => drop(self.rules.insert(key, value)),
            Action::RuleRemove(key) => drop(self.rules.remove(&key)),
            Action::RuleClear => self.rules.clear(),
        }
        Ok(String::new())
    }
}

#[derive(Clone, Debug)]
enum Command {
    Batch(Vec<Record>),
    Advance(i64),
    Flush,
    Discard,
}

fn element() -> impl Strategy<Value = Action> {
    let (n, value) = (|| 0u8..7, any::<u32>);
    prop_oneof![
        1 => prop_oneof![
            4 => any::<u8>().prop_map(Action::ListAdd),
            1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(Action::ListUpdate),
            2 => Just(Action::ListGet),
        ],
        2 => prop_oneof![
            6 => (n(), 0u32..1000).prop_map(|(key, value)| Action::MapPut(key, value)),
            3 => n().prop_map(Action::MapModify),
            4 => n().prop_map(Action::MapRemove),
            3 => n().prop_map(Action::MapGet),
            4 => Just(Action::MapEntries),
            2 => Just(Action::MapIsEmpty),
            1 => Just(Action::MapClear),
        ],
        1 => prop_oneof![value().prop_map(Action::Reduce), value().prop_map(Action::Aggregate), Just(Action::ClearBoth)],
        2 => prop_oneof![
            value().prop_map(Action::SetExpiring),
            value().prop_map(Action::ModifyExpiring),
            Just(Action::LookExpiring),
            any::<u8>().prop_map(Action::AddExpiring),
            Just(Action::LookExpiringList),
            (n(), value()).prop_map(|(key, value)| Action::PutExpiring(key, value)),
            n().prop_map(Action::GetExpiring),
            Just(Action::ExpiringEntries),
        ],
        1 => prop_oneof![
            3 => value().prop_map(Action::PushToSubtask),
            1 => prop::collection::vec(any::<u32>(), 0..4).prop_map(Action::UpdateSubtask),
            1 => value().prop_map(Action::PushToUnion),
            2 => Just(Action::LookAtSubtask),
            2 => Just(Action::LookAtRules),
        ],
    ]
}

fn broadcast() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0u8..7, any::<u32>()).prop_map(|(key, value)| Action::RulePut(key, value)),
        2 => (0u8..7).prop_map(Action::RuleRemove),
        1 => Just(Action::RuleClear),
    ]
}

fn commands(keys: u16) -> impl Strategy<Value = Vec<Command>> {
    let command = prop_oneof![
        8 => prop::collection::vec((0..keys, element()), 1..30).prop_map(Command::Batch),
        1 => prop::collection::vec((Just(0), broadcast()), 1..4).prop_map(Command::Batch),
        2 => (0i64..40).prop_map(Command::Advance),
        1 => Just(Command::Flush),
        2 => Just(Command::Discard),
    ];
    prop::collection::vec(command, 1..50)
}

fn run(commands: Vec<Command>, cache_bytes: u32) {
    let mut harness = OperatorHarness::with_cache(cache_bytes, |rows: Stream<Record>| {
        let rules = rows.filter(|(_, action)| action.is_broadcast());
        let elements = rows.filter(|(_, action)| !action.is_broadcast());
        elements.key_by(|row| row.0).connect_broadcast(&rules).process(Actor)
    })
    .unwrap();
    let mut model = Model::default();
    for command in commands {
        let mut expected = Vec::new();
        match command {
            Command::Batch(rows) => {
                for (key, action) in &rows {
                    let seen = model.act(*key, action).unwrap();
                    if !action.is_broadcast() {
                        expected.push((*key, seen));
                    }
                }
                harness.push_batch(rows.into_iter().map(|row| (row, 0))).unwrap();
            }
            Command::Advance(by) => {
                model.now_ms += by;
                harness.set_processing_time(model.now_ms).unwrap();
            }
            Command::Flush => harness.flush().unwrap(),
            Command::Discard => harness.discard_instance().unwrap(),
        }
        assert_eq!(harness.take_outputs().unwrap(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn state_of_every_kind_is_what_plain_collections_would_hold(
        commands in commands(4),
        cache_bytes in prop_oneof![0u32..20_000, Just(1 << 20)],
    ) {
        run(commands, cache_bytes);
    }

    #[test]
    fn many_keys_in_a_tiny_cache(commands in commands(60), cache_bytes in 0u32..8000) {
        run(commands, cache_bytes);
    }
}
