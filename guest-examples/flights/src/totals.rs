//! Counting flights and summing up their delays, exactly.

use millrace::prelude::*;

/// What is known of the flights from one airport.
#[derive(Clone, Debug, Default, Data)]
pub struct Totals {
    flights: u64,
    /// The flights whose delay is known.
    delays: u64,
    sum_minutes: i64,
    max_minutes: Option<i64>,
}

/// Reads a delay in minutes; none if it is missing.
pub fn parse_delay(text: &str) -> Result<Option<i64>, String> {
    match text {
        "" | "NA" => Ok(None),
        number => number.parse().map(Some).map_err(|_| format!("dep_delay is '{number}', which is no number")),
    }
}

/// Aggregates (origin, delay) into the text of a row without its origin.
pub struct Delays;

impl AggregateFunction<(String, Option<i64>)> for Delays {
    type Accumulator = Totals;
    type Output = String;

    fn create(&self) -> Totals {
        Totals::default()
    }

    fn add(&self, totals: &mut Totals, (_, delay): (String, Option<i64>)) {
        totals.flights += 1;
        if let Some(minutes) = delay {
            totals.delays += 1;
            totals.sum_minutes += minutes;
            totals.max_minutes = totals.max_minutes.max(Some(minutes));
        }
    }

    fn merge(&self, totals: &mut Totals, other: Totals) {
        totals.flights += other.flights;
        totals.delays += other.delays;
        totals.sum_minutes += other.sum_minutes;
        totals.max_minutes = totals.max_minutes.max(other.max_minutes);
    }

    fn result(&self, totals: Totals) -> String {
        let max = totals.max_minutes.map(|minutes| minutes.to_string()).unwrap_or_default();
        format!("{},{max}", Means.result(totals))
    }
}

/// The same without the maximum.
pub struct Means;

impl AggregateFunction<(String, Option<i64>)> for Means {
    type Accumulator = Totals;
    type Output = String;

    fn create(&self) -> Totals {
        Totals::default()
    }

    fn add(&self, totals: &mut Totals, flight: (String, Option<i64>)) {
        Delays.add(totals, flight);
    }

    fn merge(&self, totals: &mut Totals, other: Totals) {
        Delays.merge(totals, other);
    }

    fn result(&self, totals: Totals) -> String {
        format!("{},{}", totals.flights, mean(totals.sum_minutes, totals.delays))
    }
}

/// The exact quotient with three decimals, halves rounded away from zero; empty if there is nothing to divide by.
fn mean(sum: i64, count: u64) -> String {
    if count == 0 {
        return String::new();
    }
    let (magnitude, count) = (u128::from(sum.unsigned_abs()), u128::from(count));
    let thousandths = (magnitude * 2000 + count) / (count * 2);
    let sign = if sum < 0 && thousandths > 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", thousandths / 1000, thousandths % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_rounded_from_the_exact_quotient() {
        for (sum, count, expected) in [
            (0, 1, "0.000"),
            (1, 3, "0.333"),
            (2, 3, "0.667"),
            (1, 2000, "0.001"),
            (-1, 2000, "-0.001"),
            (-1, 3000, "0.000"),
            (-4, 3, "-1.333"),
            (1005, 1000, "1.005"),
            (i64::MAX, 1, "9223372036854775807.000"),
            (5, 0, ""),
        ] {
            assert_eq!(mean(sum, count), expected, "{sum} / {count}");
        }
    }

    #[test]
    fn delays_are_numbers_or_missing() {
        assert_eq!(parse_delay("-3"), Ok(Some(-3)));
        assert_eq!(parse_delay(""), Ok(None));
        assert_eq!(parse_delay("NA"), Ok(None));
        assert!(parse_delay("soon").is_err());
    }
}
