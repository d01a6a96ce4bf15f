//! How large a bundle may be.

/// How large a bundle, and what is in it, may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleLimits {
    /// The bundle as it is uploaded, in bytes.
    pub bundle_bytes_max: u64,
    /// The number of its files and folders.
    pub entries_max: usize,
    /// One file, inflated, in bytes.
    pub entry_bytes_max: u64,
    /// All files, inflated, in bytes.
    pub uncompressed_bytes_max: u64,
    /// How many times larger than the bytes in the bundle a file, and all files together, may become.
    pub compression_ratio_max: u64,
    /// What may be inflated whatever the ratio, in bytes: small files compress well.
    pub ratio_free_bytes: u64,
    /// The longest path, in bytes.
    pub path_bytes_max: usize,
}

impl Default for BundleLimits {
    fn default() -> Self {
        Self {
            bundle_bytes_max: 128 * 1024 * 1024,
            entries_max: 512,
            entry_bytes_max: 128 * 1024 * 1024,
            uncompressed_bytes_max: 256 * 1024 * 1024,
            compression_ratio_max: 100,
            ratio_free_bytes: 1024 * 1024,
            path_bytes_max: 255,
        }
    }
}

impl BundleLimits {
    /// What may come out of so many bytes of the bundle.
    pub(super) fn inflated_bytes_max(&self, compressed_bytes: u64) -> u64 {
        compressed_bytes.saturating_mul(self.compression_ratio_max).max(self.ratio_free_bytes)
    }
}
