//! `wasi:cli`: standard output and error as lines of the task's log; no input, no arguments, no environment.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncWrite, sink};
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamResult};

use super::Capability;
use crate::host::LogSource;
use crate::store::{Phase, SharedLog, StoreData};

/// The most that one write takes, in bytes.
const WRITE_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Stdio;

#[derive(Clone)]
struct LogStream {
    log: SharedLog,
    source: LogSource,
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// Of WASI 0.3, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(sink())
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.with(|gate, now| gate.bytes(now, self.source, &bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl Capability for Stdio {
    fn link(&self, linker: &mut Linker<StoreData>) -> wasmtime::Result<()> {
        environment::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        exit::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        stdin::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        stdout::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        stderr::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        terminal_input::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        terminal_output::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        terminal_stdin::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        terminal_stdout::add_to_linker::<_, WasiCli>(linker, StoreData::cli)?;
        terminal_stderr::add_to_linker::<_, WasiCli>(linker, StoreData::cli)
    }

    fn prepare(&self, _phase: Phase, log: &SharedLog, wasi: &mut WasiCtxBuilder) {
        wasi.stdout(LogStream { log: log.clone(), source: LogSource::Stdout });
        wasi.stderr(LogStream { log: log.clone(), source: LogSource::Stderr });
    }
}
