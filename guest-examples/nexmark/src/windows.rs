//! The queries with windows. Where several rows would do, it is always the same one that is chosen, so that the rows do not
//! depend on the parallelism.

use std::cmp::Reverse;
use std::time::Duration;

use millrace::prelude::*;

use crate::events::{Bid, Event};

/// How long the windows are.
const SIZE: Duration = Duration::from_secs(10);
/// How far those of q5 lie apart.
const SLIDE: Duration = Duration::from_secs(2);

/// Counts records.
struct Count;

impl<T> AggregateFunction<T> for Count {
    type Accumulator = u64;
    type Output = u64;

    fn create(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, count: &mut u64, _: T) {
        *count += 1;
    }

    fn merge(&self, count: &mut u64, other: u64) {
        *count += other;
    }

    fn result(&self, count: u64) -> u64 {
        count
    }
}

/// (end of the window, auction, bids).
pub type HotAuction = (i64, i64, u64);

/// q5: the auction with the most bids in each ten seconds, every two seconds; of several the one that was opened first.
pub fn hot_auctions(bids: &Stream<Bid>) -> Stream<HotAuction> {
    fn hotter(one: HotAuction, other: HotAuction) -> HotAuction {
        let rank = |row: &HotAuction| (row.2, Reverse(row.1));
        if rank(&one) >= rank(&other) { one } else { other }
    }
    let counts = bids
        .map(|bid| bid.auction)
        .name("auction")
        .key_by_self()
        .window(SlidingEventTimeWindows::of(SIZE, SLIDE))
        .aggregate_with(Count, |auction, window, count, ctx: &mut WindowContext<'_, HotAuction>| {
            ctx.collect((window.end, *auction, count));
            Ok(())
        })
        .name("count");
    // The counts of a window all have its latest timestamp, so windows of the slide tell them apart.
    let ends = TumblingEventTimeWindows::of(SLIDE);
    counts.local_reduce(ends, hotter).name("hottest here").window_all(ends).reduce(hotter).name("hottest")
}

/// (auction, price, bidder, time).
pub type HighestBid = (i64, i64, i64, i64);

/// q7: the highest bid of each ten seconds; of several the earliest one.
pub fn highest_bids(bids: &Stream<Bid>) -> Stream<HighestBid> {
    fn higher(one: HighestBid, other: HighestBid) -> HighestBid {
        let rank = |row: &HighestBid| (row.1, Reverse((row.3, row.0, row.2)));
        if rank(&one) >= rank(&other) { one } else { other }
    }
    let windows = TumblingEventTimeWindows::of(SIZE);
    bids.map(|bid| (bid.auction, bid.price, bid.bidder, bid.time))
        .name("project")
        .local_reduce(windows, higher)
        .name("highest here")
        .window_all(windows)
        .reduce(higher)
        .name("highest")
}

/// (id, name, reserve).
pub type NewSeller = (i64, Text, i64);

/// q8: who opened auctions in the same ten seconds in which they came, with each auction's reserve.
pub fn new_sellers(events: &Stream<Event>) -> Stream<NewSeller> {
    let persons = events.filter_map(|event| match event {
        Event::Person(person) => Some((person.id, person.name.clone())),
        _ => None,
    });
    let auctions = events.filter_map(|event| match event {
        Event::Auction(auction) => Some((auction.seller, auction.reserve)),
        _ => None,
    });
    persons
        .name("persons")
        .join(&auctions.name("auctions"))
        .where_(|person| person.0)
        .equal_to(|auction| auction.0)
        .window(TumblingEventTimeWindows::of(SIZE))
        .apply(|person, auction| (person.0, person.1.clone(), auction.1))
        .name("join")
}
