//! Uploads that are no bundles: each is refused with a clear error, and the process goes on working.

use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::{Context, Result};
use millrace_client::ClientError;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::repository;
use zip::write::SimpleFileOptions;

const MANIFEST: &str =
    "[application]\nname = \"bad\"\nversion = \"1\"\nentry = \"main\"\n\n[components.main]\npath = \"main.wasm\"\n";

/// The first bytes of a component, and of a core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn zip_of(entries: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default())?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// The component in a bundle of an example.
fn good_component() -> Result<Vec<u8>> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(repository::bundle("faulty")?)?)?;
    let mut bytes = Vec::new();
    std::io::copy(&mut zip.by_name("faulty.wasm")?, &mut bytes)?;
    Ok(bytes)
}

/// A component that imports something that is not there, in the text format's binary form.
fn foreign_import() -> Vec<u8> {
    // Section 7: one type, an instance type without exports. Section 10: one import of an instance of it.
    let name = b"evil:corp/keylogger@1.0.0";
    let mut import = vec![1, 0, name.len() as u8];
    import.extend_from_slice(name);
    import.extend_from_slice(&[5, 0]);
    let mut bytes = COMPONENT.to_vec();
    bytes.extend_from_slice(&[7, 3, 1, 0x42, 0]);
    bytes.extend_from_slice(&[10, import.len() as u8]);
    bytes.extend_from_slice(&import);
    bytes
}

#[tokio::test]
async fn what_is_no_bundle_is_refused_with_its_reason() -> Result<()> {
    let component = good_component()?;
    let bomb = vec![0; 64 << 20];
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("not a zip", b"hello, world".to_vec(), &["neither a zip nor a Wasm component"]),
        ("empty", Vec::new(), &["neither a zip nor a Wasm component"]),
        (
            "a zip bomb",
            zip_of(&[("millrace.toml", MANIFEST.as_bytes()), ("main.wasm", &bomb)])?,
            &["main.wasm", "zip bomb"],
        ),
        ("a climbing path", zip_of(&[("../millrace.toml", MANIFEST.as_bytes())])?, &["../millrace.toml"]),
        ("no manifest", zip_of(&[("main.wasm", &component)])?, &["millrace.toml"]),
        ("an unknown key", zip_of(&[("millrace.toml", b"[aplication]\nname = \"x\"\n")])?, &["aplication"]),
        ("no component", zip_of(&[("millrace.toml", MANIFEST.as_bytes())])?, &["main.wasm"]),
        ("a core module", CORE_MODULE.to_vec(), &["core module", "millrace build"]),
        ("a truncated component", component[..component.len() / 2].to_vec(), &["component"]),
        ("a foreign import", foreign_import(), &["evil:corp/keylogger@1.0.0"]),
        ("a component without exports", COMPONENT.to_vec(), &["export"]),
    ];
    let folder = tempfile::tempdir()?;
    let mut cluster = Cluster::start(folder.path(), &[])?;
    for (what, bytes, texts) in &cases {
        let path = folder.path().join("bad.mrb");
        std::fs::write(&path, bytes)?;
        let Err(error) = cluster.client.upload(&path).await else { panic!("{what} was accepted") };
        assert!(matches!(error, ClientError::Refused { status: 400, .. }), "{what}: {error:?}");
        for text in *texts {
            assert!(error.to_string().contains(text), "{what}: \"{text}\" is missing in: {error}");
        }
    }
    assert!(cluster.is_alive());
    assert_eq!(cluster.client.bundles().await?.files, []);
    assert_no_blobs(folder.path())?;
    let job = cluster.run(&repository::bundle("faulty")?, Run { args: vec!["none"], ..Run::default() }).await?;
    cluster.wait_finished(&job).await?;
    Ok(())
}

/// What was refused left nothing behind.
fn assert_no_blobs(folder: &Path) -> Result<()> {
    let mut folders = vec![folder.join("data/blobs")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            assert!(path.is_dir(), "{} was left behind", path.display());
            folders.push(path);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_is_too_large_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["-D", "rest.upload.size-max=1 mb"])?;
    let path = folder.path().join("large.mrb");
    std::fs::write(&path, vec![7; 3 << 20])?;
    let Err(error) = cluster.client.upload(&path).await else { panic!("it was accepted") };
    assert!(error.is_status(413) && error.to_string().contains("1048576"), "{error:?}");
    assert_eq!(cluster.client.bundles().await?.files, []);
    Ok(())
}

/// A component alone is a bundle of one, named after its file.
#[tokio::test]
async fn a_bare_component_is_a_bundle() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let path = folder.path().join("alone.wasm");
    std::fs::write(&path, good_component()?)?;
    let job = cluster.run(&path, Run { args: vec!["none"], ..Run::default() }).await?;
    cluster.wait_finished(&job).await?;
    Ok(())
}
