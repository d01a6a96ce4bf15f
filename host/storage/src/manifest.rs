//! `millrace.toml`: what a bundle says of itself.

mod check;
mod error;
mod graph;
mod quantity;

use std::collections::BTreeMap;

use millrace_types::SandboxLimits;
use serde::{Deserialize, Serialize};

pub(crate) use check::{check_path, is_component_name};
pub use error::ManifestError;
pub use graph::{ManifestEdge, ManifestGraph, ManifestNode, NativeSpec};
pub use quantity::{Duration, MemorySize};

/// The longest manifest, in bytes.
pub(crate) const MANIFEST_BYTES_MAX: usize = 256 * 1024;

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// The application.
    pub application: Application,
    /// Its components, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, ComponentSpec>,
    /// What it asks to be allowed.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
    /// Its graph, where no builder gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<ManifestGraph>,
}

/// The application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The component with the builder, and of operators that name none. May be omitted where `[graph]` states the
    /// graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The parallelism of nodes that state none, unless the run sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ComponentSpec {
    /// Its file in the bundle.
    pub path: String,
    /// The command that builds it, run by `millrace build` in the manifest's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Vec<String>>,
    /// The file that the command makes, looked for by `millrace build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// What its instances ask to use.
    #[serde(default, skip_serializing_if = "ComponentLimits::is_empty")]
    pub limits: ComponentLimits,
}

/// What instances of a component ask to use, where the defaults do not fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ComponentLimits {
    /// Linear memory, such as `256 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemorySize>,
    /// How long one call may run, such as `10 s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_deadline: Option<Duration>,
    /// What one call may emit, such as `256 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_per_call: Option<MemorySize>,
}

impl ComponentLimits {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The limits of an instance: what is asked for, else what `defaults` say.
    pub fn resolve(&self, defaults: &SandboxLimits) -> SandboxLimits {
        let memory = self.memory.as_ref().map(MemorySize::bytes);
        let deadline = self.call_deadline.as_ref().map(Duration::ms);
        let output = self.output_per_call.as_ref().map(MemorySize::bytes);
        SandboxLimits {
            memory_bytes_max: memory.unwrap_or(defaults.memory_bytes_max),
            call_deadline_ms: deadline.unwrap_or(defaults.call_deadline_ms),
            output_bytes_per_call_max: output.unwrap_or(defaults.output_bytes_per_call_max),
            ..defaults.clone()
        }
    }
}

/// What an application asks to be allowed. Asking grants nothing: the tenant's policy does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Capabilities {
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Hosts that it sends HTTP requests to, as `host` or `host:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Addresses that it connects to, as `host:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<String>,
}

impl Capabilities {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// What is wrong with it and where.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge { actual: text.len(), limit: MANIFEST_BYTES_MAX });
        }
        let manifest: Self = toml::from_str(text).map_err(|cause| ManifestError::Syntax(cause.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Writes the manifest; [`Manifest::parse`] reads it back.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn to_toml(&self) -> Result<String, ManifestError> {
        self.check()?;
        toml::to_string(self).map_err(|cause| ManifestError::Syntax(cause.to_string()))
    }
}
