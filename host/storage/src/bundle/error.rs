//! What can be wrong with a bundle.

use millrace_types::format_bytes;

use crate::manifest::ManifestError;

/// What is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It is larger than it may be.
    #[error("the bundle has {}, where {} are allowed", format_bytes(*actual), format_bytes(*limit))]
    BundleTooLarge {
        /// Its size, in bytes.
        actual: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// It is nothing that is known.
    #[error(
        "this is neither a zip nor a Wasm component; make a bundle with `millrace build`, or upload a component (.wasm)"
    )]
    NotABundle,
    /// The zip is broken.
    #[error("the bundle is a broken zip: {0}; make it again with `millrace build`")]
    BrokenZip(String),
    /// It has too many entries.
    #[error("the bundle has {actual} files and folders, where {limit} are allowed")]
    TooManyEntries {
        /// Their number.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// An entry has a path that is not allowed.
    #[error("the bundle's entry {path:?} {reason}")]
    BadPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two entries have one path.
    #[error("the bundle has two entries {path:?}: which one is meant cannot be told")]
    DuplicatePath {
        /// The path.
        path: String,
    },
    /// An entry is something else than a plain file or a folder.
    #[error("the bundle's entry {path:?} is {what}: only plain files, stored or deflated, are allowed")]
    NotAPlainFile {
        /// The path.
        path: String,
        /// What it is.
        what: String,
    },
    /// A file is larger than it may be.
    #[error("the bundle's file {path:?} has more than {} when it is inflated", format_bytes(*limit))]
    EntryTooLarge {
        /// The path.
        path: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// All files together are larger than they may be.
    #[error("the bundle's files have more than {} when they are inflated", format_bytes(*limit))]
    ContentTooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// A file inflates to far more than it takes in the bundle.
    #[error("the bundle's file {path:?} inflates to more than {ratio} times its size in the bundle: a zip bomb")]
    ZipBomb {
        /// The path.
        path: String,
        /// The largest ratio that is allowed.
        ratio: u64,
    },
    /// It has no manifest.
    #[error("the bundle has no millrace.toml at its top; make it with `millrace build`")]
    NoManifest,
    /// Its manifest is no text.
    #[error("the bundle's millrace.toml is not UTF-8 text")]
    ManifestNotText,
    /// Its manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file that the manifest does not name.
    #[error("the bundle has a file {path:?} that millrace.toml does not name: add it under [components], or remove it")]
    UnknownFile {
        /// The path.
        path: String,
    },
    /// A component's file is not there.
    #[error("the component \"{component}\" has the path {path:?}, and the bundle has no such file")]
    MissingComponent {
        /// The component's name.
        component: String,
        /// The path.
        path: String,
    },
    /// A component that the manifest does not name was given.
    #[error("there is a component \"{component}\" that millrace.toml does not name")]
    UnknownComponent {
        /// The component's name.
        component: String,
    },
    /// A core module in the place of a component.
    #[error("{path:?} is a core module, not a component; run `millrace build`, which makes a component of it")]
    CoreModule {
        /// The path.
        path: String,
    },
    /// Wasm of an unknown version.
    #[error("{path:?} is Wasm of an unknown kind, or cut off after its first bytes; build the component again")]
    UnknownWasm {
        /// The path.
        path: String,
    },
    /// A component that is no Wasm.
    #[error("{path:?} is not Wasm: a component begins with the bytes 00 61 73 6d")]
    NotWasm {
        /// The path.
        path: String,
    },
}

impl BundleError {
    /// The stable code, such as `MR-BUNDLE-ZIP-BOMB`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BundleTooLarge { .. }
            | Self::EntryTooLarge { .. }
            | Self::ContentTooLarge { .. }
            | Self::TooManyEntries { .. } => "MR-BUNDLE-TOO-LARGE",
            Self::NotABundle => "MR-BUNDLE-NOT-A-BUNDLE",
            Self::BrokenZip(_) => "MR-BUNDLE-BROKEN-ZIP",
            Self::BadPath { .. } | Self::DuplicatePath { .. } => "MR-BUNDLE-PATH",
            Self::NotAPlainFile { .. } => "MR-BUNDLE-ENTRY",
            Self::ZipBomb { .. } => "MR-BUNDLE-ZIP-BOMB",
            Self::NoManifest | Self::ManifestNotText | Self::Manifest(_) => "MR-BUNDLE-MANIFEST",
            Self::UnknownFile { .. } | Self::MissingComponent { .. } | Self::UnknownComponent { .. } => {
                "MR-BUNDLE-COMPONENTS"
            }
            Self::CoreModule { .. } => "MR-BUNDLE-CORE-MODULE",
            Self::UnknownWasm { .. } | Self::NotWasm { .. } => "MR-BUNDLE-NOT-A-COMPONENT",
        }
    }
}
