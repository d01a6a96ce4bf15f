//! What `millrace top` draws, on a screen in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millrace_client::api::CheckpointCounts;
use serde_json::{Value, json};

use super::look::Details;
use super::*;

const JOBS: [(&str, &str, &str); 3] = [
    ("aaaaaaaa000000000000000000000000", "clicks", "RUNNING"),
    ("bbbbbbbb000000000000000000000000", "orders", "RESTARTING"),
    ("cccccccc000000000000000000000000", "old", "FINISHED"),
];

fn counts(running: u32) -> Value {
    let states = [
        "canceling",
        "canceled",
        "created",
        "scheduled",
        "deploying",
        "reconciling",
        "finished",
        "initializing",
        "failed",
    ];
    let mut counts: BTreeMap<&str, u32> = states.map(|state| (state, 0)).into();
    counts.extend([("running", running), ("total", 4)]);
    json!(counts)
}

fn vertex(name: &str, records: u64, busy_ms: u64, backpressured_ms: u64) -> Value {
    json!({
        "id": format!("{name:0>32}"), "slotSharingGroupId": "", "name": name, "maxParallelism": 128, "parallelism": 2,
        "status": "RUNNING", "start-time": 1, "end-time": -1, "duration": 1, "tasks": {"RUNNING": 2},
        "metrics": {
            "read-bytes": 0, "read-bytes-complete": true, "write-bytes": records * 10, "write-bytes-complete": true,
            "read-records": 0, "read-records-complete": true, "write-records": records, "write-records-complete": true,
            "accumulated-backpressured-time": backpressured_ms, "accumulated-idle-time": 0,
            "accumulated-busy-time": busy_ms as f64
        }
    })
}

/// A cluster that has been up for so many seconds.
fn look(start: Instant, seconds: u64) -> Look {
    let overview = json!({
        "taskmanagers": 1, "slots-total": 4, "slots-available": 0, "jobs-running": 2, "jobs-finished": 1,
        "jobs-cancelled": 0, "jobs-failed": 0, "flink-version": "", "flink-commit": ""
    });
    let member = |id: u64| json!({"id": id, "rpc": "", "rest": "", "role": "voter"});
    let group = json!({"answered-by": 1, "leader": 2, "term": 1, "members": [member(1), member(2), member(3)]});
    let summary = |(jid, name, state): &(&str, &str, &str)| {
        json!({
            "jid": jid, "name": name, "jobType": "STREAMING", "schedulerType": "Default", "start-time": 1, "end-time": -1,
            "duration": 61_000, "state": state, "last-modification": 1, "tasks": counts(4), "pending-operators": 0
        })
    };
    let jobs: Vec<Value> = JOBS.iter().map(summary).collect();
    let details = json!({
        "jid": JOBS[0].0, "application-id": "", "name": "clicks", "isStoppable": false, "state": "RUNNING", "job-type": "",
        "schedulerType": "", "start-time": 1, "end-time": -1, "duration": 1, "maxParallelism": -1, "now": 1, "timestamps": {},
        "status-counts": {}, "plan": {}, "pending-operators": 0,
        "vertices": [vertex("source", 1_000 * seconds, 500 * seconds, 1_500 * seconds), vertex("sink", 0, 2_000 * seconds, 0)]
    });
    let checkpoints = CheckpointCounts { completed: 7, failed: 2, ..CheckpointCounts::default() };
    let details = Details { job: serde_json::from_value(details).unwrap(), checkpoints };
    Look {
        at: start + Duration::from_secs(seconds),
        from: "http://127.0.0.1:8081".to_owned(),
        overview: serde_json::from_value(overview).unwrap(),
        group: serde_json::from_value(group).unwrap(),
        task_managers: Vec::new(),
        jobs: serde_json::from_value(json!(jobs)).unwrap(),
        details: [(JOBS[0].0.to_owned(), details)].into(),
    }
}

fn looks() -> Looks {
    let (start, mut looks) = (Instant::now(), Looks::default());
    looks.add(look(start, 10));
    looks.add(look(start, 12));
    looks
}

fn screen(looks: &Looks, shown: &Shown, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, looks, shown)).unwrap();
    lines_of(terminal.backend())
}

fn key(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn the_screen_has_the_cluster_the_jobs_and_the_tasks_of_the_selected_one() {
    let lines = screen(&looks(), &Shown { keys: true, ..Shown::default() }, 120, 30);
    let text = lines.join("\n");
    let has = |words: &[&str]| lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["Millrace 127.0.0.1:8081", "member 2 leads, of 3", "0 of 4 slots free"]), "{text}");
    assert!(has(&["2 unfinished", "1 finished"]), "{text}");
    assert!(has(&["aaaaaaaa", "clicks", "RUNNING", "4/4", "1,000", "7 (2 failed)", "1 min 1 s"]), "{text}");
    assert!(has(&["bbbbbbbb", "orders", "RESTARTING"]) && !has(&["cccccccc"]), "{text}");
    assert!(has(&["source", "2/2", "███░░░░░░░  25%", "████████░░  75%", "1,000", "9.8 KiB"]), "{text}");
    assert!(has(&["sink", "██████████ 100%", "░░░░░░░░░░   0%"]), "{text}");
    assert!(has(&["None: `millrace taskmanager` starts one"]), "{text}");
    assert!(has(&["q ends"]), "{text}");
}

#[test]
fn any_size_of_a_terminal_will_do() {
    for (width, height) in [(80, 24), (40, 10), (20, 3), (1, 1), (300, 100)] {
        let lines = screen(&looks(), &Shown { keys: true, ..Shown::default() }, width, height);
        assert_eq!(lines.len(), usize::from(height));
    }
    let narrow = screen(&looks(), &Shown::default(), 80, 24).join("\n");
    assert!(narrow.contains("BACKPRESSURED") && !narrow.contains("RECORDS IN/S"), "{narrow}");
}

#[test]
fn keys_select_a_job_show_the_ended_ones_and_end() {
    let (looks, mut shown) = (looks(), Shown::default());
    let selected = |shown: &Shown| shown.selected.as_deref().and_then(|id| id.get(..1).map(str::to_owned));
    for (code, expected) in [(KeyCode::Down, "b"), (KeyCode::Down, "b"), (KeyCode::Char('k'), "a"), (KeyCode::Up, "a")]
    {
        assert_eq!(obey(&key(code), &looks, &mut shown), Next::Draw);
        assert_eq!(selected(&shown).as_deref(), Some(expected));
    }
    obey(&key(KeyCode::Char('a')), &looks, &mut shown);
    obey(&key(KeyCode::Down), &looks, &mut shown);
    obey(&key(KeyCode::Down), &looks, &mut shown);
    assert_eq!(selected(&shown).as_deref(), Some("c"));
    assert!(screen(&looks, &shown, 80, 24).iter().any(|line| line.contains("cccccccc")));
    assert_eq!(obey(&Event::Resize(10, 10), &looks, &mut shown), Next::Draw);
    let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    for end in [key(KeyCode::Char('q')), key(KeyCode::Esc), interrupt] {
        assert_eq!(obey(&end, &looks, &mut shown), Next::End);
    }
}

#[test]
fn trouble_is_told_and_what_was_seen_stays() {
    let shown = Shown { trouble: Some("no answer from the cluster\nIs it running?".to_owned()), ..Shown::default() };
    let lines = screen(&looks(), &shown, 120, 30);
    assert!(lines[1].starts_with("no answer from the cluster (asking again"), "{}", lines[1]);
    assert!(lines.iter().any(|line| line.contains("clicks")));
}
