//! From a key's hash to its slot: open addressing with linear probing.
//!
//! With many keys a look-up waits for memory, so an entry is one word, which tells most other keys apart without a look at
//! them, and the first entry of many hashes can be read before any of them is needed.

/// A word: the upper half of the hash, and the slot plus one; 0 is no entry.
type Entry = u64;

const EMPTY: Entry = 0;
/// The fewest places.
const PLACES_MIN: usize = 16;

#[inline]
fn entry(hash: u64, slot: u32) -> Entry {
    hash & !0xffff_ffff | u64::from(slot + 1)
}

/// Slots by hash. A power of two of places, at most half of them taken.
pub(crate) struct Index {
    places: Vec<Entry>,
    taken: usize,
}

impl Index {
    pub fn new() -> Self {
        Self { places: vec![EMPTY; PLACES_MIN], taken: 0 }
    }

    #[inline]
    fn place_of(&self, hash: u64) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// What stands in the first place of a hash: a guess.
    #[inline]
    pub fn first(&self, hash: u64) -> Guess {
        Guess(self.places[self.place_of(hash)])
    }

    /// The slot among those of a hash that satisfies `is_slot`.
    pub fn find(&self, hash: u64, mut is_slot: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.place_of(hash);
        loop {
            let guess = Guess(self.places[place]);
            if guess.0 == EMPTY {
                return None;
            }
            if let Some(slot) = guess.slot(hash)
                && is_slot(slot)
            {
                return Some(slot);
            }
            place = self.next(place);
        }
    }

    /// Adds a slot that is not there. `hash_of` gives the hashes of slots.
    pub fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        if 2 * (self.taken + 1) > self.places.len() {
            let twice = vec![EMPTY; 2 * self.places.len()];
            for old in std::mem::replace(&mut self.places, twice).into_iter().filter(|old| *old != EMPTY) {
                let slot = old as u32 - 1;
                self.put(hash_of(slot), slot);
            }
        }
        self.put(hash, slot);
        self.taken += 1;
    }

    fn put(&mut self, hash: u64, slot: u32) {
        let mut place = self.place_of(hash);
        while self.places[place] != EMPTY {
            place = self.next(place);
        }
        self.places[place] = entry(hash, slot);
    }

    /// Removes a slot. `hash_of` gives the hashes of slots.
    pub fn remove(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        let mut place = self.place_of(hash);
        while self.places[place] != entry(hash, slot) {
            if self.places[place] == EMPTY {
                return;
            }
            place = self.next(place);
        }
        self.places[place] = EMPTY;
        self.taken -= 1;
        // What stands behind may have been pushed there by what is gone.
        let mut behind = self.next(place);
        while self.places[behind] != EMPTY {
            let moved = std::mem::replace(&mut self.places[behind], EMPTY) as u32 - 1;
            self.put(hash_of(moved), moved);
            behind = self.next(behind);
        }
    }
}

/// An entry that may be the wanted one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guess(Entry);

impl Guess {
    /// No slot's.
    pub const NONE: Self = Self(EMPTY);

    /// The slot, if it may be that of a hash.
    #[inline]
    pub fn slot(self, hash: u64) -> Option<u32> {
        (self.0 != EMPTY && (self.0 ^ hash) >> 32 == 0).then(|| self.0 as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many collide, in the first place and altogether.
    fn hash_of(slot: u32) -> u64 {
        u64::from(slot % 7) << 40 | u64::from(slot % 5)
    }

    #[test]
    fn slots_are_found_until_they_are_removed() {
        let mut index = Index::new();
        for slot in 0..100 {
            index.insert(hash_of(slot), slot, hash_of);
        }
        let find = |index: &Index, slot| index.find(hash_of(slot), |found| found == slot);
        assert!((0..100).all(|slot| find(&index, slot) == Some(slot)));
        for removed in (0..100).step_by(3) {
            index.remove(hash_of(removed), removed, hash_of);
            index.remove(hash_of(removed), removed, hash_of);
            for slot in 0..100 {
                let is_there = slot > removed || slot % 3 != 0;
                assert_eq!(find(&index, slot), is_there.then_some(slot), "{slot} behind the removal of {removed}");
            }
        }
        assert_eq!(index.taken, 66);
    }

    #[test]
    fn a_guess_is_never_another_hashs() {
        let mut index = Index::new();
        assert_eq!(index.first(0).slot(0), None);
        index.insert(3 << 32 | 1, 9, |_| 0);
        assert_eq!(index.first(3 << 32 | 1).slot(3 << 32 | 1), Some(9));
        assert_eq!(index.first(4 << 32 | 1).slot(4 << 32 | 1), None);
    }
}
