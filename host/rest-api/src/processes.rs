//! The processes of a cluster: their options, logs, and what a JVM would have.

use serde::{Deserialize, Serialize};

/// An option, in `GET /jobmanager/config` and `GET /jobs/:jobid/jobmanager/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// Its name.
    pub key: String,
    /// Its value; of a secret `******`.
    pub value: String,
}

/// `GET /jobmanager/environment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentInfo {
    /// What runs.
    pub jvm: JvmInfo,
    /// Flink's field of this name: always empty.
    pub classpath: Vec<String>,
}

/// What runs in place of a JVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JvmInfo {
    /// Millrace's version.
    pub version: String,
    /// The processor's architecture.
    pub arch: String,
    /// Flink's field of this name: always empty.
    pub options: Vec<String>,
}

/// `GET /jobmanager/logs` and `GET /taskmanagers/:taskmanagerid/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogList {
    /// The logs.
    pub logs: Vec<LogInfo>,
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogInfo {
    /// Its name, to fetch it by.
    pub name: String,
    /// Its size, in bytes.
    pub size: u64,
    /// When it was last written to, in milliseconds since 1970.
    pub mtime: i64,
}

/// `GET /jobmanager/thread-dump` and `GET /taskmanagers/:taskmanagerid/thread-dump`: without a JVM there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadDump {
    /// Always empty.
    pub thread_infos: Vec<ThreadInfo>,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadInfo {
    /// Its name.
    pub thread_name: String,
    /// What it does.
    pub stringified_thread_info: String,
}

/// `GET /datasets`: results that are kept for later jobs, of which Millrace has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSets {
    /// Always empty.
    pub data_sets: Vec<serde_json::Value>,
}
