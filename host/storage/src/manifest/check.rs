//! What a manifest has to fulfil beyond its syntax.

use std::collections::BTreeMap;

use millrace_types::MAX_PARALLELISM_PER_VERTEX;

use super::{ComponentSpec, Manifest, ManifestError};

/// The longest name or version of an application, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The longest name of a component, in bytes.
const COMPONENT_NAME_BYTES_MAX: usize = 64;

/// The most components of a bundle.
const COMPONENTS_MAX: usize = 256;

/// The most entries of a list of capabilities.
const CAPABILITIES_MAX: usize = 256;

impl Manifest {
    /// Checks what the syntax does not.
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        check_name("application.name", &self.application.name)?;
        check_name("application.version", &self.application.version)?;
        if let Some(parallelism) = self.application.parallelism {
            check_parallelism("application.parallelism", parallelism)?;
        }
        if self.components.len() > COMPONENTS_MAX {
            let reason = format!("{} components, where {COMPONENTS_MAX} are allowed", self.components.len());
            return Err(ManifestError::invalid("components", reason));
        }
        let mut paths = BTreeMap::new();
        for (name, component) in &self.components {
            check_component(name, component)?;
            if let Some(other) = paths.insert(&component.path, name) {
                let reason = format!("\"{}\" is the path of component \"{other}\", too", component.path);
                return Err(ManifestError::invalid(format!("components.{name}.path"), reason));
            }
        }
        self.check_entry()?;
        self.check_capabilities()?;
        // Building it finds what is wrong with it.
        self.stream_graph().map(drop)
    }

    fn check_entry(&self) -> Result<(), ManifestError> {
        match (&self.application.entry, &self.graph) {
            (Some(entry), _) if !self.components.contains_key(entry) => {
                let reason =
                    format!("there is no component \"{entry}\"; {}", known("components", self.components.keys()));
                Err(ManifestError::invalid("application.entry", reason))
            }
            (None, None) => Err(ManifestError::invalid(
                "application.entry",
                "it is missing: name the component that has the builder, or state the graph under [graph]",
            )),
            _ => Ok(()),
        }
    }

    fn check_capabilities(&self) -> Result<(), ManifestError> {
        let capabilities = &self.capabilities;
        let lists = [("env", &capabilities.env), ("http", &capabilities.http), ("sockets", &capabilities.sockets)];
        for (key, list) in lists {
            let key = format!("capabilities.{key}");
            if list.len() > CAPABILITIES_MAX {
                let reason = format!("{} entries, where {CAPABILITIES_MAX} are allowed", list.len());
                return Err(ManifestError::invalid(key, reason));
            }
            let bad = |c: char| c.is_control() || c.is_whitespace() || c == '=';
            if let Some(entry) = list.iter().find(|entry| entry.is_empty() || entry.contains(bad)) {
                let reason = format!("{entry:?} is empty or has a space, a '=' or a control character");
                return Err(ManifestError::invalid(key, reason));
            }
            if key.ends_with("sockets")
                && let Some(entry) = list.iter().find(|entry| !has_port(entry))
            {
                return Err(ManifestError::invalid(key, format!("\"{entry}\" has no port: write \"host:port\"")));
            }
        }
        Ok(())
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn check_name(key: &str, name: &str) -> Result<(), ManifestError> {
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
        let reason = format!("write 1 to {NAME_BYTES_MAX} bytes without control characters");
        return Err(ManifestError::invalid(key, reason));
    }
    Ok(())
}

pub(super) fn check_parallelism(key: &str, parallelism: u32) -> Result<(), ManifestError> {
    if (1..=MAX_PARALLELISM_PER_VERTEX).contains(&parallelism) {
        return Ok(());
    }
    Err(ManifestError::invalid(key, format!("{parallelism} is not from 1 to {MAX_PARALLELISM_PER_VERTEX}")))
}

/// Whether a component may have this name: letters, digits, `-` and `_` of ASCII.
pub(crate) fn is_component_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= COMPONENT_NAME_BYTES_MAX && name.chars().all(allowed)
}

fn check_component(name: &str, component: &ComponentSpec) -> Result<(), ManifestError> {
    if !is_component_name(name) {
        let reason =
            format!("a component's name has 1 to {COMPONENT_NAME_BYTES_MAX} ASCII letters, digits, '-' or '_'");
        return Err(ManifestError::invalid(format!("components.{name:?}"), reason));
    }
    let key = |field: &str| format!("components.{name}.{field}");
    check_path(&component.path)
        .map_err(|reason| ManifestError::invalid(key("path"), format!("\"{}\" {reason}", component.path)))?;
    if !component.path.ends_with(".wasm") {
        return Err(ManifestError::invalid(key("path"), format!("\"{}\" does not end in .wasm", component.path)));
    }
    if component.build.as_ref().is_some_and(|command| command.first().is_none_or(String::is_empty)) {
        return Err(ManifestError::invalid(
            key("build"),
            "it names no program: write a list such as [\"make\", \"app\"]",
        ));
    }
    Ok(())
}

/// Checks a path within a bundle; why it is not allowed.
pub(crate) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("is empty");
    }
    if path.contains('\\') {
        return Err("has a backslash; folders are separated by '/'");
    }
    if path.contains(|c: char| c.is_control()) {
        return Err("has a control character");
    }
    if path.starts_with('/') || path.contains(':') {
        return Err("is absolute or names a drive; paths are relative to the bundle");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("has an empty part, \".\" or \"..\"; a path must not leave the bundle");
    }
    Ok(())
}

/// Lists names for an error, the first few of them.
pub(super) fn known<'a>(what: &str, names: impl ExactSizeIterator<Item = &'a String>) -> String {
    const SHOWN_MAX: usize = 10;
    let count = names.len();
    if count == 0 {
        return format!("there are no {what}");
    }
    let shown: Vec<&str> = names.take(SHOWN_MAX).map(String::as_str).collect();
    let more = if count > SHOWN_MAX { ", …" } else { "" };
    format!("the {what} are {}{more}", shown.join(", "))
}
