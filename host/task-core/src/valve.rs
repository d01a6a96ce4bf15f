//! The watermark of a gate: the least of its channels. Flink's `StatusWatermarkValve`.
//!
//! Invariants:
//! - The gate's watermark never falls: a channel that becomes active again and is behind takes part once it has caught
//!   up, and holds nothing back before.
//! - Idle channels hold nothing back; what they bring before they are active again is out of date. A gate is idle while
//!   all channels are that have not ended. Ended channels count for nothing, until all have ended.

use millrace_types::{EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME};

/// What an event on a channel means for its gate. The watermark comes before the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateProgress {
    /// The gate's watermark, if it has advanced.
    pub watermark: Option<EventTime>,
    /// Whether the gate is idle from now on, if that has changed.
    pub idle: Option<bool>,
    /// Whether the last channel of the gate has ended just now.
    pub ended: bool,
}

/// Combines the watermarks of a gate's channels.
#[derive(Debug, Clone)]
pub struct WatermarkValve {
    channels: Vec<Channel>,
    watermark: EventTime,
    idle: bool,
    /// How many of the channels that take part stand at the gate's watermark; at 0 it is computed anew.
    at_least: usize,
    /// How many channels are active.
    active: usize,
    /// How many channels have not ended.
    open: usize,
    stale: u64,
}

#[derive(Debug, Clone)]
struct Channel {
    watermark: EventTime,
    /// Neither idle, nor ended, nor behind the gate.
    takes_part: bool,
    idle: bool,
    ended: bool,
}

impl WatermarkValve {
    /// The valve of a gate with so many channels, all of them active.
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: MIN_EVENT_TIME, takes_part: true, idle: false, ended: false };
        Self {
            channels: vec![channel; channels],
            watermark: MIN_EVENT_TIME,
            idle: false,
            at_least: channels,
            active: channels,
            open: channels,
            stale: 0,
        }
    }

    /// Takes a watermark from a channel. One that does not exceed the channel's last one, comes behind its end or while it
    /// is idle, is counted and has no effect.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn watermark(&mut self, channel: usize, watermark: EventTime) -> GateProgress {
        let state = &mut self.channels[channel];
        if state.ended || state.idle || watermark <= state.watermark {
            self.stale += 1;
            return GateProgress::default();
        }
        let last = std::mem::replace(&mut state.watermark, watermark);
        if state.takes_part {
            self.at_least -= usize::from(last == self.watermark);
        } else {
            self.admit(channel);
        }
        GateProgress { watermark: self.advance(), ..GateProgress::default() }
    }

    /// Takes whether a channel is idle from now on. What it is already, and what comes behind its end, has no effect.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn status(&mut self, channel: usize, idle: bool) -> GateProgress {
        let state = &mut self.channels[channel];
        if state.ended || state.idle == idle {
            return GateProgress::default();
        }
        state.idle = idle;
        if idle {
            return self.leave(channel);
        }
        self.active += 1;
        self.admit(channel);
        let idle = std::mem::replace(&mut self.idle, false).then_some(false);
        GateProgress { watermark: self.advance(), idle, ended: false }
    }

    /// Takes the end of a channel, with which it holds no watermark back any more. A second end is counted and has no
    /// effect.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn end(&mut self, channel: usize) -> GateProgress {
        let state = &mut self.channels[channel];
        if state.ended {
            self.stale += 1;
            return GateProgress::default();
        }
        state.ended = true;
        self.open -= 1;
        if self.open > 0 {
            // An idle one has left already.
            return if state.idle { GateProgress::default() } else { self.leave(channel) };
        }
        let rises = std::mem::replace(&mut self.watermark, MAX_EVENT_TIME) < MAX_EVENT_TIME;
        let idle = std::mem::replace(&mut self.idle, false).then_some(false);
        GateProgress { watermark: rises.then_some(MAX_EVENT_TIME), idle, ended: true }
    }

    /// How many watermarks and ends were out of date.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Lets an active channel take part if it is not behind.
    fn admit(&mut self, channel: usize) {
        let state = &mut self.channels[channel];
        state.takes_part = state.watermark >= self.watermark;
        self.at_least += usize::from(state.watermark == self.watermark);
    }

    /// Does without a channel that was active.
    fn leave(&mut self, channel: usize) -> GateProgress {
        self.active -= 1;
        let state = &mut self.channels[channel];
        let held_back = std::mem::replace(&mut state.takes_part, false) && state.watermark == self.watermark;
        self.at_least -= usize::from(held_back);
        if self.active > 0 {
            return GateProgress { watermark: self.advance(), ..GateProgress::default() };
        }
        self.idle = true;
        // None is left that could still be behind: what each has promised holds for all.
        let most = self.channels.iter().filter(|channel| !channel.ended).map(|channel| channel.watermark).max();
        let watermark = most.filter(|most| held_back && *most > self.watermark);
        self.watermark = watermark.unwrap_or(self.watermark);
        GateProgress { watermark, idle: Some(true), ended: false }
    }

    /// Raises the gate's watermark if no channel that takes part stands at it.
    fn advance(&mut self) -> Option<EventTime> {
        if self.at_least > 0 {
            return None;
        }
        let taking_part = || self.channels.iter().filter(|channel| channel.takes_part);
        let least = taking_part().map(|channel| channel.watermark).min()?;
        debug_assert!(least > self.watermark, "a gate's watermark rises");
        self.at_least = taking_part().filter(|channel| channel.watermark == least).count();
        self.watermark = least;
        // One that is active and was behind may stand where the gate stands now only if it takes part.
        debug_assert!(self.at_least > 0 && self.active > 0);
        Some(least)
    }
}
