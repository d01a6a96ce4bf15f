//! Tests of the writer: what goes in comes out, where and in the order that it should.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::pin::pin;

use millrace_types::Alignment;
use proptest::prelude::*;
use rand::SeedableRng;

use super::*;
use crate::Gate;
use crate::testing::{barrier, channels, keyed_batch, poll_once, read_back};

const ALL: [Partitioning; 6] = [
    Partitioning::Rebalance,
    Partitioning::Rescale,
    Partitioning::Hash,
    Partitioning::Broadcast,
    Partitioning::Global,
    Partitioning::Shuffle,
];

async fn writer(partitioning: Partitioning, count: u32, budget: &BufferBudget) -> (OutputEdgeWriter, Gate) {
    let (senders, gate) = channels(count, budget).await;
    let options = EdgeOptions {
        partitioning,
        target_parallelism: count,
        target_max_parallelism: 128,
        subtask: 0,
        buffer_timeout: Duration::from_millis(5),
    };
    let rng = StdRng::seed_from_u64(7);
    (OutputEdgeWriter::new(&options, senders, budget.clone(), rng).unwrap(), gate)
}

/// Everything that the gate has now, by channel.
fn take_all(gate: &mut Gate, into: &mut BTreeMap<usize, Vec<Item>>) {
    while let Some(received) = gate.try_recv().unwrap() {
        into.entry(received.channel).or_default().push(received.item);
    }
}

fn rows(items: &[Item]) -> Vec<(u8, u64)> {
    items.iter().flat_map(|item| if let Item::Batch(batch) = item { read_back(batch) } else { Vec::new() }).collect()
}

/// Pushes batches and a watermark behind each; drops every waiting `drain` after one poll.
async fn run(
    partitioning: Partitioning,
    count: u32,
    budget_bytes: u32,
    batches: &[(Vec<u8>, usize)],
) -> BTreeMap<usize, Vec<Item>> {
    let budget = BufferBudget::new(budget_bytes);
    let (mut writer, mut gate) = writer(partitioning, count, &budget).await;
    let mut received = BTreeMap::new();
    let mut first = 0;
    let now = Instant::now();
    let mut settle = |writer: &mut OutputEdgeWriter| loop {
        let done = match poll_once(pin!(writer.drain())) {
            std::task::Poll::Ready(result) => result.map(|()| true).unwrap(),
            std::task::Poll::Pending => false,
        };
        if done {
            return take_all(&mut gate, &mut received);
        }
        // One item at a time, so that the next poll goes on in the middle.
        if let Some(next) = gate.try_recv().unwrap() {
            received.entry(next.channel).or_default().push(next.item);
        }
    };
    for (keys, payload_bytes) in batches {
        writer.push_batch(&keyed_batch(keys, first, *payload_bytes), now).unwrap();
        first += keys.len() as u64;
        settle(&mut writer);
        if first % 3 == 0 {
            writer.push_watermark(first as i64);
            settle(&mut writer);
        }
    }
    writer.push_end();
    settle(&mut writer);
    drop(writer);
    assert_eq!(gate.recv().await.unwrap(), None);
    received
}

fn batches() -> impl Strategy<Value = Vec<(Vec<u8>, usize)>> {
    let batch = (prop::collection::vec(any::<u8>(), 0..20), prop_oneof![Just(10usize), Just(600), Just(3_000)]);
    prop::collection::vec(batch, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_row_arrives_once_in_order_and_before_its_watermark(
        partitioning in prop::sample::select(ALL.as_slice()),
        count in 1u32..5,
        budget_bytes in prop_oneof![Just(1u32), Just(8_000), Just(1 << 26)],
        batches in batches(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let received = runtime.block_on(run(partitioning, count, budget_bytes, &batches));
        let sent: Vec<(u8, u64)> = batches.iter().flat_map(|(keys, _)| keys.clone()).zip(0u64..).collect();

        let mut all = Vec::new();
        for (channel, items) in &received {
            let rows = rows(items);
            prop_assert!(rows.is_sorted_by_key(|(_, number)| *number));
            prop_assert_eq!(items.last(), Some(&Item::EndOfInput));
            // A watermark is the number of rows in front of it: no row below it may follow, none above precede.
            let mut floor = 0;
            for item in items {
                match item {
                    Item::Watermark(watermark) => floor = *watermark as u64,
                    Item::Batch(batch) => {
                        prop_assert!(read_back(batch).iter().all(|(_, number)| *number >= floor));
                    }
                    Item::Status { .. } | Item::Barrier(_) | Item::Announced { .. } | Item::EndOfInput => {}
                }
            }
            match partitioning {
                Partitioning::Broadcast => prop_assert_eq!(&rows, &sent),
                Partitioning::Global => prop_assert!(*channel == 0 || rows.is_empty()),
                Partitioning::Hash => {
                    let keys = KeyShare { parallelism: count, max_parallelism: 128 };
                    prop_assert!(rows.iter().all(|(key, _)| keys.channel(&[*key]) == *channel));
                }
                _ => {}
            }
            all.extend(rows);
        }
        prop_assert_eq!(received.len(), count as usize);
        if partitioning != Partitioning::Broadcast {
            all.sort_by_key(|(_, number)| *number);
            prop_assert_eq!(all, sent);
        }
    }
}

#[tokio::test]
async fn small_batches_are_joined_and_large_ones_pass_uncopied() {
    let budget = BufferBudget::default();
    let (mut writer, mut gate) = writer(Partitioning::Forward, 1, &budget).await;
    let now = Instant::now();
    for n in 0..3 {
        writer.push_batch(&keyed_batch(&[1, 2], 2 * n, 10), now).unwrap();
    }
    assert_eq!(writer.next_flush_deadline(), Some(now + Duration::from_millis(5)));
    let large = keyed_batch(&[3; 60], 6, 1_000);
    writer.push_batch(&large, now).unwrap();
    writer.drain().await.unwrap();
    assert_eq!(writer.next_flush_deadline(), None, "nothing waits any more");
    let mut received = BTreeMap::new();
    take_all(&mut gate, &mut received);
    let items = &received[&0];
    assert_eq!(items.len(), 2, "the small ones as one, in front of the large one");
    assert_eq!(rows(items).len(), 66);
    let Item::Batch(passed) = &items[1] else { panic!("a batch") };
    assert_eq!(passed.as_bytes().as_ptr(), large.as_bytes().as_ptr());
    writer.push_end();
}

#[tokio::test]
async fn some_batches_wait_for_each_other_but_not_beyond_the_timeout() {
    let (mut writer, _gate) = writer(Partitioning::Forward, 1, &BufferBudget::default()).await;
    let now = Instant::now();
    let deadline = now + Duration::from_millis(5);
    let large = keyed_batch(&[3; 60], 0, 1_000);
    for _ in 1..BATCHES_TOGETHER {
        writer.push_batch(&large, now).unwrap();
        assert_eq!((writer.is_ready(), writer.next_flush_deadline()), (false, Some(deadline)));
    }
    writer.flush_due(deadline);
    assert!(writer.is_ready(), "the oldest has waited long enough");
    writer.drain().await.unwrap();
    assert_eq!((writer.is_ready(), writer.next_flush_deadline()), (false, None));
    for _ in 0..BATCHES_TOGETHER {
        assert!(!writer.is_ready());
        writer.push_batch(&large, now).unwrap();
    }
    assert!(writer.is_ready(), "enough of them");
    writer.drain().await.unwrap();
    writer.push_end();
}

#[tokio::test]
async fn rows_go_when_their_time_is_up_and_not_before() {
    let (mut writer, mut gate) = writer(Partitioning::Hash, 3, &BufferBudget::default()).await;
    let now = Instant::now();
    writer.push_batch(&keyed_batch(&[1, 2, 3], 0, 10), now).unwrap();
    let deadline = writer.next_flush_deadline().unwrap();
    writer.flush_due(deadline - Duration::from_millis(1));
    writer.drain().await.unwrap();
    assert_eq!(gate.try_recv().unwrap(), None);
    writer.flush_due(deadline);
    writer.drain().await.unwrap();
    let mut received = BTreeMap::new();
    take_all(&mut gate, &mut received);
    assert_eq!(received.values().map(|items| rows(items).len()).sum::<usize>(), 3);
    assert_eq!(writer.next_flush_deadline(), None);
    writer.push_end();
}

#[tokio::test]
async fn watermarks_that_nothing_separates_become_one() {
    let (mut writer, mut gate) = writer(Partitioning::Rebalance, 3, &BufferBudget::default()).await;
    for timestamp in 0..10_000 {
        writer.push_watermark(timestamp);
    }
    writer.drain().await.unwrap();
    let mut received = BTreeMap::new();
    take_all(&mut gate, &mut received);
    assert!(received.len() == 3 && received.values().all(|items| *items == [Item::Watermark(9_999)]), "{received:?}");
    writer.push_end();
}

#[tokio::test]
async fn rows_without_keys_cannot_be_spread_by_key() {
    let (mut writer, _gate) = writer(Partitioning::Hash, 2, &BufferBudget::default()).await;
    let mut builder = BatchBuilder::new(BatchFlags::default());
    builder.push(None, None, b"row");
    assert_eq!(writer.push_batch(&builder.finish_view(), Instant::now()), Err(WriteError::NoKeys));
}

/// Three stages of four tasks, all to all, with a budget that admits nothing beyond the exclusive rights.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_graph_moves_on_without_any_shared_budget() {
    const WIDTH: u32 = 4;
    let budget = BufferBudget::new(1);
    let mut gates = Vec::new();
    let mut stages: Vec<Vec<Vec<ChannelSender>>> = Vec::new();
    let exchange = crate::Exchange::new(budget.clone(), crate::CONNECT_TIMEOUT);
    for edge in 0..2 {
        let id = |source, target| millrace_protocol::ChannelId { edge, ..crate::testing::channel_id(source, target) };
        let gate = |target| exchange.open_gate((0..WIDTH).map(|source| id(source, target)).collect()).unwrap();
        gates.push((0..WIDTH).map(gate).collect::<Vec<_>>());
        let mut writers = Vec::new();
        for source in 0..WIDTH {
            let ids: Vec<_> = (0..WIDTH).map(|target| id(source, target)).collect();
            writers.push(exchange.connect(&ids).await.unwrap());
        }
        stages.push(writers);
    }
    let options = EdgeOptions {
        partitioning: Partitioning::Hash,
        target_parallelism: WIDTH,
        target_max_parallelism: 128,
        subtask: 0,
        buffer_timeout: Duration::ZERO,
    };
    let make = |senders| OutputEdgeWriter::new(&options, senders, budget.clone(), StdRng::seed_from_u64(1)).unwrap();
    let mut tasks = Vec::new();
    for senders in stages.remove(0) {
        let mut writer = make(senders);
        tasks.push(tokio::spawn(async move {
            for n in 0..200 {
                let keys: Vec<u8> = (0..50).map(|key| (key * 7 + n) as u8).collect();
                writer.push_batch(&keyed_batch(&keys, 0, 100), Instant::now()).unwrap();
                writer.drain().await.unwrap();
            }
            writer.push_end();
            writer.drain().await.unwrap();
            0
        }));
    }
    for (mut gate, senders) in gates.remove(0).into_iter().zip(stages.remove(0)) {
        let mut writer = make(senders);
        tasks.push(tokio::spawn(async move {
            while let Some(received) = gate.recv().await.unwrap() {
                if let Item::Batch(batch) = received.item {
                    writer.push_batch(&batch, Instant::now()).unwrap();
                    writer.drain().await.unwrap();
                }
            }
            writer.push_end();
            writer.drain().await.unwrap();
            0
        }));
    }
    for mut gate in gates.remove(0) {
        tasks.push(tokio::spawn(async move {
            let mut rows = 0;
            while let Some(received) = gate.recv().await.unwrap() {
                rows += if let Item::Batch(batch) = received.item { batch.len() } else { 0 };
            }
            rows
        }));
    }
    let mut rows = 0;
    for task in tasks {
        rows += tokio::time::timeout(Duration::from_secs(60), task).await.expect("deadlock").unwrap();
    }
    assert_eq!(rows, WIDTH as usize * 200 * 50);
    assert_eq!(budget.live_channels(), 0);
}

#[tokio::test]
async fn what_no_frame_carries_is_taken_apart() {
    let (mut writer, mut gate) = writer(Partitioning::Rebalance, 2, &BufferBudget::default()).await;
    let large = keyed_batch(&[1; 18], 0, 1024 * 1024);
    assert!(large.byte_len() > BATCH_FRAME_BYTES_MAX as usize);
    writer.push_batch(&large, Instant::now()).unwrap();
    writer.flush();
    let mut received = BTreeMap::new();
    while !writer.try_drain().unwrap() {
        take_all(&mut gate, &mut received);
    }
    take_all(&mut gate, &mut received);
    let mut numbers = Vec::new();
    for items in received.values() {
        assert!(items.iter().all(|item| item.byte_len() <= BATCH_FRAME_BYTES_MAX as usize));
        let of_channel: Vec<_> = rows(items).into_iter().map(|(_, number)| number).collect();
        assert!(of_channel.is_sorted());
        numbers.extend(of_channel);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..18).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_barrier_is_behind_all_rows_so_far_on_every_channel() {
    let (mut writer, mut gate) = writer(Partitioning::Hash, 2, &BufferBudget::default()).await;
    let keys: Vec<u8> = (0..20).collect();
    writer.push_batch(&keyed_batch(&keys, 0, 8), Instant::now()).unwrap();
    writer.push_status(true);
    // A status that was not sent gives way to the next one.
    writer.push_status(false);
    let barrier = barrier(1, Alignment::Aligned);
    writer.push_barrier(&barrier);
    writer.push_batch(&keyed_batch(&keys, 20, 8), Instant::now()).unwrap();
    writer.flush();
    assert!(writer.try_drain().unwrap());
    let mut received = BTreeMap::new();
    take_all(&mut gate, &mut received);
    for items in received.values() {
        let [Item::Batch(before), status, told, Item::Batch(after)] = &items[..] else {
            panic!("{items:?}");
        };
        assert_eq!((status, told), (&Item::Status { idle: false }, &Item::Barrier(Arc::clone(&barrier))));
        assert!(read_back(before).iter().all(|row| row.1 < 20) && read_back(after).iter().all(|row| row.1 >= 20));
    }
    assert_eq!(received.len(), 2);
}
