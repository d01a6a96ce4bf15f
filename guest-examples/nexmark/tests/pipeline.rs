//! The whole application, natively.

use std::collections::BTreeMap;

use millrace::testing::{PipelineOptions, run_pipeline};

fn options(query: &str, records: u64) -> PipelineOptions {
    PipelineOptions::new().args(["--query", query, "--events", &records.to_string(), "--output", "out"])
}

fn rows(options: &PipelineOptions) -> Vec<String> {
    run_pipeline(nexmark::build, options).unwrap().sorted_lines("rows").unwrap()
}

/// Counts go up in an order of their own: what counts is each word's largest.
fn largest(rows: &[String]) -> BTreeMap<String, u64> {
    let mut largest = BTreeMap::new();
    for row in rows {
        let (word, count) = row.split_once(',').unwrap();
        let count: u64 = count.parse().unwrap();
        let known = largest.entry(word.to_owned()).or_insert(count);
        *known = count.max(*known);
    }
    largest
}

#[test]
fn rows_do_not_depend_on_the_parallelism() {
    for query in ["q0", "q0x", "q1", "q2", "q5", "q7", "q8", "chain"] {
        let expected = rows(&options(query, 5_000));
        let count = match query {
            "q0" | "q0x" | "q1" => 4_600,
            "q2" | "q8" => expected.len(),
            "q5" => 5,
            "q7" => 1,
            _ => 2_499,
        };
        assert_eq!(expected.len(), count, "{query}");
        for parallelism in [2, 4] {
            assert_eq!(rows(&options(query, 5_000).parallelism(parallelism)), expected, "{query} at {parallelism}");
        }
    }
}

#[test]
fn prices_are_converted_and_the_rest_stays() {
    let (before, after) = (rows(&options("q0", 1_000)), rows(&options("q1", 1_000)));
    let price = |row: &String| row.split(',').nth(2).unwrap().parse::<i64>().unwrap();
    let mut expected: Vec<String> = before
        .iter()
        .map(|row| row.replacen(&format!(",{},", price(row)), &format!(",{},", price(row) * 908 / 1000), 1))
        .collect();
    expected.sort();
    assert_eq!(after, expected);
}

#[test]
fn every_word_is_counted_wherever_its_instance_is() {
    let expected = largest(&rows(&options("wc", 500)));
    assert_eq!(expected.values().sum::<u64>(), 5_000);
    for seed in 0..3 {
        let options = options("wc", 500).parallelism(1 + (seed % 3) as u32).discard_instances(seed);
        assert_eq!(largest(&rows(&options)), expected, "seed {seed}");
    }
}

#[test]
fn instances_may_be_thrown_away_at_any_time() {
    let expected = rows(&options("q1", 1_000));
    for seed in 0..3 {
        let options = options("q1", 1_000).parallelism(1 + (seed % 3) as u32).discard_instances(seed);
        assert_eq!(rows(&options), expected, "seed {seed}");
    }
}

#[test]
fn windows_do_not_mind_what_becomes_of_instances() {
    for query in ["q5", "q7", "q8"] {
        let expected = rows(&options(query, 2_000));
        assert!(!expected.is_empty());
        for seed in 0..3 {
            let options = options(query, 2_000).parallelism(1 + (seed % 3) as u32).discard_instances(seed);
            assert_eq!(rows(&options), expected, "{query}, seed {seed}");
        }
    }
}

#[test]
fn wrong_arguments_say_what_there_is() {
    let refused = |options: PipelineOptions| run_pipeline(nexmark::build, &options).err().unwrap().to_string();
    assert!(
        refused(PipelineOptions::new().args(["--query", "q9"]))
            .contains("q0, q0x, q1, q2, q5, q7, q8, wc, wc-twice, keys, chain")
    );
    assert!(refused(PipelineOptions::new()).contains("--query"));
    assert!(refused(PipelineOptions::new().args(["--query", "q0", "--latency"])).contains("--rate"));
    assert!(refused(PipelineOptions::new().args(["--query", "q0", "--rate", "0"])).contains("--rate"));
}
