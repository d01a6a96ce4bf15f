//! Whoever is gone is missed at once at the other end, and leaves nothing behind.

use std::time::Duration;

use millrace_network::{ChannelSender, ExchangeError, Gate, Item};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::support::{BUDGET_BYTES, Node, batch, channel, channels, eventually, id, patiently, send};

async fn pair() -> (Node, Node, Vec<ChannelSender>, Gate) {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let (senders, gate) = channels(&a, &b, "b", &[channel(0, 0), channel(1, 0)]).await;
    (a, b, senders, gate)
}

/// Sends until the channel is closed, and gives the error.
fn send_until_closed(mut sender: ChannelSender) -> JoinHandle<String> {
    tokio::spawn(async move {
        loop {
            let item = Item::Batch(batch(0, 50_000));
            let credit = patiently(sender.reserve(item.byte_len())).await;
            if let Err(closed) = sender.send(credit, item) {
                return closed.to_string();
            }
        }
    })
}

#[tokio::test]
async fn a_gate_that_is_dropped_wakes_producers_that_wait_for_it() {
    let (a, b, senders, gate) = pair().await;
    let sending: Vec<_> = senders.into_iter().map(send_until_closed).collect();
    // They wait: nobody takes what they sent.
    eventually("they have sent", || b.exchange.budget().free_bytes() < BUDGET_BYTES as usize).await;
    drop(gate);
    for sending in sending {
        let error = patiently(sending).await.unwrap();
        assert!(error.contains("see that task's failure"), "{error}");
    }
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn a_gate_hears_of_a_producer_that_is_dropped_behind_what_it_sent() {
    let (a, b, mut senders, mut gate) = pair().await;
    send(&mut senders[1], Item::Watermark(5)).await;
    let mut gone = senders.pop().unwrap();
    send(&mut gone, Item::Batch(batch(1, 100))).await;
    drop(gone);
    assert_eq!(patiently(gate.recv()).await.unwrap().unwrap().item, Item::Watermark(5));
    assert_eq!(patiently(gate.recv()).await.unwrap().unwrap().item, Item::Batch(batch(1, 100)));
    let error = patiently(gate.recv()).await.unwrap_err().to_string();
    assert!(error.contains("channel 1 -> 0"), "{error}");
    drop((gate, senders));
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn a_channel_that_ended_may_lose_its_gate() {
    let (a, b, mut senders, gate) = pair().await;
    senders[0].end().unwrap();
    drop(gate);
    eventually("the gate is missed", || a.plane.figures().channels_out == 1).await;
    assert!(senders[1].end().is_err());
    drop(senders);
    a.is_clean().await;
    b.is_clean().await;
    assert!(a.plane.figures().refused.is_empty() && b.plane.figures().refused.is_empty());
}

#[tokio::test]
async fn a_task_manager_that_stops_fails_its_channels_at_both_ends() {
    let (a, b, senders, mut gate) = pair().await;
    let sending: Vec<_> = senders.into_iter().map(send_until_closed).collect();
    patiently(b.plane.shutdown()).await;
    for sending in sending {
        let error = patiently(sending).await.unwrap();
        assert!(error.contains("the connection to TaskManager b"), "{error}");
    }
    let error = loop {
        if let Err(error) = patiently(gate.recv()).await {
            break error.to_string();
        }
    };
    assert!(error.contains("TaskManager a") && error.contains("this TaskManager stops"), "{error}");
    drop(gate);
    a.is_clean().await;
    b.is_clean().await;
    // It takes no further connection.
    let error = patiently(a.plane.connect(&id("b"), b.plane.address(), &[channel(9, 9)])).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_task_manager_that_stops_delivers_what_has_ended() {
    let (a, b, mut senders, mut gate) = pair().await;
    for sender in &mut senders {
        for number in 0..3 {
            send(sender, Item::Batch(batch(number, 50_000))).await;
        }
        sender.end().unwrap();
    }
    drop(senders);
    patiently(a.plane.shutdown()).await;
    let mut batches = 0;
    while let Some(received) = patiently(gate.recv()).await.unwrap() {
        batches += usize::from(matches!(received.item, Item::Batch(_)));
    }
    assert_eq!(batches, 6);
    drop(gate);
    a.is_clean().await;
    b.is_clean().await;
}

/// Passes on what `to` is sent, both ways, until it is told to stop within a frame.
async fn relay(to: String) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let relay = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        // Ends with an error when one side does, which is not what is tested.
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    (address, relay)
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_is_missed_at_both_ends() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let (address, relay) = relay(b.plane.address().to_owned()).await;
    let ids = [channel(0, 0), channel(1, 0)];
    let mut gate = b.exchange.open_gate(ids.to_vec()).unwrap();
    let senders = patiently(a.plane.connect(&id("b"), &address, &ids)).await.unwrap();
    let sending: Vec<_> = senders.into_iter().map(send_until_closed).collect();
    for _ in 0..100 {
        patiently(gate.recv()).await.unwrap();
    }
    relay.abort();
    for sending in sending {
        let error = patiently(sending).await.unwrap();
        assert!(error.contains(&format!("the connection to TaskManager b at {address}")), "{error}");
    }
    let error = loop {
        if let Err(error) = patiently(gate.recv()).await {
            break error.to_string();
        }
    };
    assert!(error.contains("the connection from TaskManager a"), "{error}");
    drop(gate);
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn a_producer_that_leaves_while_it_connects_leaves_nothing() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let ids = [channel(0, 0), channel(1, 0)];
    let mut gate = b.exchange.open_gate(ids[..1].to_vec()).unwrap();
    let (plane, address) = (a.plane.clone(), b.plane.address().to_owned());
    let connecting = tokio::spawn(async move { plane.connect(&id("b"), &address, &ids).await.map(drop) });
    eventually("the second one is awaited", || b.exchange.waiting_channels() == 1).await;
    patiently(gate.connected()).await.unwrap();
    connecting.abort();
    assert!(patiently(gate.recv()).await.is_err());
    drop(gate);
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn a_stale_attempt_is_refused_and_counted() {
    let a = Node::start("a");
    let b = Node::with("b", BUDGET_BYTES, Duration::from_millis(30), |_| ());
    let _gate = b.exchange.open_gate(vec![channel(0, 0)]).unwrap();
    let stale = millrace_protocol::ChannelId { target_attempt: 7, ..channel(0, 0) };
    let error = patiently(a.plane.connect(&id("b"), b.plane.address(), &[stale])).await.unwrap_err();
    assert!(matches!(&error, ExchangeError::Refused { channel, .. } if *channel == stale), "{error}");
    assert!(error.to_string().contains("did not start"), "{error}");
    b.wait_refused("stale-channel", 1).await;

    // The producer of a channel that has one is refused at once.
    let _first = patiently(a.plane.connect(&id("b"), b.plane.address(), &[channel(0, 0)])).await.unwrap();
    let plane = a.plane.clone();
    let address = b.plane.address().to_owned();
    let waiting = tokio::spawn(async move { plane.connect(&id("b"), &address, &[channel(5, 5), channel(5, 5)]).await });
    let error = patiently(waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, ExchangeError::Refused { .. }), "{error}");
    b.wait_refused("duplicate-channel", 1).await;
}

#[tokio::test]
async fn a_connection_is_opened_again_when_it_is_needed_again() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    for round in 0..50 {
        let (mut senders, mut gate) = channels(&a, &b, "b", &[channel(0, round)]).await;
        send(&mut senders[0], Item::Watermark(1)).await;
        senders[0].end().unwrap();
        drop(senders);
        while patiently(gate.recv()).await.unwrap().is_some() {}
    }
    a.is_clean().await;
    b.is_clean().await;
    assert!(a.plane.figures().refused.is_empty() && b.plane.figures().refused.is_empty());
}

#[tokio::test]
async fn nobody_there_is_an_error_at_once() {
    let a = Node::start("a");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let error = patiently(a.plane.connect(&id("b"), &address, &[channel(0, 0)])).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    a.is_clean().await;
    // One that hangs up instead of answering.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let hangs_up = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
    });
    let error = patiently(a.plane.connect(&id("b"), &address, &[channel(0, 0)])).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Unreachable { .. }), "{error}");
    patiently(hangs_up).await.unwrap();
    a.is_clean().await;
}

/// The consumer's answer to an end may be there before the producer has gone on.
#[tokio::test]
async fn an_end_that_is_answered_at_once_is_no_failure() {
    // Threads of their own, as in a TaskManager: the kernel lets them run whenever they are woken.
    let threads = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (near, far) = (threads(), threads());
    let start = |name, threads: &Runtime| {
        let _entered = threads.enter();
        Node::start(name)
    };
    let (a, b) = (start("a", &near), start("b", &far));
    let kept_open = channels(&a, &b, "b", &[channel(1, 0)]).await;
    for gate in 0..2_000 {
        let (mut senders, mut gate) = channels(&a, &b, "b", &[channel(0, gate)]).await;
        let ending = std::thread::spawn(move || senders[0].end());
        while patiently(gate.recv()).await.unwrap().is_some() {}
        ending.join().unwrap().unwrap();
    }
    drop(kept_open);
    a.is_clean().await;
    b.is_clean().await;
    near.shutdown_background();
    far.shutdown_background();
}
