//! The auction queries of Nexmark, a word count and a bare chain: what `just bench` measures.
//!
//! All input is generated: an event is a pure function of its index, so that any two engines can be given the same
//! events and must give the same results.

pub mod events;
pub mod generator;
pub mod latency;
pub mod numbers;
pub mod queries;
pub mod sentences;
pub mod source;
pub mod windows;

use millrace::ToFields;
use millrace::prelude::*;

use events::{Bid, Event};
use generator::Generator;
use numbers::{Integers, Keys};
use sentences::Sentences;
use source::{Generate, Generated};

/// The queries that there are.
const QUERIES: &str = "q0, q0x, q1, q2, q5, q7, q8, wc, wc-twice, keys, chain";

/// What the run asks for besides the query.
struct Run {
    events: Option<u64>,
    rate: Option<u64>,
    /// Events in a second of event time.
    events_per_second: u64,
    output: Option<String>,
    /// Write latencies instead of rows.
    latency: bool,
}

/// Runs the query that `--query` names. Rows go to `--output`; without it they are dropped.
#[millrace::application]
pub fn build(env: &Environment, args: &Args) -> Result<()> {
    let query: String = args.require("query")?;
    let run = Run {
        events: args.get("events")?,
        rate: args.get("rate")?,
        events_per_second: args.get("events-per-second")?.unwrap_or(generator::EVENTS_PER_SECOND),
        output: args.get("output")?,
        latency: args.has("latency")?,
    };
    if run.events_per_second == 0 {
        return Err(Error::msg("argument --events-per-second is 0: give events in a second of event time"));
    }
    if run.rate == Some(0) {
        return Err(Error::msg("argument --rate is 0: give records a second"));
    }
    if run.latency && (run.output.is_none() || run.rate.is_none()) {
        return Err(Error::msg("argument --latency needs --output, a folder, and --rate, records a second"));
    }
    env.name(format!("nexmark {query}"));
    match query.as_str() {
        "q0" => run.write(&bids(env, &run), Bid::row),
        "q0x" => run.write(&bids(env, &run).rebalance().map(|bid| bid).name("receive"), Bid::row),
        "q1" => run.write(&bids(env, &run).map(queries::in_euros).name("convert"), Bid::row),
        "q2" => {
            let found = bids(env, &run).filter(queries::is_watched).name("watched");
            run.write(&found.map(|bid| (bid.auction, bid.price)).name("project"), |row| *row);
        }
        "q5" => run.write(&windows::hot_auctions(&bids_in_time(env, &run)), |row| *row),
        "q7" => run.write(&windows::highest_bids(&bids_in_time(env, &run)), |row| *row),
        "q8" => run.write(&windows::new_sellers(&events_in_time(env, &run)), Clone::clone),
        "wc" => {
            let words = source(env, &run, Sentences::default(), "sentences").flat_map(queries::split).name("split");
            let counts = words.key_by_self().process(queries::Count).name("count");
            run.write(&counts, Clone::clone);
        }
        "wc-twice" => {
            let output: String = args.require("output")?;
            let words = source(env, &run, Sentences::default(), "sentences").flat_map(queries::split).name("split");
            let folder = |name| format!("{output}/{name}");
            words.map(|word| (word,).to_fields()).name("word").sink_to(FileSink::csv(folder("words")), "words");
            let counts = words.key_by_self().process(queries::Count).name("count");
            let rows = counts.map(|count| count.to_fields()).name("row");
            rows.sink_to(FileSink::csv(folder("counts")), "counts");
            let again = rows.rebalance().map(|row| row).name("receive");
            again.sink_to(FileSink::csv(folder("again")), "again");
        }
        "keys" => {
            let (all, again): (u64, u64) = (args.require("keys")?, args.require("again")?);
            if again == 0 {
                return Err(Error::msg("argument --again is 0: give the number of keys that come again"));
            }
            let keys = source(env, &run, Keys { all, again }, "keys");
            run.write(&keys.key_by_self().process(queries::Count).name("count"), Clone::clone);
        }
        "chain" => {
            let mapped = source(env, &run, Integers, "integers").map(numbers::first).map(numbers::second);
            run.write(&mapped.map(numbers::third).filter(numbers::passes), |number| (*number,));
        }
        other => {
            return Err(Error::msg(format_args!("argument --query is '{other}'; the queries are {QUERIES}")));
        }
    }
    Ok(())
}

fn source<G: Generate>(env: &Environment, run: &Run, generate: G, name: &str) -> Stream<G::Record> {
    env.from_source(Generated { generate, records: run.events, rate: run.rate }, name)
}

/// All events.
fn events(env: &Environment, run: &Run) -> Stream<Event> {
    source(env, run, Generator::with_density(run.events_per_second), "events")
}

/// All events, with their times.
fn events_in_time(env: &Environment, run: &Run) -> Stream<Event> {
    events(env, run).assign_timestamps_and_watermarks(WatermarkStrategy::monotonous(Event::time))
}

/// The bids, for queries without windows. Latencies are measured from the moment at which a record was due, which is the
/// timestamp that the source gives it.
fn bids(env: &Environment, run: &Run) -> Stream<Bid> {
    only_bids(&match run.latency {
        false => events_in_time(env, run),
        true => events(env, run),
    })
}

/// The bids, with their times.
fn bids_in_time(env: &Environment, run: &Run) -> Stream<Bid> {
    only_bids(&events_in_time(env, run))
}

fn only_bids(events: &Stream<Event>) -> Stream<Bid> {
    events
        .flat_map(|event, out: &mut Collector<Bid>| {
            if let Event::Bid(bid) = event {
                out.collect(bid);
            }
        })
        .name("bids")
}

impl Run {
    /// Connects the last operator with what the run is for.
    fn write<T: Data, R: ToFields>(&self, stream: &Stream<T>, row: impl Fn(&T) -> R + 'static) {
        match &self.output {
            None => stream.sink_to(DiscardSink::new(), "discard"),
            Some(output) if self.latency => {
                stream.process(latency::sampled()).name("latency").sink_to(FileSink::csv(output), "latencies")
            }
            Some(output) => {
                let rows = stream.map(move |record| row(&record).to_fields()).name("row");
                rows.sink_to(FileSink::csv(output), "rows")
            }
        };
    }
}
