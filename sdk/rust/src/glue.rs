//! The component's side of the ABI: exports call the instance, imports are the host.
//!
//! A component has one program and, once it is opened, one instance. The host calls one function at a time, so
//! both live in a cell that is borrowed for the length of a call.

#[cfg(feature = "allocator")]
mod allocator;
mod convert;
mod exports;
mod imports;

/// What `wit-bindgen` makes of `sdk/wit`.
#[allow(unsafe_code, missing_docs, clippy::all, reason = "generated code of the component ABI")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "application",
        pub_export_macro: true,
        export_macro_name: "export",
    });
}

pub use bindings::export;
pub use exports::{Builder, Exports};
