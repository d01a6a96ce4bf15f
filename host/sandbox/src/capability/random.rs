//! `wasi:random`: real random numbers for operators, always the same ones for the builder.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};
use wasmtime::component::Linker;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{Deterministic, WasiCtxBuilder};

use super::Capability;
use crate::store::{Phase, SharedLog, StoreData};

/// The most random bytes of one call.
const REQUEST_BYTES_MAX: u64 = 1024 * 1024;

/// What the builder's random numbers repeat: long enough for code that draws until it likes what it gets.
static BUILD_BYTES: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0u32..128).flat_map(|block| Sha256::digest(block.to_le_bytes())).collect());

pub(super) struct Random;

impl Capability for Random {
    fn link(&self, linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
        random::add_to_linker::<_, WasiRandom>(linker, StoreData::random)?;
        insecure::add_to_linker::<_, WasiRandom>(linker, StoreData::random)?;
        insecure_seed::add_to_linker::<_, WasiRandom>(linker, StoreData::random)
    }

    fn prepare(&self, phase: Phase, _log: &SharedLog, wasi: &mut WasiCtxBuilder) {
        wasi.max_random_size(REQUEST_BYTES_MAX);
        if phase == Phase::Build {
            wasi.secure_random(Deterministic::new(BUILD_BYTES.clone()))
                .insecure_random(Deterministic::new(BUILD_BYTES.clone()))
                .insecure_random_seed(0);
        }
    }
}
