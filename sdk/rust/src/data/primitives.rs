//! Numbers, booleans, characters, strings and boxes.

use crate::batch::{append, text};

use super::{Data, DecodeError, Fingerprint, Reader, encode_length};

macro_rules! numbers {
    ($($type:ty as $name:literal),*) => {$(
        impl Data for $type {
            const MIN_BYTES: usize = size_of::<$type>();

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(<$type>::from_le_bytes(input.array()?))
            }

            fn describe(fingerprint: &mut Fingerprint) {
                fingerprint.text($name);
            }
        }
    )*};
}

numbers!(
    i8 as "i8", u16 as "u16", i16 as "i16", u32 as "u32", i32 as "i32", u64 as "u64", i64 as "i64",
    u128 as "u128", i128 as "i128", f32 as "f32", f64 as "f64"
);

impl Data for u8 {
    const MIN_BYTES: usize = 1;

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    #[inline]
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [byte] = input.array()?;
        Ok(byte)
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.text("u8");
    }

    fn encode_all(values: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(values);
    }

    fn decode_many(input: &mut Reader<'_>, count: usize) -> Result<Vec<Self>, DecodeError> {
        Ok(input.take(count)?.to_vec())
    }
}

impl Data for bool {
    const MIN_BYTES: usize = 1;

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    #[inline]
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::BadValue { type_name: "bool", value: other.into() }),
        }
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.text("bool");
    }
}

impl Data for char {
    const MIN_BYTES: usize = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        u32::from(*self).encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = u32::decode(input)?;
        Self::from_u32(value).ok_or(DecodeError::BadValue { type_name: "char", value: value.into() })
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.text("char");
    }
}

impl Data for () {
    const MIN_BYTES: usize = 0;

    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.text("unit");
    }
}

impl Data for String {
    const MIN_BYTES: usize = 1;

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        append(out, self.as_bytes());
    }

    #[inline]
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = input.count(1)?;
        text(input.take(length)?).ok_or(DecodeError::BadUtf8)
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.text("string");
    }
}

impl<T: Data> Data for Box<T> {
    const MIN_BYTES: usize = T::MIN_BYTES;

    fn encode(&self, out: &mut Vec<u8>) {
        T::encode(self, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.nested(|input| Ok(Self::new(T::decode(input)?)))
    }

    fn describe(fingerprint: &mut Fingerprint) {
        T::describe(fingerprint);
    }
}
