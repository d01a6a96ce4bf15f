//! The frames of the data plane: what is written is read, and nothing else is.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use millrace_types::{Alignment, Barrier, CheckpointId, JobId, SAVEPOINT_FOLDER_BYTES_MAX, SnapshotKind, Timestamp};
use millrace_wire::{
    BARRIER_FRAME_BYTES_MAX, BATCH_FRAME_BYTES_MAX, ChannelName, FRAME_HEADER_BYTES, Frame, FrameError, FrameHeader,
    FrameKind, Hello, HelloReply, REASON_BYTES_MAX, Side,
};
use proptest::prelude::*;

fn barrier() -> impl Strategy<Value = Barrier> {
    let kind = prop_oneof![
        Just((SnapshotKind::Checkpoint, false)),
        Just((SnapshotKind::Savepoint { stop: false }, false)),
        any::<bool>().prop_map(|drain| (SnapshotKind::Savepoint { stop: true }, drain)),
        Just((SnapshotKind::Upgrade, false)),
    ];
    let alignment = prop_oneof![
        Just(Alignment::None),
        Just(Alignment::Aligned),
        any::<u64>().prop_map(|timeout_ms| Alignment::Unaligned { timeout_ms }),
    ];
    let folder = prop::option::of("\\PC{0,40}".prop_map(String::into_boxed_str));
    (any::<[u64; 2]>(), kind, alignment, folder).prop_map(|([checkpoint, at], (kind, drain), alignment, folder)| {
        Barrier { checkpoint: CheckpointId(checkpoint), triggered_at: Timestamp(at), kind, drain, alignment, folder }
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    let channel = (any::<[u8; 16]>(), any::<[u32; 5]>()).prop_map(|(job, numbers)| ChannelName {
        job: JobId::from_bytes(job),
        edge: numbers[0],
        source_subtask: numbers[1],
        source_attempt: numbers[2],
        target_subtask: numbers[3],
        target_attempt: numbers[4],
    });
    let batch = prop::collection::vec(any::<u8>(), 16..200).prop_map(Bytes::from);
    prop_oneof![
        (any::<u32>(), channel).prop_map(|(handle, channel)| Frame::Open { handle, channel }),
        (any::<u32>(), any::<bool>(), batch).prop_map(|(handle, exclusive, batch)| Frame::Batch {
            handle,
            exclusive,
            batch
        }),
        (any::<u32>(), any::<i64>()).prop_map(|(handle, timestamp)| Frame::Watermark { handle, timestamp }),
        any::<u32>().prop_map(|handle| Frame::End { handle }),
        any::<u32>().prop_map(|handle| Frame::Gone { handle }),
        any::<u32>().prop_map(|handle| Frame::Opened { handle }),
        (any::<u32>(), "\\PC{0,80}").prop_map(|(handle, reason)| Frame::Refused { handle, reason }),
        (any::<[u32; 4]>(), any::<bool>()).prop_map(|([handle, items, bytes, barriers], exclusive)| {
            Frame::Credit { handle, items, bytes, barriers, exclusive }
        }),
        (any::<u32>(), any::<bool>(), barrier().prop_map(Arc::new))
            .prop_map(|(handle, overtaking, barrier)| Frame::Barrier { handle, overtaking, barrier }),
        (any::<u32>(), any::<bool>()).prop_map(|(handle, idle)| Frame::Status { handle, idle }),
    ]
}

fn encoded(frames: &[Frame]) -> Bytes {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    Bytes::from(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read_one_frame_after_the_other(frames in prop::collection::vec(frame(), 0..6)) {
        let mut rest = encoded(&frames);
        let mut read = Vec::new();
        while let Some((frame, behind)) = Frame::decode(rest.clone()).unwrap() {
            read.push(frame);
            rest = behind;
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn a_frame_that_is_cut_off_at_any_byte_asks_for_more(frame in frame()) {
        let whole = encoded(&[frame]);
        for end in 0..whole.len() {
            prop_assert_eq!(Frame::decode(whole.slice(..end)), Ok(None));
        }
    }

    #[test]
    fn arbitrary_bytes_are_read_as_what_they_would_be_written_as(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let bytes = Bytes::from(bytes);
        if let Ok(Some((frame, rest))) = Frame::decode(bytes.clone()) {
            prop_assert_eq!(&encoded(&[frame])[..], &bytes[..bytes.len() - rest.len()]);
        }
        if let Ok(Some((hello, len))) = Hello::decode(&bytes) {
            let mut again = Vec::new();
            hello.encode(&mut again);
            prop_assert_eq!(&again[..], &bytes[..len]);
        }
        let _ = HelloReply::decode(&bytes);
    }

    /// A flipped bit gives another frame, an error, or the wish for more; it is never read as the same frame.
    #[test]
    fn a_flipped_bit_never_goes_unseen(frame in frame(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = encoded(std::slice::from_ref(&frame)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(Some((other, _))) = Frame::decode(Bytes::from(bytes)) {
            prop_assert_ne!(other, frame);
        }
    }

    #[test]
    fn handshakes_are_read_as_written_and_cut_off_they_ask_for_more(
        sender in "\\PC{1,60}", receiver in "\\PC{1,60}", reason in "\\PC{0,90}"
    ) {
        let hello = Hello { sender, receiver };
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        for end in 0..bytes.len() {
            prop_assert_eq!(Hello::decode(&bytes[..end]), Ok(None));
        }
        let len = bytes.len();
        prop_assert_eq!(Hello::decode(&bytes), Ok(Some((hello, len))));
        for reply in [HelloReply::Accepted, HelloReply::Refused { reason }] {
            let mut bytes = Vec::new();
            reply.encode(&mut bytes);
            for end in 0..bytes.len() {
                prop_assert_eq!(HelloReply::decode(&bytes[..end]), Ok(None));
            }
            let len = bytes.len();
            prop_assert_eq!(HelloReply::decode(&bytes), Ok(Some((reply, len))));
        }
    }
}

#[test]
fn the_bytes_are_those_of_the_tables() {
    let channel = ChannelName {
        job: JobId::from_bytes([0xab; 16]),
        edge: 1,
        source_subtask: 2,
        source_attempt: 3,
        target_subtask: 4,
        target_attempt: 0x0506_0708,
    };
    let open = encoded(&[Frame::Open { handle: 9, channel }]);
    assert_eq!(&open[..12], b"\x01\0\0\0\x24\0\0\0\x09\0\0\0");
    assert_eq!(&open[12..28], [0xab; 16]);
    assert_eq!(&open[28..], b"\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x08\x07\x06\x05");
    let batch = Frame::Batch { handle: 1, exclusive: true, batch: Bytes::from_static(b"0123456789abcdef") };
    assert_eq!(&encoded(&[batch])[..], b"\x02\x01\0\0\x10\0\0\0\x01\0\0\x000123456789abcdef");
    let watermark = encoded(&[Frame::Watermark { handle: 1, timestamp: -2 }]);
    assert_eq!(&watermark[..], b"\x03\0\0\0\x08\0\0\0\x01\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(&encoded(&[Frame::End { handle: 1 }])[..], b"\x04\0\0\0\0\0\0\0\x01\0\0\0");
    assert_eq!(&encoded(&[Frame::Gone { handle: 1 }])[..], b"\x05\0\0\0\0\0\0\0\x01\0\0\0");
    assert_eq!(&encoded(&[Frame::Opened { handle: 1 }])[..], b"\x06\0\0\0\0\0\0\0\x01\0\0\0");
    let refused = Frame::Refused { handle: 1, reason: "no".to_owned() };
    assert_eq!(&encoded(&[refused])[..], b"\x07\0\0\0\x02\0\0\0\x01\0\0\0no");
    let credit = Frame::Credit { handle: 1, items: 8, bytes: 256, barriers: 2, exclusive: true };
    assert_eq!(&encoded(&[credit])[..], b"\x08\x01\0\0\x0c\0\0\0\x01\0\0\0\x08\0\0\0\0\x01\0\0\x02\0\0\0");
    let barrier = Arc::new(Barrier {
        checkpoint: CheckpointId(7),
        triggered_at: Timestamp(0x0102),
        kind: SnapshotKind::Savepoint { stop: true },
        drain: false,
        alignment: Alignment::Unaligned { timeout_ms: 5 },
        folder: Some("/s".into()),
    });
    let barrier = encoded(&[Frame::Barrier { handle: 1, overtaking: true, barrier }]);
    assert_eq!(&barrier[..12], b"\x09\0\0\0\x1e\0\0\0\x01\0\0\0");
    assert_eq!(&barrier[12..], b"\x07\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x02\x02\x01\x01/s");
    let status = encoded(&[Frame::Status { handle: 1, idle: true }]);
    assert_eq!(&status[..], b"\x0a\0\0\0\x01\0\0\0\x01\0\0\0\x01");
}

#[test]
fn the_body_of_a_barrier_is_checked() {
    let barrier = Arc::new(Barrier {
        checkpoint: CheckpointId(7),
        triggered_at: Timestamp(1),
        kind: SnapshotKind::Checkpoint,
        drain: false,
        alignment: Alignment::Aligned,
        folder: None,
    });
    let right = encoded(&[Frame::Barrier { handle: 1, overtaking: false, barrier: Arc::clone(&barrier) }]);
    let wrong = Err(FrameError::Value { kind: FrameKind::Barrier });
    // A timeout without an alignment that has one, kinds and flags that do not exist.
    for (at, value) in [(16, 1), (24, 5), (25, 3), (26, 2), (27, 2)] {
        let mut bytes = right.to_vec();
        bytes[FRAME_HEADER_BYTES + at] = value;
        assert_eq!(Frame::decode(Bytes::from(bytes)), wrong, "offset {at}");
    }
    let folder = |folder: &[u8], flag: u8| {
        let mut bytes = right.to_vec();
        bytes[FRAME_HEADER_BYTES + 27] = flag;
        bytes.extend_from_slice(folder);
        bytes[4..8].copy_from_slice(&(28 + folder.len() as u32).to_le_bytes());
        Frame::decode(Bytes::from(bytes))
    };
    assert_eq!(folder(b"/s", 0), wrong);
    assert_eq!(folder(b"\xff", 1), Err(FrameError::Text));
    assert!(folder(&[b'a'; SAVEPOINT_FOLDER_BYTES_MAX], 1).is_ok());
    assert!(matches!(folder(&[b'a'; SAVEPOINT_FOLDER_BYTES_MAX + 1], 1), Err(FrameError::Length { .. })));
    let status = Frame::decode(Bytes::from_static(b"\x0a\0\0\0\x01\0\0\0\x01\0\0\0\x02"));
    assert_eq!(status, Err(FrameError::Value { kind: FrameKind::Status }));
}

fn header(kind: u8, flags: u8, len: u32) -> Result<FrameHeader, FrameError> {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    (bytes[0], bytes[1]) = (kind, flags);
    bytes[4..8].copy_from_slice(&len.to_le_bytes());
    FrameHeader::parse(&bytes)
}

#[test]
fn a_header_is_refused_before_its_body_is_there() {
    assert_eq!(header(0, 0, 0), Err(FrameError::UnknownKind { kind: 0 }));
    assert_eq!(header(11, 0, 0), Err(FrameError::UnknownKind { kind: 11 }));
    assert!(matches!(header(4, 1, 0), Err(FrameError::UnknownFlags { .. })), "an exclusive end");
    assert!(matches!(header(2, 2, 16), Err(FrameError::UnknownFlags { .. })));
    assert!(header(2, 1, BATCH_FRAME_BYTES_MAX).is_ok());
    for (kind, len) in
        [(1, 35), (1, 37), (2, 15), (3, 7), (3, 9), (4, 1), (5, 1), (6, 1), (8, 9), (9, 27), (10, 0), (10, 2)]
    {
        assert!(matches!(header(kind, 0, len), Err(FrameError::Length { .. })), "kind {kind}, {len} bytes");
    }
    assert!(matches!(header(2, 0, BATCH_FRAME_BYTES_MAX + 1), Err(FrameError::Length { .. })));
    assert!(matches!(header(9, 0, BARRIER_FRAME_BYTES_MAX + 1), Err(FrameError::Length { .. })));
    assert!(matches!(header(2, 0, u32::MAX), Err(FrameError::Length { .. })));
    assert!(matches!(header(7, 0, REASON_BYTES_MAX as u32 + 1), Err(FrameError::Length { .. })));
    let text = Frame::from_parts(header(7, 0, 1).unwrap(), Bytes::from_static(b"\xff"));
    assert_eq!(text, Err(FrameError::Text));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let reason = "ä".repeat(400);
    let bytes = encoded(&[Frame::Refused { handle: 0, reason: format!("x{reason}") }]);
    let (frame, _) = Frame::decode(bytes).unwrap().unwrap();
    assert!(matches!(frame, Frame::Refused { reason, .. } if reason.len() == REASON_BYTES_MAX - 1));
}

#[test]
fn kinds_have_their_direction() {
    assert!(FrameKind::Batch.comes_from(Side::Producer) && !FrameKind::Batch.comes_from(Side::Consumer));
    assert!(FrameKind::Credit.comes_from(Side::Consumer) && !FrameKind::Credit.comes_from(Side::Producer));
    assert!(FrameKind::Gone.comes_from(Side::Consumer) && FrameKind::Gone.comes_from(Side::Producer));
}
