//! Key bytes as words, and a fast hash of them, for tables in this instance's memory alone: key groups are the host's
//! affair.

use crate::batch::{Words, pack_front, packed_count, short_word};

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
/// Says in the place of the length that a key is longer than the words.
const LONG: u64 = 0xff << 56;

/// A key of few bytes, or something that stands for a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed(Words);

impl Packed {
    /// Packs a key. Short keys are equal exactly if their words are; of longer ones the bytes have to be compared too.
    #[inline]
    pub fn new(key: &[u8]) -> Self {
        Self::front(key, key)
    }

    /// The same of a key that stands in front of other bytes, which makes packing it cheaper.
    #[inline(always)]
    pub fn front(key: &[u8], from_key_on: &[u8]) -> Self {
        Self(match pack_front(from_key_on, key.len()) {
            Some(words) => words,
            None => pack_long(key),
        })
    }

    /// Whether the key is longer than the words.
    #[inline]
    pub fn is_long(self) -> bool {
        self.0[2] == LONG
    }

    /// The bytes of a key that is not long.
    pub fn with_bytes<R>(self, look: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = [0; 24];
        for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *place = word.to_le_bytes();
        }
        look(bytes.get(..packed_count(&self.0)).unwrap_or_default())
    }

    /// The hash of the key.
    #[inline]
    pub fn hash(self) -> u64 {
        self.hash_of(0)
    }

    /// The hash of the key of which there is one in each of many tables.
    #[inline]
    pub fn hash_of(self, table: u32) -> u64 {
        let [a, b, c] = self.0;
        let hash = mix(mix(mix(u64::from(table), a), b), c);
        // The table looks at the lowest and the highest bits; multiplication leaves the low ones poor.
        (hash ^ hash >> 32).wrapping_mul(MULTIPLIER) ^ hash >> 29
    }
}

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER)
}

/// What stands for a key that is longer than the words.
#[cold]
#[inline(never)]
fn pack_long(key: &[u8]) -> Words {
    [hash_bytes(key), key.len() as u64, LONG]
}

#[inline]
fn hash_bytes(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = bytes.len() as u64;
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    mix(hash, short_word(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_have_different_words() {
        let bytes = [7u8; 40];
        let mut packed: Vec<Packed> = (0..24).map(|length| Packed::new(&bytes[..length])).collect();
        for length in [1, 8, 9, 16, 17, 23] {
            for at in 0..length {
                let mut other = bytes[..length].to_vec();
                other[at] = 8;
                packed.push(Packed::new(&other));
            }
        }
        packed[15].with_bytes(|unpacked| assert_eq!(unpacked, &bytes[..15]));
        packed[23].with_bytes(|unpacked| assert_eq!(unpacked, &bytes[..23]));
        for (index, one) in packed.iter().enumerate() {
            assert!(!one.is_long() && !packed[..index].contains(one));
        }
        assert!(Packed::new(&bytes[..24]).is_long() && Packed::new(&bytes).is_long());
        assert_ne!(Packed::new(&bytes[..24]).hash(), Packed::new(&bytes[..25]).hash());
    }
}
