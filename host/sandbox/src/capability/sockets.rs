//! `wasi:sockets`: linked and refusing. Neither sockets nor names are granted to anybody yet, so that creating one
//! fails with the language's ordinary error.

use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::{
    instance_network, ip_name_lookup, network, tcp, tcp_create_socket, udp, udp_create_socket,
};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

use super::Capability;
use crate::store::{Phase, SharedLog, StoreData};

pub(super) struct Sockets;

impl Capability for Sockets {
    fn link(&self, linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
        network::add_to_linker::<_, WasiSockets>(linker, &Default::default(), StoreData::sockets)?;
        instance_network::add_to_linker::<_, WasiSockets>(linker, StoreData::sockets)?;
        ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, StoreData::sockets)?;
        tcp::add_to_linker::<_, WasiSockets>(linker, StoreData::sockets)?;
        tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, StoreData::sockets)?;
        udp::add_to_linker::<_, WasiSockets>(linker, StoreData::sockets)?;
        udp_create_socket::add_to_linker::<_, WasiSockets>(linker, StoreData::sockets)
    }

    fn prepare(&self, _phase: Phase, _log: &SharedLog, wasi: &mut WasiCtxBuilder) {
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    }
}
