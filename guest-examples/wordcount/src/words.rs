//! What a word is: a maximal run of Unicode letters (categories L*) and decimal digits (category Nd), lower-cased.

use unicode_general_category::{GeneralCategory, get_general_category};

fn is_word_char(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    use GeneralCategory::{
        DecimalNumber, LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter,
    };
    matches!(
        get_general_category(c),
        UppercaseLetter | LowercaseLetter | TitlecaseLetter | ModifierLetter | OtherLetter | DecimalNumber
    )
}

/// Calls `found` with each word of a line, in order.
pub fn each_word(line: &str, mut found: impl FnMut(String)) {
    if line.is_ascii() {
        // Bytes are characters here, and changing their case keeps their number.
        for word in line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
            found(word.to_ascii_lowercase());
        }
        return;
    }
    for word in line.split(|c| !is_word_char(c)).filter(|word| !word.is_empty()) {
        found(word.to_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        each_word(line, |word| words.push(word));
        words
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(words("To be, or not to be: it's 2024!"), ["to", "be", "or", "not", "to", "be", "it", "s", "2024"]);
        assert_eq!(words("snake_case — naïve café"), ["snake", "case", "naïve", "café"]);
        assert_eq!(words("日本語 テスト ١٢٣"), ["日本語", "テスト", "١٢٣"]);
        assert_eq!(words(" ,.; "), [""; 0]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn marks_and_other_numbers_separate_words() {
        // A combining accent is a mark, a Roman numeral and a fraction are numbers that are no digits.
        assert_eq!(words("cafe\u{301}s"), ["cafe", "s"]);
        assert_eq!(words("aⅣb½c²d"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn case_is_that_of_the_whole_word() {
        assert_eq!(words("STRASSE Straße ΌΣΟΣ"), ["strasse", "straße", "όσος"]);
        assert_eq!(words("İstanbul"), ["i\u{307}stanbul"]);
    }
}
