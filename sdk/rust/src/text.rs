//! Text that is cheap to make, to copy and to drop.

mod words;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::ops::Deref;
use std::rc::Rc;

#[cfg(target_endian = "big")]
compile_error!("short text is kept in little-endian words");

use crate::batch::{Words, append_packed, is_packed_ascii, pack, pack_front, packed_count};
use crate::data::{Data, DecodeError, Fingerprint, Reader, encode_length};
use crate::format::RawRecord;

/// Immutable text. Up to 23 bytes stand in place, without an allocation; longer text is shared by its copies.
///
/// It is encoded as a `String` is, so a field can change from one to the other and state stays readable.
///
/// ```
/// use millrace::Text;
///
/// let word = Text::from("river");
/// assert_eq!(word.to_uppercase(), "RIVER");
/// assert_eq!(word.clone(), word);
/// ```
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Short(Short),
    Long(Rc<str>),
}

/// Packed text, each word in the order of its bytes, so that in memory they are the text. The last word is never zero: that
/// tells the two forms apart, so a text is no larger than its words.
#[derive(Clone, Copy, PartialEq)]
#[repr(C)]
struct Short {
    front: [u64; 2],
    last: NonZeroU64,
}

/// Set in the last word of every short text; the number of its bytes leaves it free.
const SHORT: NonZeroU64 = match NonZeroU64::new(1 << 63) {
    Some(bit) => bit,
    None => NonZeroU64::MIN,
};

impl Short {
    #[inline(always)]
    fn new([first, second, last]: Words) -> Self {
        Self { front: [first, second], last: SHORT | last }
    }

    #[inline(always)]
    fn words(&self) -> Words {
        [self.front[0], self.front[1], self.last.get() ^ SHORT.get()]
    }
}

impl Text {
    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(short) => {
                let count = packed_count(&short.words());
                #[expect(unsafe_code, reason = "the text was checked when it came in")]
                // SAFETY: at most 23 of the 24 bytes count, and these are those of a `str`, or all below 128.
                unsafe {
                    std::str::from_utf8_unchecked(std::slice::from_raw_parts(std::ptr::from_ref(short).cast(), count))
                }
            }
            Repr::Long(text) => text,
        }
    }

    /// The words of the text, which ASCII white space parts: those of [`str::split_ascii_whitespace`], as texts of their
    /// own, and found faster.
    ///
    /// ```
    /// use millrace::Text;
    ///
    /// let words: Vec<Text> = Text::from("all that  flows").words().collect();
    /// assert_eq!(words, [Text::from("all"), Text::from("that"), Text::from("flows")]);
    /// ```
    #[inline]
    pub fn words(&self) -> impl Iterator<Item = Self> {
        words::Words::new(self)
    }

    /// The text that these bytes are, which `packed` has if they are few.
    #[inline(always)]
    fn checked(bytes: &[u8], packed: Option<Words>) -> Result<Self, DecodeError> {
        match packed {
            Some(words) if is_packed_ascii(&words) => Ok(Self(Repr::Short(Short::new(words)))),
            _ => Self::checked_whole(bytes),
        }
    }

    // What is rarely needed stands in functions of its own: the loops into which the rest is inlined stay small.
    #[cold]
    #[inline(never)]
    fn checked_whole(bytes: &[u8]) -> Result<Self, DecodeError> {
        std::str::from_utf8(bytes).map(Self::from).map_err(|_| DecodeError::BadUtf8)
    }

    #[cold]
    #[inline(never)]
    fn long(text: &str) -> Self {
        Self(Repr::Long(Rc::from(text)))
    }

    #[cold]
    #[inline(never)]
    fn encode_long(text: &str, out: &mut Vec<u8>) {
        encode_length(text.len(), out);
        out.extend_from_slice(text.as_bytes());
    }
}

impl From<&str> for Text {
    // Inlined, as all that makes or reads short text is: else it is moved through memory several times.
    #[inline(always)]
    fn from(text: &str) -> Self {
        match pack(text.as_bytes()) {
            Some(words) => Self(Repr::Short(Short::new(words))),
            None => Self::long(text),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl Data for Text {
    const MIN_BYTES: usize = 1;

    #[inline(always)]
    fn encode(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Short(short) => append_packed(out, &short.words()),
            Repr::Long(text) => Self::encode_long(text, out),
        }
    }

    #[inline(always)]
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = input.count(1)?;
        let packed = pack_front(input.front(), length);
        Self::checked(input.take(length)?, packed)
    }

    fn describe(fingerprint: &mut Fingerprint) {
        String::describe(fingerprint);
    }
}

impl RawRecord for Text {
    fn as_raw(&self) -> &[u8] {
        self.as_bytes()
    }

    fn from_raw(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::checked(bytes, pack(bytes))
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from("")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Short(own), Repr::Short(others)) => own == others,
            (Repr::Long(own), Repr::Long(others)) => own == others,
            _ => false,
        }
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn text_of_every_length_is_what_a_string_is() {
        let letters = "aé東𝄞".repeat(8);
        for (end, _) in letters.char_indices() {
            let string = letters[..end].to_owned();
            let text = Text::from(string.as_str());
            assert_eq!((text.as_str(), text.clone().to_string()), (string.as_str(), string.clone()));
            assert_eq!(text.to_bytes(), string.to_bytes());
            assert_eq!(Data::from_bytes(&string.to_bytes()), Ok(text.clone()));
            assert_eq!(<Text as RawRecord>::from_raw(text.as_raw()), Ok(text.clone()));
            assert_eq!(HashMap::from([(text, 7)]).get(string.as_str()), Some(&7));
        }
        assert_eq!(crate::data::fingerprint::<Text>(), crate::data::fingerprint::<String>());
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for length in [1, 2, 7, 8, 20, 22, 23, 60] {
            for at in 0..length {
                let mut bytes = vec![b'a'; length];
                bytes[at] = 0xff;
                assert_eq!(<Text as RawRecord>::from_raw(&bytes), Err(DecodeError::BadUtf8));
            }
        }
    }
}
