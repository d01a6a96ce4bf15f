//! The watermark of a gate.

use millrace_task_core::{GateProgress, WatermarkValve};
use millrace_types::{EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME};
use proptest::collection::vec;
use proptest::prelude::*;

const MAX: EventTime = MAX_EVENT_TIME;

fn advanced(watermark: EventTime) -> GateProgress {
    GateProgress { watermark: Some(watermark), ..NOTHING }
}

const NOTHING: GateProgress = GateProgress { watermark: None, idle: None, ended: false };

#[test]
fn a_gate_is_as_far_as_its_last_channel() {
    let mut valve = WatermarkValve::new(2);
    assert_eq!(valve.watermark(0, 10), NOTHING);
    assert_eq!(valve.watermark(1, 5), advanced(5));
    assert_eq!(valve.watermark(0, 12), NOTHING);
    assert_eq!(valve.watermark(1, 20), advanced(12));
    assert_eq!(valve.stale(), 0);
    assert_eq!(valve.watermark(1, 20), NOTHING);
    assert_eq!(valve.watermark(1, 3), NOTHING);
    assert_eq!(valve.stale(), 2);
}

#[test]
fn an_ended_channel_holds_nothing_back() {
    let mut valve = WatermarkValve::new(2);
    assert_eq!(valve.watermark(0, 10), NOTHING);
    assert_eq!(valve.end(1), advanced(10));
    assert_eq!(valve.watermark(1, 50), NOTHING);
    assert_eq!(valve.end(1), NOTHING);
    assert_eq!(valve.stale(), 2);
    assert_eq!(valve.end(0), GateProgress { watermark: Some(MAX), ended: true, ..NOTHING });
}

#[test]
fn the_last_watermark_ahead_of_the_end_counts_once() {
    let mut valve = WatermarkValve::new(1);
    assert_eq!(valve.watermark(0, MAX), advanced(MAX));
    assert_eq!(valve.end(0), GateProgress { ended: true, ..NOTHING });
    assert_eq!(valve.stale(), 0);
}

const IDLE: GateProgress = GateProgress { watermark: None, idle: Some(true), ended: false };
const ACTIVE: GateProgress = GateProgress { watermark: None, idle: Some(false), ended: false };

/// Flink's `StatusWatermarkValveTest.testSingleInputWatermarksIntermittentIdleness`.
#[test]
fn one_channel_is_idle_now_and_then() {
    let mut valve = WatermarkValve::new(1);
    assert_eq!(valve.watermark(0, 25), advanced(25));
    assert_eq!(valve.status(0, true), IDLE);
    assert_eq!(valve.status(0, true), NOTHING);
    assert_eq!(valve.watermark(0, 50), NOTHING, "an idle channel's watermark is ignored");
    assert_eq!(valve.status(0, false), ACTIVE);
    assert_eq!(valve.status(0, false), NOTHING);
    assert_eq!(valve.watermark(0, 50), advanced(50));
}

/// Flink's `testMultipleInputWatermarksWithIdle`.
#[test]
fn channels_that_become_idle_or_active_unblock_the_others() {
    let mut valve = WatermarkValve::new(3);
    assert_eq!(valve.watermark(0, 15), NOTHING);
    assert_eq!(valve.watermark(1, 10), NOTHING);
    // The one that held all back is idle: the least of the others.
    assert_eq!(valve.status(2, true), advanced(10));
    assert_eq!(valve.watermark(1, 18), advanced(15));
    assert_eq!(valve.watermark(0, 20), advanced(18));
    // Active again and behind: no effect until it has caught up.
    assert_eq!(valve.status(2, false), NOTHING);
    assert_eq!(valve.watermark(1, 22), advanced(20));
    assert_eq!(valve.watermark(2, 10), NOTHING);
    assert_eq!(valve.watermark(0, 25), advanced(22));
    // At the gate's watermark it takes part, and holds back.
    assert_eq!(valve.watermark(2, 22), NOTHING);
    assert_eq!(valve.watermark(1, 30), NOTHING);
    assert_eq!(valve.watermark(2, 28), advanced(25));
}

/// Flink's `testMultipleInputWatermarkStatusAllIdleFlushMaxWatermark`.
#[test]
fn when_all_become_idle_the_greatest_watermark_holds() {
    let mut valve = WatermarkValve::new(3);
    valve.watermark(0, 10);
    valve.watermark(1, 5);
    assert_eq!(valve.watermark(2, 3), advanced(3));
    assert_eq!(valve.status(0, true), NOTHING);
    assert_eq!(valve.status(1, true), NOTHING);
    // The last one stood where the gate stands: nothing holds the others' watermarks back any more.
    assert_eq!(valve.status(2, true), GateProgress { watermark: Some(10), ..IDLE });
    assert_eq!(valve.status(1, false), ACTIVE);
    assert_eq!(valve.watermark(1, 9), NOTHING, "behind what was told");
    assert_eq!(valve.watermark(1, 11), advanced(11));
}

/// Flink's `testMultipleInputWatermarkStatusIdleAndActiveToggle...`: the last one was behind, so it held nothing back.
#[test]
fn when_the_last_active_channel_was_behind_nothing_is_flushed() {
    let mut valve = WatermarkValve::new(2);
    assert_eq!(valve.status(1, true), NOTHING);
    assert_eq!(valve.watermark(0, 20), advanced(20));
    assert_eq!(valve.status(1, false), NOTHING);
    assert_eq!(valve.watermark(0, 30), advanced(30));
    assert_eq!(valve.status(0, true), NOTHING, "the other is active, and behind");
    assert_eq!(valve.watermark(1, 25), NOTHING);
    assert_eq!(valve.status(1, true), IDLE);
}

#[test]
fn ended_channels_make_no_gate_active_and_the_end_none_idle() {
    let mut valve = WatermarkValve::new(3);
    valve.watermark(0, 10);
    valve.watermark(1, 15);
    assert_eq!(valve.status(1, true), NOTHING);
    assert_eq!(valve.end(2), advanced(10));
    // Only an idle one is left: it has promised more, and its records are still to come.
    assert_eq!(valve.end(0), GateProgress { watermark: Some(15), ..IDLE });
    assert_eq!(valve.end(1), GateProgress { watermark: Some(MAX), idle: Some(false), ended: true });
}

/// Flink's valve, in its own words.
struct Flink {
    /// Watermark, active, aligned, ended.
    channels: Vec<(EventTime, bool, bool, bool)>,
    last: EventTime,
    idle: bool,
}

impl Flink {
    fn find_min(&mut self) -> Option<EventTime> {
        let least = self.channels.iter().filter(|channel| channel.2).map(|channel| channel.0).min()?;
        (least > self.last).then(|| {
            self.last = least;
            least
        })
    }

    fn watermark(&mut self, channel: usize, watermark: EventTime) -> GateProgress {
        let state = &mut self.channels[channel];
        if self.idle || !state.1 || state.3 || watermark <= state.0 {
            return NOTHING;
        }
        state.0 = watermark;
        state.2 |= watermark >= self.last;
        GateProgress { watermark: self.find_min(), ..NOTHING }
    }

    fn status(&mut self, channel: usize, idle: bool) -> GateProgress {
        let state = &mut self.channels[channel];
        if state.3 || state.1 != idle {
            return NOTHING;
        }
        (state.1, state.2) = (!idle, !idle && state.0 >= self.last);
        if !idle {
            let was_idle = std::mem::replace(&mut self.idle, false);
            return GateProgress { idle: was_idle.then_some(false), watermark: self.find_min(), ended: false };
        }
        let own = state.0;
        self.after_leaving(own)
    }

    fn after_leaving(&mut self, own: EventTime) -> GateProgress {
        if self.channels.iter().any(|channel| channel.1 && !channel.3) {
            let watermark = if own == self.last { self.find_min() } else { None };
            return GateProgress { watermark, ..NOTHING };
        }
        self.idle = true;
        let most = self.channels.iter().filter(|channel| !channel.3).map(|channel| channel.0).max().unwrap();
        let watermark = (own == self.last && most > self.last).then_some(most);
        self.last = self.last.max(watermark.unwrap_or(self.last));
        GateProgress { watermark, ..IDLE }
    }

    fn end(&mut self, channel: usize) -> GateProgress {
        let state = &mut self.channels[channel];
        if state.3 {
            return NOTHING;
        }
        let (own, was_active) = (state.0, state.1);
        (state.2, state.3) = (false, true);
        if self.channels.iter().any(|channel| !channel.3) {
            return if was_active { self.after_leaving(own) } else { NOTHING };
        }
        let watermark = (self.last < MAX).then_some(MAX);
        let idle = std::mem::replace(&mut self.idle, false).then_some(false);
        self.last = MAX;
        GateProgress { watermark, idle, ended: true }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_valve_is_flinks(
        (channels, events) in (1usize..5).prop_flat_map(|channels| {
            let time = prop_oneof![20 => -5i64..12, 1 => Just(MAX)];
            (Just(channels), vec((0..channels, 0u8..20, time), 0..60))
        })
    ) {
        let mut valve = WatermarkValve::new(channels);
        let channel = (MIN_EVENT_TIME, true, true, false);
        let mut flink = Flink { channels: vec![channel; channels], last: MIN_EVENT_TIME, idle: false };
        let mut last = MIN_EVENT_TIME;
        for (channel, what, time) in events {
            let (progress, expected) = match what {
                0..=11 => (valve.watermark(channel, time), flink.watermark(channel, time)),
                12..=18 => (valve.status(channel, what % 2 == 0), flink.status(channel, what % 2 == 0)),
                _ => (valve.end(channel), flink.end(channel)),
            };
            prop_assert_eq!(progress, expected);
            prop_assert!(progress.watermark.is_none_or(|watermark| watermark > last), "it rises");
            last = progress.watermark.unwrap_or(last);
        }
    }
}

proptest! {
    #[test]
    fn the_valve_is_the_least_of_its_channels(
        (channels, events) in (1usize..6).prop_flat_map(|channels| {
            let time = prop_oneof![20 => -5i64..20, 1 => Just(MAX), 1 => Just(MIN_EVENT_TIME)];
            (Just(channels), vec((0..channels, prop::option::weighted(0.9, time)), 0..80))
        })
    ) {
        let mut valve = WatermarkValve::new(channels);
        let mut model = vec![(MIN_EVENT_TIME, false); channels];
        let mut stale = 0;
        for (channel, event) in events {
            let least_of = |model: &[(EventTime, bool)]| model.iter().map(|channel| channel.0).min().unwrap();
            let before = least_of(&model);
            let (last, ended) = model[channel];
            let progress = match event {
                Some(watermark) => {
                    stale += u64::from(ended || watermark <= last);
                    model[channel].0 = last.max(watermark);
                    valve.watermark(channel, watermark)
                }
                None => {
                    stale += u64::from(ended);
                    model[channel] = (MAX, true);
                    valve.end(channel)
                }
            };
            let least = least_of(&model);
            prop_assert_eq!(progress.watermark, (least > before).then_some(least));
            let ends_now = event.is_none() && !ended && model.iter().all(|channel| channel.1);
            prop_assert_eq!(progress.ended, ends_now);
            prop_assert_eq!(valve.stale(), stale);
        }
    }
}
