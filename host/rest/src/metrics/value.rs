//! A metric's value, and names as Flink writes them.

use std::collections::BTreeMap;

use millrace_rest_api::Metric;

/// Metrics by name.
pub(crate) type Metrics = BTreeMap<String, Value>;

/// What a metric is at the moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Whole(i64),
    Real(f64),
    Text(String),
    Flag(bool),
}

impl Value {
    /// A count; what no signed number holds is the largest one.
    pub(crate) fn count(count: u64) -> Self {
        Self::Whole(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// As a number; a text is none.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Whole(whole) => Some(*whole as f64),
            Self::Real(real) => Some(*real),
            Self::Flag(flag) => Some(f64::from(u8::from(*flag))),
            Self::Text(_) => None,
        }
    }

    /// As Flink writes it: real numbers always with a point.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Whole(whole) => whole.to_string(),
            Self::Real(real) => format!("{real:?}"),
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

/// The names, or the values of those names that are asked for and exist.
pub(crate) fn select(metrics: &Metrics, get: Option<&str>) -> Vec<Metric> {
    let Some(names) = get else {
        return metrics.keys().map(|id| Metric { id: id.clone(), value: None }).collect();
    };
    let value = |id: &str| metrics.get(id).map(|value| Metric { id: id.to_owned(), value: Some(value.text()) });
    names.split(',').filter_map(value).collect()
}

/// An operator's or task's name in front of a metric's: `Source: lines` is `Source__lines`.
pub(crate) fn scope_name(name: &str) -> String {
    name.replace([' ', '.', ':', ','], "_")
}

/// What a process says of itself. Shares come in millionths.
pub(crate) fn of_process(metrics: &BTreeMap<String, u64>) -> Metrics {
    let value = |name: &str, value: u64| match name.ends_with("Load") {
        true => Value::Real(value as f64 / 1_000_000.0),
        false => Value::count(value),
    };
    metrics.iter().map(|(name, count)| (name.clone(), value(name, *count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_flinks() {
        let values =
            [Value::Whole(-1), Value::Real(739.0), Value::Real(1.5), Value::Flag(true), Value::count(u64::MAX)];
        assert_eq!(values.map(|value| value.text()), ["-1", "739.0", "1.5", "true", "9223372036854775807"]);
        assert_eq!(scope_name("Source: sentences"), "Source__sentences");
    }

    #[test]
    fn shares_are_shares() {
        let told = BTreeMap::from([("Status.JVM.CPU.Load".to_owned(), 250_000), ("Status.X".to_owned(), 7)]);
        let metrics = of_process(&told);
        assert_eq!(metrics["Status.JVM.CPU.Load"], Value::Real(0.25));
        let names = select(&metrics, Some("Status.X,nothing")).into_iter().map(|metric| (metric.id, metric.value));
        assert_eq!(names.collect::<Vec<_>>(), [("Status.X".to_owned(), Some("7".to_owned()))]);
    }
}
