//! The sandbox of a process: compiles components, runs builders, opens instances.

use std::sync::Arc;

use bytes::Bytes;
use millrace_graph::StreamGraph;
use millrace_types::{Digest, NodeId, TenantId};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::builder::{self, BuildInput};
use crate::capability;
use crate::compile::{CompileUrgency, Compiler};
use crate::component::CompiledComponent;
use crate::engine::run_engine;
use crate::error::{ComponentError, GuestError, SandboxError};
use crate::faults::{FaultCounts, GuestFaults};
use crate::guest::Guest;
use crate::host::OperatorHost;
use crate::instance::{OpenSpec, OperatorInstance};
use crate::options::SandboxOptions;
use crate::ticker::Ticker;

/// What all handles share.
pub(crate) struct Inner {
    pub engine: Engine,
    pub ticker: Arc<Ticker>,
    pub options: SandboxOptions,
    pub faults: Arc<FaultCounts>,
    compiler: Arc<Compiler>,
}

/// The handle of a process's sandbox. Cheap to clone; one sandbox is enough for a process.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

impl Sandbox {
    /// Sets up the engine, the cache directory and the clock of slices.
    ///
    /// # Errors
    /// If the address space cannot be reserved, the directory not be made or the thread not be started.
    pub fn new(options: SandboxOptions) -> Result<Self, SandboxError> {
        let engine_error = |error: wasmtime::Error| SandboxError::Engine(format!("{error:#}"), options.instances_max);
        let engine = run_engine(options.instances_max).map_err(engine_error)?;
        let mut linker = Linker::new(&engine);
        capability::link_all(&mut linker).map_err(engine_error)?;
        let compiler = Arc::new(Compiler::new(&engine, linker, &options)?);
        let ticker = Arc::new(Ticker::start(&engine, options.slice).map_err(SandboxError::Thread)?);
        Ok(Self(Arc::new(Inner { engine, ticker, options, faults: Arc::default(), compiler })))
    }

    /// Checks and compiles a component, or finds it in the cache. However many ask for one component at the same
    /// time, it is compiled once.
    ///
    /// # Errors
    /// If the component is refused, does not compile within its limits, or the disk fails.
    pub async fn compile(
        &self,
        tenant: &TenantId,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<CompiledComponent, ComponentError> {
        self.0.compiler.get(tenant, digest, bytes, CompileUrgency::Awaited).await
    }

    /// The same for a component that nobody waits for yet. Whoever asks for it meanwhile waits for this compilation.
    ///
    /// # Errors
    /// As [`Sandbox::compile`].
    pub async fn compile_ahead(
        &self,
        tenant: &TenantId,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<CompiledComponent, ComponentError> {
        self.0.compiler.get(tenant, digest, bytes, CompileUrgency::Ahead).await
    }

    /// A component that is compiled, if it is.
    pub fn compiled(&self, tenant: &TenantId, digest: &Digest) -> Option<CompiledComponent> {
        self.0.compiler.ready(tenant, digest)
    }

    /// Whether one more component can be kept without another one having to go.
    pub fn has_room(&self) -> bool {
        let (ready, ready_max) = self.0.compiler.ready_count();
        ready < ready_max
    }

    /// How many compiled components are kept.
    pub fn components_ready(&self) -> u64 {
        self.0.compiler.ready_count().0 as u64
    }

    /// How often a component was compiled in this life of the process.
    pub fn compilations(&self) -> u64 {
        self.0.compiler.compiled_count()
    }

    /// Runs a component's builder in an instance of its own.
    ///
    /// # Errors
    /// If the builder traps, returns an error, takes too long, or returns more than a graph may be. Whether the graph
    /// makes sense is not checked here.
    pub async fn build_graph(
        &self,
        component: &CompiledComponent,
        args: &[String],
        parallelism: u32,
    ) -> Result<StreamGraph, GuestError> {
        let limits = &self.0.options.builder;
        let (mut guest, instance) = Guest::instantiate(&self.0, component, &limits.sandbox, None).await?;
        let program = builder::program(&mut guest, &instance, component)?;
        builder::build(&mut guest, &program, BuildInput { args, parallelism }, limits).await
    }

    /// Runs a component's builder and asks it for the splits of a source that runs in `node_parallelism` subtasks.
    ///
    /// # Errors
    /// As [`Sandbox::build_graph`], and if there are more splits than there may be.
    pub async fn enumerate_splits(
        &self,
        component: &CompiledComponent,
        args: &[String],
        parallelism: u32,
        node: NodeId,
        node_parallelism: u32,
    ) -> Result<Vec<Bytes>, GuestError> {
        let limits = &self.0.options.builder;
        let (mut guest, instance) = Guest::instantiate(&self.0, component, &limits.sandbox, None).await?;
        let program = builder::program(&mut guest, &instance, component)?;
        builder::build(&mut guest, &program, BuildInput { args, parallelism }, limits).await?;
        builder::splits(&mut guest, &program, node, node_parallelism, limits).await
    }

    /// Opens operators in a new instance: instantiates, runs the builder if there is one and compares its graph, and
    /// calls `open`.
    ///
    /// # Errors
    /// If there is no room, the guest fails, or the builder returns another graph than before. The host is dropped.
    pub async fn open(
        &self,
        component: &CompiledComponent,
        spec: OpenSpec,
        host: Box<dyn OperatorHost>,
    ) -> Result<OperatorInstance, GuestError> {
        OperatorInstance::open(&self.0, component, spec, host).await
    }

    /// The faults of guests so far.
    pub fn faults(&self) -> GuestFaults {
        self.0.faults.current()
    }

    /// What the engine's pool of instances has in use.
    pub fn instances_in_use(&self) -> u64 {
        self.0.engine.pooling_allocator_metrics().map_or(0, |pool| pool.component_instances())
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("options", &self.0.options).finish_non_exhaustive()
    }
}
