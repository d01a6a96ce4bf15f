//! Text that is cheap to make, to copy and to drop.

mod words;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ops::Deref;
use std::rc::Rc;

#[cfg(target_endian = "big")]
compile_error!("short text is kept in little-endian words");

use crate::batch::{WORDS_BYTES_MAX, Words, append_packed, is_packed_ascii, pack, pack_front, packed_count};
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
// Words and nothing else, no enum of two forms: an engine keeps words in registers from where a text is made to where it
// goes. An enum is moved in other pieces than it was written in, and to read at once what was just written in pieces is slow.
#[repr(C)]
pub struct Text {
    /// Short: the first bytes, each word in their order, so that in memory they are the text. Long: where the shared bytes
    /// are, and how many.
    front: [u64; 2],
    /// Short: the last bytes, their number and [`SHORT`]. Long: [`LONG`].
    last: NonZeroU64,
    /// What a long text has a part in.
    shared: PhantomData<Rc<[u8]>>,
}

/// Set in the last word of every short text; the number of its bytes leaves it free.
const SHORT: NonZeroU64 = match NonZeroU64::new(1 << 63) {
    Some(bit) => bit,
    None => NonZeroU64::MIN,
};

/// Zeros behind the bytes of long text: as many are read at once, wherever a word of it begins.
const SPARE_BYTES: usize = WORDS_BYTES_MAX + 1;

/// The last word of every long text.
const LONG: NonZeroU64 = NonZeroU64::MIN;

impl Text {
    /// A text of packed bytes, which are UTF-8.
    #[inline(always)]
    fn short([first, second, last]: Words) -> Self {
        Self { front: [first, second], last: SHORT | last, shared: PhantomData }
    }

    #[inline(always)]
    fn is_short(&self) -> bool {
        self.last != LONG
    }

    /// The packed bytes of a short text.
    #[inline(always)]
    fn packed(&self) -> Words {
        [self.front[0], self.front[1], self.last.get() ^ SHORT.get()]
    }

    #[cold]
    #[inline(never)]
    fn long(text: &str) -> Self {
        let mut shared = Rc::<[u8]>::new_uninit_slice(text.len() + SPARE_BYTES);
        let shared = Rc::into_raw(match Rc::get_mut(&mut shared) {
            Some(bytes) => {
                let (own, spare) = bytes.split_at_mut(text.len());
                #[expect(unsafe_code, reason = "bytes that are written once are not cleared before")]
                // SAFETY: all of them are written.
                unsafe {
                    own.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
                    spare.as_mut_ptr().cast::<u8>().write_bytes(0, spare.len());
                    shared.assume_init()
                }
            }
            // Nobody else knows of them.
            None => Rc::from([text.as_bytes(), &[0; SPARE_BYTES]].concat()),
        });
        let address = shared.cast::<u8>().expose_provenance();
        Self { front: [address as u64, text.len() as u64], last: LONG, shared: PhantomData }
    }

    /// What a long text shares, as `Rc::into_raw` gave it: its bytes and the spare ones. Of words, not of a reference: that
    /// would keep the text in memory where it is made.
    fn shared(front: [u64; 2]) -> *const [u8] {
        let bytes = std::ptr::with_exposed_provenance::<u8>(front[0] as usize);
        std::ptr::slice_from_raw_parts(bytes, front[1] as usize + SPARE_BYTES)
    }

    /// Counts one more part in what a long text shares.
    #[inline(never)]
    fn share(front: [u64; 2]) {
        #[expect(unsafe_code, reason = "see the type")]
        // SAFETY: a long text's bytes came from `Rc::into_raw`, and this text still has its part.
        unsafe {
            Rc::increment_strong_count(Self::shared(front));
        }
    }

    /// Counts a long text's part off.
    #[inline(never)]
    fn release(front: [u64; 2]) {
        #[expect(unsafe_code, reason = "see the type")]
        // SAFETY: as in `share`; nobody reads this text after it.
        unsafe {
            Rc::decrement_strong_count(Self::shared(front));
        }
    }

    /// The text's bytes, and those behind it that may be read along.
    #[inline]
    fn with_spare(&self) -> &[u8] {
        if self.is_short() {
            return self.as_bytes();
        }
        #[expect(unsafe_code, reason = "see the type")]
        // SAFETY: this text has a part in the bytes, all of which were written.
        unsafe {
            &*Self::shared(self.front)
        }
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        if self.is_short() {
            let count = packed_count(&self.packed());
            #[expect(unsafe_code, reason = "the text was checked when it came in")]
            // SAFETY: at most 23 of the 24 bytes count, and these are those of a `str`, or all below 128.
            unsafe {
                std::str::from_utf8_unchecked(std::slice::from_raw_parts(std::ptr::from_ref(self).cast(), count))
            }
        } else {
            #[expect(unsafe_code, reason = "see the type: a long text is an address and a number")]
            // SAFETY: this text has a part in the bytes, of which as many are a `str`.
            unsafe {
                let bytes = std::ptr::with_exposed_provenance(self.front[0] as usize);
                std::str::from_utf8_unchecked(std::slice::from_raw_parts(bytes, self.front[1] as usize))
            }
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
        // No call gives the result itself: it would be put into memory, where the short text would go for its sake.
        let text = match packed {
            Some(words) if is_packed_ascii(&words) => Self::short(words),
            _ => Self::checked_whole(bytes)?,
        };
        Ok(text)
    }

    // What is rarely needed stands in functions of its own: the loops into which the rest is inlined stay small.
    #[cold]
    #[inline(never)]
    fn checked_whole(bytes: &[u8]) -> Result<Self, DecodeError> {
        std::str::from_utf8(bytes).map(Self::from).map_err(|_| DecodeError::BadUtf8)
    }

    #[cold]
    #[inline(never)]
    fn encode_long(text: &str, out: &mut Vec<u8>) {
        encode_length(text.len(), out);
        out.extend_from_slice(text.as_bytes());
    }
}

impl Clone for Text {
    #[inline(always)]
    fn clone(&self) -> Self {
        if !self.is_short() {
            Self::share(self.front);
        }
        Self { front: self.front, last: self.last, shared: PhantomData }
    }
}

impl Drop for Text {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.is_short() {
            Self::release(self.front);
        }
    }
}

impl From<&str> for Text {
    // Inlined, as all that makes or reads short text is: else it is moved through memory several times.
    #[inline(always)]
    fn from(text: &str) -> Self {
        match pack(text.as_bytes()) {
            Some(words) => Self::short(words),
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
        if self.is_short() { append_packed(out, &self.packed()) } else { Self::encode_long(self, out) }
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
        // A long text differs from each short one in the number of its bytes.
        if self.is_short() && other.is_short() { self.packed() == other.packed() } else { **self == **other }
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
