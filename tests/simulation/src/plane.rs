//! Channels between tasks: first in, first out; of one attempt of the producer and one of the consumer, and gone with
//! either.
//!
//! What a channel holds beyond its credit is what its producer has not sent: an unaligned barrier overtakes that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millrace_protocol::ChannelId;
use millrace_types::{Barrier, Digest, EventTime};

use crate::rows::Row;

/// What a channel carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A row, and the code that the task which sent it ran.
    Row(Row, Digest),
    Watermark(EventTime),
    Idle(bool),
    Barrier(Arc<Barrier>),
    End,
}

/// A channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) items: VecDeque<Item>,
    /// Barriers that lie in it, and whether they have overtaken what their producer had not sent.
    pub(crate) announced: VecDeque<(Arc<Barrier>, bool)>,
    has_producer: bool,
    has_consumer: bool,
    /// One of the ends is gone and had not ended.
    pub(crate) broken: bool,
    /// The consumer is gone, having finished: what comes is for nobody.
    abandoned: bool,
    ended: bool,
}

/// Which end of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Producer,
    Consumer,
}

/// All channels.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    channels: BTreeMap<ChannelId, Channel>,
}

impl Plane {
    /// One end is there.
    pub(crate) fn open(&mut self, id: ChannelId, end: End) {
        let channel = self.channels.entry(id).or_default();
        let there = match end {
            End::Producer => &mut channel.has_producer,
            End::Consumer => &mut channel.has_consumer,
        };
        assert!(!std::mem::replace(there, true), "{id:?} has two ends of one kind");
    }

    /// Whether both ends are there; a broken one counts as such, and is found to be broken when it is used.
    pub(crate) fn is_connected(&self, id: &ChannelId) -> bool {
        self.channels.get(id).is_some_and(|channel| channel.has_producer && channel.has_consumer)
    }

    pub(crate) fn get(&mut self, id: &ChannelId) -> &mut Channel {
        self.channels.entry(*id).or_default()
    }

    /// Puts an item in, if anybody is there to take it. Returns whether the channel is whole.
    pub(crate) fn push(&mut self, id: &ChannelId, item: Item) -> bool {
        let channel = self.get(id);
        if channel.broken {
            return false;
        }
        assert!(!channel.ended, "{item:?} comes behind the end of {id:?}");
        channel.ended |= item == Item::End;
        if !channel.abandoned {
            channel.items.push_back(item);
        }
        true
    }

    /// An end leaves. A producer that has not ended, and a consumer that failed, break the channel; then some of what
    /// was on its way may be lost.
    pub(crate) fn leave(&mut self, id: &ChannelId, end: End, finished: bool, lost: usize) {
        let channel = self.get(id);
        match end {
            End::Consumer if finished => {
                channel.abandoned = true;
                channel.items.clear();
            }
            End::Consumer => channel.broken = true,
            End::Producer if channel.ended => {}
            End::Producer => {
                channel.broken = true;
                channel.items.truncate(channel.items.len().saturating_sub(lost));
            }
        }
    }
}
