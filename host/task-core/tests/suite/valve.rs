//! The watermark of a gate.

use millrace_task_core::{GateProgress, WatermarkValve};
use millrace_types::{EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME};
use proptest::collection::vec;
use proptest::prelude::*;

const MAX: EventTime = MAX_EVENT_TIME;

fn advanced(watermark: EventTime) -> GateProgress {
    GateProgress { watermark: Some(watermark), ended: false }
}

const NOTHING: GateProgress = GateProgress { watermark: None, ended: false };

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
    assert_eq!(valve.end(0), GateProgress { watermark: Some(MAX), ended: true });
}

#[test]
fn the_last_watermark_ahead_of_the_end_counts_once() {
    let mut valve = WatermarkValve::new(1);
    assert_eq!(valve.watermark(0, MAX), advanced(MAX));
    assert_eq!(valve.end(0), GateProgress { watermark: None, ended: true });
    assert_eq!(valve.stale(), 0);
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
