//! Metrics over several tasks, jobs or TaskManagers, as Flink's handlers give them.

use std::collections::BTreeSet;

use millrace_rest_api::{AggregatedMetric, Metric};
use serde::Serialize;

use super::value::Metrics;
use crate::error::RestError;
use crate::path::cannot_resolve;

/// The most names or statistics of one request.
const LIST_MAX: usize = 10_000;

/// A statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    Min,
    Max,
    Avg,
    Sum,
    Skew,
}

const ALL: [Statistic; 5] = [Statistic::Min, Statistic::Max, Statistic::Avg, Statistic::Sum, Statistic::Skew];

/// The statistics that are asked for; all of them unless any are.
pub(crate) fn statistics(agg: Option<&str>) -> Result<Vec<Statistic>, RestError> {
    let Some(names) = agg else { return Ok(ALL.to_vec()) };
    let statistic = |name: &str| match name.to_ascii_lowercase().as_str() {
        "min" => Ok(Statistic::Min),
        "max" => Ok(Statistic::Max),
        "avg" => Ok(Statistic::Avg),
        "sum" => Ok(Statistic::Sum),
        "skew" => Ok(Statistic::Skew),
        _ => Err(cannot_resolve("query", "agg", name)),
    };
    names.split(',').take(LIST_MAX).map(statistic).collect()
}

/// The names that any of them has, or statistics over those of them that have a name that is asked for, as a number.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Aggregated {
    Names(Vec<Metric>),
    Values(Vec<AggregatedMetric>),
}

pub(crate) fn aggregated(of: &[Metrics], get: Option<&str>, statistics: &[Statistic]) -> Aggregated {
    let Some(names) = get else {
        let names: BTreeSet<&String> = of.iter().flat_map(|metrics| metrics.keys()).collect();
        return Aggregated::Names(names.into_iter().map(|id| Metric { id: id.clone(), value: None }).collect());
    };
    let value = |id: &str| {
        let values: Vec<f64> = of.iter().filter_map(|metrics| metrics.get(id)?.number()).collect();
        (!values.is_empty()).then(|| over(id, &values, statistics))
    };
    Aggregated::Values(names.split(',').take(LIST_MAX).filter_map(value).collect())
}

fn over(id: &str, values: &[f64], statistics: &[Statistic]) -> AggregatedMetric {
    let sum: f64 = values.iter().sum();
    let avg = sum / values.len() as f64;
    let wanted = |statistic, value| statistics.contains(&statistic).then_some(value);
    AggregatedMetric {
        id: id.to_owned(),
        min: wanted(Statistic::Min, values.iter().copied().fold(f64::INFINITY, f64::min)),
        max: wanted(Statistic::Max, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        avg: wanted(Statistic::Avg, avg),
        sum: wanted(Statistic::Sum, sum),
        skew: wanted(Statistic::Skew, skew(values, avg)),
    }
}

/// The average distance from the average, in percent of that, at most 100.
fn skew(values: &[f64], avg: f64) -> f64 {
    if avg == 0.0 {
        return 0.0;
    }
    let distance: f64 = values.iter().map(|value| (value - avg).abs()).sum();
    (distance / values.len() as f64 / avg.abs() * 100.0).min(100.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::metrics::value::Value;

    /// The numbers of a recorded answer.
    #[test]
    fn statistics_are_flinks() {
        let subtasks = [235.0, 261.0].map(|value| Metrics::from([("idle".to_owned(), Value::Real(value))]));
        let Aggregated::Values(values) = aggregated(&subtasks, Some("idle,nothing"), &ALL) else { panic!("names") };
        assert_eq!(values.len(), 1);
        let idle = &values[0];
        assert_eq!((idle.min, idle.max, idle.avg, idle.sum), (Some(235.0), Some(261.0), Some(248.0), Some(496.0)));
        assert_eq!(idle.skew, Some(5.241935483870968));
    }

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let tasks = [
            Metrics::from([("a".to_owned(), Value::Whole(1)), ("t".to_owned(), Value::Text("x".to_owned()))]),
            Metrics::from([("b".to_owned(), Value::Whole(2))]),
        ];
        let asked = statistics(Some("max,SUM")).unwrap();
        let Aggregated::Values(values) = aggregated(&tasks, Some("a,t"), &asked) else { panic!("names") };
        assert_eq!(serde_json::to_string(&values).unwrap(), r#"[{"id":"a","max":1.0,"sum":1.0}]"#);
        let Aggregated::Names(names) = aggregated(&tasks, None, &asked) else { panic!("values") };
        assert_eq!(names.iter().map(|name| name.id.as_str()).collect::<Vec<_>>(), ["a", "b", "t"]);
        assert!(statistics(Some("median")).is_err());
    }
}
