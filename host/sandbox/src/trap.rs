//! From what wasmtime says about a call that ended early to what a person can use.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::error::{GuestError, GuestErrorKind, Stop};
use crate::host::HostError;
use crate::limiter::Refusal;

/// The most frames that are kept of a guest's stack.
pub(crate) const FRAMES_MAX: usize = 64;

/// What the instance itself knows about the call that failed.
pub(crate) struct Circumstances {
    /// A growth of memory that was refused during the call.
    pub refusal: Option<Refusal>,
    /// What the guest reported before it trapped.
    pub panic: Option<String>,
}

/// Explains a call that wasmtime ended with an error. Call and operator are the caller's to add.
pub(crate) fn explain(error: &wasmtime::Error, circumstances: &Circumstances) -> GuestError {
    let (kind, message) = cause(error, circumstances);
    GuestError { kind, call: "", node: None, operator: None, message, backtrace: backtrace(error) }
}

/// Explains an error that the guest returned.
pub(crate) fn explain_returned(message: String, circumstances: &Circumstances) -> GuestError {
    // A guest that reported a panic and then returned says the same thing twice.
    let circumstances = Circumstances { refusal: circumstances.refusal, panic: None };
    let (kind, message) = with_panic(GuestErrorKind::Returned, message, &circumstances);
    GuestError { kind, call: "", node: None, operator: None, message, backtrace: Vec::new() }
}

fn cause(error: &wasmtime::Error, circumstances: &Circumstances) -> (GuestErrorKind, String) {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return (stop_kind(stop), stop.to_string());
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return with_panic(GuestErrorKind::Trap, format!("the guest exited with code {}", exit.0), circumstances);
    }
    if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
        return (GuestErrorKind::Capacity, format!("this process runs as many instances as it may: {error}"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => (GuestErrorKind::Stack, "the guest's stack overflowed".to_owned()),
        Some(trap) => with_panic(GuestErrorKind::Trap, format!("the guest trapped: {trap}"), circumstances),
        None => with_panic(GuestErrorKind::Contract, format!("{}", error.root_cause()), circumstances),
    }
}

fn stop_kind(stop: &Stop) -> GuestErrorKind {
    match stop {
        Stop::Deadline { .. } => GuestErrorKind::Deadline,
        Stop::Output { .. } => GuestErrorKind::OutputLimit,
        Stop::NotWhileBuilding { .. } | Stop::NotWhileFlushing { .. } => GuestErrorKind::Contract,
        Stop::Host { error: HostError::Contract(_), .. } => GuestErrorKind::Contract,
        Stop::Host { error: HostError::Failed(_), .. } => GuestErrorKind::Host,
        Stop::Host { error: HostError::Cancelled, .. } => GuestErrorKind::Cancelled,
    }
}

/// A guest that was refused memory aborts in whatever way its language does, often through a panic.
fn with_panic(kind: GuestErrorKind, message: String, circumstances: &Circumstances) -> (GuestErrorKind, String) {
    match (circumstances.refusal, &circumstances.panic) {
        (Some(refusal), panic) => {
            let then = panic.as_ref().unwrap_or(&message);
            (GuestErrorKind::Memory, format!("the guest {}; then: {then}", refusal.message()))
        }
        (None, Some(panic)) => (GuestErrorKind::Panic, format!("the guest panicked: {panic}")),
        (None, None) => (kind, message),
    }
}

/// The guest's frames, a line each: its functions by their names in the source, demangled.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let mut frames = functions(backtrace);
    frames.truncate(FRAMES_MAX);
    frames
}

/// The functions on a stack by their names in the source, demangled, innermost first.
pub(crate) fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    // wasmtime demangles only where it prints: `   0:   0x1f - module!function`, behind a line of introduction.
    let text = backtrace.to_string();
    let frames = text.lines().skip(1).map(|line| {
        let frame = line.split_once(": ").map_or(line, |(_, frame)| frame);
        let name = frame.split_once(" - ").map_or(frame, |(_, name)| name).trim();
        without_hash(name.strip_prefix("<unknown>!").unwrap_or(name)).to_owned()
    });
    frames.collect()
}

/// A Rust function's name without the hash that its compiler put behind it.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => path,
        _ => name,
    }
}
