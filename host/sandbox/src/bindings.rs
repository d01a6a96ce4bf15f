//! What `sdk/wit` generates. The interfaces of the larger world serve both: a component without a builder lacks the
//! `program` export and nothing else.
#![allow(missing_docs, clippy::pedantic, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../sdk/wit",
    world: "application",
    imports: {
        "millrace:app/host.emit": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
