//! A fast hash of key bytes, for tables in this instance's memory alone: key groups are the host's affair.

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER)
}

/// The hash of some bytes.
#[inline]
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = bytes.len() as u64;
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = 0;
        for byte in rest {
            last = last << 8 | u64::from(*byte);
        }
        hash = mix(hash, last);
    }
    // The table looks at the lowest and the highest bits; multiplication leaves the low ones poor.
    (hash ^ hash >> 32).wrapping_mul(MULTIPLIER) ^ hash >> 29
}
