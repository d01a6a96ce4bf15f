//! Reading encoded bytes, checked.

use std::fmt;

/// How deeply lists, maps and boxes may nest: decoding must not exhaust the stack.
const DEPTH_MAX: u16 = 200;

/// Why bytes are not a value of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the value does.
    Truncated {
        /// How many bytes were needed at this place.
        needed: usize,
        /// How many there were.
        left: usize,
    },
    /// There are bytes behind the value.
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A length or a number is not in its one valid form.
    BadLength,
    /// A byte string is not UTF-8.
    BadUtf8,
    /// A byte or number has no meaning for the type.
    BadValue {
        /// The type.
        type_name: &'static str,
        /// What was read.
        value: u64,
    },
    /// The keys of a map or set are not in ascending order of their bytes, each once.
    BadOrder,
    /// The value nests too deeply.
    TooDeep,
    /// The format's own reader refused the bytes.
    Refused(String),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, left } => write!(f, "the bytes end early: {needed} needed, {left} left"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes too many"),
            Self::BadLength => f.write_str("a length is not a minimal LEB128 number"),
            Self::BadUtf8 => f.write_str("a string is not UTF-8"),
            Self::BadValue { type_name, value } => write!(f, "{value} is no {type_name}"),
            Self::BadOrder => f.write_str("the keys of a map are not ascending"),
            Self::TooDeep => write!(f, "values nest more than {DEPTH_MAX} deep"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A position in encoded bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The first bytes and all that stands behind them in memory that may be read, their end not regarded.
    whole: &'a [u8],
    /// How many bytes there were at first.
    count: usize,
    depth: u16,
}

impl<'a> Reader<'a> {
    /// Starts at the first of these bytes.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, whole: bytes, count: bytes.len(), depth: 0 }
    }

    /// Starts at the first of `count` bytes; what stands behind them is no part of the value.
    #[inline(always)]
    pub(crate) fn within(whole: &'a [u8], count: usize) -> Self {
        let bytes = whole.get(..count).unwrap_or(whole);
        Self { bytes, whole, count, depth: 0 }
    }

    /// What is left, and all that stands behind it: to be read a word at a time, where only its beginning is wanted.
    #[inline(always)]
    pub(crate) fn front(&self) -> &'a [u8] {
        self.whole.get(self.count.wrapping_sub(self.bytes.len())..).unwrap_or(self.bytes)
    }

    /// How many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Fails if bytes are left.
    #[inline]
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { bytes: self.bytes.len() }) }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.bytes.split_at_checked(count) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(DecodeError::Truncated { needed: count, left: self.bytes.len() }),
        }
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(*taken)
            }
            None => Err(DecodeError::Truncated { needed: N, left: self.bytes.len() }),
        }
    }

    /// A length or a variant's number.
    #[inline]
    pub fn length(&mut self) -> Result<usize, DecodeError> {
        let [first] = self.array::<1>()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        self.long_length(first)
    }

    fn long_length(&mut self, first: u8) -> Result<usize, DecodeError> {
        let mut value = u64::from(first & 0x7f);
        // Five bytes hold 35 bits: lengths fit 32 bits everywhere, because a batch does.
        for shift in [7, 14, 21, 28] {
            let [byte] = self.array::<1>()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let is_valid = byte != 0 && value <= u64::from(u32::MAX);
                return if is_valid { Ok(value as usize) } else { Err(DecodeError::BadLength) };
            }
        }
        Err(DecodeError::BadLength)
    }

    /// The number of items that follow, each of at least `min_bytes`.
    #[inline]
    pub fn count(&mut self, min_bytes: usize) -> Result<usize, DecodeError> {
        let count = self.length()?;
        let needed = count.saturating_mul(min_bytes);
        if needed > self.bytes.len() {
            return Err(DecodeError::Truncated { needed, left: self.bytes.len() });
        }
        Ok(count)
    }

    /// Runs a decoder one level deeper.
    #[inline]
    pub fn nested<T>(&mut self, decode: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        if self.depth >= DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        self.depth += 1;
        let value = decode(self)?;
        self.depth -= 1;
        Ok(value)
    }
}
