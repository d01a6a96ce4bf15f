//! What reads bytes of strangers, as functions that take any bytes: cargo-fuzz searches them (`just fuzz`), and a seeded
//! test of each run feeds them with damaged samples.
//!
//! Each function panics where a reader breaks a promise: what it has taken it must be able to give back.

use bytes::{Bytes, BytesMut};
use millrace_storage::{BundleLimits, Manifest, read_bundle};
use millrace_wire::{BatchBuilder, BatchView, Frame, Hello, HelloReply};

/// A function that takes any bytes.
pub type FuzzTarget = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, FuzzTarget); 4] =
    [("batch", batch), ("frame", frame), ("bundle", bundle), ("manifest", manifest)];

/// A batch of rows. One that is taken holds the same rows when it is written again.
pub fn batch(bytes: &[u8]) {
    let Ok(view) = BatchView::parse(Bytes::copy_from_slice(bytes)) else { return };
    let mut builder = BatchBuilder::new(view.flags());
    builder.append(&view);
    let again = builder.finish_view();
    assert_eq!(view.len(), again.len());
    assert!(view.rows().zip(again.rows()).all(|(a, b)| a == b), "a batch has other rows when it is written again");
}

/// Frames of the data plane and its handshake. A frame that is taken is written as it was read.
pub fn frame(bytes: &[u8]) {
    let mut rest = Bytes::copy_from_slice(bytes);
    while let Ok(Some((frame, behind))) = Frame::decode(rest.clone()) {
        let mut written = BytesMut::new();
        frame.encode(&mut written);
        assert_eq!(written, rest[..rest.len() - behind.len()], "a frame is written other than it was read");
        rest = behind;
    }
    if let Ok(Some((hello, taken))) = Hello::decode(bytes) {
        let mut written = BytesMut::new();
        hello.encode(&mut written);
        assert_eq!(written, bytes[..taken], "a hello is written other than it was read");
    }
    // A refusal's text is made readable on the way in, so it need not be what was sent.
    let _ = HelloReply::decode(bytes);
}

/// A bundle: read under small limits, so that no sample takes long.
pub fn bundle(bytes: &[u8]) {
    const SMALL: u64 = 1024 * 1024;
    let limits = BundleLimits { bundle_bytes_max: SMALL, ..BundleLimits::default() };
    if let Ok(bundle) = read_bundle(Bytes::copy_from_slice(bytes), "fuzz.mrb", &limits) {
        assert!(bytes.len() as u64 <= SMALL);
        assert!(!bundle.components.is_empty(), "a bundle without a component was taken");
    }
}

/// A manifest. One that is taken says the same when it is written again.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(manifest) = Manifest::parse(text) else { return };
    let Ok(written) = manifest.to_toml() else { panic!("a manifest that was read cannot be written") };
    assert!(Manifest::parse(&written).is_ok_and(|again| again == manifest), "{written}");
}
