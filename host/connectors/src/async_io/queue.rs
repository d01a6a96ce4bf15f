//! The order in which results are handed on. Pure.
//!
//! Invariants:
//! - A row leaves once, with its results; a watermark leaves when every row before it has left, and no row behind it
//!   leaves earlier.
//! - Watermarks take no room: of those with no row between them the last one counts.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;

/// In which order results are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultOrder {
    /// In that of the rows: Flink's `orderedWait`.
    Ordered,
    /// As they come, between watermarks: Flink's `unorderedWait`.
    Unordered,
}

/// A row's number, in the order of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready<O> {
    /// The results of a row.
    Results(O),
    /// A watermark.
    Watermark(i64),
}

/// The rows up to a watermark.
#[derive(Debug)]
struct Segment<I, O> {
    /// By number; with the results, once they are there.
    rows: BTreeMap<RequestId, (I, Option<O>)>,
    /// The rows that have results, as those came.
    completed: VecDeque<RequestId>,
    /// The watermark behind them; none: the segment is the last one, and is still filled.
    watermark: Option<i64>,
}

impl<I, O> Segment<I, O> {
    fn new() -> Self {
        Self { rows: BTreeMap::new(), completed: VecDeque::new(), watermark: None }
    }
}

/// Rows `I` whose results `O` are under way or wait to be handed on.
#[derive(Debug)]
pub struct AsyncQueue<I, O> {
    order: ResultOrder,
    capacity: NonZeroUsize,
    next: u64,
    rows: usize,
    segments: VecDeque<Segment<I, O>>,
}

impl<I, O> AsyncQueue<I, O> {
    pub fn new(order: ResultOrder, capacity: NonZeroUsize) -> Self {
        Self { order, capacity, next: 0, rows: 0, segments: VecDeque::new() }
    }

    fn open_segment(&mut self) -> &mut Segment<I, O> {
        if self.segments.back().is_none_or(|segment| segment.watermark.is_some()) {
            self.segments.push_back(Segment::new());
        }
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    /// Adds a row; gives it back if there is no room.
    pub fn push(&mut self, row: I) -> Result<RequestId, I> {
        if self.rows == self.capacity.get() {
            return Err(row);
        }
        let id = RequestId(self.next);
        self.next += 1;
        self.rows += 1;
        self.open_segment().rows.insert(id, (row, None));
        Ok(id)
    }

    /// Adds a watermark.
    pub fn watermark(&mut self, at: i64) {
        match self.segments.back_mut() {
            // No row came since the last one.
            Some(last) if last.watermark.is_some() => last.watermark = Some(at),
            _ => self.open_segment().watermark = Some(at),
        }
    }

    /// A row has its results. Those of a row that has some already, or has left, are dropped.
    pub fn complete(&mut self, id: RequestId, results: O) {
        for segment in &mut self.segments {
            if let Some((_, waiting)) = segment.rows.get_mut(&id) {
                if waiting.is_none() {
                    *waiting = Some(results);
                    segment.completed.push_back(id);
                }
                return;
            }
        }
    }

    /// Whether nothing is under way and nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether there is something to [take out](Self::pop).
    pub fn is_ready(&self) -> bool {
        self.segments.front().is_some_and(|segment| match self.order {
            _ if segment.rows.is_empty() => segment.watermark.is_some(),
            ResultOrder::Ordered => segment.rows.first_key_value().is_some_and(|(_, (_, results))| results.is_some()),
            ResultOrder::Unordered => !segment.completed.is_empty(),
        })
    }

    /// Takes out what is to be handed on next, if that is complete.
    pub fn pop(&mut self) -> Option<Ready<O>> {
        let segment = self.segments.front_mut()?;
        let id = match self.order {
            ResultOrder::Ordered => {
                segment.rows.first_key_value().filter(|(_, (_, results))| results.is_some()).map(|(id, _)| *id)
            }
            ResultOrder::Unordered => segment.completed.pop_front(),
        };
        if let Some((_, Some(results))) = id.and_then(|id| segment.rows.remove(&id)) {
            self.rows -= 1;
            if segment.rows.is_empty() && segment.watermark.is_none() {
                self.segments.pop_front();
            }
            return Some(Ready::Results(results));
        }
        if !segment.rows.is_empty() {
            return None;
        }
        let watermark = segment.watermark?;
        self.segments.pop_front();
        Some(Ready::Watermark(watermark))
    }

    /// The rows that have not left, in their order.
    pub fn rows(&self) -> impl Iterator<Item = &I> {
        self.segments.iter().flat_map(|segment| segment.rows.values().map(|(row, _)| row))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        Watermark,
        Complete(prop::sample::Index),
        Pop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Push),
            1 => Just(Step::Watermark),
            3 => any::<prop::sample::Index>().prop_map(Step::Complete),
            2 => Just(Step::Pop),
        ];
        prop::collection::vec(step, 0..120)
    }

    /// Rows are numbered, and a watermark is the number of rows before it.
    #[derive(Default)]
    struct Model {
        pushed: i64,
        watermark: Option<i64>,
        waiting: Vec<(RequestId, i64)>,
        completed: Vec<i64>,
        left: Vec<i64>,
        last_watermark: i64,
    }

    impl Model {
        fn check(&mut self, order: ResultOrder, ready: &Ready<i64>) -> Result<(), TestCaseError> {
            match *ready {
                Ready::Watermark(at) => {
                    prop_assert!(at >= self.last_watermark);
                    let before = self.left.iter().filter(|row| **row < at).count();
                    prop_assert_eq!(before as i64, at, "every row before it has left");
                    prop_assert_eq!(self.left.len() as i64, at, "no row behind it has");
                    self.last_watermark = at;
                }
                Ready::Results(row) => {
                    prop_assert!(self.completed.contains(&row) && !self.left.contains(&row));
                    if order == ResultOrder::Ordered {
                        prop_assert_eq!(row, self.left.len() as i64);
                    }
                    self.left.push(row);
                }
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn rows_leave_once_in_order_and_on_their_side_of_each_watermark(
            steps in steps(), ordered: bool, capacity in 1usize..9
        ) {
            let order = if ordered { ResultOrder::Ordered } else { ResultOrder::Unordered };
            let mut queue = AsyncQueue::new(order, NonZeroUsize::new(capacity).unwrap());
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Push => match queue.push(model.pushed) {
                        Ok(id) => {
                            model.waiting.push((id, model.pushed));
                            model.pushed += 1;
                        }
                        Err(row) => {
                            prop_assert_eq!(row, model.pushed);
                            prop_assert_eq!(queue.rows().count(), capacity);
                        }
                    },
                    Step::Watermark => {
                        queue.watermark(model.pushed);
                        model.watermark = Some(model.pushed);
                    }
                    Step::Complete(which) if !model.waiting.is_empty() => {
                        let (id, row) = model.waiting.swap_remove(which.index(model.waiting.len()));
                        queue.complete(id, row);
                        queue.complete(id, -1);
                        model.completed.push(row);
                    }
                    Step::Complete(_) => {}
                    Step::Pop => {
                        let is_ready = queue.is_ready();
                        let popped = queue.pop();
                        prop_assert_eq!(popped.is_some(), is_ready);
                        if let Some(ready) = popped {
                            model.check(order, &ready)?;
                        }
                    }
                }
                let inside: Vec<i64> = queue.rows().copied().collect();
                let expected: Vec<i64> = (0..model.pushed).filter(|row| !model.left.contains(row)).collect();
                prop_assert_eq!(inside, expected, "the rows of a snapshot are those that have not left, in order");
            }
            for (id, row) in std::mem::take(&mut model.waiting) {
                queue.complete(id, row);
                model.completed.push(row);
            }
            while let Some(ready) = queue.pop() {
                model.check(order, &ready)?;
            }
            prop_assert_eq!(model.left.len() as i64, model.pushed, "nothing stays");
            prop_assert!(queue.is_empty());
            prop_assert_eq!(model.last_watermark, model.watermark.unwrap_or(0));
        }
    }

    #[test]
    fn unordered_results_leave_as_they_come() {
        let mut queue = AsyncQueue::new(ResultOrder::Unordered, NonZeroUsize::new(3).unwrap());
        let [a, b] = ["a", "b"].map(|row| queue.push(row).unwrap());
        queue.watermark(5);
        let c = queue.push("c").unwrap();
        queue.complete(c, 'c');
        queue.complete(b, 'b');
        assert_eq!((queue.pop(), queue.pop()), (Some(Ready::Results('b')), None));
        queue.complete(a, 'a');
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, [Ready::Results('a'), Ready::Watermark(5), Ready::Results('c')]);
    }
}
