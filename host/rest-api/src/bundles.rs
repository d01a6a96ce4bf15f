//! Bundles: Flink's `/jars`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /jars`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleList {
    /// The address of this REST endpoint.
    pub address: String,
    /// The bundles, newest first.
    pub files: Vec<BundleFile>,
}

/// An uploaded bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFile {
    /// The id to run it by.
    pub id: String,
    /// The file name that it was uploaded under.
    pub name: String,
    /// When, in milliseconds since 1970.
    pub uploaded: u64,
    /// What can be run: the component with the builder.
    pub entry: Vec<EntryPoint>,
}

/// Something that can be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPoint {
    /// The component's name; empty where the manifest states the graph.
    pub name: String,
    /// The application's name and version.
    pub description: Option<String>,
}

/// `GET /jars/:jarid/manifest`: what a bundle says of itself. Millrace's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleManifest {
    /// The application's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The guest contract that its components are built against; `null`: it states none.
    pub sdk: Option<String>,
    /// What can be run.
    pub entries: Vec<EntryPoint>,
    /// What it asks to be allowed, such as `http: example.com`.
    pub capabilities: Vec<String>,
    /// What it says of its runs, by the names of options.
    pub options: BTreeMap<String, String>,
    /// Its components, by name.
    pub components: BTreeMap<String, ManifestComponent>,
}

/// A component of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ManifestComponent {
    /// Its SHA-256.
    pub digest: String,
    /// The linear memory that an instance asks for, in bytes; `null`: the cluster's default.
    pub memory_bytes: Option<u64>,
    /// How long one call may run, in milliseconds; `null`: the cluster's default.
    pub call_deadline_ms: Option<u64>,
}

/// `POST /jars/upload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleUploaded {
    /// A path whose last component is the bundle's id, as Flink's clients expect.
    pub filename: String,
    /// `success`.
    pub status: String,
}

/// Body of `POST /jars/:jarid/run`: all fields that Flink takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RunRequest {
    /// The component with the builder, where the bundle has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_class: Option<String>,
    /// The application's arguments in one text, split at white space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_args: Option<String>,
    /// The application's arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_args_list: Option<Vec<String>>,
    /// The parallelism of operators that state none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i64>,
    /// The id that the job is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Skip state that no operator claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_non_restored_state: Option<bool>,
    /// Where to restore state from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_path: Option<String>,
    /// Who owns the savepoint afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_mode: Option<String>,
    /// The older name of `claimMode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_mode: Option<String>,
    /// Options of this run, by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_configuration: Option<BTreeMap<String, String>>,
}

/// Body of `POST /jars/:jarid/plan`: all fields that Flink takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlanRequest {
    /// The component with the builder, where the bundle has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_class: Option<String>,
    /// The application's arguments in one text, split at white space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_args: Option<String>,
    /// The application's arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_args_list: Option<Vec<String>>,
    /// The parallelism of operators that state none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i64>,
    /// The id that the job is to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Options of this run, by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_configuration: Option<BTreeMap<String, String>>,
}

/// `POST /jars/:jarid/run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResponse {
    /// The job.
    pub jobid: String,
    /// The application; the same.
    #[serde(rename = "applicationId")]
    pub application_id: String,
}

/// `POST /jars/:jarid/plan` and `GET /jobs/:jobid/plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanResponse {
    /// Flink's JSON plan.
    pub plan: serde_json::Value,
}
