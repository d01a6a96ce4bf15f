//! Compressed input.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Case, fields, texts};
use crate::ConnectorError;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn all_members_are_read_and_every_offset_can_be_gone_on_from() {
    let content = [gzip(b"one\ntw"), gzip(b""), gzip(b"o\r\n\nfour")].concat();
    let expected = [&b"one"[..], b"two", b"", b"four"].map(<[u8]>::to_vec);
    for (name, options) in [("t.gz", r#", "split-size": 3"#), ("t", r#", "compression": "gzip""#)] {
        for (chunk_bytes, max_bytes) in [(1, 1), (5, 1), (1 << 16, 1), (1 << 16, 1 << 16)] {
            let case = Case::new(name, &content, options).sized(chunk_bytes, max_bytes);
            assert_eq!(case.splits().unwrap().len(), 1);
            case.check(&expected).unwrap();
        }
    }
}

#[test]
fn compressed_csv_has_its_header_read_on_resumption() {
    let content = gzip("k,v\n1,\"on\ne\"\n2,two\n3,three\n".as_bytes());
    for header in [true, false] {
        let options = format!(r#", "format": "csv", "multiline": true, "header": {header}"#);
        let case = Case::new("t.gz", &content, &options).sized(3, 1);
        let rows = case.read().unwrap();
        case.check(&rows).unwrap();
        let mut expected = vec![["k", "v"], ["1", "on\ne"], ["2", "two"], ["3", "three"]];
        expected.drain(..usize::from(header));
        assert_eq!(fields(&rows), expected);
    }
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_ends() {
    let (first, second) = (gzip(b"one\ntwo\n"), gzip(b"three\n"));
    let whole = [&first[..], &second].concat();
    for length in 1..whole.len() {
        let result = Case::new("t.gz", &whole[..length], "").read();
        if length == first.len() {
            assert_eq!(texts(&result.unwrap()), ["one", "two"]);
        } else {
            assert!(matches!(result, Err(ConnectorError::Compression { .. })), "{length} of {}", whole.len());
        }
    }
}

#[test]
fn what_is_not_what_it_is_said_to_be_is_refused_with_a_remedy() {
    let damaged = {
        let mut bytes = gzip(b"one\ntwo\n");
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        bytes
    };
    for (name, content, options, remedy) in [
        ("t.gz", b"plain\n".to_vec(), "", "\"compression\" to \"none\""),
        ("t.gz", damaged, "", "gzip -t"),
        ("t.gz", [gzip(b"one\n"), b"garbage".to_vec()].concat(), "", "gzip -t"),
        ("t", gzip(b"one\n"), "", "\"compression\" to \"gzip\""),
        ("t.gz", gzip(b"one\n"), r#", "compression": "none""#, "\"compression\" to \"gzip\""),
    ] {
        let error = Case::new(name, &content, options).read().unwrap_err();
        assert!(error.remedy().unwrap().contains(remedy), "{name} {options}: {error}");
    }
}
