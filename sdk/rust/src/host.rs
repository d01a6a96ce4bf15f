//! What the host does for operators, as a trait: the ABI implements it in a component, the harness natively.

/// Which clock a timer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// Watermarks.
    EventTime,
    /// The wall clock.
    ProcessingTime,
}

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// Worth knowing.
    Info,
    /// For whoever looks for a fault.
    Debug,
}

/// The functions of the interface `host`; `sdk/wit` says what each does.
pub trait Host {
    /// Hands over a batch of output.
    fn emit(&self, node: u32, port: u32, batch: &[u8]);
    /// Sets the output watermark of a node.
    fn emit_watermark(&self, node: u32, timestamp: i64);
    /// Reads state by keys.
    fn get(&self, state: u32, keys: &[u8]) -> Vec<u8>;
    /// Reads state in the order of keys.
    fn scan(&self, state: u32, prefix: &[u8], after: Option<&[u8]>, bytes_max: u32) -> Vec<u8>;
    /// Changes state.
    fn put(&self, state: u32, changes: &[u8]);
    /// Sets and deletes timers.
    fn set_timers(&self, node: u32, clock: Clock, changes: &[u8]);
    /// The wall clock, in milliseconds since 1970.
    fn now_ms(&self) -> i64;
    /// Writes a line to the task's log.
    fn log(&self, level: Level, message: &str);
}
