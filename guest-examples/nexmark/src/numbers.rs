//! The bare chain: what a record costs that does next to nothing.

use millrace::Text;

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

/// Generates each of so many keys once, and from then on only the first ones of them, over and over: much state of which
/// little changes.
pub struct Keys {
    /// How many keys there are.
    pub all: u64,
    /// How many of them come again.
    pub again: u64,
}

impl Generate for Keys {
    type Record = Text;

    #[inline]
    fn record(&self, index: u64) -> (Text, usize) {
        let number = if index < self.all { index } else { index % self.again };
        (Text::from(format!("key-{number}").as_str()), 0)
    }
}
