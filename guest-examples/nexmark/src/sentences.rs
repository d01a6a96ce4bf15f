//! Sentences of ten words, some words much more frequent than others.

use std::cell::OnceCell;

use millrace::Text;

use crate::generator::{mix, unit};
use crate::source::Generate;

const VOCABULARY_WORDS: u64 = 10_000;
/// A power of two: sentence n is the one at n modulo this.
const SENTENCES: usize = 4096;
const WORDS_PER_SENTENCE: usize = 10;

/// A word of the vocabulary: some letters, and its index in base 36, which no other word has.
pub fn word(index: u64) -> String {
    let mut hash = mix(index);
    let length = 3 + (hash >> 40) % 8;
    let mut word = String::new();
    for _ in 0..length {
        word.push(char::from(b'a' + ((hash & 31) % 26) as u8));
        hash = mix(hash);
    }
    word.push_str(&base_36(index));
    word
}

fn base_36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().copied().map(char::from).collect()
}

fn sentences() -> Vec<Text> {
    let vocabulary: Vec<String> = (0..VOCABULARY_WORDS).map(word).collect();
    let mut hash = 42;
    let mut next = || {
        hash = mix(hash);
        // The cube makes the first words of the vocabulary frequent.
        vocabulary[(unit(hash).powi(3) * VOCABULARY_WORDS as f64) as usize].as_str()
    };
    (0..SENTENCES).map(|_| (0..WORDS_PER_SENTENCE).map(|_| next()).collect::<Vec<_>>().join(" ").into()).collect()
}

/// Generates sentences.
#[derive(Default)]
pub struct Sentences {
    /// Made where sentences are sent, and not where the graph is built.
    sentences: OnceCell<Vec<Text>>,
}

impl Sentences {
    /// The sentence of an index.
    #[inline]
    pub fn sentence(&self, index: u64) -> &Text {
        let sentences = self.sentences.get_or_init(sentences);
        &sentences[index as usize % SENTENCES]
    }
}

impl Generate for Sentences {
    type Record = Text;

    #[inline]
    fn record(&self, index: u64) -> (Text, usize) {
        let sentence = self.sentence(index).clone();
        let bytes = sentence.len();
        (sentence, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_ten_words_and_come_again() {
        let sentences = Sentences::default();
        for index in [0, 1, 4095] {
            assert_eq!(sentences.sentence(index).split(' ').count(), 10);
            assert_eq!(sentences.sentence(index), sentences.sentence(index + 4096));
        }
    }

    #[test]
    fn words_end_with_their_index() {
        assert!(word(0).ends_with('0') && word(35).ends_with('z') && word(36).ends_with("10"));
        assert!((0..100).all(|index| (4..=13).contains(&word(index).len())));
    }
}
