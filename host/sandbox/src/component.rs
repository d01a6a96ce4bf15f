//! A component that is compiled and linked: ready for instances.

use std::sync::Arc;

use millrace_types::{Digest, TenantId};
use wasmtime::component::{Component, InstancePre, Linker};

use crate::bindings::exports::millrace::app::{operator, program};
use crate::capability;
use crate::error::ComponentError;
use crate::inspect::ComponentInfo;
use crate::store::StoreData;

/// A component that is ready for instances. Cheap to clone.
#[derive(Clone)]
pub struct CompiledComponent(Arc<Linked>);

pub(crate) struct Linked {
    tenant: TenantId,
    digest: Digest,
    info: ComponentInfo,
    pub(crate) instance: InstancePre<StoreData>,
    /// None: a component of the world without a builder.
    pub(crate) program: Option<program::GuestIndices>,
    pub(crate) operator: operator::GuestIndices,
}

impl CompiledComponent {
    /// Resolves the component's imports and exports, once for all its instances.
    pub(crate) fn link(
        tenant: TenantId,
        digest: Digest,
        info: ComponentInfo,
        component: &Component,
        linker: &Linker<StoreData>,
    ) -> Result<Self, ComponentError> {
        let link = |error: wasmtime::Error| ComponentError::Link { message: format!("{error:#}") };
        let mut linker = linker.clone();
        capability::link_refusals(&mut linker, component, &info).map_err(link)?;
        let instance = linker.instantiate_pre(component).map_err(link)?;
        let program =
            if info.exports_program { Some(program::GuestIndices::new(&instance).map_err(link)?) } else { None };
        let operator = operator::GuestIndices::new(&instance).map_err(link)?;
        Ok(Self(Arc::new(Linked { tenant, digest, info, instance, program, operator })))
    }

    /// What the component imports and exports.
    pub fn info(&self) -> &ComponentInfo {
        &self.0.info
    }

    /// Who owns it.
    pub fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }

    /// The SHA-256 of its bytes.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.0
    }
}

impl std::fmt::Debug for CompiledComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledComponent").field("tenant", &self.0.tenant).field("digest", &self.0.digest).finish()
    }
}
