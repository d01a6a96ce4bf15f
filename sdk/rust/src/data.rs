//! The SDK's own codec, which writes records between operators of one component, keys and state.
//!
//! Numbers are fixed-width little-endian, lengths and variant numbers are minimal LEB128, and nothing names a
//! field: the bytes are as short as the type allows. One value has exactly one encoding, so the encoded bytes of a
//! key identify the key. Decoding malformed bytes gives a [`DecodeError`]: it never panics, and never reserves
//! more memory than the input could fill.

mod collections;
mod fingerprint;
mod primitives;
mod reader;
mod tuples;

pub use fingerprint::Fingerprint;
pub use reader::{DecodeError, Reader};

/// A value that can travel between operators, be a key, or be kept in state.
///
/// Derive it: `#[derive(Clone, Data)]`.
///
/// ```
/// use millrace::prelude::*;
///
/// #[derive(Clone, Debug, PartialEq, Data)]
/// struct Trip { route: String, minutes: Option<u32> }
///
/// let trip = Trip { route: "7".into(), minutes: Some(12) };
/// assert_eq!(Trip::from_bytes(&trip.to_bytes()).unwrap(), trip);
/// ```
pub trait Data: Clone + 'static {
    /// The fewest bytes that a value takes. Bounds what a decoder reserves for a list.
    const MIN_BYTES: usize;

    /// Appends the value's bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a value and advances behind it.
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Describes the type, for the fingerprint by which state of another type is refused.
    fn describe(fingerprint: &mut Fingerprint);

    /// Appends the bytes of many values. Here so that byte strings are copied at once.
    #[doc(hidden)]
    fn encode_all(values: &[Self], out: &mut Vec<u8>) {
        for value in values {
            value.encode(out);
        }
    }

    /// Reads `count` values, of which the reader has checked that they can be there.
    #[doc(hidden)]
    fn decode_many(input: &mut Reader<'_>, count: usize) -> Result<Vec<Self>, DecodeError> {
        // A decoded value may be larger than its bytes, so the reservation is bounded by those, too.
        let mut values = Vec::with_capacity(count.min(input.remaining() / size_of::<Self>().max(1) + 1));
        for _ in 0..count {
            values.push(Self::decode(input)?);
        }
        Ok(values)
    }

    /// The value's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads a value that takes up all of `bytes`.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let value = Self::decode(&mut input)?;
        input.end()?;
        Ok(value)
    }
}

/// Appends a length or a variant's number.
#[doc(hidden)]
#[inline]
pub fn encode_length(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The text by which a type is recognised: equal exactly if values are encoded alike.
pub fn fingerprint<T: Data>() -> String {
    let mut fingerprint = Fingerprint::default();
    T::describe(&mut fingerprint);
    fingerprint.into_string()
}
