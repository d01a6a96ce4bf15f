#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#![warn(missing_docs)]

// The derive macro names this crate by its name, here too.
extern crate self as millrace;

mod args;
pub mod batch;
mod chunk;
mod collector;
mod connector;
pub mod data;
mod definition;
mod environment;
mod error;
mod fields;
mod format;
pub mod graph;
pub mod host;
mod operator;
mod program;
pub mod runtime;
mod state;
mod stream;
mod text;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod glue;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use args::Args;
pub use collector::{Collector, OutputTag};
pub use connector::{
    CollectSink, DatagenSource, DiscardSink, FileSink, FileSource, HttpAnswer, HttpLookup, NativeOperator, NativeSink,
    NativeSource, PrintSink,
};
pub use data::Data;
pub use environment::{Environment, IntoSource};
pub use error::{Error, Result};
pub use fields::{FieldError, Fields, ToFields};
pub use format::{CsvFields, CsvLine, Decode, Encode, ForeignFormat, Json, Opaque, Raw, RawRecord, Shown};
pub use host::{Clock, Level};
pub use millrace_macros::{Data, application};
pub use operator::window::contents::Either;
pub use operator::window::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, DefaultTrigger, EventTimeSessionWindows,
    EventTimeTrigger, GlobalWindow, GlobalWindows, NeverTrigger, ProcessingTimeSessionWindows, ProcessingTimeTrigger,
    PurgingTrigger, SlidingEventTimeWindows, SlidingProcessingTimeWindows, TimeWindow, Trigger, TriggerContext,
    TriggerResult, TumblingEventTimeWindows, TumblingProcessingTimeWindows, Window, WindowAssigner, WindowContext,
};
pub use operator::{
    AggregateFunction, BroadcastContext, BroadcastProcessFunction, KeyedBroadcastProcessFunction,
    KeyedCoProcessFunction, KeyedContext, KeyedProcessFunction, ProcessContext, ProcessFunction, Source, SourceOutput,
    SourceStatus, WatermarkGenerator, WatermarkOutput, WatermarkStrategy,
};
pub use program::Program;
pub use state::{
    AggregatingState, BroadcastState, ListState, MapState, OperatorListState, ReducingState, StateTtlConfig,
    StateVisibility, States, UpdateType, ValueState,
};
pub use stream::{
    AllWindowedStream, BroadcastConnectedStream, CoGrouped, Component, ConnectedKeyedStreams, ConnectedStreams,
    IntervalJoin, IntoOperator, IntoSink, Joined, KeyedBroadcastConnectedStream, KeyedStream, PairedStreams,
    PairedStreamsWhere, PairedStreamsWithKey, PairedWindows, SinkHandle, Stream, WindowedStream,
};
pub use text::Text;

/// What most applications need.
pub mod prelude {
    pub use crate::{
        AggregateFunction, AggregatingState, Args, BroadcastContext, BroadcastProcessFunction, BroadcastState, Clock,
        CollectSink, Collector, Component, ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger,
        Data, DatagenSource, DiscardSink, Environment, Error, EventTimeSessionWindows, EventTimeTrigger, Fields,
        FileSink, FileSource, GlobalWindow, GlobalWindows, HttpAnswer, HttpLookup, Json, KeyedBroadcastProcessFunction,
        KeyedCoProcessFunction, KeyedContext, KeyedProcessFunction, KeyedStream, Level, ListState, MapState,
        NativeSink, NativeSource, OperatorListState, OutputTag, PrintSink, ProcessContext, ProcessFunction,
        ProcessingTimeSessionWindows, ProcessingTimeTrigger, PurgingTrigger, Raw, ReducingState, Result,
        SlidingEventTimeWindows, SlidingProcessingTimeWindows, Source, SourceOutput, SourceStatus, StateTtlConfig,
        StateVisibility, States, Stream, Text, TimeWindow, Trigger, TriggerContext, TriggerResult,
        TumblingEventTimeWindows, TumblingProcessingTimeWindows, UpdateType, ValueState, WatermarkGenerator,
        WatermarkOutput, WatermarkStrategy, Window, WindowAssigner, WindowContext,
    };
}
