//! Several segments as one: the entries of all in order, each later one in place of earlier ones of its address.

use std::collections::BTreeMap;

use millrace_types::KeyGroupRange;

use crate::segment::{
    Cursor, Section, SegmentError, SegmentInput, SegmentSink, SegmentSource, SegmentState, SegmentSummary,
    SegmentWriter, Stamp, TIMERS,
};

/// The most segments that are read at once: each takes the memory of its index and one block.
pub const MERGE_SEGMENTS_MAX: usize = 64;

/// How segments are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeOptions {
    /// Entries of other key groups are left out.
    pub key_groups: KeyGroupRange,
    /// The operator's number of key groups.
    pub max_parallelism: u32,
    /// Entries that expire at this time or earlier are left out, in milliseconds since 1970; `None`: none.
    pub expired_at: Option<i64>,
    /// The result is a base: nothing lies before the first of these segments. Otherwise the result keeps deletes.
    pub base: bool,
}

/// One entry of a merge.
pub(crate) struct Merged<'a> {
    /// The position of the state in [`Merger::states`], or the timers.
    pub(crate) section: Section,
    pub(crate) key: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

struct Run<S> {
    cursor: Cursor<S>,
    /// The positions of the segment's states in those of the merge.
    states: Vec<u32>,
    section: Option<Section>,
}

impl<S: SegmentSource> Run<S> {
    fn advance(&mut self) -> Result<(), SegmentError> {
        self.cursor.advance()?;
        self.section = self.cursor.section().map(|(state, group)| {
            let state =
                if state == TIMERS { TIMERS } else { self.states.get(state as usize).copied().unwrap_or(TIMERS) };
            (state, group)
        });
        Ok(())
    }

    fn address(&self) -> Option<(Section, &[u8])> {
        Some((self.section?, self.cursor.key()?))
    }
}

/// Reads some segments at once.
pub(crate) struct Merger<S> {
    runs: Vec<Run<S>>,
    pub(crate) states: Vec<SegmentState>,
    /// The runs that stand at the least address.
    least: Vec<usize>,
}

impl<S: SegmentSource> Merger<S> {
    pub(crate) fn open(
        segments: Vec<SegmentInput<S>>,
        key_groups: KeyGroupRange,
        max_parallelism: u32,
    ) -> Result<Self, SegmentError> {
        let open = |segment| Cursor::open(segment, key_groups, max_parallelism);
        let cursors: Vec<_> = segments.into_iter().map(open).collect::<Result<_, _>>()?;
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        for state in cursors.iter().flat_map(Cursor::states) {
            names.insert(state.name.clone(), state.expires);
        }
        let states: Vec<_> = names.into_iter().map(|(name, expires)| SegmentState { name, expires }).collect();
        let mut runs = Vec::with_capacity(cursors.len());
        for cursor in cursors {
            let position = |state: &SegmentState| {
                states.binary_search_by(|other| other.name.cmp(&state.name)).map_or(TIMERS, |at| at as u32)
            };
            let positions = cursor.states().iter().map(position).collect();
            let mut run = Run { cursor, states: positions, section: None };
            run.advance()?;
            runs.push(run);
        }
        Ok(Self { runs, states, least: Vec::new() })
    }

    /// Hands over all entries in order.
    pub(crate) fn for_each<E: From<SegmentError>>(
        &mut self,
        mut visit: impl FnMut(Merged<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            self.least.clear();
            let mut found: Option<(Section, &[u8])> = None;
            for (at, run) in self.runs.iter().enumerate() {
                let Some(address) = run.address() else { continue };
                if found.is_none_or(|least| address < least) {
                    self.least.clear();
                    found = Some(address);
                }
                if found == Some(address) {
                    self.least.push(at);
                }
            }
            let Some((section, key)) = found else { return Ok(()) };
            // The last one is the latest.
            let latest = self.least.last().and_then(|at| self.runs.get(*at));
            visit(Merged { section, key, value: latest.and_then(|run| run.cursor.value()) })?;
            for at in &self.least {
                if let Some(run) = self.runs.get_mut(*at) {
                    run.advance()?;
                }
            }
        }
    }
}

/// Writes a segment that says what these say in order, the earliest first; at most [`MERGE_SEGMENTS_MAX`]. Takes
/// the memory of an index and a block for each.
pub fn merge<S: SegmentSource>(
    segments: Vec<SegmentInput<S>>,
    options: &MergeOptions,
    sink: &mut SegmentSink<'_>,
) -> Result<SegmentSummary, SegmentError> {
    let MergeOptions { key_groups, max_parallelism, expired_at, base } = options.clone();
    let mut merger = Merger::open(segments, key_groups, max_parallelism)?;
    let states = merger.states.clone();
    let expiring: Vec<bool> = states.iter().map(|state| state.expires).collect();
    let mut sink = |chunk| sink(chunk);
    let mut writer = SegmentWriter::new(Stamp { max_parallelism, base, states }, &mut sink);
    merger.for_each(|Merged { section, key, value }| {
        let expires = expiring.get(section.0 as usize).is_some_and(|expires| *expires);
        let expired = |value: &[u8]| {
            let time = value.first_chunk().map(|time| i64::from_le_bytes(*time));
            expires && time.zip(expired_at).is_some_and(|(time, now)| time <= now)
        };
        let value = value.filter(|value| !expired(value));
        if value.is_none() && base { Ok(()) } else { writer.push(section, key, value) }
    })?;
    writer.finish()
}
