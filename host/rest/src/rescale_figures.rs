//! From a rescale's record to Flink's figures of it.

use std::collections::BTreeMap;

use millrace_graph::{JobVertex, slot_sharing_group_id};
use millrace_job_core::{Rescale, RescaleCause, RescaleEnd, RescaledVertex as Record, SchedulerState};
use millrace_jobmanager::JobInfo;
use millrace_rest_api::{RescaleDetails, RescaledSlots, RescaledVertex, Resource, SchedulerStateSpan};

use crate::error::RestError;
use crate::figures::millis;
use crate::path::cannot_resolve;

/// Half of the job's id, so that ids of different jobs differ, then a number.
fn id_of(job: &JobInfo, number: u64) -> String {
    let job = job.view.job.to_string();
    format!("{}{number:016x}", job.get(..16).unwrap_or_default())
}

/// The number of a rescale's id; `None`: it is none of the job's.
pub(crate) fn number_of(job: &JobInfo, id: &str) -> Result<Option<u64>, RestError> {
    let wrong = || cannot_resolve("path", "rescaleuuid", id);
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let number = id.get(16..).and_then(|number| u64::from_str_radix(number, 16).ok()).ok_or_else(wrong)?;
    Ok(Some(number).filter(|number| id_of(job, *number) == id.to_ascii_lowercase()))
}

pub(crate) fn terminal_state(end: RescaleEnd) -> &'static str {
    match end {
        RescaleEnd::Succeeded => "COMPLETED",
        RescaleEnd::ExceptionOccurred => "FAILED",
        _ => "IGNORED",
    }
}

fn reason(end: RescaleEnd) -> &'static str {
    match end {
        RescaleEnd::Succeeded => "SUCCEEDED",
        RescaleEnd::ExceptionOccurred => "EXCEPTION_OCCURRED",
        RescaleEnd::RequirementsUpdated => "RESOURCE_REQUIREMENTS_UPDATED",
        RescaleEnd::NothingChanges => "NO_RESOURCES_OR_PARALLELISMS_CHANGE",
        RescaleEnd::JobFinished => "JOB_FINISHED",
        RescaleEnd::JobFailed => "JOB_FAILED",
        RescaleEnd::JobCanceled => "JOB_CANCELED",
        RescaleEnd::JobRestarting => "JOB_FAILOVER_RESTARTING",
    }
}

fn cause(cause: RescaleCause) -> &'static str {
    match cause {
        RescaleCause::InitialSchedule => "INITIAL_SCHEDULE",
        RescaleCause::UpdateRequirement => "UPDATE_REQUIREMENT",
        RescaleCause::NewResourceAvailable => "NEW_RESOURCE_AVAILABLE",
        RescaleCause::RecoverableFailover => "RECOVERABLE_FAILOVER",
    }
}

/// A rescale; lists leave out its vertices, slots and states.
pub(crate) fn details(job: &JobInfo, rescale: &Rescale, with_details: bool) -> RescaleDetails {
    let vertices = || job.view.graph.vertices.iter().zip(&rescale.vertices).filter(|_| with_details);
    RescaleDetails {
        rescale_uuid: id_of(job, rescale.number),
        resource_requirements_uuid: id_of(job, rescale.requirements),
        rescale_attempt_id: rescale.attempt,
        vertices: vertices().map(|(vertex, record)| (vertex.id.to_string(), vertex_of(vertex, *record))).collect(),
        slots: slots_of(vertices()),
        scheduler_states: if with_details { states_of(rescale) } else { Vec::new() },
        start_timestamp_in_millis: millis(rescale.started_at),
        end_timestamp_in_millis: rescale.ended.map(|(at, _)| millis(at)),
        terminal_state: rescale.ended.map(|(_, end)| terminal_state(end).to_owned()),
        trigger_cause: cause(rescale.cause).to_owned(),
        terminated_reason: rescale.ended.map(|(_, end)| reason(end).to_owned()),
    }
}

fn vertex_of(vertex: &JobVertex, record: Record) -> RescaledVertex {
    RescaledVertex {
        job_vertex_id: vertex.id.to_string(),
        job_vertex_name: vertex.name.clone(),
        slot_sharing_group_id: slot_sharing_group_id(&vertex.slot_sharing_group),
        slot_sharing_group_name: vertex.slot_sharing_group.clone(),
        desired_parallelism: record.desired,
        sufficient_parallelism: record.sufficient,
        pre_rescale_parallelism: record.before,
        post_rescale_parallelism: record.after,
    }
}

/// A group needs as many slots as its widest vertex has subtasks.
fn slots_of<'a>(vertices: impl Iterator<Item = (&'a JobVertex, &'a Record)>) -> BTreeMap<String, RescaledSlots> {
    let mut groups = BTreeMap::<String, RescaledSlots>::new();
    for (vertex, record) in vertices {
        let id = slot_sharing_group_id(&vertex.slot_sharing_group);
        let group = groups.entry(id.clone()).or_insert_with(|| RescaledSlots {
            slot_sharing_group_id: id,
            slot_sharing_group_name: vertex.slot_sharing_group.clone(),
            request_resource_profile: Resource::default(),
            desired_slots: 0,
            minimal_required_slots: 0,
            pre_rescale_slots: None,
            post_rescale_slots: None,
            acquired_resource_profile: Resource::default(),
        });
        group.desired_slots = group.desired_slots.max(record.desired);
        group.minimal_required_slots = group.minimal_required_slots.max(record.sufficient);
        group.pre_rescale_slots = group.pre_rescale_slots.max(record.before);
        group.post_rescale_slots = group.post_rescale_slots.max(record.after);
    }
    groups
}

fn states_of(rescale: &Rescale) -> Vec<SchedulerStateSpan> {
    let ended = rescale.ended.map(|(at, _)| at);
    let left = rescale.states.iter().skip(1).map(|(_, at)| Some(*at)).chain([ended]);
    let span = |((state, entered), left): (&(SchedulerState, _), Option<millrace_types::Timestamp>)| {
        let state = match state {
            SchedulerState::Executing => "Executing",
            SchedulerState::Restarting => "Restarting",
            SchedulerState::WaitingForResources => "WaitingForResources",
        };
        SchedulerStateSpan {
            state: state.to_owned(),
            enter_timestamp_in_millis: millis(*entered),
            leave_timestamp_in_millis: left.map(millis),
            duration_in_millis: left.map(|left| i64::try_from(left.since_ms(*entered)).unwrap_or(i64::MAX)),
            stringified_exception: None,
        }
    };
    rescale.states.iter().zip(left).map(span).collect()
}
