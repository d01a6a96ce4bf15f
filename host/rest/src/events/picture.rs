//! What a topic looks like at a moment, and the events that lead from one moment to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use millrace_types::JobId;
use serde::Serialize;
use serde_json::Value;

use crate::error::RestError;

/// A topic at a moment; cheap to clone. What has not changed is the same allocation as before.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    /// Bodies, by the names of their events, in the order in which they are told.
    bodies: Vec<(&'static str, Arc<Seen>)>,
    /// The entries of the event `jobs`, if the topic has one.
    jobs: Option<Arc<BTreeMap<JobId, Arc<Seen>>>>,
}

/// Some JSON.
#[derive(Debug)]
pub(super) struct Seen {
    text: String,
    /// The same without what changes by itself.
    timeless: Value,
}

impl Seen {
    /// Some JSON, or what was seen before if that says the same.
    pub(super) fn anew(before: Option<&Arc<Self>>, body: &impl Serialize) -> Result<Arc<Self>, RestError> {
        let mut timeless = serde_json::to_value(body).map_err(|error| RestError::unshowable(&error))?;
        let text = timeless.to_string();
        strip_time(&mut timeless);
        match before {
            Some(before) if before.timeless == timeless => Ok(before.clone()),
            _ => Ok(Arc::new(Self { text, timeless })),
        }
    }
}

/// Takes out what passes by itself: the clock, how long lasts what has not ended, and for what part of a second somebody
/// was silent.
fn strip_time(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is = |name: &str, value: &Value| fields.get(name) == Some(value);
            let lasts = is("end-time", &(-1).into()) || is("status", &"IN_PROGRESS".into());
            for (name, field) in fields.iter_mut() {
                match name.as_str() {
                    "now" => *field = Value::Null,
                    "duration" | "end_to_end_duration" if lasts => *field = Value::Null,
                    "last-answer-ms" => *field = field.as_u64().map_or(Value::Null, |ms| (ms / 1_000).into()),
                    _ => strip_time(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip_time),
        _ => (),
    }
}

impl Picture {
    /// Draws the body of an event, as it was if nothing has changed.
    pub(super) fn draw(&mut self, before: &Self, name: &'static str, body: &impl Serialize) -> Result<(), RestError> {
        let before = before.bodies.iter().find(|(known, _)| *known == name).map(|(_, seen)| seen);
        self.bodies.push((name, Seen::anew(before, body)?));
        Ok(())
    }

    /// Draws the body of an event as it was; whether there is one.
    pub(super) fn keep(&mut self, before: &Self, name: &'static str) -> bool {
        let before = before.bodies.iter().find(|(known, _)| *known == name);
        self.bodies.extend(before.cloned());
        before.is_some()
    }

    /// Draws the jobs, whose entries may be those of the picture before.
    pub(super) fn draw_jobs(&mut self, jobs: BTreeMap<JobId, Arc<Seen>>) {
        self.jobs = Some(Arc::new(jobs));
    }

    /// A job's entry.
    pub(super) fn job(&self, job: JobId) -> Option<&Arc<Seen>> {
        self.jobs.as_ref()?.get(&job)
    }

    /// The events that lead from an earlier moment to this one; empty if nothing has changed.
    pub(super) fn since(&self, before: &Self) -> Bytes {
        let mut events = BytesMut::new();
        for (name, seen) in &self.bodies {
            let is_known = before.bodies.iter().any(|(known, told)| known == name && Arc::ptr_eq(told, seen));
            if !is_known {
                push(&mut events, name, &seen.text);
            }
        }
        if let Some(jobs) = &self.jobs {
            let told = before.jobs.as_deref();
            let is_told = |job: &JobId, seen: &Arc<Seen>| {
                told.and_then(|told| told.get(job)).is_some_and(|told| Arc::ptr_eq(told, seen))
            };
            let news = jobs.iter().filter(|(job, seen)| !is_told(job, seen)).map(|(_, seen)| seen.text.as_str());
            let news: Vec<&str> = news.collect();
            let gone = told.into_iter().flat_map(BTreeMap::keys).filter(|job| !jobs.contains_key(job));
            let gone: Vec<String> = gone.map(|job| format!("\"{job}\"")).collect();
            // A listener that was told of none is told that there are none.
            if told.is_none() || !news.is_empty() || !gone.is_empty() {
                let text = format!("{{\"jobs\":[{}],\"removed\":[{}]}}", news.join(","), gone.join(","));
                push(&mut events, "jobs", &text);
            }
        }
        events.freeze()
    }
}

/// Appends an event. JSON has no line breaks.
fn push(events: &mut BytesMut, name: &str, data: &str) {
    debug_assert!(!data.contains('\n'));
    for part in ["event: ", name, "\ndata: ", data, "\n\n"] {
        events.put_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn picture(before: &Picture, body: &Value, jobs: &[(u8, Value)]) -> Picture {
        let mut picture = Picture::default();
        picture.draw(before, "body", body).unwrap();
        let jobs = jobs.iter().map(|(id, entry)| {
            let job = JobId::from_bytes([*id; 16]);
            (job, Seen::anew(before.job(job), entry).unwrap())
        });
        picture.draw_jobs(jobs.collect());
        picture
    }

    fn text(events: &Bytes) -> String {
        String::from_utf8(events.to_vec()).unwrap()
    }

    #[test]
    fn all_is_told_first_and_then_what_changes() {
        let nothing = Picture::default();
        let first = picture(&nothing, &json!({"a": 1, "now": 5}), &[(1, json!({"x": 1})), (2, json!({"x": 2}))]);
        let told = text(&first.since(&nothing));
        assert_eq!(
            told,
            "event: body\ndata: {\"a\":1,\"now\":5}\n\nevent: jobs\ndata: {\"jobs\":[{\"x\":1},{\"x\":2}],\"removed\":[]}\n\n"
        );
        let same = picture(&first, &json!({"a": 1, "now": 6}), &[(1, json!({"x": 1})), (2, json!({"x": 2}))]);
        assert!(same.since(&first).is_empty());
        let other = picture(&same, &json!({"a": 2, "now": 7}), &[(2, json!({"x": 3}))]);
        let one = JobId::from_bytes([1; 16]);
        let expected = format!(
            "event: body\ndata: {{\"a\":2,\"now\":7}}\n\nevent: jobs\ndata: {{\"jobs\":[{{\"x\":3}}],\"removed\":[\"{one}\"]}}\n\n"
        );
        // Whoever missed the one in between is told the same.
        assert_eq!(text(&other.since(&first)), expected);
        assert_eq!(text(&other.since(&same)), expected);
    }

    #[test]
    fn who_hears_of_no_jobs_hears_that_there_are_none() {
        let nothing = Picture::default();
        assert!(text(&picture(&nothing, &json!(0), &[]).since(&nothing)).contains("{\"jobs\":[],\"removed\":[]}"));
    }

    #[test]
    fn time_that_passes_is_no_change_and_time_that_has_passed_is() {
        let seen = |value: Value| Seen::anew(None, &value).unwrap().timeless.clone();
        let entry = |end: i64, duration: u64| json!([{"end-time": end, "duration": duration}]);
        assert_eq!(seen(entry(-1, 5)), seen(entry(-1, 6)));
        assert_ne!(seen(entry(9, 5)), seen(entry(9, 6)));
        assert_ne!(seen(entry(-1, 6)), seen(entry(9, 6)));
        let checkpoint = |status: &str, ms: u64| json!({"status": status, "end_to_end_duration": ms});
        assert_eq!(seen(checkpoint("IN_PROGRESS", 1)), seen(checkpoint("IN_PROGRESS", 2)));
        assert_ne!(seen(checkpoint("COMPLETED", 1)), seen(checkpoint("COMPLETED", 2)));
        let member = |ms: u64| json!({"last-answer-ms": ms});
        assert_eq!(seen(member(12)), seen(member(900)));
        assert_ne!(seen(member(12)), seen(member(4_000)));
    }
}
