//! Whole applications: every way in which the host may cut and disturb them gives the same rows.

use millrace::prelude::*;
use millrace::testing::{PipelineOptions, run_pipeline};

/// Numbers, in splits of ten.
struct Numbers(u64);

impl Source for Numbers {
    type Record = u64;
    type Split = (u64, u64);
    type Offset = u64;

    fn splits(&self, _parallelism: u32) -> Result<Vec<(u64, u64)>> {
        Ok((0..self.0.div_ceil(10)).map(|split| (split * 10, (split * 10 + 10).min(self.0))).collect())
    }

    fn poll(
        &self,
        split: &(u64, u64),
        offset: Option<u64>,
        out: &mut SourceOutput<u64>,
    ) -> Result<(u64, SourceStatus)> {
        let mut next = offset.unwrap_or(split.0);
        while next < split.1 && !out.is_full() {
            out.collect_at(next, next as i64);
            next += 1;
        }
        Ok((next, if next < split.1 { SourceStatus::More } else { SourceStatus::Finished }))
    }
}

/// Diamonds, unions, side outputs, several keys, a sink on the way.
fn build(env: &Environment, args: &Args) -> Result<()> {
    let numbers = env.from_source(Numbers(args.get_or("count", 100)?), "numbers");
    let big = OutputTag::<u64>::new("big");
    let tag = big.clone();
    let small = numbers.map(|n| n + 1).process(move |n, ctx: &mut ProcessContext<u64>| {
        if n > 50 {
            ctx.output(&tag, n)
        } else {
            ctx.collect(n)
        }
        Ok(())
    });
    let doubled = small.map(|n| n * 2);
    let merged = doubled.union(&small.side_output(&big)).union(&small.filter(|n| n % 5 == 0));
    merged.map(|n| n.to_string()).sink_to(FileSink::lines("merged"), "merged");
    merged
        .rebalance()
        .map(|n| (n % 7, n))
        .key_by(|(rest, _)| *rest)
        .window(GlobalWindows::end_of_stream())
        .reduce(|a, b| (a.0, a.1 + b.1))
        .key_by(|(rest, _)| rest % 2)
        .reduce(|a, b| (a.0 % 2, a.1.max(b.1)))
        .map(|(rest, _)| (rest % 2,))
        .sink_to(FileSink::csv("keys"), "keys");
    merged
        .key_by(|n| n % 3)
        .window(GlobalWindows::end_of_stream())
        .aggregate(Sum)
        .map(|(rest, sum)| format!("{rest}:{sum}"))
        .sink_to(FileSink::lines("sums"), "sums");
    Ok(())
}

struct Sum;

impl AggregateFunction<u64> for Sum {
    type Accumulator = (u64, u64);
    type Output = String;

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, sum: &mut (u64, u64), n: u64) {
        *sum = (sum.0 + n, sum.1 + 1);
    }

    fn merge(&self, sum: &mut (u64, u64), other: (u64, u64)) {
        *sum = (sum.0 + other.0, sum.1 + other.1);
    }

    fn result(&self, sum: (u64, u64)) -> String {
        format!("{}/{}", sum.0, sum.1)
    }
}

fn merged() -> Vec<u64> {
    let mut merged = Vec::new();
    for n in 1..=100u64 {
        if n > 50 {
            merged.push(n);
            continue;
        }
        merged.push(n * 2);
        if n % 5 == 0 {
            merged.push(n);
        }
    }
    merged
}

fn check(options: &PipelineOptions, what: &str) {
    let output = run_pipeline(build, options).unwrap();
    let mut expected: Vec<String> = merged().iter().map(u64::to_string).collect();
    expected.sort_unstable();
    assert_eq!(output.sorted_lines("merged").unwrap(), expected, "{what}");
    let sums = (0..3).map(|rest| {
        let of_rest: Vec<u64> = merged().into_iter().filter(|n| n % 3 == rest).collect();
        format!("{rest}:{}/{}", of_rest.iter().sum::<u64>(), of_rest.len())
    });
    assert_eq!(output.sorted_lines("sums").unwrap(), sums.collect::<Vec<_>>(), "{what}");
    assert_eq!(output.sorted_lines("keys").unwrap(), ["0", "0", "0", "0", "1", "1", "1"], "{what}");
}

#[test]
fn the_rows_do_not_depend_on_the_parallelism() {
    for parallelism in [1, 2, 3, 7] {
        check(&PipelineOptions::new().parallelism(parallelism), &format!("parallelism {parallelism}"));
    }
}

#[test]
fn the_rows_do_not_depend_on_segments_batches_caches_and_instances() {
    for seed in 0..150 {
        let options = PipelineOptions::new().parallelism(1 + (seed % 4) as u32).discard_instances(seed);
        check(&options, &format!("seed {seed}"));
    }
}

#[test]
fn csv_and_json_cross_the_border() {
    fn build(env: &Environment, _: &Args) -> Result<()> {
        env.from_source(FileSource::csv(["x.csv"], ["name", "n"]), "csv")
            .try_map(|row| row.parse::<u32>(1).map(|n| (row.text(0).to_owned(), n)))
            .sink_to(FileSink::csv("out"), "csv-rows");
        env.from_source(FileSource::json_lines::<(String, u32)>(["x.jsonl"]), "json")
            .map(|(name, n)| (n, name))
            .sink_to(FileSink::json("out"), "json-rows");
        env.from_source(FileSource::lines(["x"]), "lines")
            .via(Component::named("upper").function("up"), Raw)
            .map(|line| line.len() as u64)
            .sink_to(PrintSink::new(), "lengths");
        env.from_source(FileSource::lines(["x"]), "questions")
            .map(|line| (line, 1u32))
            .via(Component::named("answers"), Json::<(String, u32)>::new())
            .sink_to(CollectSink::json(), "answers");
        Ok(())
    }
    let options = PipelineOptions::new()
        .csv("csv", [["plain", "1"], ["with, comma", "2"], ["say \"hi\"", "3"]])
        .json("json", [("a", 1), ("b", 2)])
        .lines("lines", ["abc", ""])
        .lines("questions", ["why"])
        .component("upper", |row| vec![row.to_ascii_uppercase(), b"!".to_vec()])
        .component("answers", |row| vec![row.to_vec()]);
    let output = run_pipeline(build, &options).unwrap();
    assert_eq!(output.lines("csv-rows").unwrap(), ["plain,1", "\"with, comma\",2", "\"say \"\"hi\"\"\",3"]);
    assert_eq!(output.lines("json-rows").unwrap(), ["[1,\"a\"]", "[2,\"b\"]"]);
    assert_eq!(output.lines("lengths").unwrap(), ["3", "1", "0", "1"]);
    assert_eq!(output.lines("answers").unwrap(), ["[\"why\",1]"]);

    let error = run_pipeline(build, &options.json("json", [0])).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.starts_with("operator 'Map': record 0 of a batch: invalid type")));
}

#[test]
fn a_pipeline_says_what_it_lacks() {
    fn build(env: &Environment, _: &Args) -> Result<()> {
        let lines = env.from_source(FileSource::lines(["x"]), "lines");
        lines.via(Component::named("foreign"), Raw).sink_to(DiscardSink::new(), "none");
        Ok(())
    }
    let error = |options: &PipelineOptions| run_pipeline(build, options).err().map(|error| error.to_string());
    assert_eq!(error(&PipelineOptions::new()).as_deref(), Some("the source 'lines' has no input"));
    assert_eq!(
        error(&PipelineOptions::new().lines("other", [""])).as_deref(),
        Some("the application has no native source 'other'")
    );
    assert_eq!(
        error(&PipelineOptions::new().lines("lines", [""])).as_deref(),
        Some("the component 'foreign' does not run here; say what it does with PipelineOptions::component")
    );
}
