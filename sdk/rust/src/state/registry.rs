//! Declaring the states of an operator.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::backing::Backing;
use super::broadcast::{BroadcastState, BroadcastTable};
use super::cached::{CachedState, OperatorState};
use super::list::{ListState, Lists};
use super::list_table::ListTable;
use super::map::{Entries, MapState};
use super::namespaced::NamespacedTable;
use super::operator_list::{OperatorListState, OperatorListTable};
use super::table::ValueTable;
use super::ttl::{StateTtlConfig, Timed, TimedList, Ttl};
use super::value::{AggregatingState, CurrentSlot, ReducingState, ValueState, Values};
use crate::data::{Data, Fingerprint};
use crate::error::{Error, Result};
use crate::operator::AggregateFunction;
use crate::runtime::StateKind;

/// A state that was declared. Its id in the host is its position among those of the instance.
pub(crate) struct Declared {
    pub name: String,
    pub fingerprint: String,
    pub kind: StateKind,
    pub expires: bool,
}

/// Where an operator declares its states when it is opened.
///
/// A state's name is unique within the operator and stays the same between versions of the application: it is by the name
/// that the state is found again.
pub struct States {
    /// The id in the host of the first state declared here.
    first_id: u32,
    /// None: the operator has no keys.
    describe_key: Option<fn(&mut Fingerprint)>,
    pub(crate) current: Rc<Cell<u32>>,
    /// Whether broadcast state may be changed at the moment.
    pub(crate) is_writable: Rc<Cell<bool>>,
    pub(crate) backing: Rc<Backing>,
    pub(crate) tables: Vec<Rc<RefCell<dyn CachedState>>>,
    pub(crate) operator_tables: Vec<Rc<RefCell<dyn OperatorState>>>,
    /// In the order of the ids.
    pub(crate) declared: Vec<Declared>,
    /// For the next state.
    ttl: Option<StateTtlConfig>,
}

impl States {
    pub(crate) fn new(backing: Rc<Backing>, first_id: u32, describe_key: Option<fn(&mut Fingerprint)>) -> Self {
        Self {
            first_id,
            describe_key,
            current: Rc::new(Cell::new(super::value::NO_SLOT)),
            is_writable: Rc::new(Cell::new(true)),
            backing,
            tables: Vec::new(),
            operator_tables: Vec::new(),
            declared: Vec::new(),
            ttl: None,
        }
    }

    /// Lets the state that is declared next expire.
    pub fn with_ttl(&mut self, ttl: StateTtlConfig) -> &mut Self {
        self.ttl = Some(ttl);
        self
    }

    /// A state with one value a key.
    pub fn value<V: Data>(&mut self, name: &str) -> Result<ValueState<V>> {
        self.single(name, "value")
    }

    /// A state with a list a key.
    pub fn list<T: Data>(&mut self, name: &str) -> Result<ListState<T>> {
        let ttl = self.take_ttl();
        let id = self.keyed(name, "list", '(', &[T::describe], ttl.is_some())?;
        let lists = match ttl {
            None => Lists::Lasting(self.add(ListTable::new(id, name, Rc::clone(&self.backing)))),
            Some(ttl) => {
                let table = self.add(ValueTable::<TimedList<T>>::new(id, name, Rc::clone(&self.backing)));
                Lists::Expiring(table, ttl)
            }
        };
        Ok(ListState { lists, slot: self.slot() })
    }

    /// A state with a map a key.
    pub fn map<K: Data, V: Data>(&mut self, name: &str) -> Result<MapState<K, V>> {
        let ttl = self.take_ttl();
        let id = self.keyed(name, "map", '<', &[K::describe, V::describe], ttl.is_some())?;
        let entries = match ttl {
            None => Entries::Lasting(self.add(NamespacedTable::new(id, name, Rc::clone(&self.backing)))),
            Some(ttl) => {
                let table = self.add(NamespacedTable::<K, Timed<V>>::new(id, name, Rc::clone(&self.backing)));
                Entries::Expiring(table, ttl)
            }
        };
        Ok(MapState { entries, slot: self.slot() })
    }

    /// A state with one value a key, into which others are reduced.
    pub fn reducing<T: Data>(&mut self, name: &str, reduce: impl Fn(T, T) -> T + 'static) -> Result<ReducingState<T>> {
        Ok(ReducingState { value: self.single(name, "reducing")?, reduce: Rc::new(reduce) })
    }

    /// A state with one accumulator a key, to which values are added.
    pub fn aggregating<T: 'static, F: AggregateFunction<T>>(
        &mut self,
        name: &str,
        function: F,
    ) -> Result<AggregatingState<T, F>> {
        Ok(AggregatingState { accumulator: self.single(name, "aggregating")?, function: Rc::new(function) })
    }

    /// A list of the subtask, whose elements are dealt out among the subtasks when there are more or fewer of them.
    pub fn operator_list<T: Data>(&mut self, name: &str) -> Result<OperatorListState<T>> {
        self.subtask_list(name, "operator-list", StateKind::List)
    }

    /// A list of the subtask. Restored, every subtask has the elements of all.
    pub fn union_list<T: Data>(&mut self, name: &str) -> Result<OperatorListState<T>> {
        self.subtask_list(name, "union-list", StateKind::Union)
    }

    /// A map that every subtask has, the same in all if all change it alike. It is kept in memory whole.
    pub fn broadcast<K: Data, V: Data>(&mut self, name: &str) -> Result<BroadcastState<K, V>> {
        let id = self.unkeyed(name, "broadcast", &[K::describe, V::describe], StateKind::Broadcast)?;
        let table = Rc::new(RefCell::new(BroadcastTable::new(id, name, Rc::clone(&self.backing))));
        self.operator_tables.push(Rc::clone(&table) as Rc<RefCell<dyn OperatorState>>);
        Ok(BroadcastState { table, is_writable: Rc::clone(&self.is_writable) })
    }

    /// The cache of a state with many entries a key. `shape` says in the fingerprint what it is: `window`, for example.
    #[cfg(test)]
    pub(crate) fn namespaced<N: Data, V: Data>(
        &mut self,
        name: &str,
        shape: &str,
    ) -> Result<Rc<RefCell<NamespacedTable<N, V>>>> {
        let id = self.keyed(name, shape, '<', &[N::describe, V::describe], false)?;
        Ok(self.add(NamespacedTable::new(id, name, Rc::clone(&self.backing))))
    }

    fn single<V: Data>(&mut self, name: &str, shape: &str) -> Result<ValueState<V>> {
        let ttl = self.take_ttl();
        let id = self.keyed(name, shape, '<', &[V::describe], ttl.is_some())?;
        let values = match ttl {
            None => Values::Lasting(self.add(ValueTable::new(id, name, Rc::clone(&self.backing)))),
            Some(ttl) => {
                let table = self.add(ValueTable::<Timed<V>>::new(id, name, Rc::clone(&self.backing)));
                Values::Expiring(table, ttl)
            }
        };
        Ok(ValueState { values, slot: self.slot() })
    }

    fn subtask_list<T: Data>(&mut self, name: &str, shape: &str, kind: StateKind) -> Result<OperatorListState<T>> {
        let id = self.unkeyed(name, shape, &[T::describe], kind)?;
        let table = Rc::new(RefCell::new(OperatorListTable::new(id, name, Rc::clone(&self.backing))));
        self.operator_tables.push(Rc::clone(&table) as Rc<RefCell<dyn OperatorState>>);
        Ok(OperatorListState { table })
    }

    fn slot(&self) -> CurrentSlot {
        CurrentSlot(Rc::clone(&self.current))
    }

    fn add<S: CachedState + 'static>(&mut self, table: S) -> Rc<RefCell<S>> {
        let table = Rc::new(RefCell::new(table));
        self.tables.push(Rc::clone(&table) as Rc<RefCell<dyn CachedState>>);
        table
    }

    fn take_ttl(&mut self) -> Option<Ttl> {
        let config = self.ttl.take()?;
        Some(Ttl { config, backing: Rc::clone(&self.backing) })
    }

    /// Notes a keyed state and returns its id. Behind `(` nothing may be added to the last of the types: its end is not
    /// the end of the bytes.
    fn keyed(
        &mut self,
        name: &str,
        shape: &str,
        open: char,
        types: &[fn(&mut Fingerprint)],
        expires: bool,
    ) -> Result<u32> {
        let Some(describe_key) = self.describe_key else {
            let hint = "it has no keys; it can have operator_list, union_list and broadcast";
            return Err(Error::msg(format_args!("state '{name}' is keyed, but the operator is not: {hint}")));
        };
        let parts: Vec<fn(&mut Fingerprint)> = [describe_key].into_iter().chain(types.iter().copied()).collect();
        let mut fingerprint = Fingerprint::default();
        fingerprint.text(if expires { "expiring-" } else { "" });
        fingerprint.composite(shape, open, &parts);
        self.note(Declared {
            name: name.to_owned(),
            fingerprint: fingerprint.into_string(),
            kind: StateKind::Keyed,
            expires,
        })
    }

    /// Notes a state of the subtask and returns its id.
    fn unkeyed(&mut self, name: &str, shape: &str, types: &[fn(&mut Fingerprint)], kind: StateKind) -> Result<u32> {
        if self.take_ttl().is_some() {
            return Err(Error::msg(format_args!("state '{name}' cannot expire: only states of keys can")));
        }
        let mut fingerprint = Fingerprint::default();
        fingerprint.composite(shape, '<', types);
        let fingerprint = fingerprint.into_string();
        self.note(Declared { name: name.to_owned(), fingerprint, kind, expires: false })
    }

    fn note(&mut self, state: Declared) -> Result<u32> {
        let name = &state.name;
        if self.declared.iter().any(|other| other.name == *name) {
            return Err(Error::msg(format_args!("state '{name}' is declared twice; give each state its own name")));
        }
        self.declared.push(state);
        Ok(self.first_id + self.declared.len() as u32 - 1)
    }
}
