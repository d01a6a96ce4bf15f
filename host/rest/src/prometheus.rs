//! `/metrics`: all metrics in the text format of Prometheus, in the names and labels that Flink's reporter gives them.
//!
//! Invariants:
//! - As with that reporter, everything is a gauge, and what is no name or label value there has `_` in its place.
//! - Bounded: jobs that have ended have no series, and there are at most [`SERIES_MAX`]; what is left out is told.
//! - Jobs are those of the tenant that asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use millrace_jobmanager::JobInfo;
use millrace_types::TaskManagerId;

use crate::metrics::Tasks;
use crate::metrics::job::job_metrics;
use crate::metrics::value::{Metrics, of_process};
use crate::server::{RestState, now};
use crate::tenant::Tenant;

/// The most series of one answer.
const SERIES_MAX: usize = 200_000;

/// The version of the text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is no part of a name or of a label's value becomes `_`.
fn filtered(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | ':') { c } else { '_' }).collect()
}

/// Labels, ready to be written.
#[derive(Debug, Clone, Default)]
struct Labels(String);

impl Labels {
    fn with(&self, name: &str, value: &str) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        Self(format!("{}{comma}{name}=\"{}\"", self.0, filtered(value)))
    }
}

/// The series of one name.
#[derive(Debug)]
struct Family {
    help: String,
    /// Labels and values.
    series: Vec<(Labels, f64)>,
}

/// All series, by name.
#[derive(Debug)]
struct Exposition {
    families: BTreeMap<String, Family>,
    room: usize,
    left_out: u64,
}

impl Exposition {
    fn new(series_max: usize) -> Self {
        Self { families: BTreeMap::new(), room: series_max, left_out: 0 }
    }

    /// Adds the numbers among some metrics of a scope such as `taskmanager_job_task`.
    fn add(&mut self, scope: &str, labels: &Labels, metrics: &Metrics) {
        for (metric, value) in metrics {
            let Some(number) = value.number() else { continue };
            if self.room == 0 {
                self.left_out += 1;
                continue;
            }
            self.room -= 1;
            let name = filtered(&format!("flink_{scope}_{metric}"));
            let help = || Family { help: format!("{metric} (scope: {scope})"), series: Vec::new() };
            self.families.entry(name).or_insert_with(help).series.push((labels.clone(), number));
        }
    }

    fn write(&self) -> String {
        let mut text = String::new();
        for (name, Family { help, series }) in &self.families {
            // Writing into a text never fails.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (Labels(labels), value) in series {
                let _ = writeln!(text, "{name}{{{labels}}} {value}");
            }
        }
        let left_out = self.left_out;
        let _ = writeln!(text, "# HELP millrace_series_left_out Series for which there was no room");
        let _ = writeln!(text, "# TYPE millrace_series_left_out gauge\nmillrace_series_left_out {left_out}");
        text
    }
}

/// The machine part of `host:port`; without a port all of it.
fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// `GET /metrics`.
pub(crate) async fn exposition(State(state): State<RestState>, Tenant(tenant): Tenant) -> impl IntoResponse {
    let figures = state.dispatcher.cluster_figures().await;
    let now = now();
    let mut exposition = Exposition::new(SERIES_MAX);
    let here = Labels::default().with("host", &state.address.ip().to_string());
    exposition.add("jobmanager", &here, &of_process(&state.dispatcher.metrics(&tenant)));
    let mut hosts = BTreeMap::<TaskManagerId, Labels>::new();
    for found in state.dispatcher.task_managers() {
        let address = found.registration.data_address.as_deref().unwrap_or_default();
        let host = if address.is_empty() { here.clone() } else { Labels::default().with("host", host_of(address)) };
        let labels = host.with("tm_id", &found.registration.id.0);
        exposition.add("taskmanager", &labels, &of_process(&found.metrics));
        hosts.insert(found.registration.id, labels);
    }
    let jobs: Vec<JobInfo> = state.dispatcher.jobs(&tenant);
    let running = || jobs.iter().filter(|job| !job.view.status.is_terminal());
    for job in running() {
        let labels = job_labels(&here, job);
        exposition.add("jobmanager_job", &labels, &job_metrics(&job.view, now));
    }
    // Tasks first: where there is no room for all, operators are missed the least.
    for of_operators in [false, true] {
        for job in running() {
            for vertex in 0..job.view.graph.vertices.len() {
                let Some(tasks) = Tasks::new(job, &figures, vertex) else { continue };
                add_tasks(&mut exposition, job, &tasks, &hosts, of_operators);
            }
        }
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], exposition.write())
}

fn job_labels(labels: &Labels, job: &JobInfo) -> Labels {
    labels.with("job_id", &job.view.job.to_string()).with("job_name", &job.view.name)
}

/// Adds the running tasks of a vertex, or the operators of these.
fn add_tasks(
    exposition: &mut Exposition,
    job: &JobInfo,
    tasks: &Tasks<'_>,
    hosts: &BTreeMap<TaskManagerId, Labels>,
    of_operators: bool,
) {
    for subject in tasks.subjects().filter(|subject| subject.detail.is_some()) {
        let Some(at) = subject.subtask.task_manager.as_ref().and_then(|id| hosts.get(id)) else { continue };
        let vertex = &subject.graph.vertices[subject.vertex];
        let labels = job_labels(at, job)
            .with("task_id", &vertex.id.to_string())
            .with("task_name", &vertex.name)
            .with("task_attempt_id", &subject.attempt.to_string())
            .with("task_attempt_num", &subject.attempt.attempt.to_string())
            .with("subtask_index", &subject.attempt.subtask.to_string());
        if !of_operators {
            exposition.add("taskmanager_job_task", &labels, &subject.task_metrics());
            continue;
        }
        for (node, name, metrics) in subject.operator_metrics() {
            let uid = vertex.nodes.iter().find(|(id, _)| *id == node).map_or("", |(_, node)| node.uid.as_str());
            let labels = labels.with("operator_id", uid).with("operator_name", name);
            exposition.add("taskmanager_job_task_operator", &labels, &metrics);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::value::Value;

    #[test]
    fn series_of_a_name_stand_together_and_what_has_no_room_is_told() {
        let metrics = |numbers: [i64; 2]| {
            let [a, b] = numbers.map(Value::Whole);
            Metrics::from([
                ("numRecordsIn".to_owned(), a),
                ("Shuffle.x".to_owned(), b),
                ("path".to_owned(), Value::Text("no number".to_owned())),
            ])
        };
        let mut exposition = Exposition::new(3);
        let labels = Labels::default().with("job_name", "a \"b\"\n");
        exposition.add("taskmanager_job_task", &labels, &metrics([1, 2]));
        exposition.add("taskmanager_job_task", &Labels::default().with("job_name", "c"), &metrics([3, 4]));
        let expected = "\
# HELP flink_taskmanager_job_task_Shuffle_x Shuffle.x (scope: taskmanager_job_task)
# TYPE flink_taskmanager_job_task_Shuffle_x gauge
flink_taskmanager_job_task_Shuffle_x{job_name=\"a__b__\"} 2
flink_taskmanager_job_task_Shuffle_x{job_name=\"c\"} 4
# HELP flink_taskmanager_job_task_numRecordsIn numRecordsIn (scope: taskmanager_job_task)
# TYPE flink_taskmanager_job_task_numRecordsIn gauge
flink_taskmanager_job_task_numRecordsIn{job_name=\"a__b__\"} 1
# HELP millrace_series_left_out Series for which there was no room
# TYPE millrace_series_left_out gauge
millrace_series_left_out 1
";
        assert_eq!(exposition.write(), expected);
    }
}
