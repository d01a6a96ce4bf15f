//! The targets of the fuzzers, fed with samples that were damaged at random: seeded, and replayed by the seed.

use anyhow::Result;
use bytes::BytesMut;
use millrace_tests::fuzz_targets::TARGETS;
use millrace_tests::repository;
use millrace_wire::{BatchBuilder, BatchFlags, Frame};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Damaged samples per target.
const ROUNDS: usize = 3_000;

/// Something of each kind that is as it should be.
fn samples() -> Result<Vec<Vec<u8>>> {
    let mut batch = BatchBuilder::new(BatchFlags { timestamped: true, keyed: true });
    for n in 0..20u8 {
        batch.push(Some(i64::from(n)), Some(&[n]), &[n; 9]);
    }
    let batch = batch.finish_view();
    let mut frames = BytesMut::new();
    Frame::Batch { handle: 3, exclusive: false, batch: batch.as_bytes().clone() }.encode(&mut frames);
    let manifest = std::fs::read(repository::root().join("guest-examples/wordcount-js/millrace.toml"))?;
    Ok(vec![batch.as_bytes().to_vec(), frames.to_vec(), std::fs::read(repository::bundle("faulty")?)?, manifest])
}

fn damage(rng: &mut StdRng, sample: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..bytes.len().max(1));
        match rng.random_range(0..4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), rng.random()),
            2 if at < bytes.len() => bytes[at] = rng.random(),
            3 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            _ => {}
        }
    }
    bytes
}

#[test]
fn damaged_samples_are_refused_or_mean_what_they_say() -> Result<()> {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for (sample, (_, target)) in samples()?.iter().zip(TARGETS) {
        target(sample);
        for _ in 0..ROUNDS {
            target(&damage(&mut rng, sample));
        }
    }
    Ok(())
}
