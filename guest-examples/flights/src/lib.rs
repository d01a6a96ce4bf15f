//! Departure delays by airport, from the flights of nycflights13: over all of the year, or hour by hour.

mod hours;
mod totals;

use std::time::Duration;

use millrace::prelude::*;

use hours::{parse_hour, write_hour};
use totals::{Delays, Means, parse_delay};

/// How far the hours of the file are out of order, in milliseconds: its months are sorted as text.
const OUT_OF_ORDER_MS: i64 = 366 * 24 * 3_600_000;

/// Reads flights and writes `origin,flights,mean_dep_delay,max_dep_delay` once, at the end of the input; with `--hourly`
/// `origin,hour,flights,mean_dep_delay` for each scheduled hour of departure that has flights.
#[millrace::application]
pub fn build(env: &Environment, args: &Args) -> Result<()> {
    let rows = if args.has("hourly")? { hourly(env, args)? } else { totals(env, args)? };
    rows.sink_to(FileSink::lines(args.output()?), "rows");
    Ok(())
}

fn totals(env: &Environment, args: &Args) -> Result<Stream<String>> {
    env.name("flights");
    let flights = env.from_source(FileSource::csv(args.inputs()?, ["origin", "dep_delay"]), "flights");
    Ok(flights
        .try_map(|row: Fields| parse_delay(row.text(1)).map(|delay| (row.text(0).to_owned(), delay)))
        .name("parse")
        .key_by(|(origin, _)| origin.clone())
        .window(GlobalWindows::end_of_stream())
        .aggregate(Delays)
        .name("delays")
        .map(|(origin, delays)| format!("{origin},{delays}"))
        .name("format"))
}

/// (origin, delay, scheduled hour).
type Departure = (String, Option<i64>, i64);

fn hourly(env: &Environment, args: &Args) -> Result<Stream<String>> {
    env.name("flights by hour");
    let columns = ["origin", "dep_delay", "time_hour"];
    let flights = env.from_source(FileSource::csv(args.inputs()?, columns), "flights");
    Ok(flights
        .try_map(|row: Fields| {
            Ok::<Departure, String>((row.text(0).to_owned(), parse_delay(row.text(1))?, parse_hour(row.text(2))?))
        })
        .name("parse")
        .assign_timestamps_and_watermarks(WatermarkStrategy::bounded_out_of_orderness(
            OUT_OF_ORDER_MS,
            |departure: &Departure| departure.2,
        ))
        .map(|(origin, delay, _)| (origin, delay))
        .name("delay")
        .key_by(|(origin, _)| origin.clone())
        .window(TumblingEventTimeWindows::of(Duration::from_secs(3600)))
        .aggregate_with(Means, |origin, window, means, ctx: &mut WindowContext<'_, String>| {
            ctx.collect(format!("{origin},{},{means}", write_hour(window.start)));
            Ok(())
        })
        .name("delays"))
}
