//! The keys that an operator has in its cache: each has a slot, which all of the operator's states share.

use hashbrown::HashTable;

use super::hash::hash_bytes;
use crate::data::{Data, DecodeError};

/// What a slot takes besides its key and values, approximately.
const SLOT_BYTES: usize = 48;

struct Slot<K> {
    bytes: Box<[u8]>,
    /// `None`: the slot is free.
    key: Option<K>,
    /// Used since the clock's hand passed.
    is_used: bool,
}

/// Keys and their slots.
pub(crate) struct KeyTable<K> {
    index: HashTable<u32>,
    slots: Vec<Slot<K>>,
    free: Vec<u32>,
    weight: usize,
    hand: usize,
}

impl<K: Data> KeyTable<K> {
    pub fn new() -> Self {
        Self { index: HashTable::new(), slots: Vec::new(), free: Vec::new(), weight: 0, hand: 0 }
    }

    /// The slot of a key, made if there is none.
    #[inline]
    pub fn slot(&mut self, bytes: &[u8]) -> Result<u32, DecodeError> {
        let hash = hash_bytes(bytes);
        let slots = &mut self.slots;
        if let Some(slot) = self.index.find(hash, |slot| *slots[*slot as usize].bytes == *bytes) {
            slots[*slot as usize].is_used = true;
            return Ok(*slot);
        }
        self.insert(hash, bytes)
    }

    fn insert(&mut self, hash: u64, bytes: &[u8]) -> Result<u32, DecodeError> {
        let content = Slot { key: Some(K::from_bytes(bytes)?), bytes: bytes.into(), is_used: true };
        self.weight += SLOT_BYTES + size_of::<K>() + bytes.len();
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = content;
                slot
            }
            None => {
                self.slots.push(content);
                self.slots.len() as u32 - 1
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |slot| hash_bytes(&slots[*slot as usize].bytes));
        Ok(slot)
    }

    /// The key of a slot that is in use.
    pub fn key(&self, slot: u32) -> Option<&K> {
        self.slots.get(slot as usize)?.key.as_ref()
    }

    /// The bytes of a slot's key.
    pub fn bytes(&self, slot: u32) -> &[u8] {
        self.slots.get(slot as usize).map_or(&[], |slot| &slot.bytes)
    }

    /// How many slots there are, used and free.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// What the keys take, approximately, in bytes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Forgets a key.
    pub fn remove(&mut self, slot: u32) {
        let hash = hash_bytes(&self.slots[slot as usize].bytes);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        let freed = &mut self.slots[slot as usize];
        self.weight -= SLOT_BYTES + size_of::<K>() + freed.bytes.len();
        freed.key = None;
        freed.bytes = Box::default();
        self.free.push(slot);
    }

    /// Moves the clock's hand to the next slot: a key there that was not used since the last time, if there is one.
    pub fn advance_hand(&mut self) -> Option<u32> {
        let slot = self.hand;
        self.hand = if slot + 1 < self.slots.len() { slot + 1 } else { 0 };
        let content = self.slots.get_mut(slot)?;
        let was_used = std::mem::replace(&mut content.is_used, false);
        (content.key.is_some() && !was_used).then_some(slot as u32)
    }
}
