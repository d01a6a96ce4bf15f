//! What the connectors of a process may reach.

use crate::{FileRoots, HttpOrigins};

/// What the connectors of a process may reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The folders of file connectors.
    pub files: FileRoots,
    /// The origins of HTTP connectors.
    pub http: HttpOrigins,
}
