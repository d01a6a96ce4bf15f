//! Input that is not what it should be: every error says where and what to do.

use std::fs;
use std::time::{Duration, SystemTime};

use millrace_types::{Failure, FailureKind, RECORD_BYTES_MAX};

use super::{Case, append, fields, texts};
use crate::{ConnectorError, PollStatus};

/// Where and why a record was refused.
fn bad_record(case: &Case) -> (u64, String, &'static str) {
    match case.read().unwrap_err() {
        ConnectorError::BadRecord { path, offset, reason, remedy } => {
            assert_eq!(path, case.file.display().to_string());
            (offset, reason, remedy)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn bytes_that_are_no_utf8_are_found() {
    for format in ["lines", "json-lines", "csv"] {
        for chunk_bytes in [1, 7, 1 << 16] {
            let options = format!(r#", "format": "{format}""#);
            let case = Case::new("t", b"1\n2\n\"\xc3\xa9\xff\"\n", &options).sized(chunk_bytes, 1 << 16);
            let (offset, reason, remedy) = bad_record(&case);
            assert_eq!((offset, reason.as_str()), (4, "byte 7 is not valid UTF-8"), "{format}");
            assert!(remedy.contains("iconv"));
        }
    }
}

#[test]
fn a_character_that_is_cut_off_by_the_end_is_found() {
    let (offset, ..) = bad_record(&Case::new("t", b"one\ntwo\xe2\x82", ""));
    assert_eq!(offset, 4);
}

#[test]
fn rows_before_a_bad_one_are_read() {
    let case = Case::new("t", b"one\ntwo\n\xff\n", "").sized(1 << 16, 4);
    let split = &case.splits().unwrap()[0];
    let mut reader = case.reader();
    let (rows, offset, _) = case.poll(&mut reader, split, &[]).unwrap();
    assert_eq!(texts(&rows), ["one"]);
    assert_eq!(texts(&case.poll(&mut reader, split, &offset).unwrap().0), ["two"]);
}

#[test]
fn a_record_has_a_limit() {
    let longest = vec![b'x'; RECORD_BYTES_MAX as usize];
    for end in [&b""[..], b"\n", b"\r\n"] {
        let content = [b"a\n", &longest[..], end].concat();
        assert_eq!(Case::new("t", &content, "").read().unwrap()[1].len(), longest.len());
        for (format, offset) in [("lines", 2), ("json-lines", 2), ("csv", 2)] {
            let content = [b"a\n", &longest[..], b"x", end].concat();
            let options = format!(r#", "format": "{format}", "split-size": 1000000"#);
            let content = if format == "json-lines" { [b"1\n", &content[2..]].concat() } else { content };
            let (found, reason, _) = bad_record(&Case::new("t", &content, &options));
            assert_eq!(found, offset);
            assert!(reason.contains("longer than 16777216 bytes"), "{reason}");
        }
    }
    let content = [b"a\n\"", &longest[..longest.len() / 2], b"\n", &longest[..longest.len() / 2], b"\""].concat();
    let case = Case::new("t", &content, r#", "format": "csv", "multiline": true"#);
    assert_eq!(bad_record(&case).0, 2);
}

#[test]
fn json_has_to_be_one_value_a_line() {
    for (text, offset) in [("{}\n{\n", 3), ("1 2\n", 0), ("{}\nnull x\n", 3), ("[1,]\n", 0), ("{\"a\": \"\n\"}", 0)] {
        let (found, reason, _) = bad_record(&Case::new("t", text.as_bytes(), r#", "format": "json-lines""#));
        assert_eq!(found, offset, "{text}");
        assert!(reason.contains("not one JSON value"), "{reason}");
    }
}

#[test]
fn csv_that_does_not_fit_its_header_is_refused() {
    for (text, offset, named) in [
        ("a,b\n1,2\n3\n", 8, "it has 1 fields instead of the 2"),
        ("a,b\n1,2,3\n", 4, "more than the 2 fields"),
        ("a,b\n\"1\",2,3\n", 4, "more than the 2 fields"),
        ("a,b\n1,\"2\n", 4, "a quote is not closed before the line ends"),
        ("a,\"b\n", 0, "a quote is not closed before the line ends"),
    ] {
        let (found, reason, _) = bad_record(&Case::new("t", text.as_bytes(), r#", "format": "csv""#));
        assert_eq!(found, offset, "{text}");
        assert!(reason.contains(named), "{reason}");
    }
}

#[test]
fn columns_that_are_not_there_are_named_with_those_that_are() {
    let case = |text: &str, options: &str| Case::new("t", text.as_bytes(), &format!(r#", "format": "csv" {options}"#));
    for (text, options, named) in [
        ("a,b\n1,2\n", r#", "columns": ["c"]"#, "it has no column \"c\"; its columns are a, b"),
        ("a;b\n1;2\n", r#", "columns": ["a"]"#, "it has no column \"a\"; its columns are a;b"),
        ("a,a\n1,2\n", r#", "columns": ["a"]"#, "several columns \"a\""),
        ("1,2\n", r#", "columns": ["a"], "header": false"#, "its first record has 2 fields, and \"columns\" names 1"),
    ] {
        let case = case(text, options);
        let error = case.read().unwrap_err();
        assert!(matches!(error, ConnectorError::Header { .. }));
        assert!(error.to_string().contains(named) && error.to_string().contains("/t\""), "{error}");
    }
    let rows = case("a,b\n1,2\n", r#", "columns": ["b", "a", "b"]"#).read().unwrap();
    assert_eq!(fields(&rows), [["2", "1", "2"]]);
    assert_eq!(case("a,b\n", "").read().unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(case("\n\n", "").read().unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn a_changed_file_is_refused() {
    let changes: [fn(&Case); 4] = [
        |case| append(&case.file, b"more\n"),
        |case| fs::write(&case.file, "o\n").unwrap(),
        |case| {
            let file = fs::File::options().write(true).open(&case.file).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7)).unwrap();
        },
        |case| fs::File::options().write(true).open(&case.file).unwrap().set_len(5).unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        for polls in 0..2 {
            let case = Case::new("t", b"one\ntwo\nthree\n", "").sized(4, 1);
            let split = &case.splits().unwrap()[0];
            let (mut reader, mut offset) = (case.reader(), Vec::new());
            for _ in 0..polls {
                offset = case.poll(&mut reader, split, &offset).unwrap().1;
            }
            change(&case);
            let error = loop {
                match case.poll(&mut reader, split, &offset) {
                    Ok((_, next, finished)) => {
                        assert!(!finished, "change {number} behind {polls} polls was not seen");
                        offset = next;
                    }
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, ConnectorError::Changed { .. }), "{number} {polls}: {error}");
        }
    }
}

#[test]
fn a_file_that_is_gone_is_named_in_the_failure() {
    let case = Case::new("t", b"one\n", "");
    let split = &case.splits().unwrap()[0];
    fs::remove_file(&case.file).unwrap();
    let failure = Failure::from(case.poll(&mut case.reader(), split, &[]).unwrap_err());
    assert_eq!(failure.kind, FailureKind::Connector);
    assert!(failure.message.contains(&case.file.display().to_string()) && failure.remedy.is_some(), "{failure}");
}

#[test]
fn an_abandoned_poll_loses_nothing() {
    use std::task::{Context, Waker};

    use millrace_wire::{BatchBuilder, BatchFlags};

    use crate::SourceReader;

    let case = Case::new("t", b"one\ntwo\n", "").sized(4, 1);
    let split = &case.splits().unwrap()[0];
    let mut reader = case.reader();
    let (_, offset, _) = case.poll(&mut reader, split, &[]).unwrap();
    {
        let _entered = case.runtime.enter();
        let mut out = BatchBuilder::new(BatchFlags::default());
        let mut poll = reader.poll(split, &offset, &mut out, 1);
        let _dropped_while_it_reads = poll.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    let (rows, offset, finished) = case.poll(&mut reader, split, &offset).unwrap();
    assert_eq!(texts(&rows), ["two"]);
    let mut out = BatchBuilder::new(BatchFlags::default());
    let polled = case.runtime.block_on(reader.poll(split, &offset, &mut out, 1)).unwrap();
    assert!(finished || polled.status == PollStatus::Finished);
    assert!(out.is_empty());
}
