//! `millrace info`: a bundle's manifest and plan, without a cluster.

use anyhow::{Context, Result};
use millrace_connectors::{FileRoots, HttpOrigins, Reach};
use millrace_graph::{JobGraph, NodeKind, SlotSharing};
use millrace_jobmanager::Planner;
use millrace_sandbox::{CompilerCommand, Sandbox, SandboxOptions};
use millrace_storage::{Bundle, BundleLimits, read_bundle};
use millrace_types::{JobId, SandboxLimits, TenantId, format_bytes};

use crate::cli::Info;
use crate::commands::print_json;
use crate::paths::absolute_arguments;
use crate::progress::println_stdout;

pub(crate) async fn run(options: Info) -> Result<()> {
    let path = &options.bundle;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let bundle = read_bundle(bytes.into(), &file_name, &BundleLimits::default())?;
    let cache = tempfile::tempdir().context("cannot make a temporary folder")?;
    let program = std::env::current_exe().context("cannot tell this program's path")?;
    let compiler = CompilerCommand { program, args: vec!["compile-component".to_owned()] };
    let sandbox = Sandbox::new(SandboxOptions::new(cache.path(), compiler))?;
    // The plan is the user's own, made with the user's own rights.
    let reach = Reach { files: FileRoots::unrestricted(), http: HttpOrigins::unrestricted() };
    let planner = Planner::new(sandbox, SandboxLimits::default(), reach);
    let args = absolute_arguments(&options.args, &std::env::current_dir()?);
    let tenant = TenantId::default_tenant();
    let plan = planner.plan(&tenant, &bundle, &args, options.parallelism).await?;
    if options.json {
        return print_json(
            &serde_json::json!({ "plan": plan.job_graph.plan(JobId::from_bytes([0; 16]), &plan.stream_graph.name) }),
        );
    }
    describe_bundle(&bundle);
    describe_graph(&plan.job_graph);
    Ok(())
}

fn describe_bundle(bundle: &Bundle) {
    let application = &bundle.manifest.application;
    println_stdout(&format!("Application  {} {}", application.name, application.version));
    println_stdout(&format!("Bundle       {} ({})", bundle.digest, format_bytes(bundle.bytes.len() as u64)));
    for (name, component) in &bundle.components {
        let entry = if application.entry.as_deref() == Some(name) { ", entry" } else { "" };
        println_stdout(&format!("Component    {name} ({}{entry})", format_bytes(component.bytes.len() as u64)));
    }
    let asked = &bundle.manifest.capabilities;
    for (what, names) in [("environment", &asked.env), ("HTTP", &asked.http), ("sockets", &asked.sockets)] {
        if !names.is_empty() {
            println_stdout(&format!("Asks for     {what}: {}", names.join(", ")));
        }
    }
}

fn describe_graph(graph: &JobGraph) {
    let slots = SlotSharing::of(graph).required_slots();
    println_stdout(&format!("Plan         {} vertices, {slots} slots", graph.vertices.len()));
    for (index, vertex) in graph.vertices.iter().enumerate() {
        println_stdout(&format!("\n  {} (parallelism {})", vertex.name, vertex.parallelism));
        for (_, node) in &vertex.nodes {
            let by = match &node.kind {
                NodeKind::Source(code) | NodeKind::Operator(code) => {
                    code.component.clone().unwrap_or_else(|| "entry component".to_owned())
                }
                NodeKind::NativeSource(native) | NodeKind::NativeSink(native) | NodeKind::NativeOperator(native) => {
                    format!("native {}", native.connector)
                }
            };
            println_stdout(&format!("    {} · uid {} · {by}", node.name, node.uid));
        }
        for edge in graph.edges.iter().filter(|edge| edge.source_vertex == index) {
            println_stdout(&format!("    → {} by {}", graph.vertices[edge.target_vertex].name, edge.partitioning));
        }
    }
}
