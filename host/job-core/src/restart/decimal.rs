//! Decimal fractions, such as a multiplier of a delay: exact, so that delays are the same on every machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const DIGITS: usize = 6;
const SCALE: u64 = 1_000_000;

/// A number of at most six decimals that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Decimal {
    millionths: u64,
}

/// Why a text is no such number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecimalError;

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write a number such as 1.5, with at most {DIGITS} decimals")
    }
}

impl std::error::Error for DecimalError {}

impl Decimal {
    /// One.
    pub const ONE: Self = Self { millionths: SCALE };

    /// So many millionths.
    pub const fn from_millionths(millionths: u64) -> Self {
        Self { millionths }
    }

    /// This number of times an amount; the largest amount if that is too much.
    pub fn times(self, amount: u64) -> u64 {
        let product = u128::from(amount) * u128::from(self.millionths) / u128::from(SCALE);
        u64::try_from(product).unwrap_or(u64::MAX)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > DIGITS {
            return Err(DecimalError);
        }
        let whole: u64 = whole.parse().map_err(|_| DecimalError)?;
        let fraction: u64 = format!("{fraction:0<DIGITS$}").parse().map_err(|_| DecimalError)?;
        let millionths = whole.checked_mul(SCALE).and_then(|scaled| scaled.checked_add(fraction));
        Ok(Self { millionths: millionths.ok_or(DecimalError)? })
    }
}

impl fmt::Display for Decimal {
    /// With all six decimals, as Flink prints such a number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:0DIGITS$}", self.millionths / SCALE, self.millionths % SCALE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn numbers_are_read_exactly() {
        for (text, printed) in [("1.5", "1.500000"), ("2", "2.000000"), (" 0.1 ", "0.100000"), ("0.000001", "0.000001")]
        {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), printed);
        }
        for text in ["", ".5", "1.", "-1", "+1", "1e3", "0.0000001", "NaN", "99999999999999999999"] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError), "{text}");
        }
        assert_eq!("1.5".parse::<Decimal>().unwrap().times(1_001), 1_501);
        assert_eq!("2".parse::<Decimal>().unwrap().times(u64::MAX), u64::MAX);
    }
}
