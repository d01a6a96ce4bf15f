//! Which states an application's code uses: found out by opening its operators once, before any task is asked to.
//!
//! Invariant: a trial has no effect. What it emits or sets is dropped, it has no state, and it is thrown away.

use async_trait::async_trait;
use bytes::Bytes;
use millrace_graph::{JobVertex, Segment};
use millrace_protocol::{DeclaredStates, StateDeclaration};
use millrace_sandbox::{Clock, HostError, LogLevel, LogSource, OpenSpec, OperatorHost, OperatorSpec};
use millrace_types::{
    BATCH_BYTES, Failure, FailureKind, MIN_EVENT_TIME, NodeId, RECORD_BYTES_MAX, STATE_CACHE_BYTES, TenantId,
};

use crate::cluster::Services;
use crate::planner::Plan;
use crate::{bundles, clock};

/// What the declarations of an application may take, in bytes: they travel to its tasks.
const DECLARED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The states of an application, by operator uid.
pub(crate) async fn declared_states(
    services: &Services,
    tenant: &TenantId,
    plan: &Plan,
    args: &[String],
    parallelism: u32,
) -> Result<DeclaredStates, Failure> {
    let mut declared = DeclaredStates::new();
    let mut bytes = 0;
    for vertex in &plan.job_graph.vertices {
        for segment in &vertex.segments {
            let Some(name) = &segment.component else { continue };
            let Some(component) = plan.components.get(name) else { continue };
            let code = bundles::component_bytes(&services.blobs, tenant, component.digest).await?;
            let compiled = services.sandbox.compile(tenant, &component.digest, code).await.map_err(Failure::from)?;
            let spec = OpenSpec {
                args: args.to_vec(),
                default_parallelism: parallelism,
                graph_digest: component.has_builder.then_some(plan.graph_digest),
                operators: operators(vertex, segment),
                subtask: 0,
                parallelism: vertex.parallelism,
                max_parallelism: vertex.max_parallelism,
                batch_bytes: BATCH_BYTES,
                record_bytes_max: RECORD_BYTES_MAX,
                state_cache_bytes: STATE_CACHE_BYTES,
                limits: component.limits.clone(),
            };
            let opened = services.sandbox.open(&compiled, spec, Box::new(TrialHost)).await.map_err(Failure::from)?;
            for state in opened.states() {
                bytes += state.name.len() + state.fingerprint.len();
                let Some(uid) = uid_of(vertex, state.node) else { continue };
                declared.entry(uid.to_owned()).or_default().push(StateDeclaration {
                    name: state.name.clone(),
                    fingerprint: state.fingerprint.clone(),
                    kind: state.kind,
                    expires: state.expires,
                });
            }
        }
    }
    if bytes > DECLARED_BYTES_MAX {
        let message = format!("the names and types of its states take {bytes} bytes, limit {DECLARED_BYTES_MAX}");
        return Err(Failure::new(FailureKind::InvalidApplication, message));
    }
    Ok(declared)
}

fn uid_of(vertex: &JobVertex, node: NodeId) -> Option<&str> {
    vertex.nodes.iter().find(|(id, _)| *id == node).map(|(_, node)| node.uid.as_str())
}

fn operators(vertex: &JobVertex, segment: &Segment) -> Vec<OperatorSpec> {
    let nodes = vertex.nodes.iter().filter(|(id, _)| segment.nodes.contains(id));
    let specs = nodes.filter_map(|(id, node)| {
        let (uid, name, code) = (node.uid.clone(), node.name.clone(), node.kind.guest_code()?.clone());
        Some(OperatorSpec { node: *id, uid, name, code, watermark: MIN_EVENT_TIME })
    });
    specs.collect()
}

/// The host of an instance that does no work.
struct TrialHost;

fn no_state() -> HostError {
    HostError::Contract("the operators use state before they have said which".to_owned())
}

#[async_trait]
impl OperatorHost for TrialHost {
    async fn emit(&mut self, _: NodeId, _: u32, _: Bytes) -> Result<(), HostError> {
        Ok(())
    }

    fn emit_watermark(&mut self, _: NodeId, _: i64) -> Result<(), HostError> {
        Ok(())
    }

    fn get(&mut self, _: u32, _: &[u8]) -> Result<Vec<u8>, HostError> {
        Err(no_state())
    }

    fn scan(&mut self, _: u32, _: &[u8], _: Option<&[u8]>, _: u32) -> Result<Vec<u8>, HostError> {
        Err(no_state())
    }

    fn put(&mut self, _: u32, _: &[u8]) -> Result<(), HostError> {
        Err(no_state())
    }

    fn set_timers(&mut self, _: NodeId, _: Clock, _: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    fn now_ms(&mut self) -> i64 {
        i64::try_from(clock::now().0).unwrap_or(i64::MAX)
    }

    fn log(&mut self, _: LogLevel, line: &str, _: LogSource) {
        tracing::debug!(line, "an operator on trial logs");
    }
}
