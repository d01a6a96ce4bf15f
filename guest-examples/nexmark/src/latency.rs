//! How long records take from the source to the end of the graph.

use std::cell::Cell;

use millrace::prelude::*;

/// One record in so many is looked at: asking for the time costs as much as handling a record.
const SAMPLE_ONE_IN: u32 = 64;

/// Emits, for some records, when they were due and how many milliseconds later they came here.
pub fn sampled<T: Data>() -> impl Fn(T, &mut ProcessContext<(i64, i64)>) -> Result<()> {
    // Which records are looked at does not matter, so this need not survive the instance.
    let passed = Cell::new(0u32);
    move |_, ctx| {
        passed.set(passed.get().wrapping_add(1));
        if passed.get() % SAMPLE_ONE_IN == 0
            && let Some(due_ms) = ctx.timestamp()
        {
            ctx.collect((due_ms, ctx.processing_time() - due_ms));
        }
        Ok(())
    }
}
