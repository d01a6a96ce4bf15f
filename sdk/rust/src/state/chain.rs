//! Doubly linked lists through the entries of a table, so that an entry leaves a list wherever it stands.

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// An entry's neighbours in one list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    next: u32,
    previous: u32,
}

impl Link {
    pub const UNLINKED: Self = Self { next: NONE, previous: NONE };
}

/// The ends of a list. `link_of` gives an entry's link of this list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    pub const EMPTY: Self = Self { first: NONE, last: NONE };

    pub fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// The first entry.
    pub fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Adds an entry that is not in the list at its end.
    pub fn push<E>(&mut self, entries: &mut [E], entry: u32, link_of: fn(&mut E) -> &mut Link) {
        *link_of(&mut entries[entry as usize]) = Link { next: NONE, previous: self.last };
        match self.last {
            NONE => self.first = entry,
            last => link_of(&mut entries[last as usize]).next = entry,
        }
        self.last = entry;
    }

    /// Removes an entry that is in the list.
    pub fn remove<E>(&mut self, entries: &mut [E], entry: u32, link_of: fn(&mut E) -> &mut Link) {
        let Link { next, previous } = std::mem::replace(link_of(&mut entries[entry as usize]), Link::UNLINKED);
        match previous {
            NONE => self.first = next,
            previous => link_of(&mut entries[previous as usize]).next = next,
        }
        match next {
            NONE => self.last = previous,
            next => link_of(&mut entries[next as usize]).previous = previous,
        }
    }
}

/// The entry behind one in the list of this link.
pub(crate) fn next(link: Link) -> Option<u32> {
    (link.next != NONE).then_some(link.next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_from_anywhere_and_the_others_stay_in_order() {
        let mut entries = [Link::UNLINKED; 6];
        let mut chain = Chain::EMPTY;
        (0..6).for_each(|entry| chain.push(&mut entries, entry, |link| link));
        let listed = |chain: &Chain, entries: &[Link]| {
            std::iter::successors(chain.first(), |at| next(entries[*at as usize])).collect::<Vec<u32>>()
        };
        for (removed, left) in [(2, vec![0, 1, 3, 4, 5]), (0, vec![1, 3, 4, 5]), (5, vec![1, 3, 4])] {
            chain.remove(&mut entries, removed, |link| link);
            assert_eq!(listed(&chain, &entries), left);
        }
        chain.push(&mut entries, 2, |link| link);
        assert_eq!(listed(&chain, &entries), [1, 3, 4, 2]);
        [3, 4, 1, 2].into_iter().for_each(|entry| chain.remove(&mut entries, entry, |link| link));
        assert!(chain.is_empty() && chain.first().is_none());
    }
}
