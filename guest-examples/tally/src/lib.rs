//! Counts numbers, in versions that take over from each other: see the README.

mod count;

use millrace::prelude::*;

use count::{Seen, Tally, TallySince, TallyText};

/// A number, its class, and the release that read it.
#[derive(Clone, Debug, PartialEq, Data)]
pub struct Numbered {
    pub number: u64,
    pub release: u32,
}

/// How many classes there are.
const CLASSES: u64 = 10;

/// Counts the numbers of each class by the release that `--release` names.
#[millrace::application]
pub fn build(env: &Environment, args: &Args) -> Result<()> {
    let release: u32 = args.get_or("release", 1)?;
    let source = match args.get::<u64>("rows")? {
        Some(rows) => DatagenSource::rows(rows),
        None => DatagenSource::unbounded(),
    };
    let source = source.option("rows-per-second", args.get_or("rate", 1_000u64)?);
    let output = FileSink::lines(args.output()?);
    let read = env
        .from_source(source, "numbers")
        .set_parallelism(1)
        .try_map(move |text: String| text.parse().map(|number| Numbered { number, release }))
        .set_parallelism(1)
        .uid("read");
    let read = if release == 3 { read.filter(|_| true).set_parallelism(1).uid("more") } else { read };
    let keyed = read.key_by(|read| read.number % CLASSES);
    let counted = match release {
        1 | 3 => keyed.process(Tally { release }),
        2 => keyed.process(TallySince { release }),
        4 => keyed.process(TallyText { release }),
        other => return Err(Error::msg(format_args!("argument --release is {other}: there are 1 to 4"))),
    };
    counted
        .uid("count")
        .map(|seen: Seen| format!("{},{},{},{}", seen.number, seen.count, seen.read_by, seen.counted_by))
        .uid("format")
        .sink_to(output, "rows")
        .uid("rows");
    Ok(())
}
