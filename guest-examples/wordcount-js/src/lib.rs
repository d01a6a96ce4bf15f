//! Counts words that a JavaScript component splits: two languages in one application.

use millrace::prelude::*;

/// Reads lines, has the component `splitter` split them into words, counts each word, and writes `word,count` once, at
/// the end of the input.
#[millrace::application]
pub fn build(env: &Environment, args: &Args) -> Result<()> {
    env.name("wordcount-js");
    env.from_source(FileSource::lines(args.inputs()?), "lines")
        .via(Component::named("splitter").function("split"), Raw)
        .map(|word| (word, 1u64))
        .name("pair")
        .key_by(|(word, _)| word.clone())
        .window(GlobalWindows::end_of_stream())
        .reduce(|a, b| (a.0, a.1 + b.1))
        .name("count")
        .map(|(word, count)| format!("{word},{count}"))
        .name("format")
        .sink_to(FileSink::lines(args.output()?), "rows");
    Ok(())
}
