//! Linear memory and tables of an instance.
//!
//! A refused growth is not an error by itself: the guest's allocator sees it fail and may cope. What was refused is
//! remembered until the next call, so that a guest that aborts over it is reported with the cause.

use millrace_types::{SandboxLimits, format_bytes};
use wasmtime::ResourceLimiter;

/// The most core instances that a component may consist of.
pub(crate) const CORE_INSTANCES_MAX: u32 = 100;
/// The most linear memories of a component.
pub(crate) const MEMORIES_MAX: u32 = 16;
/// The most tables of a component.
pub(crate) const TABLES_MAX: u32 = 64;

/// A growth that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// All linear memories together would have passed the limit.
    Memory { asked_bytes: u64, limit_bytes: u64 },
    /// A linear memory would have passed the maximum that its module declares.
    DeclaredMemory { asked_bytes: u64, declared_bytes: u64 },
    /// All tables together would have passed the limit.
    Table { asked_elements: u64, limit_elements: u64 },
}

impl Refusal {
    /// What was refused, in a sentence.
    pub(crate) fn message(self) -> String {
        match self {
            Self::Memory { asked_bytes, limit_bytes } => format!(
                "asked for {asked_bytes} bytes ({}) of linear memory, limit {limit_bytes} ({}) (set limits.memory in \
                 millrace.toml / taskmanager.sandbox.memory)",
                format_bytes(asked_bytes),
                format_bytes(limit_bytes)
            ),
            Self::DeclaredMemory { asked_bytes, declared_bytes } => format!(
                "asked for {asked_bytes} bytes ({}) of linear memory, but the component itself declares at most \
                 {declared_bytes} ({})",
                format_bytes(asked_bytes),
                format_bytes(declared_bytes)
            ),
            Self::Table { asked_elements, limit_elements } => {
                format!("asked for tables of {asked_elements} elements, limit {limit_elements}")
            }
        }
    }
}

/// Counts and limits what an instance grows.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes: u64,
    memory_bytes_max: u64,
    /// What the last admitted growth added, should it fail after all.
    last_growth_bytes: u64,
    table_elements: u64,
    table_elements_max: u64,
    refusal: Option<Refusal>,
}

impl Limiter {
    pub(crate) fn new(limits: &SandboxLimits) -> Self {
        Self {
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            last_growth_bytes: 0,
            table_elements: 0,
            table_elements_max: u64::from(limits.table_elements_max),
            refusal: None,
        }
    }

    /// The size of all linear memories, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The last growth that was refused since this was called before.
    pub(crate) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current) as u64;
        let asked_bytes = self.memory_bytes.saturating_add(growth);
        if asked_bytes > self.memory_bytes_max {
            self.refusal = Some(Refusal::Memory { asked_bytes, limit_bytes: self.memory_bytes_max });
            return Ok(false);
        }
        if let Some(declared) = maximum
            && desired > declared
        {
            self.refusal =
                Some(Refusal::DeclaredMemory { asked_bytes: desired as u64, declared_bytes: declared as u64 });
            return Ok(false);
        }
        self.memory_bytes = asked_bytes;
        self.last_growth_bytes = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // The limit allowed it and the machine did not: a machine without memory.
        tracing::warn!(error = %error, "a linear memory could not grow though its limit allows it");
        self.memory_bytes = self.memory_bytes.saturating_sub(std::mem::take(&mut self.last_growth_bytes));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.table_elements.saturating_add(desired.saturating_sub(current) as u64);
        if asked > self.table_elements_max {
            self.refusal = Some(Refusal::Table { asked_elements: asked, limit_elements: self.table_elements_max });
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = asked;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn memories_count_together_and_a_refusal_is_told_once() {
        let limits = SandboxLimits { memory_bytes_max: 300_000, ..SandboxLimits::default() };
        let mut limiter = Limiter::new(&limits);
        assert!(limiter.memory_growing(0, 131_072, None).unwrap());
        assert!(limiter.memory_growing(0, 131_072, None).unwrap());
        assert!(!limiter.memory_growing(131_072, 196_608, None).unwrap());
        assert_eq!(limiter.memory_bytes(), 262_144);
        let refusal = limiter.take_refusal().unwrap();
        assert_eq!(refusal, Refusal::Memory { asked_bytes: 327_680, limit_bytes: 300_000 });
        assert!(refusal.message().contains("asked for 327680 bytes"), "{}", refusal.message());
        assert_eq!(limiter.take_refusal(), None);
    }

    #[test]
    fn a_growth_that_fails_is_not_counted() {
        let mut limiter = Limiter::new(&SandboxLimits::default());
        assert!(limiter.memory_growing(0, 65_536, None).unwrap());
        assert!(limiter.memory_growing(65_536, 131_072, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert_eq!(limiter.memory_bytes(), 65_536);
        assert!(!limiter.memory_growing(65_536, 131_072, Some(65_536)).unwrap());
        assert!(limiter.take_refusal().unwrap().message().contains("declares"));
    }
}
