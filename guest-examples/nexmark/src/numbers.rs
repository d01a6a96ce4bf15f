//! The bare chain: what a record costs that does next to nothing.

use crate::source::Generate;

/// Generates the integers from 0 on.
pub struct Integers;

impl Generate for Integers {
    type Record = i64;

    #[inline]
    fn record(&self, index: u64) -> (i64, usize) {
        (index as i64, 0)
    }
}

/// The first map.
#[inline]
pub fn first(number: i64) -> i64 {
    number.wrapping_mul(3)
}

/// The second map.
#[inline]
pub fn second(number: i64) -> i64 {
    number ^ number >> 7
}

/// The third map.
#[inline]
pub fn third(number: i64) -> i64 {
    number.wrapping_add(11)
}

/// The filter: about half of the numbers pass.
#[inline]
pub fn passes(number: &i64) -> bool {
    number & 1 == 0
}
