//! The whole application, natively.

use millrace::testing::{PipelineOptions, run_pipeline};

const LINES: [&str; 5] = ["To be, or not to be,", "that is the question:", "", "Whether 'tis nobler", "TO BE"];
const EXPECTED: [&str; 10] =
    ["be,3", "is,1", "nobler,1", "not,1", "or,1", "question,1", "that,1", "the,1", "tis,1", "to,3"];

fn options() -> PipelineOptions {
    PipelineOptions::new().args(["--input", "in.txt", "--output", "out"]).lines("lines", LINES)
}

fn expected() -> Vec<String> {
    let mut expected: Vec<String> = EXPECTED.map(String::from).into();
    expected.push("whether,1".to_owned());
    expected
}

#[test]
fn words_are_counted_once_at_the_end() {
    for parallelism in [1, 2, 4] {
        let output = run_pipeline(wordcount::build, &options().parallelism(parallelism)).unwrap();
        assert_eq!(output.sorted_lines("rows").unwrap(), expected(), "parallelism {parallelism}");
    }
}

#[test]
fn instances_may_be_thrown_away_at_any_time() {
    for seed in 0..40 {
        let options = options().parallelism(1 + (seed % 3) as u32).discard_instances(seed);
        let output = run_pipeline(wordcount::build, &options).unwrap();
        assert_eq!(output.sorted_lines("rows").unwrap(), expected(), "seed {seed}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    let run = |args: &[&str]| {
        let options = options().args(args.iter().copied());
        run_pipeline(wordcount::build, &options).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(run(&["--output", "out"]), "argument --input is missing; give it once for each path");
    assert_eq!(
        run(&["--input", "a", "--output", "b", "--verbose"]),
        "unknown argument --verbose; the known ones are --input, --output"
    );
}
