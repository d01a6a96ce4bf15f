//! The generator of events.
//!
//! Invariant: an event is a pure function of its index. Of fifty events one is a person, three are auctions, the rest
//! bids; what they refer to was opened shortly before, and one in a hundred auctions and persons is popular.

use std::cell::OnceCell;

use millrace::Text;

use crate::events::{Auction, Bid, Event, Person};
use crate::source::Generate;

/// The event time of the first event, in milliseconds since 1970.
const BEGAN_MS: u64 = 1_436_918_400_000;
/// Events in a second of event time, unless stated.
pub const EVENTS_PER_SECOND: u64 = 100_000;
/// The least id of persons and auctions.
const FIRST_ID: u64 = 1_000;
/// Of so many events, one is a person and three are auctions.
const EPOCH_EVENTS: u64 = 50;
/// One person and one auction in so many are popular.
const POPULAR_ONE_IN: u64 = 100;
/// The persons who are active.
const PERSONS_ACTIVE_MAX: u64 = 1_000;
/// The auctions that get bids.
const AUCTIONS_OPEN_MAX: u64 = 100;

/// splitmix64.
#[inline]
pub fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// A number from 0 up to 1, of the upper bits of a hash.
pub fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 * (-53f64).exp2()
}

/// The texts and prices that events are made of.
struct Pools {
    extra: Vec<Text>,
    small: Vec<Text>,
    url: Vec<Text>,
    price: Vec<i64>,
}

fn text(seed: u64, length: usize) -> String {
    let mut hash = seed;
    let mut letter = || {
        hash = mix(hash);
        char::from(b'a' + (hash >> 33).rem_euclid(26) as u8)
    };
    (0..length).map(|_| letter()).collect()
}

fn url(index: u64) -> String {
    format!("https://www.nexmark.com/item.htm?query=1&channel_id={}", mix(index) & 0xFF_FFFF)
}

fn price(index: u64) -> i64 {
    (10f64.powf(6.0 * unit(mix(3 * index + 1))) * 100.0).round() as i64
}

impl Pools {
    fn new() -> Self {
        Self {
            extra: (0..1024).map(|i| text(i, 32).into()).collect(),
            small: (0..1024).map(|i| text(i + 7777, 12).into()).collect(),
            url: (0..1024).map(|i| url(i).into()).collect(),
            price: (0..4096).map(price).collect(),
        }
    }

    #[inline]
    fn extra(&self, hash: u64) -> Text {
        self.extra[(hash & 1023) as usize].clone()
    }

    #[inline]
    fn small(&self, hash: u64) -> Text {
        self.small[(hash & 1023) as usize].clone()
    }

    #[inline]
    fn url(&self, hash: u64) -> Text {
        self.url[(hash & 1023) as usize].clone()
    }

    #[inline]
    fn price(&self, hash: u64) -> i64 {
        self.price[(hash & 4095) as usize]
    }
}

/// A number divided by a constant. Wasm has no instruction for the upper half of a product, so that only divisions of 32
/// bits become multiplications.
#[inline]
fn quotient<const BY: u64>(number: u64) -> u64 {
    match u32::try_from(number) {
        Ok(number) => u64::from(number / BY as u32),
        Err(_) => number / BY,
    }
}

/// The last auction before an event, from its epoch and its place in it.
fn last_auction(epoch: u64, place: u64) -> u64 {
    if place < 4 { epoch * 3 + (place - 1) } else { epoch * 3 + 2 }
}

fn next_auction(last: u64, random: u64) -> u64 {
    let least = last.saturating_sub(AUCTIONS_OPEN_MAX);
    least + (random >> 1) % (last - least + 11)
}

fn next_person(last: u64, random: u64) -> u64 {
    let active = (last + 1).min(PERSONS_ACTIVE_MAX);
    last + 1 - active + (random >> 1) % (active + 10)
}

fn popular(last: u64) -> u64 {
    quotient::<POPULAR_ONE_IN>(last) * POPULAR_ONE_IN
}

/// Generates events.
pub struct Generator {
    /// Made where events are made, and not where the graph is built.
    pools: OnceCell<Pools>,
    events_per_second: u64,
}

impl Default for Generator {
    fn default() -> Self {
        Self::with_density(EVENTS_PER_SECOND)
    }
}

impl Generator {
    /// So many events in a second of event time; 0 counts as 1.
    pub fn with_density(events_per_second: u64) -> Self {
        Self { pools: OnceCell::new(), events_per_second: events_per_second.max(1) }
    }

    /// The event time of an index, in milliseconds since 1970.
    #[inline]
    fn time(&self, index: u64) -> i64 {
        let since_ms = match self.events_per_second {
            EVENTS_PER_SECOND => quotient::<{ EVENTS_PER_SECOND / 1000 }>(index),
            other => index * 1000 / other,
        };
        (BEGAN_MS + since_ms) as i64
    }

    /// The event of an index.
    #[inline]
    pub fn event(&self, index: u64) -> Event {
        let pools = self.pools.get_or_init(Pools::new);
        let epoch = quotient::<EPOCH_EVENTS>(index);
        let place = index - epoch * EPOCH_EVENTS;
        let time = self.time(index);
        let h1 = mix(index);
        let h2 = mix(h1);
        let hashes = [h1, h2, mix(h2)];
        match place {
            0 => Event::Person(Box::new(person(pools, epoch, time, hashes))),
            1..4 => Event::Auction(Box::new(auction(pools, epoch, place, time, hashes))),
            _ => Event::Bid(bid(pools, epoch, place, time, hashes)),
        }
    }
}

#[cold]
fn person(pools: &Pools, epoch: u64, time: i64, [h1, h2, h3]: [u64; 3]) -> Person {
    Person {
        id: (FIRST_ID + epoch) as i64,
        name: pools.small(h1),
        email: pools.small(h2),
        credit_card: pools.small(h3),
        city: pools.small(h1 >> 20 & 31),
        state: pools.small(h1 >> 30 & 7),
        time,
        extra: pools.extra(h2 >> 20),
    }
}

#[cold]
fn auction(pools: &Pools, epoch: u64, place: u64, time: i64, [h1, h2, h3]: [u64; 3]) -> Auction {
    let initial_bid = pools.price(h3);
    let seller = if h2 >> 32 & 3 != 0 { popular(epoch) } else { next_person(epoch, h3) };
    Auction {
        id: (FIRST_ID + last_auction(epoch, place)) as i64,
        item: pools.small(h1),
        description: pools.extra(h2),
        initial_bid,
        reserve: initial_bid + pools.price(h3 >> 16),
        time,
        expires: time + 1 + (h1 >> 30 & 1023) as i64,
        seller: (FIRST_ID + seller) as i64,
        category: 10 + ((h2 >> 40) % 5) as i64,
        extra: pools.extra(h2 >> 16),
    }
}

#[inline]
fn bid(pools: &Pools, epoch: u64, place: u64, time: i64, [h1, h2, h3]: [u64; 3]) -> Bid {
    let last = last_auction(epoch, place);
    let auction = if h1 & 1 != 0 { popular(last) } else { next_auction(last, h2) };
    let bidder = if h1 >> 1 & 3 != 0 { popular(epoch) + 1 } else { next_person(epoch, h3) };
    Bid {
        auction: (FIRST_ID + auction) as i64,
        bidder: (FIRST_ID + bidder) as i64,
        price: pools.price(h1 >> 8),
        channel: pools.small(h1 >> 20 & 3),
        url: pools.url(h1 >> 24),
        time,
        extra: pools.extra(h1 >> 40),
    }
}

impl Generate for Generator {
    type Record = Event;

    #[inline]
    fn record(&self, index: u64) -> (Event, usize) {
        let event = self.event(index);
        let bytes = match &event {
            Event::Bid(bid) => bid.channel.len() + bid.url.len() + bid.extra.len(),
            Event::Auction(_) | Event::Person(_) => 0,
        };
        (event, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_is_splitmix64() {
        // The first outputs of the reference implementation with the seed 1234567.
        let seed = 1_234_567u64;
        let step = 0x9E37_79B9_7F4A_7C15u64;
        let outputs: Vec<u64> = (0..3).map(|n| mix(seed.wrapping_add(step.wrapping_mul(n)))).collect();
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn of_fifty_events_one_is_a_person_and_three_are_auctions() {
        let generator = Generator::default();
        for epoch in [0, 1, 7_000] {
            let events: Vec<Event> = (0..50).map(|place| generator.event(epoch * 50 + place)).collect();
            let Event::Person(person) = &events[0] else { panic!("{:?}", events[0]) };
            assert_eq!(person.id, 1000 + epoch as i64);
            for (place, event) in events.iter().enumerate().skip(1) {
                match event {
                    Event::Auction(auction) => {
                        assert!(place < 4 && auction.reserve > auction.initial_bid && auction.expires > auction.time);
                        assert_eq!(auction.id, 1000 + epoch as i64 * 3 + place as i64 - 1);
                    }
                    Event::Bid(bid) => {
                        assert!(place >= 4 && bid.auction >= 1000 && bid.auction <= 1000 + epoch as i64 * 3 + 12);
                        assert!((100..=100_000_000).contains(&bid.price), "{}", bid.price);
                        assert_eq!((bid.channel.len(), bid.extra.len()), (12, 32));
                        assert!(bid.url.starts_with("https://www.nexmark.com/item.htm?query=1&channel_id="));
                    }
                    Event::Person(_) => panic!("a second person at {place}"),
                }
            }
        }
    }

    #[test]
    fn event_time_advances_by_a_second_in_a_hundred_thousand_events() {
        let generator = Generator::default();
        assert_eq!(generator.event(0).time(), 1_436_918_400_000);
        assert_eq!(generator.event(250_000).time(), 1_436_918_402_500);
        assert_eq!(Generator::with_density(300).event(100).time(), 1_436_918_400_333);
    }
}
