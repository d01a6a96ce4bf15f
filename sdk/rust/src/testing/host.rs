//! A host that keeps everything in memory and checks what it is given.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64;

use crate::batch::{BatchReader, BatchWriter};
use crate::host::{Clock, Host, Level};
use crate::runtime::{StateDescriptor, StateKind};

/// What an instance has handed over, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Batch { node: u32, port: u32, bytes: Vec<u8> },
    Watermark { node: u32, timestamp: i64 },
}

/// A timer: timestamp, key and namespace.
type Timer = (i64, Vec<u8>, Vec<u8>);
/// Values by key group and state key.
type Values = BTreeMap<(u64, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct Inner {
    descriptors: Vec<StateDescriptor>,
    states: BTreeMap<u32, Values>,
    timers: BTreeMap<(u32, Clock), BTreeSet<Timer>>,
    outputs: Vec<Output>,
    now_ms: i64,
    max_parallelism: u64,
    /// A flush runs: nothing may be emitted.
    is_flushing: bool,
    faults: Vec<String>,
    gets: u64,
}

/// The host of one subtask.
pub(crate) struct ToyHost {
    inner: RefCell<Inner>,
}

/// The key group of a key.
pub(super) fn key_group(key: &[u8], max_parallelism: u64) -> u64 {
    xxh3_64(key) % max_parallelism
}

/// Where an entry lives: the key group of its key, and its state key.
fn place(state_key: &[u8], max_parallelism: u64) -> Option<(u64, Vec<u8>)> {
    let (length, rest) = state_key.split_first_chunk()?;
    let key = rest.get(..u32::from_le_bytes(*length) as usize)?;
    Some((key_group(key, max_parallelism), state_key.to_vec()))
}

impl Inner {
    fn expires(&self, state: u32) -> bool {
        self.descriptors.get(state as usize).is_some_and(|descriptor| descriptor.expires)
    }

    /// Drops what is expired: as soon as a host may.
    fn drop_expired(&mut self) {
        for state in 0..self.descriptors.len() as u32 {
            let (expires, now_ms) = (self.expires(state), self.now_ms);
            let values = self.states.entry(state).or_default();
            values.retain(|_, value| !expires || expiry(value).is_some_and(|at| at > now_ms));
        }
    }

    /// Notes lists whose positions have gaps.
    fn check_positions(&mut self) {
        for (state, descriptor) in (0..).zip(&self.descriptors) {
            let is_list = matches!(descriptor.kind, StateKind::List | StateKind::Union);
            let values = self.states.get(&state).into_iter().filter(|_| is_list).flat_map(BTreeMap::keys);
            let state_key = |position: u32| [&[0; 4][..], &position.to_be_bytes()].concat();
            if values.zip(0..).any(|((_, found), position)| *found != state_key(position)) {
                self.faults.push(format!("put: the positions of the list '{}' have gaps", descriptor.name));
            }
        }
    }
}

/// The time with which a value that expires begins.
fn expiry(value: &[u8]) -> Option<i64> {
    value.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

impl ToyHost {
    pub fn new(max_parallelism: u32) -> Self {
        let inner = Inner { max_parallelism: max_parallelism.max(1).into(), ..Inner::default() };
        Self { inner: RefCell::new(inner) }
    }

    pub fn take_outputs(&self) -> Vec<Output> {
        std::mem::take(&mut self.inner.borrow_mut().outputs)
    }

    /// The first thing that the instance did wrong.
    pub fn fault(&self) -> Option<String> {
        self.inner.borrow().faults.first().cloned()
    }

    /// Says what the states are, by id.
    pub fn set_states(&self, descriptors: &[StateDescriptor]) {
        self.inner.borrow_mut().descriptors = descriptors.to_vec();
    }

    pub fn begin_flush(&self) {
        self.inner.borrow_mut().is_flushing = true;
    }

    /// Behind a flush everything is here: it is looked over.
    pub fn end_flush(&self) {
        let inner = &mut *self.inner.borrow_mut();
        inner.is_flushing = false;
        inner.check_positions();
        inner.drop_expired();
    }

    pub fn set_now_ms(&self, now_ms: i64) {
        self.inner.borrow_mut().now_ms = now_ms;
    }

    /// How many reads by keys there were.
    pub fn gets(&self) -> u64 {
        self.inner.borrow().gets
    }

    /// What the host holds of a state, by state key.
    #[cfg(test)]
    pub fn entries(&self, state: u32) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let inner = self.inner.borrow();
        let entries = inner.states.get(&state).into_iter().flatten();
        entries.map(|((_, state_key), value)| (state_key.clone(), value.clone())).collect()
    }

    /// How many entries of state and how many timers there are.
    pub fn kept(&self) -> (usize, usize) {
        let inner = self.inner.borrow();
        let entries = inner.states.values().map(BTreeMap::len).sum();
        (entries, inner.timers.values().map(BTreeSet::len).sum())
    }

    /// Takes timers of a node up to a time, in order, a chunk at a time.
    pub fn take_due(&self, node: u32, clock: Clock, up_to: i64, chunk: usize) -> Option<Vec<u8>> {
        let mut inner = self.inner.borrow_mut();
        let timers = inner.timers.get_mut(&(node, clock))?;
        let mut batch = BatchWriter::new(true, true);
        while batch.len() < chunk && timers.first().is_some_and(|(timestamp, _, _)| *timestamp <= up_to) {
            let (timestamp, key, namespace) = timers.pop_first()?;
            batch.row(timestamp, &key, &namespace);
        }
        (!batch.is_empty()).then(|| batch.finish().to_vec())
    }

    /// Reads a batch, noting what is wrong with it.
    fn read<'a>(&self, what: &str, bytes: &'a [u8], is_keyed: bool) -> Option<BatchReader<'a>> {
        let fault = match BatchReader::new(bytes) {
            Ok(batch) if batch.is_keyed() == is_keyed => return Some(batch),
            Ok(_) => "wrong flags".to_owned(),
            Err(error) => error.to_string(),
        };
        self.inner.borrow_mut().faults.push(format!("{what}: {fault}"));
        None
    }
}

impl Host for ToyHost {
    fn emit(&self, node: u32, port: u32, batch: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        if inner.is_flushing {
            inner.faults.push("emit during a flush".to_owned());
        }
        inner.outputs.push(Output::Batch { node, port, bytes: batch.to_vec() });
    }

    fn emit_watermark(&self, node: u32, timestamp: i64) {
        self.inner.borrow_mut().outputs.push(Output::Watermark { node, timestamp });
    }

    fn get(&self, state: u32, keys: &[u8]) -> Vec<u8> {
        let mut answer = BatchWriter::new(false, false);
        if let Some(keys) = self.read("get", keys, true) {
            let mut inner = self.inner.borrow_mut();
            inner.gets += 1;
            let groups = inner.max_parallelism;
            let values = inner.states.entry(state).or_default();
            for row in keys.rows() {
                let Some(place) = place(row.key, groups) else {
                    inner.faults.push("get: a row has no state key".to_owned());
                    break;
                };
                let value = values.get(&place);
                let payload = value.map_or(vec![0], |value| [&[1], value.as_slice()].concat());
                answer.row(0, &[], &payload);
            }
        }
        answer.finish().to_vec()
    }

    fn scan(&self, state: u32, prefix: &[u8], after: Option<&[u8]>, bytes_max: u32) -> Vec<u8> {
        let inner = self.inner.borrow();
        let mut answer = BatchWriter::new(false, true);
        let after = after.and_then(|key| place(key, inner.max_parallelism));
        for (place, value) in inner.states.get(&state).into_iter().flatten() {
            if after.as_ref().is_some_and(|after| place <= after) || !place.1.starts_with(prefix) {
                continue;
            }
            answer.row(0, &place.1, value);
            if answer.size_bytes() >= bytes_max as usize {
                break;
            }
        }
        answer.finish().to_vec()
    }

    fn put(&self, state: u32, changes: &[u8]) {
        let Some(changes) = self.read("put", changes, true) else { return };
        let mut inner = self.inner.borrow_mut();
        let groups = inner.max_parallelism;
        for row in changes.rows() {
            let Some(place) = place(row.key, groups) else {
                inner.faults.push("put: a row has no state key".to_owned());
                return;
            };
            let expires = inner.expires(state);
            let values = inner.states.entry(state).or_default();
            match row.payload.split_first() {
                Some((1 | 2, value)) if expires && value.len() < 8 && !values.contains_key(&place) => {
                    inner.faults.push("put: a value that expires does not begin with the time".to_owned());
                }
                Some((0, [])) => drop(values.remove(&place)),
                Some((1, value)) => drop(values.insert(place, value.to_vec())),
                Some((2, more)) => values.entry(place).or_default().extend_from_slice(more),
                Some((3, [])) => values.retain(|other, _| other.0 != place.0 || !other.1.starts_with(&place.1)),
                _ => inner.faults.push("put: a row is no change".to_owned()),
            }
        }
    }

    fn set_timers(&self, node: u32, clock: Clock, changes: &[u8]) {
        let Some(changes) = self.read("set-timers", changes, true) else { return };
        let mut inner = self.inner.borrow_mut();
        for row in changes.rows() {
            let timer = |namespace: &[u8]| (row.timestamp, row.key.to_vec(), namespace.to_vec());
            let timers = inner.timers.entry((node, clock)).or_default();
            match row.payload.split_first() {
                Some((0, namespace)) => drop(timers.remove(&timer(namespace))),
                Some((1, namespace)) => drop(timers.insert(timer(namespace))),
                _ => inner.faults.push("set-timers: a row is no change".to_owned()),
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.inner.borrow().now_ms
    }

    fn log(&self, _: Level, _: &str) {}
}
