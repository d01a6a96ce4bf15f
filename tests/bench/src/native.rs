//! The same work natively: one thread and plain loops, with the generator, the functions and the row codec that the guest
//! has, and the same batches written and read wherever the guest's records cross a boundary.

mod windows;

use std::collections::HashMap;
use std::hint::black_box;

use anyhow::{Result, bail};
use millrace::batch::{BatchReader, BatchWriter, NO_TIMESTAMP};
use millrace::{Data, Text};
use nexmark::events::{Bid, Event};
use nexmark::generator::Generator;
use nexmark::sentences::Sentences;
use nexmark::{numbers, queries};

/// What a batch aims at, as in a cluster.
const BATCH_BYTES: usize = 64 * 1024;

/// Runs a query over so many records.
pub fn run(query: &str, records: u64) -> Result<()> {
    match query {
        "q0" => {
            let mut sink = Port::plain();
            bids(records, |bid, at| sink.write(&bid, at, drop_batch))?;
            sink.flush(drop_batch)
        }
        "q0x" => {
            let (mut exchange, mut sink) = (Port::plain(), Port::plain());
            let mut receive = |batch: &[u8]| -> Result<()> {
                for row in BatchReader::new(batch)?.rows() {
                    sink.write(&Bid::from_bytes(row.payload)?, row.timestamp, drop_batch)?;
                }
                Ok(())
            };
            bids(records, |bid, at| exchange.write(&bid, at, &mut receive))?;
            exchange.flush(&mut receive)?;
            sink.flush(drop_batch)
        }
        "q1" => {
            let mut sink = Port::plain();
            bids(records, |bid, at| sink.write(&queries::in_euros(bid), at, drop_batch))?;
            sink.flush(drop_batch)
        }
        "q2" => {
            let mut sink = Port::plain();
            bids(records, |bid, at| match queries::is_watched(&bid) {
                true => sink.write(&(bid.auction, bid.price), at, drop_batch),
                false => Ok(()),
            })?;
            sink.flush(drop_batch)
        }
        "wc" => word_count(records),
        "q5" => windows::hot_auctions(records),
        "q7" => windows::highest_bids(records),
        "q8" => windows::new_sellers(records),
        "chain" => {
            let mut sink = Port::plain();
            for number in 0..records as i64 {
                let number = numbers::third(numbers::second(numbers::first(black_box(number))));
                if numbers::passes(&number) {
                    sink.write(&number, NO_TIMESTAMP, drop_batch)?;
                }
            }
            sink.flush(drop_batch)
        }
        other => bail!("there is no native loop for {other}"),
    }
}

fn bids(records: u64, mut take: impl FnMut(Bid, i64) -> Result<()>) -> Result<()> {
    let generator = Generator::default();
    for index in 0..records {
        let event = generator.event(index);
        let at = event.time();
        if let Event::Bid(bid) = event {
            take(bid, at)?;
        }
    }
    Ok(())
}

fn word_count(records: u64) -> Result<()> {
    let (mut exchange, mut sink) = (Port::keyed(), Port::plain());
    let mut counts: HashMap<Text, u64> = HashMap::new();
    let mut count = |batch: &[u8]| -> Result<()> {
        for row in BatchReader::new(batch)?.rows() {
            let word = Text::from_bytes(row.key)?;
            let seen = match counts.get_mut(&word) {
                Some(seen) => {
                    *seen += 1;
                    *seen
                }
                None => {
                    counts.insert(word.clone(), 1);
                    1
                }
            };
            sink.write(&(word, seen), row.timestamp, drop_batch)?;
        }
        Ok(())
    };
    let sentences = Sentences::default();
    for index in 0..records {
        let sentence = sentences.sentence(index).clone();
        for word in sentence.words() {
            exchange.write_key(&word, NO_TIMESTAMP, &mut count)?;
        }
    }
    exchange.flush(&mut count)?;
    sink.flush(drop_batch)
}

/// What a sink does that discards: the batch is checked.
fn drop_batch(batch: &[u8]) -> Result<()> {
    black_box(BatchReader::new(batch)?.len());
    Ok(())
}

/// A batch that is being written.
struct Port {
    writer: BatchWriter,
    keyed: bool,
}

impl Port {
    fn plain() -> Self {
        Self { writer: BatchWriter::new(false, false), keyed: false }
    }

    fn keyed() -> Self {
        Self { writer: BatchWriter::new(false, true), keyed: true }
    }

    /// Rows with and without timestamps do not share a batch.
    fn begin(&mut self, at: i64) {
        let timestamped = at != NO_TIMESTAMP;
        if self.writer.is_timestamped() != timestamped {
            self.writer.reset(timestamped, self.keyed);
        }
        self.writer.begin_row(at);
    }

    fn write<T: Data>(&mut self, value: &T, at: i64, full: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.begin(at);
        value.encode(self.writer.payload());
        self.end(full)
    }

    /// Writes a row that is its own key.
    fn write_key<K: Data>(&mut self, key: &K, at: i64, full: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.begin(at);
        self.writer.key(|out| key.encode(out));
        self.end(full)
    }

    /// Writes a row that has a key.
    fn write_keyed<K: Data, T: Data>(
        &mut self,
        key: &K,
        value: &T,
        at: i64,
        full: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.begin(at);
        self.writer.key(|out| key.encode(out));
        value.encode(self.writer.payload());
        self.end(full)
    }

    fn end(&mut self, full: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.writer.end_row();
        if self.writer.size_bytes() >= BATCH_BYTES { self.flush(full) } else { Ok(()) }
    }

    fn flush(&mut self, mut full: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let outcome = full(self.writer.finish());
        self.writer.clear();
        outcome
    }
}
