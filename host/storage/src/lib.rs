//! Blobs: bundles and results, per tenant, by digest; the bundle reader with its limits.
