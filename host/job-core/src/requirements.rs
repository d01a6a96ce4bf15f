//! What the user wants of the parallelism of a job that runs: Flink's resource requirements. For each vertex there are a
//! least number of subtasks, without which the job waits, and the number that it runs with where there are enough slots.
//!
//! Invariant: requirements that pass [`check_requirements`] name every vertex of the job, in the order of its graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_graph::JobGraph;
use millrace_types::{MAX_PARALLELISM_PER_VERTEX, VertexId};
use serde::{Deserialize, Serialize};

use crate::core::JobCore;
use crate::dropped::DropReason;
use crate::event::Command;
use crate::rescales::{RescaleCause, RescaleEnd};

/// How many subtasks a vertex is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParallelismBounds {
    /// The least number: with fewer the job waits for slots.
    pub lower: u32,
    /// The number that it has where the slots suffice.
    pub upper: u32,
}

/// Why requirements are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementsError {
    /// A vertex is left out.
    #[error("the vertex {id} (\"{name}\") is missing: name every vertex of the job")]
    Missing {
        /// Which one.
        id: VertexId,
        /// Its name.
        name: String,
    },
    /// A vertex is none of the job's.
    #[error("the job has no vertex {0}")]
    Unknown(VertexId),
    /// The bounds contradict each other or the vertex.
    #[error("the parallelism of \"{name}\" is to be {lower} to {upper}: {what}")]
    Bounds {
        /// The vertex's name.
        name: String,
        /// The stated least number.
        lower: i64,
        /// The stated number.
        upper: i64,
        /// What is wrong.
        what: String,
    },
}

/// Checks requirements as a user states them, for the graph that the job runs.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_requirements(
    graph: &JobGraph,
    stated: &BTreeMap<VertexId, (i64, i64)>,
) -> Result<Vec<ParallelismBounds>, RequirementsError> {
    let known = |id: &VertexId| graph.vertices.iter().any(|vertex| vertex.id == *id);
    if let Some(unknown) = stated.keys().find(|id| !known(id)) {
        return Err(RequirementsError::Unknown(*unknown));
    }
    let bounds = |vertex: &millrace_graph::JobVertex| {
        let missing = || RequirementsError::Missing { id: vertex.id, name: vertex.name.clone() };
        let (lower, upper) = *stated.get(&vertex.id).ok_or_else(missing)?;
        let most = vertex.max_parallelism.min(MAX_PARALLELISM_PER_VERTEX);
        let wrong = |what: String| RequirementsError::Bounds { name: vertex.name.clone(), lower, upper, what };
        if lower < 1 || lower > upper {
            return Err(wrong("write a lower bound of at least 1 that is no more than the upper bound".to_owned()));
        }
        let upper = u32::try_from(upper).ok().filter(|upper| *upper <= most);
        let lower = u32::try_from(lower).ok();
        match (lower, upper) {
            (Some(lower), Some(upper)) => Ok(ParallelismBounds { lower, upper }),
            _ => Err(wrong(format!("it can have {most} subtasks at most"))),
        }
    };
    graph.vertices.iter().map(bounds).collect()
}

impl JobCore {
    /// The user wants another parallelism. A job that runs restarts for it, behind a checkpoint.
    pub(crate) fn requirements_changed(&mut self, bounds: &[ParallelismBounds], out: &mut Vec<Command>) {
        let fits = self.scaling.is_some() && bounds.len() == self.spec.graph.vertices.len();
        if !fits || !self.can_be_rescaled() {
            return self.drop_message(DropReason::TooLate);
        }
        let Some(scaling) = &mut self.scaling else { return };
        scaling.require(bounds);
        self.view.desired_parallelism = Some(scaling.desired_parallelism());
        self.view.least_parallelism = Some(scaling.least_parallelism().to_vec());
        self.end_rescale(RescaleEnd::RequirementsUpdated);
        Arc::make_mut(&mut self.view.rescales).required();
        self.begin_rescale(RescaleCause::UpdateRequirement);
        if self.goes_on() {
            self.request_slots_needed(out);
            self.release_surplus(out);
            self.end_rescale_if_nothing_changes();
        } else {
            self.slots.set_needed(self.slots_desired().unwrap_or(0));
        }
    }
}
