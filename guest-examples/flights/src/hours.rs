//! Hours as the file writes them: `2013-01-01T10:00:00Z`.

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// The days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March end with the day that some of them lack.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 719_469
}

/// The year, month and day that are so many days behind 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + era * 400 + later, month, day)
}

/// Reads an hour, as milliseconds since 1970.
pub fn parse_hour(text: &str) -> Result<i64, String> {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<i64>().ok());
    let fields = (number(0, 4), number(5, 7), number(8, 10), number(11, 13));
    let is_hour = text.len() == 20 && text.ends_with(":00:00Z");
    match fields {
        (Some(year), Some(month @ 1..=12), Some(day @ 1..=31), Some(hour @ 0..=23)) if is_hour => {
            Ok((days(year, month, day) * 24 + hour) * HOUR_MS)
        }
        _ => Err(format!("time_hour is '{text}', which is no hour like 2013-01-01T10:00:00Z")),
    }
}

/// Writes an hour.
pub fn write_hour(time_ms: i64) -> String {
    let hours = time_ms.div_euclid(HOUR_MS);
    let (year, month, day) = date(hours.div_euclid(24));
    format!("{year:04}-{month:02}-{day:02}T{:02}:00:00Z", hours.rem_euclid(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_and_written() {
        for (text, hours) in
            [("1970-01-01T00:00:00Z", 0), ("2013-01-01T10:00:00Z", 376_954), ("2000-02-29T23:00:00Z", 264_407)]
        {
            assert_eq!(parse_hour(text), Ok(hours * HOUR_MS));
            assert_eq!(write_hour(hours * HOUR_MS), text);
        }
        for days in -800_000..800_000 {
            let (year, month, day) = date(days);
            assert_eq!(super::days(year, month, day), days);
        }
    }

    #[test]
    fn what_is_no_hour_is_refused() {
        for text in ["", "2013-01-01", "2013-01-01T10:30:00Z", "2013-13-01T10:00:00Z", "2013-01-01T24:00:00Z"] {
            assert!(parse_hour(text).is_err(), "{text}");
        }
    }
}
