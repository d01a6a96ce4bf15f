//! A subtask of a segment: its host, and the instance that runs it at the moment.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::host::{Output, ToyHost};
use crate::error::{Error, Result};
use crate::host::{Clock, Host};
use crate::program::Program;
use crate::runtime::{Instance, OpenContext, Polled, StateDescriptor};

/// How many timers are delivered at once: few, so that chunks have borders.
const TIMER_CHUNK: usize = 3;

/// Builds the program anew, as every instance does.
pub(super) type BuildProgram = Rc<dyn Fn() -> Result<Program>>;

pub(super) struct Task {
    build: BuildProgram,
    context: OpenContext,
    host: Rc<ToyHost>,
    instance: Instance,
    descriptors: Vec<StateDescriptor>,
    /// The nodes' watermarks, which a new instance is told.
    watermarks: BTreeMap<u32, i64>,
    /// The split that each node was told of, and its watermark then: a new instance is told the same.
    turns: BTreeMap<u32, (u32, i64)>,
}

impl Task {
    pub fn new(build: BuildProgram, context: OpenContext, max_parallelism: u32) -> Result<Self> {
        let host = Rc::new(ToyHost::new(max_parallelism));
        let instance = build()?.open(Rc::clone(&host) as Rc<dyn Host>, &context)?;
        let descriptors = instance.states().to_vec();
        host.set_states(&descriptors);
        Ok(Self { build, context, host, instance, descriptors, watermarks: BTreeMap::new(), turns: BTreeMap::new() })
    }

    /// What was handed over since the last call; an error if the instance broke the contract.
    pub fn take_outputs(&self) -> Result<Vec<Output>> {
        match self.host.fault() {
            Some(fault) => Err(Error::msg(format_args!("a fault of the SDK, please report it: {fault}"))),
            None => Ok(self.host.take_outputs()),
        }
    }

    pub fn process(&mut self, node: u32, port: u32, batch: &[u8]) -> Result<()> {
        self.instance.process(node, port, batch)
    }

    pub fn poll(&mut self, node: u32, split: &[u8], offset: &[u8], bytes_max: u32) -> Result<Polled> {
        self.instance.poll(node, split, offset, bytes_max)
    }

    pub fn watermark(&mut self, node: u32, timestamp: i64) -> Result<()> {
        self.watermarks.insert(node, timestamp);
        self.instance.watermark(node, timestamp)
    }

    pub fn turn(&mut self, node: u32, split: u32, watermark: i64) -> Result<()> {
        self.turns.insert(node, (split, watermark));
        self.instance.turn(node, split, watermark)
    }

    /// Delivers a chunk of due timers. Whether there was one.
    pub fn fire(&mut self, node: u32, clock: Clock, up_to: i64) -> Result<bool> {
        let Some(due) = self.host.take_due(node, clock, up_to, TIMER_CHUNK) else { return Ok(false) };
        self.instance.timers(node, clock, &due)?;
        Ok(true)
    }

    pub fn set_now_ms(&self, now_ms: i64) {
        self.host.set_now_ms(now_ms);
    }

    /// How many entries of state and how many timers the host has.
    pub fn kept(&self) -> (usize, usize) {
        self.host.kept()
    }

    /// How many reads of state by keys there were.
    pub fn gets(&self) -> u64 {
        self.host.gets()
    }

    pub fn flush(&mut self) -> Result<()> {
        self.instance.pre_barrier()?;
        self.host.begin_flush();
        self.instance.flush();
        self.host.end_flush();
        Ok(())
    }

    /// Flushes the instance, throws it away and opens another one.
    pub fn replace(&mut self) -> Result<()> {
        self.flush()?;
        self.instance = (self.build)()?.open(Rc::clone(&self.host) as Rc<dyn Host>, &self.context)?;
        if self.instance.states() != self.descriptors {
            return Err(Error::msg("the builder is not deterministic: another instance declares other states"));
        }
        for (node, timestamp) in &self.watermarks {
            self.instance.resume(*node, *timestamp)?;
        }
        for (node, (split, watermark)) in &self.turns {
            self.instance.turn(*node, *split, *watermark)?;
        }
        Ok(())
    }
}
