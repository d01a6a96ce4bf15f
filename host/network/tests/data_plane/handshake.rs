//! Who may connect, and who may not.

use std::time::Duration;

use millrace_network::{BufferBudget, DataPlane, DataPlaneError, DataPlaneOptions, Exchange, ExchangeError};
use millrace_wire::{Hello, HelloReply};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::support::{BUDGET_BYTES, Node, Raw, channel, channels, eventually, id, patiently};

fn hello(receiver: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Hello { sender: "stranger".to_owned(), receiver: receiver.to_owned() }.encode(&mut bytes);
    bytes
}

async fn refusal(node: &Node, bytes: &[u8]) -> String {
    let mut raw = Raw::connect(node.plane.address()).await;
    raw.write(bytes).await;
    let HelloReply::Refused { reason } = raw.reply().await else {
        panic!("it was accepted");
    };
    raw.closed().await;
    reason
}

#[tokio::test]
async fn wrong_versions_receivers_and_lengths_are_told_so() {
    let b = Node::start("b");
    let mut other_version = hello("b");
    other_version[4] = 9;
    let reason = refusal(&b, &other_version).await;
    assert!(reason.contains("version 9") && reason.contains("version 2"), "{reason}");
    b.wait_refused("other-version", 1).await;

    let reason = refusal(&b, &hello("former-life")).await;
    assert!(reason.contains("this is TaskManager b, not former-life"), "{reason}");
    b.wait_refused("other-task-manager", 1).await;

    let mut malformed = hello("b");
    malformed[6..8].copy_from_slice(&[0xff, 0xff]);
    refusal(&b, &malformed).await;
    b.wait_refused("malformed-handshake", 1).await;
    b.is_clean().await;
}

#[tokio::test]
async fn strangers_are_shown_the_door() {
    let b = Node::with("b", BUDGET_BYTES, Duration::from_secs(30), |options| {
        options.handshake_timeout = Duration::from_millis(100);
    });
    let mut raw = Raw::connect(b.plane.address()).await;
    raw.write(b"GET / HTTP/1.1\r\n\r\n").await;
    raw.closed().await;
    b.wait_refused("not-millrace", 1).await;

    // One that hangs up, and one that says too little for too long.
    let mut raw = Raw::connect(b.plane.address()).await;
    raw.write(&hello("b")[..5]).await;
    drop(raw);
    b.wait_refused("cut-off", 1).await;
    for sent in [0, 3, 11, 15] {
        let mut raw = Raw::connect(b.plane.address()).await;
        raw.write(&hello("b")[..sent]).await;
        raw.closed().await;
    }
    b.wait_refused("handshake-timeout", 4).await;
    b.is_clean().await;
}

#[tokio::test]
async fn few_strangers_are_listened_to_at_a_time() {
    let a = Node::start("a");
    let b = Node::with("b", BUDGET_BYTES, Duration::from_secs(30), |options| {
        options.handshake_timeout = Duration::from_millis(100);
        options.half_open_max = 2;
    });
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(Raw::connect(b.plane.address()).await);
    }
    eventually("two are listened to", || b.plane.figures().half_open == 2).await;
    // One that has something to say gets its turn.
    let (senders, gate) = channels(&a, &b, "b", &[channel(0, 0)]).await;
    assert!(b.plane.figures().half_open <= 2);
    drop((senders, gate));
    for mut raw in silent {
        raw.closed().await;
    }
    b.wait_refused("handshake-timeout", 6).await;
    b.is_clean().await;
}

#[tokio::test]
async fn connections_are_limited() {
    let a = Node::start("a");
    let b = Node::with("b", BUDGET_BYTES, Duration::from_secs(30), |options| options.connections_max = 1);
    let raw = Raw::accepted(&b, "b").await;
    let error = patiently(a.plane.connect(&id("b"), b.plane.address(), &[channel(0, 0)])).await.unwrap_err();
    assert!(error.to_string().contains("takes no more"), "{error}");
    b.wait_refused("too-many-connections", 1).await;
    drop(raw);
    eventually("the place is free", || b.plane.figures().connections == 0).await;
    drop(channels(&a, &b, "b", &[channel(0, 0)]).await);
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn an_address_that_was_given_away_is_noticed() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let error = patiently(a.plane.connect(&id("former-life"), b.plane.address(), &[channel(0, 0)])).await.unwrap_err();
    assert!(matches!(&error, ExchangeError::Unreachable { peer, .. } if *peer == id("former-life")));
    assert!(error.to_string().contains("this is TaskManager b, not former-life"), "{error}");
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn a_server_of_another_kind_is_noticed() {
    let a = Node::start("a");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for (answer, reason) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "not-millrace"),
        (&b"MRDR\x03\0\0\0\0\0\0\0"[..], "other-version"),
        (&b"MRDR\x02\0\x05\0\0\0\0\0"[..], "malformed-handshake"),
    ] {
        let (peer, ids) = (id("b"), [channel(0, 0)]);
        let connecting = a.plane.connect(&peer, &address, &ids);
        let answering = async {
            let mut raw = Raw(listener.accept().await.unwrap().0);
            raw.write(answer).await;
            raw.closed().await;
        };
        let (error, ()) = tokio::join!(patiently(connecting), answering);
        assert!(matches!(error, Err(ExchangeError::Unreachable { .. })));
        a.wait_refused(reason, 1).await;
    }
    a.is_clean().await;
}

#[tokio::test]
async fn options_that_cannot_be_are_errors() {
    let bind = |listen: &str, host: Option<&str>, name: &str| {
        let exchange = Exchange::new(BufferBudget::default(), Duration::from_secs(1));
        let options = DataPlaneOptions { advertised_host: host.map(str::to_owned), ..DataPlaneOptions::new(listen) };
        DataPlane::bind(options, id(name), exchange, &Handle::current())
    };
    let taken = bind("127.0.0.1:0", None, "a").unwrap();
    let error = bind(taken.address(), None, "a").unwrap_err();
    assert!(matches!(&error, DataPlaneError::Listen { address, .. } if address == taken.address()), "{error}");
    assert!(matches!(bind("0.0.0.0:0", None, "a"), Err(DataPlaneError::NoHost { .. })));
    assert!(matches!(bind("127.0.0.1:0", None, &"x".repeat(257)), Err(DataPlaneError::Id { bytes: 257 })));
    let named = bind("0.0.0.0:0", Some("worker-1"), "a").unwrap();
    assert!(named.address().starts_with("worker-1:"), "{}", named.address());
    let six = bind("127.0.0.1:0", Some("::1"), "a").unwrap();
    assert!(six.address().starts_with("[::1]:"), "{}", six.address());
}
