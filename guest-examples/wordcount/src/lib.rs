//! Counts the words of text files.

use millrace::prelude::*;

/// Reads lines, splits them into words, counts each word, and writes `word,count` once, at the end of the input.
#[millrace::application]
pub fn build(env: &Environment, args: &Args) -> Result<()> {
    env.name("wordcount");
    env.from_source(FileSource::lines(args.inputs()?), "lines")
        .flat_map(|line: String, out: &mut Collector<String>| {
            for word in line.split(|c: char| !c.is_alphanumeric()) {
                if !word.is_empty() {
                    out.collect(word.to_lowercase());
                }
            }
        })
        .name("split")
        .map(|word| (word, 1u64))
        .key_by(|(word, _)| word.clone())
        .window(GlobalWindows::end_of_stream())
        .reduce(|a, b| (a.0, a.1 + b.1))
        .name("count")
        .map(|(word, count)| format!("{word},{count}"))
        .name("format")
        .sink_to(FileSink::lines(args.output()?), "rows");
    Ok(())
}
