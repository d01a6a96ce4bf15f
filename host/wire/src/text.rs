//! Texts of limited length.

/// The beginning of a text, at most so many bytes of it, cut between characters.
pub(crate) fn bounded_text(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
