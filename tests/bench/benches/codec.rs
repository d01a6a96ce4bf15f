//! The batch codec: as operators write and read it, and as the host checks it and spreads it by key.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace::Data;
use millrace::batch::{BatchReader, BatchWriter};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};
use nexmark::events::{Bid, Event};
use nexmark::generator::Generator;

/// What a batch aims at.
const BATCH_BYTES: usize = 64 * 1024;

fn bids() -> Vec<Bid> {
    let generator = Generator::default();
    let events = (0..400).map(|index| generator.event(index));
    events.filter_map(|event| if let Event::Bid(bid) = event { Some(bid) } else { None }).collect()
}

/// A batch of bids with their auctions as keys.
fn batch(bids: &[Bid]) -> Vec<u8> {
    let mut writer = BatchWriter::new(true, true);
    for bid in bids {
        writer.begin_row(bid.time);
        writer.key(|out| bid.auction.encode(out));
        bid.encode(writer.payload());
        writer.end_row();
    }
    writer.finish().to_vec()
}

fn codec(criterion: &mut Criterion) {
    let bids = bids();
    let encoded = batch(&bids);
    assert!(encoded.len() < BATCH_BYTES);
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(bids.len() as u64));
    group.bench_function("operators write bids", |bencher| bencher.iter(|| batch(&bids).len()));
    group.bench_function("operators read bids", |bencher| {
        bencher.iter(|| {
            let rows = BatchReader::new(&encoded).unwrap().rows();
            rows.map(|row| Bid::from_bytes(row.payload).unwrap().price).sum::<i64>()
        });
    });
    let shared = Bytes::from(encoded.clone());
    group.bench_function("the host checks a batch", |bencher| {
        bencher.iter(|| BatchView::parse(shared.clone()).unwrap().len());
    });
    let view = BatchView::parse(shared.clone()).unwrap();
    group.bench_function("the host copies rows", |bencher| {
        bencher.iter(|| {
            let mut builder = BatchBuilder::new(BatchFlags { timestamped: true, keyed: true });
            view.rows().for_each(|row| builder.push_encoded(row.bytes));
            builder.finish().len()
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
