//! Guest code in wasmtime: what checks it, compiles it, limits it and calls it.
//!
//! # The life of an instance
//!
//! 1. **Inspected.** [`inspect_component`] validates a component's bytes and its imports. It compiles nothing, so that
//!    an upload can be answered from it.
//! 2. **Compiled.** [`Sandbox::compile`] has a child process compile it, which [`compile_child_main`] is the whole of,
//!    and loads what that wrote. The imports are resolved then, once for all instances.
//! 3. **Built.** [`Sandbox::build_graph`] and [`Sandbox::enumerate_splits`] run the application's builder in an
//!    instance that is thrown away: standing clocks, constant random numbers, no function of the host but `log` and
//!    `report-panic`.
//! 4. **Opened.** [`Sandbox::open`] makes an instance, runs the builder in it again, compares the graph's digest with
//!    the one that the job was submitted with, gives the guest the real clocks and its task ([`OperatorHost`]), and
//!    calls `open`.
//! 5. **At work.** The functions of [`OperatorInstance`] call the exports, one at a time. A guest that runs gives way
//!    to its neighbours at the end of every slice (a millisecond).
//! 6. **Gone.** Dropped behind any flush, behind an error, or with [`OperatorInstance::into_host`], which gives back
//!    the host for another instance in its place. Its memory is never seen again by anybody.
//!
//! # Invariants
//!
//! - The code that runs was written by a compile child of this process, into a directory that only this process uses.
//!   A cache never outlives its process, since it could not be trusted then.
//! - A component, its code and its instances belong to one tenant; nothing that a guest can reach is shared.
//! - Every call ends: its running time is limited in processor time of its own, its waiting inside of WASI by the
//!   clock, and `emit`, which is backpressure, by the task that waits.
//! - An instance is not entered again behind a trap, an error or a call that was dropped before its end.
//! - Memory, tables, stack, output of a call, handles, what one call of a function hands over, and lines of the log
//!   are limited for every instance; what was refused is named in the error together with the setting.
//! - A guest's imports are `millrace:app/host` and WASI 0.2. WASI is linked in full and empty: clocks, random numbers
//!   and output to the log work, sockets and files fail with the language's ordinary error, and a call of `wasi:http`,
//!   which has no implementation here, fails the call with the function's name.
//!
//! # Where to look
//!
//! `engine` (the configuration), `compile` (child, private directory, cache), `capability` (what a guest may use, one
//! file each), `store`, `guest` (the frame of every call), `meter`, `limiter` and `log_gate` (the accounts), `trap`
//! (from wasmtime's errors to ours).
//!
//! The batches themselves are opaque here: [`OperatorHost`] checks them.

mod bindings;
mod builder;
mod capability;
mod compile;
mod component;
mod engine;
mod error;
mod faults;
mod graph;
mod guest;
mod host;
mod inspect;
mod instance;
mod limiter;
mod log_gate;
mod meter;
mod options;
mod process;
mod sandbox;
mod store;
mod ticker;
mod trap;

pub use compile::compile_child_main;
pub use component::CompiledComponent;
pub use error::{ComponentError, GuestError, GuestErrorKind, SandboxError};
pub use faults::GuestFaults;
pub use host::{Clock, HostError, LogLevel, LogSource, OperatorHost};
pub use inspect::{ComponentInfo, InspectLimits, inspect_component};
pub use instance::{OpenSpec, OperatorInstance, OperatorSpec, PollStatus, Polled, StateDescriptor};
pub use options::{BuilderLimits, CacheLimits, CompileLimits, CompilerCommand, SandboxOptions};
pub use process::{ProcessLoad, ProcessUse, process_use};
pub use sandbox::Sandbox;
