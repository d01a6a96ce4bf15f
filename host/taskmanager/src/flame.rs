//! A flame graph's samples: again and again each task is looked at, and what it does at that moment is counted.
//!
//! A task that waits says so itself. Of one that works the guest is asked, which answers at the end of its slice; if it has
//! not by the next look, the task worked in the host or waited for a processor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_protocol::{FlameKind, FlameRequest, FlameSamples, FlameStack};
use millrace_types::AttemptId;
use tokio::time::MissedTickBehavior;

use crate::metrics::TaskMetrics;
use crate::time_account::Activity;

/// The most looks of one request, whatever it asks for.
const SAMPLES_MAX: u32 = 1_000;

/// The shortest and longest time between two looks, in milliseconds.
const DELAY_MS: std::ops::RangeInclusive<u64> = 1..=1_000;

/// The most functions of a stack, whatever the request asks for.
const DEPTH_MAX: u32 = 128;

/// Names of functions that are told, over all tasks: further ones are one name.
const NAMES_MAX: usize = 10_000;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 300;

type Stacks = BTreeMap<(FlameKind, Vec<u32>), u32>;

/// Looks at tasks for a while.
pub(crate) async fn sample(tasks: Vec<(AttemptId, Arc<TaskMetrics>)>, request: &FlameRequest) -> FlameSamples {
    let mut found: Vec<Stacks> = tasks.iter().map(|_| Stacks::new()).collect();
    let mut names = Names::default();
    let delay = Duration::from_millis(request.delay_ms.clamp(*DELAY_MS.start(), *DELAY_MS.end()));
    let mut ticks = tokio::time::interval(delay);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was left by a request that nobody waited for.
    tasks.iter().for_each(|(_, metrics)| drop(metrics.sampler.collect()));
    for look in 0..=request.samples.min(SAMPLES_MAX) {
        ticks.tick().await;
        for ((_, metrics), stacks) in tasks.iter().zip(&mut found) {
            let mut count = |kind, frames| *stacks.entry((kind, frames)).or_default() += 1;
            if metrics.sampler.withdraw() {
                count(FlameKind::Host, Vec::new());
            }
            for sample in metrics.sampler.collect() {
                let from = sample.frames.len().saturating_sub(request.depth_max.min(DEPTH_MAX) as usize);
                let frames = sample.frames.into_iter().skip(from).map(|name| names.number(name));
                count(FlameKind::Guest(sample.node), frames.collect());
            }
            if look == request.samples.min(SAMPLES_MAX) {
                continue;
            }
            match metrics.activity() {
                Some(Activity::Busy) => metrics.sampler.want(),
                Some(Activity::Idle) => count(FlameKind::Idle, Vec::new()),
                Some(Activity::Backpressured) => count(FlameKind::Backpressured, Vec::new()),
                // It does not run yet.
                None => {}
            }
        }
    }
    let stacks =
        |stacks: Stacks| stacks.into_iter().map(|((kind, frames), count)| FlameStack { kind, frames, count }).collect();
    let subtasks = tasks.iter().zip(found).map(|((attempt, _), found)| (attempt.subtask, stacks(found))).collect();
    FlameSamples { names: names.in_order, subtasks }
}

/// Names and their numbers.
#[derive(Debug, Default)]
struct Names {
    in_order: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Names {
    fn number(&mut self, mut name: String) -> u32 {
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        if self.in_order.len() >= NAMES_MAX && !self.numbers.contains_key(&name) {
            name = "(further functions)".to_owned();
        }
        let next = u32::try_from(self.in_order.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.in_order.push(name.clone());
            next
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sampler::GuestSample;
    use millrace_types::{JobId, NodeId, VertexId};

    fn attempt(subtask: u32) -> AttemptId {
        AttemptId { job: JobId::from_bytes([1; 16]), vertex: VertexId::from_bytes([2; 16]), subtask, attempt: 0 }
    }

    /// Each look counts once, as what the task did then.
    #[tokio::test(start_paused = true)]
    async fn every_look_counts_once() {
        let tasks: Vec<_> = (0..3).map(|subtask| (attempt(subtask), Arc::new(TaskMetrics::new([])))).collect();
        tasks.iter().for_each(|(_, metrics)| metrics.begin_running());
        tasks[1].1.switch(Activity::Idle);
        let guest = Arc::clone(&tasks[0].1);
        // Answers every question at once; the third task never does.
        let answering = tokio::spawn(async move {
            loop {
                if guest.sampler.is_wanted() {
                    let frames = ["process", "outer", "inner"].map(str::to_owned).to_vec();
                    guest.sampler.take(GuestSample { node: Some(NodeId(4)), frames });
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let (job, vertex) = (attempt(0).job, attempt(0).vertex);
        let request = FlameRequest { job, vertex, samples: 20, delay_ms: 10, depth_max: 2 };
        let found = sample(tasks, &request).await;
        answering.abort();
        let told: Vec<_> = found
            .subtasks
            .iter()
            .map(|(subtask, stacks)| {
                let stacks = stacks.iter().map(|stack| {
                    let names: Vec<_> = stack.frames.iter().map(|name| found.names[*name as usize].as_str()).collect();
                    (stack.kind, names.join(";"), stack.count)
                });
                (*subtask, stacks.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            (0, vec![(FlameKind::Guest(Some(NodeId(4))), "outer;inner".to_owned(), 20)]),
            (1, vec![(FlameKind::Idle, String::new(), 20)]),
            (2, vec![(FlameKind::Host, String::new(), 20)]),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn names_are_bounded() {
        let mut names = Names::default();
        let first = names.number("f0".to_owned());
        for at in 0..NAMES_MAX + 10 {
            names.number(format!("f{at}"));
        }
        assert_eq!(names.number("f0".to_owned()), first);
        assert_eq!(names.in_order.len(), NAMES_MAX + 1);
        assert!(names.number("é".repeat(200)) as usize <= NAMES_MAX);
    }
}
