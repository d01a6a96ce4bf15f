//! Departure delays by airport, from the flights of nycflights13.

mod totals;

use millrace::prelude::*;

use totals::{Delays, parse_delay};

/// Reads flights and writes `origin,flights,mean_dep_delay,max_dep_delay` once, at the end of the input.
#[millrace::application]
pub fn build(env: &Environment, args: &Args) -> Result<()> {
    env.name("flights");
    env.from_source(FileSource::csv(args.inputs()?, ["origin", "dep_delay"]), "flights")
        .try_map(|row: Fields| parse_delay(row.text(1)).map(|delay| (row.text(0).to_owned(), delay)))
        .name("parse")
        .key_by(|(origin, _)| origin.clone())
        .window(GlobalWindows::end_of_stream())
        .aggregate(Delays)
        .name("delays")
        .map(|(origin, delays)| format!("{origin},{delays}"))
        .name("format")
        .sink_to(FileSink::lines(args.output()?), "rows");
    Ok(())
}
