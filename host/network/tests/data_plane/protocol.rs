//! What is against the protocol ends its connection, is counted by its reason, and harms nobody else.

use std::sync::Arc;

use bytes::Bytes;
use millrace_network::{BARRIERS_MAX, CHANNEL_ITEMS_MAX, Item};
use millrace_wire::{Frame, Hello, HelloReply};
use tokio::net::TcpListener;

use crate::support::{Node, Raw, barrier, batch, channel, channels, id, name, patiently, send};

fn open(handle: u32, source: u32) -> Frame {
    Frame::Open { handle, channel: name(channel(source, 0)) }
}

fn batch_frame(handle: u32, exclusive: bool, bytes: usize) -> Frame {
    Frame::Batch { handle, exclusive, batch: batch(0, bytes).into_bytes() }
}

/// Sends frames behind an open channel of handle 0, and waits until the connection is closed for that reason.
async fn refused(frames: &[Frame], reason: &str) {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    refused_bytes(&bytes, reason).await;
}

async fn refused_bytes(bytes: &[u8], reason: &str) {
    let (a, b) = (Node::start("a"), Node::start("b"));
    // A channel of another connection that must not notice.
    let (mut senders, mut other) = channels(&a, &b, "b", &[channel(9, 9)]).await;

    let mut gate = b.exchange.open_gate(vec![channel(0, 0)]).unwrap();
    let mut raw = Raw::accepted(&b, "b").await;
    raw.say(&[open(0, 0)]).await;
    assert_eq!(raw.frame().await, Frame::Opened { handle: 0 });
    assert!(matches!(raw.frame().await, Frame::Credit { handle: 0, exclusive: true, .. }));
    raw.write(bytes).await;
    raw.closed().await;
    b.wait_refused(reason, 1).await;
    while patiently(gate.recv()).await.is_ok_and(|received| received.is_some()) {}
    drop(gate);

    send(&mut senders[0], Item::Watermark(1)).await;
    assert_eq!(patiently(other.recv()).await.unwrap().unwrap().item, Item::Watermark(1));
    drop((senders, other));
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn frames_that_do_not_exist() {
    refused_bytes(&[0; 12], "unknown-kind").await;
    refused_bytes(b"\x02\x02\0\0\x10\0\0\0\0\0\0\0", "unknown-flags").await;
    refused_bytes(b"\x02\0\0\0\xff\xff\xff\xff\0\0\0\0", "wrong-length").await;
    refused_bytes(b"\x04\0\0\0\x01\0\0\0\0\0\0\0", "wrong-length").await;
}

#[tokio::test]
async fn frames_out_of_place() {
    refused(&[Frame::Opened { handle: 0 }], "wrong-direction").await;
    refused(&[Frame::Credit { handle: 0, items: 1, bytes: 1, barriers: 0, exclusive: false }], "wrong-direction").await;
    refused(&[Frame::Watermark { handle: 1, timestamp: 0 }], "unknown-handle").await;
    refused(&[batch_frame(7, true, 10)], "unknown-handle").await;
    refused(&[open(0, 1)], "handle-out-of-turn").await;
    refused(&[open(2, 1)], "handle-out-of-turn").await;
    refused(&[Frame::End { handle: 0 }, Frame::End { handle: 0 }], "unknown-handle").await;
    refused(&[Frame::End { handle: 0 }, Frame::Watermark { handle: 0, timestamp: 1 }], "unknown-handle").await;
    refused(&[Frame::Gone { handle: 0 }, batch_frame(0, true, 10)], "unknown-handle").await;
    // A channel that no consumer has met yet.
    refused(&[open(1, 5), Frame::End { handle: 1 }], "not-opened").await;
    refused(&[open(1, 5), batch_frame(1, false, 10)], "no-credit").await;
}

#[tokio::test]
async fn more_than_was_granted() {
    let watermarks: Vec<_> =
        (0..=CHANNEL_ITEMS_MAX).map(|n| Frame::Watermark { handle: 0, timestamp: n as i64 }).collect();
    refused(&watermarks, "no-credit").await;
    refused(&[batch_frame(0, true, 10), batch_frame(0, true, 10)], "no-credit").await;
    // The length alone is enough: no byte of the batch follows.
    refused_bytes(b"\x02\0\0\0\0\0\0\x01\0\0\0\0", "no-credit").await;
}

#[tokio::test]
async fn a_batch_that_is_none() {
    refused(&[Frame::Batch { handle: 0, exclusive: true, batch: Bytes::from_static(&[0; 99]) }], "malformed-batch")
        .await;
    let mut cut = Vec::new();
    batch_frame(0, false, 10).encode(&mut cut);
    let last = cut.len() - 1;
    cut[last] ^= 1;
    refused_bytes(&cut, "malformed-batch").await;
}

#[tokio::test]
async fn a_connection_that_ends_within_a_frame() {
    let b = Node::start("b");
    let mut whole = Vec::new();
    batch_frame(0, true, 100).encode(&mut whole);
    for (times, end) in (1..).zip([1, 11, 12, 13, whole.len() - 1]) {
        let mut gate = b.exchange.open_gate(vec![channel(0, 0)]).unwrap();
        let mut raw = Raw::accepted(&b, "b").await;
        raw.say(&[open(0, 0)]).await;
        assert_eq!(raw.frame().await, Frame::Opened { handle: 0 });
        assert!(matches!(raw.frame().await, Frame::Credit { .. }));
        raw.write(&whole[..end]).await;
        drop(raw);
        assert!(patiently(gate.recv()).await.is_err());
        b.wait_refused("cut-off", times).await;
    }
    b.is_clean().await;
}

#[tokio::test]
async fn what_was_on_its_way_to_a_gate_that_is_gone_is_passed_over() {
    let b = Node::start("b");
    let gate = b.exchange.open_gate(vec![channel(0, 0)]).unwrap();
    let second = b.exchange.open_gate(vec![channel(1, 0)]).unwrap();
    let mut raw = Raw::accepted(&b, "b").await;
    raw.say(&[open(0, 0)]).await;
    assert_eq!(raw.frame().await, Frame::Opened { handle: 0 });
    assert!(matches!(raw.frame().await, Frame::Credit { .. }));
    drop(gate);
    assert_eq!(raw.frame().await, Frame::Gone { handle: 0 });
    raw.say(&[batch_frame(0, true, 100_000), Frame::Watermark { handle: 0, timestamp: 1 }]).await;
    raw.say(&[Frame::End { handle: 0 }, open(1, 1)]).await;
    assert_eq!(raw.frame().await, Frame::Opened { handle: 1 });
    assert!(b.plane.figures().refused.is_empty());
    drop((raw, second));
    b.is_clean().await;
}

/// Plays a consumer's TaskManager that opens the channel, grants what is right, and then says this.
async fn refused_by_the_producer(frames: &[Frame], reason: &str) {
    let a = Node::start("a");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (plane, to) = (a.plane.clone(), address.clone());
    let connecting = tokio::spawn(async move { plane.connect(&id("b"), &to, &[channel(0, 0)]).await });
    let mut raw = Raw(patiently(listener.accept()).await.unwrap().0);
    let mut hello = [0; 14];
    patiently(tokio::io::AsyncReadExt::read_exact(&mut raw.0, &mut hello)).await.unwrap();
    assert_eq!(Hello::decode(&hello).unwrap().unwrap().0.receiver, "b");
    let mut accepted = Vec::new();
    HelloReply::Accepted.encode(&mut accepted);
    raw.write(&accepted).await;
    assert!(matches!(raw.frame().await, Frame::Open { handle: 0, .. }));
    raw.say(&[Frame::Opened { handle: 0 }]).await;
    let mut senders = patiently(connecting).await.unwrap().unwrap();
    raw.say(frames).await;
    raw.closed().await;
    let credit = patiently(senders[0].reserve(1_000_000)).await;
    let error = senders[0].send(credit, Item::Batch(batch(0, 1_000_000 - 20))).unwrap_err();
    assert!(error.to_string().contains("the connection to TaskManager b"), "{error}");
    a.wait_refused(reason, 1).await;
    drop(senders);
    a.is_clean().await;
}

#[tokio::test]
async fn consumers_keep_to_the_protocol_too() {
    let credit = |items, bytes, exclusive| Frame::Credit { handle: 0, items, bytes, barriers: 0, exclusive };
    refused_by_the_producer(&[credit(9, 0, false)], "too-much-credit").await;
    refused_by_the_producer(&[credit(8, 1 << 18, false), credit(0, 1, false)], "too-much-credit").await;
    refused_by_the_producer(&[credit(0, u32::MAX, false)], "too-much-credit").await;
    refused_by_the_producer(&[credit(0, 0, true), credit(0, 0, true)], "too-much-credit").await;
    refused_by_the_producer(&[Frame::Opened { handle: 0 }], "said-twice").await;
    refused_by_the_producer(&[Frame::Refused { handle: 0, reason: String::new() }], "said-twice").await;
    refused_by_the_producer(&[Frame::Opened { handle: 1 }], "unknown-handle").await;
    refused_by_the_producer(&[Frame::End { handle: 0 }], "wrong-direction").await;
}

#[tokio::test]
async fn nothing_follows_a_consumers_last_word() {
    let a = Node::start("a");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (plane, to) = (a.plane.clone(), address.clone());
    let connecting = tokio::spawn(async move { plane.connect(&id("b"), &to, &[channel(0, 0), channel(1, 0)]).await });
    let mut raw = Raw(patiently(listener.accept()).await.unwrap().0);
    let mut accepted = Vec::new();
    HelloReply::Accepted.encode(&mut accepted);
    raw.write(&accepted).await;
    raw.say(&[Frame::Opened { handle: 0 }, Frame::Opened { handle: 1 }]).await;
    let senders = patiently(connecting).await.unwrap().unwrap();
    raw.say(&[
        Frame::Gone { handle: 0 },
        Frame::Credit { handle: 0, items: 1, bytes: 0, barriers: 0, exclusive: false },
    ])
    .await;
    raw.closed().await;
    a.wait_refused("said-twice", 1).await;
    drop(senders);
    a.is_clean().await;
}

#[tokio::test]
async fn barriers_that_overtake_need_a_place() {
    let barrier = |checkpoint| {
        let barrier = Arc::new(barrier(checkpoint));
        Frame::Barrier { handle: 0, overtaking: true, barrier }
    };
    let too_many: Vec<_> = (0..=BARRIERS_MAX as u64).map(barrier).collect();
    refused(&too_many, "no-credit").await;
}
