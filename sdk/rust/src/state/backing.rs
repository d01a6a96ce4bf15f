//! What the states of one operator share: the host, the bytes of the keys, and the way in which both meet.
//!
//! A *state key* names an entry to the host: the key, which decides where the entry lives, and a sub-key. It is put together
//! here, when a batch for the host is written, and nowhere else.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use crate::batch::{BatchReader, BatchWriter};
use crate::error::{Error, Result};
use crate::host::Host;

/// What a `put` batch aims at.
const PUT_BYTES: usize = 64 * 1024;

/// Change markers of `put`, presence markers of `get`.
pub(crate) const ABSENT: u8 = 0;
pub(crate) const PRESENT: u8 = 1;
/// Change markers of `put`: what follows is appended; all entries with this beginning are deleted.
pub(crate) const APPEND: u8 = 2;
pub(crate) const DELETE_ALL: u8 = 3;

/// The host, and the bytes of the keys by slot.
pub(crate) struct Backing {
    pub host: Rc<dyn Host>,
    keys: RefCell<Vec<Vec<u8>>>,
    batch: RefCell<BatchWriter>,
    /// The time of this call, once somebody has asked for it.
    now_ms: Cell<Option<i64>>,
}

impl Backing {
    pub fn new(host: Rc<dyn Host>) -> Rc<Self> {
        let batch = RefCell::new(BatchWriter::new(false, true));
        Rc::new(Self { host, keys: RefCell::default(), batch, now_ms: Cell::new(None) })
    }

    /// The wall clock, in milliseconds since 1970: the same during a whole call, so that it is asked for once.
    pub fn now_ms(&self) -> i64 {
        let now = self.now_ms.get().unwrap_or_else(|| self.host.now_ms());
        self.now_ms.set(Some(now));
        now
    }

    /// Says that a call begins or ends.
    pub fn forget_time(&self) {
        self.now_ms.set(None);
    }

    /// Looks at the bytes of a slot's key; empty if the slot has none.
    pub fn with_key<R>(&self, slot: u32, look: impl FnOnce(&[u8]) -> R) -> R {
        look(self.keys.borrow().get(slot as usize).map_or(&[], Vec::as_slice))
    }

    /// Sets the bytes of a slot's key.
    pub fn set_key(&self, slot: u32, bytes: Vec<u8>) {
        let mut keys = self.keys.borrow_mut();
        if keys.len() <= slot as usize {
            keys.resize_with(slot as usize + 1, Vec::new);
        }
        keys[slot as usize] = bytes;
    }

    /// Appends the state key of an entry.
    pub fn write_state_key(&self, slot: u32, sub_key: &[u8], out: &mut Vec<u8>) {
        self.with_key(slot, |key| {
            out.extend_from_slice(&(key.len() as u32).to_le_bytes());
            out.extend_from_slice(key);
        });
        out.extend_from_slice(sub_key);
    }

    /// A buffer for a batch with keys. To be had once at a time, and not while a `Put` is open.
    pub fn batch(&self, is_timestamped: bool) -> RefMut<'_, BatchWriter> {
        let mut batch = self.batch.borrow_mut();
        batch.reset(is_timestamped, true);
        batch
    }

    /// Reads `count` entries in one call. `place` gives the slot and the sub-key of each; `take` gets what the host has.
    pub fn get<'a>(
        &self,
        state: u32,
        count: usize,
        place: impl Fn(usize) -> (u32, SubKey<'a>),
        mut take: impl FnMut(usize, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut batch = self.batch(false);
        for index in 0..count {
            let (slot, sub_key) = place(index);
            batch.begin_row(0);
            batch.key(|out| sub_key.with(|sub_key| self.write_state_key(slot, sub_key, out)));
            batch.end_row();
        }
        let answer = self.host.get(state, batch.finish());
        drop(batch);
        let rows = BatchReader::new(&answer)?;
        if rows.len() != count {
            return Err(Error::msg(format_args!("the host answered {} values to {count} keys", rows.len())));
        }
        for (index, row) in rows.rows().enumerate() {
            match row.payload.split_first() {
                Some((&ABSENT, [])) => take(index, None)?,
                Some((&PRESENT, value)) => take(index, Some(value))?,
                _ => return Err(Error::msg("the host answered neither absent nor a value")),
            }
        }
        Ok(())
    }

    /// Reads the entries whose state keys begin with `prefix`, about `bytes_max` of them at a time, until `take`, which
    /// gets the answers one by one, returns false. Whether all were read.
    pub fn scan(
        &self,
        state: u32,
        prefix: &[u8],
        bytes_max: u32,
        mut take: impl FnMut(&BatchReader<'_>, usize) -> Result<bool>,
    ) -> Result<bool> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let answer = self.host.scan(state, prefix, after.as_deref(), bytes_max);
            let rows = BatchReader::new(&answer)?;
            if rows.is_empty() {
                return Ok(true);
            }
            if !take(&rows, answer.len())? {
                return Ok(false);
            }
            after = rows.rows().last().map(|row| row.key.to_vec());
        }
    }

    /// Begins to hand over changes.
    pub fn put(&self, state: u32) -> Put<'_> {
        Put { backing: self, state, batch: self.batch(false) }
    }
}

/// The bytes of a sub-key, wherever they are.
pub(crate) enum SubKey<'a> {
    Bytes(&'a [u8]),
    Packed(super::hash::Packed),
}

impl SubKey<'_> {
    pub fn with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Bytes(bytes) => look(bytes),
            Self::Packed(packed) => packed.with_bytes(look),
        }
    }
}

/// The key and the sub-key of a state key.
pub(crate) fn split_state_key(state_key: &[u8]) -> Result<(&[u8], &[u8])> {
    let parts = state_key.split_first_chunk().and_then(|(length, rest)| {
        let length = u32::from_le_bytes(*length) as usize;
        rest.split_at_checked(length)
    });
    parts.ok_or_else(|| Error::msg("the host gave a state key that is shorter than its key"))
}

/// Changes on their way to the host, a batch at a time. [`finish`](Self::finish) hands over the last of them.
pub(crate) struct Put<'a> {
    backing: &'a Backing,
    state: u32,
    batch: RefMut<'a, BatchWriter>,
}

impl Put<'_> {
    /// Adds a change. Returns how many bytes `value` wrote.
    pub fn change(&mut self, slot: u32, sub_key: &[u8], marker: u8, value: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.batch.begin_row(0);
        self.batch.key(|out| self.backing.write_state_key(slot, sub_key, out));
        self.batch.payload().push(marker);
        let start = self.batch.payload().len();
        value(self.batch.payload());
        let bytes = self.batch.payload().len() - start;
        self.batch.end_row();
        if self.batch.size_bytes() >= PUT_BYTES {
            self.send();
        }
        bytes
    }

    fn send(&mut self) {
        self.backing.host.put(self.state, self.batch.finish());
        self.batch.clear();
    }

    /// Hands over what is left.
    pub fn finish(mut self) {
        if !self.batch.is_empty() {
            self.send();
        }
    }
}
