//! `wasi:io`: streams and polls, which the other interfaces are made of.

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi_io::bindings::wasi::io::{error, poll, streams};

use super::Capability;
use crate::store::StoreData;

pub(super) struct Io;

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

impl Capability for Io {
    fn link(&self, linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
        error::add_to_linker::<_, Table>(linker, |data| &mut data.resources)?;
        poll::add_to_linker::<_, Table>(linker, |data| &mut data.resources)?;
        streams::add_to_linker::<_, Table>(linker, |data| &mut data.resources)
    }
}
