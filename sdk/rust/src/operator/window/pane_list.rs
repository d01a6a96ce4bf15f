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
        let place = match self.panes.last() {
            Some(last) if last.start == start => self.panes.len() - 1,
            _ => self.first_from(start),
        };
        let is_there = self.panes.get(place).is_some_and(|pane| pane.start == start);
        if !is_there {
            self.panes.insert(place, KeptPane { start, kept: None });
        }
        (&mut self.panes[place].kept, !is_there)
    }

    /// Where the first pane is that begins at or behind a time.
    fn first_from(&self, start: i64) -> usize {
        // A key has few panes, unless watermarks lag far behind.
        self.panes.partition_point(|pane| pane.start < start)
    }

    /// The panes of a window.
    fn of_window(&self, window: TimeWindow) -> impl Iterator<Item = &KeptPane<C>> {
        self.panes[self.first_from(window.start)..].iter().take_while(move |pane| pane.start < window.end)
    }

    /// Whether a window has records.
    pub fn has(&self, window: TimeWindow) -> bool {
        self.of_window(window).next().is_some()
    }

    /// What a window has, merged.
    pub fn merged(&self, window: TimeWindow, merge: impl Fn(C, C) -> C) -> Option<C> {
        self.of_window(window).filter_map(|pane| pane.kept.clone()).reduce(merge)
    }

    /// The same, of panes that are dropped next.
    pub fn take(&mut self, window: TimeWindow, merge: impl Fn(C, C) -> C) -> Option<C> {
        let from = self.first_from(window.start);
        let panes = self.panes[from..].iter_mut().take_while(|pane| pane.start < window.end);
        panes.filter_map(|pane| pane.kept.take()).reduce(merge)
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
