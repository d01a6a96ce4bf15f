//! The queries with windows: maps by key and window, emptied when event time has passed a window's end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use millrace::batch::BatchReader;
use millrace::{Data, Text};
use nexmark::events::Event;
use nexmark::generator::Generator;

use super::{Port, bids, drop_batch};

const WINDOW_MS: i64 = 10_000;
const SLIDE_MS: i64 = 2_000;

/// q5: bids are counted by auction and pane of two seconds; five panes make a window.
pub fn hot_auctions(records: u64) -> Result<()> {
    let (mut exchange, mut sink) = (Port::keyed(), Port::plain());
    let mut panes: BTreeMap<i64, HashMap<i64, u64>> = BTreeMap::new();
    let mut hottest = |panes: &BTreeMap<i64, HashMap<i64, u64>>, last: i64| -> Result<()> {
        let mut counts: HashMap<i64, u64> = HashMap::new();
        for (auction, count) in panes.range(last - WINDOW_MS / SLIDE_MS + 1..=last).flat_map(|(_, pane)| pane) {
            *counts.entry(*auction).or_default() += count;
        }
        let hottest = counts.into_iter().max_by_key(|(auction, count)| (*count, Reverse(*auction)));
        let Some((auction, count)) = hottest else { return Ok(()) };
        let end = (last + 1) * SLIDE_MS;
        sink.write(&(end, auction, count), end - 1, drop_batch)
    };
    let mut count = |batch: &[u8]| -> Result<()> {
        for row in BatchReader::new(batch)?.rows() {
            let (auction, pane) = (i64::from_bytes(row.key)?, row.timestamp.div_euclid(SLIDE_MS));
            if let Some(newest) = panes.last_key_value().map(|(newest, _)| *newest)
                && newest < pane
            {
                hottest(&panes, newest)?;
                panes.retain(|older, _| *older > pane - WINDOW_MS / SLIDE_MS);
            }
            *panes.entry(pane).or_default().entry(auction).or_default() += 1;
        }
        Ok(())
    };
    bids(records, |bid, at| exchange.write_key(&bid.auction, at, &mut count))?;
    exchange.flush(&mut count)?;
    let newest = panes.last_key_value().map_or(0, |(newest, _)| *newest);
    for last in newest..newest + WINDOW_MS / SLIDE_MS {
        hottest(&panes, last)?;
    }
    sink.flush(drop_batch)
}

/// q7: the highest bid so far; nothing but each window's is sent.
pub fn highest_bids(records: u64) -> Result<()> {
    let mut sink = Port::plain();
    let mut highest: Option<(i64, (i64, i64, i64, i64))> = None;
    bids(records, |bid, at| {
        let (window, row) = (at.div_euclid(WINDOW_MS), (bid.auction, bid.price, bid.bidder, bid.time));
        match &mut highest {
            Some((known, best)) if *known == window => {
                if row.1 > best.1 {
                    *best = row;
                }
                Ok(())
            }
            _ => {
                let over = highest.replace((window, row));
                over.map_or(Ok(()), |(window, best)| sink.write(&best, (window + 1) * WINDOW_MS - 1, drop_batch))
            }
        }
    })?;
    if let Some((window, best)) = highest {
        sink.write(&best, (window + 1) * WINDOW_MS - 1, drop_batch)?;
    }
    sink.flush(drop_batch)
}

/// q8: persons and auctions of a window by person; joined at its end.
pub fn new_sellers(records: u64) -> Result<()> {
    let (mut persons, mut auctions, mut sink) = (Port::keyed(), Port::keyed(), Port::plain());
    let mut came: BTreeMap<i64, HashMap<i64, Text>> = BTreeMap::new();
    let mut opened: BTreeMap<i64, HashMap<i64, Vec<i64>>> = BTreeMap::new();
    let mut take_person = |batch: &[u8]| -> Result<()> {
        for row in BatchReader::new(batch)?.rows() {
            let (id, name) = <(i64, Text)>::from_bytes(row.payload)?;
            came.entry(row.timestamp.div_euclid(WINDOW_MS)).or_default().insert(id, name);
        }
        Ok(())
    };
    let mut take_auction = |batch: &[u8]| -> Result<()> {
        for row in BatchReader::new(batch)?.rows() {
            let (seller, reserve) = <(i64, i64)>::from_bytes(row.payload)?;
            let window = opened.entry(row.timestamp.div_euclid(WINDOW_MS)).or_default();
            window.entry(seller).or_default().push(reserve);
        }
        Ok(())
    };
    let generator = Generator::default();
    for index in 0..records {
        let event = generator.event(index);
        let at = event.time();
        match event {
            Event::Person(person) => {
                persons.write_keyed(&person.id, &(person.id, person.name.clone()), at, &mut take_person)?
            }
            Event::Auction(auction) => {
                let row = (auction.seller, auction.reserve);
                auctions.write_keyed(&auction.seller, &row, at, &mut take_auction)?;
            }
            Event::Bid(_) => {}
        }
    }
    persons.flush(&mut take_person)?;
    auctions.flush(&mut take_auction)?;
    // Windows are joined in one go: what a window holds is the same as if it had been joined at its end.
    for (window, reserves) in &opened {
        let Some(names) = came.get(window) else { continue };
        for (seller, reserves) in reserves {
            let Some(name) = names.get(seller) else { continue };
            for reserve in reserves {
                sink.write(&(*seller, name.clone(), *reserve), (window + 1) * WINDOW_MS - 1, drop_batch)?;
            }
        }
    }
    sink.flush(drop_batch)
}
