//! The panes of a key.

use super::time::{Grid, TimeWindow};
use crate::data::{Data, DecodeError, Fingerprint, Reader};

/// A pane that has had records.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptPane<C> {
    pub start: i64,
    /// None only while it is being changed.
    pub kept: Option<C>,
}

/// The panes of a key, and how far its windows have fired.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panes<C> {
    /// By their starts, ascending.
    pub panes: Vec<KeptPane<C>>,
    /// The latest end of a window whose timer has fired.
    pub fired_end: i64,
}

impl<C> Default for Panes<C> {
    fn default() -> Self {
        Self { panes: Vec::new(), fired_end: i64::MIN }
    }
}

impl<C: Data> Panes<C> {
    /// The pane that begins at `start`, and whether it is new.
    #[inline]
    pub fn pane(&mut self, start: i64) -> (&mut Option<C>, bool) {
        // Most records belong to the last pane.
        let place = self.panes.iter().rposition(|pane| pane.start <= start);
        let is_there = place.is_some_and(|place| self.panes[place].start == start);
        let place = match place {
            Some(place) if is_there => place,
            found => {
                let place = found.map_or(0, |place| place + 1);
                self.panes.insert(place, KeptPane { start, kept: None });
                place
            }
        };
        (&mut self.panes[place].kept, !is_there)
    }

    /// Whether a window has records.
    pub fn has(&self, window: TimeWindow) -> bool {
        self.panes.iter().any(|pane| window.start <= pane.start && pane.start < window.end)
    }

    /// What a window has, merged.
    pub fn merged(&self, window: TimeWindow, merge: impl Fn(C, C) -> C) -> Option<C> {
        let panes = self.panes.iter().filter(|pane| window.start <= pane.start && pane.start < window.end);
        panes.filter_map(|pane| pane.kept.clone()).reduce(merge)
    }

    /// Drops the panes of which no window is kept at a time of the watermark.
    pub fn drop_until(&mut self, grid: &Grid, allowed_ms: i64, watermark: i64) {
        let is_over = |pane: &KeptPane<C>| {
            let last = grid.windows(pane.start).next();
            last.is_none_or(|last| (last.end - 1).saturating_add(allowed_ms) <= watermark)
        };
        // Earlier panes end no later.
        let over = self.panes.iter().take_while(|pane| is_over(pane)).count();
        self.panes.drain(..over);
    }
}

impl<C: Data> Data for Panes<C> {
    const MIN_BYTES: usize = 9;

    fn encode(&self, out: &mut Vec<u8>) {
        self.fired_end.encode(out);
        crate::data::encode_length(self.panes.len(), out);
        for pane in &self.panes {
            pane.start.encode(out);
            pane.kept.encode(out);
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let fired_end = i64::decode(input)?;
        let panes = Vec::<(i64, Option<C>)>::decode(input)?;
        let panes = panes.into_iter().map(|(start, kept)| KeptPane { start, kept });
        Ok(Self { panes: panes.collect(), fired_end })
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.generic("panes", &[C::describe]);
    }
}
