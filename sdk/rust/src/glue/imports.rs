//! The host's functions.

use super::bindings::millrace::app::host;
use super::convert;
use crate::host::{Clock, Host, Level};
use crate::runtime::operator_name;

/// The host that runs this component.
pub(super) struct Imports;

impl Host for Imports {
    fn emit(&self, node: u32, port: u32, batch: &[u8]) {
        host::emit(node, port, batch);
    }

    fn emit_watermark(&self, node: u32, timestamp: i64) {
        host::emit_watermark(node, timestamp);
    }

    fn get(&self, state: u32, keys: &[u8]) -> Vec<u8> {
        host::get(state, keys)
    }

    fn scan(&self, state: u32, prefix: &[u8], after: Option<&[u8]>, bytes_max: u32) -> Vec<u8> {
        host::scan(state, prefix, after, bytes_max)
    }

    fn put(&self, state: u32, changes: &[u8]) {
        host::put(state, changes);
    }

    fn set_timers(&self, node: u32, clock: Clock, changes: &[u8]) {
        host::set_timers(node, convert::clock(clock), changes);
    }

    fn now_ms(&self) -> i64 {
        host::now_ms()
    }

    fn log(&self, level: Level, message: &str) {
        host::log(convert::level(level), message);
    }
}

/// Lets the host say why the guest traps: a trap alone has no message.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let reason = info.payload_as_str().unwrap_or("without a message");
        let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let operator = operator_name().map(|name| format!("operator '{name}' ")).unwrap_or_default();
        host::report_panic(&format!("{operator}panicked{place}: {reason}"));
    }));
}
