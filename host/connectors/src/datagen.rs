//! The `datagen` source: rows out of nothing, for tests and measurements.
//!
//! Invariants:
//! - A row depends on the seed and its index alone: every run, parallelism and resumption gives the same rows.
//! - A rate is kept by telling the task when to come back, never by sleeping.

mod rate;
mod reader;

use serde::{Deserialize, Serialize};

use crate::ConnectorError;
use crate::options::parse_options;
use rate::Rate;
pub use reader::DatagenReader;

/// The longest random row, in bytes.
const LENGTH_MAX: u32 = 1024 * 1024;

/// What rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// The row's index in decimal digits.
    #[default]
    Sequence,
    /// Random hexadecimal digits, as Flink's generator has them.
    Random,
}

/// The options of the `datagen` source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// How many rows; without end if absent.
    rows: Option<u64>,
    /// How many rows a second all subtasks together make at most.
    rows_per_second: Option<u64>,
    #[serde(default)]
    kind: Kind,
    /// Random rows: what makes them differ from run to run; 0 if absent.
    seed: Option<u64>,
    /// Random rows: their length in bytes; 100 if absent, as in Flink.
    length: Option<u32>,
}

/// A part of the sequence: `first`, `first + step`, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Split {
    first: u64,
    step: u64,
    /// How many; without end if none.
    rows: Option<u64>,
    rate: Option<Rate>,
}

/// A `datagen` source with its options read.
#[derive(Debug, Clone)]
pub struct Datagen {
    rows: Option<u64>,
    rows_per_second: Option<u64>,
    row: Row,
}

/// How a row is made from its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Sequence,
    Random { seed: u64, length: usize },
}

impl Datagen {
    pub fn parse(text: &str) -> Result<Self, ConnectorError> {
        let options: Options = parse_options("source", "datagen", text)?;
        let refuse = |reason: String| Err(ConnectorError::Options { kind: "source", connector: "datagen", reason });
        if options.rows_per_second == Some(0) {
            return refuse("option \"rows-per-second\": it must not be 0; leave it out for no limit".to_owned());
        }
        let row = match (options.kind, options.seed, options.length) {
            (Kind::Sequence, None, None) => Row::Sequence,
            (Kind::Sequence, seed, _) => {
                let name = if seed.is_some() { "seed" } else { "length" };
                return refuse(format!("option \"{name}\": it needs \"kind\": \"random\""));
            }
            (Kind::Random, _, Some(length)) if length > LENGTH_MAX => {
                return refuse(format!("option \"length\": it must not exceed {LENGTH_MAX}"));
            }
            (Kind::Random, seed, length) => {
                Row::Random { seed: seed.unwrap_or(0), length: length.unwrap_or(100) as usize }
            }
        };
        Ok(Self { rows: options.rows, rows_per_second: options.rows_per_second, row })
    }

    /// One split for each subtask; fewer if there are fewer rows.
    pub fn enumerate(&self, parallelism: u32) -> Result<Vec<Vec<u8>>, ConnectorError> {
        let parts = u64::from(parallelism.max(1));
        let rate = self.rows_per_second.map(|rows_per_second| Rate { rows_per_second, parts });
        let split = |part: u64| match self.rows {
            None => Split { first: part, step: parts, rows: None, rate },
            Some(rows) => {
                let bound = |part: u64| (u128::from(rows) * u128::from(part) / u128::from(parts)) as u64;
                Split { first: bound(part), step: 1, rows: Some(bound(part + 1) - bound(part)), rate }
            }
        };
        let splits = (0..parts).map(split).filter(|split| split.rows != Some(0));
        splits.map(|split| postcard::to_stdvec(&split).map_err(|_| bad_split())).collect()
    }

    pub fn reader(self) -> DatagenReader {
        DatagenReader::new(self.row)
    }
}

fn bad_split() -> ConnectorError {
    ConnectorError::BadSplit { connector: "datagen" }
}

impl Row {
    /// Writes the row of this index over what is in the buffer.
    fn write(self, index: u64, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Self::Sequence => {
                let mut digits = [0u8; 20];
                let mut at = digits.len();
                let mut rest = index;
                loop {
                    at -= 1;
                    digits[at] = b'0' + (rest % 10) as u8;
                    rest /= 10;
                    if rest == 0 {
                        break;
                    }
                }
                out.extend_from_slice(&digits[at..]);
            }
            Self::Random { seed, length } => {
                let mut state = mix(seed) ^ index;
                while out.len() < length {
                    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let random = mix(state);
                    for nibble in (0..16).take(length - out.len()) {
                        out.push(b"0123456789abcdef"[(random >> (4 * nibble)) as usize & 15]);
                    }
                }
            }
        }
    }
}

/// The finalizer of SplitMix64.
fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
