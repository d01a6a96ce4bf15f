//! What is kept of a window.

use super::time::Window;
use crate::data::{Data, DecodeError, Fingerprint, Reader};

/// A window of a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry<W, C, S> {
    pub window: W,
    /// None: no records since the window was purged.
    pub contents: Option<C>,
    /// What the trigger remembers.
    pub trigger: S,
    /// The timers that are set: whether of event time, and when.
    pub timers: Vec<(bool, i64)>,
}

impl<W: Window, C: Data, S: Data + Default> Entry<W, C, S> {
    pub fn new(window: W) -> Self {
        Self { window, contents: None, trigger: S::default(), timers: Vec::new() }
    }
}

impl<W: Data, C: Data, S: Data> Data for Entry<W, C, S> {
    const MIN_BYTES: usize = W::MIN_BYTES + 1 + S::MIN_BYTES + 1;

    fn encode(&self, out: &mut Vec<u8>) {
        self.window.encode(out);
        self.contents.encode(out);
        self.trigger.encode(out);
        self.timers.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            window: W::decode(input)?,
            contents: Option::decode(input)?,
            trigger: S::decode(input)?,
            timers: Vec::decode(input)?,
        })
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.generic("window-entry", &[W::describe, C::describe, S::describe]);
    }
}
