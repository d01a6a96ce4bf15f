//! Triggers that a user writes.

use millrace::prelude::*;
use millrace::testing::OperatorHarness;

use crate::windows::{Pair, SECOND, add, is_empty, outputs, pair, reduced, sum};

/// A trigger of a user's own: fires at every record that is a multiple of ten.
struct Tens;

impl<W: Window> Trigger<Pair, W> for Tens {
    type State = u64;

    fn on_element(&self, pair: &Pair, _: i64, _: &W, ctx: &mut TriggerContext<'_, u64>) -> TriggerResult {
        *ctx.state += 1;
        if pair.1 % 10 == 0 { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn on_event_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, u64>) -> TriggerResult {
        TriggerResult::Continue
    }

    fn on_processing_time(&self, _: i64, _: &W, _: &mut TriggerContext<'_, u64>) -> TriggerResult {
        TriggerResult::Continue
    }
}

#[test]
fn triggers_of_ones_own() {
    let mut harness = reduced(|keyed| keyed.window(TumblingEventTimeWindows::of(SECOND)).trigger(Tens));
    for n in [1, 10, 2, 20] {
        harness.push_at(pair("k", n), 5).unwrap();
    }
    assert_eq!(outputs(&mut harness), [sum("k", 11, 0, 1000), sum("k", 33, 0, 1000)]);
    harness.watermark(999).unwrap();
    is_empty(&mut harness);
    let merging = OperatorHarness::new(|pairs: Stream<Pair>| {
        let windows = pairs.key_by(|pair| pair.0.clone()).window(EventTimeSessionWindows::with_gap(SECOND));
        windows.trigger(Tens).reduce(add)
    });
    let error = merging.err().unwrap().to_string();
    assert!(error.contains("EventTimeSessionWindows: windows that merge need a trigger that can"), "{error}");
}
