//! Puts the dashboard into the binary: every file of `web-ui/dist`, as it is and compressed, with a tag of its contents.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Where `scripts/page` puts what it has built.
const DIST: &str = "../../web-ui/dist";

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed={DIST}");
    let dist = Path::new(DIST);
    if !dist.join("index.html").is_file() {
        println!(
            "cargo::error=the dashboard is not built: run scripts/page (scripts/setup does, and so does `just build`)"
        );
        return Ok(());
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let mut names = Vec::new();
    list(dist, "", &mut names)?;
    names.sort();
    let mut table = String::from("&[\n");
    for (number, name) in names.iter().enumerate() {
        let path = dist.join(name).canonicalize()?;
        let contents = std::fs::read(&path)?;
        let packed = out.join(format!("{number}.gz"));
        let mut encoder = GzEncoder::new(std::fs::File::create(&packed)?, Compression::best());
        encoder.write_all(&contents)?;
        encoder.finish()?;
        let mut hasher = DefaultHasher::new();
        contents.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        // A file that is added meanwhile is found by the folder, one that changes by its own name.
        println!("cargo::rerun-if-changed={DIST}/{name}");
        let _ = writeln!(
            table,
            "    File {{ path: {:?}, tag: {tag:?}, plain: include_bytes!({path:?}), packed: include_bytes!({packed:?}) }},",
            format!("/{name}")
        );
    }
    table.push_str("]\n");
    std::fs::write(out.join("page.rs"), table)
}

/// The files of a folder, by their paths below it; those with a dot in front are the builder's own.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), names)?;
        } else {
            names.push(path);
        }
    }
    Ok(())
}
