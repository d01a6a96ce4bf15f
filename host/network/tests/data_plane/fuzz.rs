//! Random, truncated, bit-flipped and replayed frames against a live data plane. Prints its seed; the environment
//! variable MILLRACE_FUZZ_SEED repeats a run, MILLRACE_FUZZ_CONNECTIONS makes it longer.

use std::time::Duration;

use bytes::Bytes;
use millrace_network::{Item, Received};
use millrace_wire::{Frame, Hello};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

use crate::support::{BUDGET_BYTES, Node, Raw, batch, channel, channels, name, number_of, patiently, send};

const CONNECTIONS: u64 = 400;
const FRAMES_MAX: usize = 30;

fn number_from_environment(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A frame that is right by itself, and often in its place too.
fn frame(rng: &mut StdRng, opened: &mut u32) -> Frame {
    let handle = match rng.random_range(0..10) {
        0 => rng.random(),
        _ => rng.random_range(0..=*opened),
    };
    match rng.random_range(0..12) {
        0..=3 => {
            *opened += 1;
            Frame::Open { handle: *opened - 1, channel: name(channel(rng.random_range(0..6), rng.random_range(0..2))) }
        }
        4..=6 => {
            let batch = match rng.random_range(0..4) {
                0 => Bytes::from((0..rng.random_range(16..300)).map(|_| rng.random()).collect::<Vec<u8>>()),
                _ => batch(rng.random(), rng.random_range(8..100_000)).into_bytes(),
            };
            Frame::Batch { handle, exclusive: rng.random(), batch }
        }
        7 | 8 => Frame::Watermark { handle, timestamp: rng.random() },
        9 => Frame::End { handle },
        10 => Frame::Gone { handle },
        _ => Frame::Credit { handle, items: rng.random(), bytes: rng.random(), exclusive: rng.random() },
    }
}

/// What one connection says: a handshake and frames, perhaps damaged.
fn conversation(rng: &mut StdRng, said_before: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Hello { sender: "fuzz".to_owned(), receiver: "b".to_owned() }.encode(&mut bytes);
    let (handshake, mut opened) = (bytes.len(), 0);
    for _ in 0..rng.random_range(0..FRAMES_MAX) {
        frame(rng, &mut opened).encode(&mut bytes);
    }
    // Most damage is behind the handshake, where there is more to break.
    let first = if rng.random_range(0..5) == 0 { 0 } else { handshake };
    match rng.random_range(0..6) {
        0 => bytes.truncate(rng.random_range(first..=bytes.len())),
        1 if bytes.len() > first => {
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(first..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        2 => bytes.extend((0..rng.random_range(0..200)).map(|_| rng.random::<u8>())),
        3 => bytes.extend_from_slice(said_before),
        4 => bytes = (0..rng.random_range(0..100)).map(|_| rng.random()).collect(),
        _ => {}
    }
    bytes
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
    for _ in 0..number_from_environment("MILLRACE_FUZZ_CONNECTIONS").unwrap_or(CONNECTIONS) {
        // Gates that some of the channels may meet, and that may go while they are written to.
        let ids: Vec<_> = (0..rng.random_range(1..4)).map(|source| channel(source, 0)).collect();
        let mut gate = b.exchange.open_gate(ids).unwrap();
        let bytes = conversation(&mut rng, &said_before);
        let mut raw = Raw::connect(b.plane.address()).await;
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
        said_before = bytes.get(10..).unwrap_or_default().to_vec();
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
