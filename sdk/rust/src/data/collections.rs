//! Options, lists, maps and sets.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

use super::{Data, DecodeError, Fingerprint, Reader, encode_length};

impl<T: Data> Data for Option<T> {
    const MIN_BYTES: usize = 1;

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.encode(out);
            }
        }
    }

    #[inline]
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(input)? {
            0 => Ok(None),
            1 => Ok(Some(T::decode(input)?)),
            other => Err(DecodeError::BadValue { type_name: "option", value: other.into() }),
        }
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.generic("option", &[T::describe]);
    }
}

impl<T: Data> Data for Vec<T> {
    const MIN_BYTES: usize = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        const { assert!(T::MIN_BYTES > 0, "a list of values that take no bytes could claim any length") };
        encode_length(self.len(), out);
        T::encode_all(self, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.count(T::MIN_BYTES)?;
        input.nested(|input| T::decode_many(input, count))
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.sequence("list", &[T::describe]);
    }
}

/// Writes entries in the order of their keys' bytes: one map has one encoding, whatever order it iterates in.
fn encode_sorted<'a, K: Data, V: Data>(entries: impl ExactSizeIterator<Item = (&'a K, &'a V)>, out: &mut Vec<u8>) {
    const { assert!(K::MIN_BYTES > 0, "a map whose keys take no bytes could claim any length") };
    encode_length(entries.len(), out);
    let mut entries: Vec<(Vec<u8>, &V)> = entries.map(|(key, value)| (key.to_bytes(), value)).collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    for (key, value) in entries {
        out.extend_from_slice(&key);
        value.encode(out);
    }
}

/// Reads entries, checking that their keys' bytes ascend: that also excludes a key that is there twice.
fn decode_sorted<K: Data, V: Data, C: Default + Extend<(K, V)>>(input: &mut Reader<'_>) -> Result<C, DecodeError> {
    let count = input.count(K::MIN_BYTES + V::MIN_BYTES)?;
    input.nested(|input| {
        let mut entries = C::default();
        let (mut last, mut bytes) = (Vec::new(), Vec::new());
        for index in 0..count {
            let key = K::decode(input)?;
            bytes.clear();
            key.encode(&mut bytes);
            if index > 0 && bytes <= last {
                return Err(DecodeError::BadOrder);
            }
            std::mem::swap(&mut last, &mut bytes);
            entries.extend([(key, V::decode(input)?)]);
        }
        Ok(entries)
    })
}

macro_rules! maps {
    ($([$($generics:tt)*] $map:ty, $set:ty;)*) => {$(
        impl<$($generics)*, V: Data> Data for $map {
            const MIN_BYTES: usize = 1;

            fn encode(&self, out: &mut Vec<u8>) {
                encode_sorted(self.iter(), out);
            }

            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                decode_sorted(input)
            }

            fn describe(fingerprint: &mut Fingerprint) {
                fingerprint.sequence("map", &[K::describe, V::describe]);
            }
        }

        impl<$($generics)*> Data for $set {
            const MIN_BYTES: usize = 1;

            fn encode(&self, out: &mut Vec<u8>) {
                encode_sorted(self.iter().map(|key| (key, &())), out);
            }

            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let entries: SetEntries<Self> = decode_sorted(input)?;
                Ok(entries.0)
            }

            fn describe(fingerprint: &mut Fingerprint) {
                fingerprint.sequence("set", &[K::describe]);
            }
        }
    )*};
}

/// A set, filled as a map whose values are nothing.
#[derive(Default)]
struct SetEntries<C>(C);

impl<K, C: Extend<K>> Extend<(K, ())> for SetEntries<C> {
    fn extend<I: IntoIterator<Item = (K, ())>>(&mut self, entries: I) {
        self.0.extend(entries.into_iter().map(|(key, ())| key));
    }
}

maps! {
    [K: Data + Ord] BTreeMap<K, V>, BTreeSet<K>;
    [K: Data + Eq + Hash, S: BuildHasher + Default + Clone + 'static] HashMap<K, V, S>, HashSet<K, S>;
}
