//! Declaring the states of an operator.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::backing::Backing;
use super::cached::CachedState;
use super::namespaced::NamespacedTable;
use super::table::ValueTable;
use super::value::ValueState;
use crate::data::{Data, Fingerprint, fingerprint};
use crate::error::{Error, Result};

/// Where an operator declares its states when it is opened.
pub struct States {
    /// The id in the host of the first state declared here.
    pub(crate) first_id: u32,
    pub(crate) describe_key: fn(&mut Fingerprint),
    pub(crate) slot: Rc<Cell<u32>>,
    pub(crate) backing: Rc<Backing>,
    pub(crate) tables: Vec<Rc<RefCell<dyn CachedState>>>,
    /// Names and fingerprints, in the order of the ids.
    pub(crate) declared: Vec<(String, String)>,
}

impl States {
    /// A state with one value a key. `name` is unique within the operator and stays the same between versions of
    /// the application: it is by the name that the state is found again.
    pub fn value<V: Data>(&mut self, name: &str) -> Result<ValueState<V>> {
        let id = self.declare::<V>(name, "value")?;
        let table = Rc::new(RefCell::new(ValueTable::new(id, name, Rc::clone(&self.backing))));
        self.tables.push(Rc::clone(&table) as Rc<RefCell<dyn CachedState>>);
        Ok(ValueState { table, slot: Rc::clone(&self.slot) })
    }

    /// The cache of a state with many entries a key. `shape` says in the fingerprint what it is: `map`, `window`.
    pub(crate) fn namespaced<N: Data, V: Data>(
        &mut self,
        name: &str,
        shape: &str,
    ) -> Result<Rc<RefCell<NamespacedTable<N, V>>>> {
        let id = self.declare::<(N, V)>(name, shape)?;
        let table = Rc::new(RefCell::new(NamespacedTable::new(id, name, Rc::clone(&self.backing))));
        self.tables.push(Rc::clone(&table) as Rc<RefCell<dyn CachedState>>);
        Ok(table)
    }

    /// Notes a state and returns its id.
    fn declare<T: Data>(&mut self, name: &str, shape: &str) -> Result<u32> {
        if self.declared.iter().any(|(other, _)| other == name) {
            return Err(Error::msg(format_args!("state '{name}' is declared twice; give each state its own name")));
        }
        let mut key = Fingerprint::default();
        (self.describe_key)(&mut key);
        let type_of_state = format!("{shape}<{},{}>", key.into_string(), fingerprint::<T>());
        self.declared.push((name.to_owned(), type_of_state));
        Ok(self.first_id + self.declared.len() as u32 - 1)
    }
}
