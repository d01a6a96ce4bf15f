//! Records on their way between two fused operators, a few at a time.
//!
//! Operators of a segment know each other only through a virtual call. Paid per record it costs more than many functions
//! do, so records are handed on in chunks, and each operator works on a chunk in a loop of its own. Invariants: nothing
//! stays in a chunk between two calls of the host; the records of a chunk all have timestamps, or none has.

use crate::batch::NO_TIMESTAMP;

/// What the records of a chunk take, about, without what they keep on the heap: a part of the nearest cache.
const CHUNK_BYTES: usize = 4096;
/// The fewest records that make the call cheap.
const RECORDS_MIN: usize = 32;
/// More records make it no cheaper.
const RECORDS_MAX: usize = 256;

/// Some records in order, with their timestamps.
pub(crate) struct Chunk<T> {
    values: Vec<T>,
    /// One for each value; empty if the records have none.
    times: Vec<i64>,
    is_timed: bool,
}

impl<T> Chunk<T> {
    /// The most records in a chunk.
    const CAPACITY: usize = {
        let fit = if size_of::<T>() == 0 { RECORDS_MAX } else { CHUNK_BYTES / size_of::<T>() };
        if fit < RECORDS_MIN {
            RECORDS_MIN
        } else if fit > RECORDS_MAX {
            RECORDS_MAX
        } else {
            fit
        }
    };

    pub const fn new() -> Self {
        Self { values: Vec::new(), times: Vec::new(), is_timed: false }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether there is room for a record with this timestamp.
    #[inline(always)]
    pub fn accepts(&self, at: i64) -> bool {
        let fits = self.values.len() < Self::CAPACITY && self.is_timed == (at != NO_TIMESTAMP);
        fits || self.values.is_empty()
    }

    /// Adds a record that the chunk accepts.
    #[inline(always)]
    pub fn push(&mut self, value: T, at: i64) {
        if at != NO_TIMESTAMP {
            self.times.push(at);
            self.is_timed = true;
        } else {
            self.is_timed = false;
        }
        self.values.push(value);
    }

    /// Whether the records have timestamps.
    pub fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// The records.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The timestamps; empty if the records have none.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    pub fn clear(&mut self) {
        self.values.clear();
        self.times.clear();
    }

    /// Takes all records of another chunk, changed by `map`, with their timestamps. This one is empty before and the
    /// other one behind it.
    #[inline]
    pub fn map_from<S>(&mut self, other: &mut Chunk<S>, map: impl FnMut(S) -> T) {
        std::mem::swap(&mut self.times, &mut other.times);
        self.is_timed = other.is_timed;
        self.values.extend(other.values.drain(..).map(map));
        other.times.clear();
    }

    /// Takes those records of another chunk, changed by `map`, for which it gives something, with their timestamps. This one
    /// is empty before.
    #[inline]
    pub fn filter_map_from<S>(&mut self, other: &Chunk<S>, mut map: impl FnMut(&S) -> Option<T>) {
        self.is_timed = other.is_timed;
        if other.is_timed {
            for (value, at) in other.values.iter().zip(&other.times) {
                if let Some(value) = map(value) {
                    self.values.push(value);
                    self.times.push(*at);
                }
            }
        } else {
            self.values.extend(other.values.iter().filter_map(map));
        }
    }

    /// Gives records other timestamps, from the records and those that they have.
    #[inline]
    pub fn set_times(&mut self, mut time_of: impl FnMut(&T, Option<i64>) -> i64) {
        if self.is_timed {
            for (value, at) in self.values.iter().zip(&mut self.times) {
                *at = time_of(value, Some(*at));
            }
        } else {
            self.times.clear();
            self.times.extend(self.values.iter().map(|value| time_of(value, None)));
            self.is_timed = true;
        }
    }

    /// Keeps the records for which `keeps` holds.
    #[inline]
    pub fn retain(&mut self, mut keeps: impl FnMut(&T) -> bool) {
        if self.is_timed {
            let (times, mut read, mut written) = (&mut self.times, 0, 0);
            self.values.retain(|value| {
                let is_kept = keeps(value);
                if is_kept {
                    times[written] = times[read];
                    written += 1;
                }
                read += 1;
                is_kept
            });
            times.truncate(written);
        } else {
            self.values.retain(keeps);
        }
    }

    /// Takes the records out, with their timestamps or `NO_TIMESTAMP`.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = (T, i64)> {
        let is_timed = self.is_timed;
        let mut times = self.times.drain(..);
        self.values.drain(..).map(move |value| {
            let at = if is_timed { times.next().unwrap_or(NO_TIMESTAMP) } else { NO_TIMESTAMP };
            (value, at)
        })
    }
}

impl<T: Clone> Clone for Chunk<T> {
    fn clone(&self) -> Self {
        Self { values: self.values.clone(), times: self.times.clone(), is_timed: self.is_timed }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn chunk(records: &[(u32, i64)]) -> Chunk<u32> {
        let mut chunk = Chunk::new();
        for (value, at) in records {
            assert!(chunk.accepts(*at));
            chunk.push(*value, *at);
        }
        chunk
    }

    #[test]
    fn timestamps_stay_with_their_records() {
        let mut timed = chunk(&[(1, 10), (2, 20), (3, 30), (4, 40)]);
        timed.retain(|value| value % 2 == 0);
        let mut mapped = Chunk::new();
        mapped.map_from(&mut timed, |value| value + 100);
        assert!(timed.is_empty() && timed.times().is_empty());
        let mut found = Chunk::new();
        found.filter_map_from(&mapped, |value| (*value == 104).then_some(value + 1));
        assert_eq!(found.drain().collect::<Vec<_>>(), [(105, 40)]);
        assert_eq!(mapped.drain().collect::<Vec<_>>(), [(102, 20), (104, 40)]);
        assert!(mapped.is_empty() && mapped.times().is_empty());
    }

    #[test]
    fn records_with_and_without_timestamps_do_not_mix() {
        let mut plain = chunk(&[(1, NO_TIMESTAMP), (2, NO_TIMESTAMP)]);
        assert!(!plain.accepts(5) && plain.accepts(NO_TIMESTAMP));
        plain.retain(|value| *value == 2);
        assert_eq!(plain.drain().collect::<Vec<_>>(), [(2, NO_TIMESTAMP)]);
        assert!(plain.accepts(5));
        plain.push(3, 5);
        assert!(plain.is_timed() && !plain.accepts(NO_TIMESTAMP));
        plain.set_times(|value, at| i64::from(*value) * 7 + at.unwrap_or(0));
        assert_eq!(plain.drain().collect::<Vec<_>>(), [(3, 26)]);
    }

    #[test]
    fn a_chunk_is_bounded() {
        let mut full = Chunk::new();
        (0..RECORDS_MAX).for_each(|_| {
            assert!(full.accepts(NO_TIMESTAMP));
            full.push(7u8, NO_TIMESTAMP);
        });
        assert!(!full.accepts(NO_TIMESTAMP));
        assert_eq!((Chunk::<()>::CAPACITY, Chunk::<[u64; 8]>::CAPACITY), (RECORDS_MAX, 64));
        assert_eq!(Chunk::<[u8; CHUNK_BYTES]>::CAPACITY, RECORDS_MIN);
    }
}
