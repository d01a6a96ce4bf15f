//! Appending short byte strings.
//!
//! A copy of a length that is not known beforehand is an instruction of its own in Wasm, and engines carry it out by calling
//! a function of theirs: for the few bytes of a usual field that costs several times the copy. So short ones are moved in
//! words, the last two of which may overlap.

/// The longest that is moved in words, in bytes.
const SHORT_BYTES_MAX: usize = 64;

/// The eight bytes at an offset.
#[inline]
fn word(bytes: &[u8], offset: usize) -> u64 {
    match bytes.get(offset..).and_then(<[u8]>::first_chunk) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => 0,
    }
}

/// Up to eight bytes as a word: the first one is the lowest, and what is not there is zero.
#[inline(always)]
pub(crate) fn short_word(bytes: &[u8]) -> u64 {
    let count = bytes.len();
    if count >= 8 {
        word(bytes, 0)
    } else if count >= 4 {
        let half =
            |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |half| u32::from_le_bytes(*half));
        u64::from(half(0)) | u64::from(half(count - 4)) << (8 * (count - 4))
    } else {
        let at = |index: usize| u64::from(bytes.get(index).copied().unwrap_or(0)) << (8 * index);
        at(0) | at(1) | at(2)
    }
}

/// Appends bytes.
#[inline(always)]
pub(crate) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > SHORT_BYTES_MAX {
        return out.extend_from_slice(bytes);
    }
    out.reserve(bytes.len());
    let end = out.len() + bytes.len();
    #[expect(unsafe_code, reason = "safe code asks for room at every word, which costs more than the words")]
    // SAFETY: there is room up to `end`, and all that lies in front of it has been written.
    unsafe {
        let _ = copy_short(bytes, out.as_mut_ptr().add(out.len()));
        out.set_len(end);
    }
}

/// Copies at most [`SHORT_BYTES_MAX`] bytes in words, of which the first reach up to the last ones, or over them. Returns all
/// of them joined by *or*: with [`is_ascii`] it tells whether a byte is above 127.
///
/// # Safety
/// `to` can be written for as many bytes.
#[inline(always)]
#[expect(unsafe_code, reason = "see `append`")]
unsafe fn copy_short(bytes: &[u8], to: *mut u8) -> u128 {
    let (from, count) = (bytes.as_ptr(), bytes.len());
    /// Moves a word at an offset.
    macro_rules! word {
        ($type:ty, $at:expr) => {{
            let word = from.add($at).cast::<$type>().read_unaligned();
            to.add($at).cast::<$type>().write_unaligned(word);
            u128::from(word)
        }};
    }
    // SAFETY: every word lies within the `count` bytes of both.
    unsafe {
        match count {
            33.. => word!(u128, 0) | word!(u128, 16) | word!(u128, count - 32) | word!(u128, count - 16),
            16..=32 => word!(u128, 0) | word!(u128, count - 16),
            8..=15 => word!(u64, 0) | word!(u64, count - 8),
            4..=7 => word!(u32, 0) | word!(u32, count - 4),
            1..=3 => word!(u8, 0) | word!(u8, count / 2) | word!(u8, count - 1),
            0 => 0,
        }
    }
}

/// Whether joined bytes are all below 128.
#[inline]
fn is_ascii(joined: u128) -> bool {
    joined & u128::from_ne_bytes([0x80; 16]) == 0
}

/// The text that these bytes are, if they are.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(bytes.len());
    if bytes.len() > SHORT_BYTES_MAX {
        text.extend_from_slice(bytes);
        return String::from_utf8(text).ok();
    }
    #[expect(unsafe_code, reason = "see `append`; checking for UTF-8 costs more than all else")]
    // SAFETY: there is room for the bytes, which are written, and bytes below 128 are UTF-8.
    unsafe {
        let joined = copy_short(bytes, text.as_mut_ptr());
        text.set_len(bytes.len());
        if is_ascii(joined) { Some(String::from_utf8_unchecked(text)) } else { String::from_utf8(text).ok() }
    }
}

/// The most bytes that fit into [`Words`].
pub(crate) const WORDS_BYTES_MAX: usize = 23;

/// A few bytes in three words: the first byte is the lowest, the last byte of all is their number, and what is not there is
/// zero. Put together and moved in words: bytes that were written in pieces which overlap are slow to read.
pub(crate) type Words = [u64; 3];

/// Packs bytes, if they are few enough.
#[inline(always)]
pub(crate) fn pack(bytes: &[u8]) -> Option<Words> {
    let count = (bytes.len() as u64) << 56;
    if bytes.len() <= 8 {
        Some([short_word(bytes), 0, count])
    } else if bytes.len() <= 16 {
        Some([short_word(bytes), short_word(&bytes[8..]), count])
    } else if bytes.len() <= WORDS_BYTES_MAX {
        Some([short_word(bytes), short_word(&bytes[8..]), short_word(&bytes[16..]) | count])
    } else {
        None
    }
}

/// Whether packed bytes are all below 128. Their number is.
#[inline(always)]
pub(crate) fn is_packed_ascii(words: &Words) -> bool {
    (words[0] | words[1] | words[2]) & 0x8080_8080_8080_8080 == 0
}

/// How many bytes were packed.
#[inline(always)]
pub(crate) fn packed_count(words: &Words) -> usize {
    (words[2] >> 56) as usize
}

/// Of each number of bytes, which bits of the words they take.
const FRONTS: [Words; WORDS_BYTES_MAX + 1] = {
    let mut fronts = [[0; 3]; WORDS_BYTES_MAX + 1];
    let mut count = 1;
    while count <= WORDS_BYTES_MAX {
        fronts[count] = fronts[count - 1];
        fronts[count][(count - 1) / 8] |= 0xff << (8 * ((count - 1) % 8));
        count += 1;
    }
    fronts
};

/// Packs the first `count` of some bytes, if they are few enough. What follows them is read along where there is enough of
/// it, and cut: the lengths of texts cannot be foretold, and a branch that is guessed wrong costs more than all of this.
#[inline(always)]
pub(crate) fn pack_front(bytes: &[u8], count: usize) -> Option<Words> {
    let front = FRONTS.get(count)?;
    let last;
    let chunk = match bytes.first_chunk() {
        Some(chunk) => chunk,
        None if count <= bytes.len() => {
            last = last_chunk(bytes);
            &last
        }
        None => return None,
    };
    // Both ways read the words from memory: a result that one of them wrote there would go there on the other way, too, and
    // be read back at once.
    let part = |index: usize| word(chunk, 8 * index) & front[index];
    Some([part(0), part(1), part(2) | (count as u64) << 56])
}

/// The bytes where too few stand behind them to be read along.
#[cold]
#[inline(never)]
fn last_chunk(bytes: &[u8]) -> [u8; WORDS_BYTES_MAX + 1] {
    let mut chunk = [0; WORDS_BYTES_MAX + 1];
    let count = bytes.len().min(chunk.len());
    chunk[..count].copy_from_slice(&bytes[..count]);
    chunk
}

/// Appends the number of packed bytes and the bytes themselves: all of them are copied, which needs no branches, and cut.
#[inline(always)]
pub(crate) fn append_packed(out: &mut Vec<u8>, words: &Words) {
    let [first, second, last] = *words;
    let end = out.len() + 1 + packed_count(words);
    let moved = [first << 8 | last >> 56, second << 8 | first >> 56, last << 8 | second >> 56];
    let mut bytes = [0; 24];
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(moved) {
        *place = word.to_le_bytes();
    }
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_every_length_arrive_as_they_are() {
        let bytes: Vec<u8> = (1..=100).collect();
        for count in 0..=bytes.len() {
            let mut out = b"before".to_vec();
            append(&mut out, &bytes[..count]);
            append(&mut out, b"!");
            assert_eq!(out, [b"before", &bytes[..count], b"!"].concat(), "{count} bytes");
        }
    }

    #[test]
    fn text_is_told_from_other_bytes() {
        let letters = "é€𝄞 and plain letters ".repeat(4);
        for end in 0..=letters.len() {
            let bytes = &letters.as_bytes()[..end];
            assert_eq!(text(bytes).as_deref(), std::str::from_utf8(bytes).ok());
            assert_eq!(pack(bytes).is_some_and(|words| is_packed_ascii(&words)), end < 24 && bytes.is_ascii());
            assert_eq!(pack_front(letters.as_bytes(), end), pack(bytes));
            assert_eq!(pack_front(bytes, end), pack(bytes));
        }
        for length in 1..=70 {
            for at in 0..length {
                let mut bytes = vec![b'a'; length];
                bytes[at] = 0xff;
                assert_eq!(text(&bytes), None);
            }
        }
    }

    #[test]
    fn short_words_end_with_zeros() {
        for count in 0..=8usize {
            let expected = (0..count).fold(0, |word, at| word | (at as u64 + 1) << (8 * at));
            assert_eq!(short_word(&[1, 2, 3, 4, 5, 6, 7, 8][..count]), expected);
        }
    }
}
