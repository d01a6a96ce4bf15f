//! What a gate gives, and when.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::pin::pin;

use proptest::prelude::*;

use super::*;
use crate::CHANNEL_ITEMS_MAX;
use crate::budget::BufferBudget;
use crate::channel::ChannelSender;
use crate::testing::{channels, keyed_batch, poll_once};

fn send(sender: &mut ChannelSender, watermark: i64) {
    let credit = sender.try_reserve(0).unwrap();
    sender.send(credit, Item::Watermark(watermark)).unwrap();
}

fn now(gate: &mut Gate) -> Option<(usize, i64)> {
    gate.try_recv().unwrap().map(|received| match received.item {
        Item::Watermark(watermark) => (received.channel, watermark),
        Item::EndOfInput => (received.channel, -1),
        item => panic!("{item:?}"),
    })
}

#[tokio::test]
async fn a_blocked_channel_waits_with_its_credit_and_comes_first_afterwards() {
    let (mut senders, mut gate) = channels(2, &BufferBudget::default()).await;
    gate.block(0);
    (0..CHANNEL_ITEMS_MAX as i64).for_each(|n| send(&mut senders[0], n));
    send(&mut senders[1], 100);
    assert_eq!(now(&mut gate), Some((1, 100)));
    assert_eq!(now(&mut gate), None);
    assert!(poll_once(pin!(gate.recv())).is_pending());
    assert_eq!(gate.aside(), CHANNEL_ITEMS_MAX);
    assert!(senders[0].try_reserve(0).is_none(), "what is set aside keeps its credit");

    send(&mut senders[1], 101);
    gate.unblock_all();
    assert_eq!(now(&mut gate), Some((0, 0)));
    // Blocked once more: the rest stays aside, and others do not wait for it.
    gate.block(0);
    assert_eq!(now(&mut gate), Some((1, 101)));
    assert_eq!(now(&mut gate), None);
    gate.unblock_all();
    send(&mut senders[0], 8);
    for n in 1..9 {
        assert_eq!(now(&mut gate), Some((0, n)));
    }
    assert_eq!(now(&mut gate), None);
}

#[tokio::test]
async fn the_end_of_a_blocked_channel_is_set_aside_and_a_lost_producer_is_told() {
    let budget = BufferBudget::new(1_000);
    let (mut senders, mut gate) = channels(2, &budget).await;
    gate.block(0);
    gate.block(1);
    let batch = keyed_batch(&[1], 0, 100);
    let credit = senders[0].try_reserve(batch.byte_len()).unwrap();
    senders[0].send(credit, Item::Batch(batch.clone())).unwrap();
    senders.iter_mut().for_each(|sender| sender.end().unwrap());
    drop(senders);
    assert!(poll_once(pin!(gate.recv())).is_pending(), "all has come, and nothing may go");
    assert!(!gate.is_finished());
    gate.unblock_all();
    assert_eq!(gate.recv().await.unwrap(), Some(Received { channel: 0, item: Item::Batch(batch) }));
    assert_eq!(gate.recv().await.unwrap(), Some(Received { channel: 0, item: Item::EndOfInput }));
    assert_eq!(gate.recv().await.unwrap(), Some(Received { channel: 1, item: Item::EndOfInput }));
    assert_eq!(gate.recv().await.unwrap(), None);

    let (senders, mut gate) = channels(2, &budget).await;
    gate.block(0);
    drop(senders);
    assert!(gate.recv().await.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However channels are blocked, each gives what it brought, in order, and nothing while it is blocked.
    #[test]
    fn blocking_changes_no_channels_order(steps in prop::collection::vec((0u8..8, 0usize..3), 0..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut senders, mut gate) = channels(3, &BufferBudget::default()).await;
            let (mut sent, mut taken, mut blocked) = ([0; 3], [0; 3], [false; 3]);
            for (step, channel) in steps {
                match step {
                    0..=2 => if let Some(credit) = senders[channel].try_reserve(0) {
                        senders[channel].send(credit, Item::Watermark(sent[channel])).unwrap();
                        sent[channel] += 1;
                    },
                    3..=5 => match now(&mut gate) {
                        Some((channel, watermark)) => {
                            assert!(!blocked[channel]);
                            assert_eq!(watermark, taken[channel]);
                            taken[channel] += 1;
                        }
                        None => assert!((0..3).all(|channel| blocked[channel] || taken[channel] == sent[channel])),
                    },
                    6 => {
                        gate.block(channel);
                        blocked[channel] = true;
                    }
                    _ => {
                        gate.unblock_all();
                        blocked = [false; 3];
                    }
                }
                let under_way = |channel: usize| sent[channel] - taken[channel];
                assert!((0..3).all(|channel| under_way(channel) <= CHANNEL_ITEMS_MAX as i64));
            }
        });
    }
}
