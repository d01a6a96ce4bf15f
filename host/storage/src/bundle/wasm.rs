//! The first eight bytes of a Wasm binary: which kind it is.

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preamble {
    Component,
    CoreModule,
    /// A version or layer that this Millrace does not know, or too few bytes to say.
    Other,
}

const MAGIC: &[u8; 4] = b"\0asm";

/// The layer of components; core modules have layer 0.
const COMPONENT_LAYER: u16 = 1;

impl Preamble {
    /// What the bytes begin as; `None`: not as Wasm at all.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let Some(&[v0, v1, l0, l1]) = rest.first_chunk::<4>() else { return Some(Self::Other) };
        Some(match (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([l0, l1])) {
            (_, COMPONENT_LAYER) => Self::Component,
            (1, 0) => Self::CoreModule,
            _ => Self::Other,
        })
    }
}
