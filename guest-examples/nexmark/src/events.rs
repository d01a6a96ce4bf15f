//! The events of an auction house.

use millrace::prelude::*;

/// A person who sells or bids.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Person {
    pub id: i64,
    pub name: String,
    pub email: String,
    pub credit_card: String,
    pub city: String,
    pub state: String,
    /// Event time, in milliseconds since 1970.
    pub time: i64,
    pub extra: String,
}

/// An auction that was opened.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Auction {
    pub id: i64,
    pub item: String,
    pub description: String,
    /// In cents, as all prices.
    pub initial_bid: i64,
    pub reserve: i64,
    /// Event time, in milliseconds since 1970.
    pub time: i64,
    /// When it ends, in milliseconds since 1970.
    pub expires: i64,
    pub seller: i64,
    pub category: i64,
    pub extra: String,
}

/// A bid in an auction.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Bid {
    pub auction: i64,
    pub bidder: i64,
    /// In cents.
    pub price: i64,
    pub channel: String,
    pub url: String,
    /// Event time, in milliseconds since 1970.
    pub time: i64,
    pub extra: String,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Data)]
pub enum Event {
    Person(Person),
    Auction(Auction),
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
type BidRow = (i64, i64, i64, String, String, i64, String);

impl Bid {
    /// The bid as a row.
    pub fn row(&self) -> BidRow {
        let (channel, url, extra) = (self.channel.clone(), self.url.clone(), self.extra.clone());
        (self.auction, self.bidder, self.price, channel, url, self.time, extra)
    }
}
