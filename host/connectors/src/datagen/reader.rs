//! Reads splits of the `datagen` source.

use std::collections::BTreeMap;

use async_trait::async_trait;
use millrace_wire::BatchBuilder;
use tokio::time::Instant;

use super::rate::Limiter;
use super::{Row, Split, bad_split};
use crate::{ConnectorError, PollStatus, Polled, SourceReader};

/// Makes rows.
pub struct DatagenReader {
    row: Row,
    buffer: Vec<u8>,
    /// The splits that are not read to their end, by their bytes: at most as many as the source has. All of them, since
    /// those of a rate are read in turns, and each gets its rows by the time that passed since its own last turn.
    open: BTreeMap<Vec<u8>, OpenSplit>,
}

/// A split that was read before. One that is gone on from begins with nothing owed: the time that the job was down is
/// not made up for.
struct OpenSplit {
    split: Split,
    limiter: Option<(Instant, Limiter)>,
}

impl OpenSplit {
    fn open(id: &[u8]) -> Result<Self, ConnectorError> {
        let split: Split = postcard::from_bytes(id).map_err(|_| bad_split())?;
        let limiter = split.rate.map(|rate| (Instant::now(), Limiter::new(rate)));
        Ok(Self { split, limiter })
    }

    /// How many rows may be made now, behind those that were made.
    fn allowed(&mut self, made: u64) -> u64 {
        let rest = self.split.rows.map_or(u64::MAX, |rows| rows.saturating_sub(made));
        match &mut self.limiter {
            None => rest,
            Some((begin, limiter)) => {
                let now_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
                rest.min(limiter.allowed(now_ms))
            }
        }
    }

    fn made(&mut self, rows: u64) {
        if let Some((_, limiter)) = &mut self.limiter {
            limiter.made(rows);
        }
    }

    /// What to do when so many rows were made in all.
    fn status(&self, made: u64, full: bool) -> PollStatus {
        if self.split.rows.is_some_and(|rows| made >= rows) {
            return PollStatus::Finished;
        }
        match &self.limiter {
            Some((_, limiter)) if !full => PollStatus::Idle { wait_ms: limiter.wait_ms() },
            _ => PollStatus::More,
        }
    }
}

impl DatagenReader {
    pub(super) fn new(row: Row) -> Self {
        Self { row, buffer: Vec::new(), open: BTreeMap::new() }
    }
}

#[async_trait]
impl SourceReader for DatagenReader {
    async fn poll(
        &mut self,
        split: &[u8],
        offset: &[u8],
        out: &mut BatchBuilder,
        max_bytes: usize,
    ) -> Result<Polled, ConnectorError> {
        // The offset is the number of rows made so far.
        let begin = match offset {
            [] => 0,
            bytes => u64::from_le_bytes(bytes.try_into().map_err(|_| bad_split())?),
        };
        if !self.open.contains_key(split) {
            self.open.insert(split.to_vec(), OpenSplit::open(split)?);
        }
        let current = self.open.get_mut(split).ok_or_else(bad_split)?;
        let target = out.byte_len().saturating_add(max_bytes.max(1));
        let allowed = current.allowed(begin);
        let mut made = 0;
        while made < allowed && out.byte_len() < target {
            let ordinal = begin.wrapping_add(made);
            let index = current.split.first.wrapping_add(current.split.step.wrapping_mul(ordinal));
            self.row.write(index, &mut self.buffer);
            out.push(None, None, &self.buffer);
            made += 1;
        }
        current.made(made);
        let end = begin.saturating_add(made);
        let status = current.status(end, made < allowed);
        if status == PollStatus::Finished {
            self.open.remove(split);
        }
        Ok(Polled { offset: end.to_le_bytes().to_vec(), status })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use millrace_wire::BatchFlags;
    use proptest::prelude::*;

    use super::super::Datagen;
    use super::*;

    /// All rows of a split, by a new reader for each poll if asked for.
    async fn read(plan: &Datagen, split: &[u8], max_bytes: usize, reopen: bool) -> Vec<String> {
        let mut reader = plan.clone().reader();
        let (mut rows, mut offset) = (Vec::new(), Vec::new());
        loop {
            let mut out = BatchBuilder::new(BatchFlags::default());
            let polled = reader.poll(split, &offset, &mut out, max_bytes).await.unwrap();
            rows.extend(out.finish_view().rows().map(|row| String::from_utf8(row.payload.to_vec()).unwrap()));
            offset = polled.offset;
            if polled.status == PollStatus::Finished {
                return rows;
            }
            assert_eq!(polled.status, PollStatus::More);
            if reopen {
                reader = plan.clone().reader();
            }
        }
    }

    proptest! {
        #[test]
        fn splits_partition_the_sequence(rows in 0u64..500, parallelism in 1u32..9, max_bytes in 1usize..300, reopen: bool) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let plan = Datagen::parse(&format!(r#"{{"rows": {rows}}}"#)).unwrap();
            let mut found = Vec::new();
            for split in plan.enumerate(parallelism).unwrap() {
                found.extend(runtime.block_on(read(&plan, &split, max_bytes, reopen)));
            }
            prop_assert_eq!(found, (0..rows).map(|index| index.to_string()).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn unbounded_splits_interleave_and_never_finish() {
        let plan = Datagen::parse("").unwrap();
        let splits = plan.enumerate(3).unwrap();
        assert_eq!(splits.len(), 3);
        let mut out = BatchBuilder::new(BatchFlags::default());
        let polled = plan.reader().poll(&splits[1], &u64::to_le_bytes(4), &mut out, 1).await.unwrap();
        assert_eq!((out.finish_view().row(0).payload, polled.status), (&b"13"[..], PollStatus::More));
    }

    #[tokio::test]
    async fn random_rows_depend_on_seed_and_index_alone() {
        let plan = |seed| Datagen::parse(&format!(r#"{{"rows": 50, "kind": "random", "seed": {seed}, "length": 21}}"#));
        let mut all = BTreeSet::new();
        for seed in [1, 2] {
            let plan = plan(seed).unwrap();
            let whole = read(&plan, &plan.enumerate(1).unwrap()[0], 100, true).await;
            let mut parts = Vec::new();
            for split in plan.enumerate(4).unwrap() {
                parts.extend(read(&plan, &split, 1 << 20, false).await);
            }
            assert_eq!(whole, parts);
            assert!(whole.iter().all(|row| row.len() == 21 && row.bytes().all(|byte| byte.is_ascii_hexdigit())));
            all.extend(whole);
        }
        assert_eq!(all.len(), 100);
    }

    #[tokio::test]
    async fn a_rate_says_when_to_come_back() {
        let plan = Datagen::parse(r#"{"rows": 10, "rows-per-second": 1}"#).unwrap();
        let split = &plan.enumerate(2).unwrap()[0];
        let mut out = BatchBuilder::new(BatchFlags::default());
        let polled = plan.reader().poll(split, &[], &mut out, 1 << 16).await.unwrap();
        assert!(matches!(polled.status, PollStatus::Idle { wait_ms: 1_000..=2_000 }), "{polled:?}");
        assert_eq!((out.rows(), polled.offset), (0, 0u64.to_le_bytes().to_vec()));
    }

    /// How many rows one poll made, and where to go on.
    async fn poll(reader: &mut DatagenReader, split: &[u8], offset: &[u8]) -> (usize, Vec<u8>) {
        let mut out = BatchBuilder::new(BatchFlags::default());
        let polled = reader.poll(split, offset, &mut out, 1 << 16).await.unwrap();
        (out.rows(), polled.offset)
    }

    #[tokio::test(start_paused = true)]
    async fn splits_of_a_rate_that_one_reader_reads_in_turns_all_get_their_rows() {
        let plan = Datagen::parse(r#"{"rows-per-second": 2000}"#).unwrap();
        let splits = plan.enumerate(2).unwrap();
        let mut reader = plan.reader();
        let mut made = [0, 0];
        let mut offsets = [Vec::new(), Vec::new()];
        for _ in 0..100 {
            for at in 0..2 {
                let (rows, offset) = poll(&mut reader, &splits[at], &offsets[at]).await;
                made[at] += rows;
                offsets[at] = offset;
            }
            tokio::time::advance(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(made, [990, 990]);
        assert_eq!(offsets[1], u64::to_le_bytes(990));
    }

    #[tokio::test(start_paused = true)]
    async fn a_split_that_is_gone_on_from_makes_up_for_nothing() {
        let plan = Datagen::parse(r#"{"rows-per-second": 1000}"#).unwrap();
        let split = &plan.enumerate(1).unwrap()[0];
        let mut reader = plan.clone().reader();
        poll(&mut reader, split, &[]).await;
        tokio::time::advance(std::time::Duration::from_millis(300)).await;
        let (rows, offset) = poll(&mut reader, split, &[]).await;
        assert_eq!(rows, 300);
        // The job was down for an hour.
        tokio::time::advance(std::time::Duration::from_secs(3600)).await;
        let mut restored = plan.reader();
        let (rows, offset) = poll(&mut restored, split, &offset).await;
        assert_eq!((rows, &offset), (0, &u64::to_le_bytes(300).to_vec()));
        tokio::time::advance(std::time::Duration::from_millis(5)).await;
        let mut out = BatchBuilder::new(BatchFlags::default());
        restored.poll(split, &offset, &mut out, 1 << 16).await.unwrap();
        let rows: Vec<_> = out.finish_view().rows().map(|row| row.payload.to_vec()).collect();
        assert_eq!(rows, ["300", "301", "302", "303", "304"].map(|row| row.as_bytes().to_vec()));
    }

    #[test]
    fn wrong_options_are_named() {
        for (options, named) in [
            (r#"{"rows": -1}"#, "option \"rows\""),
            (r#"{"rows-per-second": 0}"#, "\"rows-per-second\""),
            (r#"{"row": 1}"#, "unknown field `row`"),
            (r#"{"length": 3}"#, "\"length\": it needs \"kind\": \"random\""),
            (r#"{"kind": "random", "length": 2000000}"#, "\"length\""),
        ] {
            let error = Datagen::parse(options).unwrap_err().to_string();
            assert!(error.contains(named), "{options}: {error}");
        }
    }
}
