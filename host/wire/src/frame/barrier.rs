//! The body of a barrier's frame.

use bytes::{Buf, BufMut};
use millrace_types::{Alignment, Barrier, CheckpointId, SAVEPOINT_FOLDER_BYTES_MAX, SnapshotKind, Timestamp};

use crate::frame::{FrameError, FrameKind};
use crate::text::bounded_text;

/// The length of a barrier without a folder, in bytes.
pub(crate) const FIXED_BYTES: u32 = 28;

/// The longest body of a barrier, in bytes.
pub const BARRIER_FRAME_BYTES_MAX: u32 = FIXED_BYTES + SAVEPOINT_FOLDER_BYTES_MAX as u32;

/// The folder as it is written. Whoever makes a barrier has checked its length; it is cut here so that a frame is one
/// whatever happens.
fn folder(barrier: &Barrier) -> &str {
    bounded_text(barrier.folder.as_deref().unwrap_or_default(), SAVEPOINT_FOLDER_BYTES_MAX)
}

pub(crate) fn byte_len(barrier: &Barrier) -> u32 {
    FIXED_BYTES + folder(barrier).len() as u32
}

pub(crate) fn put(barrier: &Barrier, overtaking: bool, out: &mut impl BufMut) {
    let (alignment, timeout_ms) = match barrier.alignment {
        Alignment::None => (0, 0),
        Alignment::Aligned => (1, 0),
        Alignment::Unaligned { timeout_ms } => (2, timeout_ms),
    };
    out.put_u64_le(barrier.checkpoint.0);
    out.put_u64_le(barrier.triggered_at.0);
    out.put_u64_le(timeout_ms);
    out.put_u8(match barrier.kind {
        SnapshotKind::Checkpoint => 0,
        SnapshotKind::Savepoint { stop: false } => 1,
        SnapshotKind::Savepoint { stop: true } if barrier.drain => 4,
        SnapshotKind::Savepoint { stop: true } => 2,
        SnapshotKind::Upgrade => 3,
    });
    out.put_u8(alignment);
    out.put_u8(u8::from(overtaking));
    out.put_u8(u8::from(barrier.folder.is_some()));
    out.put_slice(folder(barrier).as_bytes());
}

/// The barrier, and whether it has overtaken.
pub(crate) fn get(body: &[u8]) -> Result<(Barrier, bool), FrameError> {
    let kind = FrameKind::Barrier;
    let wrong = FrameError::Value { kind };
    let Some((fixed, folder)) = body.split_at_checked(FIXED_BYTES as usize) else {
        return Err(FrameError::Length { kind, len: body.len() as u32 });
    };
    let mut numbers = fixed;
    let mut number = || numbers.try_get_u64_le().map_err(|_| wrong);
    let (checkpoint, triggered_at, timeout_ms) = (CheckpointId(number()?), Timestamp(number()?), number()?);
    let flag = |at: usize| match fixed[at] {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(wrong),
    };
    let (kind, drain) = match fixed[24] {
        0 => (SnapshotKind::Checkpoint, false),
        1 => (SnapshotKind::Savepoint { stop: false }, false),
        2 => (SnapshotKind::Savepoint { stop: true }, false),
        3 => (SnapshotKind::Upgrade, false),
        4 => (SnapshotKind::Savepoint { stop: true }, true),
        _ => return Err(wrong),
    };
    let alignment = match (fixed[25], timeout_ms) {
        (0, 0) => Alignment::None,
        (1, 0) => Alignment::Aligned,
        (2, timeout_ms) => Alignment::Unaligned { timeout_ms },
        _ => return Err(wrong),
    };
    let (overtaking, has_folder) = (flag(26)?, flag(27)?);
    let folder = match (std::str::from_utf8(folder).map_err(|_| FrameError::Text)?, has_folder) {
        (folder, true) => Some(folder.into()),
        ("", false) => None,
        _ => return Err(wrong),
    };
    Ok((Barrier { checkpoint, triggered_at, kind, drain, alignment, folder }, overtaking))
}
