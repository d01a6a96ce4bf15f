//! The counters of the releases, which share a state.

use millrace::prelude::*;

use crate::Numbered;

/// What comes of a number.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Seen {
    pub number: u64,
    pub count: u64,
    pub read_by: u32,
    pub counted_by: u32,
}

impl Seen {
    fn new(read: &Numbered, count: u64, counted_by: u32) -> Self {
        Self { number: read.number, count, read_by: read.release, counted_by }
    }
}

mod first {
    use millrace::prelude::*;

    /// The state of a class.
    #[derive(Clone, Debug, PartialEq, Data)]
    pub struct Class {
        pub count: u64,
    }
}

mod second {
    use millrace::prelude::*;

    /// The state of a class, with the release that counted last.
    #[derive(Clone, Debug, PartialEq, Data)]
    pub struct Class {
        pub count: u64,
        #[data(default)]
        pub last: u32,
    }
}

/// Counts.
pub struct Tally {
    pub release: u32,
}

impl KeyedProcessFunction<u64, Numbered> for Tally {
    type Output = Seen;
    type States = ValueState<first::Class>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.value("class")
    }

    fn process(&self, class: &Self::States, read: Numbered, ctx: &mut KeyedContext<u64, Seen>) -> Result<()> {
        let count = class.modify(|class| {
            let count = class.as_ref().map_or(0, |class| class.count) + 1;
            *class = Some(first::Class { count });
            count
        });
        ctx.collect(Seen::new(&read, count, self.release));
        Ok(())
    }
}

/// Counts, and remembers which release did.
pub struct TallySince {
    pub release: u32,
}

impl KeyedProcessFunction<u64, Numbered> for TallySince {
    type Output = Seen;
    type States = ValueState<second::Class>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.value("class")
    }

    fn process(&self, class: &Self::States, read: Numbered, ctx: &mut KeyedContext<u64, Seen>) -> Result<()> {
        let count = class.modify(|class| {
            let count = class.as_ref().map_or(0, |class| class.count) + 1;
            *class = Some(second::Class { count, last: self.release });
            count
        });
        ctx.collect(Seen::new(&read, count, self.release));
        Ok(())
    }
}

/// Counts in a state that cannot take over from the others.
pub struct TallyText {
    pub release: u32,
}

impl KeyedProcessFunction<u64, Numbered> for TallyText {
    type Output = Seen;
    type States = ValueState<String>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.value("class")
    }

    fn process(&self, class: &Self::States, read: Numbered, ctx: &mut KeyedContext<u64, Seen>) -> Result<()> {
        let count = class.modify(|class| {
            let count = class.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0u64) + 1;
            *class = Some(count.to_string());
            count
        });
        ctx.collect(Seen::new(&read, count, self.release));
        Ok(())
    }
}
