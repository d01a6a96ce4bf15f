//! The words of a text.
//!
//! The white space of 64 bytes is found at once and kept as bits, so that a word costs a few instructions whatever its
//! length is: a loop over its bytes ends where no processor foresees it.

use super::Text;
use crate::batch::{pack_front, short_word};

/// The bytes of which the white space is found at once: one for each bit.
const BLOCK_BYTES: usize = 64;

/// The words of a text, in order.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    text: &'a str,
    /// The text and what may be read behind it.
    bytes: &'a [u8],
    /// Where the block begins.
    block: usize,
    /// The white space of the block, and all that is behind the text. The lowest bit is the block's first byte.
    spaces: u64,
    /// The letters of the block that are in no word so far.
    letters: u64,
}

impl<'a> Words<'a> {
    #[inline]
    pub fn new(text: &'a Text) -> Self {
        let spaces = spaces(text.as_bytes());
        Self { text, bytes: text.with_spare(), block: 0, spaces, letters: !spaces }
    }

    /// Goes on to the next block. Whether there is one.
    #[inline(never)]
    fn advance(&mut self) -> bool {
        let behind = self.block + BLOCK_BYTES;
        let rest = self.text.as_bytes().get(behind..).filter(|rest| !rest.is_empty());
        self.spaces = rest.map_or(u64::MAX, spaces);
        self.letters = !self.spaces;
        if rest.is_some() {
            self.block = behind;
        }
        rest.is_some()
    }

    /// Where the word ends that reaches the end of the block.
    #[inline(never)]
    fn end_behind(&mut self) -> usize {
        while self.advance() {
            if self.spaces != 0 {
                let end = self.spaces.trailing_zeros();
                self.letters &= u64::MAX << end;
                return self.block + end as usize;
            }
        }
        self.text.len()
    }
}

impl Iterator for Words<'_> {
    type Item = Text;

    #[inline]
    fn next(&mut self) -> Option<Text> {
        while self.letters == 0 {
            if !self.advance() {
                return None;
            }
        }
        let first = self.letters.trailing_zeros();
        let start = self.block + first as usize;
        let spaces = self.spaces & u64::MAX << first;
        let end = if spaces == 0 {
            self.end_behind()
        } else {
            let end = spaces.trailing_zeros();
            self.letters &= u64::MAX << end;
            self.block + end as usize
        };
        // What stands between the white space of a text is text.
        Some(match pack_front(self.bytes.get(start..)?, end - start) {
            Some(words) => Text::short(words),
            None => Text::long(self.text.get(start..end)?),
        })
    }
}

/// The same byte eight times.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The bytes below a limit, which is at most 128: the highest bit of each.
#[inline(always)]
fn below(bytes: u64, limit: u8) -> u64 {
    // No byte borrows from the next one.
    !((bytes | all(0x80)).wrapping_sub(all(limit)) | bytes) & all(0x80)
}

/// The highest bit of each byte, moved together.
#[inline(always)]
fn highest_bits(bytes: u64) -> u64 {
    (bytes >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Where the first 64 bytes are white space or not there.
#[inline]
fn spaces(bytes: &[u8]) -> u64 {
    let block = &bytes[..bytes.len().min(BLOCK_BYTES)];
    let (words, rest) = block.as_chunks::<8>();
    let (mut found, mut controls) = (0, 0);
    let mut look = |word: u64, at: usize| {
        found |= highest_bits(below(word, b' ' + 1)) << at;
        controls |= below(word, b' ');
    };
    for (index, word) in words.iter().enumerate() {
        look(u64::from_le_bytes(*word), 8 * index);
    }
    if !rest.is_empty() {
        look(short_word(rest) | all(b' ') << (8 * rest.len()), 8 * words.len());
    }
    if controls != 0 {
        found = spaces_among_controls(block);
    }
    found | u64::MAX.checked_shl(block.len() as u32).unwrap_or(0)
}

/// The same where there are control characters: some are white space, others are not.
#[cold]
fn spaces_among_controls(block: &[u8]) -> u64 {
    block.iter().rev().fold(0, |found, byte| found << 1 | u64::from(byte.is_ascii_whitespace()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_white_space_parts() {
        let pieces =
            ["", " ", "a", "word", "\t", "\n ", "東京", "\u{1}", "\x0c\r", "  ", "seventeen-letters", "\u{a0}"];
        let long = "a word that is longer than a block of sixty-four bytes".replace(' ', "_") + "_and_some_more";
        let mut random = 1u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            let mut next = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) as usize
            };
            for _ in 0..next() % 40 {
                match next() % 16 {
                    0 => text.push_str(&long),
                    1..6 => text.push(' '),
                    _ => text.push_str(pieces[next() % pieces.len()]),
                }
            }
            let found: Vec<String> = Words::new(&Text::from(text.as_str())).map(String::from).collect();
            assert_eq!(found, text.split_ascii_whitespace().collect::<Vec<_>>(), "{text:?}");
        }
    }
}
