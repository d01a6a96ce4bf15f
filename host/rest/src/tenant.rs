//! Who asks. Without authentication everybody is the default tenant.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use millrace_types::TenantId;

/// The tenant of a request.
pub(crate) struct Tenant(pub(crate) TenantId);

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(TenantId::default_tenant()))
    }
}
