//! An unaligned checkpoint over several channels: the snapshot, what was captured, and what comes later are all there is.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use millrace_graph::Partitioning;
use millrace_types::{Alignment, Barrier};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::*;
use crate::channel::BARRIERS_MAX;
use crate::testing::{barrier, channels, keyed_batch, read_back};
use crate::{BufferBudget, EdgeOptions, Gate, OutputEdgeWriter};

const NOW: Alignment = Alignment::Unaligned { timeout_ms: 0 };

/// Producers of one channel each, and the task that reads them.
struct Setup {
    writers: Vec<OutputEdgeWriter>,
    pushed: Vec<u64>,
    gate: Gate,
    taken: Vec<Vec<u64>>,
}

fn numbers(batch: &BatchView) -> Vec<u64> {
    read_back(batch).into_iter().map(|(_, number)| number).collect()
}

impl Setup {
    async fn new(count: u32) -> Self {
        let (senders, gate) = channels(count, &BufferBudget::default()).await;
        let options = EdgeOptions {
            partitioning: Partitioning::Forward,
            target_parallelism: count,
            target_max_parallelism: 128,
            subtask: 0,
            buffer_timeout: Duration::ZERO,
        };
        let writer = |sender| {
            let rng = StdRng::seed_from_u64(1);
            OutputEdgeWriter::new(&options, vec![sender], BufferBudget::default(), rng).unwrap()
        };
        let count = count as usize;
        let writers = senders.into_iter().map(writer).collect();
        Self { writers, pushed: vec![0; count], gate, taken: vec![Vec::new(); count] }
    }

    fn push(&mut self, channel: usize) {
        let batch = keyed_batch(&[1], self.pushed[channel], 8);
        self.writers[channel].push_batch(&batch, Instant::now()).unwrap();
        self.writers[channel].try_drain().unwrap();
        self.pushed[channel] += 1;
    }

    /// Takes an item, and gives a barrier that was taken or announced.
    fn take(&mut self) -> Option<(usize, Item)> {
        let received = self.gate.try_recv().unwrap()?;
        if let Item::Batch(batch) = &received.item {
            self.taken[received.channel].extend(numbers(batch));
        }
        Some((received.channel, received.item))
    }

    fn take_all(&mut self) {
        loop {
            let mut is_done = true;
            for writer in &mut self.writers {
                is_done &= writer.try_drain().unwrap();
            }
            if self.take().is_none() && is_done {
                return;
            }
        }
    }
}

fn of_channel(in_flight: &[InFlight], channel: usize) -> Vec<u64> {
    in_flight.iter().filter(|one| one.channel == channel).flat_map(|one| numbers(&one.batch)).collect()
}

#[tokio::test]
async fn a_barrier_overtakes_a_full_channel() {
    let mut setup = Setup::new(1).await;
    (0..12).for_each(|_| setup.push(0));
    let first = barrier(1, NOW);
    let overtaken = setup.writers[0].push_barrier_unaligned(&first).unwrap();
    assert_eq!(of_channel(&overtaken, 0), [8, 9, 10, 11], "what had no credit");
    let (_, told) = setup.take().unwrap();
    assert_eq!(told, Item::Announced { barrier: Arc::clone(&first), overtaking: true });
    assert_eq!(setup.gate.begin_capture(first.checkpoint, &[0], usize::MAX), None);
    let (checkpoint, captured) = setup.gate.take_capture().unwrap();
    assert_eq!((checkpoint, of_channel(&captured.unwrap(), 0)), (first.checkpoint, (0..8).collect()));
    assert!(setup.gate.take_capture().is_none());
    // Nothing was processed yet, and all of it is, once and in order; the barrier has done its duty.
    setup.push(0);
    setup.take_all();
    assert_eq!(setup.taken[0], (0..13).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_last_barrier_of_a_capture_ends_the_wait_though_nothing_follows() {
    let mut setup = Setup::new(2).await;
    let first = barrier(1, NOW);
    setup.gate.begin_capture(first.checkpoint, &[0, 1], usize::MAX);
    setup.writers[0].push_barrier(&first);
    setup.writers[0].drain().await.unwrap();
    // The first one is seen at once, and the second one while the task waits.
    assert!(setup.gate.take_capture().is_none());
    let (gate, writers) = (&mut setup.gate, &mut setup.writers);
    let waiting = async {
        while let Some(received) = gate.recv().await.unwrap() {
            assert!(matches!(received.item, Item::Announced { .. }), "{:?}", received.item);
        }
    };
    let sending = async {
        tokio::task::yield_now().await;
        writers[1].push_barrier(&first);
        writers[1].drain().await.unwrap();
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), async { tokio::join!(waiting, sending) }).await.unwrap();
    assert_eq!(setup.gate.take_capture(), Some((first.checkpoint, Ok(Vec::new()))));
}

#[tokio::test]
async fn a_barrier_that_waits_at_an_output_overtakes_later() {
    let mut setup = Setup::new(1).await;
    (0..10).for_each(|_| setup.push(0));
    let first = barrier(1, NOW);
    setup.writers[0].push_barrier(&first);
    (0..2).for_each(|_| setup.push(0));
    let overtaken = setup.writers[0].push_barrier_unaligned(&first).unwrap();
    assert_eq!(of_channel(&overtaken, 0), [8, 9], "what is behind it is not overtaken");
    assert!(setup.writers[0].push_barrier_unaligned(&first).unwrap().is_empty(), "it was sent");
    // No more barriers than there are places overtake; another one goes in its turn.
    for checkpoint in 2..=BARRIERS_MAX as u64 {
        assert!(!setup.writers[0].push_barrier_unaligned(&barrier(checkpoint, NOW)).unwrap().is_empty());
    }
    let last = barrier(9, NOW);
    assert!(setup.writers[0].push_barrier_unaligned(&last).unwrap().is_empty());
    setup.take_all();
    assert_eq!(setup.taken[0], (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_ordinary_barrier_that_may_overtake_is_announced_once() {
    let mut setup = Setup::new(1).await;
    let later = barrier(1, Alignment::Unaligned { timeout_ms: 1000 });
    setup.push(0);
    for told in [&later, &barrier(2, Alignment::Aligned)] {
        setup.writers[0].push_barrier(told);
        setup.writers[0].try_drain().unwrap();
    }
    let announced = Item::Announced { barrier: Arc::clone(&later), overtaking: false };
    assert_eq!(setup.take().unwrap().1, announced);
    assert!(matches!(setup.take().unwrap().1, Item::Batch(_)));
    assert_eq!(setup.take().unwrap().1, Item::Barrier(later));
    assert!(matches!(setup.take().unwrap().1, Item::Barrier(_)));
    assert!(setup.take().is_none());
}

#[tokio::test]
async fn a_capture_is_bounded_dropped_and_given_up() {
    let mut setup = Setup::new(2).await;
    (0..4).for_each(|_| setup.push(0));
    let bytes_max = keyed_batch(&[1], 0, 8).byte_len() * 3;
    let id = CheckpointId;
    setup.gate.begin_capture(id(1), &[0, 1], bytes_max);
    let too_large = CaptureError::TooLarge { checkpoint: id(1), bytes_max };
    assert_eq!(setup.gate.take_capture(), Some((id(1), Err(too_large))));
    setup.gate.begin_capture(id(2), &[1], bytes_max);
    assert_eq!(setup.gate.begin_capture(id(3), &[1], bytes_max), Some(id(2)));
    setup.writers[1].push_barrier(&barrier(4, NOW));
    setup.writers[1].try_drain().unwrap();
    let subsumed = CaptureError::Subsumed { checkpoint: id(3), newer: id(4) };
    assert_eq!(setup.gate.take_capture(), Some((id(3), Err(subsumed))));
    setup.gate.begin_capture(id(5), &[1], bytes_max);
    setup.gate.abandon_capture(id(4));
    setup.writers[1].push_end();
    setup.writers[1].try_drain().unwrap();
    assert_eq!(setup.gate.take_capture(), Some((id(5), Ok(Vec::new()))), "an end is as good as a barrier");
    setup.take_all();
    assert_eq!(setup.taken[0], [0, 1, 2, 3]);
}

/// Takes the snapshot of the consumer: what it has taken of each channel, and what is captured from now on.
fn snapshot(setup: &mut Setup, barrier: &Barrier, arrived: &[bool]) -> Vec<Vec<u64>> {
    let missing: Vec<usize> = (0..arrived.len()).filter(|channel| !arrived[*channel]).collect();
    setup.gate.begin_capture(barrier.checkpoint, &missing, usize::MAX);
    setup.gate.unblock_all();
    setup.taken.clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Producers take their snapshots at any time, aligned or not, and the consumer when it hears of the first one or
    /// later: what it had taken, what it captures and what the producers report as overtaken is what each had emitted.
    #[test]
    fn nothing_is_lost_and_nothing_counts_twice(
        count in 1u32..4,
        steps in prop::collection::vec((0u8..12, 0usize..3), 0..150),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let channels = count as usize;
            let mut setup = Setup::new(count).await;
            let told = barrier(1, NOW);
            let (mut at_barrier, mut overtaken) = (vec![None; channels], vec![Vec::new(); channels]);
            let (mut arrived, mut state, mut captured) = (vec![false; channels], None, None);
            let all = (0..channels).map(|channel| (10, channel));
            for (step, channel) in steps.into_iter().chain(all).chain([(9, 0); 80]) {
                let channel = channel % channels;
                match step {
                    0..=4 => setup.push(channel),
                    10 | 11 if at_barrier[channel].is_none() => {
                        at_barrier[channel] = Some(setup.pushed[channel]);
                        if step == 11 {
                            setup.writers[channel].push_barrier(&told);
                            setup.push(channel);
                        }
                        let batches = setup.writers[channel].push_barrier_unaligned(&told).unwrap();
                        overtaken[channel] = of_channel(&batches, 0);
                    }
                    10 | 11 => {}
                    _ => match setup.take() {
                        Some((channel, Item::Barrier(_))) if state.is_none() => {
                            arrived[channel] = true;
                            setup.gate.block(channel);
                            if !arrived.contains(&false) {
                                state = Some(snapshot(&mut setup, &told, &arrived));
                            }
                        }
                        // Now and then the announcement is left alone, as if it were not due yet.
                        Some((_, Item::Announced { .. })) if state.is_none() && setup.pushed[0] % 3 != 0 => {
                            state = Some(snapshot(&mut setup, &told, &arrived));
                        }
                        Some((_, Item::Barrier(_))) => panic!("the capture has taken it"),
                        _ => {}
                    },
                }
                if let Some((_, in_flight)) = setup.gate.take_capture() {
                    captured = Some(in_flight.unwrap());
                }
            }
            let (state, captured) = (state.unwrap(), captured.unwrap());
            for channel in 0..channels {
                let parts = [state[channel].clone(), of_channel(&captured, channel), overtaken[channel].clone()];
                let emitted = (0..at_barrier[channel].unwrap()).collect::<Vec<_>>();
                assert_eq!(parts.concat(), emitted, "channel {channel}: {parts:?}");
            }
            setup.take_all();
            for channel in 0..channels {
                assert_eq!(setup.taken[channel], (0..setup.pushed[channel]).collect::<Vec<_>>());
            }
        });
    }
}
