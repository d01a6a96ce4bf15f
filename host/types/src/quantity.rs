//! Amounts of memory and spans of time as people write them, by Flink's rules: `64 kb`, `1 gb`, `200 ms`, `5 min`.

/// Why a text is not the amount that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{value}\" is not {what}: write a whole number and one of the units {units}")]
pub struct QuantityError {
    value: String,
    what: &'static str,
    units: &'static str,
}

fn split_number(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim().to_ascii_lowercase()))
}

/// Reads an amount of memory; units are powers of 1024; a bare number is bytes.
pub fn parse_bytes(text: &str) -> Result<u64, QuantityError> {
    let error = || QuantityError {
        value: text.chars().take(80).collect(),
        what: "an amount of memory",
        units: "b, kb, mb, gb (or kib, mib, gib)",
    };
    let (number, unit) = split_number(text).ok_or_else(error)?;
    let scale: u64 = match unit.as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(error()),
    };
    number.checked_mul(scale).ok_or_else(error)
}

/// Reads a span of time into milliseconds; a bare number is milliseconds.
pub fn parse_duration_ms(text: &str) -> Result<u64, QuantityError> {
    let error =
        || QuantityError { value: text.chars().take(80).collect(), what: "a span of time", units: "ms, s, min, h, d" };
    let (number, unit) = split_number(text).ok_or_else(error)?;
    let scale: u64 = match unit.as_str() {
        "" | "ms" | "milli" | "millis" => 1,
        "s" | "sec" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return Err(error()),
    };
    number.checked_mul(scale).ok_or_else(error)
}

/// Writes an amount of memory for people: `64 KiB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 { format!("{value:.0} {}", UNITS[unit]) } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_flink_reads_them() {
        assert_eq!(parse_bytes("64 kb"), Ok(65_536));
        assert_eq!(parse_bytes("1g"), Ok(1 << 30));
        assert_eq!(parse_duration_ms("5 min"), Ok(300_000));
        assert_eq!(parse_duration_ms("17"), Ok(17));
        for bad in ["", "x", "-1 s", "1 parsec", "99999999999999999999"] {
            assert!(parse_bytes(bad).is_err() && parse_duration_ms(bad).is_err(), "{bad}");
        }
        assert_eq!(format_bytes(65_536), "64 KiB");
        assert_eq!(format_bytes(1_500), "1.5 KiB");
    }
}
