//! Pipelined regions: what has to restart together.
//!
//! All exchanges are pipelined, so a task that is lost takes along whatever exchanges records with it, directly or not:
//! the connected component of its vertex in the JobGraph. Invariant: every vertex is in one region, and no edge leaves
//! a region.

use millrace_graph::JobGraph;

/// The regions of a job, numbered from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Regions {
    /// For each vertex its region.
    of_vertices: Vec<usize>,
    /// For each region its vertices, in order.
    vertices: Vec<Vec<usize>>,
}

impl Regions {
    pub fn of(graph: &JobGraph) -> Self {
        // Each vertex points to an earlier one of its region, the first one to itself.
        let mut earlier: Vec<usize> = (0..graph.vertices.len()).collect();
        for edge in &graph.edges {
            let (one, other) = (first(&earlier, edge.source_vertex), first(&earlier, edge.target_vertex));
            earlier[one.max(other)] = one.min(other);
        }
        let mut of_vertices = Vec::new();
        let mut vertices: Vec<Vec<usize>> = Vec::new();
        for vertex in 0..earlier.len() {
            let leader = first(&earlier, vertex);
            // The first vertex of a region comes before the others, so its region is known by then.
            let region = of_vertices.get(leader).copied().unwrap_or(vertices.len());
            if region == vertices.len() {
                vertices.push(Vec::new());
            }
            vertices[region].push(vertex);
            of_vertices.push(region);
        }
        Self { of_vertices, vertices }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.vertices.len()
    }

    /// The region of a vertex. A vertex that the graph does not have is a bug of the caller and asserts.
    pub fn of_vertex(&self, vertex: usize) -> usize {
        self.of_vertices[vertex]
    }

    /// The vertices of a region.
    pub fn vertices(&self, region: usize) -> &[usize] {
        &self.vertices[region]
    }
}

fn first(earlier: &[usize], mut vertex: usize) -> usize {
    while earlier[vertex] != vertex {
        vertex = earlier[vertex];
    }
    vertex
}
