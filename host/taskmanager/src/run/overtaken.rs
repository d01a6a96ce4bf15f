//! Records that the barrier of an unaligned checkpoint overtook: processed before all others when it is restored.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use millrace_protocol::{Rerouting, TaskDeployment, TaskRestore};
use millrace_types::{Failure, FailureKind, KeyGroupRange, key_group_for_key};
use millrace_wire::{BatchBuilder, BatchView};

use crate::run::chain::Chain;
use crate::run::restore;
use crate::run::shared::TaskError;

/// The batches as a snapshot has them: each behind its length.
pub(crate) fn encode(batches: &[Bytes]) -> Bytes {
    let mut out = BytesMut::with_capacity(batches.iter().map(|batch| 4 + batch.len()).sum());
    for batch in batches {
        // No frame, and so no batch, has 4 GiB.
        out.put_u32_le(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        out.put_slice(batch);
    }
    out.freeze()
}

fn decode(mut bytes: Bytes) -> Result<Vec<BatchView>, String> {
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let length = bytes.try_get_u32_le().map_err(|error| error.to_string())? as usize;
        if length > bytes.len() {
            return Err(format!("a batch of {length} bytes is cut off"));
        }
        batches.push(BatchView::parse(bytes.split_to(length)).map_err(|error| error.to_string())?);
    }
    Ok(batches)
}

/// The rows of a batch whose keys are of these key groups; none: there are no such rows.
fn of_key_groups(batch: &BatchView, range: KeyGroupRange, max_parallelism: u32) -> Option<BatchView> {
    let mut own = BatchBuilder::new(batch.flags());
    for row in batch {
        if range.contains(key_group_for_key(row.key.unwrap_or_default(), max_parallelism)) {
            own.push_encoded(row.bytes);
        }
    }
    (!own.is_empty()).then(|| own.finish_view())
}

/// Processes what a restored checkpoint has of such records.
pub(crate) async fn replay(restore: &TaskRestore, task: &TaskDeployment, chain: &mut Chain) -> Result<(), TaskError> {
    let vertex = &task.vertex;
    let range = KeyGroupRange::of_subtask(task.attempt.subtask, vertex.parallelism, vertex.max_parallelism);
    let folder = restore::folder(restore, task);
    for records in &restore.in_flight {
        let Some((node, _)) = vertex.nodes.iter().find(|(_, node)| node.uid == records.target_uid) else {
            let message = format!("the checkpoint has records for the operator \"{}\"", records.target_uid);
            return Err(Failure::new(FailureKind::Internal, message + ", which is not here").into());
        };
        let bytes = restore::read_blob(&folder, &records.batches).await?;
        let batches = decode(bytes).map_err(|reason| {
            let what = format!("records in flight to \"{}\" cannot be read: {reason}", records.target_uid);
            Failure::new(FailureKind::StateUnreadable, what)
        })?;
        for batch in batches {
            let own = match records.rerouting {
                Rerouting::ByKey => of_key_groups(&batch, range, vertex.max_parallelism),
                Rerouting::Any | Rerouting::All => Some(batch),
            };
            if let Some(own) = own {
                chain.room().await?;
                chain.process(*node, records.target_port, &own).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use millrace_wire::BatchFlags;

    fn keyed(keys: impl IntoIterator<Item = u32>) -> BatchView {
        let mut rows = BatchBuilder::new(BatchFlags { timestamped: true, keyed: true });
        keys.into_iter().for_each(|key| rows.push(Some(i64::from(key)), Some(&key.to_le_bytes()), b"row"));
        rows.finish_view()
    }

    #[test]
    fn batches_come_back_as_they_went_and_damage_is_seen() {
        let batches = [keyed(0..5), keyed(7..8)];
        let bytes = encode(&batches.clone().map(|batch| batch.as_bytes().clone()));
        assert_eq!(decode(bytes.clone()).unwrap(), batches);
        for cut in 1..bytes.len() {
            assert!(decode(bytes.slice(..cut)).map_or(true, |some| some.len() < 2), "cut to {cut}");
        }
    }

    #[test]
    fn the_subtasks_of_any_parallelism_share_the_rows() {
        let batch = keyed(0..1000);
        for parallelism in [1, 2, 3, 7] {
            let parts = (0..parallelism).map(|subtask| KeyGroupRange::of_subtask(subtask, parallelism, 128));
            let rows: usize = parts.filter_map(|range| of_key_groups(&batch, range, 128)).map(|own| own.len()).sum();
            assert_eq!(rows, 1000);
        }
    }
}
