//! What a guest may use of the world, one capability per file. Each is linked once per engine, for every guest alike,
//! and prepared anew for every instance and phase: what an instance is not granted is linked and fails at the call.
//!
//! Absent on purpose: a file system, environment variables, arguments, sockets and outgoing HTTP.

mod clocks;
mod filesystem;
mod http;
mod io;
mod operator_host;
mod random;
mod sockets;
mod stdio;

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::store::{Phase, SharedLog, StoreData};

pub(crate) use http::link_refusals;

/// One thing that guests may use.
trait Capability {
    /// Adds the functions, the same for all guests.
    fn link(&self, linker: &mut Linker<StoreData>) -> wasmtime::Result<()>;

    /// Sets up what the functions work on in one instance and phase. Whatever is not set up here refuses.
    fn prepare(&self, _phase: Phase, _log: &SharedLog, _wasi: &mut WasiCtxBuilder) {}
}

const ALL: [&dyn Capability; 7] = [
    &operator_host::MillraceHost,
    &io::Io,
    &clocks::Clocks,
    &random::Random,
    &stdio::Stdio,
    &filesystem::Filesystem,
    &sockets::Sockets,
];

/// Adds all capabilities.
pub(crate) fn link_all(linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
    ALL.iter().try_for_each(|capability| capability.link(linker))
}

/// WASI's state for one instance and phase.
pub(crate) fn wasi_context(phase: Phase, log: &SharedLog) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    for capability in ALL {
        capability.prepare(phase, log, &mut wasi);
    }
    wasi.build()
}
