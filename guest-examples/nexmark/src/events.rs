//! The events of an auction house. Texts are shared with the pools that they come from, as references to strings are
//! elsewhere, and what is rare and large stands apart: an event is moved more often than it is looked at.

use millrace::prelude::*;

/// A person who sells or bids.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Person {
    pub id: i64,
    pub name: Text,
    pub email: Text,
    pub credit_card: Text,
    pub city: Text,
    pub state: Text,
    /// Event time, in milliseconds since 1970.
    pub time: i64,
    pub extra: Text,
}

/// An auction that was opened.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Auction {
    pub id: i64,
    pub item: Text,
    pub description: Text,
    /// In cents, as all prices.
    pub initial_bid: i64,
    pub reserve: i64,
    /// Event time, in milliseconds since 1970.
    pub time: i64,
    /// When it ends, in milliseconds since 1970.
    pub expires: i64,
    pub seller: i64,
    pub category: i64,
    pub extra: Text,
}

/// A bid in an auction.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Bid {
    pub auction: i64,
    pub bidder: i64,
    /// In cents.
    pub price: i64,
    pub channel: Text,
    pub url: Text,
    /// Event time, in milliseconds since 1970.
    pub time: i64,
    pub extra: Text,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Data)]
pub enum Event {
    Person(Box<Person>),
    Auction(Box<Auction>),
    Bid(Bid),
}

impl Event {
    /// Event time, in milliseconds since 1970.
    pub fn time(&self) -> i64 {
        match self {
            Self::Person(person) => person.time,
            Self::Auction(auction) => auction.time,
            Self::Bid(bid) => bid.time,
        }
    }
}

/// The columns of a bid.
type BidRow = (i64, i64, i64, Text, Text, i64, Text);

impl Bid {
    /// The bid as a row.
    pub fn row(&self) -> BidRow {
        let (channel, url, extra) = (self.channel.clone(), self.url.clone(), self.extra.clone());
        (self.auction, self.bidder, self.price, channel, url, self.time, extra)
    }
}
