//! Text that is cheap to make, to copy and to drop.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

#[cfg(target_endian = "big")]
compile_error!("short text is kept in little-endian words");

use crate::batch::{Words, append_packed, is_packed_ascii, pack, packed_count};
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
    /// Each word in the order of its bytes, so that in memory they are the text.
    Short(Words),
    Long(Rc<str>),
}

impl Text {
    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(words) => {
                let count = packed_count(words);
                #[expect(unsafe_code, reason = "the text was checked when it came in")]
                // SAFETY: at most 23 of the 24 bytes count, and these are those of a `str`, or all below 128.
                unsafe {
                    std::str::from_utf8_unchecked(std::slice::from_raw_parts(words.as_ptr().cast(), count))
                }
            }
            Repr::Long(text) => text,
        }
    }

    /// The text that these bytes are.
    #[inline(always)]
    fn checked(bytes: &[u8]) -> Result<Self, DecodeError> {
        match pack(bytes) {
            Some(words) if is_packed_ascii(&words) => Ok(Self(Repr::Short(words))),
            _ => std::str::from_utf8(bytes).map(Self::from).map_err(|_| DecodeError::BadUtf8),
        }
    }
}

impl From<&str> for Text {
    // Inlined, as all that makes or reads short text is: else it is moved through memory several times.
    #[inline(always)]
    fn from(text: &str) -> Self {
        Self(match pack(text.as_bytes()) {
            Some(words) => Repr::Short(words),
            None => Repr::Long(Rc::from(text)),
        })
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
            Repr::Short(words) => {
                out.push(packed_count(words) as u8);
                append_packed(out, words);
            }
            Repr::Long(text) => {
                encode_length(text.len(), out);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    #[inline(always)]
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = input.count(1)?;
        Self::checked(input.take(length)?)
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
        Self::checked(bytes)
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
