//! The component's functions.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::bindings::exports::millrace::app::{operator, program};
use super::convert;
use super::imports::{Imports, report_panics};
use crate::args::Args;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::program::Program;
use crate::runtime::{Instance, OpenContext};

/// The application's builder.
pub trait Builder: 'static {
    /// Builds the application.
    fn build(env: &Environment, args: &Args) -> Result<()>;
}

/// What a component exports for a builder.
pub struct Exports<B>(PhantomData<B>);

thread_local! {
    static PROGRAM: RefCell<Option<Program>> = const { RefCell::new(None) };
    static INSTANCE: RefCell<Option<Instance>> = const { RefCell::new(None) };
}

/// Runs a call of the opened instance.
fn with_instance<T>(call: impl FnOnce(&mut Instance) -> Result<T>) -> Result<T, String> {
    INSTANCE.with_borrow_mut(|instance| match instance {
        Some(instance) => call(instance).map_err(|error| error.to_string()),
        None => Err("no operator was opened in this instance".to_owned()),
    })
}

impl<B: Builder> program::Guest for Exports<B> {
    fn build(context: program::BuildContext) -> Result<program::StreamGraph, String> {
        report_panics();
        let program = Program::build(B::build, &context.args, context.parallelism);
        let program = program.map_err(|error| error.to_string())?;
        let graph = convert::graph(program.graph());
        PROGRAM.set(Some(program));
        Ok(graph)
    }

    fn splits(node: u32, parallelism: u32) -> Result<Vec<Vec<u8>>, String> {
        PROGRAM
            .with_borrow(|program| {
                let program = program.as_ref().ok_or_else(|| Error::msg("build has to be called first"))?;
                program.splits(node, parallelism)
            })
            .map_err(|error: Error| error.to_string())
    }
}

impl<B: Builder> operator::Guest for Exports<B> {
    fn open(context: operator::OpenContext) -> Result<Vec<operator::StateDescriptor>, String> {
        report_panics();
        let Some(program) = PROGRAM.take() else {
            return Err("build has to be called before open, once for each".to_owned());
        };
        let watermarks: Vec<_> = context.operators.iter().map(|operator| (operator.node, operator.watermark)).collect();
        let context = OpenContext {
            operators: context.operators.iter().map(|operator| operator.node).collect(),
            batch_bytes: context.batch_bytes,
            record_bytes_max: context.record_bytes_max,
            state_cache_bytes: context.state_cache_bytes,
        };
        let mut instance = program.open(Rc::new(Imports), &context).map_err(|error| error.to_string())?;
        for (node, watermark) in watermarks {
            instance.resume(node, watermark).map_err(|error| error.to_string())?;
        }
        let states = instance.states().iter().map(convert::descriptor).collect();
        INSTANCE.set(Some(instance));
        Ok(states)
    }

    fn process(node: u32, port: u32, batch: Vec<u8>) -> Result<(), String> {
        with_instance(|instance| instance.process(node, port, &batch))
    }

    fn poll(node: u32, split: Vec<u8>, offset: Vec<u8>, max_bytes: u32) -> Result<operator::Polled, String> {
        with_instance(|instance| instance.poll(node, &split, &offset, max_bytes).map(convert::polled))
    }

    fn turn(node: u32, split: u32, watermark: i64) -> Result<(), String> {
        with_instance(|instance| instance.turn(node, split, watermark))
    }

    fn watermark(node: u32, timestamp: i64) -> Result<(), String> {
        with_instance(|instance| instance.watermark(node, timestamp))
    }

    fn timers(node: u32, clock: operator::Clock, due: Vec<u8>) -> Result<(), String> {
        with_instance(|instance| instance.timers(node, convert::clock_of_call(clock), &due))
    }

    fn pre_barrier() -> Result<(), String> {
        with_instance(Instance::pre_barrier)
    }

    fn flush() -> Result<(), String> {
        with_instance(|instance| {
            instance.flush();
            Ok(())
        })
    }

    fn finish(_node: u32) -> Result<(), String> {
        // The watermark of the end of all time has let everything go.
        Ok(())
    }
}
