//! What a component is, told from its bytes alone: validation, imports, exports. Compiles nothing, runs nothing.

use wasmparser::{BinaryReaderError, ComponentExternalKind, Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::error::ComponentError;

/// The interfaces of the contract, up to their version.
const PROGRAM: &str = "millrace:app/program@";
const OPERATOR: &str = "millrace:app/operator@";
const CONTRACT: &str = "millrace:app/";
/// The packages of WASI 0.2.
const WASI_PACKAGES: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// What a component may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InspectLimits {
    /// Its size, in bytes.
    pub component_bytes_max: u64,
}

impl Default for InspectLimits {
    fn default() -> Self {
        Self { component_bytes_max: 64 * 1024 * 1024 }
    }
}

/// What a component imports and exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentInfo {
    /// Whether it has a builder.
    pub exports_program: bool,
    /// Whether it has operators; it always has, or it is refused.
    pub exports_operator: bool,
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
}

/// Validates a component and checks what it imports and exports.
///
/// # Errors
/// Says why the component is refused, and names what is wrong.
pub fn inspect_component(bytes: &[u8], limits: &InspectLimits) -> Result<ComponentInfo, ComponentError> {
    let length = bytes.len() as u64;
    if length > limits.component_bytes_max {
        return Err(ComponentError::TooLarge { bytes: length, limit: limits.component_bytes_max });
    }
    check_header(bytes)?;
    Validator::new_with_features(features()).validate_all(bytes).map_err(|error| invalid(bytes, &error))?;
    let names = top_level_names(bytes).map_err(|error| invalid(bytes, &error))?;
    names.imports.iter().try_for_each(|name| check_import(name))?;
    names.exports.iter().try_for_each(|name| check_version(name))?;
    let exports = |prefix: &str| names.exports.iter().any(|name| name.starts_with(prefix));
    if !exports(OPERATOR) {
        return Err(ComponentError::NoOperator);
    }
    Ok(ComponentInfo {
        exports_program: exports(PROGRAM),
        exports_operator: true,
        imports: names.imports,
        exports: names.exports,
    })
}

/// What the engine compiles: finished features of plain WebAssembly.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::RELAXED_SIMD
}

fn check_header(bytes: &[u8]) -> Result<(), ComponentError> {
    const MAGIC: &[u8] = b"\0asm";
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) || magic.is_empty() {
        return Err(ComponentError::NotWasm);
    }
    if bytes.len() < 8 {
        return Err(ComponentError::Truncated { length: bytes.len(), offset: bytes.len() });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(ComponentError::CoreModule);
    }
    Ok(())
}

fn invalid(bytes: &[u8], error: &BinaryReaderError) -> ComponentError {
    let message = error.message();
    let offset = error.offset();
    // A section's length reaches behind the end, or a number breaks off there.
    if message.contains("unexpected end") {
        return ComponentError::Truncated { length: bytes.len(), offset };
    }
    ComponentError::Invalid { offset, message: message.to_owned() }
}

struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

/// The imports and exports of the outermost component. Those of components and modules within it are its own affair:
/// they can only be satisfied by the outermost one's.
fn top_level_names(bytes: &[u8]) -> Result<Names, BinaryReaderError> {
    let mut names = Names { imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    names.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Instance {
                        names.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

fn check_import(name: &str) -> Result<(), ComponentError> {
    check_version(name)?;
    let known = if name.starts_with(CONTRACT) {
        ["host@", "graph@"].iter().any(|interface| name[CONTRACT.len()..].starts_with(interface))
    } else {
        is_wasi_02(name)
    };
    if known { Ok(()) } else { Err(ComponentError::ForeignImport { name: name.to_owned() }) }
}

fn is_wasi_02(name: &str) -> bool {
    let Some((package, rest)) = name.strip_prefix("wasi:").and_then(|name| name.split_once('/')) else { return false };
    let Some((_, version)) = rest.split_once('@') else { return false };
    WASI_PACKAGES.contains(&package) && version.starts_with("0.2.")
}

/// Refuses another version of the contract by name.
fn check_version(name: &str) -> Result<(), ComponentError> {
    let Some(interface) = name.strip_prefix(CONTRACT) else { return Ok(()) };
    let version = interface.split_once('@').map_or("", |(_, version)| version);
    if version.starts_with("0.3.") { Ok(()) } else { Err(ComponentError::UnknownVersion { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_known_by_package_and_version() {
        for good in ["millrace:app/host@0.3.0", "millrace:app/graph@0.3.7", "wasi:io/streams@0.2.6"] {
            assert_eq!(check_import(good), Ok(()), "{good}");
        }
        for bad in ["wasi:io/streams@0.3.0", "wasi:nn/tensor@0.2.0", "wasi:io", "acme:db/sql@1.0.0", "host", ""] {
            assert_eq!(check_import(bad), Err(ComponentError::ForeignImport { name: bad.to_owned() }), "{bad}");
        }
        let newer = "millrace:app/host@0.4.0".to_owned();
        assert_eq!(check_import(&newer), Err(ComponentError::UnknownVersion { name: newer.clone() }));
        assert!(matches!(check_import("millrace:app/secret@0.3.0"), Err(ComponentError::ForeignImport { .. })));
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        let inspect = |bytes: &[u8]| inspect_component(bytes, &InspectLimits::default());
        assert_eq!(inspect(b""), Err(ComponentError::NotWasm));
        assert_eq!(inspect(b"PK\x03\x04"), Err(ComponentError::NotWasm));
        assert_eq!(inspect(b"\0as"), Err(ComponentError::Truncated { length: 3, offset: 3 }));
        assert_eq!(inspect(b"\0asm\x01\0\0\0"), Err(ComponentError::CoreModule));
        assert_eq!(inspect(b"\0asm\x0d\0\x01\0"), Err(ComponentError::NoOperator));
        let limits = InspectLimits { component_bytes_max: 3 };
        assert_eq!(inspect_component(b"\0asm", &limits), Err(ComponentError::TooLarge { bytes: 4, limit: 3 }));
    }
}
