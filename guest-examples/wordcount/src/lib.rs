//! Counts the words of text files.

mod words;

use millrace::prelude::*;

pub use words::each_word;

/// Reads lines, splits them into words, counts each word, and writes `word,count` once, at the end of the input.
#[millrace::application]
pub fn build(env: &Environment, args: &Args) -> Result<()> {
    env.name("wordcount");
    env.from_source(FileSource::lines(args.inputs()?), "lines")
        .flat_map(|line: String, out: &mut Collector<String>| each_word(&line, |word| out.collect(word)))
        .name("split")
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
