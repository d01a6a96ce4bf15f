//! The group of JobManagers, for those who look after it.

use millrace_metadata::{GroupStatus, MemberAddresses, MemberId, MetadataHandle};

use crate::error::DispatcherError;

/// The group of JobManagers as one of them sees it; cheap to clone.
#[derive(Clone)]
pub struct Group {
    metadata: MetadataHandle,
}

impl Group {
    pub(crate) fn new(metadata: MetadataHandle) -> Self {
        Self { metadata }
    }

    /// How the group fares. Only the leader knows how far the others are.
    pub fn status(&self) -> GroupStatus {
        self.metadata.status()
    }

    /// Adds a member that waits to be added. It receives all that there is first, and votes then.
    ///
    /// # Errors
    /// [`DispatcherError::Conflict`] if it cannot be added, [`DispatcherError::Unavailable`] if this process does not
    /// lead or the new member is not reached in time; asking again finishes what was begun.
    pub async fn add(&self, id: MemberId, addresses: MemberAddresses) -> Result<(), DispatcherError> {
        Ok(self.metadata.add_member(id, addresses).await?)
    }

    /// Removes a member, which may be dead.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub async fn remove(&self, id: MemberId) -> Result<(), DispatcherError> {
        Ok(self.metadata.remove_member(id).await?)
    }

    /// A member is reached elsewhere from now on.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub async fn readdress(&self, id: MemberId, addresses: MemberAddresses) -> Result<(), DispatcherError> {
        Ok(self.metadata.readdress_member(id, addresses).await?)
    }
}
