//! What the queries do with a record.

use millrace::prelude::*;

use crate::events::Bid;

/// q1: the price in euros, in whole cents; all else stays.
#[inline]
pub fn in_euros(bid: Bid) -> Bid {
    Bid { price: bid.price * 908 / 1000, ..bid }
}

/// q2: the auctions that are watched.
#[inline]
pub fn is_watched(bid: &Bid) -> bool {
    bid.auction % 123 == 0
}

/// wc: a record for each word of a sentence.
#[inline]
pub fn split(sentence: Text, out: &mut Collector<Text>) {
    sentence.words().for_each(|word| out.collect(word));
}

/// wc: how often each word has come so far.
pub struct Count;

impl KeyedProcessFunction<Text, Text> for Count {
    type Output = (Text, u64);
    type States = ValueState<u64>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.value("count")
    }

    #[inline]
    fn process(&self, count: &Self::States, word: Text, ctx: &mut KeyedContext<Text, Self::Output>) -> Result<()> {
        let seen = count.modify(|count| {
            let seen = count.unwrap_or(0) + 1;
            *count = Some(seen);
            seen
        });
        ctx.collect((word, seen));
        Ok(())
    }
}
