//! `wasi:filesystem`: linked and empty. There are no directories to begin at, so nothing can be opened.

use wasmtime::component::Linker;
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};

use super::Capability;
use crate::store::StoreData;

pub(super) struct Filesystem;

impl Capability for Filesystem {
    fn link(&self, linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
        types::add_to_linker::<_, WasiFilesystem>(linker, StoreData::filesystem)?;
        preopens::add_to_linker::<_, WasiFilesystem>(linker, StoreData::filesystem)
    }
}
