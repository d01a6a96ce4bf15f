//! The keys that an operator has in its cache: each has a slot, which all of the operator's states share.
//!
//! Looking keys up is what a keyed operator does most, and with many keys it waits for memory. So what a look-up touches
//! is small, an entry of the index and the key as a few words, and the keys of a batch are looked up in steps, many keys a
//! step, so that the processor waits for many of them at once.

use std::rc::Rc;

use super::backing::Backing;
use super::hash::Packed;
use super::index::{Guess, Index};
use crate::batch::{BatchReader, Rows};
use crate::data::{Data, DecodeError};

/// What a slot takes besides its key and values, approximately.
const SLOT_BYTES: usize = 64;

/// The keys of a batch that are looked up together.
const LOOKED_UP_TOGETHER: usize = 64;

/// A key that is looked up.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    key: &'a [u8],
    packed: Packed,
    hash: u64,
}

/// Packs the keys of the next rows. Returns how many there are.
#[inline(never)]
fn pack_keys<'a>(rows: &mut Rows<'a>, keys: &mut [Wanted<'a>; LOOKED_UP_TOGETHER]) -> usize {
    let mut count = 0;
    for (place, row) in keys.iter_mut().zip(rows) {
        let packed = Packed::front(row.key, row.key_onwards());
        *place = Wanted { key: row.key, packed, hash: packed.hash() };
        count += 1;
    }
    count
}

/// Keys and their slots.
pub(crate) struct KeyTable<K> {
    index: Index,
    /// Has the keys' bytes, by slot.
    backing: Rc<Backing>,
    /// By slot: the keys as words, whether they were used since the clock's hand passed, and the keys (`None`: the slot
    /// is free).
    packed: Vec<Packed>,
    is_used: Vec<bool>,
    keys: Vec<Option<K>>,
    free: Vec<u32>,
    weight: usize,
    hand: usize,
}

impl<K: Data> KeyTable<K> {
    pub fn new(backing: Rc<Backing>) -> Self {
        Self {
            index: Index::new(),
            backing,
            packed: Vec::new(),
            is_used: Vec::new(),
            keys: Vec::new(),
            free: Vec::new(),
            weight: 0,
            hand: 0,
        }
    }

    /// Appends the slots of all rows' keys to `slots`, made where there are none.
    pub fn slots_of(&mut self, batch: &BatchReader<'_>, slots: &mut Vec<u32>) -> Result<(), DecodeError> {
        let mut rows = batch.rows();
        let mut keys = [Wanted { key: &[], packed: Packed::new(&[]), hash: 0 }; LOOKED_UP_TOGETHER];
        slots.reserve(batch.len());
        loop {
            let count = pack_keys(&mut rows, &mut keys);
            self.look_up(&keys[..count], slots)?;
            if count < LOOKED_UP_TOGETHER {
                return Ok(());
            }
        }
    }

    /// Appends the slots of some keys.
    // A function of its own, as `pack_keys` is: in a large one the loop's values do not stay in registers.
    #[inline(never)]
    fn look_up(&mut self, keys: &[Wanted<'_>], slots: &mut Vec<u32>) -> Result<(), DecodeError> {
        let mut guesses = [Guess::NONE; LOOKED_UP_TOGETHER];
        for (guess, wanted) in guesses.iter_mut().zip(keys) {
            *guess = self.index.first(wanted.hash);
        }
        for (wanted, guess) in keys.iter().zip(&guesses) {
            let slot = match guess.slot(wanted.hash) {
                Some(slot) if self.is_wanted(slot, wanted) => slot,
                _ => self.slot_of(wanted.key, wanted.packed, wanted.hash)?,
            };
            self.is_used[slot as usize] = true;
            slots.push(slot);
        }
        Ok(())
    }

    /// Whether a slot is that of a key; perhaps not, if the key is long.
    #[inline(always)]
    fn is_wanted(&self, slot: u32, wanted: &Wanted<'_>) -> bool {
        self.packed[slot as usize] == wanted.packed && !wanted.packed.is_long()
    }

    /// The slot of a key, made if there is none.
    pub fn slot(&mut self, key: &[u8]) -> Result<u32, DecodeError> {
        let packed = Packed::new(key);
        let slot = self.slot_of(key, packed, packed.hash())?;
        self.is_used[slot as usize] = true;
        Ok(slot)
    }

    #[inline]
    fn is_key(&self, slot: u32, packed: Packed, key: &[u8]) -> bool {
        let slot = slot as usize;
        self.packed[slot] == packed && (!packed.is_long() || self.backing.with_key(slot as u32, |bytes| bytes == key))
    }

    #[cold]
    #[inline(never)]
    fn slot_of(&mut self, key: &[u8], packed: Packed, hash: u64) -> Result<u32, DecodeError> {
        match self.index.find(hash, |slot| self.is_key(slot, packed, key)) {
            Some(slot) => Ok(slot),
            None => self.insert(packed, key),
        }
    }

    fn insert(&mut self, packed: Packed, bytes: &[u8]) -> Result<u32, DecodeError> {
        let key = Some(K::from_bytes(bytes)?);
        self.weight += SLOT_BYTES + size_of::<K>() + bytes.len();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.packed.push(packed);
            self.is_used.push(true);
            self.keys.push(None);
            self.keys.len() as u32 - 1
        });
        let at = slot as usize;
        self.packed[at] = packed;
        self.is_used[at] = true;
        self.backing.set_key(slot, bytes.to_vec());
        self.keys[at] = key;
        self.index.insert(packed.hash(), slot, |slot| self.packed[slot as usize].hash());
        Ok(slot)
    }

    /// The key of a slot that is in use.
    pub fn key(&self, slot: u32) -> Option<&K> {
        self.keys.get(slot as usize)?.as_ref()
    }

    /// How many slots there are, used and free.
    pub fn capacity(&self) -> usize {
        self.keys.len()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len() - self.free.len()
    }

    /// What the keys take, approximately, in bytes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Forgets a key.
    pub fn remove(&mut self, slot: u32) {
        let bytes = self.backing.with_key(slot, <[u8]>::len);
        self.backing.set_key(slot, Vec::new());
        self.index.remove(self.packed[slot as usize].hash(), slot, |slot| self.packed[slot as usize].hash());
        self.weight -= SLOT_BYTES + size_of::<K>() + bytes;
        self.keys[slot as usize] = None;
        self.free.push(slot);
    }

    /// Moves the clock's hand to the next slot: a key there that was not used since the last time, if there is one.
    pub fn advance_hand(&mut self) -> Option<u32> {
        let slot = self.hand;
        self.hand = if slot + 1 < self.keys.len() { slot + 1 } else { 0 };
        let was_used = std::mem::replace(self.is_used.get_mut(slot)?, false);
        (self.keys[slot].is_some() && !was_used).then_some(slot as u32)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::testing::host::ToyHost;

    fn table<K: Data>() -> KeyTable<K> {
        KeyTable::new(Backing::new(Rc::new(ToyHost::new(128))))
    }

    #[test]
    fn keys_of_any_length_keep_their_slots_until_they_are_removed() {
        let mut table = table::<Vec<u8>>();
        let key = |n: usize| vec![n as u8; n % 40].to_bytes();
        let slots: Vec<u32> = (0..200).map(|n| table.slot(&key(n)).unwrap()).collect();
        // Five of them are the empty key.
        assert_eq!(table.len(), 196);
        for (n, slot) in slots.iter().enumerate() {
            assert_eq!(table.slot(&key(n)), Ok(*slot));
            table.backing.with_key(*slot, |bytes| assert_eq!(bytes, key(n)));
            assert_eq!(table.key(*slot), Some(&vec![n as u8; n % 40]));
        }
        table.remove(slots[7]);
        assert_eq!((table.len(), table.key(slots[7])), (195, None));
        assert_eq!(table.slot(&key(999)), Ok(slots[7]));
    }

    #[test]
    fn the_hand_passes_keys_that_were_used() {
        let mut table = table::<u8>();
        let slots: Vec<u32> = (0..4u8).map(|n| table.slot(&[n]).unwrap()).collect();
        assert_eq!((0..4).map(|_| table.advance_hand()).collect::<Vec<_>>(), [None; 4]);
        table.slot(&[2]).unwrap();
        let found: Vec<Option<u32>> = (0..4).map(|_| table.advance_hand()).collect();
        assert_eq!(found, [Some(slots[0]), Some(slots[1]), None, Some(slots[3])]);
    }

    #[test]
    fn keys_of_a_batch_get_the_slots_that_each_would_get() {
        use crate::batch::BatchWriter;
        let key = |n: u64| vec![(n % 61) as u8; n as usize % 31].to_bytes();
        let mut batch = BatchWriter::new(false, true);
        (0..1000).for_each(|n| batch.row(0, &key(n * n), &[]));
        let (mut together, mut alone) = (table::<Vec<u8>>(), table::<Vec<u8>>());
        let mut slots = Vec::new();
        together.slots_of(&BatchReader::new(batch.finish()).unwrap(), &mut slots).unwrap();
        assert_eq!(slots, (0..1000).map(|n| alone.slot(&key(n * n)).unwrap()).collect::<Vec<_>>());
        assert_eq!(together.len(), alone.len());
    }

    #[test]
    fn keys_that_do_not_decode_are_refused() {
        assert!(table::<u32>().slot(&[1, 2]).is_err());
    }
}
