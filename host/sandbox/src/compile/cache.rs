//! What was compiled, by tenant and digest: ready components in memory, code in files, both within bounds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use millrace_types::{Digest, TenantId};
use sha2::Digest as _;
use tokio::sync::{OnceCell, Semaphore, watch};
use wasmtime::Engine;
use wasmtime::component::Linker;

use super::directory::PrivateDirectory;
use super::parent;
use super::request::Request;
use crate::component::CompiledComponent;
use crate::engine;
use crate::error::{ComponentError, SandboxError};
use crate::inspect::{ComponentInfo, inspect_component};
use crate::options::SandboxOptions;
use crate::store::StoreData;

type Key = (TenantId, Digest);
type Outcome = Result<CompiledComponent, ComponentError>;

/// By how much a child gives way that compiles what nobody waits for yet.
const AHEAD_NICENESS: i32 = 10;

/// Who waits for a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompileUrgency {
    /// A task or a user.
    Awaited,
    /// Nobody yet: compiling gives way to whatever else the machine has to do.
    Ahead,
}

/// A component that is ready, or that somebody is getting ready.
#[derive(Default)]
struct Ready {
    making: Arc<Making>,
    used: u64,
}

/// A component that is being made ready, or is.
#[derive(Default)]
struct Making {
    cell: OnceCell<Outcome>,
    /// Whether somebody waits for it.
    awaited: watch::Sender<bool>,
}

/// A file that a child of this process wrote.
#[derive(Debug, Clone)]
struct CodeFile {
    path: PathBuf,
    info: ComponentInfo,
    bytes: u64,
    used: u64,
}

#[derive(Default)]
struct Entries {
    ready: BTreeMap<Key, Ready>,
    files: BTreeMap<Key, CodeFile>,
    /// Counts uses, to tell which was the latest.
    clock: u64,
}

/// Compiles components and keeps them.
pub(crate) struct Compiler {
    engine: Engine,
    linker: Linker<StoreData>,
    options: SandboxOptions,
    directory: PrivateDirectory,
    compatibility: String,
    children: Semaphore,
    /// How often a child has compiled a component.
    compiled: AtomicU64,
    /// Tells the files of children apart: one that was killed may not be dead when the next one begins.
    outputs: AtomicU64,
    entries: Mutex<Entries>,
}

impl Compiler {
    pub(crate) fn new(
        engine: &Engine,
        linker: Linker<StoreData>,
        options: &SandboxOptions,
    ) -> Result<Self, SandboxError> {
        let directory = PrivateDirectory::new(&options.cache_dir)
            .map_err(|source| SandboxError::CacheDirectory { path: options.cache_dir.clone(), source })?;
        Ok(Self {
            engine: engine.clone(),
            linker,
            options: options.clone(),
            directory,
            compatibility: engine::compatibility(engine),
            children: Semaphore::new(options.compile.children_max.max(1)),
            compiled: AtomicU64::new(0),
            outputs: AtomicU64::new(0),
            entries: Mutex::default(),
        })
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Every change of the entries is whole before anything in it can panic.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The component, compiled once however many ask at the same time.
    pub(crate) async fn get(
        self: &Arc<Self>,
        tenant: &TenantId,
        digest: &Digest,
        bytes: Bytes,
        urgency: CompileUrgency,
    ) -> Outcome {
        let key = (tenant.clone(), *digest);
        let making = self.entries().making(&key);
        let (of, bytes) = (&key, &bytes);
        let make = |urgency| making.cell.get_or_init(move || self.produce(of, bytes.clone(), urgency));
        let outcome = match urgency {
            CompileUrgency::Awaited => {
                making.awaited.send_replace(true);
                make(CompileUrgency::Awaited).await.clone()
            }
            CompileUrgency::Ahead => {
                let mut awaited = making.awaited.subscribe();
                let made = tokio::select! {
                    biased;
                    outcome = make(CompileUrgency::Ahead) => Some(outcome.clone()),
                    // The sender is in `making`.
                    _ = awaited.wait_for(|awaited| *awaited) => None,
                };
                // Whoever waits is not to wait for a child that gives way: that one is dead, and another one at work.
                match made {
                    Some(outcome) => outcome,
                    None => make(CompileUrgency::Awaited).await.clone(),
                }
            }
        };
        let mut entries = self.entries();
        match &outcome {
            Ok(_) => entries.evict_ready(self.options.cache.components_max),
            // A failure is not kept: its cause may pass.
            Err(_) => entries.forget_ready(&key, &making),
        }
        outcome
    }

    /// The component if it is ready.
    pub(crate) fn ready(&self, tenant: &TenantId, digest: &Digest) -> Option<CompiledComponent> {
        self.entries().use_ready(&(tenant.clone(), *digest))
    }

    /// How many components are ready, and how many there may be.
    pub(crate) fn ready_count(&self) -> (usize, usize) {
        let entries = self.entries();
        let is_ready = |ready: &&Ready| matches!(ready.making.cell.get(), Some(Ok(_)));
        (entries.ready.values().filter(is_ready).count(), self.options.cache.components_max)
    }

    /// How often a component was compiled.
    pub(crate) fn compiled_count(&self) -> u64 {
        self.compiled.load(Ordering::Relaxed)
    }

    async fn produce(self: &Arc<Self>, key: &Key, bytes: Bytes, urgency: CompileUrgency) -> Outcome {
        let known = self.entries().use_file(key);
        let file = match known {
            Some(file) => file,
            None => self.compile(key, bytes, urgency).await?,
        };
        let (this, (tenant, digest)) = (Arc::clone(self), key.clone());
        blocking(move || {
            let component = load(&this.engine, &file)?;
            CompiledComponent::link(tenant, digest, file.info, &component, &this.linker)
        })
        .await
    }

    async fn compile(
        self: &Arc<Self>,
        key: &Key,
        bytes: Bytes,
        urgency: CompileUrgency,
    ) -> Result<CodeFile, ComponentError> {
        let (limits, digest, checked) = (self.options.inspect, key.1, bytes.clone());
        let info = blocking(move || check(&checked, &digest, &limits)).await?;
        let path = self.path(key).map_err(|error| compiler(&error))?;
        let request = Request {
            cpu_seconds_max: self.options.compile.cpu_seconds_max,
            address_space_bytes_max: self.options.compile.address_space_bytes_max,
            artifact_bytes_max: self.options.compile.artifact_bytes_max,
            component_bytes_max: self.options.inspect.component_bytes_max,
            niceness: match urgency {
                CompileUrgency::Awaited => 0,
                CompileUrgency::Ahead => AHEAD_NICENESS,
            },
            output: path.clone(),
        };
        let _permit = self.children.acquire().await.map_err(|error| compiler(&error))?;
        let _unfinished = Unfinished(path.with_extension("tmp"));
        parent::run(&self.options.compiler, &self.options.compile, &request, &bytes).await?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let bytes = std::fs::metadata(&path).map_err(|error| compiler(&error))?.len();
        let file = CodeFile { path, info, bytes, used: 0 };
        self.entries().add_file(key, file.clone(), self.options.cache.file_bytes_max);
        Ok(file)
    }

    fn path(&self, (tenant, digest): &Key) -> std::io::Result<PathBuf> {
        let number = self.outputs.fetch_add(1, Ordering::Relaxed);
        let name = format!("{digest}-{}-{number}.cwasm", self.compatibility);
        Ok(self.directory.subdirectory(tenant.as_str())?.join(name))
    }
}

/// What a child that was killed may leave behind.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Mostly there is none.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Entries {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn making(&mut self, key: &Key) -> Arc<Making> {
        let used = self.tick();
        let ready = self.ready.entry(key.clone()).or_default();
        ready.used = used;
        Arc::clone(&ready.making)
    }

    fn use_ready(&mut self, key: &Key) -> Option<CompiledComponent> {
        let used = self.tick();
        let ready = self.ready.get_mut(key)?;
        ready.used = used;
        ready.making.cell.get()?.as_ref().ok().cloned()
    }

    fn forget_ready(&mut self, key: &Key, making: &Arc<Making>) {
        if self.ready.get(key).is_some_and(|ready| Arc::ptr_eq(&ready.making, making)) {
            self.ready.remove(key);
        }
    }

    /// Drops the components that were not used for longest. One that is being made ready stays, unless nobody is at it any
    /// more: whoever was has been cancelled.
    fn evict_ready(&mut self, components_max: usize) {
        self.ready.retain(|_, ready| ready.making.cell.initialized() || Arc::strong_count(&ready.making) > 1);
        while self.ready.len() > components_max.max(1) {
            let done = self.ready.iter().filter(|(_, ready)| ready.making.cell.initialized());
            let Some(key) = done.min_by_key(|(_, ready)| ready.used).map(|(key, _)| key.clone()) else { return };
            self.ready.remove(&key);
        }
    }

    fn use_file(&mut self, key: &Key) -> Option<CodeFile> {
        let used = self.tick();
        let file = self.files.get_mut(key)?;
        file.used = used;
        Some(file.clone())
    }

    /// Adds a file and removes those that were not used for longest. Code that runs stays mapped without its file.
    fn add_file(&mut self, key: &Key, mut file: CodeFile, bytes_max: u64) {
        file.used = self.tick();
        self.files.insert(key.clone(), file);
        while self.files.values().map(|file| file.bytes).sum::<u64>() > bytes_max {
            let others = self.files.iter().filter(|(other, _)| *other != key);
            let Some(oldest) = others.min_by_key(|(_, file)| file.used).map(|(key, _)| key.clone()) else { return };
            if let Some(file) = self.files.remove(&oldest)
                && let Err(error) = std::fs::remove_file(&file.path)
            {
                tracing::warn!(path = %file.path.display(), %error, "compiled code cannot be removed");
            }
        }
    }
}

fn compiler(error: &dyn std::fmt::Display) -> ComponentError {
    ComponentError::Compiler { message: error.to_string() }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ComponentError> + Send + 'static,
) -> Result<T, ComponentError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(compiler(&error)))
}

fn check(
    bytes: &[u8],
    digest: &Digest,
    limits: &crate::inspect::InspectLimits,
) -> Result<ComponentInfo, ComponentError> {
    let info = inspect_component(bytes, limits)?;
    if sha2::Sha256::digest(bytes).as_slice() != digest.as_bytes().as_slice() {
        return Err(ComponentError::DigestMismatch { expected: digest.to_string() });
    }
    Ok(info)
}

/// Loads what a child of this process wrote.
#[allow(unsafe_code, reason = "loading compiled code is unsafe by nature: it is as good as the file")]
fn load(engine: &Engine, file: &CodeFile) -> Result<wasmtime::component::Component, ComponentError> {
    // SAFETY: `CodeFile`s are made in `Compiler::compile` alone, for a file that our own compile child has just
    // written into a directory of mode 0700 that was made for this process and is used by no other. Nobody but this
    // process's user, who could change the process itself as well, can have changed it since.
    let component = unsafe { wasmtime::component::Component::deserialize_file(engine, &file.path) };
    component.map_err(|error| compiler(&format!("{error:#}")))
}
