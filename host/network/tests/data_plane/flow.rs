//! What is sent arrives: all of it, in order, as far as there is credit, and no channel waits for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_network::{CHANNEL_ITEMS_MAX, ChannelSender, Gate, Item};
use millrace_wire::{BATCH_FRAME_BYTES_MAX, BatchBuilder, BatchFlags};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::{BUDGET_BYTES, Node, barrier, batch, channel, channels, eventually, number_of, patiently, send};

const FOREVER: Duration = Duration::from_secs(30);

/// Sends numbered batches of random sizes with watermarks, barriers and statuses between them, and the end.
async fn produce(mut sender: ChannelSender, items: u64, bytes_max: usize, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    for number in 0..items {
        let item = match rng.random_range(0..7) {
            0 => Item::Watermark(number as i64),
            1 => Item::Barrier(Arc::new(barrier(number))),
            2 => Item::Status { idle: number.is_multiple_of(2) },
            _ => Item::Batch(batch(number, rng.random_range(8..bytes_max))),
        };
        send(&mut sender, item).await;
    }
    sender.end().unwrap();
}

/// Takes everything and checks that nothing is missing and nothing overtakes.
async fn consume(mut gate: Gate, items: u64) {
    let mut next = vec![0; gate.channels().len()];
    while let Some(received) = patiently(gate.recv()).await.unwrap() {
        let expected = &mut next[received.channel];
        match received.item {
            Item::Batch(batch) => assert_eq!(number_of(&batch), *expected),
            Item::Watermark(timestamp) => assert_eq!(timestamp as u64, *expected),
            Item::Barrier(found) => assert_eq!(*found, barrier(*expected)),
            Item::Status { idle } => assert_eq!(idle, expected.is_multiple_of(2)),
            Item::Announced { .. } => continue,
            Item::EndOfInput => assert_eq!(*expected, items),
        }
        *expected += 1;
    }
    assert!(next.iter().all(|next| *next == items + 1));
}

/// Channels in both directions at once, with budgets of so many bytes.
async fn both_ways(budget_bytes: u32, items: u64, bytes_max: usize) {
    let (a, b) = (Node::with("a", budget_bytes, FOREVER, |_| ()), Node::with("b", budget_bytes, FOREVER, |_| ()));
    let mut running = Vec::new();
    for (from, to, peer) in [(&a, &b, "b"), (&b, &a, "a")] {
        for gate in 0..3 {
            let ids: Vec<_> = (0..4).map(|source| channel(source, gate)).collect();
            let (senders, gate) = channels(from, to, peer, &ids).await;
            let producers = (0..).zip(senders).map(|(seed, sender)| produce(sender, items, bytes_max, seed));
            running.extend(producers.map(tokio::spawn));
            running.push(tokio::spawn(consume(gate, items)));
        }
    }
    assert_eq!(a.plane.figures().connections, 2, "one in each direction, whatever the number of channels");
    for task in running {
        patiently(task).await.unwrap();
    }
    a.is_clean().await;
    b.is_clean().await;
    assert!(a.plane.figures().refused.is_empty() && b.plane.figures().refused.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_in_order() {
    both_ways(BUDGET_BYTES, 500, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_however_small_the_budgets_are() {
    both_ways(1, 100, 20_000).await;
    both_ways(30_000, 200, 20_000).await;
}

#[tokio::test]
async fn a_gate_that_does_not_read_bounds_its_producer_and_holds_up_nobody_else() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let (mut slow_senders, mut slow_gate) = channels(&a, &b, "b", &[channel(0, 0)]).await;
    let (fast_senders, fast_gate) = channels(&a, &b, "b", &[channel(1, 1)]).await;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let slow = tokio::spawn(async move {
        let sender = &mut slow_senders[0];
        for number in 0..100 {
            send(sender, Item::Batch(batch(number, 100_000))).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
        sender.end().unwrap();
    });
    // Four granted windows' worth is under way when the producer has to wait.
    eventually("the slow channel is full", || sent.load(Ordering::Relaxed) >= 3).await;
    let fast: Vec<_> = fast_senders.into_iter().map(|sender| tokio::spawn(produce(sender, 5_000, 10_000, 1))).collect();
    consume(fast_gate, 5_000).await;
    for task in fast {
        patiently(task).await.unwrap();
    }
    let waiting = sent.load(Ordering::Relaxed);
    assert!(waiting <= CHANNEL_ITEMS_MAX as u64, "{waiting} items are in a channel that nobody reads");
    // What it was granted lies within the budget, but for one batch.
    assert!(b.exchange.budget().free_bytes() > BUDGET_BYTES as usize / 2);

    let mut next = 0;
    while let Some(received) = patiently(slow_gate.recv()).await.unwrap() {
        if let Item::Batch(batch) = received.item {
            assert_eq!(number_of(&batch), next);
            next += 1;
        }
    }
    assert_eq!(next, 100);
    patiently(slow).await.unwrap();
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn a_batch_larger_than_all_budgets_goes_through() {
    let (a, b) = (Node::with("a", 1_000, FOREVER, |_| ()), Node::with("b", 1_000, FOREVER, |_| ()));
    let (mut senders, mut gate) = channels(&a, &b, "b", &[channel(0, 0)]).await;
    let largest = batch(1, BATCH_FRAME_BYTES_MAX as usize - 20);
    assert_eq!(largest.byte_len(), BATCH_FRAME_BYTES_MAX as usize);
    let sending = async {
        for _ in 0..3 {
            send(&mut senders[0], Item::Batch(largest.clone())).await;
        }
        senders[0].end().unwrap();
    };
    let taking = async {
        for _ in 0..3 {
            let received = patiently(gate.recv()).await.unwrap().unwrap();
            assert!(received.item == Item::Batch(largest.clone()));
        }
        assert_eq!(patiently(gate.recv()).await.unwrap().unwrap().item, Item::EndOfInput);
    };
    tokio::join!(sending, taking);
    drop((senders, gate));
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn what_no_frame_carries_is_refused_where_it_is_sent() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let (mut senders, mut gate) = channels(&a, &b, "b", &[channel(0, 0)]).await;
    let mut builder = BatchBuilder::new(BatchFlags::default());
    builder.push(None, None, &vec![0; BATCH_FRAME_BYTES_MAX as usize]);
    let item = Item::Batch(builder.finish_view());
    let credit = patiently(senders[0].reserve(item.byte_len())).await;
    let error = senders[0].send(credit, item).unwrap_err().to_string();
    assert!(error.contains("a frame carries"), "{error}");
    drop(senders);
    assert!(patiently(gate.recv()).await.is_err());
    drop(gate);
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_channels_share_one_connection() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let mut running = Vec::new();
    for gate in 0..32 {
        let ids: Vec<_> = (0..64).map(|source| channel(source, gate)).collect();
        let (senders, gate) = channels(&a, &b, "b", &ids).await;
        running.extend((0..).zip(senders).map(|(seed, sender)| tokio::spawn(produce(sender, 10, 5_000, seed))));
        running.push(tokio::spawn(consume(gate, 10)));
    }
    for task in running {
        patiently(task).await.unwrap();
    }
    a.is_clean().await;
    b.is_clean().await;
}

#[tokio::test]
async fn a_barrier_overtakes_what_has_no_credit_and_is_announced() {
    let (a, b) = (Node::start("a"), Node::start("b"));
    let (mut senders, mut gate) = channels(&a, &b, "b", &[channel(0, 0)]).await;
    let sender = &mut senders[0];
    for round in 1..10 {
        let mut sent = 0;
        // As many as there is credit for; the rest would wait at the writer.
        while sent < CHANNEL_ITEMS_MAX {
            send(sender, Item::Watermark(sent as i64)).await;
            sent += 1;
        }
        assert!(sender.try_reserve(0).is_none());
        let told = Arc::new(barrier(round));
        // Its place comes back when it was taken, a moment later.
        eventually("a place for a barrier", || sender.try_overtake(&told).unwrap()).await;
        let first = patiently(gate.recv()).await.unwrap().unwrap().item;
        let mut items = vec![first];
        while items.last() != Some(&Item::Barrier(Arc::clone(&told))) {
            items.push(patiently(gate.recv()).await.unwrap().unwrap().item);
        }
        let announced = |item: &Item| matches!(item, Item::Announced { overtaking: true, .. });
        let in_order = items.iter().filter(|item| !announced(item)).count();
        assert_eq!(in_order, CHANNEL_ITEMS_MAX + 1, "it stands behind what was sent");
    }
}
