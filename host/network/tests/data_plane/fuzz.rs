//! Random, truncated, bit-flipped and replayed frames against a live data plane. Prints its seed; the environment
//! variable MILLRACE_FUZZ_SEED repeats a run, MILLRACE_FUZZ_CONNECTIONS makes it longer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_network::{Item, Received};
use millrace_wire::{Frame, Hello};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

use crate::support::{BUDGET_BYTES, Node, Raw, barrier, batch, channel, channels, name, number_of, patiently, send};

const CONNECTIONS: u64 = 400;
const FRAMES_MAX: usize = 30;

fn number_from_environment(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A frame that is right by itself, and mostly in its place too.
fn frame(rng: &mut StdRng, target: u32, live: &mut Vec<u32>, opened: &mut u32) -> Frame {
    let at = rng.random_range(0..=live.len());
    let handle = match live.get(at) {
        Some(handle) if rng.random_range(0..40) != 0 => *handle,
        _ if live.is_empty() || rng.random_range(0..40) != 0 => live.last().copied().unwrap_or(*opened),
        _ => rng.random(),
    };
    let last_word = |live: &mut Vec<u32>| live.retain(|other| *other != handle);
    match if live.is_empty() { 0 } else { rng.random_range(0..40) } {
        0..=7 => {
            live.push(*opened);
            *opened += 1;
            let target = target + u32::from(rng.random_range(0..4) == 0);
            Frame::Open { handle: *opened - 1, channel: name(channel(rng.random_range(0..6), target)) }
        }
        8..=19 => {
            let batch = match rng.random_range(0..10) {
                0 => Bytes::from((0..rng.random_range(16..300)).map(|_| rng.random()).collect::<Vec<u8>>()),
                _ => batch(rng.random(), rng.random_range(8..60_000)).into_bytes(),
            };
            Frame::Batch { handle, exclusive: rng.random_range(0..4) == 0, batch }
        }
        20..=26 => Frame::Watermark { handle, timestamp: rng.random() },
        27 => Frame::Status { handle, idle: rng.random() },
        28..=29 => Frame::Barrier { handle, overtaking: rng.random(), barrier: Arc::new(barrier(rng.random())) },
        30..=33 => {
            last_word(live);
            Frame::End { handle }
        }
        34..=38 => {
            last_word(live);
            Frame::Gone { handle }
        }
        _ => {
            let (items, bytes, barriers) = rng.random();
            Frame::Credit { handle, items, bytes, barriers, exclusive: rng.random() }
        }
    }
}

fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    Hello { sender: "fuzz".to_owned(), receiver: "b".to_owned() }.encode(&mut bytes);
    bytes
}

/// Frames behind `begun`, which is spared most of the damage that is done to the rest, with `opened` channels open.
fn conversation(rng: &mut StdRng, target: u32, begun: Vec<u8>, mut opened: u32, said_before: &[u8]) -> Vec<u8> {
    let mut bytes = begun;
    let (begun, mut live) = (bytes.len(), (0..opened).collect());
    for _ in 0..rng.random_range(0..FRAMES_MAX) {
        frame(rng, target, &mut live, &mut opened).encode(&mut bytes);
    }
    let first = if rng.random_range(0..5) == 0 { 0 } else { begun };
    match rng.random_range(0..8) {
        0 => bytes.truncate(rng.random_range(first..=bytes.len())),
        1 | 2 if bytes.len() > first => {
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(first..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        3 => bytes.extend((0..rng.random_range(0..200)).map(|_| rng.random::<u8>())),
        4 => bytes.extend_from_slice(said_before),
        5 => bytes = (0..rng.random_range(0..100)).map(|_| rng.random()).collect(),
        _ => {}
    }
    bytes
}

/// Connects and has, half of the time, a channel opened that has credit.
async fn begin(rng: &mut StdRng, target: u32, node: &Node) -> (Raw, Vec<u8>, u32) {
    if rng.random() {
        return (Raw::connect(node.plane.address()).await, hello(), 0);
    }
    let mut raw = Raw::accepted(node, "b").await;
    raw.say(&[Frame::Open { handle: 0, channel: name(channel(0, target)) }]).await;
    assert_eq!(raw.frame().await, Frame::Opened { handle: 0 });
    assert!(matches!(raw.frame().await, Frame::Credit { handle: 0, .. }));
    (raw, Vec::new(), 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bytes_harm_a_data_plane() {
    let seed = number_from_environment("MILLRACE_FUZZ_SEED").unwrap_or_else(|| SysRng.try_next_u64().unwrap());
    println!("MILLRACE_FUZZ_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let a = Node::start("a");
    let b = Node::with("b", BUDGET_BYTES, Duration::from_millis(50), |options| {
        options.handshake_timeout = Duration::from_millis(100);
    });
    let mut said_before = Vec::new();
    let connections = number_from_environment("MILLRACE_FUZZ_CONNECTIONS").unwrap_or(CONNECTIONS);
    // Each has a gate of its own: what an earlier one left waiting must not take it.
    for target in (0..2 * u32::try_from(connections).unwrap()).step_by(2) {
        // Gates that some of the channels may meet, and that may go while they are written to.
        let ids: Vec<_> = (0..rng.random_range(1..4)).map(|source| channel(source, target)).collect();
        let mut gate = b.exchange.open_gate(ids).unwrap();
        let (mut raw, begun, opened) = begin(&mut rng, target, &b).await;
        let bytes = conversation(&mut rng, target, begun, opened, &said_before);
        let mut written = 0;
        while written < bytes.len() {
            let some = rng.random_range(1..=bytes.len() - written);
            raw.write(&bytes[written..written + some]).await;
            written += some;
            if rng.random_range(0..4) == 0 {
                while matches!(gate.try_recv(), Ok(Some(_))) {}
            }
        }
        if rng.random() {
            drop(gate);
        }
        if rng.random_range(0..8) == 0 {
            // It hangs up without reading what it was told, which may be with a reset.
            drop(raw);
        } else {
            // All was said; what is not against the protocol leaves the connection open.
            tokio::io::AsyncWriteExt::shutdown(&mut raw.0).await.ok();
            raw.closed().await;
        }
        // Without the handshake, where there was one.
        said_before = bytes.get(rng.random_range(0..30)..).unwrap_or_default().to_vec();
    }
    println!("refused: {:?}", b.plane.figures().refused);
    b.is_clean().await;

    let (mut senders, mut gate) = channels(&a, &b, "b", &[channel(0, 0)]).await;
    for number in 0..100 {
        send(&mut senders[0], Item::Batch(batch(number, 10_000))).await;
        let Some(Received { item: Item::Batch(batch), .. }) = patiently(gate.recv()).await.unwrap() else {
            panic!("a batch was sent");
        };
        assert_eq!(number_of(&batch), number);
    }
    senders[0].end().unwrap();
    drop((senders, gate));
    a.is_clean().await;
    b.is_clean().await;
}
