//! Reads splits of the `datagen` source.

use std::time::Instant;

use async_trait::async_trait;
use millrace_wire::BatchBuilder;

use super::rate::Limiter;
use super::{Row, Split, bad_split};
use crate::{ConnectorError, PollStatus, Polled, SourceReader};

/// Makes rows.
pub struct DatagenReader {
    row: Row,
    buffer: Vec<u8>,
    current: Option<OpenSplit>,
}

/// The split that was read last.
struct OpenSplit {
    id: Vec<u8>,
    split: Split,
    limiter: Option<(Instant, Limiter)>,
}

impl OpenSplit {
    fn open(id: &[u8]) -> Result<Self, ConnectorError> {
        let split: Split = postcard::from_bytes(id).map_err(|_| bad_split())?;
        let limiter = split.rate.map(|rate| (Instant::now(), Limiter::new(rate)));
        Ok(Self { id: id.to_vec(), split, limiter })
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
        Self { row, buffer: Vec::new(), current: None }
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
        let current = match self.current.take() {
            Some(current) if current.id == split => current,
            _ => OpenSplit::open(split)?,
        };
        let current = self.current.insert(current);
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
        Ok(Polled { offset: end.to_le_bytes().to_vec(), status: current.status(end, made < allowed) })
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
