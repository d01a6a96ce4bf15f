//! Slot sharing: subtasks of different vertices of one group run in one slot, by their number, so that a job needs as
//! many slots as the highest parallelism in each group.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::job_graph::JobGraph;

/// Which subtasks share which slot. Slots count from 0; a group's slots follow each other, the groups in the order in
/// which the vertices name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSharing {
    /// For each vertex the first slot of its group.
    first_slots: Vec<u32>,
    /// For each slot the subtasks that run in it, as (position of the vertex, subtask).
    members: Vec<Vec<(usize, u32)>>,
}

impl SlotSharing {
    /// The assignment for a job.
    pub fn of(graph: &JobGraph) -> Self {
        let mut groups: Vec<&str> = Vec::new();
        let mut widths: BTreeMap<&str, u32> = BTreeMap::new();
        for vertex in &graph.vertices {
            let group = vertex.slot_sharing_group.as_str();
            let width = widths.entry(group).or_insert_with(|| {
                groups.push(group);
                0
            });
            *width = (*width).max(vertex.parallelism);
        }
        let mut first_slot = BTreeMap::new();
        let mut slots = 0;
        for group in groups {
            first_slot.insert(group, slots);
            slots += widths[group];
        }
        let first_slots: Vec<u32> =
            graph.vertices.iter().map(|vertex| first_slot[vertex.slot_sharing_group.as_str()]).collect();
        let mut members = vec![Vec::new(); slots as usize];
        for (position, vertex) in graph.vertices.iter().enumerate() {
            for subtask in 0..vertex.parallelism {
                members[(first_slots[position] + subtask) as usize].push((position, subtask));
            }
        }
        Self { first_slots, members }
    }

    /// How many slots the job needs.
    pub fn required_slots(&self) -> u32 {
        self.members.len() as u32
    }

    /// The slot of a subtask. A vertex that the graph does not have is a bug of the caller and asserts.
    pub fn slot_of(&self, vertex: usize, subtask: u32) -> u32 {
        self.first_slots[vertex] + subtask
    }

    /// The subtasks that run in a slot, as (position of the vertex, subtask), by vertex.
    pub fn members(&self, slot: u32) -> &[(usize, u32)] {
        self.members.get(slot as usize).map_or(&[], Vec::as_slice)
    }
}

/// How many slots a job needs.
pub fn required_slots(graph: &JobGraph) -> u32 {
    SlotSharing::of(graph).required_slots()
}

/// The id by which REST names a slot sharing group: 32 hexadecimal digits, derived from the group's name.
pub fn slot_sharing_group_id(name: &str) -> String {
    let hash: [u8; 32] =
        Sha256::new().chain_update(b"millrace slot sharing group 1").chain_update(name).finalize().into();
    hex::encode(&hash[..16])
}
