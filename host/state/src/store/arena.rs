//! Copied entries, back to back: copying one costs no allocation.

/// Where an entry ends, in bytes, and how long its value is; `None`: it was deleted.
#[derive(Debug, Clone, Copy)]
struct Span {
    key_end: usize,
    value_len: Option<u32>,
}

/// Entries in order.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Arena {
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        // Entries are much shorter than 4 GiB.
        self.spans.push(Span { key_end, value_len: value.map(|value| value.len() as u32) });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut start = 0;
        self.spans.iter().map(move |span| {
            let end = span.key_end + span.value_len.unwrap_or_default() as usize;
            let key = self.bytes.get(start..span.key_end).unwrap_or_default();
            let value = self.bytes.get(span.key_end..end).unwrap_or_default();
            start = end;
            (key, span.value_len.map(|_| value))
        })
    }

    /// About what its entries come to in a segment, in bytes.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        (self.bytes.len() + 9 * self.spans.len()) as u64
    }
}
