//! `wasi:http`: not provided. A component that imports it links all the same, and a call fails with the function's
//! name, so that guests whose toolchain imports it without need run.

use wasmtime::component::{Component, Linker};

use crate::inspect::ComponentInfo;
use crate::store::StoreData;

/// Links functions that fail for what a component imports of `wasi:http`.
pub(crate) fn link_refusals(
    linker: &mut Linker<StoreData>,
    component: &Component,
    info: &ComponentInfo,
) -> wasmtime::Result<()> {
    if info.imports.iter().any(|name| name.starts_with("wasi:http/")) {
        linker.define_unknown_imports_as_traps(component)?;
    }
    Ok(())
}
