//! A sandbox whose compile child is this program, and a host that remembers.

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_graph::GuestCode;
use millrace_sandbox::{
    Clock, CompiledComponent, CompilerCommand, ComponentError, GuestError, HostError, LogLevel, LogSource, OpenSpec,
    OperatorHost, OperatorInstance, OperatorSpec, Sandbox, SandboxOptions,
};
use millrace_types::{Digest, NodeId, SandboxLimits, TenantId};
use sha2::Digest as _;
use tempfile::TempDir;

use crate::wat::Guest;

pub const NODE: NodeId = NodeId(0);

/// A sandbox and the directory that its cache is in.
pub struct Fixture {
    pub sandbox: Sandbox,
    pub directory: TempDir,
}

pub fn compiler() -> CompilerCommand {
    let args = ["compile_child", "--exact", "--nocapture", "--test-threads=1"];
    CompilerCommand { program: std::env::current_exe().unwrap(), args: args.map(str::to_owned).to_vec() }
}

pub fn fixture(change: impl FnOnce(&mut SandboxOptions)) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let mut options = SandboxOptions::new(directory.path(), compiler());
    options.instances_max = 8;
    change(&mut options);
    Fixture { sandbox: Sandbox::new(options).unwrap(), directory }
}

pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

impl Fixture {
    pub async fn try_compile(&self, bytes: &[u8]) -> Result<CompiledComponent, ComponentError> {
        let tenant = TenantId::default_tenant();
        self.sandbox.compile(&tenant, &digest(bytes), Bytes::copy_from_slice(bytes)).await
    }

    pub async fn compile(&self, guest: &Guest) -> CompiledComponent {
        self.try_compile(&guest.component()).await.unwrap()
    }

    pub async fn open_with(&self, guest: &Guest, limits: SandboxLimits) -> Result<OperatorInstance, GuestError> {
        let component = self.compile(guest).await;
        self.sandbox.open(&component, spec(limits), Box::new(Host::default())).await
    }

    /// An instance of the guest with the default limits.
    pub async fn open(&self, guest: &Guest) -> OperatorInstance {
        self.open_with(guest, SandboxLimits::default()).await.unwrap()
    }
}

pub fn spec(limits: SandboxLimits) -> OpenSpec {
    OpenSpec {
        args: vec!["--input".to_owned(), "x".to_owned()],
        default_parallelism: 2,
        graph_digest: None,
        operators: vec![OperatorSpec {
            node: NODE,
            uid: "n".to_owned(),
            name: "the operator".to_owned(),
            code: GuestCode::default(),
            watermark: i64::MIN,
        }],
        subtask: 0,
        parallelism: 2,
        max_parallelism: 128,
        batch_bytes: 65_536,
        record_bytes_max: 1 << 20,
        state_cache_bytes: 1 << 20,
        limits,
    }
}

/// A host that remembers what it was handed and answers as it is told.
#[derive(Default)]
pub struct Host {
    pub emitted: Vec<(NodeId, u32, Bytes)>,
    pub watermarks: Vec<i64>,
    pub put: Vec<(u32, Vec<u8>)>,
    pub lines: Vec<(LogLevel, LogSource, String)>,
    /// What `emit` waits for before it takes a batch.
    pub emit_delay: Duration,
    pub refuse_emit: Option<HostError>,
}

#[async_trait]
impl OperatorHost for Host {
    async fn emit(&mut self, node: NodeId, port: u32, batch: Bytes) -> Result<(), HostError> {
        tokio::time::sleep(self.emit_delay).await;
        self.emitted.push((node, port, batch));
        self.refuse_emit.clone().map_or(Ok(()), Err)
    }

    fn emit_watermark(&mut self, _node: NodeId, timestamp: i64) -> Result<(), HostError> {
        self.watermarks.push(timestamp);
        Ok(())
    }

    fn get(&mut self, state: u32, keys: &[u8]) -> Result<Vec<u8>, HostError> {
        if state > 0 { Err(HostError::Contract(format!("no state {state}"))) } else { Ok(keys.to_vec()) }
    }

    fn scan(&mut self, _: u32, _: &[u8], _: Option<&[u8]>, _: u32) -> Result<Vec<u8>, HostError> {
        Ok(Vec::new())
    }

    fn put(&mut self, state: u32, changes: &[u8]) -> Result<(), HostError> {
        self.put.push((state, changes.to_vec()));
        Ok(())
    }

    fn set_timers(&mut self, _: NodeId, _: Clock, _: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    fn now_ms(&mut self) -> i64 {
        1_234
    }

    fn log(&mut self, level: LogLevel, line: &str, from: LogSource) {
        self.lines.push((level, from, line.to_owned()));
    }
}

/// The host within an instance.
pub fn host(instance: &mut OperatorInstance) -> &mut Host {
    let host: &mut dyn Any = instance.host_mut().unwrap();
    host.downcast_mut().unwrap()
}

/// The host of an instance that has ended.
pub fn into_host(instance: OperatorInstance) -> Box<Host> {
    let host: Box<dyn Any> = instance.into_host().unwrap();
    host.downcast().unwrap()
}

/// A sandbox still works.
pub async fn assert_works(fixture: &Fixture) {
    let mut instance = fixture.open(&Guest::application()).await;
    instance.process(NODE, 0, b"still here").await.unwrap();
    assert_eq!(host(&mut instance).emitted.len(), 1);
}
